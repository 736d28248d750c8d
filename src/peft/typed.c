/* Methods that lie on disk as a type of PEFT's: the configuration from the options' table. */
#include "peft/typed.h"

#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "peft/replaced.h"

/* --- keys ------------------------------------------------------------------------------------- */

typedef struct key {
    char name[64], value[32]; /* value "": an option's */
    bool fixed;               /* another value is refused */
} key;

/* The next word of a row's peft_keys; false at their end. */
static bool next_key(const char **at, key *k) {
    const char *p = *at ? *at + strspn(*at, " ") : "";
    const size_t n = strcspn(p, " "), name = strcspn(p, "=! ");
    *k = (key){.fixed = p[name] == '!'};
    hora_snprintf(k->name, sizeof k->name, "%.*s", (int)name, p);
    if (name < n)
        hora_snprintf(k->value, sizeof k->value, "%.*s", (int)(n - name - 1), p + name + 1);
    *at = p + n;
    return n > 0;
}

/* Text as the JSON that it looks like; else a string. */
static hora_json *literal(const char *text) {
    int64_t i;
    double x;
    if (hora_eq(text, "null"))
        return hora_json_new_null();
    if (hora_eq(text, "true") || hora_eq(text, "false"))
        return hora_json_new_bool(hora_eq(text, "true"));
    if (hora_eq(text, "{}"))
        return hora_json_new_object();
    if (hora_parse_int(text, &i))
        return hora_json_new_int(i);
    if (hora_parse_double(text, &x))
        return hora_json_new_real(x);
    return hora_json_new_string(text);
}

static hora_json *option_value(const hora_method *m, const void *config, const char *name) {
    const hora_option *row = hora_options_find(m->options, name);
    hora_str v = {0};
    if (!row)
        HORA_BUG("method %s: peft_keys names `%s`, which is no option", m->name, name);
    hora_option_format(row, config, &v);
    double x;
    hora_json *j =
        !v.n                                                           ? hora_json_new_null()
        : row->type == HORA_OPT_REAL && hora_parse_double(v.s, &x)     ? hora_json_new_real(x)
        : row->type == HORA_OPT_STRING || row->type == HORA_OPT_CHOICE ? hora_json_new_string(v.s)
                                                                       : literal(v.s);
    hora_str_release(&v);
    return j;
}

