/* hora bench: everything is in the laboratory's bench.c; here is Ctrl-C. */
#include "lab/bench.h"
#include "tool/tool.h"

static hora_status measure(hora_settings *s, hora_json **r, hora_str *text) {
    return hora_bench_run(s, hora_cli_interrupts(), r, text);
}

static hora_status run(hora_cli *c) {
    return hora_cli_report(c, measure);
}

const hora_command hora_command_bench = {
    .name = "bench",
    .summary = "Measure speed and memory of a training step",
    .usage = "[--shape NAME | --model DIR | --peak] [options of a method]",
    .more = "A shape is a model of random weights, made in $TMPDIR and gone when it is loaded;\n"
            "nothing is downloaded. docs/performance.md says how to read the numbers.",
    .tables = {&hora_bench_options},
    .methods = HORA_CLI_ANY_METHOD,
    .run = run};
