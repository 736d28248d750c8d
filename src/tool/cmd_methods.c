/* hora methods: the table of methods, from the registry. */
#include "base/text.h"
#include "tool/cli.h"

static void show(const hora_json *m) {
    char lr[32];
    const hora_json *options = hora_json_get(m, "options");
    printf("%s: %s\n", hora_cli_text(m, "name"), hora_cli_text(m, "summary"));
    if (*hora_cli_text(m, "paper"))
        printf("  paper %s\n", hora_cli_text(m, "paper"));
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
    hora_json *r;
    hora_tool_methods(&r);
    for (size_t i = 0; i < hora_json_len(r); i++) {
        if (c->json) {
            hora_cli_print(hora_json_copy(hora_json_at(r, i)));
            continue;
        }
        if (i)
            putchar('\n');
        show(hora_json_at(r, i));
    }
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_methods = {.name = "methods",
                                           .summary = "Methods with their options and defaults",
                                           .usage = "[--json]",
                                           .run = run};
