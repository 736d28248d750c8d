/*
 * Layers of a model at work. An adapter without parameters stands in front of the real ones; its
 * hook around the attention sublayer sees the handles of what the four projections read and gave,
 * and asks the graph to keep them. The engine runs unchanged, and does not know it is watched.
 */
#include <math.h>

#include "base/text.h"
#include "lab/hmoe_source.h"
#include "model/family.h"
#include "nn/recording.h"
#include "peft/peft.h"

static const hora_site_kind kinds[HORA_HMOE_MAPS] = {HORA_SITE_Q, HORA_SITE_K, HORA_SITE_V,
                                                     HORA_SITE_O};

/* --- the watcher ------------------------------------------------------------------------------ */
typedef struct watcher {
    const bool *want; /* per layer */
    hora_t *x, *y;
} watcher;

static hora_t watch(hora_net *n, hora_adapter *a, int layer, hora_where where,
                    const hora_sub *sub) {
    watcher *w = a->state;
    if (where == HORA_BLOCK_ATTN && w->want[layer]) {
        w->x[layer] = sub->x;
        w->y[layer] = sub->y;
        hora_graph_output(n->g, sub->x);
        hora_graph_output(n->g, sub->y);
    }
    return sub->y;
}

static hora_status pass_run(hora_recording *r, const int32_t *ids, int64_t seqs, int64_t n,
                            bool causal) {
    const int64_t rows = seqs * n;
    const hora_leaves leaves = hora_graph_leaves(r->g);
    hora_batch b;
    HORA_TRY(hora_batch_init(&b, rows, &leaves));
    b.rows = rows;
    memcpy(b.ids, ids, (size_t)rows * sizeof *ids);
    for (int64_t i = 0; i < rows; i++) {
        b.pos[i] = (int32_t)(i % n);
        b.lo[i] = (int32_t)(i - i % n);
        b.hi[i] = causal ? (int32_t)(i + 1) : (int32_t)(b.lo[i] + n);
    }
    hora_recording_run(r, &b);
    hora_batch_release(&b);
    return HORA_OK;
}

static void keep_hidden(hora_net *n, hora_t hidden, void *user) {
    (void)user;
    hora_graph_output(n->g, hidden);
}

static hora_status copy_out(const hora_graph *g, hora_t t, int64_t n, double **out) {
    const hora_view *v = hora_graph_view(g, t);
    HORA_ASSERT(hora_elems(v) >= n);
    void *raw = hora_malloc(hora_view_bytes(v));
    hora_graph_get(g, t, raw);
    *out = hora_malloc((size_t)n * sizeof **out);
    hora_status s = hora_convert(*out, HORA_F64, raw, v->dtype, n);
    hora_free(raw);
    return s;
}

hora_status hora_hmoe_catch_run(hora_hmoe_catch *c, const hora_base *base,
                                hora_adapter *const *adapters, int nadapters, hora_device *device,
                                const int32_t *ids, int64_t seqs, int64_t n, const bool *want) {
    static const hora_hooks hooks = {.block = watch};
    const size_t layers = (size_t)base->layers;
    hora_attention_form form;
    base->family->attention(base, 0, &form);
    watcher w = {want, hora_calloc(layers, sizeof(hora_t)), hora_calloc(layers, sizeof(hora_t))};
    hora_adapter spy = {.hooks = &hooks, .base = base, .state = &w, .enabled = true, .weight = 1};
    hora_adapter **all = hora_calloc((size_t)nadapters + 1, sizeof *all);
    all[0] = &spy;
    for (int i = 0; i < nadapters; i++)
        all[i + 1] = adapters[i];
    hora_recording r = {0};
    const hora_recording_parts parts = {.base = base,
                                        .adapters = all,
                                        .nadapters = nadapters + 1,
                                        .device = device,
                                        .rows = seqs * n,
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = keep_hidden};
    *c = (hora_hmoe_catch){.seqs = seqs, .n = n, .d = base->hidden, .layers = base->layers};
    c->x = hora_calloc(layers, sizeof *c->x);
    c->y = hora_calloc(layers, sizeof *c->y);
    hora_status s =
        hora_recording_open(&r, &parts, &(hora_plan_options){0}, "one pass (give fewer --tokens)");
    if (s == HORA_OK)
        s = pass_run(&r, ids, seqs, n, form.causal);
    for (size_t i = 0; i < layers && s == HORA_OK; i++) {
        if (!want[i])
            continue;
        s = copy_out(r.g, w.x[i], seqs * n * c->d, &c->x[i]);
        if (s == HORA_OK)
            s = copy_out(r.g, w.y[i], seqs * n * c->d, &c->y[i]);
    }
    hora_recording_release(&r);
    hora_free(w.x);
    hora_free(w.y);
    hora_free(all);
    return s;
}

