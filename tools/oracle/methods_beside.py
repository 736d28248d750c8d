"""Methods that stand beside the blocks or change which rows attention sees, in plain PyTorch, as oracles. Like methods_torch.py:
every attach_* freezes the model, adds its parameters and returns an ordered {name: Parameter} of what is trained.
What is the papers' and what is ours say docs/methods/*.md.
"""
from collections import OrderedDict

import torch
from torch import nn

from methods_torch import Bottleneck, freeze

ACT = {"relu": torch.relu, "gelu": nn.functional.gelu, "tanh": torch.tanh}


def blocks_of(model):
    """The blocks, and the attention module of each."""
    found = [m for n, m in model.named_modules() if n.rsplit(".", 1)[-1].isdigit() and n.rsplit(".", 2)[-2] in ("layers", "layer")]
    return found, [getattr(b, "self_attn", None) or b.attention for b in found]


def hidden_of(model):
    return model.config.hidden_size


# --- LoSA ----------------------------------------------------------------------------------------------------------------

class Side(nn.Module):
    def __init__(self, d, rank, tokens, places):
        super().__init__()
        if tokens:
            self.token_norm = nn.LayerNorm(d, eps=1e-6)
            self.tokens = nn.Module()
            self.tokens.down, self.tokens.up = nn.Linear(places, tokens, bias=False), nn.Linear(tokens, places, bias=False)
        self.channel_norm = nn.LayerNorm(d, eps=1e-6)
        self.channels = Bottleneck(d, rank, "gelu")
        self.mix = bool(tokens)

    def forward(self, t):
        u = 0
        if self.mix:
            z = self.token_norm(t).transpose(1, 2)                      # B d T
            u = self.tokens.up(ACT["gelu"](self.tokens.down(z))).transpose(1, 2)
        return u + self.channels(self.channel_norm(t + u))


def attach_losa(model, rank, tokens=0, places=0, seed=0):
    torch.manual_seed(seed)
    freeze(model)
    blocks, _ = blocks_of(model)
    sides = nn.ModuleList(Side(hidden_of(model), rank, tokens, places) for _ in blocks)
    state = {}

    def behind(i):
        def hook(_, args, out):
            h = out[0] if isinstance(out, tuple) else out
            y = 0 if i == 0 else state["y"]
            state["y"] = y + sides[i](h.detach() + y)
            if i + 1 < len(blocks):
                return None
            h = h + state["y"]
            return (h, *out[1:]) if isinstance(out, tuple) else h
        return hook
    for i, b in enumerate(blocks):
        b.register_forward_hook(behind(i))
    model.sides = sides
    return OrderedDict((f"layers.{i}.{n}", p) for i, s in enumerate(sides) for n, p in s.named_parameters())


# --- alternating attention -----------------------------------------------------------------------------------------------

def attach_alternate(model, every, window, first=0, causal=True, names=lambda n: n):
    freeze(model)
    blocks, attentions = blocks_of(model)
    for i, a in enumerate(attentions):
        if i % every == first:
            continue

        def hook(_, args, kwargs):
            x = args[0] if args else kwargs["hidden_states"]
            t = torch.arange(x.shape[1])
            near = t[:, None] - t[None, :] < window
            if not causal:
                near = near & (t[None, :] - t[:, None] < window)
            more = torch.zeros(near.shape, dtype=x.dtype).masked_fill(~near, torch.finfo(x.dtype).min)
            if len(args) > 1:
                m = more if args[1] is None else torch.minimum(args[1], more)
                return (x, m, *args[2:]), kwargs
            m = kwargs.get("attention_mask")
            return args, {**kwargs, "attention_mask": more[None, None] if m is None else torch.minimum(m, more)}
        a.register_forward_pre_hook(hook, with_kwargs=True)
    inside = {id(p) for a in attentions for p in a.parameters()}
    out = OrderedDict((names(n), p) for n, p in model.named_parameters() if id(p) in inside)
    for p in out.values():
        p.requires_grad_(True)
    return out


