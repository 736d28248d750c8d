/* hora methods: the table of methods, from the registry. */
#include "base/text.h"
#include "peft/peft.h"
#include "tool/tool.h"

static hora_json *options_json(const hora_options *t) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; t && i < t->n; i++) {
        hora_json *o = hora_json_push(list, hora_json_new_object());
        hora_json_set(o, "name", hora_json_new_string(t->rows[i].name));
        hora_json_set(o, "aliases", hora_cli_text_or_null(t->rows[i].aliases));
        hora_json_set(o, "default", hora_cli_text_or_null(t->rows[i].def));
        hora_json_set(o, "choices", hora_cli_text_or_null(t->rows[i].choices));
        hora_json_set(o, "help", hora_cli_text_or_null(t->rows[i].help));
    }
    return list;
}

static hora_json *method_json(const hora_method *m) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "name", hora_json_new_string(m->name));
    hora_json_set(o, "summary", hora_json_new_string(m->summary));
    hora_json_set(o, "paper", hora_cli_text_or_null(m->paper));
    hora_json_set(o, "alias", hora_cli_text_or_null(m->alias));
    hora_json_set(o, "alias_options", hora_cli_text_or_null(m->alias_options));
    hora_json_set(o, "default_lr", hora_json_new_real(m->default_lr));
    hora_json_set(o, "merges", hora_json_new_bool(m->merge != NULL));
    hora_json_set(o, "options", options_json(m->options));
    return o;
}

static void print(const hora_json *m) {
    char lr[32];
    const hora_json *options = hora_json_get(m, "options");
    printf("%s: %s\n", hora_cli_text(m, "name"), hora_cli_text(m, "summary"));
    if (*hora_cli_text(m, "paper"))
        printf("  paper %s\n", hora_cli_text(m, "paper"));
    if (*hora_cli_text(m, "alias"))
        printf("  also %s: with %s\n", hora_cli_text(m, "alias"),
               hora_cli_text(m, "alias_options"));
    printf("  default learning rate %s\n", hora_format_real(lr, hora_cli_number(m, "default_lr")));
    for (size_t i = 0; i < hora_json_len(options); i++) {
        const hora_json *o = hora_json_at(options, i);
        printf("  %-22s %-12s %s", hora_cli_text(o, "name"), hora_cli_text(o, "default"),
               hora_cli_text(o, "help"));
        if (*hora_cli_text(o, "choices"))
            printf(" (%s)", hora_cli_text(o, "choices"));
        if (*hora_cli_text(o, "aliases"))
            printf(" [also %s]", hora_cli_text(o, "aliases"));
        putchar('\n');
    }
}

static hora_status run(hora_cli *c) {
    for (int i = 0; i < hora_method_count(); i++) {
        if (i && !c->json)
            putchar('\n');
        hora_cli_show(c, method_json(hora_method_at(i)), print);
    }
    return HORA_OK;
}

const hora_command hora_command_methods = {.name = "methods",
                                           .summary = "Methods with their options and defaults",
                                           .usage = "[--json]",
                                           .run = run};
