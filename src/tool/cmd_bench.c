/* hora bench: everything is in the laboratory's bench.c; here is Ctrl-C. */
#include "base/cpu.h"
#include "base/threads.h"
#include "lab/bench.h"
#include "tool/tool.h"

static hora_status measure(hora_cli *c, hora_comm *comm) {
    hora_json *r = NULL;
    hora_str text = {0};
    if (hora_comm_size(comm) > 1 && hora_threads() == hora_cpu_count())
        hora_threads_limit(hora_comm_cores(comm));
    const hora_status s = hora_bench_run(&c->settings, hora_cli_interrupts(), comm, &r, &text);
    hora_cli_result(c, r, &text);
    hora_str_release(&text);
    return s;
}

static hora_status run(hora_cli *c) {
    return hora_cli_ranks(c, measure);
}

const hora_command hora_command_bench = {
    .name = "bench",
    .summary = "Measure speed and memory of a training step",
    .usage = "[--shape NAME | --model DIR | --peak] [options of a method]",
    .more = "A shape is a model of random weights, made in $TMPDIR and gone when it is loaded;\n"
            "nothing is downloaded. Under mpirun the ranks share the micro-batches of a step. "
            "docs/performance.md says how to read the numbers.",
    .tables = {&hora_bench_options},
    .methods = HORA_CLI_ANY_METHOD,
    .run = run};
