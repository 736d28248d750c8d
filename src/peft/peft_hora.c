/*
 * HoRA: one small hypernetwork per block generates the low-rank factors of all attention heads.
 * [hora, arXiv 2510.04295] docs/methods/hora.md is the specification and marks what is the paper's
 * and what is ours.
 *
 *   Za   = act(W1a Xa)     (m, r)      once per block, shared by the targets
 *   Zb,h = act(W1b Xb,h)   (m, r)      per head
 *   q k v:  A = (W2a Za)' (r, d)                           B = rows W2b Zb,h of the heads
 *                                                          (heads dh, r); k and v take the first
 *                                                          query head of a group
 *   o:      A = columns (W2a Zb,h)' of the heads (r, H dh)   B = W2b Za (d, r)
 *   y = W x + b + (alpha / r) B A dropout(x)
 *
 * Everything but the last line is made of parameters alone, so it is recorded in `before` and costs
 * the same for any batch. Matrices are recorded transposed, (r, m) and (H r, m), so that every
 * product is the one op `linear`.
 */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "nn/recording.h"
#include "peft/hora_impl.h"

#define OPT_OF hora_cfg
static const hora_option rows[] = {
    HORA_LOWRANK_OPTIONS,
    OPT_LIST(target.targets, "targets", "target_modules", "q+v", "LIST", "any of q k v o"),
    OPT_LIST(target.layers, "layers", "layers_to_transform", NULL, "LIST", "only these layers"),
    OPT_LIST(target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens"),
    OPT_CHOICE(act, "act", NULL, "relu", "relu identity tanh sigmoid gelu",
               "activation of the generator"),
    OPT_INT(hidden, "hidden", "m", NULL, 0, 1 << 20, "hidden width m; default twice the rank"),
    OPT_INT(input, "input", "e", NULL, 0, 1 << 20, "input width e; default the rank"),
    OPT_BOOL(share_qv, "share_qv", NULL, "on", "targets share inputs and first layers"),
    OPT_BOOL(share_heads, "share_heads", NULL, "on", "heads share the first layer"),
    OPT_CHOICE(generator, "generator", NULL, "hora", "hora rep free",
               "hora; rep: a diagonal input, no heads; free: plain factors"),
    OPT_CHOICE(magnitude, "magnitude", NULL, "off", "off dora doran",
               "a learned magnitude of every row; doran: with a learned tau below it"),
};
static const hora_options options = {"Method hora", rows, HORA_COUNT(rows)};
static const hora_act acts[] = {HORA_ACT_RELU, HORA_ACT_IDENTITY, HORA_ACT_TANH, HORA_ACT_SIGMOID,
                                HORA_ACT_GELU};

/* --- parameters ------------------------------------------------------------------------------- */

/* Per target: which site it is, and how wide. */
static const hora_site_kind kinds[HORA_TARGETS] = {HORA_SITE_Q, HORA_SITE_K, HORA_SITE_V,
                                                   HORA_SITE_O};
static const char letters[HORA_TARGETS] = {'q', 'k', 'v', 'o'};

static hora_param *declare(hora_adapter *a, int layer, const char *name, char suffix,
                           hora_shape shape, double std) {
    char full[64];
    snprintf(full, sizeof full, suffix ? "layers.%d.%s_%c" : "layers.%d.%s", layer, name, suffix);
    hora_init init = {.kind = std > 0 ? HORA_INIT_NORMAL : HORA_INIT_ZERO, .value = std};
    hora_param *p = hora_adapter_param(a, full, shape, init);
    p->layer = layer;
    p->lora_b = std == 0;
    return p;
}

/* Inputs and first layers, of one target or (suffix 0) of all. */
static void declare_first(hora_adapter *a, int layer, char suffix, hora_first *f) {
    const hora_cfg *c = a->config;
    int64_t h = a->base->heads, e = c->input, m = c->hidden, r = c->rank;
    if (c->generator == HORA_GEN_REP) {
        f->input_a = declare(a, layer, "a", suffix, HORA_SHAPE1(r), 1);
        f->input_b = declare(a, layer, "b", suffix, HORA_SHAPE1(r), 1);
        e = r;
    } else {
        f->input_a = declare(a, layer, "input_a", suffix, HORA_SHAPE2(e, r), 1);
        f->input_b = declare(a, layer, "input_b", suffix, HORA_SHAPE3(h, e, r), 1);
    }
    hora_shape w1_b = c->share_heads ? HORA_SHAPE2(m, e) : HORA_SHAPE3(h, m, e);
    f->w1_a = declare(a, layer, "w1_a", suffix, HORA_SHAPE2(m, e), sqrt(2.0 / (double)e));
    f->w1_b = declare(a, layer, "w1_b", suffix, w1_b, sqrt(2.0 / (double)e));
}

static void declare_second(hora_adapter *a, int layer, int t, const hora_site *s, hora_block *b) {
    const hora_cfg *c = a->config;
    int64_t m = c->hidden, wa = s->in, wb = s->out;
    if (c->generator == HORA_GEN_FREE) {
        b->w2_a[t] = declare(a, layer, "a", letters[t], HORA_SHAPE2(c->rank, s->in), 1);
        b->w2_a[t]->init = (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)s->in)};
        b->w2_b[t] = declare(a, layer, "b", letters[t], HORA_SHAPE2(s->out, c->rank), 0);
        return;
    }
    if (c->generator == HORA_GEN_HORA) /* the side that is cut into heads is dh wide */
        *(kinds[t] == HORA_SITE_O ? &wa : &wb) = s->head_dim;
    double std =
        sqrt(1 / (3.0 * (double)s->in *
                  (double)m)); /* A starts with LoRA's variance 1 / (3 in) under ReLU [ours] */
    b->w2_a[t] = declare(a, layer, "w2_a", letters[t], HORA_SHAPE2(wa, m), std);
    b->w2_b[t] = declare(a, layer, "w2_b", letters[t], HORA_SHAPE2(wb, m), 0);
}