# --- isomorphic attention (Sparse-GIN) -----------------------------------------------------------------------------------

class Gin(nn.Module):
    def __init__(self, d, k, act, start):
        super().__init__()
        net = Bottleneck(d, k, act)
        self.down, self.up, self.act = net.down, net.up, ACT[act]
        self.eps, self.lam = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.full((1, 1), start))

    def forward(self, x, attention):
        a = attention.detach().sum(1).clamp(max=1)
        s = torch.where(a > 0.5, torch.sigmoid(10 * (a - 0.5)), torch.zeros_like(a))
        h = self.eps * x + s @ x
        return self.lam * (h + self.up(self.act(self.down(h))))


def attach_isomorphic(model, k, act="relu", start=0.5, seed=0):
    torch.manual_seed(seed)
    freeze(model)
    blocks, attentions = blocks_of(model)
    gins = nn.ModuleList(Gin(hidden_of(model), k, act, start) for _ in blocks)
    for b, a, g in zip(blocks, attentions, gins):
        def enter(_, args, kwargs, g=g):
            g.res = args[0] if args else kwargs["hidden_states"]

        def leave(_, args, out, g=g):
            return (out[0] + g(g.res + out[0], out[1]), *out[1:])
        b.register_forward_pre_hook(enter, with_kwargs=True)
        a.register_forward_hook(leave)
    model.gins = gins
    return OrderedDict((f"layers.{i}.gin.{'lambda' if n == 'lam' else n}", p) for i, g in enumerate(gins) for n, p in g.named_parameters())


# --- ST-Adapter ----------------------------------------------------------------------------------------------------------

