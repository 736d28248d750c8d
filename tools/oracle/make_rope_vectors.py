#!/usr/bin/env python3
"""Rotary frequencies as transformers computes them from config.json, in every scaling.

Writes tests/vectors/files/rope/cases.json: {"cases": [{"name", "config", "freq", "scale",
"positions"}]}. `config` is a whole config.json of a tiny llama, `freq` the frequencies in f32,
`scale` the factor of cos and sin, both for a sequence of `positions` tokens: the longest for which
they stay as they are. Needs what requirements.txt names.
"""
import json
import os

import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "vectors", "files", "rope")
HEAD = 16
BASE = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 40, "max_position_embeddings": 128,
        "rope_theta": 10000.0}
SHORT = [1 + 0.25 * i for i in range(HEAD // 2)]
LONG = [2 + 1.5 * i for i in range(HEAD // 2)]


def long(**more):
    return {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, **more}


# name, rope_scaling, keys of config.json beside it, the old length if longer texts differ
CASES = [
    ("default", None, {}, None),
    ("linear", {"type": "linear", "factor": 2.5}, {}, None),
    ("dynamic", {"rope_type": "dynamic", "factor": 2.0}, {}, None),
    ("llama3", {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32}, {}, None),
    ("llama3 without original length",
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}, {},
     None),
    ("llama3, original length beside it",
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64}, {"original_max_position_embeddings": 32}, None),
    ("yarn", {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, {},
     None),
    ("yarn without original length", {"rope_type": "yarn", "factor": 4.0}, {}, None),
    ("yarn, original length beside it", {"rope_type": "yarn", "factor": 4.0},
     {"original_max_position_embeddings": 32}, None),
    ("yarn, every key", {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0, "beta_slow": 2.0,
                         "mscale": 0.7, "mscale_all_dim": 0.4, "truncate": False,
                         "original_max_position_embeddings": 32}, {}, None),
    ("yarn, attention_factor", {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.25,
                                "original_max_position_embeddings": 32}, {}, None),
    ("longrope", long(original_max_position_embeddings=32), {}, 32),
    ("longrope, original length beside it", long(), {"original_max_position_embeddings": 32}, 32),
    ("longrope, two original lengths", long(original_max_position_embeddings=64),
     {"original_max_position_embeddings": 32}, 32),
    ("longrope, factor", long(factor=2.0), {"original_max_position_embeddings": 32}, 32),
    ("longrope, attention_factor", long(attention_factor=1.5),
     {"original_max_position_embeddings": 32}, 32),
    ("longrope without original length", long(), {}, None),
    ("longrope, null factor", long(factor=None, attention_factor=None),
     {"original_max_position_embeddings": 32}, 32),
    ("default, original length beside it", None, {"original_max_position_embeddings": 32}, None),
]


def frequencies(rope, tokens):
    rope(torch.zeros(1, 1, HEAD), torch.arange(tokens)[None])
    return rope.inv_freq.clone(), float(rope.attention_scaling)


def main():
    os.makedirs(OUT, exist_ok=True)
    rows = []
    for name, scaling, beside, old in CASES:
        config = {**BASE, **beside, **({"rope_scaling": scaling} if scaling else {})}
        text = json.dumps(config)
        rope = LlamaRotaryEmbedding(LlamaConfig.from_dict(json.loads(text)))
        positions = old or BASE["max_position_embeddings"]
        freq, scale = frequencies(rope, positions)
        longer, _ = frequencies(rope, positions + 1)
        shortest, _ = frequencies(rope, 1)
        if not torch.equal(freq, shortest):
            raise SystemExit(f"{name}: short texts have other frequencies")
        differs = not torch.equal(freq, longer)
        if differs != (old is not None or name == "dynamic" or name.startswith("longrope")):
            raise SystemExit(f"{name}: the length from which frequencies differ is another")
        rows.append({"name": name, "config": config, "freq": freq.double().tolist(),
                     "scale": scale, "positions": positions})
    with open(os.path.join(OUT, "cases.json"), "w", encoding="utf-8") as f:
        f.write('{"cases": [\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")


if __name__ == "__main__":
    main()
