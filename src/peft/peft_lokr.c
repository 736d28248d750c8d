/*
 * LoKr: the update is a Kronecker product. [LyCORIS, arXiv 2309.14859; PEFT's form]
 *
 *   W' = W + s (C (x) D)      C (p, q), D (t, u), p t = out, q u = in; s = alpha / r
 *
 * The sizes are two factors of each width, near its square root or near decompose_factor. D, and
 * with decompose_both C, is a product of rank r where that is smaller: C = C_a C_b, D = D_a D_b.
 * C = 0 (C_a = 0): training starts at the base. Op kron forms nothing of the size of W.
 */
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank, factor;
    double alpha;
    bool both;
    char *rank_pattern, *alpha_pattern;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "8", 1, 65536, "rank of a factor that is a product"),
    OPT_REAL(alpha, "alpha", NULL, "8", 0, 0, "scale is alpha / rank"),
    OPT_BOOL(both, "decompose_both", NULL, "false", "the first factor is a product too"),
    OPT_INT(factor, "decompose_factor", NULL, "-1", -1, 65536,
            "height and width of the first factor; -1: near the square root"),
    OPT_PATTERNS(rank_pattern, "rank_pattern", NULL, NULL, "P:N;..",
                 "ranks by module name pattern"),
    OPT_PATTERNS(alpha_pattern, "alpha_pattern", NULL, NULL, "P:X;..",
                 "alphas by module name pattern"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method lokr", rows, HORA_COUNT(rows)};

typedef struct factor {
    int64_t n, m;
    hora_param *whole, *a, *b; /* (n, m), or (n, r) and (r, m) */
    hora_t made;               /* (n, m) of the recording in progress */
} factor;
typedef struct site {
    factor f[2];
    double scale;
} site;

/* PEFT's factorization: two numbers whose product is n, the first one no larger. */
static void factorise(int64_t n, int64_t factor, int64_t *small, int64_t *large) {
    *small = 1;
    *large = n;
    if (factor > 0 && n % factor == 0) {
        *small = factor;
        *large = n / factor;
        return;
    }
    if (factor == -1)
        factor = n;
    int64_t length = 1 + n;
    while (*small < *large) {
        int64_t m = *small + 1;
        while (n % m)
            m++;
        if (m + n / m > length || m > factor)
            break;
        *small = m;
        *large = n / m;
        length = *small + *large;
    }
    if (*small > *large) {
        const int64_t swap = *small;
        *small = *large;
        *large = swap;
    }
}

static void declare(hora_adapter *a, const hora_site *s, factor *f, bool first, int64_t r,
                    bool product) {
    const hora_init zero = {.kind = HORA_INIT_ZERO};
    if (!product) {
        f->whole = hora_typed_param(a, s, first ? "lokr_w1" : "lokr_w2", HORA_SHAPE2(f->n, f->m),
                                    first ? zero : hora_kaiming(f->m));
        return;
    }
    f->a = hora_typed_param(a, s, first ? "lokr_w1_a" : "lokr_w2_a", HORA_SHAPE2(f->n, r),
                            first ? zero : hora_kaiming(r));
    f->b = hora_typed_param(a, s, first ? "lokr_w1_b" : "lokr_w2_b", HORA_SHAPE2(r, f->m),
                            hora_kaiming(f->m));
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    const hora_site *s = &a->base->sites[i];
    site *t = &((site *)a->state)[i];
    double alpha;
    int64_t r;
    HORA_TRY(hora_typed_rank(a, s, c->rank, c->alpha, &r, &alpha));
    factorise(s->out, c->factor, &t->f[0].n, &t->f[1].n);
    factorise(s->in, c->factor, &t->f[0].m, &t->f[1].m);
    t->scale = alpha / (double)r;
    for (int k = 0; k < 2; k++)
        declare(a, s, &t->f[k], !k, r, (k || c->both) && 2 * r < hora_max(t->f[k].n, t->f[k].m));
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const config *c = a->config;
    a->state = hora_calloc((size_t)a->base->nsites + 1, sizeof(site));
    HORA_TRY(hora_typed_patterns(a, c->rank_pattern, c->alpha_pattern));
    return hora_typed_setup(a, add);
}

/* --- recording -------------------------------------------------------------------------------- */

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    site *st = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        for (int k = 0; k < 2 && a->base->sites[i].layer == layer; k++) {
            factor *f = &st[i].f[k];
            if (f->whole)
                f->made = hora_net_param(n, f->whole);
            if (!f->a)
                continue;
            hora_t b = hora_permute(n->g, hora_net_param(n, f->b), 1, f->b->shape.d[0], f->m, 1);
            f->made = hora_linear(n->g, hora_net_param(n, f->a), b, HORA_NONE, HORA_NONE, 1);
        }
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const site *t = &((const site *)a->state)[s - a->base->sites];
    hora_t y = hora_net_next(n, s, x, w, b);
    return t->f[0].n ? hora_add(n->g, y, hora_kron(n->g, x, t->f[0].made, t->f[1].made), t->scale)
                     : y;
}

/* --- merging ---------------------------------------------------------------------------------- */

/* (n, m) in f64; new. */
static double *values(const hora_adapter *a, const factor *f) {
    double *v = hora_calloc((size_t)(f->n * f->m), sizeof *v);
    const int64_t r = f->a ? f->a->shape.d[1] : 0;
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t j = 0; j < f->m; j++) {
            if (f->whole)
                v[i * f->m + j] = hora_value_at(f->whole->value, a->dtype, i * f->m + j);
            for (int64_t l = 0; l < r; l++)
                v[i * f->m + j] += hora_value_at(f->a->value, a->dtype, i * r + l) *
                                   hora_value_at(f->b->value, a->dtype, l * f->m + j);
        }
    return v;
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    for (int i = 0; i < a->base->nsites; i++) {
        const site *t = &((const site *)a->state)[i];
        const hora_site *s = &a->base->sites[i];
        float *w;
        if (!t->f[0].n)
            continue;
        HORA_TRY(hora_merging_weight(m, s->weight, &w));
        double *c = values(a, &t->f[0]), *d = values(a, &t->f[1]);
        for (int64_t o = 0; o < s->out; o++)
            for (int64_t k = 0; k < s->in; k++)
                w[o * s->in + k] +=
                    (float)(t->scale * c[o / t->f[1].n * t->f[0].m + k / t->f[1].m] *
                            d[o % t->f[1].n * t->f[1].m + k % t->f[1].m]);
        hora_free(c);
        hora_free(d);
    }
    return HORA_OK;
}

const hora_method hora_method_lokr = {
    .name = "lokr",
    .summary = "the update is a Kronecker product of two small matrices",
    .form = "W' = W + (alpha / r) (C (x) D)",
    .paper = "arXiv 2309.14859",
    .default_lr = 2e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = hora_typed_release,
    HORA_TYPED_FOLDER,
    .peft_type = "LOKR",
    .peft_keys = "r alpha decompose_both decompose_factor rank_pattern=RANKS alpha_pattern=ALPHAS "
                 "init_weights=true module_dropout=0.0 rank_dropout=0.0 rank_dropout_scale=false "
                 "use_effective_conv2d=false layers_to_transform=null layers_pattern=null",
    .merge = merge,
};
