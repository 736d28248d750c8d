/* hora inspect: a file or directory, for people or as JSON. */
#include "tool/cli.h"

/* `key: value` lines; long lists and nested objects one element per line, indented. */
static void show(const hora_json *v, const char *key, int depth) {
    hora_str s = {0};
    const hora_jtype t = hora_json_type(v);
    const bool nested = t == HORA_JOBJECT ||
                        (t == HORA_JARRAY && hora_json_type(hora_json_at(v, 0)) == HORA_JOBJECT);
    if (t == HORA_JOBJECT || nested) {
        if (key)
            printf("%*s%s:\n", depth * 2, "", key);
        for (size_t i = 0; t == HORA_JARRAY && i < hora_json_len(v); i++) {
            hora_json_dump(hora_json_at(v, i), 0, false, &s);
            printf("%*s%s\n", depth * 2 + 2, "", s.s);
            s.n = 0;
        }
        for (void *it = hora_json_iter(v); it && t == HORA_JOBJECT; it = hora_json_next(v, it))
            show(hora_json_iter_value(it), hora_json_iter_key(it), depth + (key != NULL));
    } else {
        const char *text = hora_json_string(v, NULL);
        hora_json_dump(v, 0, false, &s);
        printf("%*s%s: %s\n", depth * 2, "", key ? key : "", text ? text : s.s);
    }
    hora_str_release(&s);
}

static hora_status run(hora_cli *c) {
    hora_json *r = NULL;
    HORA_TRY(hora_tool_inspect(&c->settings, c->nrest ? c->rest[0] : NULL, &r));
    if (c->json) {
        hora_cli_print(r);
        return HORA_OK;
    }
    show(r, NULL, 0);
    hora_json_free(r);
    return HORA_OK;
}

const hora_command hora_command_inspect = {
    .name = "inspect",
    .summary = "What is in a safetensors file, model, adapter or checkpoint",
    .usage = "FILE-or-DIR [--heads] [--json]",
    .most = 1,
    .run = run};
