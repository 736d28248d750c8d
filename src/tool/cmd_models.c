/* hora models: the table of model families, from the registry. */
#include "model/family.h"
#include "tool/tool.h"

static hora_json *family_json(const hora_family *f) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "name", hora_json_new_string(f->name));
    hora_json_set(o, "summary", hora_json_new_string(f->summary));
    hora_json_set(o, "model_types", hora_json_new_string(f->model_types));
    return o;
}

static void print(const hora_json *f) {
    printf("%s: %s\n  model_type %s\n", hora_cli_text(f, "name"), hora_cli_text(f, "summary"),
           hora_cli_text(f, "model_types"));
}

static hora_status run(hora_cli *c) {
    for (int i = 0; i < hora_family_count(); i++)
        hora_cli_show(c, family_json(hora_family_at(i)), print);
    return HORA_OK;
}

const hora_command hora_command_models = {.name = "models",
                                          .summary = "Model families and the model types they read",
                                          .usage = "[--json]",
                                          .run = run};
