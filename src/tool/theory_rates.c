/* hora theory rates: how fast fitted adapters approach the true ones. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str text = {0};
    hora_status s = hora_tool_theory_rates(&c->settings, &r, &text);
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

const hora_command hora_theory_rates = {
    .name = "theory rates",
    .summary = "Simulate how fast shared and unshared adapters approach the true ones",
    .usage = "[--quick | --all] [options]",
    .more =
        "Identifiability curves and Fisher ranks, then fits over sizes and seeds. A run that was\n"
        "cut off goes on where it stopped. Findings that differ from the theory are printed as\n"
        "DIFFERS; only a failed check of the computation is a failure.",
    .run = run};
