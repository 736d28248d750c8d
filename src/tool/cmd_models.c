/* hora models: the table of model families, from the registry. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r;
    hora_tool_models(&r);
    for (size_t i = 0; i < hora_json_len(r); i++) {
        const hora_json *f = hora_json_at(r, i);
        if (c->json)
            hora_cli_print(hora_json_copy(f));
        else
            printf("%s: %s\n  model_type %s\n", hora_cli_text(f, "name"),
                   hora_cli_text(f, "summary"), hora_cli_text(f, "model_types"));
    }
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_models = {.name = "models",
                                          .summary = "Model families and the model types they read",
                                          .usage = "[--json]",
                                          .run = run};
