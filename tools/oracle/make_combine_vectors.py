#!/usr/bin/env python3
"""Golden combinations: two random LoRAs of tiny_llama (one with rsLoRA, another alpha and another set
of targets) put together by PEFT's add_weighted_adapter, every type that draws nothing.

  python tools/oracle/make_combine_vectors.py tests/vectors/files/tiny_llama/base OUT

OUT/a, OUT/b: the adapters in PEFT's folders; no two of their numbers are equal, because which of
equal numbers torch.topk keeps is open. OUT/expect.safetensors: per case "CASE/MODULE", the factors
lora_A and lora_B, and for svd types (whose factors have no sign of their own) the update s B A, of
the first block. OUT/cases.json: CASE -> type, weights, density, majority sign, svd_rank. svd_clamp is not
among them: its quantile is of numbers with the signs of singular vectors, which are open.

OUT/ia3_a, OUT/ia3_b, OUT/ia3_re: (IA)3 adapters of other targets, one named by expressions; their
sums are in OUT/ia3.safetensors, "CASE/MODULE", and the options of each in OUT/ia3.json.
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


def stretch(name, **config):
    model = peft.get_peft_model(fresh(), peft.IA3Config(task_type="CAUSAL_LM", **config))
    for key, p in model.named_parameters():
        if "ia3_l" in key:
            p.data = 1 + 0.3 * torch.randn_like(p)
    model.save_pretrained(f"{out}/{name}")
    os.remove(f"{out}/{name}/README.md")


IA3 = {
    "half": dict(of=["ia3_a", "ia3_b"], weights=[0.5, 0.5]),
    "minus": dict(of=["ia3_a", "ia3_b"], weights=[1.4, -0.4]),
    "one": dict(of=["ia3_b"], weights=[0.25]),
    "expressions": dict(of=["ia3_re", "ia3_re2"], weights=[0.3, 0.9]),
}
torch.manual_seed(8)
stretch("ia3_a", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])
stretch("ia3_b", target_modules=["v_proj", "q_proj", "up_proj", "down_proj"],
        feedforward_modules=["down_proj", "up_proj"])
stretch("ia3_re", target_modules=r".*\.0\..*\.(k_proj|down_proj)", feedforward_modules=r".*down_proj")
stretch("ia3_re2", target_modules=r".*\.1\..*\.(k_proj|down_proj)", feedforward_modules=r".*down_proj")
sums = {}
for name, case in IA3.items():
    model = peft.PeftModel.from_pretrained(fresh(), f"{out}/{case['of'][0]}",
                                           adapter_name=case["of"][0])
    for other in case["of"][1:]:
        model.load_adapter(f"{out}/{other}", adapter_name=other)
    model.add_weighted_adapter(case["of"], case["weights"], "sum")
    for path, layer in model.named_modules():
        if isinstance(layer, peft.tuners.ia3.IA3Layer) and "sum" in layer.ia3_l:
            module = path.removeprefix("base_model.model.")
            sums[f"{name}/{module}"] = layer.ia3_l["sum"].data.clone()
save_file(sums, f"{out}/ia3.safetensors")
json.dump({"peft": peft.__version__, "cases": IA3}, open(f"{out}/ia3.json", "w"), indent=1)
