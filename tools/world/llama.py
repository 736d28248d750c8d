#!/usr/bin/env python3
"""llama.cpp by itself, through xllamacpp, a wheel with the library in it: what it makes of a GGUF
model with a GGUF LoRA attached as it is loaded. A process of its own, because it aborts where it
does not like a file.

  python tools/world/llama.py MODEL LORA|- IDS LETTER PROMPT N

Prints JSON: `logprobs`, the logarithm of each token's probability behind each of IDS (0,1,2); `ids`,
the N likeliest tokens behind PROMPT. LETTER: a token that is a letter. In f32: caches of keys and values too (its default
is f16, which alone costs 1e-2), no flash attention.
"""
import json, os, sys

import xllamacpp

model, lora, ids, letter, prompt, n = sys.argv[1:]
ids = [int(i) for i in ids.split(",")]
p = xllamacpp.CommonParams()
p.model.path = model
p.n_ctx = p.n_batch = p.n_ubatch = 64
p.n_parallel, p.n_gpu_layers, p.cpuparams.n_threads, p.verbosity = 1, 0, 2, 0
p.warmup = p.fit_params = False
p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
if lora != "-":
    p.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]
server = xllamacpp.Server(p)


def complete(prompt, n, **more):
    r = server.handle_completions({"prompt": prompt, "max_tokens": n, "temperature": 0, "cache_prompt": False, **more})
    r = (r if isinstance(r, dict) else json.loads(r))["choices"][0]
    return (r["logprobs"] or {"content": []})["content"]


rows = []
for k in range(1, len(ids) + 1):
    # nothing is told where the token ends the text or is part of a letter, so one is forced; what is
    # told are the probabilities before that
    top = complete(ids[:k], 1, logprobs=1 << 20, logit_bias=[[int(letter), 1e4]])[0]["top_logprobs"]
    rows.append([t["logprob"] for t in sorted(top, key=lambda t: t["id"])])
tokens = complete(prompt, int(n), logprobs=1)
print(json.dumps({"logprobs": rows, "ids": [t["id"] for t in tokens]}), flush=True)
os._exit(0)  # its threads would be waited for