void hora_typed_keys(hora_adapter *a) {
    const hora_method *m = a->method;
    hora_typed *t = a->config;
    key k;
    t->peft.peft_type = hora_strdup(m->peft_type);
    t->peft.own = hora_json_new_object();
    for (const char *at = m->peft_keys; next_key(&at, &k);) {
        hora_json *v = hora_eq(k.value, "RANKS")
                           ? hora_peft_patterns_json(t->peft.rank_pattern, t->peft.n_rank)
                       : hora_eq(k.value, "ALPHAS")
                           ? hora_peft_patterns_json(t->peft.alpha_pattern, t->peft.n_alpha)
                       : *k.value ? literal(k.value)
                                  : option_value(m, t, k.name);
        hora_json_set(t->peft.own, k.name, v);
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

bool hora_typed_claims(const hora_method *m, const hora_foreign *f) {
    if (f->delta)
        return hora_delta_claims(m, f);
    return f->peft && !f->native && hora_eq(f->peft->peft_type, m->peft_type);
}

static hora_status refuse(const hora_foreign *f, const key *k) {
    return hora_fail(
        HORA_EUNSUPPORTED,
        "%s: adapter_config.json has another `%s` than %s, which is not computed here; "
        "merge the adapter with PEFT and open the merged model",
        f->dir, k->name, k->value);
}

/* Sets the options whose keys the file has. */
static hora_status read_keys(const hora_method *m, const hora_foreign *f, hora_json *given) {
    hora_str known = {0};
    key k;
    hora_status s = HORA_OK;
    for (const char *at = m->peft_keys; next_key(&at, &k) && !s;) {
        const hora_json *v = hora_json_get(f->peft->own, k.name);
        hora_json *want = *k.value ? literal(k.value) : NULL;
        hora_str_printf(&known, "%s ", k.name);
        if (!want && v && hora_json_type(v) != HORA_JNULL)
            hora_json_set(given, k.name, hora_json_copy(v));
        if (want && v && k.fixed && !hora_json_equal(v, want))
            s = refuse(f, &k);
        hora_json_free(want);
    }
    if (!s)
        hora_peft_config_known(f->peft, known.s ? known.s : "", f->dir);
    hora_str_release(&known);
    return s;
}

static bool has_value(const hora_method *m, const char *value) {
    key k;
    for (const char *at = m->peft_keys; next_key(&at, &k);)
        if (hora_eq(k.value, value))
            return true;
    return false;
}

static hora_status read_patterns(const hora_method *m, hora_typed *t) {
    hora_peft_config *p = &t->peft;
    if (has_value(m, "ALPHAS"))
        HORA_TRY(
            hora_peft_config_patterns(p, "alpha_pattern", false, &p->alpha_pattern, &p->n_alpha));
    if (has_value(m, "RANKS"))
        HORA_TRY(hora_peft_config_patterns(p, "rank_pattern", true, &p->rank_pattern, &p->n_rank));
    return HORA_OK;
}

/* Numbers and words go by way of option text, structures do not. */
hora_status hora_typed_configure(const hora_method *m, void *config, const hora_foreign *f) {
    hora_typed *t = config;
    if (f->delta) /* parts of modules: hora_typed_fused */
        return hora_delta_configure(m, config, f);
    hora_settings s = {0};
    hora_json *given = hora_json_new_object();
    hora_status st = read_keys(m, f, given);
    if (!st)
        st = hora_settings_json(&s, given, "adapter_config.json", &m->options, 1);
    if (!st) {
        hora_options_release(m->options, config);
        st = hora_options_take(m->options, config, &s);
    }
    hora_settings_release(&s);
    hora_json_free(given);
    if (st)
        return hora_context(st, "%s", f->dir);
    hora_peft_config_copy(&t->peft, f->peft);
    t->from_folder = true;
    hora_targets_show(&t->target, &t->peft);
    return read_patterns(m, t);
}

hora_status hora_typed_save(hora_adapter *a, const char *dir) {
    return hora_peft_files_save(a, hora_typed_peft_config(a), dir);
}

const hora_peft_config *hora_typed_peft_config(const hora_adapter *a) {
    return &((const hora_typed *)a->config)->peft;
}

/* --- setup ------------------------------------------------------------------------------------ */

/* Numbers of the rows of `s` in its module. */
static int32_t *rows_of(const hora_site *s) {
    int32_t *rows = hora_malloc((size_t)s->out * sizeof *rows);
    for (int64_t o = 0; o < s->out; o++)
        rows[o] = (int32_t)(s->row + o);
    return rows;
}

static hora_status refuse_whole(const hora_adapter *a, const hora_site *s) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "the adapter was made on `%s` as one module, and %s is read for its parts "
                     "alone, which have parameters of their own here; merge it with PEFT and open "
                     "the merged model",
                     s->fused, a->method->name);
}

hora_status hora_typed_fused(hora_adapter *a, const bool *on) {
    hora_typed *t = a->config;
    const hora_base *b = a->base;
    t->rows = hora_calloc((size_t)b->nsites + 1, sizeof *t->rows);
    t->nrows = b->nsites;
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        bool whole = false;
        if (!on[i] || !s->fused || !a->method->peft_type)
            continue;
        if (t->from_folder || a->method->whole)
            HORA_TRY(hora_targets_whole(&t->peft, s, t->from_folder, &whole));
        if (whole && !a->method->whole)
            return refuse_whole(a, s);
        if (whole)
            t->rows[i] = rows_of(s);
    }
    return HORA_OK;
}

/* Says so where the adapter will be of no use to others. */
static void tell_parts(const hora_adapter *a, const bool *on) {
    const hora_typed *t = a->config;
    const hora_base *b = a->base;
    int i = 0;
    while (i < b->nsites && !(on[i] && b->sites[i].fused && !t->rows[i]))
        i++;
    if (t->from_folder || i == b->nsites || !a->method->peft_type ||
        (a->method->joins && a->method->joins(a)))
        return;
    hora_info("%s: `%s` is a part of `%s`, which PEFT has as one module; each part has parameters "
              "of its own, and the adapter is saved in a form that hora alone reads "
              "(delta_config.json); hora merge makes a model that others read",
              a->method->name, b->sites[i].module, b->sites[i].fused);
}

static const int32_t *rows_at(const hora_adapter *a, int site) {
    const hora_typed *t = a->config;
    return site < t->nrows ? t->rows[site] : NULL;
}

hora_site hora_typed_whole(const hora_adapter *a, int site) {
    hora_site s = a->base->sites[site];
    if (rows_at(a, site)) {
        s.module = s.fused;
        s.out = s.fused_out;
    }
    return s;
}

int64_t hora_typed_row(const hora_adapter *a, int site) {
    return rows_at(a, site) ? a->base->sites[site].row : 0;
}

