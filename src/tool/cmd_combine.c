/* hora combine: several adapters as one. */
#include "api/handles.h"
#include "base/outdir.h"
#include "base/text.h"
#include "interop/combine.h"
#include "tool/tool.h"

typedef struct config {
    char *out;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(out, "out", NULL, NULL, "DIR", "folder to write"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace what an earlier run left there"),
};
static const hora_options options = {"Combine", rows, HORA_COUNT(rows)};

static hora_json *report(const hora_model *m, const config *c, const hora_combine_config *k,
                         const hora_flat *f) {
    hora_json *r = hora_json_new_object();
    hora_json *list = hora_json_set(r, "adapters", hora_json_new_array());
    hora_json_set(r, "out", hora_json_new_string(c->out));
    char *type = f ? hora_option_choice(&hora_combine_options.rows[0], m->n > 1 ? k->type : 1)
                   : hora_strdup("sum");
    hora_json_set(r, "type", hora_json_new_string(type));
    hora_free(type);
    if (f)
        hora_json_set(r, "rank", hora_json_new_int(hora_flat_rank(f, m->base)));
    for (int i = 0; i < m->n; i++) {
        hora_json *a = hora_json_push(list, hora_json_new_object());
        hora_json_set(a, "name", hora_json_new_string(m->adapters[i]->name));
        hora_json_set(a, "method", hora_json_new_string(m->adapters[i]->method->name));
        hora_json_set(a, "weight", hora_json_new_real(m->adapters[i]->weight));
    }
    return r;
}

static void print(const hora_json *r) {
    const hora_json *list = hora_json_get(r, "adapters");
    printf("%s: ", hora_cli_text(r, "out"));
    for (size_t i = 0; i < hora_json_len(list); i++)
        printf("%s%g %s", i ? " + " : "", hora_cli_number(hora_json_at(list, i), "weight"),
               hora_cli_text(hora_json_at(list, i), "name"));
    if (hora_json_get(r, "rank"))
        printf(", %s, one LoRA of rank %.0f\n", hora_cli_text(r, "type"),
               hora_cli_number(r, "rank"));
    else
        printf(", %s, one adapter of %s\n", hora_cli_text(r, "type"),
               hora_cli_text(hora_json_at(list, 0), "method"));
}

/* An option of the table was given. */
static bool typed(const hora_settings *s) {
    bool yes = false;
    for (int i = 0; i < hora_combine_options.n; i++)
        yes |= hora_settings_get(s, hora_combine_options.rows[i].name) != NULL;
    return yes;
}

/* Of nothing but weights of 0 an adapter that does nothing would come. */
static hora_status some_weight(const hora_cli_sources *from) {
    bool some = false;
    for (int i = 0; i < from->n; i++)
        some |= from->adapters[i].weight != 0;
    return some ? HORA_OK
                : hora_fail(HORA_EUSAGE, "all weights are 0, so that nothing is left of the "
                                         "adapters; give one of them another");
}

static hora_status combine(const config *c, const hora_combine_config *k, hora_settings *s,
                           const hora_cli_sources *from, hora_json **r) {
    hora_model *m = NULL;
    hora_outdir *o = NULL;
    hora_flat *f = NULL;
    hora_adapter *own = NULL;
    const char *stage;
    hora_status st;
    HORA_TRY(hora_cli_required("out", c->out, "the folder to write"));
    HORA_TRY(hora_cli_sources_adapters(from));
    HORA_TRY(some_weight(from));
    HORA_TRY_OUT(st, hora_cli_out(&o, c->out, c->overwrite, from));
    HORA_TRY_OUT(st, hora_cli_open_apart(&m, s));
    const hora_export x = {.dtype = HORA_DTYPE_OTHER,
                           .base = m->base,
                           .adapters = m->adapters,
                           .n = m->n,
                           .note = "Written by `hora combine`."};
    HORA_TRY_OUT(st, hora_combines_itself(&x) ? hora_combine_own(&own, &x, typed(s))
                                              : hora_combine(&f, &x, k));
    HORA_TRY_OUT(st, hora_outdir_enter(o, &stage));
    HORA_TRY_OUT(st, hora_outdir_leave(o, own ? hora_peft_save(own, stage, x.note)
                                              : hora_flat_write_peft(f, &x, stage)));
    *r = report(m, c, k, f);
out:
    if (m)
        hora_flat_free(f, m->base);
    hora_peft_detach(own);
    hora_outdir_close(o);
    hora_model_close(m);
    return st;
}

static hora_status run(hora_cli *cli) {
    config c = {0};
    hora_combine_config k = {0};
    hora_cli_sources from;
    hora_json *r = NULL;
    hora_status s;
    HORA_TRY_OUT(s, hora_cli_sources_of(&from, &cli->settings));
    HORA_TRY_OUT(s, hora_options_take(&options, &c, &cli->settings));
    HORA_TRY_OUT(s, hora_options_take(&hora_combine_options, &k, &cli->settings));
    s = combine(&c, &k, &cli->settings, &from, &r);
out:
    hora_cli_show(cli, r, print);
    hora_cli_sources_free(&from);
    hora_options_release(&hora_combine_options, &k);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_combine = {
    .name = "combine",
    .summary = "Put several adapters into one",
    .usage = "--model DIR --adapter A[:X] --adapter B[:X] .. --out DIR [--type TYPE] [options]",
    .more =
        "As PEFT's add_weighted_adapter computes it. cat and svd (of a rank that suffices) are "
        "the sum of\n"
        "the updates; linear adds factors, a rough approximation; ties, dare and "
        "magnitude_prune drop\n"
        "numbers first, of factors or (.._svd) of updates. With one adapter: linear. (IA)3: the "
        "vectors\n"
        "are added up by weight. Norms, biases and other weights of the base trained whole: "
        "their changes\n"
        "are.",
    .tables = {&hora_cli_source_options, &hora_model_options, &hora_combine_options, &options},
    .run = run};
