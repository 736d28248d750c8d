/*
 * OFT: the input of a projection is rotated, block by block. [arXiv 2306.07280; rotating the input,
 * arXiv 2506.19847; PEFT's form]
 *
 *   y = W (x R)' + b      R = blockdiag(R_1, R_2, ..), each from a skew-symmetric Q
 *
 *   exact   R = (I - Q)(I + Q)^-1
 *   series  R = I + 2 Q + 2 Q^2 + .. + Q^(t-1)     of (I + Q)(I - Q)^-1: the transpose of the exact
 *
 * The same numbers mean opposite rotations in the two; the flag of the adapter decides. Q = 0:
 * training starts at the base. Merges: rows of W turned by R'.
 */
#include "peft/rotation.h"

typedef struct config {
    hora_typed typed;
    int64_t block, blocks, terms;
    bool neumann, share;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(block, "block_size", "oft_block_size", NULL, 0, 4096,
            "width of a block; default 32, unless blocks says otherwise"),
    OPT_INT(blocks, "blocks", "r", "0", 0, 65536, "blocks of a site; 0: from block_size"),
    OPT_BOOL(neumann, "cayley_neumann", "use_cayley_neumann", "true",
             "the series in the place of the exact rotation"),
    OPT_INT(terms, "neumann_terms", "num_cayley_neumann_terms", "5", 3, 32, "terms of the series"),
    OPT_BOOL(share, "block_share", NULL, "false", "all blocks of a site are the same"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method oft", rows, HORA_COUNT(rows)};

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    hora_rotation *t = &((hora_rotation *)a->state)[i];
    int64_t b;
    HORA_TRY(hora_rotation_block(s, c->block, c->blocks, &b));
    *t = (hora_rotation){.block = b,
                         .blocks = c->share ? 1 : s->in / b,
                         .factors = 1,
                         .terms = c->neumann ? c->terms : 0};
    t->p = hora_typed_param(a, s, "oft_R.weight", HORA_SHAPE2(t->blocks, b * (b - 1) / 2),
                            (hora_init){.kind = HORA_INIT_ZERO});
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    hora_rotations_new(a);
    if (!c->block && !c->blocks)
        c->block = 32;
    return hora_typed_setup(a, add);
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const hora_rotation *t = &((const hora_rotation *)a->state)[s - a->base->sites];
    return hora_net_next(n, s, t->p ? hora_rotation_turn(t, n, x) : x, w, b);
}

/* Older PEFT had no series, and wrote no such key. */
static hora_status configure(const hora_method *m, void *own, const hora_foreign *f) {
    config *c = own;
    HORA_TRY(hora_typed_configure(m, own, f));
    if (!f->delta && !hora_json_get(f->peft->own, "use_cayley_neumann"))
        c->neumann = false;
    return HORA_OK;
}

const hora_method hora_method_oft = {
    .name = "oft",
    .summary = "block-diagonal rotations of a projection's input",
    .form = "y = W (x R)' + b, R = blockdiag((I - Q)(I + Q)^-1), or its series",
    .paper = "arXiv 2306.07280",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement,
              .prelude = hora_rotations_prelude,
              .linear = linear},
    .setup = setup,
    .release = hora_rotations_release,
    HORA_TYPED_FILES,
    .configure = configure,
    .peft_type = "OFT",
    .whole = true,
    .peft_keys = "r oft_block_size use_cayley_neumann num_cayley_neumann_terms block_share "
                 "coft!false eps=6e-05 module_dropout=0.0 init_weights=true "
                 "fan_in_fan_out=false " HORA_TYPED_KEYS,
    .merge = hora_rotations_merge,
};