hora_t hora_typed_rows(hora_net *n, const hora_adapter *a, int site, hora_t x) {
    const int32_t *rows = rows_at(a, site);
    return rows ? hora_gather(n->g, x, rows, a->base->sites[site].out) : x;
}

hora_site_kind hora_typed_stream(const hora_adapter *a, int site) {
    const hora_site *s = &a->base->sites[site];
    for (int i = 0; i < site && rows_at(a, site); i++)
        if (rows_at(a, i) && hora_eq(a->base->sites[i].fused, s->fused))
            return a->base->sites[i].kind;
    return s->kind;
}

bool hora_typed_parts(const hora_adapter *a) {
    const hora_base *b = a->base;
    bool found = false;
    for (int i = 0; i < b->nsites && !found && a->method->peft_type; i++) {
        char *start = b->sites[i].fused ? hora_typed_name(&b->sites[i], "") : NULL;
        for (int p = 0; start && p < a->nparams && !found; p++)
            found = hora_starts(a->params[p]->name, start);
        hora_free(start);
    }
    return found;
}

static hora_status match(hora_adapter *a, bool *on) {
    hora_typed *t = a->config;
    HORA_TRY(hora_targets_parse(&t->peft, &t->target, a->base));
    if (!t->from_folder && a->method->peft_keys)
        hora_typed_keys(a);
    return hora_targets_match(&t->peft, a->base, a->base->nsites, !t->from_folder, on);
}

hora_status hora_typed_setup(hora_adapter *a, hora_status (*add)(hora_adapter *, int site)) {
    return hora_typed_setup_shared(a, NULL, add);
}

hora_status hora_typed_setup_shared(hora_adapter *a, void (*shared)(hora_adapter *, const bool *on),
                                    hora_status (*add)(hora_adapter *, int site)) {
    bool *on = hora_calloc((size_t)a->base->nsites + 1, sizeof *on);
    hora_status s = match(a, on);
    if (!s)
        s = hora_typed_fused(a, on);
    if (!s && shared)
        shared(a, on);
    for (int i = 0; i < a->base->nsites && !s; i++)
        if (on[i])
            s = add(a, i);
    if (!s)
        tell_parts(a, on);
    hora_free(on);
    return s ? s
             : hora_targets_save(a, &((const hora_typed *)a->config)->peft,
                                 !((const hora_typed *)a->config)->from_folder);
}

void hora_typed_release(hora_adapter *a) {
    hora_typed *t = a->config;
    hora_peft_config_release(&t->peft);
    hora_targets_release(&t->target);
    for (int i = 0; i < t->nrows; i++)
        hora_free(t->rows[i]);
    hora_free(t->rows);
    t->rows = NULL;
    t->nrows = 0;
}

char *hora_typed_name(const hora_site *s, const char *suffix) {
    return hora_format("base_model.model.%s.%s", s->module, suffix);
}

hora_param *hora_typed_param(hora_adapter *a, const hora_site *s, const char *suffix,
                             hora_shape shape, hora_init init) {
    char *name = hora_typed_name(s, suffix);
    hora_param *p = hora_adapter_find(a, name);
    if (!p)
        p = hora_adapter_param(a, name, shape, init);
    p->layer = s->layer;
    hora_free(name);
    return p;
}

hora_status hora_typed_patterns(hora_adapter *a, const char *ranks, const char *alphas) {
    hora_peft_config *p = &((hora_typed *)a->config)->peft;
    HORA_TRY(hora_patterns_parse(&p->rank_pattern, &p->n_rank, ranks, "rank_pattern"));
    return hora_patterns_parse(&p->alpha_pattern, &p->n_alpha, alphas, "alpha_pattern");
}

hora_status hora_typed_rank(const hora_adapter *a, const hora_site *s, int64_t rank, double alpha,
                            int64_t *r, double *al) {
    const hora_peft_config *p = &((const hora_typed *)a->config)->peft;
    double v;
    HORA_TRY(hora_peft_pattern_value(p->rank_pattern, p->n_rank, s->module, (double)rank, &v));
    if (v != floor(v) || v < 1)
        return hora_fail(HORA_EUSAGE,
                         "rank_pattern gives %s rank %g; ranks are whole numbers above 0",
                         s->module, v);
    *r = (int64_t)v;
    return hora_peft_pattern_value(p->alpha_pattern, p->n_alpha, s->module, alpha, al);
}

hora_init hora_kaiming(int64_t in) {
    return (hora_init){.kind = HORA_INIT_UNIFORM, .value = 1 / sqrt((double)in)};
}
