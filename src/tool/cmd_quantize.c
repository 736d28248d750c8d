/* hora quantize: a model, or one with its adapter merged in, as a GGUF file in blocks. */
#include <inttypes.h>

#include "api/handles.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/gguf.h"
#include "interop/interop.h"
#include "tool/tool.h"

typedef struct config {
    char *out;
    int type;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(out, "out", NULL, NULL, "FILE", "GGUF file to write"),
    OPT_CHOICE(type, "type", "to", "q4_k", "q8_0 q4_0 q4_k",
               "blocks of the matrices: 8.5, 4.5 and 4.5 bits a weight; q4_k is the closer of the "
               "two"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier run left there"),
};
static const hora_options options = {"Quantize", rows, HORA_COUNT(rows)};

static hora_status ready(const config *c, const hora_settings *s) {
    HORA_TRY(hora_cli_required("out", c->out, "the GGUF file to write"));
    hora_cli_sources from;
    hora_status st = hora_cli_sources_of(&from, s);
    if (st == HORA_OK)
        st =
            hora_outfile_check(c->out, c->overwrite,
                               &(hora_outfile){"gguf", hora_gguf_is_ours, NULL}, from.in, from.nin);
    hora_cli_sources_free(&from);
    return st;
}

/* What the file holds: bytes and tensors of each type. */
static hora_status report(const hora_model *m, const config *c, hora_json **out) {
    hora_gguf *g;
    int count[HORA_DTYPES] = {0};
    int64_t bytes = 0, values = 0;
    HORA_TRY(hora_gguf_open(&g, c->out));
    for (int i = 0; i < hora_gguf_count(g); i++) {
        const hora_view *v = &hora_gguf_at(g, i)->view;
        count[v->dtype]++;
        bytes += (int64_t)hora_view_bytes(v);
        values += hora_elems(v);
    }
    hora_gguf_close(g);
    hora_json *r = *out = hora_json_new_object();
    hora_json_set(r, "out", hora_json_new_string(c->out));
    hora_json_set(r, "adapters", hora_json_new_int(m->n));
    hora_json_set(r, "bytes", hora_json_new_int(bytes));
    hora_json_set(r, "bits_per_weight",
                  hora_json_new_real(values ? 8.0 * (double)bytes / (double)values : 0));
    hora_json *types = hora_json_set(r, "types", hora_json_new_object());
    for (int t = 0; t < HORA_DTYPES; t++)
        if (count[t])
            hora_json_set(types, hora_dtype_name((hora_dtype)t), hora_json_new_int(count[t]));
    return HORA_OK;
}

static void print(const hora_json *r) {
    const hora_json *types = hora_json_get(r, "types");
    const double n = hora_cli_number(r, "adapters");
    printf("%s: %s%.1f MiB, %.2f bits a weight:", hora_cli_text(r, "out"),
           n > 0 ? "the adapter merged in, " : "", hora_cli_number(r, "bytes") / 1048576,
           hora_cli_number(r, "bits_per_weight"));
    for (void *it = hora_json_iter(types); it; it = hora_json_next(types, it))
        printf(" %.0f %s", hora_cli_number(types, hora_json_iter_key(it)), hora_json_iter_key(it));
    printf("\n");
}

static hora_status quantize(const config *c, hora_settings *s, hora_json **r) {
    static const hora_dtype types[] = {HORA_Q8_0, HORA_Q4_0, HORA_Q4_K};
    const hora_exporter *gguf = hora_exporter_named("gguf");
    const hora_tokenizer *t = NULL;
    hora_model *m = NULL;
    hora_status st;
    HORA_TRY(ready(c, s));
    HORA_TRY_OUT(st, hora_cli_open_as_stored(&m, s));
    HORA_TRY_OUT(st, hora_model_tokenizer(m, &t, NULL));
    const hora_export x = {.dtype = types[c->type],
                           .tokenizer = t,
                           .base = m->base,
                           .adapters = m->adapters,
                           .n = m->n,
                           .note = "Written by `hora quantize`."};
    HORA_TRY_OUT(st, gguf->check(&x));
    HORA_TRY_OUT(st, gguf->write(&x, c->out));
    st = report(m, c, r);
out:
    hora_model_close(m);
    return st;
}

static hora_status run(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    hora_status s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = quantize(&c, &cli->settings, &r);
    hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_quantize = {
    .name = "quantize",
    .summary = "A model, or one with its adapter merged in, as GGUF in 4 or 8 bits",
    .usage =
        "--model DIR [--adapter OUT[:X] ..] --out FILE.gguf [--type q4_k|q4_0|q8_0] [--overwrite]",
    .more = "The file has tokenizer and chat template in it, is trained on with --model FILE.gguf "
            "and read by\n"
            "llama.cpp. Vectors stay in f32; rows that are no whole blocks get the type that "
            "llama.cpp would\n"
            "give them, which is said.",
    .tables = {&hora_cli_source_options, &options},
    .run = run};
