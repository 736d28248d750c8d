/*
 * The front door: version, messages, threads, registries, option tables, recipes.
 */
#include "api/handles.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "base/yaml.h"
#include "hora_build.h"

/* --- library ---------------------------------------------------------------------------------- */
const char *hora_version(void) {
    return HORA_VERSION_STRING " (" HORA_COMMIT ")";
}

void hora_log_set(int level, void (*fn)(void *, int, const char *), void *user) {
    hora_log_threshold((hora_log_level)hora_max(0, hora_min(level, HORA_LOG_DEBUG)));
    hora_log_sink(fn, user);
}

void hora_threads_set(int n) {
    hora_threads_limit(n);
}

static const struct {
    const char *name;
    int code;
    const char *text;
} statuses[] = {
#define STATUS(x, exit, text) {#x, exit, text},
#include "base/status.def"
#undef STATUS
};

/* Each fills row i, false past the last. */
static bool method_at(int i, hora_row *row) {
    if (i >= hora_method_count())
        return false;
    const hora_method *m = hora_method_at(i);
    *row = (hora_row){m->name, m->summary, m->paper, m->default_lr};
    return true;
}

static bool family_at(int i, hora_row *row) {
    if (i >= hora_family_count())
        return false;
    const hora_family *f = hora_family_at(i);
    *row = (hora_row){f->name, f->summary, f->model_types, 0};
    return true;
}

static bool status_at(int i, hora_row *row) {
    if (i >= (int)HORA_COUNT(statuses))
        return false;
    *row = (hora_row){statuses[i].name, statuses[i].text, NULL, statuses[i].code};
    return true;
}

hora_status hora_row_at(const char *registry, int i, hora_row *row) {
    static const struct {
        const char *name;
        bool (*at)(int i, hora_row *row);
    } registries[] = {{"methods", method_at}, {"models", family_at}, {"statuses", status_at}};
    for (size_t k = 0; k < HORA_COUNT(registries); k++)
        if (hora_eq(registry, registries[k].name))
            return i >= 0 && registries[k].at(i, row) ? HORA_OK : HORA_DONE;
    return hora_fail(HORA_ENOTFOUND, "no registry `%s`; there are methods, models and statuses",
                     registry ? registry : "");
}

static const hora_options *table_of(const char *owner) {
    static const struct {
        const char *name;
        const hora_options *table;
    } owners[] = {{"model", &hora_model_options},
                  {"data", &hora_data_options},
                  {"train", &hora_train_options},
                  {"run", &hora_run_options},
                  {"generate", &hora_sampling_options}};
    for (size_t i = 0; owner && i < HORA_COUNT(owners); i++)
        if (hora_eq(owner, owners[i].name))
            return owners[i].table;
    if (!owner || !hora_starts(owner, "method:"))
        return NULL;
    const hora_method *m = hora_method_named(owner + strlen("method:"));
    return m ? m->options : NULL;
}

hora_status hora_option_at(const char *owner, int i, hora_option_row *row) {
    static const char *const types[] = {"bool", "int", "real", "string", "choice"};
    const hora_options *t = table_of(owner);
    if (!t)
        return hora_fail(HORA_ENOTFOUND,
                         "nobody called `%s` has options; ask for model, data, train, run, "
                         "generate or method:NAME",
                         owner ? owner : "");
    if (i < 0 || i >= t->n)
        return HORA_DONE;
    const hora_option *o = &t->rows[i];
    *row = (hora_option_row){o->name,    o->aliases, types[o->type], o->def,
                             o->choices, o->help,    o->min,         o->max};
    return HORA_OK;
}

/* --- recipes ---------------------------------------------------------------------------------- */
struct hora_recipe {
    hora_settings settings;
};

hora_status hora_recipe_open(hora_recipe **out, const char *path) {
    hora_json *tree = NULL;
    if (path)
        HORA_TRY(hora_yaml_load(&tree, path));
    hora_recipe *r = hora_calloc(1, sizeof *r);
    hora_status s = tree ? hora_run_settings(&r->settings, tree, "recipe") : HORA_OK;
    hora_json_free(tree);
    r->settings.file = path ? hora_strdup(path) : NULL;
    if (s != HORA_OK) {
        hora_recipe_close(r);
        return hora_context(s, "%s", path);
    }
    *out = r;
    return HORA_OK;
}

hora_status hora_recipe_set(hora_recipe *r, const char *key, const char *value) {
    if (!key || !*key || !value)
        return hora_fail(HORA_EUSAGE, "a setting needs a key and a value; give both");
    hora_settings_put(&r->settings, key, value, "program");
    return HORA_OK;
}

hora_status hora_recipe_run(hora_recipe *r, hora_str *summary) {
    hora_run_result result = {0};
    HORA_TRY(hora_run_train(&r->settings, &(hora_run_hooks){0}, &result));
    if (!summary)
        return HORA_OK;
    hora_json *j = hora_run_summary(&result);
    hora_json_dump(j, 0, false, summary);
    hora_json_free(j);
    return HORA_OK;
}

void hora_recipe_close(hora_recipe *r) {
    if (!r)
        return;
    hora_settings_release(&r->settings);
    hora_free(r);
}

/* --- option text ------------------------------------------------------------------------------ */
hora_status hora_settings_of(hora_settings *s, const char *options) {
    *s = (hora_settings){0};
    return options ? hora_settings_parse(s, options, "options") : HORA_OK;
}

hora_status hora_settings_done(hora_status st, hora_settings *s, const hora_options *const *tables,
                               int n) {
    if (st == HORA_OK)
        st = hora_settings_finish(s, tables, n);
    hora_settings_release(s);
    return st;
}
