#!/usr/bin/env python3
"""Golden combinations: two random LoRAs of tiny_llama (one with rsLoRA, another alpha and another set
of targets) put together by PEFT's add_weighted_adapter, every type that draws nothing.

  python tools/oracle/make_combine_vectors.py tests/vectors/files/tiny_llama/base OUT

OUT/a, OUT/b: the adapters in PEFT's folders; no two of their numbers are equal, because which of
equal numbers torch.topk keeps is open. OUT/expect.safetensors: per case "CASE/MODULE", the factors
lora_A and lora_B, and for svd types (whose factors have no sign of their own) the update s B A, of
the first block. OUT/cases.json: CASE -> type, weights, density, majority sign, svd_rank. svd_clamp is not
among them: its quantile is of numbers with the signs of singular vectors, which are open.
"""
import json, os, shutil, sys

import torch
import transformers
import peft
from safetensors.torch import save_file

base_dir, out = sys.argv[1:3]
torch.manual_seed(7)


def fresh():
    return transformers.AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)


def adapter(name, **config):
    model = peft.get_peft_model(fresh(), peft.LoraConfig(r=3, task_type="CAUSAL_LM", **config))
    for key, p in model.named_parameters():
        if "lora_" in key:
            p.data = 0.3 * torch.randn_like(p)
            if "lora_B" in key:
                p.data[0, :] = 0  # has no sign
    model.save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")


CASES = {
    "linear": dict(combination_type="linear", weights=[1.0, 0.5]),
    "linear_minus": dict(combination_type="linear", weights=[0.7, -0.4]),
    "cat": dict(combination_type="cat", weights=[0.7, -0.4]),
    "svd": dict(combination_type="svd", weights=[0.7, -0.4], svd_rank=6),
    "svd_cut": dict(combination_type="svd", weights=[1.0, 1.0], svd_rank=2),
    "ties": dict(combination_type="ties", weights=[1.0, 0.8], density=0.5),
    "ties_frequency": dict(combination_type="ties", weights=[1.0, 0.8], density=0.7,
                           majority_sign_method="frequency"),
    "ties_svd": dict(combination_type="ties_svd", weights=[1.0, -0.8], density=0.4),
    "magnitude_prune": dict(combination_type="magnitude_prune", weights=[0.3, 1.1], density=0.35),
    "magnitude_prune_svd": dict(combination_type="magnitude_prune_svd", weights=[0.3, 1.1],
                                density=0.35, svd_rank=4),
    "dare_whole": dict(combination_type="dare_linear", weights=[1.0, 0.5], density=1.0),
}

shutil.rmtree(out, ignore_errors=True)
adapter("a", lora_alpha=6, target_modules=["q_proj", "k_proj"])
adapter("b", lora_alpha=4, target_modules=["q_proj", "v_proj"], use_rslora=True)
model = peft.PeftModel.from_pretrained(fresh(), f"{out}/a", adapter_name="a")
model.load_adapter(f"{out}/b", adapter_name="b")
expect = {}
for name, case in CASES.items():
    model.add_weighted_adapter(["a", "b"], adapter_name=name, **case)
    for path, layer in model.named_modules():
        if not isinstance(layer, peft.tuners.lora.LoraLayer) or name not in layer.lora_A:
            continue
        module = path.removeprefix("base_model.model.")
        if "svd" in case["combination_type"]:
            if ".layers.0." not in module:
                continue
            expect[f"{name}/{module}.update"] = layer.get_delta_weight(name).clone()
        else:
            expect[f"{name}/{module}.lora_A"] = layer.lora_A[name].weight.data.clone()
            expect[f"{name}/{module}.lora_B"] = layer.lora_B[name].weight.data.clone()
save_file(expect, f"{out}/expect.safetensors")
json.dump({"peft": peft.__version__, "cases": CASES}, open(f"{out}/cases.json", "w"), indent=1)
