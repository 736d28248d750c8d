/* hora convert: an adapter in another form, with what was lost on the way. */
#include "api/handles.h"
#include "base/outdir.h"
#include "base/text.h"
#include "interop/convert.h"
#include "tool/tool.h"

typedef struct config {
    char *to, *out;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(to, "to", NULL, NULL, "FORM",
               "lora:K: the nearest LoRA of rank K; lora: exact, of low-rank methods"),
    OPT_STRING(out, "out", NULL, NULL, "DIR", "folder to write"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier run left there"),
};
static const hora_options options = {"Conversion", rows, HORA_COUNT(rows)};

static void print(const hora_json *r) {
    const hora_json *list = hora_json_get(r, "tensors");
    printf("%-52s %6s %12s %12s\n", "", "rank", "left over", "of it all");
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const hora_json *t = hora_json_at(list, i);
        printf("%-52s %6.0f %12.3g %11.4f%%\n", hora_cli_text(t, "name"),
               hora_cli_number(t, "rank"), hora_cli_number(t, "left"),
               100 * hora_cli_number(t, "error"));
    }
    if (hora_cli_number(r, "error") > 0)
        printf("%s: as %s; at most %.4f%% of an update is left over\n", hora_cli_text(r, "out"),
               hora_cli_text(r, "form"), 100 * hora_cli_number(r, "error"));
    else
        printf("%s: as %s, exact\n", hora_cli_text(r, "out"), hora_cli_text(r, "form"));
}

static hora_status convert(const config *c, hora_settings *s, const hora_cli_sources *from,
                           hora_json *r) {
    const hora_converter *k;
    int64_t n;
    hora_model *m = NULL;
    hora_outdir *o = NULL;
    const char *stage;
    hora_status st;
    HORA_TRY(hora_cli_required("to", c->to, "the form, such as lora:16"));
    HORA_TRY(hora_converter_parse(&k, &n, c->to));
    HORA_TRY(hora_cli_required("out", c->out, "the folder to write"));
    if (k->adapters)
        HORA_TRY(hora_cli_sources_adapters(from));
    HORA_TRY_OUT(st, hora_cli_out(&o, c->out, c->overwrite, from));
    HORA_TRY_OUT(st, hora_cli_open(&m, s));
    const hora_export x = {.dtype = HORA_DTYPE_OTHER,
                           .base = m->base,
                           .adapters = m->adapters,
                           .n = m->n,
                           .note = "Written by `hora convert`."};
    hora_json_set(r, "out", hora_json_new_string(c->out));
    hora_json_set(r, "form", hora_json_new_string(c->to));
    HORA_TRY_OUT(st, k->check(&x, n));
    HORA_TRY_OUT(st, hora_outdir_enter(o, &stage));
    st = hora_outdir_leave(o, k->write(&x, n, stage, r));
out:
    hora_outdir_close(o);
    hora_model_close(m);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c = {0};
    hora_cli_sources from;
    hora_json *r = hora_json_new_object();
    hora_status s = hora_cli_sources_of(&from, &cli->settings);
    if (s == HORA_OK)
        s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = convert(&c, &cli->settings, &from, r);
    if (s == HORA_OK)
        hora_cli_show(cli, r, print);
    else
        hora_json_free(r);
    hora_cli_sources_free(&from);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_convert = {
    .name = "convert",
    .summary = "An adapter in another form: any that merges as a LoRA",
    .usage = "--model DIR --adapter OUT[:X] .. --to lora:K --out DIR [--overwrite]",
    .more = "Low-rank methods (HoRA, serial LoRA, PiSSA ..) are exact where K is their rank or "
            "more; of all\n"
            "others that merge (OFT, LoKr, DoRA, FourierFT ..) the K largest singular values of "
            "what a merge\n"
            "adds are kept, and the rest is stated for each tensor.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .run = run};
