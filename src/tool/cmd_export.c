/* hora export: an adapter, or the model with it, in another program's format. */
#include "api/handles.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/gguf.h"
#include "interop/interop.h"
#include "tool/modelfile.h"
#include "tool/tool.h"

typedef struct config {
    char *out;
    int to, dtype;
    bool modelfile, overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_CHOICE(to, "to", "format", NULL, HORA_EXPORTER_NAMES,
               "peft: one rank, alpha = rank, no patterns; mlx: MLX-LM's folder; gguf-lora: for "
               "llama.cpp; gguf: the whole model for it, the adapter merged in"),
    OPT_STRING(out, "out", NULL, NULL, "PATH", "folder to write; for gguf and gguf-lora a file"),
    OPT_CHOICE(dtype, "dtype", "outtype", "auto", "auto f32 f16 bf16 q8_0 q4_0 q4_k",
               "of the matrices of a whole model; auto: f32, or bf16 for a model of bf16"),
    OPT_BOOL(modelfile, "modelfile", NULL, "false", "gguf: a Modelfile for Ollama beside the file"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier export left there"),
};
static const hora_options options = {"Export", rows, HORA_COUNT(rows)};

static const hora_exporter *exporter_of(const config *c) {
    return hora_exporter_at(c->to);
}

static hora_status write_folder(const hora_exporter *e, const hora_export *x, hora_outdir *o) {
    const char *stage;
    HORA_TRY(hora_outdir_enter(o, &stage));
    return hora_outdir_leave(o, e->write(x, stage));
}

/* A folder is opened, which locks it; a file is looked at. */
static hora_status open_out(const config *c, const hora_cli_sources *from, hora_outdir **o) {
    *o = NULL;
    if (c->modelfile) {
        char *path = hora_modelfile_path(c->out);
        const hora_outfile kind = {HORA_MODELFILE_KIND, hora_outfile_text_ours, NULL};
        const hora_status s = hora_outfile_check(path, c->overwrite, &kind, from->in, from->nin);
        hora_free(path);
        HORA_TRY(s);
    }
    const hora_outfile kind = {exporter_of(c)->name, hora_gguf_is_ours,
                               NULL}; /* the files are all GGUF */
    if (exporter_of(c)->file)
        return hora_outfile_check(c->out, c->overwrite, &kind, from->in, from->nin);
    return hora_cli_out(o, c->out, c->overwrite, from);
}

static hora_status ready(const config *c, const hora_settings *s, const hora_cli_sources *from) {
    if (!hora_settings_get(s, "to"))
        return hora_fail(HORA_EUSAGE, "name the format, --to %s", HORA_EXPORTER_NAMES);
    HORA_TRY(hora_cli_required("out", c->out, "what to write"));
    if (c->modelfile && !(exporter_of(c)->whole && exporter_of(c)->file))
        return hora_fail(HORA_EUSAGE, "--modelfile belongs to --to gguf");
    if (exporter_of(c)->whole)
        return HORA_OK;
    if (c->dtype)
        return hora_fail(HORA_EUSAGE, "--dtype belongs to --to gguf; adapters are written in f32");
    return hora_cli_sources_adapters(from);
}

static void report(const hora_model *m, const config *c, hora_json *r) {
    hora_json *names = hora_json_set(r, "adapters", hora_json_new_array());
    hora_json_set(r, "out", hora_json_new_string(c->out));
    hora_json_set(r, "format", hora_json_new_string(exporter_of(c)->name));
    for (int i = 0; i < m->n; i++)
        hora_json_push(names, hora_json_new_string(m->adapters[i]->method->name));
}

static void print(const hora_json *r) {
    const hora_json *names = hora_json_get(r, "adapters");
    printf("%s: ", hora_cli_text(r, "out"));
    if (!hora_json_len(names))
        printf("the model");
    for (size_t i = 0; i < hora_json_len(names); i++)
        printf("%s%s", i ? " and " : "", hora_json_string(hora_json_at(names, i), NULL));
    printf(" as %s", hora_cli_text(r, "format"));
    int64_t rank = 0, enough = 0;
    bool dora = false;
    hora_json_bool(hora_json_get(r, "magnitudes"), &dora);
    hora_json_int(hora_json_get(r, "enough"), &enough);
    if (!hora_json_int(hora_json_get(r, "rank"), &rank))
        printf("%s, matrices in %s", hora_json_len(names) ? ": merged into the model" : "",
               hora_cli_text(r, "dtype"));
    else
        printf(": a %s of rank %lld in %lld modules, exact", dora ? "DoRA" : "plain LoRA",
               (long long)rank, (long long)hora_cli_number(r, "modules"));
    if (enough < rank && !dora)
        printf("; `hora convert --to lora` writes the same with rank %lld", (long long)enough);
    putchar('\n');
}

/* Weights as the files have them: a merge sums in f32 whatever they are. */
static hora_status open_model(hora_model **m, const config *c, hora_settings *s) {
    return exporter_of(c)->whole ? hora_cli_open_as_stored(m, s) : hora_cli_open(m, s);
}

static hora_status export(const config *c, hora_settings *s, hora_json **r) {
    hora_model *m = NULL;
    hora_outdir *o = NULL;
    hora_status st;
    hora_cli_sources from;
    HORA_TRY_OUT(st, hora_cli_sources_of(&from, s));
    HORA_TRY_OUT(st, ready(c, s, &from));
    HORA_TRY_OUT(st, open_out(c, &from, &o));
    static const hora_dtype dtypes[] = {HORA_DTYPE_OTHER, HORA_F32,  HORA_F16, HORA_BF16,
                                        HORA_Q8_0,        HORA_Q4_0, HORA_Q4_K};
    const hora_tokenizer *t = NULL;
    HORA_TRY_OUT(st, open_model(&m, c, s));
    if (exporter_of(c)->whole)
        HORA_TRY_OUT(st, hora_model_tokenizer(m, &t, NULL));
    const hora_export x = {.dtype = dtypes[c->dtype],
                           .tokenizer = t,
                           .base = m->base,
                           .adapters = m->adapters,
                           .n = m->n,
                           .note = "Written by `hora export`.",
                           .made = *r = hora_json_new_object()};
    HORA_TRY_OUT(st, exporter_of(c)->check(&x));
    st = o ? write_folder(exporter_of(c), &x, o) : exporter_of(c)->write(&x, c->out);
    if (st == HORA_OK && c->modelfile)
        st = hora_modelfile_write(c->out, t, m->base->dir);
    if (st == HORA_OK)
        report(m, c, *r);
out:
    if (st) {
        hora_json_free(*r);
        *r = NULL;
    }
    hora_outdir_close(o);
    hora_model_close(m);
    hora_cli_sources_free(&from);
    return st;
}

static hora_status run(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    hora_status s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = export(&c, &cli->settings, &r);
    hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_export = {
    .name = "export",
    .summary = "Write an adapter, or the model with it, for PEFT, MLX or llama.cpp",
    .usage = "--model DIR [--adapter OUT[:X] ..] --to FORMAT --out PATH [--dtype TYPE] "
             "[--modelfile] [--overwrite]",
    .more = "Every form computes what the adapter computes: scales are folded into B, so rsLoRA, "
            "patterns and\n"
            "mixed ranks stay exact everywhere. What a format cannot say is refused; `hora merge` "
            "folds any\n"
            "method that merges into the model instead. OUT of train itself is PEFT's folder "
            "already.",
    .tables = {&hora_cli_source_options, &options},
    .run = run};