class SpaceTime(nn.Module):
    """s up(act(conv(down h))): the convolution over the grid (frames, rows, columns) of a clip's pieces, each channel by itself."""

    def __init__(self, d, k, grid, kernel, s, act):
        super().__init__()
        self.grid, self.kernel, self.s, self.act = grid, kernel, s, ACT.get(act, lambda x: x)
        self.down, self.up = nn.Linear(d, k), nn.Linear(k, d)
        self.conv = nn.Module()
        self.conv.weight, self.conv.bias = nn.Parameter(torch.zeros(k, kernel[0] * kernel[1] * kernel[2])), nn.Parameter(torch.zeros(k))
        nn.init.zeros_(self.down.bias), nn.init.zeros_(self.up.bias)

    def forward(self, h):
        z = self.down(h)
        b, n, k = z.shape
        z = z.transpose(1, 2).reshape(b, k, *self.grid)
        z = nn.functional.conv3d(z, self.conv.weight.view(k, 1, *self.kernel), self.conv.bias, padding=tuple(x // 2 for x in self.kernel), groups=k)
        return self.s * self.up(self.act(z.reshape(b, k, n).transpose(1, 2)))


def attach_st_adapter(model, k, kernel=(3, 1, 1), where=("attn", "mlp"), s=1.0, act="identity", seed=0):
    torch.manual_seed(seed)
    freeze(model)
    c, out = model.config, OrderedDict()
    blocks, attentions = blocks_of(model)
    side = c.image_size // c.patch_size
    keep = nn.ModuleList()
    for i, (b, a) in enumerate(zip(blocks, attentions)):
        parts = {w: SpaceTime(hidden_of(model), k, (c.num_frames // c.tubelet_size, side, side), kernel, s, act) for w in where}
        state = {}

        def enter(_, args, kwargs, parts=parts, state=state):
            assert args, "the block's input is positional"
            h = args[0] + parts["attn"](args[0]) if "attn" in parts else args[0]
            state["res"] = h
            return (h, *args[1:]), kwargs

        def leave(_, args, o, parts=parts, state=state):
            y = o[0] if isinstance(o, tuple) else o
            if "mlp" in parts:
                y = y + parts["mlp"](state["res"] + y)
            return (y, *o[1:]) if isinstance(o, tuple) else y
        b.register_forward_pre_hook(enter, with_kwargs=True)
        a.register_forward_hook(leave)
        for w, part in parts.items():
            keep.append(part)
            out.update((f"layers.{i}.{w}.{n}", p) for n, p in part.named_parameters())
    model.st_adapters = keep
    return out


# --- DyT -----------------------------------------------------------------------------------------------------------------

class Dispatched(nn.Module):
    """m * mlp(norm(z)) + s * adapter(z), the gate hard with the slope of its sigmoid; no noise, so that nothing is drawn."""

    def __init__(self, base, d, k, s, tau, lead):
        super().__init__()
        self.base, self.s, self.tau, self.lead, self.z = base, s, tau, lead, None
        self.adapter, self.dispatch = Bottleneck(d, k, "relu"), nn.Linear(d, 1)

    def forward(self, x):
        p = torch.sigmoid(self.dispatch(self.z) / self.tau)
        m = p + ((p > 0.5).to(p) - p).detach()
        if self.lead:
            m = torch.cat([torch.ones_like(m[:, :self.lead]), m[:, self.lead:]], 1)
        return m * self.base(x) + self.s * self.adapter(self.z)


def attach_dyt(model, k, s=0.1, tau=5.0, lead=0, seed=0):
    torch.manual_seed(seed)
    freeze(model)
    out, blocks = OrderedDict(), blocks_of(model)[0]
    for i, b in enumerate(blocks):
        d = Dispatched(b.mlp, hidden_of(model), k, s, tau, lead)
        norm = getattr(b, "post_attention_layernorm", None) or b.layernorm_after
        norm.register_forward_pre_hook(lambda _, args, d=d: setattr(d, "z", args[0]))
        b.mlp = d
        nn.init.zeros_(d.dispatch.weight), nn.init.zeros_(d.dispatch.bias)
        for part in ("dispatch", "adapter"):
            out.update((f"layers.{i}.{part}.{n}", p) for n, p in getattr(d, part).named_parameters())
    return out


# --- PARA ----------------------------------------------------------------------------------------------------------------

class Generator(nn.Module):
    """Vectors of the prompt: 1 + W g(W_down mean), for the outputs of each named projection."""

    def __init__(self, d, k, act, sites):
        super().__init__()
        self.down, self.act, self.z = nn.Linear(d, k, bias=False), ACT[act], None
        for name, module in sites.items():
            up = nn.Linear(k, module.out_features, bias=False)
            nn.init.zeros_(up.weight)
            setattr(self, name, up)

    def read(self, x, lengths):
        inside = torch.ones(x.shape[:2], dtype=x.dtype) if lengths is None else (torch.arange(x.shape[1])[None] < lengths[:, None]).to(x)
        mean = (x * inside[..., None]).sum(1, keepdim=True) / inside.sum(1)[:, None, None]
        self.z = self.act(self.down(mean))                                  # B 1 k


def attach_para(model, k, act="gelu", causal=True, seed=0):
    torch.manual_seed(seed)
    freeze(model)
    blocks, attentions = blocks_of(model)
    state = {"lengths": None}

    def span(_, args, kwargs):
        """The prompt ends with the row that predicts the first label."""
        labels = kwargs.get("labels")
        if causal:
            assert labels is not None, "the prompt is what stands before the labels"
            state["lengths"] = (labels[:, 1:] != -100).to(torch.long).argmax(1) + 1
    model.register_forward_pre_hook(span, with_kwargs=True)
    generators = nn.ModuleList()
    for b, a in zip(blocks, attentions):
        sites = {"q": a.q_proj, "v": a.v_proj, "up": getattr(b.mlp, "up_proj", None) or b.mlp.fc1}
        g = Generator(hidden_of(model), k, act, sites)
        generators.append(g)
        sites["q"].register_forward_pre_hook(lambda _, args, g=g: g.read(args[0], state["lengths"]))
        for name, m in sites.items():
            m.register_forward_hook(lambda _, args, y, g=g, name=name: y * (1 + getattr(g, name)(g.z)))
    model.generators = generators
    return OrderedDict((f"layers.{i}.generator.{n}", p) for i, g in enumerate(generators) for n, p in g.named_parameters())
