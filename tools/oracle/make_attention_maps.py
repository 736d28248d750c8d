"""What the heads of tiny_vit look at, by transformers (output_attentions, eager), for the first picture of its batch.

    python make_attention_maps.py --models DIR [--out ../../tests/vectors/files/attention_maps.safetensors]
"""
import argparse
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import load_file, save_file
from transformers import ViTForImageClassification

p = argparse.ArgumentParser()
p.add_argument("--models", required=True)
p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "vectors", "files",
                                             "attention_maps.safetensors"))
o = p.parse_args()
torch.set_num_threads(1)
base = os.path.join(o.models, "tiny_vit", "base")
model = ViTForImageClassification.from_pretrained(base, attn_implementation="eager").eval()
pixels = load_file(os.path.join(base, "batch.safetensors"))["pixel_values"][:1]
with torch.no_grad():
    maps = model(pixel_values=pixels, output_attentions=True).attentions
save_file({"attentions": torch.stack([m[0] for m in maps]).contiguous()}, o.out)
print(torch.stack([m[0] for m in maps]).shape)
