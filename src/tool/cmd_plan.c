/* hora plan: what a training would take, before anything is allocated. */
#include "run/run.h"
#include "tool/tool.h"

typedef struct config {
    bool dump;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(dump, "dump", NULL, "false",
             "the whole schedule too: a line per kernel call with its buffers"),
};
static const hora_options options = {"Plan", rows, HORA_COUNT(rows)};

hora_status hora_cli_plan(hora_cli *cli, bool dump) {
    hora_train_report plan = {0};
    hora_str table = {0}, schedule = {0};
    hora_status st = hora_run_plan(&cli->settings, &plan, dump ? &schedule : NULL);
    if (st == HORA_OK || st == HORA_ENOMEM) {
        hora_train_report_text(&plan, &table);
        hora_str_add(&table, schedule.s, schedule.n);
        hora_cli_result(cli, hora_train_report_json(&plan), &table);
    }
    hora_str_release(&schedule);
    hora_str_release(&table);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c;
    HORA_TRY(hora_options_take(&options, &c, &cli->settings));
    hora_settings_drop(&cli->settings, &options); /* what is left is the recipe of a run */
    return hora_cli_plan(cli, c.dump);
}

const hora_command hora_command_plan = {
    .name = "plan",
    .summary = "Say what a training would take: memory, parameters, time",
    .usage = "[RECIPE.yaml] --model DIR --data FILE [options of train]",
    .more = "Reads headers and data, takes no memory for the model; where there are no weights,\n"
            "config.json will do. Exits with `memory` when it\n"
            "cannot fit and says which option would help.",
    .tables = {HORA_RUN_OPTIONS, &options},
    .methods = HORA_CLI_ANY_METHOD,
    .most = 1,
    .recipe = true,
    .run = run};
