/* hora forward: logits, loss and gradients of one batch, for outside programs. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_tool_forward(&c->settings, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    printf("%.0f samples, %.0f tokens", hora_cli_number(r, "samples"),
           hora_cli_number(r, "tokens"));
    if (hora_json_get(r, "loss"))
        printf(", loss %.6f", hora_cli_number(r, "loss"));
    printf(": %s\n", hora_cli_text(r, "out"));
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_forward = {
    .name = "forward",
    .summary = "Logits, loss and gradients of one batch, as safetensors",
    .usage = "--model DIR [--adapter DIR | --method full|bitfit|..] --batch FILE --out FILE "
             "[--grads]",
    .more = "Computes what transformers computes without position_ids: positions count from 0,\n"
            "masked tokens are never keys, labels are shifted by one and -100 does not count.",
    .run = run};
