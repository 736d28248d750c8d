/* hora train: a whole run, with progress on stderr. */
#include "run/run.h"
#include "tool/tool.h"

typedef struct config {
    bool dry_run;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(dry_run, "dry_run", NULL, "false", "print what `hora plan` prints, and train nothing"),
};
static const hora_options options = {"Train", rows, HORA_COUNT(rows)};

static void print(const hora_json *r) {
    printf("%.0f steps", hora_cli_number(r, "steps"));
    if (hora_cli_number(r, "averaged") > 1)
        printf(", loss %.4f -> %.4f (means of %.0f steps)", hora_cli_number(r, "first_mean"),
               hora_cli_number(r, "last_mean"), hora_cli_number(r, "averaged"));
    else if (hora_cli_number(r, "averaged") < 1)
        printf(", all taken before: nothing was trained (--steps N with a larger N goes on)");
    else
        printf(", loss %.4f -> %.4f", hora_cli_number(r, "first_loss"),
               hora_cli_number(r, "last_loss"));
    if (hora_json_get(r, "eval_loss"))
        printf(", evaluation %.4f -> %.4f", hora_cli_number(r, "first_eval_loss"),
               hora_cli_number(r, "eval_loss"));
    printf(", %.0f trained of %.0f numbers, %.1f s\n", hora_cli_number(r, "trainable"),
           hora_cli_number(r, "parameters"), hora_cli_number(r, "seconds"));
}

typedef struct watcher {
    hora_progress progress;
    bool leads; /* of several ranks one speaks */
} watcher;

/* Until the plan stands, files are read, and there is nothing to save. */
static void on_event(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_PLANNED)
        hora_cli_interrupts_end(false);
    watcher *w = user;
    if (w->leads)
        hora_progress_event(&w->progress, e);
}

static hora_status train(hora_cli *cli, hora_comm *comm) {
    watcher w = {.leads = hora_comm_leads(comm)};
    const hora_run_hooks hooks = {on_event, &w, hora_cli_interrupts(), comm};
    hora_run_result result = {0};
    hora_cli_interrupts_end(true);
    HORA_TRY(hora_run_train(&cli->settings, &hooks, &result));
    if (w.leads)
        hora_cli_show(cli, hora_run_summary(&result), print);
    return HORA_OK;
}

static hora_status run(hora_cli *cli) {
    config c;
    HORA_TRY(hora_options_take(&options, &c, &cli->settings));
    hora_settings_drop(&cli->settings, &options); /* what is left is the recipe of a run */
    if (c.dry_run) {
        hora_cli_interrupts_end(true);
        return hora_cli_plan(cli);
    }
    return hora_cli_ranks(cli, train);
}

const hora_command hora_command_train = {
    .name = "train",
    .summary = "Fine-tune a model; OUT is an adapter directory that PEFT loads",
    .usage = "[RECIPE.yaml] --model DIR --data FILE --out DIR [options]",
    .more =
        "A recipe holds the same options as `key: value`; --set key=value is another spelling\n"
        "of --key value. Ctrl-C ends before the next micro-batch with a checkpoint of the last\n"
        "whole step; `hora train --resume --out OUT` goes on from the newest one.\n"
        "`mpirun -n 8 hora train ..` shares the micro-batches of a step among 8 ranks, with the\n"
        "same bits as one rank.",
    .tables = {HORA_RUN_OPTIONS, &options},
    .methods = HORA_CLI_ANY_METHOD,
    .most = 1,
    .recipe = true,
    .run = run};
