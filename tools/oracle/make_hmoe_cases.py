#!/usr/bin/env python3
"""Cases of `hora theory hmoe` with what it should find in them: tests/vectors/files/hmoe.

Attention, HoRA's generator and every diagnostic of docs/theory.md, written with numpy's matrix
products, QR and SVD; nothing here follows hora's sources. Each case holds inputs under their names
and expected results under want.NAME, all f64.

    python3 tools/oracle/make_hmoe_cases.py tests/vectors/files/hmoe
"""
import json
import math
import struct
import sys

import numpy as np


def save(path, tensors, meta):
    header, blob = {"__metadata__": meta}, b""
    for name in sorted(tensors):
        t = np.ascontiguousarray(tensors[name])
        raw = t.tobytes()
        header[name] = {
            "dtype": {"float64": "F64", "int32": "I32"}[str(t.dtype)],
            "shape": list(t.shape),
            "data_offsets": [len(blob), len(blob) + len(raw)],
        }
        blob += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


ACTS = {
    "relu": lambda u: np.maximum(u, 0),
    "identity": lambda u: u,
    "tanh": np.tanh,
    "gelu": lambda u: 0.5 * u * (1 + np.vectorize(math.erf)(u / math.sqrt(2))),
}


def draw(rng, S, N, d, H, G, dh, r, kind, bias, lengths, m=0, e=0):
    def normal(*shape, std=1.0):
        return rng.normal(size=shape) * std

    c = {"x": normal(S, N, d)}
    c["wq"] = normal(H * dh, d, std=1.5 / math.sqrt(d))
    c["wk"] = normal(G * dh, d, std=1.5 / math.sqrt(d))
    c["wv"] = normal(G * dh, d, std=1 / math.sqrt(d))
    c["wo"] = normal(d, H * dh, std=1 / math.sqrt(H * dh))
    if bias:
        c["bias_q"], c["bias_k"] = normal(H * dh), normal(G * dh)
        c["bias_v"], c["bias_o"] = normal(G * dh), normal(d)
    if lengths:
        c["lengths"] = np.array(lengths, dtype=np.int32)
    if kind == "lora":
        c["lora_a_q"], c["lora_b_q"] = normal(r, d, std=0.5), normal(H * dh, r, std=0.5)
        c["lora_a_v"], c["lora_b_v"] = normal(r, d, std=0.5), normal(G * dh, r, std=0.5)
    else:
        c["input_a"], c["input_b"] = normal(e, r), normal(H, e, r)
        c["w1_a"], c["w1_b"] = normal(m, e, std=0.7), normal(m, e, std=0.7)
        c["w2_a_q"], c["w2_a_v"] = normal(d, m, std=0.4), normal(d, m, std=0.4)
        c["w2_b_q"], c["w2_b_v"] = normal(dh, m, std=0.4), normal(dh, m, std=0.4)
    return c


