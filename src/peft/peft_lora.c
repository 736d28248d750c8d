/*
 * LoRA: y = W x + b + s B A dropout(x), s = alpha / r, or alpha / sqrt(r) with rsLoRA. [lora eq.3,
 * arXiv 2106.09685; rslora, arXiv 2312.03732]
 *
 *   A (r, in) ~ U(-1/sqrt(in), 1/sqrt(in))     Kaiming with a = sqrt 5, as PEFT draws it
 *   B (out, r) = 0                             training starts at the base
 *
 *   dA = s (B' dy)' x    dB = s dy' (A x)    dx += s A' B' dy        all by op lowrank
 *
 * With use_dora every row of W + s B A has a learned magnitude: dora.h.
 */
#include <math.h>

#include "base/text.h"
#include "peft/dora.h"

typedef struct config {
    int64_t rank;
    double alpha, dropout;
    bool rslora, dora;
    int bias; /* choice: none all lora_only */
    hora_target_options target;
    char *rank_pattern, *alpha_pattern;
    hora_peft_config peft; /* what counts: from the texts above, or from a folder */
    bool from_folder;
} config;

static const char *const biases[] = {"none", "all", "lora_only"};
#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "r", "8", 1, 65536, "rank of the update"),
    OPT_REAL(alpha, "alpha", "lora_alpha", NULL, 0, 0,
             "scale is alpha / rank; default twice the rank"),
    OPT_REAL(dropout, "dropout", "lora_dropout", "0", 0, 0.99,
             "probability of dropping an input of A"),
    OPT_LIST(target.targets, "targets", "target_modules", "q+v", "LIST",
             "sites: q k v o gate up down, module names, all-linear or re:REGEX"),
    OPT_LIST(target.layers, "layers", "layers_to_transform", NULL, "LIST", "only these layers"),
    OPT_LIST(target.layers_pattern, "layers_pattern", NULL, NULL, "LIST",
             "name of the list of layers, as PEFT has it"),
    OPT_LIST(target.exclude, "exclude", "exclude_modules", NULL, "LIST", "modules left alone"),
    OPT_LIST(target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens"),
    OPT_BOOL(rslora, "rslora", "use_rslora", "false", "scale by alpha / sqrt(rank)"),
    OPT_BOOL(dora, "use_dora", NULL, "false", "a learned magnitude of every row: DoRA"),
    OPT_CHOICE(bias, "bias", NULL, "none", "none all lora_only",
               "biases that train: all of the model, or those of the targets"),
    OPT_PATTERNS(rank_pattern, "rank_pattern", NULL, NULL, "P:N;..",
                 "ranks by module name pattern"),
    OPT_PATTERNS(alpha_pattern, "alpha_pattern", NULL, NULL, "P:X;..",
                 "alphas by module name pattern"),
};
static const hora_options options = {"Method lora", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *a, *b; /* NULL: not adapted */
    int64_t rank;
    double alpha, scale;
    hora_dora dora;
} site;
typedef struct state {
    site *sites;
} state;

static hora_status add_site(hora_adapter *ad, int i) {
    const config *c = ad->config;
    state *st = ad->state;
    const hora_site *s = &ad->base->sites[i];
    double rank, alpha;
    HORA_TRY(hora_targets_value(c->peft.rank_pattern, c->peft.n_rank, s, (double)c->rank, &rank));
    HORA_TRY(
        hora_targets_value(c->peft.alpha_pattern, c->peft.n_alpha, s, c->peft.lora_alpha, &alpha));
    if (rank != floor(rank) || rank < 1)
        return hora_fail(HORA_EUSAGE,
                         "rank_pattern gives %s rank %g; ranks are whole numbers above 0",
                         s->module, rank);
    site *t = &st->sites[i];
    t->rank = (int64_t)rank;
    t->alpha = alpha;
    t->scale = alpha / (c->rslora ? sqrt(rank) : rank);
    hora_lowrank_params(ad, s, t->rank, &t->a, &t->b);
    char *magnitude = hora_peft_key(s->module, HORA_PEFT_MAGNITUDE);
    hora_dora_declare(&t->dora, ad, s, c->dora ? HORA_DORA_ON : HORA_DORA_OFF, magnitude, NULL);
    hora_free(magnitude);
    return HORA_OK;
}

static hora_status parse(config *c, const hora_base *b) {
    hora_peft_config *p = &c->peft;
    HORA_TRY(hora_targets_parse(p, &c->target, b));
    if (c->from_folder)
        return HORA_OK;
    p->r = c->rank;
    p->lora_alpha = c->alpha > 0 ? c->alpha : 2 * (double)c->rank;
    p->lora_dropout = c->dropout;
    p->use_rslora = c->rslora;
    p->use_dora = c->dora;
    p->bias = hora_strdup(biases[c->bias]);
    HORA_TRY(hora_patterns_parse(&p->rank_pattern, &p->n_rank, c->rank_pattern, "rank_pattern"));
    return hora_patterns_parse(&p->alpha_pattern, &p->n_alpha, c->alpha_pattern, "alpha_pattern");
}

