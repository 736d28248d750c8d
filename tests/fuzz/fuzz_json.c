/* JSON: what is taken is printed, read again and equal. */
#include "base/json.h"
#include "fuzz.h"

HORA_FUZZ(json) {
    hora_json *v = NULL, *again = NULL;
    const hora_status s = hora_json_parse(&v, data, n, "fuzz");
    must((s == HORA_OK) == (v != NULL));
    must_say(s, "fuzz: ");
    for (int indent = 0; v && indent <= 2; indent += 2) {
        hora_str text = {0};
        hora_json_dump(v, indent, indent == 2, &text);
        must(hora_json_parse(&again, text.s, text.n, "printed") == HORA_OK);
        must(hora_json_equal(v, again));
        hora_json_free(again);
        hora_str_release(&text);
    }
    hora_json_free(v);
    return s == HORA_OK;
}
