/* hora new: a model directory with random weights. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_tool_new(&c->settings, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    printf("%s: %s of %.0f parameters\n", hora_cli_text(r, "out"), hora_cli_text(r, "model_type"),
           hora_cli_number(r, "parameters"));
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_new = {.name = "new",
                                       .summary = "A randomly initialised model directory",
                                       .usage = "--config config.json --out DIR [--seed N] "
                                                "[--dtype f32|bf16] [--tokenizer DIR]",
                                       .run = run};
