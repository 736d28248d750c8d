/*
 * Tiny attention: a small attention that trains beside the frozen one and reads what it reads.
 * [arXiv 2211.01979]
 *
 *   y <- y + W_o concat_m softmax(q_m k_m' / sqrt(w)) v_m      q, k, v = W x, M heads of width w
 *
 * No rotation and no bias; the same ranges of rows as the frozen attention, so causal where the
 * model is, with the same window. W_o = 0 [ours]: training starts at the base. Beside, not behind,
 * and one set of heads in use: the paper's averaging of heads is a change of the function, and not
 * done. Does not merge.
 */
#include <math.h>

#include "base/text.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t heads, width;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(heads, "heads", NULL, "4", 1, 1024, "heads of the small attention"),
    OPT_INT(width, "width", "w", "8", 1, 1024, "width of each"),
};
static const hora_options options = {"Method tiny_attention", rows, HORA_COUNT(rows)};

typedef struct block_params {
    hora_param *q, *k, *v, *o;
} block_params;
typedef struct state {
    block_params *layer;
} state;

static hora_param *declare(hora_adapter *a, int layer, char which, hora_shape shape, double std) {
    char *name = hora_format("layers.%d.tiny_%c", layer, which);
    hora_param *p = hora_adapter_param(a, name, shape,
                                       std > 0 ? (hora_init){.kind = HORA_INIT_NORMAL, .value = std}
                                               : (hora_init){.kind = HORA_INIT_ZERO});
    p->layer = layer;
    hora_free(name);
    return p;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const int64_t d = a->base->hidden, n = c->heads * c->width;
    const double std = 1 / sqrt((double)d);
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)a->base->layers, sizeof *st->layer);
    for (int i = 0; i < a->base->layers; i++)
        st->layer[i] = (block_params){.q = declare(a, i, 'q', HORA_SHAPE2(n, d), std),
                                      .k = declare(a, i, 'k', HORA_SHAPE2(n, d), std),
                                      .v = declare(a, i, 'v', HORA_SHAPE2(n, d), std),
                                      .o = declare(a, i, 'o', HORA_SHAPE2(d, n), 0)};
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static hora_t map(hora_net *n, hora_t x, const hora_param *w) {
    return hora_linear(n->g, x, hora_net_param(n, w), HORA_NONE, HORA_NONE, 1);
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    const block_params *p = &((const state *)a->state)->layer[layer];
    if (where != HORA_BLOCK_ATTN)
        return s->y;
    if (n->mode == HORA_NET_DECODE) {
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "tiny_attention is not decoded with a cache; evaluate it "
                                         "with eval or forward"));
        return s->y;
    }
    const hora_attr at = {.heads = c->heads,
                          .kv_heads = c->heads,
                          .head_dim = c->width,
                          .scale = 1 / sqrt((double)c->width)};
    hora_t z = hora_attention(n->g, map(n, s->x, p->q), map(n, s->x, p->k), map(n, s->x, p->v),
                              HORA_NONE, HORA_NONE, &at); /* (rows, M w) */
    return hora_linear(n->g, z, hora_net_param(n, p->o), HORA_NONE, s->y, 1);
}

const hora_method hora_method_tiny_attention = {
    .name = "tiny_attention",
    .summary = "a small trainable attention beside the frozen one",
    .paper = "arXiv 2211.01979",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
