/*
 * (IA)3: learned vectors stretch what attention and feed-forward hand on. [ia3, arXiv 2205.05638]
 *
 *   y = l * (W x + b)      k and v: l (out, 1)
 *   y = W (l * x) + b      feed-forward: l (1, in)
 *
 * l starts at 1, so training starts at the base. Merges: rows of W and b, or columns of W, times l.
 *
 * Of a module that holds several sites (timm's qkv) the vector is the module's, and each site takes
 * its rows. Vectors of parts are written as the module's, with 1 where a part has none: the same
 * result, to the bit.
 */
#include "base/file.h"
#include "base/text.h"
#include "peft/replaced.h"
#include "peft/store.h"
#include "peft/targets.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    char *feedforward;
    hora_peft_config ff; /* only its targets: the sites whose input is stretched */
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(typed.target.targets, "targets", "target_modules", "k+v+down", "LIST",
             "sites: q k v o gate up down, module names, all-linear or re:REGEX"),
    OPT_LIST(feedforward, "feedforward", "feedforward_modules", "down", "LIST",
             "those of the targets whose input is stretched, not the output"),
    OPT_LIST(typed.target.exclude, "exclude", "exclude_modules", NULL, "LIST",
             "modules left alone"),
    OPT_LIST(typed.target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens"),
};
static const hora_options options = {"Method ia3", rows, HORA_COUNT(rows)};

typedef struct state {
    hora_param **l; /* per site; NULL: not adapted */
    bool *input;    /* per site: x is stretched */
    hora_t *part;   /* per site whose y is stretched: its rows of l, of the recording in progress */
} state;

/* --- setup ------------------------------------------------------------------------------------ */

static hora_status parse(config *c, const hora_base *b) {
    const hora_target_options ff = {.targets = c->feedforward};
    hora_peft_config *p = &c->typed.peft;
    HORA_TRY(hora_targets_parse(p, &c->typed.target, b));
    HORA_TRY(hora_targets_parse(&c->ff, &ff, b));
    if (c->typed.from_folder)
        return HORA_OK;
    p->peft_type = hora_strdup("IA3");
    p->own = hora_json_new_object();
    hora_json_set(p->own, "fan_in_fan_out", hora_json_new_bool(false));
    hora_json_set(p->own, "init_ia3_weights", hora_json_new_bool(true));
    hora_json *list = hora_json_set(p->own, "feedforward_modules", hora_json_new_array());
    for (int i = 0; i < c->ff.n_targets; i++) { /* PEFT wants them among the targets */
        bool among = p->target_regex != NULL;
        for (int k = 0; k < p->n_targets; k++)
            among |= hora_eq(p->target_modules[k], c->ff.target_modules[i]);
        if (among)
            hora_json_push(list, hora_json_new_string(c->ff.target_modules[i]));
    }
    if (c->ff.target_regex)
        hora_json_set(p->own, "feedforward_modules", hora_json_new_string(c->ff.target_regex));
    return HORA_OK;
}

static hora_status add_site(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site whole = hora_typed_whole(a, i), *s = &whole;
    HORA_TRY(hora_targets_site(&c->ff, s, &st->input[i]));
    const hora_shape shape = st->input[i] ? HORA_SHAPE2(1, s->in) : HORA_SHAPE2(s->out, 1);
    st->l[i] =
        hora_typed_param(a, s, "ia3_l", shape, (hora_init){.kind = HORA_INIT_CONST, .value = 1});
    st->l[i]->decay = false; /* towards 0 it would take the base away */
    return HORA_OK;
}

static hora_status setup(hora_adapter *a) {
    const hora_base *b = a->base;
    state *st = a->state = hora_calloc(1, sizeof *st);
    HORA_TRY(parse(a->config, b));
    st->l = hora_calloc((size_t)b->nsites + 1, sizeof *st->l);
    st->input = hora_calloc((size_t)b->nsites + 1, sizeof *st->input);
    st->part = hora_calloc((size_t)b->nsites + 1, sizeof *st->part);
    return hora_typed_setup(a, add_site);
}

