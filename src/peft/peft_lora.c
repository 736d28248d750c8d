/*
 * LoRA: y = W x + b + s B A dropout(x), s = alpha / r, or alpha / sqrt(r) with rsLoRA. [lora eq.3,
 * arXiv 2106.09685; rslora, arXiv 2312.03732]
 *
 *   A (r, in) ~ U(-1/sqrt(in), 1/sqrt(in))     Kaiming with a = sqrt 5, as PEFT draws it
 *   B (out, r) = 0                             training starts at the base
 *
 *   dA = s (B' dy)' x    dB = s dy' (A x)    dx += s A' B' dy        all by op lowrank
 *
 * With use_dora every row of W + s B A has a learned magnitude: dora.h. With lora_bias B has a
 * bias: s (B A x + c). The two ends of the model can be adapted too, as PEFT has it, each alone
 * also where they are tied:
 *
 *   head        z = x W' + s (dropout(x) A') B'         A (r, d) drawn, B (V, r) = 0
 *   embedding   h = E[ids] + s A'[ids] B'               A (r, V) = 0,   B (d, r) ~ N(0, 1)
 */
#include <math.h>

#include "base/text.h"
#include "peft/dora.h"
#include "peft/lora_parts.h"
#include "peft/lora_start.h"
#include "peft/tokens.h"

typedef struct config {
    int64_t rank;
    double alpha, dropout;
    bool rslora, dora, lora_bias, freeze_a;
    int init; /* choice: hora_lora_kind */
    int bias; /* choice: none all lora_only */
    hora_target_options target;
    char *rank_pattern, *alpha_pattern, *tokens;
    hora_peft_config peft; /* what counts: from the texts above, or from a folder */
    bool from_folder;
} config;

