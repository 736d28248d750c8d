/* The registry of methods and the life of an adapter. */
#include <stdatomic.h>

#include "base/rng.h"
#include "base/text.h"
#include "peft/peft_impl.h"
#include "peft/replaced.h"

#define METHOD(x) extern const hora_method hora_method_##x;
#include "peft/methods.def"
#undef METHOD

static const hora_method *const methods[] = {
#define METHOD(x) &hora_method_##x,
#include "peft/methods.def"
#undef METHOD
};

const char *hora_method_lacks(const hora_method *m) {
    const hora_hooks *h = &m->hooks;
    const struct {
        bool there;
        const char *what;
    } needs[] = {
        {m->name && m->summary && m->form, "name, summary and form"},
        {m->default_lr > 0, "default_lr"},
        {(m->options != NULL) == (m->config_size > 0), "options and config_size, both or none"},
        {h->select || h->prelude || h->input || h->linear || h->kv || h->block || h->tokens ||
             h->head || h->attend || h->reach,
         "a hook"},
        {(m->alias != NULL) == (m->alias_options != NULL) && (!m->alias || m->options),
         "alias and alias_options, both or none"},
        {m->setup, "setup"},
        {m->unrouted ||
             !(h->keeps || h->takes || h->second || h->reach || h->compared || m->choose),
         "unrouted: why it cannot be on in some rows alone"},
        {m->claims, "claims"},
        {m->save, "save"},
        {m->load, "load"},
        {(m->factors || m->change_rank) == (m->peft_config != NULL),
         "peft_config with factors or change_rank, or none of them"},
        {m->factors || !m->materialise, "factors, which materialise is for"},
        {!m->factors || m->factors_rank || (m->options && hora_options_find(m->options, "rank")),
         "factors_rank: there is no option `rank`"},
        {m->factors ? !m->change_rank : (m->change_rank != NULL) == (m->factors_rank != NULL),
         "factors, or change_rank and factors_rank, or none of them"},
    };
    for (size_t i = 0; i < HORA_COUNT(needs); i++)
        if (!needs[i].there)
            return needs[i].what;
    return NULL;
}

/* A row that lacks something must not be found out after hours of training. */
static const hora_method *const *checked(void) {
    static atomic_bool done;
    for (size_t i = 0; !done && i < HORA_COUNT(methods); i++)
        if (hora_method_lacks(methods[i]))
            HORA_BUG("method %s: its row lacks %s", methods[i]->name ? methods[i]->name : "?",
                     hora_method_lacks(methods[i]));
    done = true;
    return methods;
}

int hora_method_count(void) {
    return (int)HORA_COUNT(methods);
}
const hora_method *hora_method_at(int i) {
    return checked()[i];
}

const hora_method *hora_method_named(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(methods); i++)
        if (hora_eq(checked()[i]->name, name) || hora_eq(methods[i]->alias, name))
            return methods[i];
    return NULL;
}

hora_status hora_method_unknown(const char *name) {
    const char *names[HORA_COUNT(methods)];
    hora_str all = {0};
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        names[i] = methods[i]->name;
        hora_str_printf(&all, "%s%s", i ? " " : "", names[i]);
    }
    const char *near = hora_nearest(name ? name : "", names, (int)HORA_COUNT(methods));
    hora_status s =
        near ? hora_fail(HORA_ENOTFOUND,
                         "no method `%s`; did you mean `%s`? `hora methods` lists all", name, near)
             : hora_fail(HORA_ENOTFOUND, "no method `%s`; there are: %s", name ? name : "", all.s);
    hora_str_release(&all);
    return s;
}

/* Word i of n, as in "a, b and c". */
static void put_word(hora_str *out, const char *word, int i, int n) {
    hora_str_printf(out, "%s%s", !i ? "" : i < n - 1 ? ", " : " and ", word);
}

/* The methods that have an option of this name; returns how many. */
static int having(const char *key, const char **names) {
    int n = 0;
    for (int k = 0; k < hora_method_count(); k++) {
        const hora_method *m = hora_method_at(k);
        if (m->options && hora_options_find(m->options, key))
            names[n++] = m->name;
    }
    return n;
}

