/*
 * The front of the tool: finds the command, parses flags with the command's own tables, prints
 * help from the same tables, turns a failure into text and exit code.
 */
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "hora/hora.h"
#include "tool/cli.h"

static const hora_command *const commands[] = {
#define COMMAND(x) &hora_command_##x,
#include "tool/commands.def"
#undef COMMAND
    NULL,
};

/* Options that every command has. */
typedef struct common {
    bool help, json, verbose, quiet;
    int64_t threads;
} common;
#define OPT_OF common
static const hora_option common_rows[] = {
    OPT_BOOL(help, "help", "h", "false", "this text"),
    OPT_BOOL(json, "json", NULL, "false", "results for machines: JSON on stdout"),
    OPT_BOOL(quiet, "quiet", "q", "false", "warnings and failures only"),
    OPT_BOOL(verbose, "verbose", "v", "false", "say which kernels were chosen"),
    OPT_INT(threads, "threads", NULL, "0", 0, 256,
            "threads to use; 0: all cores; never changes a result"),
};
static const hora_options common_options = {"Everywhere", common_rows, HORA_COUNT(common_rows)};

/* --- printing --------------------------------------------------------------------------------- */
void hora_cli_print(hora_json *own_v) {
    hora_str s = {0};
    hora_json_dump(own_v, 0, false, &s);
    hora_json_free(own_v);
    puts(s.s ? s.s : "null");
    hora_str_release(&s);
}

const char *hora_cli_text(const hora_json *o, const char *key) {
    const char *s = hora_json_string(hora_json_get(o, key), NULL);
    return s ? s : "";
}

double hora_cli_number(const hora_json *o, const char *key) {
    double v = 0;
    hora_json_real(hora_json_get(o, key), &v);
    return v;
}

hora_status hora_cli_flush(void) {
    return fflush(stdout) || ferror(stdout)
               ? hora_fail(HORA_EIO, "cannot write to stdout; check the disk or the pipe")
               : HORA_OK;
}

bool hora_cli_piece(void *user, const char *text, size_t n) {
    (void)user;
    return fwrite(text, 1, n, stdout) == n && !fflush(stdout);
}

bool hora_cli_line(void *user, const char *text, size_t n) {
    (void)user;
    return fwrite(text, 1, n, stdout) == n && putchar('\n') == '\n';
}

/* --- help ------------------------------------------------------------------------------------- */
/* A command's own name: "rates" of "theory rates". */
static const char *last_word(const hora_command *c) {
    const char *blank = strrchr(c->name, ' ');
    return blank ? blank + 1 : c->name;
}

static void print_list(FILE *f, const hora_command *const *list) {
    for (; *list; list++)
        fprintf(f, "  %-10s %s\n", last_word(*list), (*list)->summary);
}

/* `group` NULL: the tool itself. */
static void print_overview(FILE *f, const hora_command *group) {
    if (group) {
        fprintf(f, "usage: hora %s %s\n\n%s.\n%s\n\n", group->name, group->usage, group->summary,
                group->more);
        print_list(f, group->group);
        fprintf(f, "\n`hora %s COMMAND --help` lists a command's options.\n", group->name);
        return;
    }
    fprintf(f, "hora: fine-tune language models with small additions (HoRA, LoRA and others)\n\n"
               "usage: hora COMMAND [options]\n\n");
    print_list(f, commands);
    fprintf(f, "\n`hora COMMAND --help` lists a command's options; `hora --version` says what this "
               "is.\n");
}

/* Those options, less threads (the last one) where the command has a row of its own for it: then
 * a recipe keeps it. */
static hora_options common_for(const hora_tool_tables *t) {
    hora_options o = common_options;
    for (int i = 0; i < t->n; i++)
        if (hora_options_find(t->at[i], "threads"))
            o.n = HORA_COUNT(common_rows) - 1;
    return o;
}

static void print_help(const hora_command *c, const hora_tool_tables *t) {
    hora_str s = {0};
    hora_str_printf(&s, "usage: hora %s %s\n\n%s.\n", c->name, c->usage, c->summary);
    if (c->more)
        hora_str_printf(&s, "%s\n", c->more);
    for (int i = 0; i < t->n; i++) {
        hora_str_putc(&s, '\n');
        hora_options_help(t->at[i], &s);
    }
    fputs(s.s, stdout);
    hora_str_release(&s);
}

static hora_status print_version(bool json) {
    hora_json *v;
    hora_tool_version(&v);
    if (json) {
        hora_cli_print(v);
        return hora_cli_flush();
    }
    printf(
        "hora %s (commit %s)\ncompiler: %s\nbackends: %s\ncpu: %s\nfeatures: %s\nthreads: %.0f\n",
        hora_cli_text(v, "version"), hora_cli_text(v, "commit"), hora_cli_text(v, "compiler"),
        hora_cli_text(v, "backends"), hora_cli_text(v, "cpu"), hora_cli_text(v, "cpu_features"),
        hora_cli_number(v, "threads"));
    hora_json_free(v);
    return hora_cli_flush();
}