static void release(hora_adapter *a) {
    config *c = a->config;
    state *st = a->state;
    hora_typed_release(a);
    hora_peft_config_release(&c->ff);
    if (!st)
        return;
    hora_free(st->l);
    hora_free(st->input);
    hora_free(st->part);
}

/* --- recording -------------------------------------------------------------------------------- */

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    const state *st = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        if (st->l[i] && !st->input[i] && a->base->sites[i].layer == layer)
            st->part[i] = hora_typed_rows(n, a, i, hora_net_param(n, st->l[i]));
}

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const state *st = a->state;
    const int64_t i = s - a->base->sites;
    if (!st->l[i])
        return hora_net_next(n, s, x, w, b);
    if (st->input[i]) /* x (rows, in) */
        return hora_net_next(n, s, hora_scale(n->g, x, hora_net_param(n, st->l[i]), 1), w, b);
    return hora_scale(n->g, hora_net_next(n, s, x, w, b), st->part[i], 1); /* y (rows, out) */
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
    hora_peft_config_copy(&c->typed.peft, f->peft);
    c->typed.from_folder = true;
    const char *regex = hora_json_string(hora_json_get(f->peft->own, "feedforward_modules"), NULL);
    if (regex)
        c->ff.target_regex = hora_strdup(regex);
    else
        HORA_TRY(hora_peft_config_names(f->peft, "feedforward_modules", &c->ff.target_modules,
                                        &c->ff.n_targets));
    hora_targets_show(&c->typed.target, &c->typed.peft);
    hora_free(c->feedforward);
    c->feedforward = NULL; /* what the folder says stands in ff */
    return HORA_OK;
}

/* A part of a module, with a vector of its own. */
static bool is_part(const hora_adapter *a, int i) {
    const hora_site *s = &a->base->sites[i];
    return ((const state *)a->state)->l[i] && s->fused &&
           hora_eq(hora_typed_whole(a, i).module, s->module);
}

/* Such a part of the same module. */
static bool beside(const hora_adapter *a, int i, int k) {
    return is_part(a, k) && hora_eq(a->base->sites[k].fused, a->base->sites[i].fused);
}

/* The vectors of parts stretch rows, and no other part of the module has the module's. */
static bool joins(const hora_adapter *a) {
    const state *st = a->state;
    const hora_base *b = a->base;
    for (int i = 0; i < b->nsites; i++)
        for (int k = 0; is_part(a, i) && k < b->nsites; k++)
            if (hora_eq(b->sites[k].fused, b->sites[i].fused) && st->l[k] &&
                (st->input[k] || !is_part(a, k)))
                return false;
    return true;
}

/* Site i is the first part of its module that has a vector. */
static bool leads(const hora_adapter *a, int i) {
    for (int k = 0; k < i; k++)
        if (beside(a, i, k))
            return false;
    return is_part(a, i);
}

/* The vector of the module that holds site i: 1 where a part has none. New. */
static float *joined(const hora_adapter *a, int i) {
    const state *st = a->state;
    const hora_base *b = a->base;
    const int64_t n = b->sites[i].fused_out;
    float *v = hora_malloc((size_t)n * sizeof *v);
    for (int64_t o = 0; o < n; o++)
        v[o] = 1;
    for (int k = i; k < b->nsites; k++)
        for (int64_t o = 0; beside(a, i, k) && o < b->sites[k].out; o++)
            v[b->sites[k].row + o] = (float)hora_value_at(st->l[k]->value, a->dtype, o);
    return v;
}

static char *joined_name(const hora_site *s) {
    return hora_format("base_model.model.%s.ia3_l", s->fused);
}

static bool of_part(const hora_adapter *a, const hora_param *p) {
    for (int i = 0; i < a->base->nsites; i++)
        if (is_part(a, i) && ((const state *)a->state)->l[i] == p)
            return true;
    return false;
}

