/* hora convert: an adapter or a model in another form, with what was lost on the way. */
#include "api/handles.h"
#include "base/file.h"
#include "base/outdir.h"
#include "base/text.h"
#include "infer/pair_norms.h"
#include "interop/convert.h"
#include "tool/tool.h"

typedef struct config {
    char *to, *out;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(
        to, "to", NULL, NULL, "FORM",
        "lora:K: the nearest LoRA of rank K; lora: exact, of low-rank methods; latent:K: the "
        "model with a cache of latents of width K"),
    OPT_STRING(out, "out", NULL, NULL, "DIR", "folder to write"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier run left there"),
};
static const hora_options options = {"Conversion", rows, HORA_COUNT(rows)};

static void print_cache(const hora_json *r, const hora_json *cache) {
    const double now = hora_cli_number(cache, "numbers"), was = hora_cli_number(cache, "before");
    printf("cache of a token: %.0f numbers instead of %.0f (%.1f%%); %.1f%% of what the rotary "
           "pairs weigh stays rotary\n",
           now, was, 100 * now / was, 100 * hora_cli_number(r, "rotary"));
}

static void print(const hora_json *r) {
    const hora_json *list = hora_json_get(r, "tensors"), *cache = hora_json_get(r, "cache");
    printf("%-52s %6s %12s %12s\n", "", "rank", "left over", "of it all");
    for (size_t i = 0; i < hora_json_len(list); i++) {
        const hora_json *t = hora_json_at(list, i);
        printf("%-52s %6.0f %12.3g %11.4f%%\n", hora_cli_text(t, "name"),
               hora_cli_number(t, "rank"), hora_cli_number(t, "left"),
               100 * hora_cli_number(t, "error"));
    }
    if (cache)
        print_cache(r, cache);
    if (hora_cli_number(r, "error") > (cache ? 1e-9 : 0))
        printf("%s: as %s; at most %.4f%% of %s is left over\n", hora_cli_text(r, "out"),
               hora_cli_text(r, "form"), 100 * hora_cli_number(r, "error"),
               cache ? "a layer's keys and values" : "an update");
    else
        printf("%s: as %s, %s\n", hora_cli_text(r, "out"), hora_cli_text(r, "form"),
               cache ? "nothing left over" : "exact");
}

/* Norms of pairs on the text of --calibrate. */
static hora_status measure(hora_convert_config *k, hora_model *m, hora_pair_norms *norms) {
    const hora_tokenizer *t;
    hora_str text = {0};
    hora_ids ids = {0};
    hora_status s = hora_model_tokenizer(m, &t, NULL);
    if (s == HORA_OK)
        s = hora_file_read(&text, k->calibrate);
    if (s == HORA_OK)
        s = hora_tokenizer_encode(t, text.s, text.n, true, &ids);
    if (s == HORA_OK)
        s = hora_pair_norms_run(norms, m->base, m->adapters, m->n, m->device, ids.at,
                                (size_t)hora_min((int64_t)ids.n, k->calibrate_tokens));
    k->q_norms = norms->q;
    k->k_norms = norms->k;
    hora_ids_release(&ids);
    hora_str_release(&text);
    return s;
}

/* Options of a form that is not asked for. */
static hora_status check_options(const hora_converter *f, const hora_settings *s) {
    for (int i = 0; !f->rotary && i < hora_convert_options.n; i++)
        if (hora_settings_get(s, hora_convert_options.rows[i].name))
            return hora_fail(HORA_EUSAGE, "%s is for --to latent; leave it out with --to %s",
                             hora_convert_options.rows[i].name, f->name);
    return HORA_OK;
}

static hora_status convert(const config *c, hora_convert_config *k, hora_settings *s,
                           const hora_cli_sources *from, hora_json *r) {
    const hora_converter *f;
    hora_model *m = NULL;
    hora_outdir *o = NULL;
    hora_pair_norms norms = {0};
    const char *stage;
    hora_status st;
    HORA_TRY(hora_cli_required("to", c->to, "the form, such as lora:16"));
    HORA_TRY(hora_converter_parse(&f, &k->n, c->to));
    HORA_TRY(hora_cli_required("out", c->out, "the folder to write"));
    HORA_TRY(check_options(f, s));
    if (f->adapters)
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
    HORA_TRY_OUT(st, f->check(&x, k));
    if (k->calibrate)
        HORA_TRY_OUT(st, measure(k, m, &norms));
    HORA_TRY_OUT(st, hora_outdir_enter(o, &stage));
    st = hora_outdir_leave(o, f->write(&x, k, stage, r));
out:
    hora_pair_norms_release(&norms);
    hora_outdir_close(o);
    hora_model_close(m);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c = {0};
    hora_convert_config k = {0};
    hora_cli_sources from;
    hora_json *r = hora_json_new_object();
    hora_status s = hora_cli_sources_of(&from, &cli->settings);
    if (s == HORA_OK)
        s = hora_options_take(&options, &c, &cli->settings);
    if (s == HORA_OK)
        s = hora_options_take(&hora_convert_options, &k, &cli->settings);
    if (s == HORA_OK)
        s = convert(&c, &k, &cli->settings, &from, r);
    if (s == HORA_OK)
        hora_cli_show(cli, r, print);
    else
        hora_json_free(r);
    hora_cli_sources_free(&from);
    hora_options_release(&hora_convert_options, &k);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_convert = {
    .name = "convert",
    .summary = "An adapter as a LoRA, or a model with a cache of latents",
    .usage = "--model DIR [--adapter OUT[:X] ..] --to lora:K|latent:K --out DIR [options]",
    .more =
        "Low-rank methods (HoRA, serial LoRA, PiSSA ..) are exact where K is their rank or "
        "more; of all\n"
        "others that merge (OFT, LoKr, DoRA, FourierFT ..) the K largest singular values of "
        "what a merge\n"
        "adds are kept, and the rest is stated for each tensor.\n"
        "latent:K makes a model of a Llama, Mistral or Qwen2 whose decoder caches K numbers and "
        "a few rotary\n"
        "parts of keys of a token and layer instead of keys and values (MHA2MLA); adapters are "
        "folded in first,\n"
        "a short training brings back what it loses.",
    .tables = {&hora_cli_source_options, &hora_model_options, &hora_convert_options, &options},
    .run = run};
