/*
 * Low-rank side adaptation: a light network beside the blocks reads what they give and refines it;
 * the backbone runs without any backward and keeps nothing. [arXiv 2402.02887]
 *
 *   t_l = b_l + y_(l-1)                      b_l: residual stream behind block l, y_0 = 0
 *   u_l = M(norm(t_l))                       M: low rank over the tokens of a sample,
 *                                            M(z) = U s(V z), V (r, T), U (T, r)
 *   y_l = y_(l-1) + u_l + f(norm'(t_l + u_l))    f: low rank over the channels, with biases
 *   h   = b_L + y_L                          what the model's last norm and head read
 *
 * The paper's: the parallel network, no gradient into the backbone, low-rank MLPs alternating over
 * channels and tokens, of clips tokens in space and in time. [ours] The exact sums, norms, what the
 * head reads, U = 0 and W_up = 0 at the start: training starts at the base. Where rows see only
 * what is before them tokens are not mixed: that would show them what comes. Does not merge.
 */
#include <math.h>

#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t rank, tokens;
    int act; /* of hora_bottleneck_acts */
    double dropout;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "32", 1, 65536, "width of the network over channels"),
    OPT_INT(tokens, "token_rank", NULL, "-1", -1, 65536,
            "of that over tokens; 0: none; -1: 8 where rows see each other both ways, else none"),
    OPT_CHOICE(act, "act", NULL, "gelu", hora_bottleneck_acts, "of the hidden layers"),
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping a hidden number"),
};
static const hora_options options = {"Method losa", rows, HORA_COUNT(rows)};

enum { SPACE, TIME, AXES }; /* of clips; else SPACE alone, over all tokens */
typedef struct mixer {      /* zeroed: none */
    hora_param *down, *up;  /* V (r, T), U (T, r) */
    int64_t run;            /* tokens of a frame; 0: the axis is the whole sample */
    bool across;            /* over frames */
} mixer;
typedef struct block_params {
    hora_param *norm[2], *bias[2]; /* before tokens, before channels */
    mixer mix[AXES];
    hora_bottleneck channels;
} block_params;
typedef struct state {
    block_params *layer;
    hora_t y; /* of the recording in progress */
} state;

static hora_param *declare(hora_adapter *a, int layer, const char *what, hora_shape shape,
                           hora_init init) {
    char *name = hora_format("layers.%d.%s", layer, what);
    hora_param *p = hora_adapter_param(a, name, shape, init);
    p->layer = layer;
    p->decay = shape.n == 2;
    hora_free(name);
    return p;
}

static void declare_mixer(mixer *m, hora_adapter *a, int layer, const char *axis, int64_t rank,
                          int64_t places) {
    char *down = hora_format("%s.down.weight", axis), *up = hora_format("%s.up.weight", axis);
    m->down = declare(a, layer, down, HORA_SHAPE2(rank, places),
                      (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)places)});
    m->up = declare(a, layer, up, HORA_SHAPE2(places, rank), (hora_init){.kind = HORA_INIT_ZERO});
    hora_free(down);
    hora_free(up);
}

/* Tokens of a sample, and of a frame where it is a clip without tokens of its own; 0: no bound. */
static int64_t tokens_of(const hora_base *b, int64_t *frame) {
    const hora_vision *v = b->vision;
    *frame =
        v && v->frames > v->tubelet && !v->heads ? v->height / v->patch * (v->width / v->patch) : 0;
    return v ? hora_vision_segment(v) : b->max_positions;
}

