#!/usr/bin/env python3
"""Tiny encoders as their users have them, with a LoRA of PEFT in which all biases train:

  video       VideoMAE as it was pretrained (no fc_norm, no classifier; a decoder beside it), its
              config.json in the words of transformers 4, another layer_norm_eps than fc_norm's
  modernbert  all-linear, which adapts the dense layer in front of the head too
  dinov2      gated, whose files hold gate and up in one tensor and whose modules are two

  python tools/oracle/make_encoder_vectors.py OUT

OUT/NAME: base (the model's folder), adapter (PEFT's), batch.safetensors, grads.safetensors
(gradients of what trains), expect.safetensors (logits, loss).
"""
import json, os, shutil, sys

import torch
import transformers
import peft
from safetensors.torch import save_file

out = sys.argv[1]
SIZES = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, num_labels=3)
EYES = dict(SIZES, image_size=4, patch_size=2, intermediate_size=12, layer_norm_eps=1e-3)


def video(folder):
    config = transformers.VideoMAEConfig(
        **EYES, num_frames=2, tubelet_size=2, qv_bias=False, decoder_num_attention_heads=1,
        decoder_hidden_size=4, decoder_num_hidden_layers=1, decoder_intermediate_size=4)
    moved(transformers.VideoMAEForPreTraining(config)).save_pretrained(folder)
    with open(f"{folder}/config.json") as f:
        words = json.load(f)
    words["qkv_bias"] = words.pop("qv_bias")
    with open(f"{folder}/config.json", "w") as f:
        json.dump(words, f, indent=1)
    return transformers.VideoMAEForVideoClassification, ["query", "value"], pictures(2)


def modernbert(folder):
    config = transformers.ModernBertConfig(
        **SIZES, vocab_size=20, intermediate_size=12, max_position_embeddings=32, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, local_attention=4,
        global_attn_every_n_layers=2, classifier_bias=True, norm_bias=True)
    moved(transformers.ModernBertForSequenceClassification(config)).save_pretrained(folder)
    mask = (torch.arange(9)[None] < torch.tensor([[9], [5]])).long()
    ids = torch.randint(3, 20, (2, 9)) * mask
    return (transformers.ModernBertForSequenceClassification, "all-linear",
            {"input_ids": ids, "attention_mask": mask})


def dinov2(folder):
    config = transformers.Dinov2Config(**EYES, mlp_ratio=2, use_swiglu_ffn=True)
    moved(transformers.Dinov2ForImageClassification(config)).save_pretrained(folder)
    return transformers.Dinov2ForImageClassification, ["q_proj", "gate_proj"], pictures(0)


def pictures(frames):
    shape = (2, frames, 3, 4, 4) if frames else (2, 3, 4, 4)
    return {"pixel_values": torch.randn(shape)}


def moved(model):
    for p in model.parameters():
        p.data = p.data + 0.3 * torch.randn_like(p)
    return model


for make in (video, modernbert, dinov2):
    torch.manual_seed(5)
    to = f"{out}/{make.__name__}"
    shutil.rmtree(to, ignore_errors=True)
    kind, targets, batch = make(f"{to}/base")
    batch["labels"] = torch.tensor([2, 0])
    model = kind.from_pretrained(f"{to}/base", attn_implementation="eager")
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=targets, bias="all", modules_to_save=["classifier"])).eval()
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data + 0.2 * torch.randn_like(p)
    model.save_pretrained(f"{to}/adapter")
    os.remove(f"{to}/adapter/README.md")
    result = model(**batch)
    result.loss.backward()
    save_file(batch, f"{to}/batch.safetensors")
    save_file({"logits": result.logits.detach(), "loss": result.loss.detach().reshape(1)},
              f"{to}/expect.safetensors")
    save_file({"grad." + key.replace(".modules_to_save", "").replace(".default", ""): p.grad
               for key, p in model.named_parameters() if p.grad is not None},
              f"{to}/grads.safetensors")
