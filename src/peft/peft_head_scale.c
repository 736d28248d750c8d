/*
 * Temperature and gate of every head. [ours]
 *
 *   P_h = softmax(t_h s q_h k' + mask)     y = W_o concat_h(g_h P_h v) + b     t, g (H), by block
 *
 * Both start at 1: the base. The gate merges into W_o's columns; the temperature into W_q's rows
 * and bias, unless a norm stands between them and attention.
 */
#include "base/text.h"
#include "peft/replaced.h"

typedef struct config {
    bool temperature, gate;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(temperature, "temperature", NULL, "true", "a factor of each head's scores"),
    OPT_BOOL(gate, "gate", NULL, "true", "a factor of each head's output"),
};
static const hora_options options = {"Method head_scale", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param **t, **g; /* per block; NULL: not wanted */
    int32_t *head;       /* of each column */
} state;

static hora_param *declare(hora_adapter *a, const char *what, int layer) {
    char *name = hora_format("layers.%d.%s", layer, what);
    hora_param *p = hora_adapter_param(a, name, HORA_SHAPE2(a->base->heads, 1),
                                       (hora_init){.kind = HORA_INIT_CONST, .value = 1});
    p->layer = layer;
    p->decay = false; /* towards 0 it would take the head away */
    hora_free(name);
    return p;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    const int64_t width = b->heads * b->head_dim;
    state *st = a->state = hora_calloc(1, sizeof *st);
    if (!c->temperature && !c->gate)
        return hora_fail(HORA_EUSAGE, "neither temperature nor gate: nothing would train");
    st->t = hora_calloc((size_t)b->layers + 1, sizeof *st->t);
    st->g = hora_calloc((size_t)b->layers + 1, sizeof *st->g);
    st->head = hora_malloc((size_t)width * sizeof *st->head);
    for (int64_t k = 0; k < width; k++)
        st->head[k] = (int32_t)(k / b->head_dim);
    for (int i = 0; i < b->layers; i++) {
        st->t[i] = c->temperature ? declare(a, "temperature", i) : NULL;
        st->g[i] = c->gate ? declare(a, "gate", i) : NULL;
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    if (!st)
        return;
    hora_free(st->t);
    hora_free(st->g);
    hora_free(st->head);
}

/* x (rows, H dh), each head's columns times its factor. */
static hora_t stretch(hora_net *n, const hora_adapter *a, hora_t x, const hora_param *p) {
    const state *st = a->state;
    return hora_scale(
        n->g, x,
        hora_gather(n->g, hora_net_param(n, p), st->head, a->base->heads * a->base->head_dim), 1);
}

/* Behind a norm of q; without one the temperature stands in the chain of W_q's adapters, where it
 * merges. */
static void attend(hora_net *n, hora_adapter *a, int layer, hora_attend *t) {
    const state *st = a->state;
    if (st->t[layer] && a->base->query_norm)
        t->q = stretch(n, a, t->q, st->t[layer]);
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const state *st = a->state;
    if (s->kind == HORA_SITE_O && st->g[s->layer])
        return hora_net_next(n, s, stretch(n, a, x, st->g[s->layer]), w, b);
    hora_t y = hora_net_next(n, s, x, w, b);
    const bool tempered = s->kind == HORA_SITE_Q && st->t[s->layer] && !a->base->query_norm;
    return tempered ? stretch(n, a, y, st->t[s->layer]) : y;
}

/* --- merging ---------------------------------------------------------------------------------- */

static double factor(const hora_adapter *a, const hora_param *p, int64_t column) {
    return hora_value_at(p->value, a->dtype, ((const state *)a->state)->head[column]);
}

static hora_status merge_layer(const hora_adapter *a, int layer, const hora_merging *m) {
    const state *st = a->state;
    const hora_site *q = hora_base_site(a->base, HORA_SITE_Q, layer),
                    *o = hora_base_site(a->base, HORA_SITE_O, layer);
    const hora_param *t = st->t[layer], *g = st->g[layer];
    float *x;
    if (t) {
        HORA_TRY(hora_merging_weight(m, q->weight, &x));
        for (int64_t k = 0; k < q->out * q->in; k++)
            x[k] = (float)(x[k] * factor(a, t, k / q->in));
    }
    if (t && q->bias >= 0) {
        HORA_TRY(hora_merging_weight(m, q->bias, &x));
        for (int64_t k = 0; k < q->out; k++)
            x[k] = (float)(x[k] * factor(a, t, k));
    }
    if (g) {
        HORA_TRY(hora_merging_weight(m, o->weight, &x));
        for (int64_t k = 0; k < o->out * o->in; k++)
            x[k] = (float)(x[k] * factor(a, g, k % o->in));
    }
    return HORA_OK;
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    if (a->base->query_norm && ((const config *)a->config)->temperature)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method `head_scale` cannot be merged here: in this model a norm follows "
                         "the projection of q, which would take the temperature back; train with "
                         "temperature=false, or keep the adapter beside the model");
    for (int i = 0; i < a->base->layers; i++)
        HORA_TRY(merge_layer(a, i, m));
    return HORA_OK;
}

const hora_method hora_method_head_scale = {
    .name = "head_scale",
    .summary = "a temperature and a gate of every head",
    .form = "P_h = softmax(t_h s q_h k'), y = W_o concat_h(g_h P_h v) + b",
    .default_lr = 1e-2,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.linear = linear, .attend = attend},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
    .merge = merge,
};
