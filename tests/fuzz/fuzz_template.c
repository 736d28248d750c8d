/* Chat templates: opened and rendered over one conversation, whole and cut. */
#include "fuzz.h"
#include "template/template.h"

static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a b\"}, {\"role\": \"assistant\", "
    "\"content\": \"c\\u4f60\"}], \"add_generation_prompt\": false, \"bos_token\": \"<s>\", "
    "\"eos_token\": \"</s>\", \"tools\": [{\"name\": \"f\"}]}";

HORA_FUZZ(template) {
    static hora_json *vars;
    hora_template *t;
    hora_str whole = {0}, again = {0};
    hora_spans spoken = {0};
    hora_cut cut = {.turns = 1, .prompt = true};
    if (!vars)
        must(hora_json_parse(&vars, talk, sizeof talk - 1, "vars") == HORA_OK);
    const hora_status s = hora_template_open(&t, data, n, "fuzz");
    must((s == HORA_OK) == (t != NULL));
    must_say(s, "fuzz");
    if (s)
        return false;
    const hora_status r = hora_template_render(t, vars, &whole);
    must(r == HORA_OK || !whole.n);
    if (!r && hora_template_render_cuts(t, vars, &again, &spoken, &cut, 1) == HORA_OK) {
        must(again.n == whole.n && (!whole.n || !memcmp(again.s, whole.s, whole.n)));
        for (int i = 0; i < spoken.n; i++)
            must(spoken.at[i].from <= spoken.at[i].to && spoken.at[i].to <= whole.n);
        must(cut.failed || cut.shared <= whole.n);
    }
    hora_cut_release(&cut);
    hora_free(spoken.at);
    hora_str_release(&whole);
    hora_str_release(&again);
    hora_template_close(t);
    return r == HORA_OK;
}