static void declare_block(hora_adapter *a, int layer, hora_block *b) {
    const hora_cfg *c = a->config;
    bool any = false;
    for (int t = 0; t < HORA_TARGETS; t++)
        any |= b->site[t] >= 0;
    if (any && c->generator != HORA_GEN_FREE && c->share_qv)
        declare_first(a, layer, 0, &b->first[0]);
    for (int t = 0; t < HORA_TARGETS; t++) {
        if (b->site[t] < 0)
            continue;
        if (c->generator != HORA_GEN_FREE && !c->share_qv)
            declare_first(a, layer, letters[t], &b->first[t]);
        declare_second(a, layer, t, &a->base->sites[b->site[t]], b);
        char m[64], tau[64];
        snprintf(m, sizeof m, "layers.%d.magnitude_%c", layer, letters[t]);
        snprintf(tau, sizeof tau, "layers.%d.tau_%c", layer, letters[t]);
        hora_dora_declare(&b->dora[t], a, &a->base->sites[b->site[t]], (hora_dora_kind)c->magnitude,
                          m, tau);
    }
}

/* --- setup ------------------------------------------------------------------------------------ */

static hora_status check(hora_cfg *c) {
    if (!c->hidden)
        c->hidden = 2 * c->rank;
    if (!c->input)
        c->input = c->rank;
    if (c->hidden < c->rank)
        return hora_fail(HORA_EUSAGE,
                         "hidden %lld is below rank %lld: the update would have rank %lld at most; "
                         "use rank=%lld, or a larger hidden",
                         (long long)c->hidden, (long long)c->rank, (long long)c->hidden,
                         (long long)c->hidden);
    if (c->generator == HORA_GEN_REP && !c->share_heads)
        return hora_fail(
            HORA_EUSAGE,
            "generator=rep has no heads: share_heads=off means nothing there; leave it on");
    return HORA_OK;
}

static hora_status pick_targets(hora_adapter *a, hora_state *st) {
    const hora_base *b = a->base;
    const hora_cfg *c = a->config;
    bool *on = hora_calloc((size_t)b->nsites + 1, sizeof *on);
    hora_status s = hora_targets_match(&c->peft, b, b->nsites, true, on);
    for (int i = 0; i < b->nsites && !s; i++) {
        if (!on[i])
            continue;
        int t = 0;
        while (t < HORA_TARGETS && kinds[t] != b->sites[i].kind)
            t++;
        if (t == HORA_TARGETS)
            s = hora_fail(HORA_EUSAGE,
                          "targets: %s has no attention heads; hora adapts q, k, v and o (use "
                          "method lora for the rest)",
                          b->sites[i].module);
        else
            st->block[b->sites[i].layer].site[t] = i;
    }
    hora_free(on);
    return s;
}

