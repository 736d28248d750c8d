/* hora train: a whole run, with progress on stderr. */
#include "run/run.h"
#include "tool/tool.h"

static void print(const hora_json *r) {
    printf("%.0f steps, loss %.4f -> %.4f", hora_cli_number(r, "steps"),
           hora_cli_number(r, "first_loss"), hora_cli_number(r, "last_loss"));
    if (hora_json_get(r, "eval_loss"))
        printf(", evaluation %.4f -> %.4f", hora_cli_number(r, "first_eval_loss"),
               hora_cli_number(r, "eval_loss"));
    printf(", %.0f trained of %.0f numbers, %.1f s\n", hora_cli_number(r, "trainable"),
           hora_cli_number(r, "parameters"), hora_cli_number(r, "seconds"));
}

static hora_status run(hora_cli *cli) {
    hora_progress progress = {0};
    const hora_run_hooks hooks = {hora_progress_event, &progress, hora_cli_interrupts()};
    hora_run_result result = {0};
    HORA_TRY(hora_run_train(&cli->settings, &hooks, &result));
    hora_cli_show(cli, hora_run_summary(&result), print);
    return HORA_OK;
}

const hora_command hora_command_train = {
    .name = "train",
    .summary = "Fine-tune a model; OUT is an adapter directory that PEFT loads",
    .usage = "[RECIPE.yaml] --model DIR --data FILE --out DIR [options]",
    .more = "A recipe holds the same options as `key: value`; --set key=value is another spelling\n"
            "of --key value. Ctrl-C ends after the step with a checkpoint; `hora train --resume\n"
            "--out OUT` goes on from the newest one.",
    .tables = {HORA_RUN_OPTIONS},
    .methods = HORA_CLI_ANY_METHOD,
    .most = 1,
    .recipe = true,
    .run = run};
