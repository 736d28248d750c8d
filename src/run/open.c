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

hora_status hora_open_chat(hora_opened *o, char **date) {
    HORA_TRY(hora_open_tokenizer(o));
    char **day = date ? date : &o->date;
    if (o->chat_refused)
        return HORA_OK;
    if (o->chat) { /* by now with a date of its own */
        if (!*day && hora_template_dated(o->chat) && o->date)
            *day = hora_strdup(o->date);
        return *day && **day ? hora_template_date(o->chat, *day) : HORA_OK;
    }
    hora_status s = hora_chat_open(&o->chat, o->tokenizer, day);
    if (s == HORA_OK && *day && !o->date)
        o->date = hora_strdup(*day);
    if (s == HORA_OK || s == HORA_EUSAGE) /* a date that is none */
        return s;
    o->chat_refused = true;
    hora_warn("%s: %s; conversations cannot be rendered", o->base->dir, hora_errmsg());
    return HORA_OK;
}

hora_status hora_open_data(hora_opened *o, hora_dataset **out, const char *path,
                           hora_data_config *config) {
    HORA_TRY(hora_open_chat(o, &config->date));
    return hora_dataset_open(out, path, o->tokenizer, o->chat, config);
}

void hora_open_close(hora_opened *o) {
    hora_template_close(o->chat);
    hora_tokenizer_close(o->tokenizer);
    hora_base_close(o->base);
    hora_free(o->date);
    *o = (hora_opened){0};
}
