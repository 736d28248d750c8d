/*
 * BOFT: the rotation is a product of butterfly factors, and rows have a scale. [arXiv 2311.06243;
 * PEFT's form]
 *
 *   y = s * (W (x M)') + b      M = M_(m-1) .. M_0,  M_j = P_j blockdiag(R) P_j',  s (out)
 *   R = (I - Q)(I + Q)^-1       Q = (A - A') / 2, A (b, b) stored whole
 *
 * P_j is the j-th butterfly (op blocks). A = 0, s = 1: training starts at the base. Any number of
 * factors; PEFT without its CUDA extension takes one in silence, whatever the configuration says.
 * Merges.
 */
#include "peft/rotation.h"

typedef struct config {
    hora_typed typed;
    int64_t block, blocks, factors;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(block, "block_size", "boft_block_size", NULL, 0, 4096,
            "width of a block; default 4, unless blocks says otherwise"),
    OPT_INT(blocks, "blocks", "boft_block_num", "0", 0, 65536,
            "blocks of a factor; 0: from block_size"),
    OPT_INT(factors, "factors", "boft_n_butterfly_factor", "1", 1, HORA_ROTATION_FACTORS,
            "butterfly factors"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method boft", rows, HORA_COUNT(rows)};

/* The state: rotations, one a site, and their scales behind them. */
static hora_param **scales(const hora_adapter *a) {
    return (hora_param **)((hora_rotation *)a->state + a->base->nsites + 1);
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    hora_rotation *t = &((hora_rotation *)a->state)[i];
    const int64_t m = c->factors;
    int64_t b;
    HORA_TRY(hora_rotation_block(s, c->block, c->blocks, &b));
    if (m > 1 && (b % 2 || s->in % (b << (m - 1))))
        return hora_fail(
            HORA_EUSAGE,
            "factors=%lld: %s is %lld wide; blocks of %lld must be even, and %lld times "
            "2^%lld divide that; take fewer factors, or an even block_size",
            (long long)m, s->module, (long long)s->in, (long long)b, (long long)b,
            (long long)m - 1);
    *t = (hora_rotation){.block = b, .blocks = s->in / b, .factors = m, .whole = true};
    t->p = hora_typed_param(a, s, "boft_R", (hora_shape){4, {m, t->blocks, b, b}},
                            (hora_init){.kind = HORA_INIT_ZERO});
    scales(a)[i] = hora_typed_param(a, s, "boft_s", HORA_SHAPE2(s->out, 1),
                                    (hora_init){.kind = HORA_INIT_CONST, .value = 1});
    scales(a)[i]->decay = false; /* towards 0 it would take the base away */
    if (m == 1)
        return HORA_OK;
    t->index = hora_malloc((size_t)(m * s->in) * sizeof *t->index);
    for (int32_t k = 0; k < m * s->in; k++)
        t->index[k] = k;
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const size_t n = (size_t)a->base->nsites + 1;
    config *c = a->config;
    if (!c->block && !c->blocks)
        c->block = 4;
    a->state = hora_calloc(n, sizeof(hora_rotation) + sizeof(hora_param *));
    return hora_typed_setup(a, add);
}

/* The bias is not scaled: it is added behind. */
static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const int64_t i = s - a->base->sites;
    const hora_rotation *t = &((const hora_rotation *)a->state)[i];
    if (!t->p)
        return hora_net_next(n, s, x, w, b);
    hora_t y = hora_net_next(n, s, hora_rotation_turn(t, n, x), w, b);
    hora_t v = hora_typed_rows(n, a, (int)i, hora_net_param(n, scales(a)[i]));
    if (b == HORA_NONE)
        return hora_scale(n->g, y, v, 1);
    /* s y + (1 - s) b, y with its bias inside */
    hora_t rest = hora_add(n->g, hora_scale(n->g, b, v, 1), b, -1);
    return hora_affine(n->g, y, v, hora_scale(n->g, rest, HORA_NONE, -1));
}

static hora_status merge_scale(const hora_adapter *a, int i, const hora_merging *m) {
    const hora_site *s = &a->base->sites[i];
    const hora_param *p = scales(a)[i];
    float *w;
    HORA_TRY(hora_merging_weight(m, s->weight, &w));
    double *c = hora_malloc((size_t)s->out * sizeof *c);
    for (int64_t o = 0; o < s->out; o++) {
        c[o] = hora_value_at(p->value, a->dtype, hora_typed_row(a, i) + o);
        for (int64_t k = 0; k < s->in; k++)
            w[o * s->in + k] *= (float)c[o];
    }
    hora_merging_outside(m, s, c);
    hora_free(c);
    return HORA_OK;
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    HORA_TRY(hora_rotations_merge(a, m));
    for (int i = 0; i < a->base->nsites; i++)
        if (scales(a)[i])
            HORA_TRY(merge_scale(a, i, m));
    return HORA_OK;
}

const hora_method hora_method_boft = {
    .name = "boft",
    .summary = "butterfly-factored rotations of a projection's input, and a scale of its rows",
    .form = "y = s * (W (x M)') + b, M = M_(m-1) .. M_0 butterflies of rotations",
    .paper = "arXiv 2311.06243",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement,
              .prelude = hora_rotations_prelude,
              .linear = linear},
    .setup = setup,
    .release = hora_rotations_release,
    HORA_TYPED_FOLDER,
    .peft_type = "BOFT",
    .whole = true,
    .peft_keys = "boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout=0.0 "
                 "init_weights=true fan_in_fan_out=false " HORA_TYPED_KEYS,
    .merge = merge,
};
