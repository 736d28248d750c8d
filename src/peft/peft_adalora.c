/*
 * AdaLoRA: the update is written as a singular value decomposition, and a budget of singular values
 * is spent where they matter. [arXiv 2303.10512; PEFT's form]
 *
 *   y = W x + b + alpha / (r + 1e-5) B (e * (A dropout(x)))    A (r, in), B (out, r), e (r, 1)
 *   loss + weight mean over all A, B of |A A' - I|_F, |B'B - I|_F
 *
 * After step t, with budget b(t) = r_total before tinit, target_r per site behind total - tfinal,
 * and between them b = target + (r_total - target) (1 - progress)^3, every deltaT steps:
 *
 *   I = |p dp|, avg <- beta1 avg + (1 - beta1) I, unc <- beta2 unc + (1 - beta2) |I - avg|
 *   score of a triplet = s(e_i) + mean s(A_i) + mean s(B_i),  s = avg unc
 *
 * the b(t) triplets of highest score keep their e, the others' becomes 0. Behind total - tfinal the
 * choice stays. A, B ~ N(0, 0.02), e = 0: training starts at the base. Merges: a LoRA of rank r.
 */
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank, target, tinit, tfinal, every, total;
    double alpha, dropout, beta1, beta2, weight;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(rank, "rank", "init_r", "12", 1, 65536, "triplets of each site at the start"),
    OPT_INT(target, "target_rank", "target_r", "8", 1, 65536,
            "triplets of a site at the end, mean"),
    HORA_ALPHA_OPTION,
    HORA_DROPOUT_OPTION,
    OPT_INT(tinit, "tinit", NULL, "0", 0, 1 << 30, "steps before the budget shrinks"),
    OPT_INT(tfinal, "tfinal", NULL, "0", 0, 1 << 30, "steps with the final choice at the end"),
    OPT_INT(every, "delta_t", "deltaT", "1", 1, 1 << 30, "steps between two choices"),
    OPT_INT(total, "total_step", NULL, "0", 0, 1 << 30, "steps of the schedule; 0: the run's"),
    OPT_REAL(beta1, "ipt_beta1", "beta1", "0.85", 0, 1, "of the mean of importances"),
    OPT_REAL(beta2, "ipt_beta2", "beta2", "0.85", 0, 1, "of the mean of their deviations"),
    OPT_REAL(weight, "orth_reg_weight", NULL, "0.5", 0, 1e6, "weight of the regulariser"),
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method adalora", rows, HORA_COUNT(rows)};

enum { A, B, E, PARTS };
typedef struct site {
    hora_param *p[PARTS], *avg[PARTS], *unc[PARTS]; /* avg NULL: no budget is kept */
    hora_param *mask;                               /* (r): 1 where e is kept */
} site;
typedef struct state {
    hora_made *made;
    site *site;
    int sites;
} state;

/* --- setup ------------------------------------------------------------------------------------ */

/* How many of a site's triplets a folder has kept; all where it says nothing. */
static int64_t kept(const hora_adapter *a, const hora_site *s) {
    const config *c = a->config;
    char *name = hora_format("%s.lora_E", s->module);
    const hora_json *list = hora_json_get(hora_json_get(c->typed.peft.own, "rank_pattern"), name);
    int64_t n = 0;
    for (size_t i = 0; i < hora_json_len(list); i++) {
        bool on = false;
        n += hora_json_bool(hora_json_at(list, i), &on) && on;
    }
    hora_free(name);
    return list ? n : c->rank;
}

