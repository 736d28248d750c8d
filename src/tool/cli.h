#ifndef HORA_TOOL_CLI_H
#define HORA_TOOL_CLI_H
/*
 * The tool: `hora COMMAND ..`. A command is a row of commands.def and a file cmd_x.c that prints
 * what hora_tool.h gives; those of `hora theory` are rows of theory.def and files theory_x.c.
 * stdout is for results (JSON lines with --json), stderr for progress and failures; exit codes are
 * status.def's.
 */
#include <stdio.h>

#include "tool/tool.h"

typedef struct hora_cli { /* what a command gets */
    hora_settings settings;
    const char **rest; /* arguments that are no options */
    int nrest;
    bool json, terminal; /* terminal: stderr is one */
} hora_cli;

typedef struct hora_command {
    const char *name, *summary;
    const char *usage; /* behind the name */
    const char *more;  /* a paragraph for --help; NULL */
    int most;          /* arguments that are no options: at most so many */
    hora_status (*run)(hora_cli *c);
    /* Instead of `run`: the commands behind this word, ending in NULL; their names hold both. */
    const struct hora_command *const *group;
} hora_command;

#define COMMAND(x) extern const hora_command hora_command_##x;
#include "tool/commands.def"
#undef COMMAND
#define THEORY(x) extern const hora_command hora_theory_##x;
#include "tool/theory.def"
#undef THEORY

/* Prints a JSON value as one line; owns it. */
void hora_cli_print(hora_json *own_v);
/* Members as text: "" or 0 when absent. The string is borrowed from `o`. */
const char *hora_cli_text(const hora_json *o, const char *key);
double hora_cli_number(const hora_json *o, const char *key);
/* Flushes stdout: HORA_EIO when what was printed did not arrive. */
hora_status hora_cli_flush(void);
/* For hora_tool.h's streams: writes to stdout; the line form adds a line break. */
bool hora_cli_piece(void *user, const char *text, size_t n);
bool hora_cli_line(void *user, const char *text, size_t n);
/* Puts the settings of the recipe named as argument, if any, in front of the command line's. */
hora_status hora_cli_recipe(hora_cli *c);
#endif