def factors(c, H, G, r, kind, act):
    if kind == "lora":
        return c["lora_a_q"], c["lora_b_q"], c["lora_a_v"], c["lora_b_v"]
    f = ACTS[act]
    za = f(c["w1_a"] @ c["input_a"])
    zb = f(np.einsum("me,her->hmr", c["w1_b"], c["input_b"]))
    bq = np.einsum("dm,hmr->hdr", c["w2_b_q"], zb).reshape(-1, r)
    bv = np.einsum("dm,hmr->hdr", c["w2_b_v"], zb[:: H // G]).reshape(-1, r)
    return (c["w2_a_q"] @ za).T, bq, (c["w2_a_v"] @ za).T, bv


def rotate(z, theta):  # z (S, heads, N, dh)
    if not theta:
        return z
    dh = z.shape[-1]
    freq = theta ** (-np.arange(0, dh, 2) / dh)
    angle = np.arange(z.shape[2])[:, None] * freq
    cos, sin = np.cos(np.tile(angle, 2)), np.sin(np.tile(angle, 2))
    half = np.concatenate([-z[..., dh // 2 :], z[..., : dh // 2]], axis=-1)
    return z * cos + half * sin


def attention(c, wq, wv, H, G, dh, causal, theta):
    S, N, d = c["x"].shape

    def heads(w, bias, n):
        y = c["x"] @ w.T + c.get(bias, 0)
        return y.reshape(S, N, n, dh).transpose(0, 2, 1, 3)

    q = rotate(heads(wq, "bias_q", H), theta)
    k = np.repeat(rotate(heads(c["wk"], "bias_k", G), theta), H // G, axis=1)
    v = np.repeat(heads(wv, "bias_v", G), H // G, axis=1)
    score = q @ k.transpose(0, 1, 3, 2) / math.sqrt(dh)
    keep = np.tril(np.ones((N, N), bool)) if causal else np.ones((N, N), bool)
    lengths = c.get("lengths", np.full(S, N))
    keep = keep[None] & (np.arange(N)[None, None, :] < lengths[:, None, None])
    score = np.where(keep[:, None], score, -np.inf)
    gate = np.exp(score - score.max(-1, keepdims=True))
    gate /= gate.sum(-1, keepdims=True)
    out = (gate @ v).transpose(0, 2, 1, 3)  # (S, N, H, dh)
    y = out.reshape(S, N, H * dh) @ c["wo"].T + c.get("bias_o", 0)
    return y, gate, out, keep, np.arange(N)[None] < lengths[:, None]


def entropy(p, axis=-1):
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=axis)


def diagnose(c, w, A, B, before, after, H, G, dh, r, s):
    want = {}
    _, g0, o0, keep, real = before
    _, g1, o1, _, _ = after
    choices = keep.sum(-1)
    many = real & (choices > 1)
    for when, g in (("before", g0), ("after", g1)):
        e = entropy(g).transpose(0, 2, 1)  # (S, N, H)
        want["gate_entropy_" + when] = e[real].mean(0)
        want["gate_entropy_ratio_" + when] = (e[many] / np.log(choices[many])[:, None]).mean(0)
        js = entropy(g.mean(1)) - e.mean(-1)
        want["gate_js_" + when] = np.array([js[real].mean()])
    kl = np.sum(g1 * np.log(np.where(g1 > 0, g1 / np.where(g0 > 0, g0, 1), 1)), -1)
    want["gate_kl"] = kl.transpose(0, 2, 1)[real].mean(0)
    wo = c["wo"].reshape(-1, H, dh)
    energy = (np.einsum("chk,snhk->snhc", wo, o1) ** 2).sum(-1)[real]
    share = energy / energy.sum(-1, keepdims=True)
    want["head_share"] = share.mean(0)
    want["effective_heads"] = np.array([np.exp(entropy(share)).mean()])
    moved, size = ((o1 - o0) ** 2)[real].sum((0, 2)), (o0**2)[real].sum((0, 2))
    want["head_change"] = np.sqrt(moved / size)
    rows = c["x"][real]
    for p in "qv":
        n = H if p == "q" else G
        D = [s * B[p].reshape(n, dh, r)[h] @ A[p] for h in range(n)]
        want["norm_" + p] = np.array([np.linalg.norm(x) for x in D])
        frozen = w[p].reshape(n, dh, -1)
        want["rel_" + p] = want["norm_" + p] / np.array([np.linalg.norm(x) for x in frozen])
        Q = [np.linalg.qr(B[p].reshape(n, dh, r)[h])[0] for h in range(n)]
        Z = [rows @ x.T for x in D]
        Z = [z - z.mean(0) for z in Z]
        flat = [x.ravel() / np.linalg.norm(x) for x in D]
        want["cos_" + p] = np.array([[a @ b for b in flat] for a in flat])
        want["overlap_" + p] = np.array([[np.sum((a.T @ b) ** 2) / r for b in Q] for a in Q])
        norm = np.linalg.norm
        want["cka_" + p] = np.array(
            [[norm(a.T @ b) ** 2 / (norm(a.T @ a) * norm(b.T @ b)) for b in Z] for a in Z]
        )
        sv = np.linalg.svd(np.concatenate(D), compute_uv=False)[:r]
        want["spectrum_" + p] = sv
        want["effective_rank_" + p] = np.array([np.exp(entropy(sv / sv.sum()))])
        want["stable_rank_" + p] = np.array([(sv**2).sum() / sv[0] ** 2])
    top = B["q"].reshape(H, dh, r)[:: H // G].transpose(1, 0, 2).reshape(dh, -1)
    low = B["v"].reshape(G, dh, r).transpose(1, 0, 2).reshape(dh, -1)
    sv = np.linalg.svd(np.concatenate([top, low]), compute_uv=False)
    want["coupling_spectrum"] = sv
    want["coupling_rank"] = np.array([float((sv > 1e-8 * sv[0]).sum())])
    return want


def make(path, seed, S, N, d, H, G, dh, r, kind, causal, theta, act="relu", **how):
    rng = np.random.default_rng(seed)
    alpha = 2.0 * r
    c = draw(rng, S, N, d, H, G, dh, r, kind, how["bias"], how["lengths"], how.get("m"), how.get("e"))
    aq, bq, av, bv = factors(c, H, G, r, kind, act)
    s = alpha / r
    before = attention(c, c["wq"], c["wv"], H, G, dh, causal, theta)
    after = attention(c, c["wq"] + s * bq @ aq, c["wv"] + s * bv @ av, H, G, dh, causal, theta)
    want = diagnose(c, {"q": c["wq"], "v": c["wv"]}, {"q": aq, "v": av}, {"q": bq, "v": bv},
                    before, after, H, G, dh, r, s)
    want.update(y=after[0], gate=after[1], head_out=after[2], y_before=before[0],
                gate_before=before[1], a_q=aq, b_q=bq, a_v=av, b_v=bv)
    tensors = dict(c)
    tensors.update({"want." + k: np.asarray(v, dtype=np.float64) for k, v in want.items()})
    meta = {"H": H, "G": G, "dh": dh, "r": r, "alpha": alpha, "causal": int(causal),
            "rope_theta": theta, "act": act, "kind": kind}
    save(path, tensors, {k: str(v) for k, v in meta.items()})


if __name__ == "__main__":
    out = sys.argv[1]
    make(out + "/lora_causal.safetensors", 1, 2, 6, 10, 4, 2, 4, 2, "lora", True, 10000.0,
         bias=True, lengths=[6, 4])
    make(out + "/hora_both_ways.safetensors", 2, 1, 5, 9, 3, 3, 4, 2, "hora", False, 0.0, act="tanh",
         bias=False, lengths=None, m=5, e=3)
    make(out + "/hora_multi_query.safetensors", 3, 2, 5, 8, 4, 1, 6, 2, "hora", True, 100.0,
         act="gelu", bias=True, lengths=[5, 1], m=4, e=2)