static hora_status setup(hora_adapter *a) {
    hora_cfg *c = a->config;
    const hora_base *b = a->base;
    hora_state *st = a->state = hora_calloc(1, sizeof *st);
    st->block = hora_calloc((size_t)b->layers, sizeof *st->block);
    for (int64_t i = 0; i < b->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++)
            st->block[i].site[t] = -1;
    HORA_TRY(check(c));
    hora_lowrank_scale(&c->peft, c->rank, &c->alpha, c->dropout);
    c->peft.use_dora = c->magnitude != HORA_DORA_OFF;
    HORA_TRY(hora_targets_parse(&c->peft, &c->target, b));
    HORA_TRY(pick_targets(a, st));
    for (int i = 0; i < b->layers; i++)
        declare_block(a, i, &st->block[i]);
    /* rows of (H r, m) that k and v use: the first query head of each group */
    st->leaders = hora_malloc((size_t)(b->kv_heads * c->rank) * sizeof *st->leaders);
    for (int64_t g = 0; g < b->kv_heads; g++)
        for (int64_t i = 0; i < c->rank; i++)
            st->leaders[g * c->rank + i] = (int32_t)(g * (b->heads / b->kv_heads) * c->rank + i);
    return hora_targets_save(a, &c->peft, true);
}

static void release(hora_adapter *a) {
    hora_cfg *c = a->config;
    hora_state *st = a->state;
    hora_peft_config_release(&c->peft);
    if (!st)
        return;
    for (int64_t i = 0; st->block && i < a->base->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++) {
            hora_free(st->block[i].value_a[t]);
            hora_free(st->block[i].value_b[t]);
            hora_free(st->block[i].value_m[t]);
        }
    hora_free(st->block);
    hora_free(st->leaders);
}

/* --- recording -------------------------------------------------------------------------------- */

/* act(first layer) transposed: za (r, m), zb (H r, m); rep: zb (r, m). */
static void record_first(hora_net *n, const hora_adapter *a, const hora_first *f, hora_t *za,
                         hora_t *zb) {
    const hora_cfg *c = a->config;
    hora_graph *g = n->g;
    int64_t h = a->base->heads, e = c->input, m = c->hidden, r = c->rank;
    hora_t xa = hora_net_param(n, f->input_a), xb = hora_net_param(n, f->input_b);
    hora_t wa = hora_net_param(n, f->w1_a), wb = hora_net_param(n, f->w1_b);
    if (c->generator == HORA_GEN_REP) { /* W1 diag(a) scales the columns of W1 (m, r) */
        *za = hora_permute(g, hora_scale(g, wa, xa, 1), 1, m, r, 1);
        *zb = hora_permute(g, hora_scale(g, wb, xb, 1), 1, m, r, 1);
    } else {
        *za = hora_linear(g, hora_permute(g, xa, 1, e, r, 1), wa, HORA_NONE, HORA_NONE, 1);
        xb = hora_permute(g, xb, h, e, r, 1); /* (H r, e) */
        *zb = c->share_heads ? hora_linear(g, xb, wb, HORA_NONE, HORA_NONE, 1)
                             : hora_grouped(g, xb, hora_permute(g, wb, 1, 1, h * m, e), h);
    }
    *za = hora_activate(g, *za, acts[c->act]);
    *zb = hora_activate(g, *zb, acts[c->act]);
}

