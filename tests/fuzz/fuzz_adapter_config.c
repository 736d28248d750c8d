/* adapter_config.json: what is taken can be asked, and is written as it is read. */
#include "format/peft_config.h"
#include "fuzz.h"

HORA_FUZZ(adapter_config) {
    hora_json *root, *again;
    hora_peft_config c;
    if (hora_json_parse(&root, data, n, "fuzz"))
        return false;
    const hora_status s = hora_peft_config_parse(&c, root, "fuzz");
    must_say(s, "fuzz");
    if (!s) {
        bool yes;
        double v;
        hora_str text = {0};
        /* any answer or refusal will do */
        (void)hora_peft_targets(&c, "model.layers.10.self_attn.q_proj", &yes);
        (void)hora_peft_pattern_value(c.rank_pattern, c.n_rank, "model.layers.0.q_proj", 1, &v);
        (void)hora_peft_pattern_value(c.alpha_pattern, c.n_alpha, "model.layers.0.q_proj", 1, &v);
        hora_peft_config_dump(&c, &text);
        hora_peft_config_release(&c);
        must(hora_json_parse(&again, text.s, text.n, "dump") == HORA_OK);
        must(hora_peft_config_parse(&c, again, "dump") == HORA_OK);
        hora_peft_config_release(&c);
        hora_json_free(again);
        hora_str_release(&text);
    }
    hora_json_free(root);
    return s == HORA_OK;
}