static hora_status refuse_foreign(const hora_setting *given, const hora_method *m,
                                  const char *const *names, int n) {
    const bool flag = hora_eq(given->origin, "command line");
    const int own = m->options ? m->options->n : 0;
    hora_str key = {0}, also = {0}, has = {0};
    hora_str_printf(&key, "%s%s", flag ? "--" : "", given->key);
    for (char *p = key.s; flag && *p; p++)
        *p = *p == '_' ? '-' : *p;
    hora_str_puts(&also, n > 1 ? " (" : "");
    for (int i = 1; i < n; i++)
        put_word(&also, names[i], i - 1, n - 1);
    hora_str_puts(&also, n > 2 ? " have it too)" : n > 1 ? " has it too)" : "");
    hora_str_puts(&has, own ? "" : "no options");
    for (int i = 0; i < own; i++)
        put_word(&has, m->options->rows[i].name, i, own);
    const hora_status s =
        hora_fail(HORA_EUSAGE,
                  "%s is an option of method %s, not of %s%s; leave it out or give --method %s%s; "
                  "%s has %s",
                  key.s, names[0], m->name, also.s, names[0], n > 1 ? " or one of these" : "",
                  m->name, has.s);
    hora_str_release(&key);
    hora_str_release(&also);
    hora_str_release(&has);
    return s;
}

hora_status hora_method_foreign(const hora_settings *s, const char *method) {
    const hora_method *m = hora_method_named(method);
    const char *names[HORA_COUNT(methods)];
    for (int i = 0; m && i < s->n; i++) {
        if (s->at[i].taken || (m->options && hora_options_find(m->options, s->at[i].key)))
            continue;
        const int n = having(s->at[i].key, names);
        if (n)
            return refuse_foreign(&s->at[i], m, names, n);
    }
    return HORA_OK;
}

#define OPT_OF hora_adapter_config
static const hora_option rows[] = {
    OPT_STRING(name, "adapter_name", NULL, NULL, "NAME",
               "name of the adapter among several; unset: its method's"),
    OPT_STRING(task, "adapter_task", NULL, NULL, "TASK",
               "the adapter is for records whose `task` is this one, and off in all others; unset: "
               "for all"),
};
const hora_options hora_adapter_options = {"Adapter", rows, HORA_COUNT(rows)};

/* As files are called that lie in the folder of a training, hora's or those of a tokenizer. */
static bool is_file(const char *name) {
    static const char *const ends[] = {".json", ".jsonl", ".safetensors", ".md",    ".yaml",
                                       ".csv",  ".txt",   ".model",       ".jinja", ".tmp"};
    bool yes = false;
    for (size_t i = 0; i < HORA_COUNT(ends); i++)
        yes |= hora_ends(name, ends[i]);
    return yes;
}

bool hora_adapter_name_valid(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    return name && *name && *name != '.' && *name != '-' && strspn(name, letters) == strlen(name) &&
           strlen(name) <= 64 && !hora_starts(name, "checkpoint-") && !is_file(name);
}

static hora_status check_name(const char *name) {
    if (hora_adapter_name_valid(name))
        return HORA_OK;
    return hora_fail(
        HORA_EUSAGE,
        "adapter_name=%.80s: a name is the folder of an adapter: up to 64 letters, "
        "digits, `_`, `-` and `.`, a letter, digit or `_` first, not checkpoint-.., nor "
        "what ends as a file does (.json, .md ..)",
        name);
}

/* Draws of an adapter with a name of its own are its own too: two of one method that started alike
 * would stay alike. */
hora_adapter *hora_adapter_new(const hora_method *m, const hora_base *base, const char *name,
                               uint64_t seed) {
    hora_settings none = {0};
    hora_adapter *a = hora_calloc(1, sizeof *a);
    a->method = m;
    a->name = hora_strdup(name ? name : m->name);
    a->hooks = &m->hooks;
    a->base = base;
    a->seed = hora_hash64(m->name, strlen(m->name), seed);
    if (!hora_eq(a->name, m->name))
        a->seed = hora_hash64(a->name, strlen(a->name), a->seed);
    a->dtype = base->dtype == HORA_F64 ? HORA_F64 : HORA_F32;
    a->enabled = true;
    a->weight = 1;
    a->route = -1;
    a->config = hora_calloc(1, m->config_size ? m->config_size : 1);
    if (m->options && hora_options_take(m->options, a->config, &none))
        HORA_BUG("method %s: its defaults are refused: %s", m->name, hora_errmsg());
    return a;
}

/* Unless another adapter trains it: a task's head that must train, or does so beside adapters in
 * PEFT's files, is a parameter like any other; where the method has said nothing of it, it stands
 * under PEFT's name. */
