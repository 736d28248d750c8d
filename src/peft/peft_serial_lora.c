/*
 * Serial LoRA: one low-rank pair per block, in series with q, k and v, which all read the changed
 * input. [arXiv 2503.17750]
 *
 *   x~ = x + s B A x      A (r, d), B (d, r), s = alpha / r        once per block
 *   q = W_q x~ + b_q      k, v alike
 *
 *   A ~ U(-1/sqrt d, 1/sqrt d), B = 0 [ours]: training starts at the base
 *
 * W (I + s B A) = W + s (W B) A, so it merges, and is a plain LoRA with the same A everywhere.
 */
#include "base/text.h"
#include "peft/beside.h"
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank;
    double alpha, dropout;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "8", 1, 65536, "rank of the pair of a block"),
    HORA_ALPHA_OPTION,
    HORA_DROPOUT_OPTION,
    HORA_TYPED_OPTIONS("q+k+v"),
};
static const hora_options options = {"Method serial_lora", rows, HORA_COUNT(rows)};

typedef struct block {
    hora_param *a, *b; /* (r, d), (d, r) */
    hora_t from, to;   /* x and x~ of the recording in progress */
} block;
typedef struct state {
    hora_made *made;
    block *block;
} state;

static hora_status add(hora_adapter *a, int i) {
    config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    const hora_site *q = hora_base_site(a->base, HORA_SITE_Q, s->layer);
    block *b = &st->block[s->layer];
    if (q && s->in != q->in)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s reads a latent and not what q reads, so the two cannot share a pair; "
                         "take targets q, or method lora",
                         s->module);
    if (s->kind != HORA_SITE_Q && s->kind != HORA_SITE_K && s->kind != HORA_SITE_V)
        return hora_fail(HORA_EUSAGE,
                         "targets: %s does not read what q, k and v read, so it cannot share their "
                         "pair; take q+k+v, or method lora",
                         s->module);
    st->made[i] =
        (hora_made){.rank = c->rank, .scale = c->alpha / (double)c->rank, .alpha = c->alpha};
    if (b->a)
        return HORA_OK;
    char *na = hora_format("layers.%d.serial_a", s->layer);
    char *nb = hora_format("layers.%d.serial_b", s->layer);
    b->a = hora_adapter_param(a, na, HORA_SHAPE2(c->rank, s->in), hora_kaiming(s->in));
    b->b =
        hora_adapter_param(a, nb, HORA_SHAPE2(s->in, c->rank), (hora_init){.kind = HORA_INIT_ZERO});
    b->a->layer = b->b->layer = s->layer;
    b->b->lora_b = true;
    hora_free(na);
    hora_free(nb);
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = hora_made_state(a, sizeof *st);
    st->block = hora_calloc((size_t)a->base->layers, sizeof *st->block);
    hora_lowrank_scale(&c->typed.peft, c->rank, &c->alpha, c->dropout);
    return hora_typed_setup(a, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (st)
        hora_free(st->block);
}

/* --- recording -------------------------------------------------------------------------------- */

/* Handles of an earlier recording mean nothing in this one. */
static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    (void)n;
    if (layer >= 0)
        st->block[layer].from = st->block[layer].to = HORA_NONE;
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const config *c = a->config;
    const state *st = a->state;
    block *k = &st->block[s->layer];
    if (!st->made[s - a->base->sites].rank)
        return hora_net_next(n, s, x, w, b);
    if (k->from != x || x == HORA_NONE) {
        hora_t xd = hora_dropout(n->g, x, hora_net_dropout(n, c->dropout),
                                 hora_net_stream(n, a, "serial_lora", 0));
        hora_t z = hora_linear(n->g, xd, hora_net_param(n, k->a), HORA_NONE, HORA_NONE, 1);
        k->from = x;
        k->to =
            hora_linear(n->g, z, hora_net_param(n, k->b), HORA_NONE, x, c->alpha / (double)c->rank);
    }
    return hora_net_next(n, s, k->to, w, b);
}

/* --- the plain LoRA that it is ---------------------------------------------------------------- */

/* B_P = W_P B (out, r), of the base's own weight; A as it is. */
static void site_factors(hora_adapter *a, int i) {
    const state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    const block *k = &st->block[s->layer];
    hora_made *m = &st->made[i];
    const hora_view *w = &a->base->weights[s->weight].view;
    const size_t size = hora_dtype_size(a->dtype);
    m->value_a = hora_realloc(m->value_a, (size_t)(m->rank * s->in) * size);
    m->value_f = hora_realloc(m->value_f, (size_t)(m->rank * s->out) * size);
    memcpy(m->value_a, k->a->value, (size_t)(m->rank * s->in) * size);
    double *row = hora_calloc((size_t)s->in, sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        if (w->data)
            hora_row_values(w, o, row);
        for (int64_t j = 0; j < m->rank; j++) {
            double sum = 0;
            for (int64_t l = 0; l < s->in; l++)
                sum += row[l] * hora_value_at(k->b->value, a->dtype, l * m->rank + j);
            hora_value_put(m->value_f, a->dtype, o * m->rank + j, sum);
        }
    }
    hora_free(row);
}

static hora_status materialise(hora_adapter *a) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        if (st->made[i].rank)
            site_factors(a, i);
    return HORA_OK;
}

typedef struct series {
    const hora_adapter *a;
    const block *k;
    int64_t rank, in;
    double scale;
} series;

/* w + s (w B) A */
static void merge_row(void *arg, double *w) {
    const series *s = arg;
    const hora_dtype t = s->a->dtype;
    double *wb = hora_calloc((size_t)s->rank, sizeof *wb);
    for (int64_t j = 0; j < s->rank; j++)
        for (int64_t l = 0; l < s->in; l++)
            wb[j] += w[l] * hora_value_at(s->k->b->value, t, l * s->rank + j);
    for (int64_t j = 0; j < s->rank; j++)
        for (int64_t l = 0; l < s->in; l++)
            w[l] += s->scale * wb[j] * hora_value_at(s->k->a->value, t, j * s->in + l);
    hora_free(wb);
}

/* Of the weight as folded so far: whatever stands behind reads x~ too. */
static hora_status merge(hora_adapter *a, const hora_merging *m) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        const hora_made *e = &st->made[i];
        series one = {a, &st->block[s->layer], e->rank, s->in, e->scale};
        if (e->rank)
            HORA_TRY(hora_merging_rows(m, s, merge_row, &one));
    }
    return HORA_OK;
}

const hora_method hora_method_serial_lora = {
    .name = "serial_lora",
    .summary = "one low-rank pair per block in series with q, k and v",
    .form = "q, k, v read x + (alpha / r) B A x",
    .paper = "arXiv 2503.17750",
    .default_lr = 2e-4,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = release,
    HORA_BESIDE_FOLDER,
    .merge = merge,
    .materialise = materialise,
    .factors = hora_made_factors,
    .peft_config = hora_typed_peft_config,
};
