/* hora theory hmoe: an attention layer as attention and as a mixture of experts. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    hora_str table = {0};
    const hora_status s = hora_tool_theory_hmoe(&c->settings, &r, &table);
    if (r && c->json)
        hora_cli_print(r);
    else if (r) {
        fputs(table.s, stdout);
        hora_json_free(r);
    }
    hora_str_release(&table);
    return s;
}

const hora_command hora_theory_hmoe = {
    .name = "theory hmoe",
    .summary = "Adapted attention is a hierarchical mixture of experts: check, and look inside",
    .usage = "--model DIR [--adapter DIR] --text FILE | --random N  [options]\n"
             "       hora theory hmoe --case FILE.safetensors [--out FILE.safetensors]",
    .more = "Each layer is evaluated in f64 as attention and as the mixture, written as such; the\n"
            "largest difference is printed, then what adaptation did to gates and experts.",
    .run = run};
