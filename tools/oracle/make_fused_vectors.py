#!/usr/bin/env python3
"""Golden adapters of other types than LoRA on modules that hold several sites: ModernBERT's Wqkv
(q, k, v) and Wi (up, gate), each adapted as one module by PEFT, with random parameters.

  python tools/oracle/make_fused_vectors.py SHARED/vectors/tiny_modernbert/base OUT

OUT/NAME: PEFT's folder, with grads.safetensors, the gradients of what trains. OUT/expect.safetensors:
`NAME` and `NAME.loss`, logits and loss of the base's batch.
"""
import os, shutil, sys

import torch
import transformers
import peft
from safetensors.torch import load_file, save_file

base_dir, out = sys.argv[1:3]
both = ["Wqkv", "Wi"]
cases = {
    "ia3": peft.IA3Config(target_modules=["Wqkv", "mlp.Wo"], feedforward_modules=["mlp.Wo"]),
    "ia3_input": peft.IA3Config(target_modules=both, feedforward_modules=["Wi"]),
    "loha": peft.LoHaConfig(r=2, alpha=3, target_modules=both),
    "lokr": peft.LoKrConfig(r=2, alpha=3, target_modules=["Wqkv"]),
    "lokr_both": peft.LoKrConfig(r=2, alpha=3, target_modules=both, decompose_both=True,
                                 decompose_factor=8),
    "vera": peft.VeraConfig(r=4, target_modules=both, projection_prng_key=3),
    "hra": peft.HRAConfig(r=4, target_modules=["Wqkv"]),
    "oft": peft.OFTConfig(oft_block_size=8, target_modules=["Wqkv"]),
    "boft": peft.BOFTConfig(boft_block_size=8, target_modules=["Wqkv"]),
}
batch = load_file(f"{base_dir}/batch.safetensors")
expect = {}
for name, config in cases.items():
    torch.manual_seed(len(name))
    config.task_type = "SEQ_CLS"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        base_dir, dtype=torch.float32, attn_implementation="eager")
    model = peft.get_peft_model(model, config).eval()
    for key, p in model.named_parameters():
        if p.requires_grad:
            p.data = p.data + 0.2 * torch.randn_like(p)
    shutil.rmtree(f"{out}/{name}", ignore_errors=True)
    model.save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")
    result = model(**batch)
    result.loss.backward()
    expect[name], expect[f"{name}.loss"] = result.logits.detach(), result.loss.detach().reshape(1)
    grads = {"grad." + key.replace(".modules_to_save", "").replace(".default", ""): p.grad
             for key, p in model.named_parameters() if p.requires_grad}
    save_file(grads, f"{out}/{name}/grads.safetensors")
save_file(expect, f"{out}/expect.safetensors")
