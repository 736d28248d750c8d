/*
 * (IA)3: learned vectors stretch what attention and feed-forward hand on. [ia3, arXiv 2205.05638]
 *
 *   y = l * (W x + b)      k and v: l (out, 1)
 *   y = W (l * x) + b      feed-forward: l (1, in)
 *
 * l starts at 1, so training starts at the base. Merges: rows of W and b, or columns of W, times l.
 */
#include "base/text.h"
#include "peft/replaced.h"
#include "peft/store.h"
#include "peft/targets.h"
#include "peft/typed.h"

typedef struct config {
    hora_target_options target;
    char *feedforward;
    hora_peft_config peft, ff; /* ff: only its targets, the sites whose input is stretched */
    bool from_folder;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(target.targets, "targets", "target_modules", "k+v+down", "LIST",
             "sites: q k v o gate up down, module names, all-linear or re:REGEX"),
    OPT_LIST(feedforward, "feedforward", "feedforward_modules", "down", "LIST",
             "those of the targets whose input is stretched, not the output"),
    OPT_LIST(target.exclude, "exclude", "exclude_modules", NULL, "LIST", "modules left alone"),
    OPT_LIST(target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens"),
};
static const hora_options options = {"Method ia3", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param **l; /* per site; NULL: not adapted */
    bool *input;    /* per site: x is stretched */
} state;

/* --- setup ------------------------------------------------------------------------------------ */

static hora_status parse(config *c, const hora_base *b) {
    const hora_target_options ff = {.targets = c->feedforward};
    HORA_TRY(hora_targets_parse(&c->peft, &c->target, b));
    HORA_TRY(hora_targets_parse(&c->ff, &ff, b));
    if (c->from_folder)
        return HORA_OK;
    c->peft.peft_type = hora_strdup("IA3");
    c->peft.own = hora_json_new_object();
    hora_json_set(c->peft.own, "fan_in_fan_out", hora_json_new_bool(false));
    hora_json_set(c->peft.own, "init_ia3_weights", hora_json_new_bool(true));
    hora_json *list = hora_json_set(c->peft.own, "feedforward_modules", hora_json_new_array());
    for (int i = 0; i < c->ff.n_targets; i++) { /* PEFT wants them among the targets */
        bool among = c->peft.target_regex != NULL;
        for (int k = 0; k < c->peft.n_targets; k++)
            among |= hora_eq(c->peft.target_modules[k], c->ff.target_modules[i]);
        if (among)
            hora_json_push(list, hora_json_new_string(c->ff.target_modules[i]));
    }
    if (c->ff.target_regex)
        hora_json_set(c->peft.own, "feedforward_modules", hora_json_new_string(c->ff.target_regex));
    return HORA_OK;
}

static hora_status add_site(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    HORA_TRY(hora_targets_site(&c->ff, s, &st->input[i]));
    const hora_shape shape = st->input[i] ? HORA_SHAPE2(1, s->in) : HORA_SHAPE2(s->out, 1);
    char *name = hora_format("base_model.model.%s.ia3_l", s->module);
    hora_param *p = st->l[i] =
        hora_adapter_param(a, name, shape, (hora_init){.kind = HORA_INIT_CONST, .value = 1});
    hora_free(name);
    p->layer = s->layer;
    p->decay = false; /* towards 0 it would take the base away */
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const hora_base *b = a->base;
    state *st = a->state = hora_calloc(1, sizeof *st);
    st->l = hora_calloc((size_t)b->nsites + 1, sizeof *st->l);
    st->input = hora_calloc((size_t)b->nsites + 1, sizeof *st->input);
    HORA_TRY(parse(c, b));
    bool *on = hora_calloc((size_t)b->nsites + 1, sizeof *on);
    hora_status s = hora_targets_match(&c->peft, b, b->nsites, !c->from_folder, on);
    if (!s)
        s = hora_typed_fused(a, &c->peft, c->from_folder, on);
    for (int i = 0; i < b->nsites && !s; i++)
        if (on[i])
            s = add_site(a, i);
    hora_free(on);
    return s ? s : hora_targets_save(a, &c->peft, !c->from_folder);
}

static void release(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state;
    hora_peft_config_release(&c->peft);
    hora_peft_config_release(&c->ff);
    hora_targets_release(&c->target);
    if (!st)
        return;
    hora_free(st->l);
    hora_free(st->input);
}

/* --- recording -------------------------------------------------------------------------------- */

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const state *st = a->state;
    const int64_t i = s - a->base->sites;
    if (!st->l[i])
        return hora_net_next(n, s, x, w, b);
    hora_t l = hora_net_param(n, st->l[i]);
    if (st->input[i])
        return hora_net_next(n, s, hora_scale(n->g, x, l, 1), w, b); /* x (rows, in)  */
    return hora_scale(n->g, hora_net_next(n, s, x, w, b), l, 1);     /* y (rows, out) */
}