static void record_second(hora_net *n, const hora_adapter *a, hora_block *b, int t, hora_t za,
                          hora_t zb) {
    const hora_cfg *c = a->config;
    const hora_state *st = a->state;
    const hora_site *s = &a->base->sites[b->site[t]];
    hora_graph *g = n->g;
    int64_t r = c->rank, heads = s->heads, dh = s->head_dim;
    hora_t wa = hora_net_param(n, b->w2_a[t]), wb = hora_net_param(n, b->w2_b[t]);
    if (c->generator == HORA_GEN_FREE) {
        b->a[t] = wa;
        b->b[t] = wb;
        return;
    }
    if (c->generator == HORA_GEN_REP) {
        b->a[t] = hora_linear(g, za, wa, HORA_NONE, HORA_NONE, 1); /* (r, in)  */
        b->b[t] = hora_permute(g, hora_linear(g, zb, wb, HORA_NONE, HORA_NONE, 1), 1, r, s->out,
                               1); /* (out, r) */
        return;
    }
    if (kinds[t] == HORA_SITE_O) {
        hora_t blocks = hora_linear(g, zb, wa, HORA_NONE, HORA_NONE, 1); /* (H r, dh)  */
        b->a[t] = hora_permute(g, blocks, 1, heads, r, dh);              /* (r, H dh)  */
        b->b[t] = hora_permute(g, hora_linear(g, za, wb, HORA_NONE, HORA_NONE, 1), 1, r, s->out, 1);
        return;
    }
    if (heads != a->base->heads)
        zb = hora_gather(g, zb, st->leaders, heads * r);             /* (G r, m)   */
    b->a[t] = hora_linear(g, za, wa, HORA_NONE, HORA_NONE, 1);       /* (r, d)     */
    hora_t blocks = hora_linear(g, zb, wb, HORA_NONE, HORA_NONE, 1); /* (heads r, dh) */
    b->b[t] = hora_permute(g, blocks, heads, r, dh, 1);              /* (heads dh, r) */
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    if (layer < 0)
        return;
    const hora_cfg *c = a->config;
    hora_block *b = &((hora_state *)a->state)->block[layer];
    hora_t za = HORA_NONE, zb = HORA_NONE;
    if (b->first[0].w1_a && c->share_qv)
        record_first(n, a, &b->first[0], &za, &zb);
    for (int t = 0; t < HORA_TARGETS; t++) {
        if (b->site[t] < 0)
            continue;
        if (c->generator != HORA_GEN_FREE && !c->share_qv)
            record_first(n, a, &b->first[t], &za, &zb);
        record_second(n, a, b, t, za, zb);
        hora_dora_prelude(&b->dora[t], n, &a->base->sites[b->site[t]], b->a[t], b->b[t],
                          c->alpha / (double)c->rank);
    }
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const hora_cfg *c = a->config;
    if (s->layer < 0) /* outside of the blocks */
        return hora_net_next(n, s, x, w, b);
    const hora_block *block = &((const hora_state *)a->state)->block[s->layer];
    for (int t = 0; t < HORA_TARGETS; t++)
        if (block->site[t] == (int)(s - a->base->sites)) {
            hora_t xd = hora_dropout(n->g, x, hora_net_dropout(n, c->dropout),
                                     hora_net_stream(n, a, "hora", s->kind));
            return hora_dora_lowrank(&block->dora[t], n, a, s, x, w, b, xd, block->a[t],
                                     block->b[t], c->alpha / (double)c->rank);
        }
    return hora_net_next(n, s, x, w, b);
}

/* --- the plain LoRA that it is ---------------------------------------------------------------- */

static hora_status copy_factors(const hora_graph *g, const hora_adapter *a, hora_state *st) {
    size_t size = hora_dtype_size(a->dtype);
    for (int64_t i = 0; i < a->base->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++) {
            hora_block *b = &st->block[i];
            if (b->site[t] < 0)
                continue;
            const hora_view *va = hora_graph_view(g, b->a[t]), *vb = hora_graph_view(g, b->b[t]);
            b->value_a[t] = hora_realloc(b->value_a[t], (size_t)hora_elems(va) * size);
            b->value_b[t] = hora_realloc(b->value_b[t], (size_t)hora_elems(vb) * size);
            memcpy(b->value_a[t], va->data, (size_t)hora_elems(va) * size);
            memcpy(b->value_b[t], vb->data, (size_t)hora_elems(vb) * size);
        }
    return HORA_OK;
}

