/* hora eval: loss on a file. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_tool_eval(&c->settings, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    printf("loss           %.4f\nperplexity     %.3f\ntokens         %.0f\n",
           hora_cli_number(r, "loss"), hora_cli_number(r, "perplexity"),
           hora_cli_number(r, "tokens"));
    if (hora_cli_number(r, "bits_per_byte") > 0)
        printf("bits per byte  %.4f\n", hora_cli_number(r, "bits_per_byte"));
    printf("seconds        %.2f\n", hora_cli_number(r, "seconds"));
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_eval = {
    .name = "eval",
    .summary = "Loss, perplexity and bits per byte on a file",
    .usage = "--model DIR [--adapter DIR] --data FILE [options]",
    .more = "Plain text is cut into windows of --seq-len tokens without overlap.",
    .run = run};