void hora_hmoe_catch_release(hora_hmoe_catch *c) {
    for (int64_t i = 0; i < c->layers; i++) {
        hora_free(c->x[i]);
        hora_free(c->y[i]);
    }
    hora_free(c->x);
    hora_free(c->y);
    *c = (hora_hmoe_catch){0};
}

/* --- a layer ---------------------------------------------------------------------------------- */
hora_status hora_hmoe_model_ready(const hora_base *base, hora_adapter *adapter) {
    bool adapted = false;
    if (base->heads < 1 || !hora_base_site(base, HORA_SITE_Q, 0))
        return hora_fail(HORA_EUNSUPPORTED,
                         "a %s has no attention heads, so there is no mixture to compare with; "
                         "give a model with attention",
                         base->model_type);
    if (!base->family->attention)
        return hora_fail(HORA_EUNSUPPORTED,
                         "family %s does not say what its attention computes; give a LLaMA-like "
                         "model, or one layer as --case",
                         base->family->name);
    if (!adapter)
        return HORA_OK;
    if (!adapter->method->factors)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s has no heads to look at; give an adapter of a low-rank method "
                         "such as hora or lora",
                         adapter->method->name);
    HORA_TRY(hora_adapter_materialise(adapter));
    for (int i = 0; i < base->nsites; i++) {
        hora_factors f = {0};
        adapter->method->factors(adapter, i, &f);
        if (f.magnitude)
            return hora_fail(HORA_EUNSUPPORTED,
                             "this adapter has a learned magnitude (DoRA), whose update is not low "
                             "rank; give one without");
        adapted |= f.rank > 0 && base->sites[i].heads > 0;
    }
    return adapted ? HORA_OK
                   : hora_fail(HORA_EUNSUPPORTED,
                               "the adapter touches no attention head (q, k, v or o); give one "
                               "that does, or leave --adapter out");
}

static hora_status copy_in(hora_hmoe_source *s, const void *data, hora_dtype t, int64_t n,
                           const double **out) {
    double *v = hora_hmoe_source_new(s, n);
    *out = v;
    return hora_convert(v, HORA_F64, data, t, n);
}

static hora_status copy_weight(hora_hmoe_source *s, const hora_base *base, int w,
                               const double **out) {
    *out = NULL;
    if (w < 0)
        return HORA_OK;
    const hora_view *v = &base->weights[w].view;
    return copy_in(s, v->data, v->dtype, hora_elems(v), out);
}

/* --- HoRA's state: the generator runs again, in f64 ------------------------------------------- */
/* Parameter layers.N.NAME, or layers.N.NAME_P where targets have their own; NULL: none. */
static const hora_param *state_param(const hora_adapter *a, int layer, const char *name,
                                     char letter) {
    char *full = letter ? hora_format("layers.%d.%s_%c", layer, name, letter)
                        : hora_format("layers.%d.%s", layer, name);
    const hora_param *p = hora_adapter_find(a, full);
    hora_free(full);
    return p;
}

static hora_status copy_param(hora_hmoe_source *s, const hora_adapter *a, int layer,
                              const char *name, char letter, const double **out) {
    const hora_param *p = state_param(a, layer, name, letter);
    return copy_in(s, p->value, a->dtype, p->elems, out);
}

/* The generator behind target `letter` (0: behind all of them); m = 0 when there is none. */
static hora_status copy_generator(hora_hmoe_source *s, const hora_adapter *a, int layer,
                                  char letter, hora_hmoe_generator *g) {
    const hora_option *act =
        a->method->options ? hora_options_find(a->method->options, "act") : NULL;
    const hora_param *x = state_param(a, layer, "input_b", letter);
    const hora_param *w1 = state_param(a, layer, "w1_b", letter);
    *g = (hora_hmoe_generator){.heads = a->base->heads};
    if (!act || !x || !w1 || x->shape.n != 3)
        return HORA_OK;
    hora_str name = {0};
    hora_option_format(act, a->config, &name);
    for (int i = 0; i < HORA_HMOE_ACTS; i++)
        if (hora_eq(name.s, hora_hmoe_act_names[i]))
            g->act = (hora_hmoe_act)i;
    hora_str_release(&name);
    g->e = x->shape.d[1];
    g->r = x->shape.d[2];
    g->m = w1->shape.d[w1->shape.n - 2];
    g->own_w1 = w1->shape.n == 3;
    HORA_TRY(copy_param(s, a, layer, "input_a", letter, &g->input_a));
    HORA_TRY(copy_param(s, a, layer, "input_b", letter, &g->input_b));
    HORA_TRY(copy_param(s, a, layer, "w1_a", letter, &g->w1_a));
    return copy_param(s, a, layer, "w1_b", letter, &g->w1_b);
}

