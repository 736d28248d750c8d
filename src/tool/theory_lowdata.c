/* hora theory lowdata: test error against the number of samples at equal parameter count. */
#include "base/text.h"
#include "lab/lowdata_model.h"
#include "lab/rates.h"
#include "tool/tool.h"

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
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&hora_lowdata_model_options, &c, s));
    HORA_TRY_OUT(st, hora_lowdata_model(&c, out, text));
out:
    hora_options_release(&hora_lowdata_model_options, &c);
    return st;
}

static hora_status either(hora_settings *s, hora_json **out, hora_str *text) {
    if (hora_settings_get(s, "model"))
        return on_a_model(s, out, text);
    HORA_TRY(only(s, &hora_lowdata_options, "with"));
    return hora_lowdata(s, out, text);
}

static hora_status run(hora_cli *c) {
    return hora_cli_report(c, either);
}

const hora_command hora_theory_lowdata = {
    .name = "theory lowdata",
    .summary = "Test error against the number of samples, at equal parameter count",
    .usage = "[options]\n"
             "       hora theory lowdata --model DIR --data FILE --eval FILE [options]",
    .more =
        "Simulated heads that share a generator wholly, in part or not at all; with --model,\n"
        "LoRA and HoRA on subsets of real data, rates tuned for each method and size. Finished\n"
        "trainings are kept in --out: the same command goes on where it was stopped.",
    .tables = {&hora_lowdata_options, &hora_lowdata_model_options},
    .run = run};
