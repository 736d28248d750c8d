/* hora plan: what a training would take, before anything is allocated. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str table = {0};
    HORA_TRY(hora_cli_recipe(c));
    hora_status s = hora_tool_plan(&c->settings, &r, &table);
    if (r && c->json) {
        hora_cli_print(r);
        r = NULL;
    } else if (r) {
        fputs(table.s ? table.s : "", stdout);
    }
    hora_json_free(r);
    hora_str_release(&table);
    return s;
}

const hora_command hora_command_plan = {
    .name = "plan",
    .summary = "Say what a training would take: memory, parameters, time",
    .usage = "[RECIPE.yaml] --model DIR --data FILE [options of train]",
    .more = "Reads headers and data, takes no memory for the model. Exits with `memory` when it\n"
            "cannot fit and says which option would help.",
    .most = 1,
    .run = run};
