/*
 * The front of the tool: finds the command, parses flags with the command's own tables, turns a
 * failure into text and exit code.
 */
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "base/yaml.h"
#include "peft/peft.h"
#include "run/run.h"
#include "tool/tool.h"

/* Options that every command has. */
typedef struct common {
    bool help, json, verbose, quiet;
    int64_t threads;
} common;
#define OPT_OF common
static const hora_option rows[] = {
    OPT_BOOL(help, "help", "h", "false", "this text", HORA_OPT_SHORT),
    OPT_BOOL(json, "json", NULL, "false", "results for machines: JSON on stdout"),
    OPT_BOOL(quiet, "quiet", "q", "false", "warnings and failures only", HORA_OPT_SHORT),
    OPT_BOOL(verbose, "verbose", "v", "false", "say which kernels were chosen", HORA_OPT_SHORT),
    OPT_INT(threads, "threads", NULL, "0", 0, 256,
            "threads to use; 0: all cores; never changes a result"),
};

void hora_command_flags(hora_tables *t, const hora_command *c) {
    hora_command_tables(t, c, c->methods == HORA_CLI_NO_METHOD ? NULL : "*");
    t->everywhere = (hora_options){"Everywhere", rows, HORA_COUNT(rows)};
    for (int i = 0; i < t->n; i++)
        if (hora_options_find(t->at[i], "threads")) /* then a recipe keeps it */
            t->everywhere.n = HORA_COUNT(rows) - 1;
    HORA_ASSERT(t->n < (int)HORA_COUNT(t->at));
    t->at[t->n++] = &t->everywhere;
}

/* The recipe's settings stand in front: what the command line says wins. */
static hora_status read_recipe(hora_cli *c) {
    hora_settings all = {0};
    hora_json *tree;
    if (!c->nrest)
        return HORA_OK;
    const char *targets = hora_settings_get(&c->settings, "targets");
    if (targets && !hora_path_exists(c->rest[0])) /* --targets q_proj v_proj */
        return hora_fail(HORA_EUSAGE,
                         "%s is no recipe: there is no such file; lists are written %s+%s",
                         c->rest[0], targets, c->rest[0]);
    HORA_TRY(hora_yaml_load(&tree, c->rest[0]));
    hora_status s = hora_run_settings(&all, tree, "recipe");
    hora_json_free(tree);
    all.file = hora_strdup(c->rest[0]);
    for (int i = 0; i < c->settings.n && s == HORA_OK; i++)
        hora_settings_put(&all, c->settings.at[i].key, c->settings.at[i].value,
                          c->settings.at[i].origin);
    if (s != HORA_OK) {
        hora_settings_release(&all);
        return hora_context(s, "%s", c->rest[0]);
    }
    hora_settings_release(&c->settings);
    c->settings = all;
    return HORA_OK;
}

/* Refuses settings that no table of the command has, before anything is opened. */
static hora_status check(const hora_command *c, hora_settings *s) {
    static const char *const any[] = {NULL, "*"};
    hora_tables t;
    hora_command_tables(&t, c,
                        c->methods == HORA_CLI_NAMED_METHOD ? hora_settings_get(s, "method")
                                                            : any[c->methods]);
    for (int i = 0, element; i < s->n; i++)
        for (int k = 0; k < t.n; k++) {
            const char *inner =
                c->recipe ? hora_settings_inner(s->at[i].key, "methods", &element) : NULL;
            s->at[i].taken |= hora_options_find(t.at[k], inner ? inner : s->at[i].key) != NULL;
        }
    const char *method =
        c->methods == HORA_CLI_NAMED_METHOD ? hora_settings_get(s, "method") : NULL;
    hora_status st = method ? hora_method_foreign(s, method) : HORA_OK;
    if (st == HORA_OK)
        st = hora_settings_finish(s, t.at, t.n);
    for (int i = 0; i < s->n; i++) /* their owners are still to take them */
        s->at[i].taken = false;
    return st;
}

static hora_status no_command(const hora_command *group) {
    hora_help_overview(stderr, group);
    return hora_fail(HORA_EUSAGE, "no command given; see the list above");
}

static hora_status run(const hora_command *c, hora_cli *cli, const common *o) {
    if (c->group)
        return no_command(c);
    if (cli->nrest > c->most)
        return hora_fail(HORA_EUSAGE, "`%s` is one argument too many; usage: hora %s %s",
                         cli->rest[c->most], c->name, c->usage);
    hora_log_threshold(o->quiet ? HORA_LOG_WARN : o->verbose ? HORA_LOG_DEBUG : HORA_LOG_INFO);
    hora_threads_limit((int)o->threads);
    cli->json = o->json;
    cli->terminal = isatty(STDERR_FILENO);
    if (c->recipe)
        HORA_TRY(read_recipe(cli));
    HORA_TRY(check(c, &cli->settings));
    return c->run(cli);
}

static hora_status parse_and_run(const hora_command *c, int argc, char **argv) {
    hora_tables t;
    hora_cli cli = {.rest = hora_calloc((size_t)argc + 1, sizeof *cli.rest)};
    common o = {0};
    hora_command_flags(&t, c);
    hora_status s =
        hora_settings_argv(&cli.settings, argc, argv, t.at, t.n, false, cli.rest, &cli.nrest);
    if (s == HORA_OK)
        s = hora_options_take(&t.everywhere, &o, &cli.settings);
    hora_settings_drop(&cli.settings, &t.everywhere);
    if (s == HORA_OK && o.help)
        hora_help_command(stdout, c);
    else if (s == HORA_OK)
        s = run(c, &cli, &o);
    hora_settings_release(&cli.settings);
    hora_free(cli.rest);
    return s;
}

/* Flags that stand where a command is expected. */
static const char *as_command(const char *word) {
    static const char *const flags[][2] = {
        {"--help", "help"}, {"-h", "help"}, {"--version", "version"}};
    for (size_t i = 0; i < HORA_COUNT(flags); i++)
        if (hora_eq(word, flags[i][0]))
            return flags[i][1];
    return word;
}

static hora_status start(int argc, char **argv) {
    const hora_command *c;
    int used;
    if (argc)
        argv[0] = (char *)as_command(argv[0]);
    HORA_TRY(hora_command_find(&c, &used, argc, (const char *const *)argv));
    HORA_TRY(c ? parse_and_run(c, argc - used, argv + used) : no_command(NULL));
    return hora_cli_flush();
}

int main(int argc, char **argv) {
    hora_cli_faults();
    const hora_status s = start(argc - 1, argv + 1);
    hora_cli_say(s);
    return hora_status_exit(s);
}
