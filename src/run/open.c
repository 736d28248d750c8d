/* Opening a model with what lies beside it. */
#include "run/open.h"

#include "base/log.h"

hora_status hora_open_model(hora_opened *o, const char *dir, const hora_base_options *options) {
    HORA_ASSERT(!o->base);
    return hora_base_open(&o->base, dir, options);
}

hora_status hora_open_tokenizer(hora_opened *o) {
    return o->tokenizer ? HORA_OK : hora_tokenizer_open(&o->tokenizer, o->base->dir);
}

hora_status hora_open_chat(hora_opened *o) {
    HORA_TRY(hora_open_tokenizer(o));
    const char *source = hora_tokenizer_chat_template(o->tokenizer);
    if (source && !o->chat && !o->chat_refused &&
        hora_template_open(&o->chat, source, strlen(source), "chat template") != HORA_OK) {
        o->chat = NULL;
        o->chat_refused = true;
        hora_warn("%s: %s; conversations cannot be rendered", o->base->dir, hora_errmsg());
    }
    return HORA_OK;
}

hora_status hora_open_data(hora_opened *o, hora_dataset **out, const char *path,
                           const hora_data_config *config) {
    HORA_TRY(hora_open_chat(o));
    return hora_dataset_open(out, path, o->tokenizer, o->chat, config);
}

void hora_open_close(hora_opened *o) {
    hora_template_close(o->chat);
    hora_tokenizer_close(o->tokenizer);
    hora_base_close(o->base);
    *o = (hora_opened){0};
}
