/* hora train: everything is in hora_tool_train; here are the recipe argument and Ctrl-C. */
#include <signal.h>

#include "base/text.h"
#include "base/yaml.h"
#include "tool/cli.h"

static volatile int stop;

/* The first Ctrl-C asks for an end after the step, the second ends at once. */
static void on_signal(int signum) {
    stop = 1;
    signal(signum, SIG_DFL);
}

/* The recipe's settings stand in front: what the command line says wins. */
hora_status hora_cli_recipe(hora_cli *c) {
    hora_settings all = {0};
    hora_json *tree;
    if (!c->nrest)
        return HORA_OK;
    HORA_TRY(hora_yaml_load(&tree, c->rest[0]));
    hora_status s = hora_settings_json(&all, tree, "recipe");
    hora_json_free(tree);
    for (int i = 0; i < c->settings.n && s == HORA_OK; i++)
        hora_settings_put(&all, c->settings.at[i].key, c->settings.at[i].value,
                          c->settings.at[i].origin);
    if (s != HORA_OK) {
        hora_settings_release(&all);
        return hora_context(s, "%s", c->rest[0]);
    }
    hora_settings_release(&c->settings);
    c->settings = all;
    return HORA_OK;
}

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_cli_recipe(c));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    HORA_TRY(hora_tool_train(&c->settings, &stop, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    printf("%.0f steps, loss %.4f -> %.4f", hora_cli_number(r, "steps"),
           hora_cli_number(r, "first_loss"), hora_cli_number(r, "last_loss"));
    if (hora_json_get(r, "eval_loss"))
        printf(", evaluation %.4f -> %.4f", hora_cli_number(r, "first_eval_loss"),
               hora_cli_number(r, "eval_loss"));
    printf(", %.0f trained of %.0f numbers, %.1f s\n", hora_cli_number(r, "trainable"),
           hora_cli_number(r, "parameters"), hora_cli_number(r, "seconds"));
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_train = {
    .name = "train",
    .summary = "Fine-tune a model; OUT is an adapter directory that PEFT loads",
    .usage = "[RECIPE.yaml] --model DIR --data FILE --out DIR [options]",
    .more = "A recipe holds the same options as `key: value`; --set key=value is another spelling\n"
            "of --key value. Ctrl-C ends after the step with a checkpoint; `hora train --resume\n"
            "--out OUT` goes on from the newest one.",
    .most = 1,
    .run = run};
