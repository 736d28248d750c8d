/*
 * The subcommands behind `hora theory`: settings in, JSON and text out.
 */
#include "hora_tool_options.h"
#include "theory/rates.h"

hora_status hora_tool_theory_rates(hora_settings *s, hora_json **out, hora_str *text) {
    HORA_TRY(hora_tool_check("theory rates", NULL, s));
    return hora_rates(s, out, text);
}

hora_status hora_tool_theory_lowdata(hora_settings *s, hora_json **out, hora_str *text) {
    HORA_TRY(hora_tool_check("theory lowdata", NULL, s));
    return hora_lowdata(s, out, text);
}
