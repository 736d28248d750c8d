/*
 * Isomorphic attention (Sparse-GIN): the frozen attention's map becomes a sparse graph, and a graph
 * isomorphism network over it stands between attention and feed-forward. [arXiv 2501.02393]
 *
 *   S  = edges of the map: g(10 (min(1, sum over heads A) - 1/2)) where that sum is above 1/2
 *   a  = e x + S x                         x: residual stream behind attention, e starts at 0
 *   x <- x + c (a + W_2 act(W_1 a + b_1) + b_2)          c starts at 1/2
 *
 * As its released code has it: S, e alone in front of x, two layers with a skip, c, and its
 * place. [ours] S is a constant to the gradient; the skip is a; W_2 = 0. Not the base at the start,
 * as c is not 0. Reads the map, so a fused attention's work is done once more in these blocks. Does
 * not merge.
 */
#include <math.h>

#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t width;
    double start;
    int act; /* of hora_bottleneck_acts */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "width", "k", "64", 1, 65536, "of the hidden layer"),
    OPT_REAL(start, "start", "lambda", "0.5", -1e3, 1e3, "c at the start"),
    OPT_CHOICE(act, "act", NULL, "relu", hora_bottleneck_acts, "of the hidden layer"),
};
static const hora_options options = {"Method isomorphic", rows, HORA_COUNT(rows)};

typedef struct block_params {
    hora_bottleneck net;
    hora_param *eps, *lambda; /* (1, 1) */
} block_params;
typedef struct state {
    block_params *layer;
    hora_t q, k; /* of the block in progress, constants */
    hora_attr at;
} state;

static hora_param *number(hora_adapter *a, int layer, const char *what, double value) {
    char *name = hora_format("layers.%d.gin.%s", layer, what);
    hora_param *p = hora_adapter_param(a, name, HORA_SHAPE2(1, 1),
                                       (hora_init){.kind = HORA_INIT_CONST, .value = value});
    p->layer = layer;
    p->decay = false;
    hora_free(name);
    return p;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)a->base->layers, sizeof *st->layer);
    for (int i = 0; i < a->base->layers; i++) {
        hora_bottleneck_declare(&st->layer[i].net, a, i, "gin", c->width);
        st->layer[i].eps = number(a, i, "eps", 0);
        st->layer[i].lambda = number(a, i, "lambda", c->start);
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static void compared(hora_net *n, hora_adapter *a, hora_t q, hora_t k, const hora_attr *at) {
    state *st = a->state;
    if (n->mode == HORA_NET_DECODE) {
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "isomorphic is not decoded with a cache; evaluate it with "
                                         "eval or forward"));
        return;
    }
    st->q = hora_detach(n->g, q);
    st->k = hora_detach(n->g, k);
    st->at = *at;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    const state *st = a->state;
    const block_params *p = &st->layer[layer];
    hora_graph *g = n->g;
    if (where != HORA_BLOCK_ATTN || n->mode == HORA_NET_DECODE)
        return s->y;
    hora_t x = hora_add(g, s->res, s->y, 1); /* (rows, d) */
    hora_t sum = hora_isomorph(g, st->q, st->k, x, &st->at);
    sum = hora_add(g, sum, hora_blocks(g, x, hora_net_param(n, p->eps), 0), 1);
    hora_t f = hora_bottleneck_record(&p->net, n, a, sum, hora_bottleneck_act(c->act), 0, 0);
    f = hora_blocks(g, hora_add(g, sum, f, 1), hora_net_param(n, p->lambda), 0);
    return hora_add(g, s->y, f, 1);
}

const hora_method hora_method_isomorphic = {
    .name = "isomorphic",
    .summary = "a graph isomorphism network over the sparse graph of attention's map",
    .form = "x <- x + c (a + W_2 act(W_1 a + b_1) + b_2), a = e x + S x, S the edges of the map",
    .paper = "arXiv 2501.02393",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "a graph of attention is made of all rows of a batch",
    .hooks = {.compared = compared, .block = block},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
