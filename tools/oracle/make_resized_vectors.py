#!/usr/bin/env python3
"""Golden adapter of a resized vocabulary: tokens added to tiny_llama, a LoRA on q and v, saved by
PEFT, which writes the whole embedding and head beside it.

  python tools/oracle/make_resized_vectors.py tests/vectors/files/tiny_llama/base OUT
  python tools/oracle/make_resized_vectors.py tests/vectors/files/tiny_qwen3/base OUT/tokens tokens

With `tokens` the new ones train as rows of their own (trainable_token_indices), which PEFT names in
another way; of a tied model they stand under the head's name too.

OUT/adapter: PEFT's folder. OUT/batch.safetensors, OUT/expect.safetensors: ids, new ones among them,
and the logits of the adapter loaded again onto a freshly resized base.
"""
import os, shutil, sys

import torch
import transformers
import peft
from safetensors.torch import save_file

base_dir, out = sys.argv[1:3]
tokens = {"trainable_token_indices": [97, 99, 103]} if sys.argv[3:] == ["tokens"] else {}
torch.manual_seed(11)


def resized():
    model = transformers.AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    model.resize_token_embeddings(100, pad_to_multiple_of=8)
    return model


shutil.rmtree(out, ignore_errors=True)
model = resized()
for table in (model.get_input_embeddings(), model.get_output_embeddings()):
    table.weight.data += 0.1 * torch.randn_like(table.weight)  # as training moves them
model = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=6, task_type="CAUSAL_LM",
                                                   target_modules=["q_proj", "v_proj"], **tokens))
for key, p in model.named_parameters():
    if "lora_" in key:
        p.data = 0.3 * torch.randn_like(p)
    if "trainable_tokens_delta" in key:
        p.data += 0.3 * torch.randn_like(p)
model.save_pretrained(f"{out}/adapter")
os.remove(f"{out}/adapter/README.md")
ids = torch.randint(0, 104, (2, 8))
ids[0, 2], ids[1, 5] = 97, 103
mask = torch.ones_like(ids)
save_file({"input_ids": ids, "labels": ids.clone(), "attention_mask": mask},
          f"{out}/batch.safetensors")
again = peft.PeftModel.from_pretrained(resized(), f"{out}/adapter").eval()
with torch.no_grad():
    save_file({"logits": again(ids, attention_mask=mask).logits}, f"{out}/expect.safetensors")
