#include "fuzz_settings.h"

#include "base/yaml.h"
#include "data/data.h"
#include "fuzz.h"
#include "peft/peft.h"
#include "run/run.h"
#include "train/train.h"

typedef struct everything {
    hora_run_config run;
    hora_train_config train;
    hora_data_config data;
    hora_adapter_config adapter;
} everything;

static const hora_options *const tables[] = {HORA_RUN_OPTIONS};

static bool take(everything *e, hora_settings *s) {
    void *const at[] = {&e->run, &e->train, &e->data, &e->adapter};
    const hora_options *all[HORA_RUN_TABLES];
    hora_status st = HORA_OK;
    for (size_t i = 0; i < HORA_COUNT(tables) && !st; i++)
        st = hora_options_take(tables[i], at[i], s);
    const hora_method *m = e->run.method ? hora_method_named(e->run.method) : NULL;
    if (m && m->options)
        hora_settings_drop(s, m->options);
    if (!st)
        st = hora_settings_finish(s, all, hora_run_tables(e->run.method, all));
    must(st == HORA_OK || *hora_errmsg());
    return st == HORA_OK;
}

static void release(everything *e) {
    void *const at[] = {&e->run, &e->train, &e->data, &e->adapter};
    for (size_t i = 0; i < HORA_COUNT(tables); i++)
        hora_options_release(tables[i], at[i]);
}

bool hora_fuzz_take(hora_settings *s) {
    everything e = {0};
    const void *const at[] = {&e.run, &e.train, &e.data, &e.adapter};
    const bool taken = take(&e, s);
    if (taken) {
        hora_json *recipe = hora_run_recipe(tables, at, (int)HORA_COUNT(tables)), *again;
        hora_str text = {0};
        hora_settings back = {0};
        everything second = {0};
        hora_yaml_dump(recipe, &text);
        must(hora_yaml_parse(&again, text.s, text.n, "recipe") == HORA_OK);
        must(hora_run_settings(&back, again, "recipe") == HORA_OK);
        must(take(&second, &back));
        release(&second);
        hora_settings_release(&back);
        hora_json_free(again);
        hora_json_free(recipe);
        hora_str_release(&text);
    }
    release(&e);
    return taken;
}
