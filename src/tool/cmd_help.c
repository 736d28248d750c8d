/* hora help: what --help prints, from the rows and tables of the commands. */
#include "tool/tool.h"

void hora_help_overview(FILE *f, const hora_command *group) {
    if (group)
        fprintf(f, "usage: hora %s %s\n\n%s.\n%s\n\n", group->name, group->usage, group->summary,
                group->more);
    else
        fprintf(f, "hora: fine-tune language models with small additions (HoRA, LoRA and others)\n"
                   "\nusage: hora COMMAND [options]\n\n");
    for (const hora_command *const *c = hora_command_list(group); *c; c++)
        fprintf(f, "  %-10s %s\n", hora_command_word(*c), (*c)->summary);
    fprintf(f, "\n`hora %s%sCOMMAND --help` lists a command's options%s\n",
            group ? group->name : "", group ? " " : "",
            group ? "." : "; `hora --version` says what this is.");
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
    HORA_TRY(hora_command_find(&about, &used, c->nrest, c->rest));
    if (about)
        hora_help_command(stdout, about);
    else
        hora_help_overview(stdout, NULL);
    return HORA_OK;
}

const hora_command hora_command_help = {.name = "help",
                                        .summary = "This list, or what a command understands",
                                        .usage = "[COMMAND]",
                                        .most = 2,
                                        .run = run};
