/* hora tokenize: text to ids and back. */
#include "tool/cli.h"

static hora_status run(hora_cli *c) {
    return hora_tool_tokenize(&c->settings, c->json, hora_cli_line, NULL);
}

const hora_command hora_command_tokenize = {
    .name = "tokenize",
    .summary = "Text to ids, as JSON, a line each; or back",
    .usage = "--model DIR (--text TEXT | --file FILE | --jsonl FILE) [--decode] [options]",
    .more =
        "Special tokens such as BOS are added as Hugging Face does by default; --no-special\n"
        "leaves them out. --decode drops special tokens unless --keep-special; with --json each\n"
        "text is a JSON string.",
    .run = run};
