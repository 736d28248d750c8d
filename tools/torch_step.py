#!/usr/bin/env python3
"""The control on a GPU: one LoRA step of PyTorch, transformers and PEFT on random weights of a named
shape (src/lab/shapes.def). Prints one JSON line: tokens or pictures per second and peak memory of a
step.
usage: torch_step.py SHAPE DTYPE [--compile | --ckpt] [--steps N] [--rank R] [--targets qv|all]
                     [--device cuda|cpu] [--threads N]"""
import argparse
import json
import os
import re
import resource
import time

ap = argparse.ArgumentParser(usage=__doc__)
ap.add_argument("shape")
ap.add_argument("dtype", choices=["f32", "bf16"])
ap.add_argument("--compile", action="store_true")
ap.add_argument("--ckpt", action="store_true")
ap.add_argument("--steps", type=int, default=12)
ap.add_argument("--rank", type=int, default=16)
ap.add_argument("--targets", choices=["qv", "all"], default="all")
ap.add_argument("--device", default="cuda")
ap.add_argument("--threads", type=int, default=0)
a = ap.parse_args()

import torch
from peft import LoraConfig, get_peft_model
from transformers import (BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM, ViTConfig, ViTForImageClassification)

if a.threads:
    torch.set_num_threads(a.threads)
torch.manual_seed(0)
rows = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "lab", "shapes.def")
text = re.search(r"^SHAPE\(%s, (.*)\)$" % re.escape(a.shape), open(rows).read(), re.M)
family, *numbers = text.group(1).split(", ")
hidden, layers, heads, kv, width, inner, vocab, tied, batch, length = [
    n == "true" if n in ("true", "false") else int(n) for n in numbers]
dims = dict(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=inner)
decoder = dict(dims, num_key_value_heads=kv, head_dim=width, vocab_size=vocab,
               max_position_embeddings=max(2048, length), tie_word_embeddings=tied, use_cache=False)
dtype = torch.bfloat16 if a.dtype == "bf16" else torch.float32
torch.set_default_dtype(dtype)
with torch.device(a.device):
    if family == "vit":
        m = ViTForImageClassification(ViTConfig(**dims, num_labels=vocab))
        given = dict(pixel_values=torch.randn(batch, 3, 224, 224),
                     labels=torch.randint(0, vocab, (batch,)))
    elif family == "bert":
        m = BertForSequenceClassification(BertConfig(**dims, vocab_size=vocab, num_labels=2))
        given = dict(input_ids=torch.randint(0, vocab, (batch, length)),
                     labels=torch.randint(0, 2, (batch,)))
    else:
        m = (Qwen3ForCausalLM(Qwen3Config(**decoder)) if family == "qwen3"
             else LlamaForCausalLM(LlamaConfig(**decoder)))
        x = torch.randint(0, vocab, (batch, length))
        given = dict(input_ids=x, labels=x)
units = batch if family == "vit" else batch * length
torch.set_default_dtype(torch.float32)
if a.ckpt:
    m.gradient_checkpointing_enable(dict(use_reentrant=False))
# the first of each pair is what transformers 4 calls it
sites = {"qv": [("query", "q_proj"), ("value", "v_proj")],
         "all": [("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"),
                 ("attention.output.dense", "o_proj"), ("intermediate.dense", "fc1"),
                 ("output.dense", "fc2"), ("gate_proj",), ("up_proj",), ("down_proj",)]}[a.targets]
wanted = ["|".join(re.escape(n) for n in site) for site in sites]
wanted = r".*\blayers?\..*\.(?:%s)" % "|".join(wanted)
m = get_peft_model(m, LoraConfig(r=a.rank, lora_alpha=2 * a.rank, target_modules=wanted))
m.train()
trained = [p for p in m.parameters() if p.requires_grad]
opt = torch.optim.AdamW(trained, lr=1e-4, **(dict(fused=True) if a.device == "cuda" else {}))
f = torch.compile(m) if a.compile else m
cuda = a.device == "cuda"
spent = []
for i in range(a.steps):
    if cuda:
        torch.cuda.synchronize()
    t = time.perf_counter()
    loss = f(**given).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    last = float(loss)
    if cuda:
        torch.cuda.synchronize()
    spent.append(time.perf_counter() - t)
spent = sorted(spent[2:])
median = spent[len(spent) // 2]
print(json.dumps(dict(
    engine="torch%s+peft" % torch.__version__, shape=a.shape, dtype=a.dtype, compile=a.compile,
    ckpt=a.ckpt, targets=a.targets, device=torch.cuda.get_device_name() if cuda else "cpu",
    trainable=sum(p.numel() for p in trained), units=units,
    unit_per_s_med=round(units / median, 1),
    unit_per_s_best=round(units / spent[0], 1), step_ms=round(1e3 * median, 2),
    device_peak_mib=torch.cuda.max_memory_allocated() >> 20 if cuda else None,
    peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, loss=last)))
