"""Golden vectors of further methods: those of PEFT that make_vectors.py leaves out, and those that it does not have. Definitions of the latter are
written out in each case's `what`. Layout and optimiser as in make_vectors.py; the base is the one of the same name there, which must lie in OUT.

    python make_method_vectors.py --out tests/vectors/files [--only tiny_llama/aoft]
"""
import argparse
import math
import os
import sys
from collections import OrderedDict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import make_vectors as mv                                               # noqa: E402
import methods_torch as mt                                              # noqa: E402
import torch                                                            # noqa: E402
from torch import nn                                                    # noqa: E402
from peft import RandLoraConfig                                         # noqa: E402

QKVO = (("q_proj", "k_proj", "v_proj", "o_proj"), ("query", "key", "value", "dense"))


def param(*s, std=1.0):
    return nn.Parameter(torch.randn(*s) * std)


def attentions(model):
    """(layer, module that owns q, k and v, their names)"""
    out = []
    for n, m in model.named_modules():
        for t in QKVO:
            if isinstance(getattr(m, t[0], None), nn.Linear):
                out.append((m, t))
    return [(i, m, t) for i, (m, t) in enumerate(out)]


class Beside(nn.Module):
    """W x + b + delta(x)"""

    def __init__(self, base, delta):
        super().__init__()
        self.base, self.delta = base, [delta]

    def forward(self, x):
        return self.base(x) + self.delta[0](x)


def head_lora(model, seed, heads=(0, 3), r=2, alpha=4.0):
    """LoRA on q, k, v and o of the query heads 0 and 3 alone; on k and v of the heads that serve them."""
    torch.manual_seed(seed), mt.freeze(model)
    out, c = OrderedDict(), model.config
    H, G = c.num_attention_heads, getattr(c, "num_key_value_heads", c.num_attention_heads)
    for i, m, t in attentions(model):
        dh = getattr(m, t[0]).out_features // H
        for p, name in zip("qkvo", t):
            lin = getattr(m, name)
            of = sorted({h * G // H for h in heads}) if p in "kv" else sorted(heads)
            at = torch.tensor([h * dh + j for h in of for j in range(dh)])
            a = param(r, len(at) if p == "o" else lin.in_features, std=0.2)
            b = param(lin.out_features if p == "o" else len(at), r, std=0.2)
            out[f"layers.{i}.head_lora_a_{p}"], out[f"layers.{i}.head_lora_b_{p}"] = a, b

            def delta(x, a=a, b=b, at=at, p=p, n=lin.out_features):
                if p == "o":
                    return alpha / r * (x[..., at] @ a.T @ b.T)
                return torch.zeros(*x.shape[:-1], n, dtype=x.dtype).index_copy(-1, at, alpha / r * (x @ a.T @ b.T))
            setattr(m, name, Beside(lin, delta))
    return out


def aoft(model, seed, r=2, alpha=4.0):
    torch.manual_seed(seed), mt.freeze(model)
    out = OrderedDict()

    def first(q, r):                                                    # the first r rows of H(q)
        return (torch.eye(len(q), dtype=q.dtype) - 2 * torch.outer(q, q) / (q @ q))[:r]
    for i, m, t in attentions(model):
        for p, name in (("q", t[0]), ("v", t[2])):
            lin = getattr(m, name)
            u, v, l = param(lin.in_features), param(lin.out_features), param(r, std=0.3)
            for what, x in (("u", u), ("v", v), ("l", l)):
                out[f"layers.{i}.aoft_{what}_{p}"] = x
            setattr(m, name, Beside(lin, lambda x, u=u, v=v, l=l: alpha / r * (x @ first(u, r).T * l) @ first(v, r)))
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", required=True), ap.add_argument("--only", default="")
    a = ap.parse_args()
    s = mv.specs(HERE)["tiny_llama"]
    qv, every, _, _ = mv.names_for(s)

    def plain(name, what, config, f):
        if a.only in f"{s.name}/{name}":
            mv.plain_case(a.out, s, name, what, config, f)

    def pefts(name, what, cfg, **kw):
        if a.only in f"{s.name}/{name}":
            mv.peft_case(a.out, s, name, what, cfg, **kw)
    plain("head_lora", head_lora.__doc__, dict(heads="0+3", rank=2, alpha=4), head_lora)
    plain("aoft", "low-rank factors from one vector each on q and v: A = the first r rows of H(u), B' = the first r rows of H(v) times l, H(a) = I - 2 a a'/a'a", dict(rank=2, alpha=4), aoft)
    pefts("randlora", "RandLoRA on query and value", RandLoraConfig(r=4, randlora_alpha=8, target_modules=qv, task_type="CAUSAL_LM"), std=0.2)


if __name__ == "__main__":
    main()
