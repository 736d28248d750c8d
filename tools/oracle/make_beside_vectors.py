"""Golden vectors of methods_beside.py, small enough to ship with the project: tests/vectors/files/MODEL/CASE.

    python make_beside_vectors.py [--only tiny_vit/losa]      models and batches are those of make_vectors.py

tiny_videomae, its batch and the base case are those of ../shared/vectors.
"""
import argparse
import os
import shutil

from safetensors.torch import load_file
from transformers import VideoMAEForVideoClassification

import make_vectors as mv
import methods_beside as mb

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=os.path.normpath(HERE + "/../../tests/vectors/files")), ap.add_argument("--only", default="")
    ap.add_argument("--shared", default=os.path.normpath(HERE + "/../../../shared"))
    a = ap.parse_args()
    specs = mv.specs(a.shared)

    def T(spec, name, what, config, attach, **kw):
        if a.only in f"{spec.name}/{name}":
            mv.plain_case(a.out, spec, name, what, config, attach, **kw)

    for name in ("tiny_llama", "tiny_vit"):
        s, causal = specs[name], name == "tiny_llama"
        places = 0 if causal else (s.config.image_size // s.config.patch_size) ** 2 + 1
        if not os.path.isdir(f"{a.out}/{name}/base"):
            mv.base_case(a.out, s)
        T(s, "losa", "low-rank side adaptation" + ("" if causal else ", tokens mixed too"), dict(rank=3, token_rank=0 if causal else 8, act="gelu"),
          lambda m, q: mb.attach_losa(m, 3, 0 if causal else 8, places, seed=q), std=0.1)
        T(s, "alternate", "attention over a window of 3 in block 1, the projections of attention train", dict(every=2, window=3),
          lambda m, q: mb.attach_alternate(m, 2, 3, causal=causal, names=mv.hub_name))
        T(s, "isomorphic", "a graph isomorphism network over attention's map", dict(width=3, act="relu", start=0.5),
          lambda m, q: mb.attach_isomorphic(m, 3, seed=q), std=0.1)
        T(s, "dyt", "dynamic tuning: an adapter for all tokens, the feed-forward for those that a gate without noise picks", dict(bottleneck=3, scale=0.1, tau=5, noise="off"),
          lambda m, q: mb.attach_dyt(m, 3, lead=0 if causal else 1, seed=q), std=0.1)
        T(s, "para", "vectors made of the prompt stretch q, v and the inner layer", dict(bottleneck=3, act="gelu"),
          lambda m, q: mb.attach_para(m, 3, causal=causal, seed=q), std=0.1)
    base = a.shared + "/vectors/tiny_videomae/base"
    clips = mv.Spec("tiny_videomae", "image", VideoMAEForVideoClassification, None, 65, lambda g: load_file(base + "/batch.safetensors"), path=base)
    if a.only in "tiny_videomae/st_adapter_space":
        shutil.copytree(base, f"{a.out}/tiny_videomae/base", dirs_exist_ok=True)
    T(clips, "st_adapter", "ST-Adapter before attention and feed-forward, over time", dict(k=5, kernel=[3, 1, 1], act="identity", s=1), lambda m, q: mb.attach_st_adapter(m, 5, seed=q), std=0.1)
    T(clips, "st_adapter_space", "ST-Adapter before the feed-forward, over time and space, with an act", dict(k=4, kernel=[3, 3, 3], act="gelu", s=0.5),
      lambda m, q: mb.attach_st_adapter(m, 4, (3, 3, 3), ("mlp",), 0.5, "gelu", seed=q), std=0.1)


if __name__ == "__main__":
    main()
