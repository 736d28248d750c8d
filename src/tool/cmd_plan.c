/* hora plan: what a training would take, before anything is allocated. */
#include "run/run.h"
#include "tool/tool.h"

typedef struct config {
    bool dump;
    int64_t ranks;
    char *net;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(dump, "dump", NULL, "false",
             "the whole schedule too: a line per kernel call with its buffers"),
    OPT_INT(ranks, "ranks", NULL, "1", 1, 1e6,
            "what so many ranks, a machine each, would make of it"),
    OPT_STRING(net, "net", NULL, "10GbE", "NET",
               "between them: 1GbE, 10GbE, 100GbE or LATENCY:BANDWIDTH (50us:118MB)"),
};
static const hora_options options = {"Plan", rows, HORA_COUNT(rows)};

/* ranks: 1: nothing is said of several. */
static hora_status report(hora_cli *cli, bool dump, int ranks, const hora_link *net) {
    hora_train_report plan = {0};
    hora_str table = {0}, schedule = {0};
    hora_status st = hora_run_plan(&cli->settings, &plan, dump ? &schedule : NULL);
    if (st == HORA_OK || st == HORA_ENOMEM) {
        hora_json *j = hora_train_report_json(&plan);
        hora_train_report_text(&plan, &table);
        if (ranks > 1)
            hora_json_set(j, "scaling", hora_run_scaling(&plan, net, ranks, &table));
        hora_str_add(&table, schedule.s, schedule.n);
        hora_cli_result(cli, j, &table);
    }
    hora_str_release(&schedule);
    hora_str_release(&table);
    return st;
}

hora_status hora_cli_plan(hora_cli *cli) {
    return report(cli, false, 1, NULL);
}

static hora_status run(hora_cli *cli) {
    config c;
    hora_link net = {0};
    HORA_TRY(hora_options_take(&options, &c, &cli->settings));
    hora_settings_drop(&cli->settings, &options); /* what is left is the recipe of a run */
    hora_status s = hora_link_parse(&net, c.net);
    if (s == HORA_OK)
        s = report(cli, c.dump, (int)c.ranks, &net);
    hora_options_release(&options, &c);
    return s;
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
