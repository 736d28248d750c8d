/*
 * ST-Adapter: a bottleneck in front of the sublayers of a model of clips, whose hidden layer is a
 * convolution over time and space, column by column. [arXiv 2206.13559]
 *
 *   h <- h + s f(h)    f(h) = W_up act(D(W_down h + b_down)) + b_up, h the residual stream
 *   D: depthwise convolution over the grid of time, height and width, with biases, zeros around it
 *
 * As the authors' code has it (linziyi96/st-adapter, bded03c): in front of attention and of the
 * feed-forward, before their norms; k = 384, a kernel of 3 x 1 x 1, no act; D and all biases 0, so
 * training starts at the base. [ours] s and act, and the place: there time is that of frames that a
 * model of pictures reads one by one, here that of the pieces of a clip. Does not merge: it mixes
 * rows.
 */
#include <math.h>

#include "base/text.h"
#include "peft/bottleneck.h"
#include "peft/replaced.h"

typedef struct config {
    int64_t width, time, height, across; /* across: the kernel's width */
    double scale, dropout;
    int act, where; /* choices: .., attn+mlp attn mlp */
} config;

static const char acts[] = "identity relu gelu silu tanh";

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(width, "bottleneck", "k", "384", 1, 65536, "width of the hidden layer"),
    OPT_INT(time, "kernel_time", NULL, "3", 1, 63, "of the convolution, odd: pieces in time"),
    OPT_INT(height, "kernel_height", NULL, "1", 1, 63, "rows of pieces"),
    OPT_INT(across, "kernel_width", NULL, "1", 1, 63, "columns of pieces"),
    OPT_REAL(scale, "scale", "s", "1", -1e6, 1e6, "factor of what is added"),
    OPT_CHOICE(act, "act", NULL, "identity", acts, "behind the convolution"),
    OPT_CHOICE(where, "where", NULL, "attn+mlp", "attn+mlp attn mlp",
               "in front of which sublayers"),
    OPT_REAL(dropout, "dropout", NULL, "0", 0, 0.99, "probability of dropping a hidden number"),
};
static const hora_options options = {"Method st_adapter", rows, HORA_COUNT(rows)};

enum { ATTN, MLP, PLACES };
typedef struct place { /* zeroed: none */
    hora_param *down, *down_bias, *conv, *conv_bias, *up, *up_bias;
} place;
typedef struct layer {
    place at[PLACES];
} layer;

static hora_param *declare(hora_adapter *a, int i, int at, const char *what, hora_shape shape,
                           double bound) {
    char *name = hora_format("layers.%d.%s.%s", i, at == ATTN ? "attn" : "mlp", what);
    hora_param *p = hora_adapter_param(
        a, name, shape,
        (hora_init){.kind = bound > 0 ? HORA_INIT_UNIFORM : HORA_INIT_ZERO, .value = bound});
    p->layer = i;
    p->decay = shape.n == 2;
    hora_free(name);
    return p;
}

static hora_status check(const hora_adapter *a) {
    const config *c = a->config;
    const hora_vision *v = a->base->vision;
    if (!v || !v->fixed || v->frames <= v->tubelet) /* !fixed: tokens in front, see st_adapter.md */
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s (%s) has no time axis that could be convolved: it reads %s; take a "
                         "model of clips (videomae), or adaptformer",
                         a->base->dir, a->base->model_type, v ? "pictures" : "text");
    if (c->time % 2 == 0 || c->height % 2 == 0 || c->across % 2 == 0)
        return hora_fail(HORA_EUSAGE,
                         "a kernel of %lld x %lld x %lld has no middle; give odd kernel_time, "
                         "kernel_height and kernel_width",
                         (long long)c->time, (long long)c->height, (long long)c->across);
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    const int64_t d = a->base->hidden, k = c->width, taps = c->time * c->height * c->across;
    HORA_TRY(check(a));
    layer *l = a->state = hora_calloc((size_t)a->base->layers, sizeof *l);
    for (int i = 0; i < a->base->layers; i++)
        for (int at = 0; at < PLACES; at++) {
            place *p = &l[i].at[at];
            if (c->where == (at == ATTN ? 2 : 1))
                continue;
            p->down = declare(a, i, at, "down.weight", HORA_SHAPE2(k, d), 1 / sqrt((double)d));
            p->down_bias = declare(a, i, at, "down.bias", HORA_SHAPE1(k), 0);
            p->conv = declare(a, i, at, "conv.weight", HORA_SHAPE2(k, taps), 0);
            p->conv_bias = declare(a, i, at, "conv.bias", HORA_SHAPE1(k), 0);
            p->up = declare(a, i, at, "up.weight", HORA_SHAPE2(d, k), 1 / sqrt((double)k));
            p->up_bias = declare(a, i, at, "up.bias", HORA_SHAPE1(d), 0);
        }
    return HORA_OK;
}

/* f(h). No model of clips has tokens of its own in front; rows of another adapter's prompts get
 * W_up's bias. */
static hora_t record(hora_net *n, const hora_adapter *a, const place *p, hora_t h, int at) {
    static const hora_act act[] = {HORA_ACT_IDENTITY, HORA_ACT_RELU, HORA_ACT_GELU, HORA_ACT_SILU,
                                   HORA_ACT_TANH};
    const config *c = a->config;
    const hora_vision *v = a->base->vision;
    const int64_t kernel[] = {c->time, c->height, c->across};
    hora_graph *g = n->g;
    hora_t z = hora_linear(g, h, hora_net_param(n, p->down), hora_net_param(n, p->down_bias),
                           HORA_NONE, 1); /* (rows, k) */
    z = hora_depthwise(g, z, hora_net_param(n, p->conv), hora_net_param(n, p->conv_bias),
                       v->heads + v->slots, v->height / v->patch, v->width / v->patch, kernel);
    z = c->act ? hora_activate(g, z, act[c->act]) : z;
    z = hora_dropout(g, z, hora_net_dropout(n, c->dropout),
                     hora_net_stream(n, a, "st_adapter", at));
    return hora_linear(g, z, hora_net_param(n, p->up), hora_net_param(n, p->up_bias), HORA_NONE, 1);
}

static hora_t block(hora_net *n, hora_adapter *a, int i, hora_where where, const hora_sub *s) {
    const config *c = a->config;
    const place *p = ((const layer *)a->state)[i].at;
    if (where == HORA_BLOCK_IN && p[ATTN].down)
        return hora_add(n->g, s->y, record(n, a, &p[ATTN], s->y, ATTN), c->scale);
    if (where != HORA_BLOCK_ATTN || !p[MLP].down)
        return s->y;
    hora_t h = hora_add(n->g, s->res, s->y, 1); /* what the feed-forward begins with */
    return hora_add(n->g, s->y, record(n, a, &p[MLP], h, MLP), c->scale);
}

const hora_method hora_method_st_adapter = {
    .name = "st_adapter",
    .summary = "a bottleneck that convolves over the time and space of a clip, before sublayers",
    .form = "h <- h + s f(h), f(h) = W_up act(D(W_down h + b_down)) + b_up, D depthwise in 3-D",
    .paper = "arXiv 2206.13559",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.block = block},
    .setup = setup,
    HORA_DELTA_CALLBACKS,
};
