/* hora bench: everything is in hora_tool_bench; here is Ctrl-C. */
#include <signal.h>

#include "tool/cli.h"

static volatile int stop;

/* The first Ctrl-C asks for an end after the step, the second ends at once. */
static void on_signal(int signum) {
    stop = 1;
    signal(signum, SIG_DFL);
}

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str text = {0};
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    hora_status s = hora_tool_bench(&c->settings, &stop, &r, &text);
    if (s == HORA_OK && c->json)
        hora_cli_print(r);
    else if (s == HORA_OK)
        fputs(text.s, stdout);
    if (s != HORA_OK || !c->json)
        hora_json_free(r);
    hora_str_release(&text);
    return s;
}

const hora_command hora_command_bench = {
    .name = "bench",
    .summary = "Measure speed and memory of a training step",
    .usage = "[--shape NAME | --model DIR | --peak] [options of a method]",
    .more = "A shape is a model of random weights, made in $TMPDIR and gone when it is loaded;\n"
            "nothing is downloaded. docs/performance.md says how to read the numbers.",
    .run = run};