static void take_head(hora_adapter *a) {
    const hora_base *b = a->base;
    if (!b->head_owner || (*b->head_owner && *b->head_owner != a))
        return;
    if (b->head_fresh || b->head_trains)
        hora_adapter_take_head(a);
    if (hora_adapter_replacement(a, b->head))
        *b->head_owner = a;
}

hora_status hora_adapter_setup(hora_adapter *a) {
    hora_status s = a->method->setup(a);
    if (s)
        return hora_context(s, "method %s", a->method->name);
    take_head(a);
    return HORA_OK;
}

/* New values of weights and nothing else: they have the base's own names. */
static bool trains_weights(const hora_adapter *a) {
    const hora_hooks *h = a->hooks;
    return (a->method->save == hora_delta_save && !h->linear && !h->kv && !h->block) ||
           a->method->save == hora_model_save;
}

/* Around prompts PEFT has the model itself where other types have a tuner, so that its names are a
 * part shorter. */
static const char *root(const hora_adapter *a) {
    static const char *const prompts[] = {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"};
    for (size_t i = 0; i < HORA_COUNT(prompts); i++)
        if (hora_eq(a->method->peft_type, prompts[i]))
            return "base_model.";
    return trains_weights(a) ? "" : "base_model.model.";
}

static void take_part(hora_adapter *a, int w) {
    if (w < 0 || hora_adapter_replacement(a, w))
        return;
    char *name = hora_format("%s%s", root(a), a->base->weights[w].name);
    hora_adapter_replace(a, w, name);
    hora_free(name);
}

void hora_adapter_take_head(hora_adapter *a) {
    take_part(a, a->base->head);
    take_part(a, a->base->head_bias);
    if (a->base->neck_trains)
        hora_adapter_take_neck(a);
}

void hora_adapter_take_neck(hora_adapter *a) {
    for (int i = 0; i < a->base->nneck; i++)
        take_part(a, a->base->neck[i]);
}

/* An alias is options that stand in front of the given ones. */
static hora_status take_options(const hora_method *m, const char *name, void *config,
                                hora_settings *given) {
    hora_settings all = {0};
    hora_options_release(m->options, config);
    if (!hora_eq(m->alias, name))
        return hora_options_take(m->options, config, given);
    hora_status s = hora_settings_parse(&all, m->alias_options, "method");
    for (int i = 0; i < given->n; i++) {
        hora_settings_put(&all, given->at[i].key, given->at[i].value, given->at[i].origin);
        given->at[i].taken |= hora_options_find(m->options, given->at[i].key) != NULL;
    }
    if (!s)
        s = hora_options_take(m->options, config, &all);
    hora_settings_release(&all);
    return s;
}

hora_status hora_peft_attach(hora_adapter **out, const hora_base *base, const char *method,
                             hora_settings *settings, uint64_t seed) {
    *out = NULL;
    const hora_method *m = hora_method_named(method);
    if (!m)
        return hora_method_unknown(method);
    hora_adapter_config c;
    HORA_TRY(hora_options_take(&hora_adapter_options, &c, settings));
    hora_status s = c.name ? check_name(c.name) : HORA_OK;
    hora_adapter *a = hora_adapter_new(m, base, c.name, seed);
    a->task = c.task && *c.task ? hora_strdup(c.task) : NULL;
    hora_options_release(&hora_adapter_options, &c);
    if (!s && m->options)
        s = take_options(m, method, a->config, settings);
    s = s ? hora_context(s, "method %s", m->name) : hora_adapter_setup(a);
    if (s) {
        hora_peft_detach(a);
        return s;
    }
    *out = a;
    return HORA_OK;
}

void hora_peft_detach(hora_adapter *a) {
    if (!a)
        return;
    if (a->method->release)
        a->method->release(a);
    hora_adapter_release_params(a);
    if (a->method->options)
        hora_options_release(a->method->options, a->config);
    hora_free(a->config);
    hora_free(a->name);
    hora_free(a->task);
    hora_free(a->state);
    hora_free(a);
}

hora_status hora_adapter_materialise(hora_adapter *a) {
    hora_adapter_refresh(a);
    return a->method->materialise ? a->method->materialise(a) : HORA_OK;
}

int64_t hora_adapter_trainable(const hora_adapter *a) {
    int64_t n = 0;
    for (int i = 0; i < a->nparams; i++)
        n += a->params[i]->fixed ? 0 : a->params[i]->elems;
    return n;
}
