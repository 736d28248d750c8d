/* hora generate: text from a prompt, streamed. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_tool_generate(&c->settings, c->json ? NULL : hora_cli_piece, NULL, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    putchar('\n');
    const double s = hora_cli_number(r, "seconds"), n = hora_cli_number(r, "tokens");
    if (c->terminal)
        fprintf(stderr, "%.0f + %.0f tokens, %s, %.1f tokens/s\n",
                hora_cli_number(r, "prompt_tokens"), n, hora_cli_text(r, "finish"),
                s > 0 ? n / s : 0);
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_generate = {
    .name = "generate",
    .summary = "Go on from a prompt or answer a conversation",
    .usage = "--model DIR [--adapter DIR] --prompt TEXT | --chat FILE.json [options]",
    .more =
        "Prints the new text alone. Stops at the model's end tokens and, in a conversation, at\n"
        "the end of the turn. A prompt longer than the model's positions is refused.",
    .run = run};
