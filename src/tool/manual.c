/* Man pages and completions, from the rows and tables that --help prints. */
#include "tool/manual.h"

#include "base/text.h"
#include "hora/hora.h"

/* --- man pages -------------------------------------------------------------------------------- */
/* Text of roff: no line of it is a request, and a dash is one. */
static void roff(hora_str *out, const char *text) {
    bool line = true;
    for (const char *p = text; *p; p++) {
        if (line && (*p == '.' || *p == '\''))
            hora_str_puts(out, "\\&");
        if (*p == '\\')
            hora_str_puts(out, "\\e");
        else if (*p == '-')
            hora_str_puts(out, "\\-");
        else
            hora_str_putc(out, *p);
        line = *p == '\n';
    }
}

static void flag_of(const hora_option *row, hora_str *out) {
    hora_str_puts(out, "--");
    for (const char *p = row->name; *p; p++)
        hora_str_putc(out, *p == '_' ? '-' : *p);
}

static void man_option(const hora_option *row, hora_str *out) {
    static const char *const types[] = {NULL, "N", "X", "TEXT", "NAME"};
    hora_str flag = {0}, text = {0};
    flag_of(row, &flag);
    hora_option_describe(row, &text);
    hora_str_puts(out, ".TP\n.B ");
    if (row->flags & HORA_OPT_SHORT)
        hora_str_printf(out, "\\-%s, ", row->aliases);
    roff(out, flag.s);
    if (row->type != HORA_OPT_BOOL) {
        hora_str_puts(out, " \\fI");
        roff(out, row->arg ? row->arg : types[row->type]);
        hora_str_puts(out, "\\fR");
    }
    hora_str_putc(out, '\n');
    roff(out, text.s);
    hora_str_putc(out, '\n');
    hora_str_release(&flag);
    hora_str_release(&text);
}

static void man_options(const hora_command *c, hora_str *out) {
    hora_tables t;
    hora_command_flags(&t, c);
    for (int i = 0; i < t.n; i++) {
        hora_str_puts(out, ".SS ");
        roff(out, t.at[i]->title);
        hora_str_putc(out, '\n');
        for (int k = 0; k < t.at[i]->n; k++)
            man_option(&t.at[i]->rows[k], out);
    }
}

static void man_list(const hora_command *group, hora_str *out) {
    hora_str_puts(out, ".SH COMMANDS\n");
    for (const hora_command *const *c = hora_command_list(group); *c; c++) {
        hora_str_puts(out, ".TP\n.B ");
        roff(out, (*c)->name);
        hora_str_putc(out, '\n');
        roff(out, (*c)->summary);
        hora_str_putc(out, '\n');
    }
}

void hora_manual_page(const hora_command *c, hora_str *out) {
    const char *summary = c ? c->summary : "fine-tune models with small additions";
    char *name = hora_format("hora%s%s", c ? "-" : "", c ? c->name : "");
    for (char *p = name; *p; p++)
        *p = *p == ' ' ? '-' : *p;
    hora_str_printf(out, ".TH \"%s\" 1 \"\" \"hora " HORA_VERSION "\"\n.SH NAME\n", name);
    roff(out, name);
    hora_str_puts(out, " \\- ");
    roff(out, summary);
    hora_str_puts(out, "\n.SH SYNOPSIS\n.B hora ");
    roff(out, c ? c->name : "COMMAND");
    hora_str_putc(out, ' ');
    roff(out, c && c->usage ? c->usage : c ? "" : "[options]");
    hora_str_putc(out, '\n');
    if (c && c->more) {
        hora_str_puts(out, ".SH DESCRIPTION\n");
        roff(out, c->more);
        hora_str_putc(out, '\n');
    }
    if (!c || c->group) {
        man_list(c, out);
    } else {
        hora_str_puts(out, ".SH OPTIONS\n");
        man_options(c, out);
    }
    hora_free(name);
}

/* --- completion ------------------------------------------------------------------------------- */
typedef void (*each_command)(const hora_command *c, hora_str *out);

/* Commands that have options, those behind groups too. */
static void commands(const hora_command *group, each_command fn, hora_str *out) {
    for (const hora_command *const *c = hora_command_list(group); *c; c++)
        if ((*c)->group)
            commands(*c, fn, out);
        else
            fn(*c, out);
}

static void words(const hora_command *group, hora_str *out) {
    for (const hora_command *const *c = hora_command_list(group); *c; c++)
        hora_str_printf(out, "%s%s", out->n && out->s[out->n - 1] != '"' ? " " : "",
                        hora_command_word(*c));
}

static bool first_of_name(const hora_tables *t, int table, int row) {
    for (int i = 0; i < table; i++)
        if (hora_options_find(t->at[i], t->at[table]->rows[row].name))
            return false;
    return true;
}