static const char *const biases[] = {"none", "all", "lora_only"};
#define OPT_OF config
static const hora_option rows[] = {
    HORA_LOWRANK_OPTIONS,
    OPT_LIST(target.targets, "targets", "target_modules", "q+v", "LIST",
             "sites: q k v o gate up down, lm_head, embed_tokens, module names, all-linear or "
             "re:REGEX"),
    OPT_LIST(target.layers, "layers", "layers_to_transform", NULL, "LIST", "only these layers"),
    OPT_LIST(target.layers_pattern, "layers_pattern", NULL, NULL, "LIST",
             "name of the list of layers, as PEFT has it"),
    OPT_LIST(target.exclude, "exclude", "exclude_modules", NULL, "LIST",
             "modules left alone: names or re:REGEX"),
    OPT_LIST(target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens, norm, module names"),
    OPT_LIST(tokens, "trainable_tokens", "trainable_token_indices", NULL, "LIST",
             "ids of tokens whose embedding trains: 32000+32001"),
    OPT_BOOL(rslora, "rslora", "use_rslora", "false", "scale by alpha / sqrt(rank)"),
    OPT_BOOL(dora, "use_dora", NULL, "false", "a learned magnitude of every row: DoRA"),
    OPT_CHOICE(init, "init", "init_lora_weights", "kaiming", HORA_START_NAMES,
               "where A and B start"),
    OPT_BOOL(freeze_a, "freeze_a", NULL, "false", "A stays where it starts: LoRA-FA"),
    OPT_CHOICE(bias, "bias", NULL, "none", "none all lora_only",
               "biases that train: all of the model, or those of the targets"),
    OPT_BOOL(lora_bias, "lora_bias", NULL, "false", "B has a bias of its own"),
    OPT_PATTERNS(rank_pattern, "rank_pattern", NULL, NULL, "P:N;..",
                 "ranks by module name pattern"),
    OPT_PATTERNS(alpha_pattern, "alpha_pattern", NULL, NULL, "P:X;..",
                 "alphas by module name pattern"),
};
static const hora_options options = {"Method lora", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *a, *b; /* NULL: not adapted */
    /* of a module that holds others too: this site's rows of b, and the first site's number */
    int32_t *rows;
    int lead;
    hora_t part;      /* those rows, in the recording in progress */
    hora_param *bias; /* of B (out); NULL: none */
    int64_t rank;
    double alpha, scale;
    hora_dora dora;
    hora_lora_start start;
    void *twice[2]; /* of a start that is kept: both factors, for files */
    hora_t turned,
        shift; /* of the recording in progress: the embedding's A' (V, r), s bias (out) */
} site;
typedef struct state {
    site *sites; /* the ends behind the others */
    hora_tokens tokens;
} state;

/* A site of a module that is adapted as a whole: one A, and its rows of one B. */
static void add_part(hora_adapter *ad, int i) {
    const hora_site *s = &ad->base->sites[i];
    state *st = ad->state;
    site *t = &st->sites[i];
    for (t->lead = 0; t->lead < i; t->lead++)
        if (st->sites[t->lead].rows && hora_eq(ad->base->sites[t->lead].fused, s->fused))
            break;
    if (t->lead < i) {
        t->a = st->sites[t->lead].a;
        t->b = st->sites[t->lead].b;
    } else {
        hora_lowrank_params(ad, s, t->rank, true, &t->a, &t->b);
    }
    t->rows = hora_malloc((size_t)s->out * sizeof *t->rows);
    for (int64_t o = 0; o < s->out; o++)
        t->rows[o] = (int32_t)(s->row + o);
}

/* What B's rows have beside it, of each site its own: lora_bias, the magnitude. */
static void add_rows(hora_adapter *ad, int i) {
    const config *c = ad->config;
    const hora_site *s = &ad->base->sites[i];
    site *t = &((state *)ad->state)->sites[i];
    if (c->lora_bias) {
        char *name = hora_peft_key(s->module, HORA_PEFT_LORA_BIAS);
        t->bias =
            hora_adapter_param(ad, name, HORA_SHAPE1(s->out), (hora_init){.kind = HORA_INIT_ZERO});
        t->bias->layer = s->layer;
        t->bias->decay = false;
        t->bias->lora_b = true;
        hora_free(name);
    }
    char *magnitude = hora_peft_key(s->module, HORA_PEFT_MAGNITUDE);
    hora_dora_declare(&t->dora, ad, s, c->dora ? HORA_DORA_ON : HORA_DORA_OFF, magnitude, NULL);
    hora_free(magnitude);
}

static bool keeps_start(const config *c) {
    return !c->from_folder && c->init >= HORA_START_PISSA;
}

/* What PEFT has for projections in the blocks, or for none but these. */
static hora_status check_end(const config *c, const hora_site *s) {
    const char *what = s->kind < HORA_SITES                         ? NULL
                       : c->dora                                    ? "use_dora"
                       : keeps_start(c)                             ? "init=pissa or olora"
                       : c->lora_bias && s->kind == HORA_SITE_EMBED ? "lora_bias"
                                                                    : NULL;
    return what ? hora_fail(HORA_EUNSUPPORTED,
                            "%s of %s is not computed here; leave %s out of the targets", what,
                            s->module, s->module)
                : HORA_OK;
}

/* A pattern's value; of a module as a whole by its own name alone, since it has one rank. */
static hora_status value_of(const hora_peft_pattern *p, int n, const hora_site *s, bool whole,
                            double usual, double *out) {
    return whole ? hora_peft_pattern_value(p, n, s->fused, usual, out)
                 : hora_targets_value(p, n, s, usual, out);
}

static hora_status add_site(hora_adapter *ad, int i) {
    const config *c = ad->config;
    state *st = ad->state;
    const hora_site *s = &ad->base->sites[i];
    double rank, alpha;
    HORA_TRY(check_end(c, s));
    bool whole;
    HORA_TRY(hora_targets_whole(&c->peft, s, c->from_folder, &whole));
    HORA_TRY(value_of(c->peft.rank_pattern, c->peft.n_rank, s, whole, (double)c->rank, &rank));
    HORA_TRY(
        value_of(c->peft.alpha_pattern, c->peft.n_alpha, s, whole, c->peft.lora_alpha, &alpha));
    if (rank != floor(rank) || rank < 1)
        return hora_fail(HORA_EUSAGE,
                         "rank_pattern gives %s rank %g; ranks are whole numbers above 0",
                         s->module, rank);
    site *t = &st->sites[i];
    t->rank = (int64_t)rank;
    t->alpha = alpha;
    t->scale = alpha / (c->rslora ? sqrt(rank) : rank);
    if (whole && (c->freeze_a || c->init))
        return hora_fail(HORA_EUNSUPPORTED,
                         "init and freeze_a of %s as a whole are not computed here; name its parts "
                         "(targets=q+v)",
                         s->fused);
    if (whole) {
        add_part(ad, i);
        add_rows(ad, i);
        return HORA_OK;
    }
    hora_lowrank_params(ad, s, t->rank, false, &t->a, &t->b);
    t->a->fixed = c->freeze_a;
    if (!c->from_folder && s->kind < HORA_SITES)
        HORA_TRY(hora_lora_start_declare(&t->start, ad, s, (hora_lora_kind)c->init, t->scale, t->a,
                                         t->b));
    add_rows(ad, i);
    return HORA_OK;
}

static hora_status parse_tokens(hora_peft_config *c, const char *text) {
    int cap = 0;
    hora_status s = HORA_OK;
    for (char *part; !s && (part = hora_list_word(&text, HORA_LIST)); hora_free(part)) {
        int64_t id = 0;
        if (hora_parse_int(part, &id) && id >= 0)
            HORA_PUSH(c->tokens, c->n_tokens, cap, id);
        else
            s = hora_fail(HORA_EUSAGE,
                          "trainable_tokens: `%s` is no token number; write 32000+32001 (`hora "
                          "tokenize` shows numbers)",
                          part);
    }
    return s;
}

static hora_status parse(config *c, const hora_base *b) {
    hora_peft_config *p = &c->peft;
    HORA_TRY(hora_targets_parse(p, &c->target, b));
    if (c->from_folder)
        return HORA_OK;
    double alpha = c->alpha; /* the option stays as it was given */
    hora_lowrank_scale(p, c->rank, &alpha, c->dropout);
    p->use_rslora = c->rslora;
    p->use_dora = c->dora;
    p->lora_bias = c->lora_bias;
    if (c->dora && c->lora_bias)
        return hora_fail(HORA_EUSAGE, "lora_bias and use_dora exclude each other; leave one out");
    p->bias = hora_strdup(biases[c->bias]);
    HORA_TRY(parse_tokens(p, c->tokens));
    HORA_TRY(hora_patterns_parse(&p->rank_pattern, &p->n_rank, c->rank_pattern, "rank_pattern"));
    return hora_patterns_parse(&p->alpha_pattern, &p->n_alpha, c->alpha_pattern, "alpha_pattern");
}

/* PEFT's names: a bias behind an adapter is its base layer's. */
static hora_status train_biases(hora_adapter *a, bool all) {
    const hora_base *b = a->base;
    const state *st = a->state;
    for (int w = 0; w < b->nweights; w++) {
        const char *module = NULL;
        bool shared = false; /* with others, in a module of transformers */
        for (int i = 0; i < b->nsites; i++) {
            if (b->sites[i].bias != w)
                continue;
            module = st->sites[i].a ? b->sites[i].module : module;
            shared = b->sites[i].fused != NULL;
        }
        if (b->weights[w].role != HORA_ROLE_BIAS || (!module && !all))
            continue;
        if (shared)
            return hora_fail(HORA_EUNSUPPORTED,
                             "bias: %s is part of a tensor, which PEFT trains as a whole; leave "
                             "bias out, or train biases with method bitfit",
                             b->weights[w].name);
        char *name = module ? hora_peft_key(module, HORA_PEFT_BASE_BIAS)
                            : hora_format("base_model.model.%s", b->weights[w].name);
        hora_adapter_replace(a, w, name);
        hora_free(name);
    }
    return HORA_OK;
}

/* For others a start that is kept is half of a LoRA of twice the rank, with the same scale. */
static void double_ranks(config *c) {
    hora_peft_config *p = &c->peft;
    p->r *= 2;
    p->lora_alpha *= c->rslora ? sqrt(2) : 2;
    for (int i = 0; i < p->n_rank; i++)
        p->rank_pattern[i].value *= 2;
    for (int i = 0; i < p->n_alpha; i++)
        p->alpha_pattern[i].value *= c->rslora ? sqrt(2) : 2;
}

static hora_status check_start(const config *c) {
    if (!keeps_start(c) || (!c->dora && !c->lora_bias && !c->tokens))
        return HORA_OK;
    return hora_fail(HORA_EUSAGE,
                     "init=pissa and init=olora start from W itself; leave use_dora, lora_bias and "
                     "trainable_tokens out, or take another init");
}

/* Rows of the embedding, unless something else of this adapter has it. */
static hora_status add_tokens(hora_adapter *a) {
    const config *c = a->config;
    state *st = a->state;
    const hora_base *b = a->base;
    const site *ends = st->sites + b->nsites; /* embedding, head */
    HORA_TRY(hora_tokens_declare(&st->tokens, a, &c->peft));
    if (!st->tokens.n)
        return HORA_OK;
    const bool other = ends[0].a || (b->tied && ends[1].a) || hora_adapter_replacement(a, b->embed);
    return other ? hora_fail(HORA_EUNSUPPORTED,
                             "trainable_token_indices: the embedding or its head trains already "
                             "(targets or modules_to_save); leave one of the two out")
                 : HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state = hora_calloc(1, sizeof *st);
    const hora_base *b = a->base;
    const int sites = b->nsites + b->nends;
    st->sites = hora_calloc((size_t)b->nsites + 2, sizeof *st->sites); /* or fewer ends */
    HORA_TRY(parse(c, b));
    HORA_TRY(check_start(c));
    bool *on = hora_calloc((size_t)sites + 1, sizeof *on);
    hora_status s = hora_targets_match(&c->peft, b, sites, !c->from_folder, on);
    if (!s && !c->from_folder)
        s = hora_patterns_match(&c->peft, b, sites, on);
    for (int i = 0; i < sites && !s; i++)
        if (on[i])
            s = add_site(a, i);
    hora_free(on);
    if (!s && c->bias)
        s = train_biases(a, hora_eq(biases[c->bias], "all"));
    if (!s)
        s = hora_targets_save(a, &c->peft, !c->from_folder);
    if (!s && keeps_start(c))
        double_ranks(c);
    return s ? s : add_tokens(a);
}

static void release(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state;
    for (int i = 0; st && st->sites && i < a->base->nsites; i++) {
        hora_free(st->sites[i].rows);
        hora_lora_start_release(&st->sites[i].start);
        hora_free(st->sites[i].twice[0]);
        hora_free(st->sites[i].twice[1]);
    }
    if (st) {
        hora_free(st->sites);
        hora_tokens_release(&st->tokens);
    }
    hora_peft_config_release(&c->peft);
}

/* --- recording -------------------------------------------------------------------------------- */

static void prepare_site(hora_net *n, const hora_adapter *a, const hora_site *s, site *t) {
    if (t->a && s->kind == HORA_SITE_EMBED) /* A (r, V) -> (V, r), whose rows the ids choose */
        t->turned = hora_permute(n->g, hora_net_param(n, t->a), 1, t->rank, s->in, 1);
    if (t->bias)
        t->shift = hora_scale(n->g, hora_net_param(n, t->bias), HORA_NONE, t->scale * a->weight);
}

/* The bias of a projection with what lora_bias adds. */
static hora_t shifted(hora_net *n, const site *t, hora_t b) {
    return !t->bias ? b : b == HORA_NONE ? t->shift : hora_add(n->g, t->shift, b, 1);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    if (layer < 0)
        hora_tokens_prelude(&st->tokens, n);
    for (int i = 0; i < a->base->nsites + a->base->nends; i++) {
        site *t = &st->sites[i];
        if (t->rows && a->base->sites[i].layer == layer)
            t->part = hora_gather(n->g, hora_net_param(n, t->b), t->rows, a->base->sites[i].out);
        if (a->base->sites[i].layer == layer)
            prepare_site(n, a, &a->base->sites[i], t);
        if (t->dora.m && a->base->sites[i].layer == layer)
            hora_dora_prelude(&t->dora, n, &a->base->sites[i], hora_net_param(n, t->a),
                              t->rows ? t->part : hora_net_param(n, t->b), t->scale);
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
    const int kind = t->rows ? (int)a->base->sites[t->lead].kind : (int)s->kind; /* one mask */
    hora_t xd =
        hora_dropout(n->g, x, hora_net_dropout(n, c->dropout), hora_net_stream(n, a, "lora", kind));
    hora_t y =
        hora_dora_lowrank(&t->dora, n, a, s, x, w, shifted(n, t, b), xd, hora_net_param(n, t->a),
                          t->rows ? t->part : hora_net_param(n, t->b), t->scale);
    if (t->bias || t->start.a0)
        hora_net_beyond(n);
    return hora_lora_start_minus(&t->start, n, a, x, y);
}

static hora_t tokens(hora_net *n, hora_adapter *a, hora_t h) {
    const state *st = a->state;
    const site *t = &st->sites[a->base->nsites];
    if (t->a) /* (rows, r) by (r, d) */
        h = hora_linear(n->g, hora_embed(n->g, t->turned), hora_net_param(n, t->b), HORA_NONE, h,
                        t->scale);
    return hora_tokens_input(&st->tokens, n, h);
}

static void head(hora_net *n, hora_adapter *a, hora_t x, hora_head *h) {
    const config *c = a->config;
    const state *st = a->state;
    const site *t = &st->sites[a->base->nsites + 1];
    if (a->base->nends > 1 && t->a) {
        hora_t xd = hora_dropout(n->g, x, hora_net_dropout(n, c->dropout),
                                 hora_net_stream(n, a, "lora", HORA_SITE_HEAD));
        h->b = shifted(n, t, h->b);
        hora_net_head_low(n, a, h,
                          hora_linear(n->g, xd, hora_net_param(n, t->a), HORA_NONE, HORA_NONE, 1),
                          hora_net_param(n, t->b), t->scale);
    }
    hora_tokens_head(&st->tokens, n, a, x, h);
}

/* --- on disk ---------------------------------------------------------------------------------- */

static hora_status materialise(hora_adapter *a) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++) {
        site *t = &st->sites[i];
        if (t->start.a0)
            hora_lora_start_double(&t->start, a, &t->twice[0], &t->twice[1]);
    }
    return HORA_OK;
}