/* The factors of a map in f64: generated where HoRA generates them, else as the method has them. */
static hora_status copy_update(hora_hmoe_source *s, hora_adapter *a, const hora_site *site,
                               int map) {
    static const char letters[HORA_HMOE_MAPS] = {'q', 'k', 'v', 'o'};
    const hora_base *base = a->base;
    hora_hmoe_update *up = &s->layer.update[map];
    hora_hmoe_generator g;
    hora_factors f = {0};
    a->method->factors(a, (int)(site - base->sites), &f);
    if (f.rank <= 0)
        return HORA_OK;
    *up = (hora_hmoe_update){.r = f.rank, .scale = f.scale};
    HORA_TRY(copy_generator(s, a, site->layer, 0, &g));
    if (!g.m)
        HORA_TRY(copy_generator(s, a, site->layer, letters[map], &g));
    if (!g.m || !state_param(a, site->layer, "w2_b", letters[map])) {
        s->layer.rounding = a->dtype == HORA_F32 ? 0x1p-24 : 0;
        HORA_TRY(copy_in(s, f.a, a->dtype, f.rank * site->in, &up->a));
        return copy_in(s, f.b, a->dtype, f.rank * site->out, &up->b);
    }
    const double *w2_a, *w2_b;
    double *va = hora_hmoe_source_new(s, f.rank * site->in);
    double *vb = hora_hmoe_source_new(s, f.rank * site->out);
    HORA_TRY(copy_param(s, a, site->layer, "w2_a", letters[map], &w2_a));
    HORA_TRY(copy_param(s, a, site->layer, "w2_b", letters[map], &w2_b));
    hora_hmoe_generate(&g, &s->layer, map, w2_a, w2_b, va, vb);
    up->a = va;
    up->b = vb;
    return HORA_OK;
}

/* What `tied` and the bound of the coupling need: one generator behind both q and v. */
static hora_status copy_shared(hora_hmoe_source *s, const hora_adapter *a, int layer) {
    if (!state_param(a, layer, "w2_b", 'q') || !state_param(a, layer, "w2_b", 'v'))
        return HORA_OK;
    HORA_TRY(copy_generator(s, a, layer, 0, &s->gen));
    s->shared = s->gen.m > 0;
    return s->shared ? copy_param(s, a, layer, "w2_b", 'q', &s->gen.w2_b_q) : HORA_OK;
}

hora_status hora_hmoe_model_layer(hora_hmoe_source *s, const hora_base *base, hora_adapter *adapter,
                                  int layer, const hora_hmoe_catch *c) {
    hora_attention_form form;
    hora_hmoe_layer *l = &s->layer;
    base->family->attention(base, layer, &form);
    *l = (hora_hmoe_layer){.seqs = c->seqs,
                           .n = c->n,
                           .d = c->d,
                           .heads = base->heads,
                           .groups = base->kv_heads,
                           .dh = base->head_dim,
                           .x = c->x[layer],
                           .causal = form.causal,
                           .window = form.window,
                           .freq = form.freq,
                           .scale = form.scale,
                           .eps = form.eps};
    for (int i = 0; i < HORA_HMOE_MAPS; i++) {
        const hora_site *site = hora_base_site(base, kinds[i], layer);
        HORA_TRY(copy_weight(s, base, site->weight, &l->w[i]));
        HORA_TRY(copy_weight(s, base, site->bias, &l->bias[i]));
        if (adapter)
            HORA_TRY(copy_update(s, adapter, site, i));
    }
    HORA_TRY(copy_weight(s, base, form.q_norm, &l->norm[0]));
    HORA_TRY(copy_weight(s, base, form.k_norm, &l->norm[1]));
    return adapter ? copy_shared(s, adapter, layer) : HORA_OK;
}