static void bash_command(const hora_command *c, hora_str *out) {
    hora_tables t;
    hora_command_flags(&t, c);
    hora_str_printf(out, "    \"%s\") flags=\"", c->name);
    for (int i = 0, n = 0; i < t.n; i++)
        for (int k = 0; k < t.at[i]->n; k++)
            if (first_of_name(&t, i, k)) {
                hora_str_puts(out, n++ ? " " : "");
                flag_of(&t.at[i]->rows[k], out);
            }
    hora_str_puts(out, "\"\n        case $prev in\n");
    for (int i = 0; i < t.n; i++)
        for (int k = 0; k < t.at[i]->n; k++) {
            const hora_option *row = &t.at[i]->rows[k];
            if (!row->choices || !first_of_name(&t, i, k))
                continue;
            hora_str_puts(out, "        ");
            flag_of(row, out);
            hora_str_printf(out, ") values=\"%s\" ;;\n", row->choices);
        }
    hora_str_puts(out, "        esac ;;\n");
}

static void bash(hora_str *out) {
    hora_str_puts(out, "# bash completion of hora; made by `hora help --completion bash`\n"
                       "_hora() {\n"
                       "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                       "    local command=${COMP_WORDS[1]} flags= values=\n"
                       "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                       "        COMPREPLY=($(compgen -W \"");
    words(NULL, out);
    hora_str_puts(out, "\" -- \"$cur\"))\n        return\n    fi\n");
    for (const hora_command *const *c = hora_command_list(NULL); *c; c++)
        if ((*c)->group) {
            hora_str_printf(out,
                            "    if [ \"$command\" = %s ]; then\n"
                            "        if [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                            "            COMPREPLY=($(compgen -W \"",
                            (*c)->name);
            words(*c, out);
            hora_str_puts(out, "\" -- \"$cur\"))\n            return\n        fi\n"
                               "        command=\"$command ${COMP_WORDS[2]}\"\n    fi\n");
        }
    hora_str_puts(out, "    case $command in\n");
    commands(NULL, bash_command, out);
    hora_str_puts(out, "    esac\n"
                       "    case $cur in\n"
                       "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
                       "    *) if [ -n \"$values\" ]; then\n"
                       "            COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n"
                       "        else\n"
                       "            COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                       "        fi ;;\n"
                       "    esac\n"
                       "}\n"
                       "complete -o filenames -F _hora hora\n");
}

/* Text in zsh's single quotes, where a specification's brackets and colons are escaped. */
static void zsh_text(hora_str *out, const char *text) {
    for (const char *p = text; *p; p++) {
        if (strchr("[]:\\", *p))
            hora_str_putc(out, '\\');
        if (*p == '\'')
            hora_str_puts(out, "'\\''");
        else
            hora_str_putc(out, *p);
    }
}

static void zsh_option(const hora_option *row, hora_str *out) {
    hora_str_puts(out, " \\\n            '");
    flag_of(row, out);
    hora_str_putc(out, '[');
    zsh_text(out, row->help ? row->help : "");
    hora_str_putc(out, ']');
    if (row->choices)
        hora_str_printf(out, ":%s:(%s)", row->name, row->choices);
    else if (hora_eq(row->arg, "DIR"))
        hora_str_printf(out, ":%s:_files -/", row->name);
    else if (hora_eq(row->arg, "FILE"))
        hora_str_printf(out, ":%s:_files", row->name);
    else if (row->type != HORA_OPT_BOOL)
        hora_str_printf(out, ":%s:", row->name);
    hora_str_putc(out, '\'');
}

static void zsh_command(const hora_command *c, hora_str *out) {
    hora_tables t;
    hora_command_flags(&t, c);
    hora_str_printf(out, "        \"%s\") _arguments", c->name);
    for (int i = 0; i < t.n; i++)
        for (int k = 0; k < t.at[i]->n; k++)
            if (first_of_name(&t, i, k))
                zsh_option(&t.at[i]->rows[k], out);
    hora_str_puts(out, " \\\n            '*:file:_files' ;;\n");
}

static void zsh_words(const hora_command *group, hora_str *out) {
    for (const hora_command *const *c = hora_command_list(group); *c; c++) {
        hora_str_printf(out, " '%s:", hora_command_word(*c));
        zsh_text(out, (*c)->summary);
        hora_str_putc(out, '\'');
    }
}

static void zsh(hora_str *out) {
    hora_str_puts(out,
                  "#compdef hora\n# zsh completion of hora; made by `hora help --completion zsh`\n"
                  "_hora() {\n    local command=$words[2]\n    local -a names\n"
                  "    if (( CURRENT == 2 )); then\n        names=(");
    zsh_words(NULL, out);
    hora_str_puts(out, ")\n        _describe command names\n        return\n    fi\n");
    for (const hora_command *const *c = hora_command_list(NULL); *c; c++)
        if ((*c)->group) {
            hora_str_printf(out,
                            "    if [[ $command == %s ]]; then\n"
                            "        if (( CURRENT == 3 )); then\n            names=(",
                            (*c)->name);
            zsh_words(*c, out);
            hora_str_puts(out, ")\n            _describe command names\n            return\n"
                               "        fi\n        command=\"$command $words[3]\"\n    fi\n");
        }
    hora_str_puts(out, "    case $command in\n");
    commands(NULL, zsh_command, out);
    hora_str_puts(out, "    esac\n}\n_hora \"$@\"\n");
}

void hora_manual_completion(bool for_zsh, hora_str *out) {
    if (for_zsh)
        zsh(out);
    else
        bash(out);
}