static hora_status write_joined(const hora_adapter *a, const char *dir) {
    const hora_base *b = a->base;
    hora_st_entry *e = hora_calloc((size_t)(b->nsites + a->nparams) + 1, sizeof *e);
    int n = 0;
    for (int i = 0; i < b->nsites; i++)
        if (leads(a, i))
            e[n++] =
                (hora_st_entry){joined_name(&b->sites[i]),
                                {joined(a, i), HORA_F32, HORA_SHAPE2(b->sites[i].fused_out, 1)},
                                HORA_F32};
    const int own = n;
    for (int i = 0; i < a->nparams; i++)
        if (!of_part(a, a->params[i]))
            e[n++] = (hora_st_entry){
                a->params[i]->name, {a->params[i]->value, a->dtype, a->params[i]->shape}, HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    const hora_status s = hora_st_write(path, e, n, NULL, 0);
    for (int i = 0; i < own; i++) {
        hora_free((void *)(uintptr_t)e[i].name);
        hora_free(e[i].view.data);
    }
    hora_free(path);
    hora_free(e);
    return s;
}

/* Modules by names that mean them alone; those of `feedforward_modules` are among the targets. */
static void join_names(const hora_adapter *a, hora_peft_config *c) {
    const state *st = a->state;
    const hora_base *b = a->base;
    bool *on = hora_calloc((size_t)b->nsites + 1, sizeof *on);
    int most = 0;
    hora_peft_config ff = {0};
    for (int i = 0; i < b->nsites; i++)
        on[i] = st->l[i] != NULL;
    hora_module_targets(&ff, b, st->input, b->nsites);
    hora_module_targets(c, b, on, b->nsites);
    hora_json *list = hora_json_set(c->own, "feedforward_modules", hora_json_new_array());
    most = c->n_targets;
    for (int i = 0; i < ff.n_targets; i++) {
        bool there = false;
        for (int k = 0; k < c->n_targets; k++)
            there |= hora_eq(c->target_modules[k], ff.target_modules[i]);
        if (!there)
            HORA_PUSH(c->target_modules, c->n_targets, most, hora_strdup(ff.target_modules[i]));
        hora_json_push(list, hora_json_new_string(ff.target_modules[i]));
    }
    hora_peft_config_release(&ff);
    hora_free(on);
}

static hora_status save(hora_adapter *a, const char *dir) {
    const hora_peft_config *own = &((const config *)a->config)->typed.peft;
    if (!hora_typed_parts(a) || !joins(a))
        return hora_peft_files_save(a, own, dir);
    HORA_TRY(write_joined(a, dir));
    hora_peft_config c = {0};
    hora_peft_config_copy(&c, own);
    join_names(a, &c);
    const hora_status s = hora_peft_config_write(a, &c, dir);
    hora_peft_config_release(&c);
    return s;
}

static hora_status misfit(const char *path, const char *name, const char *what) {
    return hora_fail(HORA_ESHAPE,
                     "%s: %s %s; take the module as a whole (name it in targets), or start from an "
                     "adapter of the same targets",
                     path, name, what);
}

/* The vectors of the parts that site i leads, out of the module's; rows of other parts are 1. */
static hora_status take_apart(hora_adapter *a, int i, const hora_st *st, const char *path) {
    const state *own = a->state;
    const hora_base *b = a->base;
    const hora_site *s = &b->sites[i];
    char *name = joined_name(s);
    const hora_st_tensor *t = hora_store_find(a, st, name);
    const hora_shape want = HORA_SHAPE2(s->fused_out, 1);
    hora_status r = HORA_OK;
    if (!t || !hora_shape_equal(&t->view.shape, &want) || !hora_dtype_is_float(t->view.dtype))
        r = misfit(path, name, t ? "is no vector of the module's rows" : "is not there");
    for (int64_t o = 0; !r && o < s->fused_out; o++) {
        const double v = hora_value_at(t->view.data, t->view.dtype, o);
        bool taken = false;
        for (int k = i; k < b->nsites; k++) {
            const int64_t at = o - b->sites[k].row;
            if (!beside(a, i, k) || at < 0 || at >= b->sites[k].out)
                continue;
            hora_value_put(own->l[k]->value, a->dtype, at, v);
            taken = true;
        }
        if (!taken && v != 1)
            r = misfit(path, name, "stretches rows that are not adapted here");
    }
    hora_free(name);
    return r;
}

/* What the file has of this method is a vector here. */
static hora_status check_extra(const hora_adapter *a, const hora_st *st, const char *path) {
    for (int n = 0; n < hora_st_count(st); n++) {
        const hora_st_tensor *t = hora_st_at(st, n);
        bool ours = !strstr(t->name, ".ia3_l");
        for (int i = 0; i < a->base->nsites && !ours; i++) {
            char *name = leads(a, i) ? joined_name(&a->base->sites[i]) : NULL;
            ours = name && hora_store_find(a, st, name) == t;
            hora_free(name);
        }
        for (int i = 0; i < a->nparams && !ours; i++)
            ours = !of_part(a, a->params[i]) && hora_store_find(a, st, a->params[i]->name) == t;
        if (!ours)
            return hora_fail(
                HORA_ESHAPE,
                "%s does not fit method ia3 on this model; %s is not part of it; is it "
                "of another base or other options?",
                path, t->name);
    }
    return HORA_OK;
}

static hora_status load_joined(hora_adapter *a, const hora_foreign *f) {
    hora_st *st = NULL;
    char *path = hora_path_join(f->dir, "adapter_model.safetensors");
    hora_status s = hora_st_open(&st, path);
    if (!s)
        s = check_extra(a, st, path);
    for (int i = 0; i < a->base->nsites && !s; i++)
        if (leads(a, i))
            s = take_apart(a, i, st, path);
    for (int i = 0; i < a->nparams && !s; i++) {
        const hora_param *p = a->params[i];
        if (!of_part(a, p))
            s = hora_params_read(a, f->dir, "adapter_model.safetensors", p->name);
        else if (hora_param_not_finite(p, p->value) >= 0)
            s = hora_fail(HORA_ENUMERIC,
                          "%s holds a number that is not finite; fetch the file again, or take an "
                          "earlier checkpoint",
                          path);
    }
    hora_st_close(st);
    hora_free(path);
    return s;
}

static hora_status load(hora_adapter *a, const hora_foreign *f) {
    return f->delta || !hora_typed_parts(a) || !joins(a) ? hora_peft_files_load(a, f)
                                                         : load_joined(a, f);
}

/* Rows of W and b, or columns of W, times l. */
static hora_status merge_site(const hora_adapter *a, int i, const hora_merging *m) {
    const state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    float *all = hora_malloc((size_t)st->l[i]->elems * sizeof *all), *x = NULL;
    const float *l = all + (st->input[i] ? 0 : hora_typed_row(a, i));
    hora_status r = hora_convert(all, HORA_F32, st->l[i]->value, a->dtype, st->l[i]->elems);
    if (!r)
        r = hora_merging_weight(m, s->weight, &x);
    for (int64_t k = 0; k < s->out * s->in && !r; k++)
        x[k] *= l[st->input[i] ? k % s->in : k / s->in];
    if (!r && s->bias >= 0 && !st->input[i]) {
        r = hora_merging_weight(m, s->bias, &x);
        for (int64_t k = 0; k < s->out && !r; k++)
            x[k] *= l[k];
    }
    hora_free(all);
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
    const bool regex = (ff ? &first->ff : &first->typed.peft)->target_regex != NULL;
    for (int i = 0; i < n; i++) {
        const config *ci = at[i]->config;
        const hora_peft_config *c = ff ? &ci->ff : &ci->typed.peft;
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
                const hora_peft_config *o = ff ? &cj->ff : &cj->typed.peft;
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
        for (int k = 0; k < made->base->nsites; k++)
            if (from->l[k] && from->l[k]->elems != to->l[k]->elems)
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s stretches %s %s, another does not; give several "
                                 "--adapter to `hora merge` instead",
                                 at[i]->name, made->base->sites[k].fused,
                                 hora_typed_parts(at[i]) ? "part by part" : "as one module");
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
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = linear},
    .setup = setup,
    .release = release,
    .peft_type = "IA3",
    .whole = true,
    .claims = claims,
    .configure = configure,
    .save = save,
    .load = load,
    .joins = joins,
    .merge = merge,
    .combine = combine,
};
