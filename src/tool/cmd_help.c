/* hora help: what --help prints, from the rows and tables of the commands. */
#include "tool/manual.h"

typedef struct config {
    bool man;
    int completion;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(man, "man", NULL, "false", "the same as a man page, in roff"),
    OPT_CHOICE(completion, "completion", NULL, "none", "none bash zsh",
               "a script that completes commands and options in that shell"),
};
static const hora_options options = {"Help", rows, HORA_COUNT(rows)};

void hora_help_overview(FILE *f, const hora_command *group) {
    if (group)
        fprintf(f, "usage: hora %s %s\n\n%s.\n%s\n\n", group->name, group->usage, group->summary,
                group->more);
    else
        fprintf(f, "hora: fine-tune language models with small additions (HoRA, LoRA and others)\n"
                   "\nusage: hora COMMAND [options]\n\n");
    for (const hora_command *const *c = hora_command_list(group); *c; c++)
        fprintf(f, "  %-10s %s\n", hora_command_word(*c), (*c)->summary);
    fprintf(f, "\n`hora %s%sCOMMAND --help` lists options%s\n", group ? group->name : "",
            group ? " " : "", group ? "." : "; `hora --version` says what this is.");
}

void hora_help_command(FILE *f, const hora_command *c) {
    hora_str s = {0};
    hora_tables t;
    if (c->group) {
        hora_help_overview(f, c);
        return;
    }
    hora_command_flags(&t, c);
    hora_str_printf(&s, "usage: hora %s%s%s\n\n%s.\n", c->name, c->usage ? " " : "",
                    c->usage ? c->usage : "", c->summary);
    if (c->more)
        hora_str_printf(&s, "%s\n", c->more);
    for (int i = 0; i < t.n; i++) {
        hora_str_putc(&s, '\n');
        hora_options_help(t.at[i], &s);
    }
    fputs(s.s, f);
    hora_str_release(&s);
}

static hora_status run(hora_cli *c) {
    const hora_command *about;
    int used;
    config o;
    hora_str text = {0};
    HORA_TRY(hora_options_take(&options, &o, &c->settings));
    HORA_TRY(hora_command_find(&about, &used, c->nrest, c->rest));
    if (o.completion)
        hora_manual_completion(o.completion == 2, &text);
    else if (o.man)
        hora_manual_page(about, &text);
    if (text.n)
        fputs(text.s, stdout);
    else if (about)
        hora_help_command(stdout, about);
    else
        hora_help_overview(stdout, NULL);
    hora_str_release(&text);
    return HORA_OK;
}

const hora_command hora_command_help = {.name = "help",
                                        .summary = "This list, or what a command understands",
                                        .usage = "[COMMAND] [--man] [--completion bash|zsh]",
                                        .tables = {&options},
                                        .most = 2,
                                        .run = run};