static hora_param *aside(hora_adapter *a, const hora_site *s, const char *part, const char *what,
                         hora_shape shape, double value) {
    char *name = hora_format("adalora.%s.%s.%s", s->module, part, what);
    hora_param *p =
        hora_adapter_param(a, name, shape, (hora_init){.kind = HORA_INIT_CONST, .value = value});
    p->layer = s->layer;
    p->fixed = p->aside = true;
    hora_free(name);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    static const char *const names[PARTS] = {"lora_A", "lora_B", "lora_E"};
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    site *t = &st->site[i];
    const int64_t r = kept(a, s);
    const hora_shape shape[PARTS] = {HORA_SHAPE2(r, s->in), HORA_SHAPE2(s->out, r),
                                     HORA_SHAPE2(r, 1)};
    if (r < 1)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s has no rank left; merge the adapter with PEFT and open the model",
                         s->module);
    for (int k = 0; k < PARTS; k++) {
        t->p[k] = hora_typed_param(a, s, names[k], shape[k],
                                   k == E ? (hora_init){.kind = HORA_INIT_ZERO}
                                          : (hora_init){.kind = HORA_INIT_NORMAL, .value = 0.02});
        if (c->typed.from_folder)
            continue;
        t->avg[k] = aside(a, s, names[k], "avg", shape[k], 0);
        t->unc[k] = aside(a, s, names[k], "unc", shape[k], 0);
    }
    if (!c->typed.from_folder)
        t->mask = aside(a, s, "lora_E", "mask", HORA_SHAPE1(r), 1);
    st->made[i] = (hora_made){.rank = r,
                              .scale = c->alpha / ((double)c->rank + 1e-5),
                              .alpha = c->alpha,
                              .dropout = c->dropout};
    st->sites++;
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)a->base->nsites + 1, sizeof *st->site);
    c->alpha = hora_lowrank_alpha(c->rank, c->alpha);
    if (c->target > c->rank)
        return hora_fail(HORA_EUSAGE, "target_rank %lld is above rank %lld; the budget shrinks",
                         (long long)c->target, (long long)c->rank);
    HORA_TRY(hora_typed_setup(a, add));
    /* PEFT refuses a schedule without steps in which the budget shrinks */
    const int64_t least = c->tinit + c->tfinal + 1;
    if (!c->typed.from_folder)
        hora_json_set(c->typed.peft.own, "total_step",
                      hora_json_new_int(hora_max(c->total, least)));
    return HORA_OK;
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    if (st)
        hora_free(st->site);
}

/* --- recording -------------------------------------------------------------------------------- */

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const config *c = a->config;
    state *st = a->state;
    hora_graph *g = n->g;
    for (int i = 0; i < a->base->nsites; i++) {
        const site *t = &st->site[i];
        if (!t->p[A] || a->base->sites[i].layer != layer)
            continue;
        st->made[i].a = hora_net_param(n, t->p[A]);
        st->made[i].f = hora_scale(g, hora_net_param(n, t->p[B]), hora_net_param(n, t->p[E]), 1);
        if (n->mode != HORA_NET_TRAIN || c->weight == 0)
            continue;
        const double w = c->weight / (2 * (double)st->sites);
        hora_net_loss(n, hora_gramdist(g, hora_net_param(n, t->p[A]), false), w);
        hora_net_loss(n, hora_gramdist(g, hora_net_param(n, t->p[B]), true), w);
    }
}

/* --- the budget ------------------------------------------------------------------------------- */

/* Triplets to keep after `step`; -1: no choice is made. */
static int64_t budget(const config *c, int64_t sites, int64_t step, int64_t total) {
    const int64_t all = c->rank * sites, target = c->target * sites;
    if (step <= c->tinit)
        return -1;
    if (step >= total - c->tfinal)
        return step == total - c->tfinal ? target : -2;
    const double left = 1 - (double)(step - c->tinit) / (double)(total - c->tfinal - c->tinit);
    return step % c->every ? -1 : (int64_t)((double)(all - target) * pow(left, 3)) + target;
}

static void importance(const config *c, const site *t) {
    for (int k = 0; k < PARTS; k++) {
        const float *p = t->p[k]->value, *g = t->p[k]->grad;
        float *avg = t->avg[k]->value, *unc = t->unc[k]->value;
        for (int64_t i = 0; i < t->p[k]->elems; i++) {
            const float now = fabsf(p[i] * g[i]);
            avg[i] = (float)c->beta1 * avg[i] + (float)(1 - c->beta1) * now;
            unc[i] = (float)c->beta2 * unc[i] + (float)(1 - c->beta2) * fabsf(now - avg[i]);
        }
    }
}