/* --- on disk ---------------------------------------------------------------------------------- */

static bool claims(const hora_method *m, const hora_foreign *f) {
    return f->delta ? hora_delta_claims(m, f) : f->peft && hora_eq(f->peft->peft_type, "IA3");
}

static hora_status configure(const hora_method *m, void *own, const hora_foreign *f) {
    config *c = own;
    if (f->delta) /* parts of modules */
        return hora_delta_configure(m, own, f);
    hora_peft_config_known(f->peft, "fan_in_fan_out feedforward_modules init_ia3_weights", f->dir);
    hora_peft_config_copy(&c->peft, f->peft);
    c->from_folder = true;
    const char *regex = hora_json_string(hora_json_get(f->peft->own, "feedforward_modules"), NULL);
    if (regex)
        c->ff.target_regex = hora_strdup(regex);
    else
        HORA_TRY(hora_peft_config_names(f->peft, "feedforward_modules", &c->ff.target_modules,
                                        &c->ff.n_targets));
    hora_targets_show(&c->target, &c->peft);
    hora_free(c->feedforward);
    c->feedforward = NULL; /* what the folder says stands in ff */
    return HORA_OK;
}

static hora_status save(hora_adapter *a, const char *dir) {
    return hora_peft_files_save(a, &((const config *)a->config)->peft, dir);
}

/* Rows of W and b, or columns of W, times l. */
static hora_status merge_site(const hora_adapter *a, int i, const hora_merging *m) {
    const state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    float *l = hora_malloc((size_t)st->l[i]->elems * sizeof *l), *x = NULL;
    hora_status r = hora_convert(l, HORA_F32, st->l[i]->value, a->dtype, st->l[i]->elems);
    if (!r)
        r = hora_merging_weight(m, s->weight, &x);
    for (int64_t k = 0; k < s->out * s->in && !r; k++)
        x[k] *= l[st->input[i] ? k % s->in : k / s->in];
    if (!r && s->bias >= 0 && !st->input[i]) {
        r = hora_merging_weight(m, s->bias, &x);
        for (int64_t k = 0; k < s->out && !r; k++)
            x[k] *= l[k];
    }
    hora_free(l);
    return r;
}

static hora_status merge(hora_adapter *a, const hora_merging *m) {
    for (int i = 0; i < a->base->nsites; i++)
        if (((const state *)a->state)->l[i])
            HORA_TRY(merge_site(a, i, m));
    return HORA_OK;
}

/* --- several in one --------------------------------------------------------------------------- */

