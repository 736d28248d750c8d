/*
 * PARA: vectors that a small generator makes of the prompt stretch queries, values and the inner
 * layer of the feed-forward. [arXiv 2502.01033]
 *
 *   c = mean over the prompt's rows of x        x: what the block's attention reads
 *   z = g(W_down c)                             (r)
 *   q <- q * (1 + W_q z),  v <- v * (1 + W_v z),  u <- u * (1 + W_u z)    in every row of the text
 *
 * The paper's: a generator in each block reads the prompt (pooler, down, activation, up), its
 * vectors scale those three, and are made once for a prompt. [ours] The mean, of normed rows; g, r;
 * no biases and the constant 1 (with r = 12 that counts what the paper counts on 7B); W_q, W_v,
 * W_u = 0 at the start. In training the prompt ends with the row that predicts the first target,
 * so that no answer is read; without targets, or where rows see each other both ways, all is the
 * prompt. Does not merge: it depends on the input.
 */
#include <math.h>

#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t width;
    int act; /* of hora_bottleneck_acts */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "bottleneck", "r", "12", 1, 65536, "width of the generator's hidden layer"),
    OPT_CHOICE(act, "act", NULL, "gelu", hora_bottleneck_acts, "of the hidden layer"),
};
static const hora_options options = {"Method para", rows, HORA_COUNT(rows)};

enum { QUERY, VALUE, INNER, PARTS };
_Static_assert((int)PARTS <= (int)HORA_KEEPS, "a vector for each");

typedef struct block_params {
    hora_param *down, *up[PARTS];
    int64_t width[PARTS];
} block_params;
typedef struct state {
    block_params *layer;
    hora_t z; /* of the block in progress; NONE: to be made */
} state;

static hora_param *declare(hora_adapter *a, int layer, const char *what, hora_shape shape,
                           hora_init init) {
    char *name = hora_format("layers.%d.generator.%s.weight", layer, what);
    hora_param *p = hora_adapter_param(a, name, shape, init);
    p->layer = layer;
    hora_free(name);
    return p;
}

static int part_of(hora_site_kind k) {
    return k == HORA_SITE_Q                          ? QUERY
           : k == HORA_SITE_V                        ? VALUE
           : k == HORA_SITE_UP || k == HORA_SITE_FC1 ? INNER
                                                     : PARTS;
}

static hora_status setup(hora_adapter *a) {
    static const char *const names[] = {"q", "v", "up"};
    const config *c = a->config;
    const hora_base *b = a->base;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)b->layers, sizeof *st->layer);
    st->z = HORA_NONE;
    for (int i = 0; i < b->layers; i++)
        st->layer[i].down =
            declare(a, i, "down", HORA_SHAPE2(c->width, b->hidden),
                    (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)b->hidden)});
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        const int part = s->layer < 0 ? PARTS : part_of(s->kind);
        if (part == PARTS)
            continue;
        block_params *p = &st->layer[s->layer];
        p->width[part] = s->out;
        p->up[part] = declare(a, s->layer, names[part], HORA_SHAPE2(s->out, c->width),
                              (hora_init){.kind = HORA_INIT_ZERO});
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static int64_t keeps(const hora_adapter *a, int layer, int i) {
    return i < PARTS ? ((const state *)a->state)->layer[layer].width[i] : 0;
}

/* (rows, r) of what the block's attention reads. */
static hora_t hidden(hora_net *n, const config *c, const block_params *p, hora_t x) {
    hora_t z = hora_linear(n->g, hora_prompt_mean(n->g, x), hora_net_param(n, p->down), HORA_NONE,
                           HORA_NONE, 1);
    return hora_activate(n->g, z, hora_bottleneck_act(c->act));
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const config *c = a->config;
    state *st = a->state;
    const int part = s->layer < 0 ? PARTS : part_of(s->kind);
    hora_t y = hora_net_next(n, s, x, w, b);
    if (part == PARTS)
        return y;
    const block_params *p = &st->layer[s->layer];
    if (n->packed)
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "para scales every row, and another adapter leaves rows "
                                         "out; train them apart"));
    if (part == QUERY && !n->answers)
        st->z = hidden(n, c, p, x);
    hora_t u = n->answers ? HORA_NONE
                          : hora_linear(n->g, st->z, hora_net_param(n, p->up[part]), HORA_NONE,
                                        HORA_NONE, 1); /* (rows, out), the same in each */
    return hora_add(n->g, y, hora_net_keep(n, part, y, u), 1);
}

const hora_method hora_method_para = {
    .name = "para",
    .summary = "vectors made of the prompt stretch queries, values and the inner feed-forward",
    .form = "q, v, u times 1 + W z, z = g(W_down mean of the prompt)",
    .paper = "arXiv 2502.01033",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "vectors of the prompt are kept for one adapter alone",
    .hooks = {.linear = linear, .keeps = keeps},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