/* B, or the site's rows of one that it shares. */
static const void *part_of_b(const hora_adapter *a, int i) {
    const site *t = &((const state *)a->state)->sites[i];
    const int64_t first = t->rows ? a->base->sites[i].row * t->rank : 0;
    return t->b->value ? (const char *)t->b->value + (size_t)first * hora_dtype_size(a->dtype)
                       : NULL;
}

static void factors(hora_adapter *a, int i, hora_factors *f) {
    const site *t = &((const state *)a->state)->sites[i];
    const bool twice = t->start.a0 != NULL;
    *f = t->a ? (hora_factors){.rank = twice ? 2 * t->rank : t->rank,
                               .scale = t->scale,
                               .alpha = t->alpha,
                               .a = twice ? t->twice[0] : t->a->value,
                               .b = twice ? t->twice[1] : part_of_b(a, i),
                               .magnitude = t->dora.m ? t->dora.m->value : NULL,
                               .bias = t->bias ? t->bias->value : NULL}
              : (hora_factors){0};
}

static const hora_peft_config *peft_config(const hora_adapter *a) {
    return &((const config *)a->config)->peft;
}

static hora_status refuse(const hora_peft_config *c, const char *dir) {
    const char *what = c->fan_in_fan_out ? "fan_in_fan_out" : NULL;
    return what ? hora_fail(HORA_EUNSUPPORTED,
                            "%s: adapter_config.json has %s, which is not computed here; merge it "
                            "with PEFT and open the merged model",
                            dir, what)
                : HORA_OK;
}

