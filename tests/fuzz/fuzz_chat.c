/* Conversations as JSON: read, and written by a template that looks into them. */
#include "data/data.h"
#include "fuzz.h"

static const char source[] =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    "{{ tools | tojson if tools }}{% if add_generation_prompt %}>{% endif %}";

HORA_FUZZ(chat) {
    static hora_tokenizer *tok;
    static hora_template *tmpl;
    hora_json *tree;
    hora_chat c = {0};
    if (!tok) {
        must(hora_tokenizer_open(&tok, hora_fuzz_model()) == HORA_OK);
        must(hora_template_open(&tmpl, source, sizeof source - 1, "template") == HORA_OK);
    }
    if (hora_json_parse(&tree, data, n, "fuzz"))
        return false;
    const hora_status s = hora_chat_read(&c, tree);
    must(s == HORA_OK || *hora_errmsg());
    if (!s) {
        hora_str text = {0};
        hora_ids ids = {0};
        (void)hora_chat_text(tok, tmpl, &c, NULL, n % 2, &text);
        hora_str_release(&text);
        (void)hora_chat_prompt(tok, tmpl, &c, NULL, &ids, &text);
        hora_str_release(&text);
        hora_ids_release(&ids);
    }
    hora_chat_release(&c);
    hora_json_free(tree);
    return s == HORA_OK;
}
