/*
 * Adaptive layer selection: in every step only the k blocks train that move the sample's
 * representation most. [arXiv 2408.08670]
 *
 *   D_l = sum over samples |c_l - c_(l-1)|^2 / d    c_l: class token behind block l (where rows see
 *                                                   only what is before them: the last position)
 *   b_l <- m b_l + (1 - m) D_l / max D              b_l = 1 at the start
 *   the k blocks of highest b train, of equals the higher; nothing goes backward below the lowest
 *
 * The paper's are D, a budget per layer that follows it, and training the K layers of highest
 * budget. [ours] How b follows D, how K is found (an option), and the last position. Its other
 * half, which drops tokens, is not here: a step has one shape. With weights=none it trains nothing
 * of its own and chooses for the adapters beside it.
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "peft/replaced.h"

enum { ALL, ATTENTION, NOTHING };
typedef struct config {
    int64_t train, lowest;
    double momentum;
    int weights;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(train, "train_layers", "K", "0", 0, 1 << 20,
            "blocks that train in a step; 0: half of those that may"),
    OPT_INT(lowest, "lowest", NULL, "0", 0, 1 << 20, "lowest block that may train, from 0"),
    OPT_REAL(momentum, "momentum", NULL, "0.9", 0, 1, "of the budgets"),
    OPT_CHOICE(weights, "weights", NULL, "all", "all attention none",
               "weights of its own that train; none: it chooses for the adapters beside it"),
};
static const hora_options options = {"Method alast", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param *budget, *skipped; /* (blocks): b; updates that a block sat out */
    hora_t before, *moved;        /* of the training's recording: D of each block */
    double *sum;                  /* D over the micro-batches of a step */
    bool *trains;                 /* blocks of this step */
} state;

static hora_param *aside(hora_adapter *a, const char *name, double value) {
    hora_param *p = hora_adapter_param(a, name, HORA_SHAPE1(a->base->layers),
                                       (hora_init){.kind = HORA_INIT_CONST, .value = value});
    p->fixed = p->aside = true;
    return p;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const hora_base *b = a->base;
    const int64_t may = b->layers - c->lowest;
    if (may < 1 || c->train > may)
        return hora_fail(HORA_EUSAGE,
                         "lowest=%lld, train_layers=%lld: the model has %lld blocks, so that %lld "
                         "may train",
                         (long long)c->lowest, (long long)c->train, (long long)b->layers,
                         (long long)hora_max(may, 0));
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->budget = aside(a, "alast.budget", 1);
    st->skipped = aside(a, "alast.skipped", 0);
    st->moved = hora_calloc((size_t)b->layers, sizeof *st->moved);
    st->sum = hora_calloc((size_t)b->layers, sizeof *st->sum);
    st->trains = hora_calloc((size_t)b->layers, sizeof *st->trains);
    for (int w = 0; w < b->nweights && c->weights != NOTHING; w++)
        if (b->weights[w].layer >= c->lowest && (c->weights == ALL || hora_base_in_attention(b, w)))
            hora_adapter_replace(a, w, b->weights[w].name);
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    if (!st)
        return;
    hora_free(st->moved);
    hora_free(st->sum);
    hora_free(st->trains);
}

static hora_t block(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    state *st = a->state;
    if (n->mode != HORA_NET_TRAIN)
        return s->y;
    if (where == HORA_BLOCK_IN)
        st->before = s->res;
    if (where == HORA_BLOCK_OUT) {
        st->moved[layer] = hora_moved(n->g, s->res, st->before);
        hora_graph_output(n->g, st->moved[layer]);
    }
    return s->y;
}

/* --- between steps ---------------------------------------------------------------------------- */
static void choose(hora_adapter *a, bool *trains, int64_t *skipped) {
    const config *c = a->config;
    state *st = a->state;
    const int64_t layers = a->base->layers, may = layers - c->lowest;
    const int64_t keep = c->train ? c->train : (may + 1) / 2;
    const float *b = st->budget->value;
    for (int64_t l = 0; l < layers; l++) {
        int64_t above = 0; /* blocks that come first */
        for (int64_t k = c->lowest; k < layers; k++)
            above += b[k] > b[l] || (b[k] == b[l] && k > l);
        st->trains[l] = trains[l] = l >= c->lowest && above < keep;
        skipped[l] = (int64_t)((const float *)st->skipped->value)[l];
        st->sum[l] = 0;
    }
}

static void watched(hora_adapter *a, const hora_graph *g) {
    state *st = a->state;
    for (int64_t l = 0; l < a->base->layers; l++)
        st->sum[l] += hora_graph_scalar(g, st->moved[l]);
}

static void stepped(hora_adapter *a, int64_t step, int64_t steps) {
    const config *c = a->config;
    const state *st = a->state;
    float *b = st->budget->value, *skipped = st->skipped->value;
    double most = 0;
    char text[256] = "";
    int used = 0;
    (void)steps;
    for (int64_t l = c->lowest; l < a->base->layers; l++)
        most = fmax(most, st->sum[l]);
    for (int64_t l = 0; l < a->base->layers; l++) {
        if (most > 0)
            b[l] = (float)(c->momentum * (double)b[l] + (1 - c->momentum) * st->sum[l] / most);
        skipped[l] += !st->trains[l];
        if (st->trains[l] && used < (int)sizeof text)
            used += hora_snprintf(text + used, sizeof text - (size_t)used, " %lld", (long long)l);
    }
    hora_log(HORA_LOG_DEBUG, "alast: step %lld trained the blocks%s", (long long)step, text);
}

const hora_method hora_method_alast = {
    .name = "alast",
    .summary = "in each step only the blocks train that move the class token most",
    .form = "every W and b of the k blocks of highest budget b_l trains, b_l follows "
            "|c_l - c_(l-1)|^2",
    .paper = "arXiv 2408.08670",
    .default_lr = 2e-5,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "which blocks train is decided for all of a step",
    .hooks = {.select = hora_adapter_replacement, .block = block},
    .setup = setup,
    .release = release,
    .choose = choose,
    .watched = watched,
    .stepped = stepped,
    HORA_DELTA_FOLDER,
};
