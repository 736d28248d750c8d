/* hora theory lowdata: error against the size of the data, at equal parameters. */
#include "cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str table = {0};
    const hora_status s = hora_tool_lowdata_model(&c->settings, &r, &table);
    if (r && c->json)
        hora_cli_print(r);
    else if (r) {
        fputs(table.s, stdout);
        hora_json_free(r);
    }
    hora_str_release(&table);
    return s;
}

const hora_command hora_theory_lowdata = {
    .name = "theory lowdata",
    .summary = "LoRA against HoRA where data are few, at equal parameters",
    .usage = "--model DIR --data FILE --eval FILE [--n 50,100,.. | --fractions 0.01,..] [options]",
    .more = "Rates are tuned for each method and size on rows held out of each subset. Finished\n"
            "trainings are kept in --out; the same command goes on where it was stopped.",
    .run = run};
