/* config.json: a model of that shape is laid out, without a byte of weights. */
#include "fuzz.h"
#include "model/family.h"

HORA_FUZZ(model_config) {
    hora_base *b = NULL;
    const hora_base_options o = {.dtype = HORA_F32, .headers_only = true, .config_alone = true};
    const hora_status s = hora_base_fresh(&b, hora_fuzz_file("config.json", data, n), &o, 1);
    must((s == HORA_OK) == (b != NULL));
    must_say(s, "config.json");
    hora_base_close(b);
    return s == HORA_OK;
}
