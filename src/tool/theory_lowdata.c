/* hora theory lowdata: test error against the number of samples at equal parameter count. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str text = {0};
    hora_status s = hora_tool_theory_lowdata(&c->settings, &r, &text);
    if (r && c->json) {
        hora_cli_print(r);
        r = NULL;
    } else if (r) {
        fputs(text.s ? text.s : "", stdout);
    }
    hora_json_free(r);
    hora_str_release(&text);
    return s;
}

const hora_command hora_theory_lowdata = {
    .name = "theory lowdata",
    .summary = "Test error against the number of samples, at equal parameter count",
    .usage = "[options]\n"
             "       hora theory lowdata --model DIR --data FILE --eval FILE [options]",
    .more =
        "Simulated heads that share a generator wholly, in part or not at all; with --model,\n"
        "LoRA and HoRA on subsets of real data, rates tuned for each method and size. Finished\n"
        "trainings are kept in --out: the same command goes on where it was stopped.",
    .run = run};