/* The factors are what is to be read of a recording of the preludes. */
static void keep_factors(hora_net *n, hora_t hidden, void *user) {
    const hora_adapter *a = user;
    const hora_state *st = a->state;
    (void)hidden;
    for (int64_t i = 0; i < a->base->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++)
            if (st->block[i].site[t] >= 0) {
                hora_graph_output(n->g, st->block[i].a[t]);
                hora_graph_output(n->g, st->block[i].b[t]);
            }
}

static void factors(hora_adapter *a, int i, hora_factors *f) {
    const hora_cfg *c = a->config;
    const int layer = a->base->sites[i].layer;
    *f = (hora_factors){0};
    if (layer < 0)
        return;
    const hora_block *b = &((const hora_state *)a->state)->block[layer];
    for (int t = 0; t < HORA_TARGETS; t++)
        if (b->site[t] == i)
            *f = (hora_factors){.rank = c->rank,
                                .scale = c->alpha / (double)c->rank,
                                .alpha = c->alpha,
                                .a = b->value_a[t],
                                .b = b->value_b[t],
                                .magnitude = b->value_m[t]};
}

/* Magnitudes as PEFT's DoRA has them, of the factors that were just made. */
static void fill_magnitudes(hora_adapter *a) {
    hora_state *st = a->state;
    for (int64_t i = 0; i < a->base->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++) {
            hora_block *b = &st->block[i];
            hora_factors f;
            if (!b->dora[t].m)
                continue;
            const hora_site *s = &a->base->sites[b->site[t]];
            b->value_m[t] = hora_realloc(b->value_m[t], (size_t)s->out * hora_dtype_size(a->dtype));
            factors(a, b->site[t], &f);
            hora_dora_magnitude(&b->dora[t], a, s, &f, b->value_m[t]);
        }
}

static hora_status materialise(hora_adapter *a) {
    hora_adapter *only[] = {a};
    hora_device *d = hora_device_new();
    hora_recording r;
    const hora_recording_parts parts = {.base = a->base,
                                        .adapters = only,
                                        .nadapters = 1,
                                        .device = d,
                                        .rows = 64,
                                        .mode = HORA_NET_EVAL,
                                        .outputs = keep_factors,
                                        .user = a};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "generated factors");
    if (!s) {
        hora_graph_before(r.g);
        s = copy_factors(r.g, a, a->state);
    }
    hora_recording_release(&r);
    hora_device_free(d);
    if (!s)
        fill_magnitudes(a);
    return s;
}

static const hora_peft_config *peft_config(const hora_adapter *a) {
    return &((const hora_cfg *)a->config)->peft;
}

/* With ReLU and no bias a generator whose inputs are all zero never moves again. */
static bool all_zero(const hora_param *p, hora_dtype t) {
    for (int64_t i = 0; i < p->elems; i++)
        if (t == HORA_F64 ? ((const double *)p->value)[i] != 0 : ((const float *)p->value)[i] != 0)
            return false;
    return true;
}

static void diagnose(hora_adapter *a) {
    const hora_cfg *c = a->config;
    const hora_state *st = a->state;
    if (acts[c->act] != HORA_ACT_RELU || c->generator == HORA_GEN_FREE)
        return;
    for (int64_t i = 0; i < a->base->layers; i++)
        for (int t = 0; t < HORA_TARGETS; t++) {
            const hora_first *f = &st->block[i].first[t];
            if (f->input_b && (all_zero(f->input_b, a->dtype) || all_zero(f->input_a, a->dtype)))
                hora_warn("hora: the generator of layer %d is dead: with relu and inputs of zero "
                          "no gradient reaches it; start from other inputs or another act",
                          (int)i);
        }
}

const hora_method hora_method_hora = {
    .name = "hora",
    .summary = "one hypernetwork per block generates the low-rank factors of all heads",
    .form = "y = W x + b + (alpha / r) B A x, A and B of all heads made by one generator per block",
    .paper = "arXiv 2510.04295",
    .default_lr = 1e-4,
    .options = &options,
    .config_size = sizeof(hora_cfg),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = release,
    .claims = hora_native_claims,
    .configure = hora_native_configure,
    .save = hora_native_save,
    .load = hora_beside_load,
    .merge = hora_lowrank_merge,
    .materialise = materialise,
    .factors = factors,
    .peft_config = peft_config,
    .diagnose = diagnose,
};
