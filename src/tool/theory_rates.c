/* hora theory rates: how fast fitted adapters approach the true ones. */
#include "lab/rates.h"
#include "tool/tool.h"

static hora_status run(hora_cli *c) {
    return hora_cli_report(c, hora_rates);
}

const hora_command hora_theory_rates = {
    .name = "theory rates",
    .summary = "Simulate how fast shared and unshared adapters approach the true ones",
    .usage = "[--quick | --all] [options]",
    .more =
        "Identifiability curves and Fisher ranks, then fits over sizes and seeds. A run that was\n"
        "cut off goes on where it stopped. Findings that differ from the theory are printed as\n"
        "DIFFERS; only a failed check of the computation is a failure.",
    .tables = {&hora_rates_options},
    .run = run};