static double score(const site *t, int64_t i) {
    const int64_t r = t->p[E]->shape.d[0], in = t->p[A]->shape.d[1], out = t->p[B]->shape.d[0];
    const float *aa = t->avg[A]->value, *ua = t->unc[A]->value, *ab = t->avg[B]->value,
                *ub = t->unc[B]->value, *ae = t->avg[E]->value, *ue = t->unc[E]->value;
    double sa = 0, sb = 0;
    for (int64_t k = 0; k < in; k++)
        sa += (double)(aa[i * in + k] * ua[i * in + k]);
    for (int64_t k = 0; k < out; k++)
        sb += (double)(ab[k * r + i] * ub[k * r + i]);
    return (double)(ae[i] * ue[i]) + sa / (double)in + sb / (double)out;
}

static int by_value(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Keeps the `keep` triplets of highest score. */
static void choose(const hora_adapter *a, int64_t keep) {
    const config *c = a->config;
    state *st = a->state;
    const int64_t all = c->rank * st->sites;
    double *scores = hora_malloc((size_t)all * sizeof *scores), *sorted;
    sorted = hora_malloc((size_t)all * sizeof *sorted);
    int64_t n = 0;
    for (int i = 0; i < a->base->nsites; i++)
        for (int64_t k = 0; st->site[i].mask && k < c->rank; k++)
            scores[n++] = score(&st->site[i], k);
    memcpy(sorted, scores, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    const double least = keep < n ? sorted[n - keep - 1] : -INFINITY;
    n = 0;
    for (int i = 0; i < a->base->nsites; i++)
        for (int64_t k = 0; st->site[i].mask && k < c->rank; k++)
            ((float *)st->site[i].mask->value)[k] = scores[n++] > least;
    hora_free(scores);
    hora_free(sorted);
}

static void apply(const site *t) {
    for (int64_t k = 0; k < t->mask->elems; k++)
        if (((const float *)t->mask->value)[k] == 0)
            ((float *)t->p[E]->value)[k] = 0;
}

static hora_status scheduled(const hora_adapter *a, int64_t steps) {
    const config *c = a->config;
    const int64_t total = c->total ? c->total : steps;
    if (c->tinit + c->tfinal >= total)
        return hora_fail(HORA_EUSAGE,
                         "adalora: tinit=%lld and tfinal=%lld leave none of %lld steps for the "
                         "budget to shrink in; give smaller ones, or more steps",
                         (long long)c->tinit, (long long)c->tfinal, (long long)total);
    if (total > steps)
        hora_warn("adalora: the schedule is one of %lld steps (total_step) and the run has %lld: "
                  "the budget ends above target_rank",
                  (long long)total, (long long)steps);
    return HORA_OK;
}

static void stepped(hora_adapter *a, int64_t step, int64_t steps) {
    const config *c = a->config;
    const state *st = a->state;
    const int64_t total = c->total ? c->total : steps, b = budget(c, st->sites, step, total);
    for (int i = 0; i < a->base->nsites; i++)
        if (st->site[i].mask && b != -2)
            importance(c, &st->site[i]);
    if (b >= 0)
        choose(a, b);
    for (int i = 0; i < a->base->nsites; i++)
        if (st->site[i].mask && b != -1)
            apply(&st->site[i]);
}

/* --- on disk ---------------------------------------------------------------------------------- */

static bool any_masked(const site *t) {
    for (int64_t k = 0; t->mask && k < t->mask->elems; k++)
        if (((const float *)t->mask->value)[k] == 0)
            return true;
    return false;
}

/* The kept triplets of one tensor, in f32; new. */
static hora_view keep_part(const hora_adapter *a, const site *t, int part) {
    const hora_param *p = t->p[part];
    const float *mask = t->mask->value;
    const int64_t r = t->mask->elems, other = p->elems / r;
    int64_t n = 0, at = 0;
    for (int64_t k = 0; k < r; k++)
        n += mask[k] != 0;
    float *v = hora_malloc((size_t)(n * other) * sizeof *v);
    for (int64_t o = 0; o < (part == B ? other : 1); o++)
        for (int64_t k = 0; k < r; k++)
            for (int64_t l = 0; mask[k] != 0 && l < (part == B ? 1 : other); l++)
                v[at++] =
                    (float)hora_value_at(p->value, a->dtype, part == B ? o * r + k : k * other + l);
    return (hora_view){v, HORA_F32, part == B ? HORA_SHAPE2(other, n) : HORA_SHAPE2(n, other)};
}

static void set_pattern(hora_adapter *a) {
    const config *c = a->config;
    const state *st = a->state;
    hora_json *map = hora_json_set(c->typed.peft.own, "rank_pattern", hora_json_new_object());
    for (int i = 0; i < a->base->nsites; i++) {
        const site *t = &st->site[i];
        if (!t->mask)
            continue;
        char *name = hora_format("%s.lora_E", a->base->sites[i].module);
        hora_json *list = hora_json_set(map, name, hora_json_new_array());
        for (int64_t k = 0; k < t->mask->elems; k++)
            hora_json_push(list, hora_json_new_bool(((const float *)t->mask->value)[k] != 0));
        hora_free(name);
    }
}

/* PEFT stores what was kept alone. */
static hora_status save_kept(hora_adapter *a, const char *dir) {
    const state *st = a->state;
    hora_st_entry *e = hora_calloc((size_t)a->nparams + 1, sizeof *e);
    hora_view *own = hora_calloc((size_t)a->nparams + 1, sizeof *own);
    int n = 0, made = 0;
    for (int i = 0; i < a->base->nsites; i++)
        for (int k = 0; st->site[i].mask && k < PARTS; k++) {
            own[made] = keep_part(a, &st->site[i], k);
            e[n++] = (hora_st_entry){st->site[i].p[k]->name, own[made++], HORA_F32};
        }
    for (int i = 0; i < a->nparams; i++)
        if (a->params[i]->weight >= 0)
            e[n++] = (hora_st_entry){
                a->params[i]->name, {a->params[i]->value, a->dtype, a->params[i]->shape}, HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < made; i++)
        hora_free(own[i].data);
    hora_free(own);
    hora_free(e);
    return s;
}

static hora_status save(hora_adapter *a, const char *dir) {
    const config *c = a->config;
    const state *st = a->state;
    bool masked = false, empty = false;
    for (int i = 0; i < a->base->nsites; i++) {
        const site *t = &st->site[i];
        int64_t n = 0;
        masked |= any_masked(t);
        for (int64_t k = 0; t->mask && k < t->mask->elems; k++)
            n += ((const float *)t->mask->value)[k] != 0;
        empty |= t->mask && !n;
    }
    if (!masked || empty || hora_typed_parts(a)) /* where nothing is left, zeros say the same */
        return hora_typed_save(a, dir);
    set_pattern(a);
    HORA_TRY(save_kept(a, dir));
    return hora_peft_config_write(a, &c->typed.peft, dir);
}

const hora_method hora_method_adalora = {
    .name = "adalora",
    .summary = "singular values and vectors; a shrinking budget goes to the sites that matter",
    .form = "y = W x + b + alpha / r B (e * (A x)), e within a shrinking budget",
    .paper = "arXiv 2303.10512",
    .default_lr = 2e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    .claims = hora_typed_claims,
    .configure = hora_typed_configure,
    .save = save,
    .load = hora_peft_files_load,
    .peft_type = "ADALORA",
    .peft_keys =
        "init_r target_r lora_alpha lora_dropout tinit tfinal deltaT total_step beta1 beta2 "
        "orth_reg_weight rank_pattern=null r=8 alpha_pattern={} init_lora_weights=true "
        "fan_in_fan_out=false use_dora!false use_rslora!false lora_bias=false "
        "alora_invocation_tokens=null arrow_config=null corda_config=null "
        "ensure_weight_tying=false "
        "eva_config=null kasa_config=null layer_replication=null loftq_config={} "
        "lora_ga_config=null megatron_config=null megatron_core=null monteclora_config=null "
        "qalora_group_size=16 target_parameters=null trainable_token_indices=null use_bdlora=null "
        "use_qalora=false velora_config=null " HORA_TYPED_KEYS,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
    .factors_rank = "the triplets that the budget has left",
    .scheduled = scheduled,
    .stepped = stepped,
};