static hora_status check(hora_adapter *a) {
    config *c = a->config;
    int64_t frame;
    const bool both = a->base->encoder;
    if (c->tokens < 0)
        c->tokens = both ? 8 : 0;
    if (c->tokens && !both)
        return hora_fail(HORA_EUSAGE,
                         "token_rank=%lld: in this model a token sees only those "
                         "before it, and mixing would show it the others; leave it "
                         "out (channels alone)",
                         (long long)c->tokens);
    if (c->tokens && !tokens_of(a->base, &frame))
        return hora_fail(HORA_EUNSUPPORTED, "the model does not say how many tokens it takes; give "
                                            "token_rank=0 (channels alone)");
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const hora_base *b = a->base;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->layer = hora_calloc((size_t)b->layers, sizeof *st->layer);
    HORA_TRY(check(a));
    int64_t frame, places = tokens_of(b, &frame);
    for (int i = 0; i < b->layers; i++) {
        block_params *p = &st->layer[i];
        for (int k = c->tokens ? 0 : 1; k < 2; k++) {
            p->norm[k] =
                declare(a, i, k ? "channel_norm.weight" : "token_norm.weight",
                        HORA_SHAPE1(b->hidden), (hora_init){.kind = HORA_INIT_CONST, .value = 1});
            p->bias[k] = declare(a, i, k ? "channel_norm.bias" : "token_norm.bias",
                                 HORA_SHAPE1(b->hidden), (hora_init){.kind = HORA_INIT_ZERO});
        }
        if (c->tokens)
            declare_mixer(&p->mix[SPACE], a, i, "tokens", c->tokens, frame ? frame : places);
        if (c->tokens && frame)
            declare_mixer(&p->mix[TIME], a, i, "frames", c->tokens, places / frame);
        for (int k = 0; k < AXES; k++)
            p->mix[k].run = frame;
        p->mix[TIME].across = true;
        hora_bottleneck_declare(&p->channels, a, i, "channels", c->rank);
    }
    return HORA_OK;
}

static void release(hora_adapter *a) {
    if (a->state)
        hora_free(((state *)a->state)->layer);
}

static hora_t norm(hora_net *n, const block_params *p, int k, hora_t x) {
    return hora_layernorm(n->g, x, hora_net_param(n, p->norm[k]), hora_net_param(n, p->bias[k]),
                          1e-6);
}

static hora_t mix_tokens(hora_net *n, const config *c, const block_params *p, hora_t t) {
    hora_t sum = HORA_NONE, z = HORA_NONE;
    for (int k = 0; k < AXES; k++) {
        const mixer *m = &p->mix[k];
        if (!m->down)
            continue;
        z = z == HORA_NONE ? norm(n, p, 0, t) : z;
        hora_t u = hora_tokenmix(n->g, z, hora_net_param(n, m->down), hora_net_param(n, m->up),
                                 hora_bottleneck_act(c->act), m->run, m->across);
        sum = sum == HORA_NONE ? u : hora_add(n->g, sum, u, 1);
    }
    return sum;
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    state *st = a->state;
    const block_params *p = &st->layer[layer];
    hora_graph *g = n->g;
    if (where == HORA_BLOCK_IN && layer == 0)
        st->y = HORA_NONE;
    if (where != HORA_BLOCK_OUT)
        return s->y;
    hora_t t = st->y == HORA_NONE ? s->res : hora_add(g, s->res, st->y, 1); /* (rows, d) */
    hora_t u = mix_tokens(n, c, p, t);
    hora_t v = u == HORA_NONE ? t : hora_add(g, t, u, 1);
    hora_t f = hora_bottleneck_record(&p->channels, n, a, norm(n, p, 1, v),
                                      hora_bottleneck_act(c->act), c->dropout, 0);
    if (u != HORA_NONE)
        f = hora_add(g, f, u, 1);
    st->y = st->y == HORA_NONE ? f : hora_add(g, f, st->y, 1);
    return layer + 1 < a->base->layers ? s->y : hora_add(g, s->y, st->y, 1);
}

const hora_method hora_method_losa = {
    .name = "losa",
    .summary = "a low-rank mixer beside the blocks, which run without any backward",
    .form = "y_l = y_(l-1) + M(n(t_l)) + f(n'(t_l + ..)), t_l = b_l + y_(l-1); h = b_L + y_L",
    .paper = "arXiv 2402.02887",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    .release = release,
    HORA_DELTA_CALLBACKS,
};
