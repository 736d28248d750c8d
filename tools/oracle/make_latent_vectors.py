#!/usr/bin/env python3
"""Logits of tiny models whose decoder caches latents (MHA2MLA, arXiv 2502.14837), from PyTorch.

Written without the rearranged weights and the absorbed products of the project: keys and values of
every token are formed, W_k's rows of the pairs that are not rotary and all of W_v are replaced by
their best approximation of that rank, and the biases stay where they were. The forward pass is
checked against transformers' on the unchanged model.

Writes tests/vectors/files/latent: cases.json (base, options, pairs that stay rotary, share of keys
and values that is left over in each layer) and expect.safetensors (ids, logits of each case, mean
norms of the pairs of q and k). Needs what requirements.txt names.
"""
import json
import math
import os

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = os.path.join(HERE, "..", "..", "tests", "vectors", "files")
# base, strategy, rotary pairs, width of the latent
CASES = [
    ("tiny_llama", "uniform", 2, 24),
    ("tiny_llama", "weights", 3, 20),
    ("tiny_llama", "text", 1, 40),
    ("tiny_llama", "high", 8, 32),
    ("tiny_qwen2", "low", 2, 24),
    ("tiny_qwen2", "text", 3, 30),
    ("tiny_qwen2", "high", 8, 32),
]
TOKENS = 24


