/* The list of commands: finding one by its words, and all the options it has. */
#include "base/text.h"
#include "peft/peft.h"
#include "tool/tool.h"

static const hora_command *const commands[] = {
#define COMMAND(x) &hora_command_##x,
#include "tool/commands.def"
#undef COMMAND
    NULL,
};

const hora_command *const *hora_command_list(const hora_command *group) {
    return group ? group->group : commands;
}

const char *hora_command_word(const hora_command *c) {
    const char *blank = strrchr(c->name, ' ');
    return blank ? blank + 1 : c->name;
}

static hora_status unknown(const char *name, const hora_command *group) {
    const hora_command *const *list = hora_command_list(group);
    const char *names[32], *space = group ? " " : "", *prefix = group ? group->name : "";
    int n = 0;
    for (; list[n]; n++) {
        HORA_ASSERT(n < (int)HORA_COUNT(names));
        names[n] = hora_command_word(list[n]);
    }
    const char *near = hora_nearest(name, names, n);
    return near ? hora_fail(HORA_EUSAGE, "no command `%s%s%s`; did you mean `%s`?", prefix, space,
                            name, near)
                : hora_fail(HORA_EUSAGE, "no command `%s%s%s`; `hora %s%s--help` lists them",
                            prefix, space, name, prefix, space);
}

hora_status hora_command_find(const hora_command **out, int *used, int n,
                              const char *const *words) {
    const hora_command *found = NULL;
    int at = 0;
    for (; at < n && words[at][0] != '-' && (!found || found->group); at++) {
        const hora_command *const *list = hora_command_list(found);
        while (*list && !hora_eq(hora_command_word(*list), words[at]))
            list++;
        if (!*list)
            return unknown(words[at], found);
        found = *list;
    }
    *out = found;
    *used = at;
    return HORA_OK;
}

static void add(hora_tables *t, const hora_options *table) {
    HORA_ASSERT(t->n < (int)HORA_COUNT(t->at));
    t->at[t->n++] = table;
}

void hora_command_tables(hora_tables *t, const hora_command *c, const char *method) {
    t->n = 0;
    for (const hora_options *const *table = c->tables; *table; table++)
        add(t, *table);
    for (int i = 0; i < hora_method_count(); i++) {
        const hora_method *m = hora_method_at(i);
        if (m->options && (hora_eq(method, "*") || (method && hora_method_named(method) == m)))
            add(t, m->options);
    }
}
