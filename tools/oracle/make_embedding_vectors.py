"""Golden vectors of training on texts that belong together: MultipleNegativesRankingLoss and CosineSimilarityLoss.

    python make_embedding_vectors.py --models DIR [--out ../../tests/vectors/files/embedding]

DIR holds tiny_bert, tiny_modernbert and tiny_llama with their base/ (random weights of make_vectors.py). The definitions are those of
sentence-transformers 5 (losses/MultipleNegativesRankingLoss.py, losses/CosineSimilarityLoss.py, models/Pooling.py, util.cos_sim), written
out here so that nothing but PyTorch, transformers and PEFT is needed:

    mean pooling   sum of the last hidden state over the tokens of the mask, by clamp(their number, 1e-9)
    cos_sim        products of F.normalize(p=2, dim=1)
    MNRL           cross_entropy(cos_sim(anchors, cat(positives, negatives)) * scale, arange(anchors)), scale 20
    cosine         mse_loss(cosine_similarity(anchors, positives), scores)

float32 on one thread, dropout 0; AdamW as in make_vectors.py. A case has its texts as padded ids with a mask and `part` (0 an anchor,
1 its positive, 2 .. its negatives), `scores` of the anchors, the adapter it starts from in PEFT's format, and what comes out.
"""
import argparse
import os
import zlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
TARGETS = {"tiny_bert": ["query", "value"], "tiny_modernbert": ["Wqkv"], "tiny_llama": ["q_proj", "v_proj"]}
PARTS = [[0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1], [0, 1, 2]]        # of five records
LENGTHS = [5, 3, 7, 4, 2, 6, 6, 1, 3, 8, 4, 5, 2, 7]                # of their texts


def model_of(folder):
    config = AutoConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    model = AutoModel.from_config(config)
    state = load_file(os.path.join(folder, "model.safetensors"))
    own = model.state_dict()
    taken = {}
    for name, value in state.items():
        for prefix in ("", "bert.", "model."):
            if name.startswith(prefix) and name[len(prefix):] in own:
                taken[name[len(prefix):]] = value
    missing = [n for n in own if n not in taken and "pooler" not in n]
    assert not missing, missing
    model.load_state_dict(taken, strict=False)
    return model.eval(), config


def batch_of(config, g):
    ids = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, n in enumerate(LENGTHS):
        ids[i, :n] = torch.randint(3, config.vocab_size, (n,), generator=g)
        mask[i, :n] = 1
    part = torch.tensor([p for record in PARTS for p in record])
    scores = torch.rand(len(PARTS), generator=g)
    return ids, mask, part, scores


def vectors(model, ids, mask):
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    m = mask.unsqueeze(-1).float()
    return (hidden * m).sum(1) / torch.clamp(m.sum(1), min=1e-9)


def ranking(v, part, scale=20.0):
    a = F.normalize(v[part == 0], p=2, dim=1)
    positives, negatives = v[part == 1], v[part > 1]
    b = F.normalize(torch.cat([positives, negatives]), p=2, dim=1)
    return F.cross_entropy(a @ b.T * scale, torch.arange(len(a)))


def likeness(v, part, scores):
    return F.mse_loss(torch.cosine_similarity(v[part == 0], v[part == 1]), scores)


def named(model):
    return {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}


def case(models, out, name):
    folder = os.path.join(models, name, "base")
    seed = zlib.crc32(("embedding/" + name).encode()) & 0x7FFFFFFF
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    base, config = model_of(folder)
    model = get_peft_model(base, LoraConfig(r=3, lora_alpha=6, target_modules=TARGETS[name], task_type="FEATURE_EXTRACTION"))
    for n, p in model.named_parameters():
        if "lora_B" in n:
            p.data.copy_(torch.randn(p.shape, generator=g) * 0.05)
    ids, mask, part, scores = batch_of(config, g)
    to = os.path.join(out, name)
    model.save_pretrained(to)
    os.remove(os.path.join(to, "README.md"))
    path = os.path.join(to, "adapter_config.json")
    with open(path) as f:
        text = f.read().replace(models.rstrip("/") + "/", "")
    with open(path, "w") as f:
        f.write(text)
    save_file({"input_ids": ids.int(), "attention_mask": mask.int(), "part": part.int(), "scores": scores}, os.path.join(to, "batch.safetensors"))
    expect, grads = {}, {}
    for what, loss_of in (("ranking", lambda v: ranking(v, part)), ("likeness", lambda v: likeness(v, part, scores))):
        model.zero_grad()
        v = vectors(model, ids, mask)
        loss = loss_of(v)
        loss.backward()
        expect[what] = loss.detach().reshape(1)
        expect["embeddings"] = v.detach()
        save_file({"grad." + n: p.grad.clone() for n, p in named(model).items()}, os.path.join(to, f"grads_{what}.safetensors"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    losses, norms = [], []
    for _ in range(8):
        optimizer.zero_grad()
        loss = ranking(vectors(model, ids, mask), part)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        losses.append(loss.detach())
    expect["losses"], expect["grad_norms"] = torch.stack(losses), torch.stack(norms)
    save_file({k: v.float().contiguous() for k, v in expect.items()}, os.path.join(to, "expect.safetensors"))
    state = {k: v.contiguous() for k, v in get_peft_model_state_dict(model).items()}
    save_file(state, os.path.join(to, "step8.safetensors"), metadata={"format": "pt"})
    print(name, expect["ranking"].item(), expect["likeness"].item(), [round(x.item(), 5) for x in losses])


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser()
    p.add_argument("--models", required=True)
    p.add_argument("--out", default=os.path.join(here, "..", "..", "tests", "vectors", "files", "embedding"))
    o = p.parse_args()
    for name in TARGETS:
        case(o.models, o.out, name)
