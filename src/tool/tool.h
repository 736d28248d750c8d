#ifndef HORA_TOOL_TOOL_H
#define HORA_TOOL_TOOL_H
/*
 * The tool: `hora COMMAND ..`. A command is a row of commands.def and one file cmd_x.c, which holds
 * its options, what it does and how it prints; those of `hora theory` are rows of theory.def and
 * files theory_x.c. Here is what they share. stdout is for results (JSON lines with --json), stderr
 * for progress and failures; exit codes are status.def's.
 */
#include <stdio.h>

#include "base/json.h"
#include "base/options.h"
#include "base/outdir.h"

struct hora_comm;

/* --- commands --------------------------------------------------------------------------------- */
typedef struct hora_cli {   /* what a command gets */
    hora_settings settings; /* of its own tables; the command takes them */
    const char **rest;      /* arguments that are no options */
    int nrest;
    bool json, terminal; /* terminal: stderr is one */
} hora_cli;

/* Whose options a command has besides its own. */
typedef enum {
    HORA_CLI_NO_METHOD,
    HORA_CLI_ANY_METHOD,  /* all are let through; the command refuses those of others */
    HORA_CLI_NAMED_METHOD /* those of the method that option `method` names */
} hora_cli_methods;

typedef struct hora_command {
    const char *name, *summary;
    const char *usage;             /* behind the name */
    const char *more;              /* a paragraph for --help; NULL */
    const hora_options *tables[6]; /* its options; ends in NULL */
    hora_cli_methods methods;
    int most;    /* arguments that are no options: at most so many */
    bool recipe; /* the argument is a recipe: its settings stand in front of the flags */
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

/* Follows the words of a command and says how many it used. *out may be a group, or NULL: the tool
 * itself, no word or a flag first. HORA_EUSAGE names the nearest command. */
hora_status hora_command_find(const hora_command **out, int *used, int n, const char *const *words);
/* The commands behind a group (NULL: of the tool), ending in NULL. */
const hora_command *const *hora_command_list(const hora_command *group);
const char *hora_command_word(const hora_command *c); /* "rates" of "theory rates" */

typedef struct hora_tables {
    const hora_options *at[128];
    int n;
    hora_options everywhere; /* what hora_command_flags puts last */
} hora_tables;
/* A command's own tables and the options of `method`; "*": of every method; NULL: of none. */
void hora_command_tables(hora_tables *t, const hora_command *c, const char *method);
/* All that can stand on its command line, the options of every command last. `t` is not to be
 * copied. */
void hora_command_flags(hora_tables *t, const hora_command *c);

/* --help. group NULL: of the tool. */
void hora_help_overview(FILE *f, const hora_command *group);
void hora_help_command(FILE *f, const hora_command *c);

/* --- printing --------------------------------------------------------------------------------- */
/* A line of JSON on stdout, with nothing in it that a terminal obeys. */
void hora_cli_put(hora_json *own_v);
/* A result as JSON with --json, else as `print` or as the text says it. Owns it; NULL: nothing to
 * print. */
void hora_cli_show(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r));
/* The same with line breaks and tabs of texts kept. */
void hora_cli_show_lines(const hora_cli *c, hora_json *own_r, void (*print)(const hora_json *r));
/* Text to stdout with control characters escaped; exact: what the command is asked for (generate,
 * tokenize) goes out byte for byte where stdout is no terminal. False: it did not arrive. */
bool hora_cli_write(const char *text, size_t n, bool exact);
void hora_cli_result(const hora_cli *c, hora_json *own_r, const hora_str *text);
/* What makes a report as JSON and as text, and prints it, also beside a failure. */
hora_status hora_cli_report(hora_cli *c,
                            hora_status (*make)(hora_settings *s, hora_json **r, hora_str *text));
/* Members: "" or NaN when absent or null, never a number that nobody computed. The string is
 * borrowed from `o`. */
const char *hora_cli_text(const hora_json *o, const char *key);
double hora_cli_number(const hora_json *o, const char *key);
hora_json *hora_cli_text_or_null(const char *s);
/* Flushes stdout: HORA_EIO when what was printed did not arrive. */
hora_status hora_cli_flush(void);

/* --- what several commands do ----------------------------------------------------------------- */
/* --model DIR [--adapter DIR[:X] ..] [--prefer ..]: tables of a command that opens a model so. */
extern const hora_options hora_cli_source_options;
/* What they name, before they are taken: adapters in the order given, and all of it as what an
 * output must not touch, with room for some more behind. */
enum { HORA_CLI_MORE_INPUTS = 4 };
typedef struct hora_cli_sources {
    struct hora_adapter_source *adapters;
    int n;
    hora_input *in;
    int nin;
} hora_cli_sources;
/* Fails where it cannot be told whether DIR:X is a folder; to be freed then too. */
hora_status hora_cli_sources_of(hora_cli_sources *c, const hora_settings *s);
void hora_cli_sources_free(hora_cli_sources *c);
/* HORA_EUSAGE where there is none, or where one is a whole model. */
hora_status hora_cli_sources_adapters(const hora_cli_sources *c);
/* The folder --out of a command with --overwrite, opened as hora_outdir_open does: it must not
 * touch what they name. */
hora_status hora_cli_out(hora_outdir **o, const char *dir, bool overwrite,
                         const hora_cli_sources *from);
/* The model, with its adapters attached, that those options name. A model as --adapter stands for
 * itself. */
hora_status hora_cli_open(struct hora_model **m, hora_settings *s);
/* The same for a command whose records choose among adapters of several tasks, which others
 * refuse. */
hora_status hora_cli_open_routed(struct hora_model **m, hora_settings *s);
/* The same for a command that has a use for a model without a trained head. */
hora_status hora_cli_open_features(struct hora_model **m, hora_settings *s);
/* The same in bf16 where all of the model is, else in f32: values of bf16 need no copy in f32, they
 * are read where they lie, and sums are f32 anyway. */
hora_status hora_cli_open_as_stored(struct hora_model **m, hora_settings *s);
/* The same in f32, whatever `dtype` says, which means something else to the command. */
hora_status hora_cli_open_f32(struct hora_model **m, hora_settings *s);
/* What `hora data` does; `hora inspect` does the same with a data file. */
hora_status hora_cli_data(hora_cli *c);
/* What `hora plan` does, and `hora train --dry-run`. */
hora_status hora_cli_plan(hora_cli *cli);
/* The failure of this thread, as the tool says it. */
void hora_cli_say(hora_status s);
/* The work of a command that several ranks share: rank 0 speaks, of a failure whoever knows it. */
hora_status hora_cli_ranks(hora_cli *c, hora_status (*work)(hora_cli *c, struct hora_comm *comm));
/* HORA_EUSAGE naming the flag when `value` is NULL. */
hora_status hora_cli_required(const char *flag, const char *value, const char *what);
/* faults.c: what ends the tool, and how it says so. Called once, first of all. */
void hora_cli_faults(void);
/* From now on the first Ctrl-C (or SIGTERM, or SIGHUP unless it was ignored) sets what is returned,
 * the second ends at once; a reader of stdout or stderr that leaves ends nothing. */
volatile int *hora_cli_interrupts(void);
/* While there is nothing to save, the first one ends the tool at once. */
void hora_cli_interrupts_end(bool yes);
#endif
