/* `hora theory lowdata --model`: settings in, the experiment's report out. */
#include "hora_tool_options.h"
#include "theory/lowdata_model.h"

hora_status hora_tool_lowdata_model(hora_settings *s, hora_json **out, hora_str *table) {
    hora_lowdata_model_config c = {0};
    HORA_TRY(hora_tool_check("theory lowdata", NULL, s));
    hora_status st = hora_options_take(&hora_lowdata_model_options, &c, s);
    if (st == HORA_OK)
        st = hora_tool_required("model", c.model, "a model directory");
    if (st == HORA_OK)
        st = hora_lowdata_model(&c, out, table);
    hora_options_release(&hora_lowdata_model_options, &c);
    return st;
}