/* The names of all in `to`, each once, or PEFT's alternative of their expressions. */
static hora_status join(hora_str *to, hora_adapter *const *at, int n, bool ff) {
    const config *first = at[0]->config;
    const bool regex = (ff ? &first->ff : &first->peft)->target_regex != NULL;
    for (int i = 0; i < n; i++) {
        const config *ci = at[i]->config;
        const hora_peft_config *c = ff ? &ci->ff : &ci->peft;
        if ((c->target_regex != NULL) != regex)
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter %s names its %s by an expression and %s by a list; PEFT puts "
                             "together lists or expressions alone",
                             at[regex ? 0 : i]->name, ff ? "feedforward_modules" : "targets",
                             at[regex ? i : 0]->name);
        if (regex)
            hora_str_printf(to, "%s(%s)", i ? "|" : "re:", c->target_regex);
        for (int k = 0; k < c->n_targets; k++) {
            bool there = false;
            for (int j = 0; j < i; j++) {
                const config *cj = at[j]->config;
                const hora_peft_config *o = ff ? &cj->ff : &cj->peft;
                for (int l = 0; l < o->n_targets; l++)
                    there |= hora_eq(o->target_modules[l], c->target_modules[k]);
            }
            if (!there)
                hora_str_printf(to, "%s%s", to->n ? "+" : "", c->target_modules[k]);
        }
    }
    return HORA_OK;
}

static hora_status attach_joined(hora_adapter **out, hora_adapter *const *at, int n) {
    hora_settings s = {0};
    hora_str targets = {0}, ff = {0};
    hora_status st = join(&targets, at, n, false);
    if (st == HORA_OK)
        st = join(&ff, at, n, true);
    if (st == HORA_OK) {
        hora_settings_put(&s, "targets", targets.s ? targets.s : "", "combine");
        hora_settings_put(&s, "feedforward", ff.s ? ff.s : "", "combine");
        st = hora_peft_attach(out, at[0]->base, "ia3", &s, 0);
    }
    hora_str_release(&targets);
    hora_str_release(&ff);
    hora_settings_release(&s);
    return st;
}

/* What can be told before anything is added. */
static hora_status check_joined(const hora_adapter *made, hora_adapter *const *at, int n) {
    const state *to = made->state;
    for (int i = 0; i < n; i++) {
        const state *from = at[i]->state;
        for (int k = 0; at[i]->replaces && k < at[i]->base->nweights; k++)
            if (at[i]->replaces[k])
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s has trained %s whole, which no sum of vectors holds",
                                 at[i]->name, at[i]->base->weights[k].name);
        for (int k = 0; k < made->base->nsites; k++)
            if (from->l[k] && (!to->l[k] || from->input[k] != to->input[k]))
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s stretches the %s of %s, another does not; give "
                                 "several --adapter to `hora merge` instead",
                                 at[i]->name, from->input[k] ? "input" : "output",
                                 made->base->sites[k].module);
    }
    return HORA_OK;
}

/* PEFT 0.21, tuners/ia3/model.py, add_weighted_adapter: l = sum of w_i l_i, over those that have
 * the module; it is not 1 + sum of w_i (l_i - 1), so weights of sum 1 keep the base's size. */
static hora_status combine(hora_adapter **out, hora_adapter *const *at, int n) {
    *out = NULL;
    HORA_TRY(attach_joined(out, at, n));
    hora_status s = check_joined(*out, at, n);
    if (s == HORA_OK)
        s = hora_adapter_allocate(*out);
    const state *to = (*out)->state;
    for (int k = 0; k < (*out)->base->nsites && s == HORA_OK; k++)
        for (int64_t e = 0; to->l[k] && e < to->l[k]->elems; e++) {
            double sum = 0;
            for (int i = 0; i < n; i++) {
                const hora_param *l = ((const state *)at[i]->state)->l[k];
                sum += l ? at[i]->weight * hora_value_at(l->value, at[i]->dtype, e) : 0;
            }
            hora_value_put(to->l[k]->value, (*out)->dtype, e, sum);
        }
    if (s) {
        hora_peft_detach(*out);
        *out = NULL;
    }
    return s;
}

const hora_method hora_method_ia3 = {
    .name = "ia3",
    .summary = "learned vectors stretch keys, values and the feed-forward's inner layer",
    .form = "y = l * (W x + b); feed-forward: y = W (l * x) + b",
    .paper = "arXiv 2205.05638",
    .default_lr = 3e-3,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .linear = linear},
    .setup = setup,
    .release = release,
    .peft_type = "IA3",
    .claims = claims,
    .configure = configure,
    .save = save,
    .load = hora_peft_files_load,
    .merge = merge,
    .combine = combine,
};
