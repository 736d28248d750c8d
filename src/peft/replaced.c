/* Methods whose parameters stand in the place of base weights: their two folders, and merging,
 * which is putting the values where they belong. */
#include "peft/replaced.h"

#include "base/file.h"
#include "base/text.h"
#include "peft/store.h"

/* --- delta.safetensors and delta_config.json -------------------------------------------------- */

bool hora_delta_claims(const hora_method *m, const hora_foreign *f) {
    return f->delta && hora_eq(hora_json_string(hora_json_get(f->delta, "method"), NULL), m->name);
}

hora_status hora_delta_configure(const hora_method *m, void *config, const hora_foreign *f) {
    hora_settings s = {0};
    hora_status st =
        hora_settings_json(&s, hora_json_get(f->delta, "options"), "delta_config.json", NULL, 0);
    if (!st && m->options) {
        hora_options_release(m->options, config);
        st = hora_options_take(m->options, config, &s);
    }
    if (!st)
        st = hora_settings_finish(&s, &m->options, m->options != NULL);
    hora_settings_release(&s);
    return st ? hora_context(st, "%s/delta_config.json", f->dir) : st;
}

static hora_json *options_of(const hora_adapter *a) {
    const hora_options *t = a->method->options;
    hora_json *o = hora_json_new_object();
    for (int i = 0; t && i < t->n; i++) {
        hora_str v = {0};
        hora_option_format(&t->rows[i], a->config, &v);
        if (v.n)
            hora_json_set(o, t->rows[i].name, hora_json_new_string(v.s));
        hora_str_release(&v);
    }
    return o;
}

hora_status hora_delta_save(hora_adapter *a, const char *dir) {
    const hora_pair meta[] = {{"method", a->method->name}};
    HORA_TRY(hora_params_write(a, dir, "delta.safetensors", "", meta, 1));
    hora_json *c = hora_json_new_object();
    hora_json_set(c, "format", hora_json_new_string("hora-delta"));
    hora_json_set(c, "version", hora_json_new_int(1));
    hora_json_set(c, "method", hora_json_new_string(a->method->name));
    hora_json_set(c, "options", options_of(a));
    hora_json_set(c, "base_model_name_or_path", hora_json_new_string(a->base->dir));
    hora_status s = hora_json_save(c, 2, true, dir, "delta_config.json");
    hora_json_free(c);
    return s;
}

hora_status hora_delta_load(hora_adapter *a, const hora_foreign *f) {
    return hora_params_read(a, f->dir, "delta.safetensors", "");
}

/* --- a model ---------------------------------------------------------------------------------- */

bool hora_model_claims(const hora_method *m, const hora_foreign *f) {
    (void)m;
    return f->model;
}

/* Each weight as it is now, in w, without copies: where nothing but f32 parameters in the places of
 * weights has to be written. A model that trains may fill most of the memory. */
static bool as_they_lie(hora_adapter *a, float **w) {
    const hora_base *b = a->base;
    const bool apart = b->tied && a->replaces[b->head] != a->replaces[b->embed];
    if (a->method->merge != hora_replaced_merge || a->dtype != HORA_F32 || a->weight != 1 || apart)
        return false;
    hora_adapter_refresh(a);
    for (int i = 0; i < b->nweights; i++)
        if (a->replaces[i] && !b->weights[i].tied)
            w[i] = a->replaces[i]->value;
    return true;
}

/* A model directory is complete with what its tokenizer needs. */
hora_status hora_model_save(hora_adapter *a, const char *dir) {
    float **w = hora_calloc((size_t)a->base->nweights, sizeof *w);
    const bool borrowed = a->replaces && as_they_lie(a, w);
    hora_status s = borrowed ? HORA_OK : hora_peft_merge(&a, 1, w);
    if (!s)
        s = hora_base_save(a->base, dir, w, HORA_F32);
    if (borrowed)
        hora_free(w);
    else
        hora_base_free_merged(a->base, w);
    return s ? s : hora_copy_companions(hora_base_words(a->base), dir);
}

hora_status hora_model_load(hora_adapter *a, const hora_foreign *f) {
    return hora_params_read(a, f->dir, "model.safetensors", "");
}

/* --- merging ---------------------------------------------------------------------------------- */

/* Its parameters stand in the place of weights, and those are put in before any method is asked. */
hora_status hora_replaced_merge(hora_adapter *a, const hora_merging *m) {
    (void)a;
    (void)m;
    return HORA_OK;
}

/* --- several in one --------------------------------------------------------------------------- */
static hora_status check_places(hora_adapter *const *at, int n) {
    const hora_base *b = at[0]->base;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < at[i]->nparams; k++) {
            const int w = at[i]->params[k]->weight;
            if (w < 0)
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s has %s besides weights in the base's places, so its "
                                 "changes do not add up",
                                 at[i]->name, at[i]->params[k]->name);
            if (b->bare && b->weights[w].role == HORA_ROLE_HEAD)
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s has trained a task's head, of which the base has "
                                 "none: there is no change to add",
                                 at[i]->name);
            if (!at[0]->replaces[w])
                return hora_fail(HORA_EUNSUPPORTED,
                                 "adapter %s trains %s, which %s does not; give the one that "
                                 "trains most first",
                                 at[i]->name, b->weights[w].name, at[0]->name);
        }
    return HORA_OK;
}

/* A new adapter with the options of `a`. */
static hora_status attach_like(hora_adapter **out, const hora_adapter *a) {
    hora_settings s = {0};
    hora_json *o = options_of(a);
    hora_status st = hora_settings_json(&s, o, "combine", NULL, 0);
    if (st == HORA_OK)
        st = hora_peft_attach(out, a->base, a->method->name, &s, a->seed);
    hora_settings_release(&s);
    hora_json_free(o);
    return st;
}

hora_status hora_replaced_combine(hora_adapter **out, hora_adapter *const *at, int n) {
    const hora_base *b = at[0]->base;
    *out = NULL;
    HORA_TRY(check_places(at, n));
    HORA_TRY(attach_like(out, at[0]));
    hora_status s = hora_adapter_allocate(*out);
    for (int w = 0; w < b->nweights && s == HORA_OK; w++) {
        hora_param *to = (*out)->replaces ? (*out)->replaces[w] : NULL;
        for (int64_t e = 0; to && e < to->elems; e++) {
            const hora_view *v = &b->weights[w].view;
            const double was = hora_value_at(v->data, v->dtype, e);
            double sum = was;
            for (int i = 0; i < n; i++) /* their weights are in the values already */
                if (at[i]->replaces[w])
                    sum += hora_value_at(at[i]->replaces[w]->value, at[i]->dtype, e) - was;
            hora_value_put(to->value, (*out)->dtype, e, sum);
        }
    }
    if (s) {
        hora_peft_detach(*out);
        *out = NULL;
    }
    return s;
}
