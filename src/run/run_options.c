/* The options of a whole run that belong to no part of it, and the recipe as run. */
#include <stddef.h>

#include "run/run.h"

#define AT(f) offsetof(hora_run_config, f)

static const hora_option rows[] = {
    {"model", "base_model_name_or_path model_name_or_path", HORA_OPT_STRING, AT(model), NULL, 0, 0,
     NULL, "DIR", "base model: a Hugging Face directory"},
    {"data", "train_file dataset", HORA_OPT_STRING, AT(data), NULL, 0, 0, NULL, "FILE",
     "training data: text or JSONL"},
    {"eval_data", "validation_file", HORA_OPT_STRING, AT(eval_data), NULL, 0, 0, NULL, "FILE",
     "evaluation data; eval_split takes some of the training data instead"},
    {"method", "peft_type", HORA_OPT_STRING, AT(method), "hora", 0, 0, NULL, "NAME",
     "what trains: hora, lora, full, bitfit, head (hora methods lists them)"},
    {"out", "output_dir", HORA_OPT_STRING, AT(out), NULL, 0, 0, NULL, "DIR",
     "folder for the adapter, checkpoints and logs"},
    {"init_adapter", NULL, HORA_OPT_STRING, AT(init_adapter), NULL, 0, 0, NULL, "DIR",
     "start from the values of this adapter (same method and options)"},
    {"resume", "resume_from_checkpoint", HORA_OPT_BOOL, AT(resume), "false", 0, 0, NULL, NULL,
     "go on from the newest whole checkpoint in out"},
    {"overwrite", "overwrite_output_dir", HORA_OPT_BOOL, AT(overwrite), "false", 0, 0, NULL, NULL,
     "replace what an earlier run left in out"},
    {"threads", NULL, HORA_OPT_INT, AT(threads), NULL, 0, 256, NULL, NULL,
     "threads; unset: all cores (the result does not depend on it)"},
};
const hora_options hora_run_options = {"Run", rows, (int)HORA_COUNT(rows)};

int hora_run_tables(const char *method, const hora_options *tables[HORA_RUN_TABLES]) {
    const hora_method *m = method ? hora_method_named(method) : NULL;
    int n = 0;
    tables[n++] = &hora_run_options;
    tables[n++] = &hora_train_options;
    tables[n++] = &hora_data_options;
    if (m && m->options)
        tables[n++] = m->options;
    return n;
}

static hora_json *typed(const hora_option *row, const void *object) {
    const void *at = (const char *)object + row->offset;
    switch (row->type) {
    case HORA_OPT_BOOL:
        return hora_json_new_bool(*(const bool *)at);
    case HORA_OPT_INT:
        return hora_json_new_int(*(const int64_t *)at);
    case HORA_OPT_REAL:
        return hora_json_new_real(*(const double *)at);
    case HORA_OPT_STRING:
        return hora_json_new_string(*(char *const *)at);
    case HORA_OPT_CHOICE: {
        char *name = hora_option_choice(row, *(const int *)at);
        hora_json *v = hora_json_new_string(name);
        hora_free(name);
        return v;
    }
    }
    HORA_BUG("option `%s` has no such type", row->name);
}

/* What was never set says nothing: no default, and zero in the field. */
static bool is_unset(const hora_option *row, const void *object) {
    const void *at = (const char *)object + row->offset;
    switch (row->type) {
    case HORA_OPT_STRING:
        return !*(char *const *)at;
    case HORA_OPT_INT:
        return !row->def && *(const int64_t *)at == 0;
    case HORA_OPT_REAL:
        return !row->def && *(const double *)at == 0;
    case HORA_OPT_BOOL:
    case HORA_OPT_CHOICE:
        return false;
    }
    return false;
}

hora_json *hora_run_recipe(const hora_options *const *tables, const void *const *objects, int n) {
    hora_json *o = hora_json_new_object();
    for (int t = 0; t < n; t++)
        for (int i = 0; i < tables[t]->n; i++) {
            const hora_option *row = &tables[t]->rows[i];
            if (!is_unset(row, objects[t]) && !hora_json_get(o, row->name))
                hora_json_set(o, row->name, typed(row, objects[t]));
        }
    return o;
}