class Model:
    def __init__(self, name):
        self.dir = os.path.join(FILES, name, "base")
        with open(os.path.join(self.dir, "config.json"), encoding="utf-8") as f:
            self.c = json.load(f)
        self.w = {k: v.double() for k, v in
                  load_file(os.path.join(self.dir, "model.safetensors")).items()}
        self.heads = self.c["num_attention_heads"]
        self.kv = self.c["num_key_value_heads"]
        self.layers = self.c["num_hidden_layers"]
        self.dh = self.c.get("head_dim") or self.c["hidden_size"] // self.heads
        self.half = self.dh // 2
        self.freq = self.c["rope_theta"] ** -(torch.arange(self.half).double() / self.half)

    def norm(self, x, name):
        return x / (x.pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"]).sqrt() * self.w[name]

    def linear(self, x, module):
        y = x @ self.w[module + ".weight"].T
        return y + self.w[module + ".bias"] if module + ".bias" in self.w else y

    def turn(self, x, layer, pairs, serves):
        """x (T, heads, dh); pairs[layer][g]: those that are turned (None: all)."""
        t = torch.arange(x.shape[0]).double()[:, None] * self.freq  # (T, half)
        y = x.clone()
        for h in range(x.shape[1]):
            for p in range(self.half) if pairs is None else pairs[layer][h // serves]:
                a, b = x[:, h, p], x[:, h, p + self.half]
                co, si = t[:, p].cos(), t[:, p].sin()
                y[:, h, p], y[:, h, p + self.half] = a * co - b * si, b * co + a * si
        return y

    def run(self, ids, pairs=None, seen=None):
        x = self.w["model.embed_tokens.weight"][ids]
        n, serves = len(ids), self.heads // self.kv
        mask = torch.full((n, n), -math.inf).double().triu(1)
        for i in range(self.layers):
            m = f"model.layers.{i}."
            a = self.norm(x, m + "input_layernorm.weight")
            q = self.linear(a, m + "self_attn.q_proj").view(n, self.heads, self.dh)
            k = self.linear(a, m + "self_attn.k_proj").view(n, self.kv, self.dh)
            v = self.linear(a, m + "self_attn.v_proj").view(n, self.kv, self.dh)
            if seen is not None:
                seen.append(tuple((u[..., :self.half].pow(2) + u[..., self.half:].pow(2)).sqrt()
                                  .mean(0) for u in (q, k)))
            q = self.turn(q, i, pairs, serves)
            k = self.turn(k, i, pairs, 1)
            k, v = (u.repeat_interleave(serves, 1) for u in (k, v))
            s = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(self.dh) + mask
            y = torch.einsum("hij,jhd->ihd", s.softmax(-1), v).reshape(n, -1)
            x = x + self.linear(y, m + "self_attn.o_proj")
            a = self.norm(x, m + "post_attention_layernorm.weight")
            gate = torch.nn.functional.silu(self.linear(a, m + "mlp.gate_proj"))
            x = x + self.linear(gate * self.linear(a, m + "mlp.up_proj"), m + "mlp.down_proj")
        return self.norm(x, "model.norm.weight") @ self.w["lm_head.weight"].T

    def contributions(self, seen):
        """(layers, kv, half): mean over the query heads of |q|, times |k|."""
        out = []
        for i in range(self.layers):
            if seen is not None:
                q, k = seen[i]
            else:
                m = f"model.layers.{i}."
                g = self.w[m + "input_layernorm.weight"]
                q, k = (((self.w[m + f"self_attn.{x}_proj.weight"] * g).pow(2).sum(1))
                        .view(-1, 2, self.half).sum(1).sqrt() for x in "qk")
            out.append(q.view(self.kv, -1, self.half).mean(1) * k)
        return torch.stack(out)

    def choose(self, how, p, seen):
        if how in ("weights", "text"):
            order = self.contributions(seen if how == "text" else None).argsort(-1, descending=True)
            return [[sorted(head[:p].tolist()) for head in layer] for layer in order]
        row = {"high": list(range(p)), "low": list(range(self.half - p, self.half)),
               "uniform": [i * self.half // p for i in range(p)]}[how]
        return [[row] * self.kv] * self.layers

    def compress(self, pairs, rank):
        left = []
        for i in range(self.layers):
            m = f"model.layers.{i}.self_attn."
            k, v = self.w[m + "k_proj.weight"], self.w[m + "v_proj.weight"]
            rows = [g * self.dh + l for g in range(self.kv) for l in range(self.dh)
                    if l % self.half not in pairs[i][g]]
            both = torch.cat([k[rows], v])
            u, s, vt = torch.linalg.svd(both, full_matrices=False)
            cut = (u[:, :rank] * s[:rank]) @ vt[:rank]
            k = k.clone()
            k[rows] = cut[:len(rows)]
            self.w[m + "k_proj.weight"], self.w[m + "v_proj.weight"] = k, cut[len(rows):]
            left.append(((both - cut).norm() / both.norm()).item())
        return left


def main():
    out = os.path.join(FILES, "latent")
    os.makedirs(out, exist_ok=True)
    rows, tensors = [], {}
    ids = [(7 * i * i + 3 * i + 5) % 97 for i in range(TOKENS)]
    tensors["ids"] = torch.tensor(ids, dtype=torch.int32)
    for base, how, p, rank in CASES:
        m, seen = Model(base), []
        plain = m.run(ids, None, seen)
        if f"{base}.q_norms" not in tensors:
            real = AutoModelForCausalLM.from_pretrained(m.dir, dtype=torch.float64)
            far = (real(torch.tensor([ids])).logits[0] - plain).abs().max().item()
            if far > 1e-5:  # its frequencies are f32
                raise SystemExit(f"{base}: transformers computes other logits, {far}")
            tensors[f"{base}.q_norms"] = torch.stack([s[0] for s in seen]).float()
            tensors[f"{base}.k_norms"] = torch.stack([s[1] for s in seen]).float()
        pairs = m.choose(how, p, seen)
        left = m.compress(pairs, rank)
        name = f"{base}/{how}-{p}-{rank}"
        tensors[name] = m.run(ids, pairs).float().contiguous()
        rows.append({"name": name, "base": base, "rotary_by": how, "rotary_pairs": p,
                     "rank": rank, "pairs": pairs, "left": left,
                     "moved": (m.run(ids, pairs) - plain).abs().max().item()})
        print(name, left, rows[-1]["moved"])
    with open(os.path.join(out, "cases.json"), "w", encoding="utf-8") as f:
        f.write('{"cases": [\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")
    save_file(tensors, os.path.join(out, "expect.safetensors"))


if __name__ == "__main__":
    main()
