/* Recipes: YAML that becomes settings, and what the tables of a run make of them. */
#include "base/yaml.h"
#include "fuzz.h"
#include "fuzz_settings.h"
#include "run/run.h"

HORA_FUZZ(recipe) {
    hora_json *v = NULL;
    hora_settings s = {0};
    bool taken = false;
    if (hora_yaml_parse(&v, data, n, "fuzz") == HORA_OK && hora_json_type(v) == HORA_JOBJECT) {
        const hora_status st = hora_run_settings(&s, v, "recipe");
        must_say(st, "recipe");
        taken = st == HORA_OK && hora_fuzz_take(&s);
    }
    hora_settings_release(&s);
    hora_json_free(v);
    return taken;
}
