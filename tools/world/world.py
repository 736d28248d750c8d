#!/usr/bin/env python3
"""hora against the real libraries, both directions, as a Markdown table of largest differences.

  python tools/world/world.py HORA SHARED [--write docs/interop.md] [--only WORD]

HORA: the tool. SHARED: holds models/stories260k and gguf/models/{llama,qwen2,qwen3}/hf. Rows:
  out    hora trains a few steps and saves; PEFT loads the folder and computes logits
  in     PEFT makes an adapter with random weights and saves; hora loads it
  names  a model folder saved by this transformers (its names in config.json), read by hora
  gguf   hora writes GGUF (LoRA or merged model), llama.cpp computes log-probabilities of all tokens
         (that is what its server tells; logits less a number a row) and greedy text; left out
         where xllamacpp is not there
The first two are logits in f32 against torch in f32. Not part of the tests: `make world` makes a
virtual environment and runs it. --write puts the table between the marks of that page.
"""
import argparse, datetime, importlib.metadata, json, os, shutil, subprocess, sys, tempfile, warnings

import torch
import transformers
import peft
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
warnings.simplefilter("ignore", FutureWarning)
torch.set_num_threads(2)

# name, options of hora train, PEFT's configuration (None: hora alone makes it)
METHODS = [
    ("lora, q and v", "lora", peft.LoraConfig(r=8)),
    ("lora, all linear", "lora --targets all-linear --rank 3", peft.LoraConfig(r=3, target_modules="all-linear")),
    ("lora, rsLoRA, layers 1 and 3", "lora --layers 1,3 --rslora",
     peft.LoraConfig(r=4, use_rslora=True, layers_to_transform=[1, 3])),
    ("lora, patterns", "lora --rank-pattern q_proj:2 --alpha-pattern v_proj:5",
     peft.LoraConfig(r=4, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 5})),
    ("lora, embedding and head", "lora --targets q+embed_tokens+lm_head",
     peft.LoraConfig(r=4, target_modules=["q_proj", "embed_tokens", "lm_head"])),
    ("dora", "lora --use-dora --targets all-linear", peft.LoraConfig(r=4, use_dora=True)),
    ("pissa, saved as lora of 2 r", "lora --init pissa", None),
    ("hora", "hora", None),
    ("hora, q k v o, gelu", "hora --targets q+k+v+o --act gelu", None),
    ("hora with dora", "hora --magnitude dora", None),
    ("serial lora", "serial_lora", None),
    ("replora", "replora", None),
    ("adalora", "adalora", peft.AdaLoraConfig(init_r=6, target_r=4, total_step=10)),
    ("ia3", "ia3", peft.IA3Config()),
    ("vera", "vera --rank 16", peft.VeraConfig(r=16)),
    ("loha", "loha", peft.LoHaConfig(r=4, target_modules=["q_proj", "down_proj"])),
    ("lokr", "lokr --rank 2", peft.LoKrConfig(r=2, target_modules=["q_proj", "v_proj"])),
    ("oft", "oft --block-size 8", peft.OFTConfig(oft_block_size=8, r=0, target_modules=["q_proj", "v_proj"])),
    ("boft", "boft --block-size 4", peft.BOFTConfig(boft_block_size=4, target_modules=["q_proj", "v_proj"])),
    ("hra", "hra", peft.HRAConfig(r=4, target_modules=["q_proj", "v_proj"])),
    ("fourierft", "fourierft --frequencies 50", peft.FourierFTConfig(n_frequency=50, target_modules=["q_proj", "v_proj"])),
    ("norm tuning", "ln_tuning", peft.LNTuningConfig()),
    ("prefix tuning", "prefix", peft.PrefixTuningConfig(num_virtual_tokens=5)),
]
GGUF = [
    ("lora, rank and alpha patterns", "lora --rank-pattern q_proj:2 --alpha-pattern v_proj:5 --targets all-linear", "gguf-lora"),
    ("lora, rsLoRA", "lora --rslora --targets q+k+v", "gguf-lora"),
    ("hora, q k v o", "hora --targets q+k+v+o", "gguf-lora"),
    ("dora, merged", "lora --use-dora --targets all-linear", "gguf"),
    ("hora, merged", "hora", "gguf"),
]


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words[:2]))}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def base(model):
    return transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")


