#!/usr/bin/env python3
"""A tiny llama whose rotary frequencies change with the length, on both sides of 16 tokens.

  python tools/oracle/make_far_rope_vectors.py longrope tests/vectors/files/longrope
  python tools/oracle/make_far_rope_vectors.py dynamic tests/vectors/files/dynamic

base: the model as a Hugging Face directory. expect.safetensors: `ids` [64], `logits_N` [N, vocab]
of the first N of them in one pass (longrope: all positions of a pass of more than 16 have the long
factors; dynamic: the base grows with N); `fed_N` [M, vocab]: logits behind a prompt of N and behind
each id that is then given alone over the cache, which keeps keys as they were turned. A model
remembers the longest pass it has seen, so each of these is made by a fresh one. Needs what
requirements.txt names.
"""
import os, shutil, sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

kind, out = sys.argv[1:]
torch.manual_seed(19)
torch.set_num_threads(1)
HALF = 4
scaling = {
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 16,
                 "short_factor": [1 + 0.25 * i for i in range(HALF)],
                 "long_factor": [2 + 1.5 * i for i in range(HALF)]},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
}[kind]
config = LlamaConfig(
    vocab_size=41, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=1, rope_theta=10000.0, rope_scaling=scaling,
    max_position_embeddings=64 if kind == "longrope" else 16)
model = LlamaForCausalLM(config).eval()
for p in model.parameters():
    p.data = 0.5 * torch.randn_like(p) if p.dim() > 1 else 1 + 0.2 * torch.randn_like(p)
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)
model.save_pretrained(f"{out}/base")
for name in ("generation_config.json",):
    if os.path.exists(f"{out}/base/{name}"):
        os.remove(f"{out}/base/{name}")
ids = torch.randint(0, 41, (64,))


def fresh():
    return LlamaForCausalLM.from_pretrained(f"{out}/base", dtype=torch.float32).eval()


found = {"ids": ids.int()}
with torch.no_grad():
    for n in (12, 16, 17, 40, 64):
        found[f"logits_{n}"] = fresh()(ids[None, :n]).logits[0].contiguous()
    for n in (12, 20):
        model = fresh()
        step = model(ids[None, :n], use_cache=True)
        rows = [step.logits[0, -1]]
        for k in range(n, n + 12):
            step = model(ids[None, k:k + 1], past_key_values=step.past_key_values, use_cache=True)
            rows.append(step.logits[0, -1])
        found[f"fed_{n}"] = torch.stack(rows)
differ = (found["fed_12"][5] - found["logits_17"][-1]).abs().max()
if not differ > 1e-2:
    raise SystemExit("keys that were kept make no difference")
save_file(found, f"{out}/expect.safetensors")