/* PEFT's names: a bias behind an adapter is its base layer's. */
static void train_biases(hora_adapter *a, bool all) {
    const hora_base *b = a->base;
    const state *st = a->state;
    for (int w = 0; w < b->nweights; w++) {
        const char *module = NULL;
        for (int i = 0; i < b->nsites; i++)
            if (b->sites[i].bias == w && st->sites[i].a)
                module = b->sites[i].module;
        if (b->weights[w].role != HORA_ROLE_BIAS || (!module && !all))
            continue;
        char *name = module ? hora_peft_key(module, HORA_PEFT_BASE_BIAS)
                            : hora_format("base_model.model.%s", b->weights[w].name);
        hora_adapter_replace(a, w, name);
        hora_free(name);
    }
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    const hora_base *b = a->base;
    st->sites = hora_calloc((size_t)b->nsites + 1, sizeof *st->sites);
    HORA_TRY(parse(c, b));
    bool *on = hora_calloc((size_t)b->nsites + 1, sizeof *on);
    hora_status s = hora_targets_match(&c->peft, b, !c->from_folder, on);
    for (int i = 0; i < b->nsites && !s; i++)
        if (on[i])
            s = add_site(a, i);
    hora_free(on);
    if (!s && c->bias)
        train_biases(a, hora_eq(biases[c->bias], "all"));
    return s ? s : hora_targets_save(a, &c->peft);
}

static void release(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state;
    if (st)
        hora_free(st->sites);
    hora_peft_config_release(&c->peft);
}

/* --- recording -------------------------------------------------------------------------------- */

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++) {
        site *t = &st->sites[i];
        if (t->dora.m && a->base->sites[i].layer == layer)
            hora_dora_prelude(&t->dora, n, &a->base->sites[i], hora_net_param(n, t->a),
                              hora_net_param(n, t->b), t->scale);
    }
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const config *c = a->config;
    const state *st = a->state;
    int i = (int)(s - a->base->sites);
    const site *t = &st->sites[i];
    if (!t->a)
        return hora_net_next(n, s, x, w, b);
    hora_t xd = hora_dropout(n->g, x, hora_net_dropout(n, c->dropout),
                             hora_net_stream(n, a, "lora", s->kind));
    return hora_dora_lowrank(&t->dora, n, s, x, w, b, xd, hora_net_param(n, t->a),
                             hora_net_param(n, t->b), t->scale);
}

/* --- on disk ---------------------------------------------------------------------------------- */

static void factors(hora_adapter *a, int i, hora_factors *f) {
    const site *t = &((const state *)a->state)->sites[i];
    *f = t->a ? (hora_factors){.rank = t->rank,
                               .scale = t->scale,
                               .alpha = t->alpha,
                               .a = t->a->value,
                               .b = t->b->value,
                               .magnitude = t->dora.m ? t->dora.m->value : NULL}
              : (hora_factors){0};
}

static const hora_peft_config *peft_config(const hora_adapter *a) {
    return &((const config *)a->config)->peft;
}

static hora_status refuse(const hora_peft_config *c, const char *dir) {
    const char *what = c->lora_bias ? "lora_bias" : c->fan_in_fan_out ? "fan_in_fan_out" : NULL;
    return what ? hora_fail(HORA_EUNSUPPORTED,
                            "%s: adapter_config.json has %s, which is not computed here; merge it "
                            "with PEFT and open the merged model",
                            dir, what)
                : HORA_OK;
}

/* The texts are for people only, here: model cards and the identity of a checkpoint. */
static hora_status configure(const hora_method *m, void *own, const hora_foreign *f) {
    config *c = own;
    const hora_peft_config *p = f->peft;
    (void)m;
    HORA_TRY(refuse(p, f->dir));
    hora_peft_config_copy(&c->peft, p);
    c->from_folder = true;
    c->rank = p->r;
    c->alpha = p->lora_alpha;
    c->dropout = p->lora_dropout;
    c->rslora = p->use_rslora;
    c->dora = p->use_dora;
    for (int i = 0; i < (int)HORA_COUNT(biases); i++)
        if (hora_eq(p->bias, biases[i]))
            c->bias = i;
    hora_targets_show(&c->target, p);
    hora_patterns_show(&c->rank_pattern, p->rank_pattern, p->n_rank);
    hora_patterns_show(&c->alpha_pattern, p->alpha_pattern, p->n_alpha);
    return HORA_OK;
}

const hora_method hora_method_lora = {
    .name = "lora",
    .summary = "low-rank update of chosen projections; rsLoRA, DoRA, rank and alpha patterns",
    .paper = "arXiv 2106.09685",
    .alias = "dora",
    .alias_options = "use_dora=true",
    .default_lr = 2e-4,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = release,
    HORA_LOWRANK_FOLDER,
    .configure = configure,
    .factors = factors,
    .peft_config = peft_config,
};