def logits_of(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits


class World:
    def __init__(self, hora, shared, tmp):
        self.hora, self.shared, self.tmp = hora, shared, tmp
        self.model = f"{shared}/models/stories260k"
        self.data = f"{shared}/data/text/tinyshakespeare.txt"
        self.vocab = json.load(open(f"{self.model}/config.json"))["vocab_size"]
        torch.manual_seed(0)
        self.batch = {"input_ids": torch.randint(3, min(self.vocab, 300), (2, 24)), "attention_mask": torch.ones(2, 24, dtype=torch.long)}
        save_file(self.batch, f"{tmp}/batch")
        self.plain = logits_of(base(self.model), self.batch)

    def ours(self, *words):
        run(self.hora, "forward", "--batch", f"{self.tmp}/batch", "--out", f"{self.tmp}/logits", "--dtype", "f32", "--overwrite", *words)
        return load_file(f"{self.tmp}/logits")["logits"].reshape(2, 24, -1)

    def train(self, model, out, options):
        words = options.split()
        run(self.hora, "train", "--model", model, "--data", self.data, "--out", out, "--method", words[0], *words[1:], "--steps", 4,
            "--seq-len", 32, "--batch-size", 4, "--lr", 0.02, "--dtype", "f32", "--quiet", "--overwrite")

    def out(self, options):
        folder = f"{self.tmp}/out"
        self.train(self.model, folder, options)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            theirs = peft.PeftModel.from_pretrained(base(self.model), folder)
        want = logits_of(theirs, self.batch)
        got = self.ours("--model", self.model, "--adapter", folder)
        words = [str(w.message) for w in said if "missing" in str(w.message) or "unexpected" in str(w.message).lower()]
        if words:
            raise RuntimeError(words[0].splitlines()[0])
        return (got - want).abs().max().item(), (want - self.plain).abs().max().item()

    def into(self, config):
        folder = f"{self.tmp}/in"
        config.task_type = "CAUSAL_LM"
        model = peft.get_peft_model(base(self.model), config)
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.data = p.data + 0.05 * torch.randn_like(p)
        want = logits_of(model, self.batch)
        model.save_pretrained(folder)
        got = self.ours("--model", self.model, "--adapter", folder)
        return (got - want).abs().max().item(), (want - self.plain).abs().max().item()

    def names(self, model):
        """The folder as this transformers writes it."""
        folder = f"{self.tmp}/names"
        base(model).save_pretrained(folder)
        return (self.ours("--model", folder) - self.ours("--model", model)).abs().max().item()

    def without_zeros(self, arch):
        """The golden model with numbers in its rows of zeros, which DoRA divides by."""
        source, folder = f"{self.shared}/gguf/models/{arch}/hf", f"{self.tmp}/{arch}"
        if not os.path.exists(folder):
            shutil.copytree(source, folder)
            weights = load_file(f"{source}/model.safetensors")
            for w in weights.values():
                zero = w.flatten(1).abs().sum(1) == 0 if w.ndim == 2 else torch.zeros(0)
                if zero.any():
                    w[zero] = 0.02 * torch.randn(int(zero.sum()), w.shape[1]).to(w.dtype)
            save_file(weights, f"{folder}/model.safetensors", metadata={"format": "pt"})
        return folder

    def gguf(self, arch, options, to):
        model, folder, file = self.without_zeros(arch), f"{self.tmp}/adapter", f"{self.tmp}/{to}.gguf"
        whole = f"{self.tmp}/base.gguf"
        lora = to == "gguf-lora"
        self.train(model, folder, options)
        if lora:
            run(self.hora, "export", "--model", model, "--to", "gguf", "--dtype", "f32", "--out", whole, "--overwrite")
        run(self.hora, "export", "--model", model, "--adapter", folder, "--to", to, "--out", file, "--overwrite",
            *(["--dtype", "f32"] if not lora else []))
        vocab = json.load(open(f"{model}/config.json"))["vocab_size"]
        ids = [i % vocab for i in self.batch["input_ids"][0].tolist()]
        letter = json.loads(run(self.hora, "tokenize", "--model", model, "--text", "na", "--json"))[-1]
        prompt = ",".join(map(str, json.loads(run(self.hora, "tokenize", "--model", model, "--text", "the king", "--json"))))
        theirs = json.loads(run(sys.executable, os.path.join(os.path.dirname(__file__), "llama.py"), whole if lora else file,
                                file if lora else "-", ",".join(map(str, ids)), str(letter), prompt, 24))
        batch = {"input_ids": torch.tensor([ids, ids]), "attention_mask": torch.ones(2, len(ids), dtype=torch.long)}
        save_file(batch, f"{self.tmp}/batch")
        got = self.ours("--model", model, "--adapter", folder)[0].log_softmax(-1)
        save_file(self.batch, f"{self.tmp}/batch")
        mine = json.loads(run(self.hora, "generate", "--model", model, "--adapter", folder, "--prompt", "the king", "--max-new-tokens", 24,
                              "--temperature", 0, "--dtype", "f32", "--json"))
        same = theirs["ids"][:len(mine["ids"])] == mine["ids"]  # ours may have ended
        if not same:
            print(f"  hora:      {mine['ids']}\n  llama.cpp: {theirs['ids']}", file=sys.stderr)
        return (got - torch.tensor(theirs["logprobs"])).abs().max().item(), same


def rows(w, only):
    def one(name, direction, call):
        if only and only not in f"{name} {direction}":
            return None
        try:
            result = call()
        except Exception as e:  # a row that fails is a row
            print(f"{direction:6} {name}: {e}", file=sys.stderr, flush=True)
            return f"| {name} | {direction} | fails: {str(e).splitlines()[0][:90]} | |"
        off, also = result if isinstance(result, tuple) else (result, None)
        also = {True: "same text", False: "ANOTHER TEXT", None: ""}.get(also, f"{also:.2g}" if isinstance(also, float) else "")
        print(f"{direction:6} {name:34} {off:.1e} {also}", flush=True)
        return f"| {name} | {direction} | {off:.1e} | {also} |"

    for name, options, config in METHODS:
        yield one(name, "out", lambda: w.out(options))
        if config is not None:
            yield one(name, "in", lambda: w.into(config))
    for arch in ("llama", "qwen2", "qwen3"):
        yield one(f"{arch}, config.json", "names", lambda: w.names(f"{w.shared}/gguf/models/{arch}/hf"))
    try:
        import xllamacpp  # noqa: F401
    except ImportError:
        print("xllamacpp is not there: no rows of gguf", file=sys.stderr)
        return
    for arch in ("llama", "qwen2", "qwen3"):
        for name, options, to in GGUF:
            yield one(f"{arch}: {name}", to, lambda: w.gguf(arch, options, to))


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("hora"), ask.add_argument("shared"), ask.add_argument("--write"), ask.add_argument("--only")
    a = ask.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        table = [r for r in rows(World(os.path.abspath(a.hora), os.path.abspath(a.shared), tmp), a.only) if r]
    versions = []
    for p in ("torch", "transformers", "peft", "safetensors", "xllamacpp"):
        try:
            versions.append(f"{p} {importlib.metadata.version(p)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{p}: not there")
    text = f"{', '.join(versions[:-1])},\n{versions[-1]}; {datetime.date.today()}.\n\n| | direction | largest difference of logits | what the adapter moves, or the text |\n|---|---|---|---|\n"
    text += "\n".join(table) + "\n"
    if a.write:
        page = open(a.write).read()
        begin, end = "<!-- world -->\n", "<!-- end of world -->"
        head, rest = page.split(begin)
        open(a.write, "w").write(head + begin + text + end + rest.split(end)[1])
    else:
        print(text)
    return any("fails" in r or "ANOTHER" in r for r in table)


if __name__ == "__main__":
    sys.exit(main())
