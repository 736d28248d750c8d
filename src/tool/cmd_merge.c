/* hora merge: base and adapter as one model directory. */
#include "api/handles.h"
#include "base/outdir.h"
#include "base/text.h"
#include "tool/tool.h"

typedef struct config {
    char *out;
    int dtype;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(out, "out", NULL, NULL, "DIR", "model directory to write"),
    OPT_CHOICE(dtype, "dtype", "torch_dtype", "source", "f32 bf16 source",
               "of the written weights; source: each as the model's files have it"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier merge left in --out"),
};
static const hora_options options = {"Merge", rows, HORA_COUNT(rows)};

/* What would be found out only after the model was read. */
static hora_status ready(const config *c, const hora_cli_sources *from) {
    HORA_TRY(hora_cli_required("out", c->out, "the model directory to write"));
    HORA_TRY(hora_cli_sources_adapters(from));
    hora_outdir *o;
    HORA_TRY(hora_cli_out(&o, c->out, c->overwrite, from));
    hora_outdir_close(o);
    return HORA_OK;
}

static hora_json *report(const hora_model *m, const config *c) {
    hora_json *r = hora_json_new_object();
    hora_json *names = hora_json_set(r, "adapters", hora_json_new_array());
    hora_json_set(r, "out", hora_json_new_string(c->out));
    for (int i = 0; i < m->n; i++)
        hora_json_push(names, hora_json_new_string(m->adapters[i]->method->name));
    hora_json_set(r, "parameters", hora_json_new_int(hora_base_parameters(m->base)));
    return r;
}

static void print(const hora_json *r) {
    const hora_json *names = hora_json_get(r, "adapters");
    printf("%s: %.0f parameters with", hora_cli_text(r, "out"), hora_cli_number(r, "parameters"));
    for (size_t i = 0; i < hora_json_len(names); i++)
        printf("%s %s", i ? " and" : "", hora_json_string(hora_json_at(names, i), NULL));
    printf(" merged in\n");
}

static hora_status merge(hora_cli *cli, const config *c, hora_json **r) {
    hora_model *m = NULL;
    hora_cli_sources from;
    hora_status s = hora_cli_sources_of(&from, &cli->settings);
    if (s == HORA_OK)
        s = ready(c, &from);
    hora_cli_sources_free(&from);
    if (s == HORA_OK)
        s = hora_cli_open_as_stored(&m, &cli->settings);
    char *how =
        hora_format("dtype=%s,overwrite=%s", (const char *[]){"f32", "bf16", "source"}[c->dtype],
                    c->overwrite ? "true" : "false");
    if (s == HORA_OK && !(s = hora_model_export(m, c->out, how)))
        *r = report(m, c);
    hora_free(how);
    hora_model_close(m);
    return s;
}

static hora_status run(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    hora_status s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = merge(cli, &c, &r);
    hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_merge = {
    .name = "merge",
    .summary = "Fold an adapter into its model, which then needs none",
    .usage = "--model DIR --adapter OUT[:X] .. --out DIR [--dtype f32|bf16] [--overwrite]",
    .more = "Weights are W + change in f32, rounded once to the dtype of the model's own file; "
            "shards,\n"
            "tokenizer and configuration are the model's. Methods that change no weight (`hora "
            "methods`)\n"
            "are refused. The folder appears whole or not at all.",
    .tables = {&hora_cli_source_options, &options},
    .run = run};
