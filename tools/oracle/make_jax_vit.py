#!/usr/bin/env python3
"""Makes tests/vectors/files/jax_vit and the seeds of fuzz target npz: a tiny ViT of random weights as
transformers would save it, and the same as a JAX checkpoint of the paper's authors, in NumPy's ways
of writing. Written from vit_jax/models_vit.py; knows nothing of hora.
usage: tools/oracle/make_jax_vit.py (in the source tree; needs numpy and safetensors)"""
import json
import os

import numpy as np
from safetensors.numpy import save_file

D, H, F, L, P, GRID, C = 8, 2, 12, 2, 2, 2, 3
DH = D // H
r = np.random.default_rng(14)


def draw(*shape):
    return r.normal(0, 0.3, shape).astype(np.float32)


jax = {"cls": draw(1, 1, D), "embedding/kernel": draw(P, P, 3, D), "embedding/bias": draw(D),
       "Transformer/posembed_input/pos_embedding": draw(1, GRID * GRID + 1, D),
       "Transformer/encoder_norm/scale": 1 + draw(D), "Transformer/encoder_norm/bias": draw(D),
       "head/kernel": draw(D, C), "head/bias": draw(C)}
hf = {"vit.embeddings.cls_token": jax["cls"],
      "vit.embeddings.patch_embeddings.projection.weight":
          np.einsum("hwcd->dchw", jax["embedding/kernel"]),
      "vit.embeddings.patch_embeddings.projection.bias": jax["embedding/bias"],
      "vit.embeddings.position_embeddings": jax["Transformer/posembed_input/pos_embedding"],
      "vit.layernorm.weight": jax["Transformer/encoder_norm/scale"],
      "vit.layernorm.bias": jax["Transformer/encoder_norm/bias"],
      "classifier.weight": jax["head/kernel"].T, "classifier.bias": jax["head/bias"]}
for i in range(L):
    to, of = "vit.layers.%d." % i, "Transformer/encoderblock_%d/" % i
    for ours, theirs in (("layernorm_before", "LayerNorm_0"), ("layernorm_after", "LayerNorm_2")):
        jax[of + theirs + "/scale"] = hf[to + ours + ".weight"] = 1 + draw(D)
        jax[of + theirs + "/bias"] = hf[to + ours + ".bias"] = draw(D)
    at = of + "MultiHeadDotProductAttention_1/"
    for ours, theirs in (("q", "query"), ("k", "key"), ("v", "value")):
        w, b = draw(D, H, DH), draw(H, DH)  # y = einsum("nd,dhk->nhk", x, w) + b
        jax[at + theirs + "/kernel"], jax[at + theirs + "/bias"] = w, b
        hf[to + "attention.%s_proj.weight" % ours] = np.einsum("dhk->hkd", w).reshape(D, D)
        hf[to + "attention.%s_proj.bias" % ours] = b.reshape(D)
    w, b = draw(H, DH, D), draw(D)  # y = einsum("nhk,hkd->nd", x, w) + b
    jax[at + "out/kernel"], jax[at + "out/bias"] = w, b
    hf[to + "attention.o_proj.weight"] = np.einsum("hkd->dhk", w).reshape(D, D)
    hf[to + "attention.o_proj.bias"] = b
    for ours, theirs, n, m in (("fc1", "Dense_0", D, F), ("fc2", "Dense_1", F, D)):
        w, b = draw(n, m), draw(m)
        jax[of + "MlpBlock_3/%s/kernel" % theirs], jax[of + "MlpBlock_3/%s/bias" % theirs] = w, b
        hf[to + "mlp.%s.weight" % ours], hf[to + "mlp.%s.bias" % ours] = w.T, b

out = "tests/vectors/files/jax_vit"
os.makedirs(out, exist_ok=True)
save_file({k: np.ascontiguousarray(v) for k, v in hf.items()}, out + "/model.safetensors",
          {"format": "pt"})
json.dump(dict(model_type="vit", architectures=["ViTForImageClassification"], hidden_size=D,
               num_hidden_layers=L, num_attention_heads=H, intermediate_size=F, patch_size=P,
               image_size=GRID * P, num_channels=3, layer_norm_eps=1e-6, num_labels=C),
          open(out + "/config.json", "w"), indent=1)
np.savez(out + "/plain.npz", **jax)
np.savez_compressed(out + "/packed.npz", **jax)
np.savez_compressed(out + "/columns.npz", **{k: np.asfortranarray(v) for k, v in jax.items()})
state = {"opt/target/" + k: v for k, v in jax.items()}
np.savez_compressed(out + "/trained.npz", **state, **{"opt/state/step": np.array(7)})
deep = dict(jax, **{"pre_logits/kernel": draw(D, D), "pre_logits/bias": draw(D)})
np.savez_compressed(out + "/pre_logits.npz", **deep)
seeds = "tests/fuzz/seeds/npz"
os.makedirs(seeds, exist_ok=True)
few = {k: jax[k] for k in ("cls", "embedding/bias", "head/kernel")}
np.savez_compressed(seeds + "/vit.npz", **jax)
np.savez(seeds + "/few.npz", **few)
np.savez_compressed(seeds + "/few_packed.npz", **few, half=np.float16([[1, 2]]), none=np.zeros(0))
