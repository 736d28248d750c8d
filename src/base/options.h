#ifndef HORA_BASE_OPTIONS_H
#define HORA_BASE_OPTIONS_H
/*
 * One table of rows describes the options of an owner (trainer, data, a method ..). From it come
 * the command line, recipe keys, C API strings, --help and documentation.
 *
 * Values first land in a hora_settings: an ordered list of key, text and origin. Owners then take
 * the keys of their table out of it into their struct; what nobody took is an unknown option,
 * refused with the nearest known name. Later settings of the same key win, but those of lists,
 * which go on within one origin. Origins give better messages too.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/status.h"

typedef enum {
    HORA_OPT_BOOL,
    HORA_OPT_INT,
    HORA_OPT_REAL,
    HORA_OPT_STRING,
    HORA_OPT_CHOICE
} hora_opt_type;

typedef struct hora_option { /* written with the OPT_ macros below */
    /* "weight_decay": recipe key; the flag is --weight-decay (both spellings accepted
     * everywhere) */
    const char *name;
    const char *aliases; /* "wd decay", separated by blanks; NULL: none. PEFT's names go here */
    /* field types: bool, int64_t, double, char * (owned, NULL if unset), int (index of choice) */
    hora_opt_type type;
    size_t offset;       /* of the field in the owner's struct */
    const char *def;     /* default as text; NULL: unset (string NULL, others zero) */
    double min, max;     /* inclusive range of INT and REAL; both 0: any */
    const char *choices; /* CHOICE: "relu identity tanh", separated by blanks */
    const char *arg;     /* placeholder in --help: "N", "DIR", "FILE"; NULL: from the type */
    const char *help;    /* one line */
    unsigned flags;      /* HORA_OPT_RESUMABLE, HORA_OPT_SHORT, HORA_OPT_MAPPING */
    /* STRING: may be given several times; the values are joined by this sign. 0: the last counts */
    char join;
    /* What it needs to have an effect, a row of the same table: "patience" (set, not 0, none or
     * false), "!steps" (not so) or "optimizer=adamw lion" (one of these). NULL: nothing */
    const char *with;
} hora_option;

/* A resumed run may change it: it says how a run goes, not what it computes. */
#define HORA_OPT_RESUMABLE 1u
/* BOOL: the alias is one letter and is typed with one dash: -h. */
#define HORA_OPT_SHORT 2u
/* STRING: a recipe may have a mapping here, which becomes its JSON text. */
#define HORA_OPT_MAPPING 4u

/*
 * The rows of a table, by kind. `field` is a member of OPT_OF, the owner's struct, which stands in
 * front of the table:
 *
 *   #define OPT_OF hora_sampling
 *   static const hora_option rows[] = {
 *       OPT_INT(top_k, "top_k", NULL, "0", 0, 1e9, "the k likeliest tokens; 0: all"), ..
 *
 * Behind the help text flags may follow.
 */
#define OPT_BOOL(field, name_, aliases_, def_, ...)                                                \
    OPT_ROW(BOOL, field, name_, aliases_, def_, .help = __VA_ARGS__)
#define OPT_INT(field, name_, aliases_, def_, min_, max_, ...)                                     \
    OPT_ROW(INT, field, name_, aliases_, def_, .min = min_, .max = max_, .help = __VA_ARGS__)
#define OPT_SIZE(field, name_, aliases_, def_, min_, max_, ...) /* INT: bytes */                   \
    OPT_ROW(INT, field, name_, aliases_, def_, .min = min_, .max = max_, .arg = "BYTES",           \
            .help = __VA_ARGS__)
#define OPT_REAL(field, name_, aliases_, def_, min_, max_, ...)                                    \
    OPT_ROW(REAL, field, name_, aliases_, def_, .min = min_, .max = max_, .help = __VA_ARGS__)
#define OPT_STRING(field, name_, aliases_, def_, arg_, ...)                                        \
    OPT_ROW(STRING, field, name_, aliases_, def_, .arg = arg_, .help = __VA_ARGS__)
/* STRING: several values, as one text or one by one; split it with hora_list_next(.., HORA_LIST) */
#define OPT_LIST(field, name_, aliases_, def_, arg_, ...)                                          \
    OPT_ROW(STRING, field, name_, aliases_, def_, .arg = arg_, .join = '+', .help = __VA_ARGS__)
/* STRING: files; a line break stands between them */
#define OPT_FILES(field, name_, aliases_, def_, arg_, ...)                                         \
    OPT_ROW(STRING, field, name_, aliases_, def_, .arg = arg_, .join = '\n', .help = __VA_ARGS__)
/* STRING: values by pattern, P:N;.. or a mapping */
#define OPT_PATTERNS(field, name_, aliases_, def_, arg_, ...)                                      \
    OPT_ROW(STRING, field, name_, aliases_, def_, .arg = arg_, .join = ';',                        \
            .flags = HORA_OPT_MAPPING, .help = __VA_ARGS__)
/* choices: a literal, or a registry's names (HORA_OPTIMIZER_NAMES) */
#define OPT_CHOICE(field, name_, aliases_, def_, choices_, ...)                                    \
    OPT_ROW(CHOICE, field, name_, aliases_, def_, .choices = choices_, .help = __VA_ARGS__)
