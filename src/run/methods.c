/* The adapters of a run: attached from settings, read, written into the recipe as run. */
#include "run/methods.h"

#include "base/log.h"
#include "base/text.h"
#include "run/run.h"

/* What an element has beside the options of its method. */
typedef struct element_config {
    double lr, weight_decay;
} element_config;
#define OPT_OF element_config
static const hora_option rows[] = {
    OPT_REAL(lr, "lr", "learning_rate", NULL, 0, 1e3,
             "learning rate of this adapter; unset: that of the run"),
    OPT_REAL(weight_decay, "weight_decay", "wd", NULL, 0, 1e3,
             "weight decay of this adapter; unset: that of the run"),
};
#undef OPT_OF
static const hora_options element_options = {"Element of methods", rows, HORA_COUNT(rows)};

static bool given(const hora_options *table, const hora_settings *s, const char *option) {
    for (int i = 0; i < s->n; i++)
        if (hora_options_find(table, s->at[i].key) == hora_options_find(table, option))
            return true;
    return false;
}

/* One element of the list; whatever its tables do not know is refused. */
static hora_status attach_element(hora_adapter **a, const hora_base *base, hora_settings *s, int i,
                                  uint64_t seed) {
    const char *method = hora_settings_get(s, "method");
    if (!method)
        return hora_fail(HORA_EUSAGE, "methods: element %d names no method; add `method: lora`",
                         i + 1);
    for (int k = 0; k < s->n; k++) /* `method` itself is nobody's option here */
        s->at[k].taken = hora_eq(s->at[k].key, "method");
    element_config own;
    hora_status st = hora_options_take(&element_options, &own, s);
    st = st ? st : hora_peft_attach(a, base, method, s, seed);
    if (!st) {
        const hora_options *tables[] = {&hora_adapter_options, &element_options,
                                        (*a)->method->options};
        (*a)->lr = own.lr;
        (*a)->own_decay = given(&element_options, s, "weight_decay");
        (*a)->weight_decay = own.weight_decay;
        if ((st = hora_method_foreign(s, method)) == HORA_OK)
            st = hora_settings_finish(s, tables, tables[2] ? 3 : 2);
    }
    return st ? hora_context(st, "methods, element %d", i + 1) : st;
}

hora_status hora_run_methods_attach(hora_run_methods *m, const hora_base *base, hora_settings *s,
                                    const char *method, uint64_t seed) {
    for (int i = 0;; i++) {
        hora_settings one = {0};
        hora_adapter *a = NULL;
        if (!hora_settings_element(s, "methods", i, &one))
            break;
        m->list = true;
        hora_status st = attach_element(&a, base, &one, i, seed);
        if (a)
            HORA_PUSH(m->at, m->n, m->cap, a);
        hora_settings_release(&one);
        HORA_TRY(st);
    }
    if (m->list && given(&hora_run_options, s, "method"))
        return hora_fail(HORA_EUSAGE, "method and methods contradict each other; give one of them");
    if (!m->list) {
        hora_adapter *a;
        HORA_TRY(hora_peft_attach(&a, base, method, s, seed));
        HORA_PUSH(m->at, m->n, m->cap, a);
    }
    HORA_TRY(hora_adapters_check(m->at, m->n));
    return hora_adapters_route(m->at, m->n);
}

hora_status hora_run_methods_from(const hora_run_methods *m, const char *dir, char ***folders) {
    char *unused = NULL;
    *folders = hora_calloc((size_t)m->n + 1, sizeof **folders);
    const hora_status s = hora_adapters_folders(m->at, m->n, dir, *folders, &unused);
    if (unused)
        hora_warn("init_adapter: %s of %s are in no element of methods, and are left out", unused,
                  dir);
    hora_free(unused);
    return s;
}

hora_status hora_run_methods_read(const hora_run_methods *m, char *const *folders) {
    for (int i = 0; i < m->n; i++)
        HORA_TRY(hora_adapter_read(m->at[i], folders[i]));
    return HORA_OK;
}

void hora_run_methods_recipe(const hora_run_methods *m, hora_json *recipe) {
    hora_json *list = hora_json_set(recipe, "methods", hora_json_new_array());
    for (int i = 0; i < m->n; i++) {
        const hora_adapter *a = m->at[i];
        const hora_options *tables[] = {a->method->options};
        const void *objects[] = {a->config};
        hora_json *o = hora_json_new_object(), *options;
        hora_json_set(o, "method", hora_json_new_string(a->method->name));
        hora_json_set(o, "adapter_name", hora_json_new_string(a->name));
        if (a->task)
            hora_json_set(o, "adapter_task", hora_json_new_string(a->task));
        if (a->lr > 0)
            hora_json_set(o, "lr", hora_json_new_real(a->lr));
        if (a->own_decay)
            hora_json_set(o, "weight_decay", hora_json_new_real(a->weight_decay));
        options = hora_run_recipe(tables, objects, a->method->options != NULL);
        for (void *it = hora_json_iter(options); it; it = hora_json_next(options, it))
            hora_json_set(o, hora_json_iter_key(it), hora_json_copy(hora_json_iter_value(it)));
        hora_json_free(options);
        hora_json_push(list, o);
    }
}

void hora_run_methods_release(hora_run_methods *m) {
    for (int i = 0; i < m->n; i++)
        hora_peft_detach(m->at[i]);
    hora_free(m->at);
    *m = (hora_run_methods){0};
}
