#!/usr/bin/env python3
"""What hora writes, read by PEFT itself: trains each row for a few steps, opens the folder with
PeftModel.from_pretrained (a warning is an error) and prints the largest difference of logits.

  python tools/world/peft_out.py HORA MODEL DATA     (DATA: a text file; labels are made here)

Not part of the tests: it needs torch, transformers and peft (requirements.txt beside it).
"""
import json, os, subprocess, sys, tempfile, warnings

import torch
import transformers
import peft

transformers.logging.set_verbosity_error()
from safetensors.torch import load_file, save_file

CAUSAL = [
    ("lora, q and v", "lora"),
    ("lora, all linear, rank 3", "lora --targets all-linear --rank 3"),
    ("lora, layers 1 and 3, rslora", "lora --layers 1,3 --rslora"),
    ("lora, rank and alpha patterns", "lora --rank-pattern q_proj:2 --alpha-pattern v_proj:5"),
    ("lora with dora", "lora --use-dora --targets all-linear"),
    ("ia3", "ia3"),
    ("hora", "hora"),
    ("hora on q k v o, gelu", "hora --targets q+k+v+o --act gelu"),
    ("hora with dora", "hora --magnitude dora"),
    ("hora, nothing shared", "hora --no-share-qv --no-share-heads"),
    ("lora of heads 0 and 3", "head_lora --heads 0+3 --targets q+v+o"),
    ("lora of heads by layer", "head_lora --heads 1:2+3:0"),
    ("aoft", "aoft"),
    ("serial lora", "serial_lora"),
    ("replora", "replora"),
    ("vera", "vera --rank 16"),
    ("randlora", "randlora --rank 8 --targets q+v+down"),
    ("randlora, sparse", "randlora --rank 8 --sparse"),
    ("loha", "loha"),
    ("lokr", "lokr"),
    ("oft", "oft --block-size 8"),
    ("hra", "hra"),
    ("fourierft", "fourierft --frequencies 50"),
    ("ln_tuning", "ln_tuning"),
    ("prompt tuning", "prompt --virtual-tokens 5"),
    ("p-tuning", "ptuning --virtual-tokens 5"),
    ("prefix tuning", "prefix --virtual-tokens 5"),
]
TASKS = [
    ("classes, lora", "sequence-classification", "lora"),
    ("classes, hora", "sequence-classification", "hora"),
    ("regression, lora", "regression", "lora --targets all-linear"),
    ("tags, hora", "token-classification", "hora"),
]
HEADS = {
    "sequence-classification": transformers.AutoModelForSequenceClassification,
    "regression": transformers.AutoModelForSequenceClassification,
    "token-classification": transformers.AutoModelForTokenClassification,
}


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}")


def labelled(task, path):
    records = {
        "sequence-classification": lambda i: {"text": f"number {i}", "label": "abc"[i % 3]},
        "regression": lambda i: {"text": f"number {i}", "label": i / 7},
        "token-classification": lambda i: {"tokens": ["one", "two", str(i)], "tags": ["O", "B-X", "I-X"]},
    }
    with open(path, "w") as f:
        for i in range(30):
            f.write(json.dumps(records[task](i)) + "\n")
    return path


def compare(hora, model, out, batch, task):
    config = peft.PeftConfig.from_pretrained(out)
    kind, more = transformers.AutoModelForCausalLM, {}
    if task:
        kind = HEADS[task]
        more["num_labels"] = {"regression": 1, "token-classification": 3}.get(task, 3)
    base = kind.from_pretrained(model, dtype=torch.float32, attn_implementation="eager", **more)
    base.config.pad_token_id = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FutureWarning)  # between the two libraries themselves
        warnings.filterwarnings("ignore", "Unsupported layer type")  # PEFT's norm tuning, of its own norms
        theirs = peft.PeftModel.from_pretrained(base, out, config=config).eval()
    with torch.no_grad():
        want = theirs(**{k: v for k, v in batch.items()}).logits
        if not task:  # prompts have logits too
            want = want[:, -batch["input_ids"].shape[1]:]
        plain = kind.from_pretrained(model, dtype=torch.float32, attn_implementation="eager", **more)
        moved = (want - plain(**batch).logits).abs().max().item() if not task else float("nan")
    save_file(batch, f"{out}.batch")
    run(hora, "forward", "--model", model, "--adapter", out, "--batch", f"{out}.batch", "--out",
        f"{out}.logits", "--dtype", "f32", *(["--task", task] if task else []))
    ours = load_file(f"{out}.logits")["logits"].reshape(want.shape)
    return (ours - want).abs().max().item(), moved


def main():
    hora, model, data = (os.path.abspath(p) for p in sys.argv[1:4])
    print(f"PEFT {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    print(f"{'adapter':34} {'difference':>10} {'moved by':>9}")
    torch.manual_seed(0)
    worst = 0
    with tempfile.TemporaryDirectory() as tmp:
        for i, (name, *row) in enumerate([(n, None, m) for n, m in CAUSAL] + TASKS):
            task, method = row
            out = f"{tmp}/{i}"
            vocab = json.load(open(f"{model}/config.json"))["vocab_size"]
            batch = {"input_ids": torch.randint(3, vocab, (2, 24)),
                     "attention_mask": torch.ones(2, 24, dtype=torch.long)}
            words = method.split()
            run(hora, "train", "--model", model, "--data", labelled(task, f"{out}.jsonl") if task else data,
                "--out", out, "--method", words[0], *words[1:], "--steps", "4", "--seq-len", "32",
                "--batch-size", "4", "--lr", "0.02", "--dtype", "f32", *(["--task", task] if task else []))
            difference, moved = compare(hora, model, out, batch, task)
            worst = max(worst, difference)
            print(f"{name:34} {difference:10.1e} {moved:9.2g}", flush=True)
    return worst > 1e-3


sys.exit(main())