#define OPT_ROW(kind, field, name_, aliases_, def_, ...)                                           \
    {                                                                                              \
        .name = name_, .aliases = aliases_, .type = HORA_OPT_##kind,                               \
        .offset = offsetof(OPT_OF, field), .def = def_, __VA_ARGS__                                \
    }

typedef struct hora_options {
    const char *title; /* "Training", "Method hora": the heading in --help */
    const hora_option *rows;
    int n;
} hora_options;

typedef struct hora_setting {
    /* key in table spelling is found through aliases; stored as given, '-' turned into '_' */
    char *key, *value;
    const char *origin; /* "command line", "recipe", "default", borrowed literal */
    bool taken;
} hora_setting;

typedef struct hora_settings {
    hora_setting *at;
    int n, cap;
    char *file; /* the recipe they were read from; owned, NULL: none */
} hora_settings;

void hora_settings_release(hora_settings *s);
void hora_settings_put(hora_settings *s, const char *key, const char *value, const char *origin);
/* The value that wins for `key` in exactly this spelling ('-' = '_'; aliases are not known here);
 * NULL when never set. Does not mark it taken. */
const char *hora_settings_get(const hora_settings *s, const char *key);
/* "rank=16,alpha=32": commas separate; a value in "double quotes" may hold commas (and \" and \\).
 * A bare key means key=true. Text that cannot be read is HORA_EUSAGE. */
hora_status hora_settings_parse(hora_settings *s, const char *text, const char *origin);
/* Members of a YAML/JSON object: scalars as text, arrays of scalars joined as the row of the key
 * says, else by '+' (targets: [q, v] = q+v); one nested level is flattened (method: {name: hora,
 * rank: 8} is method=hora, rank=8; other groups drop their name) but where the row wants a mapping.
 * An array of mappings under KEY becomes KEY.0.NAME, KEY.1.NAME .., for hora_settings_element.
 * HORA_EUSAGE when one option is set twice, by whatever name. `tables`: n, where rows are found. */
hora_status hora_settings_json(hora_settings *s, const hora_json *obj, const char *origin,
                               const hora_options *const *tables, int n);
/* Takes those out that the table has: who took their values is done with them. */
void hora_settings_drop(hora_settings *s, const hora_options *table);
/* The part behind "LIST.N." of a key, with N in *i; NULL for other keys. */
const char *hora_settings_inner(const char *key, const char *list, int *i);
/* Element i of a list of mappings, as settings of its own; those of `s` count as taken. False:
 * there is no such element. */
bool hora_settings_element(hora_settings *s, const char *list, int i, hora_settings *out);
/* argv without the names of program and command. --key value, --key=value, --set key=value, --flag
 * (bool rows of `tables`), --no-flag, -f (HORA_OPT_SHORT). Everything else goes to rest[]
 * (borrowed, capacity argc); after `--` all is rest. `tables` is an array of n pointers; keys not
 * in them are accepted too when `open` (method options), taking the next argument as value (true
 * when there is none or it begins with --). A value that begins with -- needs the form --key=value.
 * An unknown key is HORA_EUSAGE with the nearest name. One option with two values, and no list, is
 * said: the last one counts. */
hora_status hora_settings_argv(hora_settings *s, int argc, char **argv,
                               const hora_options *const *tables, int n, bool open,
                               const char **rest, int *nrest);

/* Fills every field of `obj` from defaults, then from the settings (marking them taken). What was
 * in the fields is overwritten, not freed. Checks type, range, choice, and that what was given has
 * an effect (hora_option.with): a recipe, which may be another trainer's, is told by a warning,
 * everybody else by HORA_EUSAGE. After a failure `obj` can be released. Defaults need not lie in
 * the range. */
hora_status hora_options_take(const hora_options *table, void *obj, hora_settings *s);
/* HORA_EUSAGE for option `name` of a table whose values were taken, where it was given, is not its
 * default, and decides nothing for a reason that only its owner knows: it `says` which. As above a
 * recipe gets a warning. Names that the table has not are HORA_OK. */
hora_status hora_option_idle(const hora_options *table, const void *obj, const hora_settings *s,
                             const char *name, const char *says);
/* Frees the string fields. */
void hora_options_release(const hora_options *table, void *obj);
/* After all owners took theirs: the first untaken key is HORA_EUSAGE, with the nearest name among
 * `tables`. */
hora_status hora_settings_finish(const hora_settings *s, const hora_options *const *tables, int n);
/* Formats the value of a row in `obj` as text (for the recipe as run). "" when unset. */
void hora_option_format(const hora_option *row, const void *obj, hora_str *out);
/* The value of a row in `obj` is the one that it has when nobody gives any. */
bool hora_option_is_default(const hora_option *row, const void *obj);
/* What stands behind a flag: help, choices, default, other names. */
void hora_option_describe(const hora_option *row, hora_str *out);
/* The table as --help shows it, two columns, defaults and choices included. */
void hora_options_help(const hora_options *table, hora_str *out);
/* Name of choice i of a CHOICE row, as a new string. */
char *hora_option_choice(const hora_option *row, int i);
/* by name or alias; '-' = '_' */
const hora_option *hora_options_find(const hora_options *table, const char *key);
#endif
