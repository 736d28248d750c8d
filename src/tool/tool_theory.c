/*
 * The subcommands behind `hora theory`: settings in, JSON and text out.
 */
#include "base/text.h"
#include "lab/lowdata_model.h"
#include "lab/rates.h"
#include "tool/tool_options.h"

hora_status hora_tool_theory_rates(hora_settings *s, hora_json **out, hora_str *text) {
    HORA_TRY(hora_tool_check("theory rates", NULL, s));
    return hora_rates(s, out, text);
}

/* On a model or simulated: each has its own options. */
static hora_status only(const hora_settings *s, const hora_options *table, const char *where) {
    for (int i = 0; i < s->n; i++)
        if (!hora_options_find(table, s->at[i].key))
            return hora_fail(HORA_EUSAGE, "--%s goes %s --model", s->at[i].key, where);
    return HORA_OK;
}

static hora_status on_a_model(hora_settings *s, hora_json **out, hora_str *text) {
    hora_lowdata_model_config c = {0};
    HORA_TRY(only(s, &hora_lowdata_model_options, "without"));
    hora_status st = hora_options_take(&hora_lowdata_model_options, &c, s);
    if (st == HORA_OK)
        st = hora_lowdata_model(&c, out, text);
    hora_options_release(&hora_lowdata_model_options, &c);
    return st;
}

hora_status hora_tool_theory_lowdata(hora_settings *s, hora_json **out, hora_str *text) {
    HORA_TRY(hora_tool_check("theory lowdata", NULL, s));
    if (hora_settings_get(s, "model"))
        return on_a_model(s, out, text);
    HORA_TRY(only(s, &hora_lowdata_options, "with"));
    return hora_lowdata(s, out, text);
}