static void show_tokens(char **text, const hora_peft_config *p) {
    hora_str v = {0};
    for (int i = 0; i < p->n_tokens; i++)
        hora_str_printf(&v, "%s%lld", i ? "+" : "", (long long)p->tokens[i]);
    hora_free(*text);
    *text = v.s ? hora_strdup(v.s) : NULL;
    hora_str_release(&v);
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
    c->lora_bias = p->lora_bias;
    for (int i = 0; i < (int)HORA_COUNT(biases); i++)
        if (hora_eq(p->bias, biases[i]))
            c->bias = i;
    hora_targets_show(&c->target, p);
    show_tokens(&c->tokens, p);
    hora_patterns_show(&c->rank_pattern, p->rank_pattern, p->n_rank);
    hora_patterns_show(&c->alpha_pattern, p->alpha_pattern, p->n_alpha);
    return HORA_OK;
}

/* Parameters carry PEFT's names, but for those of parts of a module. */
static hora_status save(hora_adapter *a, const char *dir) {
    return keeps_start(a->config) ? hora_lowrank_save(a, dir) : hora_parts_save(a, dir);
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    HORA_TRY(hora_lowrank_merge(a, m));
    return hora_tokens_merge(&((const state *)a->state)->tokens, a, m);
}

const hora_method hora_method_lora = {
    .name = "lora",
    .summary = "low-rank update of chosen projections; rsLoRA, DoRA, rank and alpha patterns",
    .form = "y = W x + b + (alpha / r) B A x",
    .paper = "arXiv 2106.09685",
    .alias = "dora",
    .alias_options = "use_dora=true",
    .default_lr = 2e-4,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement,
              .prelude = prelude,
              .tokens = tokens,
              .linear = linear,
              .head = head},
    .setup = setup,
    .release = release,
    .claims = hora_lowrank_claims,
    .save = save,
    .load = hora_parts_load,
    .merge = merge,
    .configure = configure,
    .materialise = materialise,
    .factors = factors,
    .factors_rank = "the rank, twice that with init pissa or olora",
    .ends = true,
    .peft_config = peft_config,
};
