/* YAML: what is taken is printed, read again and equal. */
#include "base/yaml.h"
#include "fuzz.h"

HORA_FUZZ(yaml) {
    hora_json *v = NULL, *again = NULL;
    const hora_status s = hora_yaml_parse(&v, data, n, "fuzz");
    must((s == HORA_OK) == (v != NULL));
    must_say(s, "fuzz");
    if (hora_json_type(v) == HORA_JOBJECT) {
        hora_str text = {0};
        hora_yaml_dump(v, &text);
        must(hora_yaml_parse(&again, text.s, text.n, "printed") == HORA_OK);
        must(hora_json_equal(v, again));
        hora_json_free(again);
        hora_str_release(&text);
    }
    hora_json_free(v);
    return s == HORA_OK;
}