/* --- commands --------------------------------------------------------------------------------- */
static hora_status unknown_command(const char *name, const hora_command *group) {
    const hora_command *const *list = group ? group->group : commands;
    const char *names[32], *space = group ? " " : "", *prefix = group ? group->name : "";
    int n = 0;
    for (; list[n]; n++) {
        HORA_ASSERT(n < (int)HORA_COUNT(names));
        names[n] = last_word(list[n]);
    }
    const char *near = hora_nearest(name, names, n);
    return near ? hora_fail(HORA_EUSAGE, "no command `%s%s%s`; did you mean `%s`?", prefix, space,
                            name, near)
                : hora_fail(HORA_EUSAGE, "no command `%s%s%s`; `hora %s%s--help` lists them",
                            prefix, space, name, prefix, space);
}

static const hora_command *named(const hora_command *const *list, const char *name) {
    while (*list && !hora_eq(last_word(*list), name))
        list++;
    return *list;
}

/* Takes the options of every command out; the others stay for the command. */
static hora_status take_common(hora_settings *s, common *o, const hora_options *table) {
    HORA_TRY(hora_options_take(table, o, s));
    int kept = 0;
    for (int i = 0; i < s->n; i++) {
        if (!hora_options_find(table, s->at[i].key)) {
            s->at[kept++] = s->at[i];
        } else {
            hora_free(s->at[i].key);
            hora_free(s->at[i].value);
        }
    }
    s->n = kept;
    return HORA_OK;
}

static hora_status run(const hora_command *c, int argc, char **argv) {
    hora_tool_tables t;
    hora_cli cli = {.terminal = isatty(STDERR_FILENO)};
    common o = {0};
    hora_tool_tables_of(c->name, &t);
    const hora_options everywhere = common_for(&t);
    t.at[t.n++] = &everywhere;
    cli.rest = hora_calloc((size_t)argc + 1, sizeof *cli.rest);
    hora_status s =
        hora_settings_argv(&cli.settings, argc, argv, t.at, t.n, false, cli.rest, &cli.nrest);
    if (s == HORA_OK)
        s = take_common(&cli.settings, &o, &everywhere);
    cli.json = o.json;
    if (s == HORA_OK && o.help) {
        print_help(c, &t);
    } else if (s == HORA_OK && cli.nrest > c->most) {
        s = hora_fail(HORA_EUSAGE, "`%s` is one argument too many; usage: hora %s %s",
                      cli.rest[c->most], c->name, c->usage);
    } else if (s == HORA_OK) {
        hora_log_threshold(o.quiet ? HORA_LOG_WARN : o.verbose ? HORA_LOG_DEBUG : HORA_LOG_INFO);
        hora_threads_set((int)o.threads);
        s = c->run(&cli);
    }
    if (s == HORA_OK)
        s = hora_cli_flush();
    hora_settings_release(&cli.settings);
    hora_free(cli.rest);
    return s;
}

/* -h, -q and -v as everybody types them. */
static void spell_out(int argc, char **argv) {
    static char *const longer[][2] = {{"-h", "--help"}, {"-q", "--quiet"}, {"-v", "--verbose"}};
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        for (size_t k = 0; k < HORA_COUNT(longer); k++)
            if (hora_eq(argv[i], longer[k][0]))
                argv[i] = longer[k][1];
}

/* Words of argv from `at` on name a command, one of a group by two words; then its options. */
static hora_status dispatch(int argc, char **argv, bool help) {
    const hora_command *group = NULL, *c;
    for (int at = help ? 2 : 1;; at++) {
        const char *name = at < argc ? argv[at] : NULL;
        if (hora_eq(name, "--help") || (!name && help)) {
            print_overview(stdout, group);
            return hora_cli_flush();
        }
        if (!name) {
            print_overview(stderr, group);
            return hora_fail(HORA_EUSAGE, "no command given; see the list above");
        }
        c = named(group ? group->group : commands, name);
        if (!c)
            return unknown_command(name, group);
        if (!c->group)
            return help ? run(c, 1, (char *[]){"--help"}) : run(c, argc - at - 1, argv + at + 1);
        group = c;
    }
}

static hora_status start(int argc, char **argv) {
    spell_out(argc, argv);
    if (argc > 1 && (hora_eq(argv[1], "--version") || hora_eq(argv[1], "version")))
        return print_version(argc > 2 && hora_eq(argv[2], "--json"));
    return dispatch(argc, argv, argc > 1 && hora_eq(argv[1], "help"));
}

int main(int argc, char **argv) {
    const hora_status s = start(argc, argv);
    if (s != HORA_OK && s != HORA_DONE)
        fprintf(stderr, "hora: %s\n", hora_errmsg());
    return hora_status_exit(s);
}
