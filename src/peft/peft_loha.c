/*
 * LoHa: the update is the elementwise product of two low-rank ones. [arXiv 2108.06098;
 * FedPara's form, as LyCORIS and PEFT have it]
 *
 *   W' = W + s (A1 B1) * (A2 B2)      s = alpha / r;  A (out, r), B (r, in)
 *
 * An elementwise product of ranks r has rank r r at most, and its factors are known: row by row the
 * outer products of A1's and A2's rows, column by column those of B1 and B2. So it is computed, and
 * exported, as a LoRA of rank r r; nothing of the size of W is formed.
 *
 *   A2's partner B2 starts at zero: training starts at the base
 */
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank;
    double alpha;
    char *rank_pattern, *alpha_pattern;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "8", 1, 256, "rank of each of the two updates"),
    OPT_REAL(alpha, "alpha", NULL, "8", 0, 0, "scale is alpha / rank"),
    OPT_PATTERNS(rank_pattern, "rank_pattern", NULL, NULL, "P:N;..",
                 "ranks by module name pattern"),
    OPT_PATTERNS(alpha_pattern, "alpha_pattern", NULL, NULL, "P:X;..",
                 "alphas by module name pattern"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method loha", rows, HORA_COUNT(rows)};

typedef struct pair {
    hora_param *a, *b; /* (out, r), (r, in) */
} pair;
typedef struct state {
    hora_made *made;
    pair (*site)[2];
    int64_t *rank;
} state;

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    double alpha;
    int64_t r;
    HORA_TRY(hora_typed_rank(a, s, c->rank, c->alpha, &r, &alpha));
    st->rank[i] = r;
    st->made[i] =
        (hora_made){.rank = r * r, .scale = alpha / (double)r, .alpha = alpha * (double)r};
    static const char *const names[2][2] = {{"hada_w1_a", "hada_w1_b"}, {"hada_w2_a", "hada_w2_b"}};
    for (int k = 0; k < 2; k++) {
        st->site[i][k].a =
            hora_typed_param(a, s, names[k][0], HORA_SHAPE2(s->out, r), hora_kaiming(r));
        st->site[i][k].b =
            hora_typed_param(a, s, names[k][1], HORA_SHAPE2(r, s->in),
                             k ? (hora_init){.kind = HORA_INIT_ZERO} : hora_kaiming(s->in));
    }
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->site);
    st->rank = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->rank);
    HORA_TRY(hora_typed_patterns(a, ((const config *)a->config)->rank_pattern,
                                 ((const config *)a->config)->alpha_pattern));
    return hora_typed_setup(a, add);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (!st)
        return;
    hora_free(st->site);
    hora_free(st->rank);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    hora_graph *g = n->g;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        const int64_t r = st->rank[i];
        if (!r || s->layer != layer)
            continue;
        hora_t bt[2], a_[2]; /* (in, r), (out, r) */
        for (int k = 0; k < 2; k++) {
            bt[k] = hora_permute(g, hora_net_param(n, st->site[i][k].b), 1, r, s->in, 1);
            a_[k] = hora_typed_rows(n, a, i, hora_net_param(n, st->site[i][k].a));
        }
        st->made[i].a = hora_permute(g, hora_outer(g, bt[0], bt[1]), 1, s->in, r * r, 1);
        st->made[i].f = hora_outer(g, a_[0], a_[1]); /* (out, r r) */
    }
}

const hora_method hora_method_loha = {
    .name = "loha",
    .summary = "elementwise product of two low-rank updates: rank r r from 2 r (in + out) numbers",
    .form = "W' = W + (alpha / r) (A1 B1) * (A2 B2)",
    .paper = "arXiv 2108.06098",
    .default_lr = 2e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_TYPED_FOLDER,
    .peft_type = "LOHA",
    .whole = true,
    .peft_keys =
        "r alpha rank_pattern=RANKS alpha_pattern=ALPHAS init_weights=true module_dropout=0.0 "
        "rank_dropout=0.0 use_effective_conv2d=false layers_to_transform=null "
        "layers_pattern=null",
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
    .factors_rank = "rank x rank",
};
