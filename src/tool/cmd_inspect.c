/* hora inspect: a file or directory, for people or as JSON. */
#include "base/outdir.h"
#include "base/text.h"
#include "format/image.h"
#include "run/inspect.h"
#include "tool/attention.h"
#include "tool/tool.h"

typedef struct config {
    char *model, *attention, *adapter, *out;
    bool heads, overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_BOOL(heads, "heads", NULL, "false",
             "adapters: singular values, norms and angles of what each head learned"),
    OPT_STRING(
        model, "model", NULL, NULL, "DIR",
        "base of the adapter, where adapter_config.json names none that is here; tokenizer of a "
        "data file"),
    OPT_STRING(attention, "attention", NULL, NULL, "IMAGE",
               "of a model of pictures: draw over this one what its heads look at"),
    OPT_STRING(adapter, "adapter", NULL, NULL, "DIR",
               "--attention: draw the adapted model beside its base"),
    OPT_STRING(out, "out", NULL, NULL, "FILE.png", "--attention: the picture to write"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false",
             "--attention: replace what an earlier run left there"),
};
static const hora_options options = {"Inspect", rows, HORA_COUNT(rows)};

/* `key: value` lines; long lists and nested objects one element per line, indented. */
static void show(const hora_json *v, const char *key, int depth) {
    hora_str s = {0};
    const hora_jtype t = hora_json_type(v);
    const bool nested = t == HORA_JOBJECT ||
                        (t == HORA_JARRAY && hora_json_type(hora_json_at(v, 0)) == HORA_JOBJECT);
    if (t == HORA_JOBJECT || nested) {
        if (key)
            printf("%*s%s:\n", depth * 2, "", key);
        for (size_t i = 0; t == HORA_JARRAY && i < hora_json_len(v); i++) {
            hora_json_dump(hora_json_at(v, i), 0, false, &s);
            printf("%*s%s\n", depth * 2 + 2, "", s.s);
            s.n = 0;
        }
        for (void *it = hora_json_iter(v); it && t == HORA_JOBJECT; it = hora_json_next(v, it))
            show(hora_json_iter_value(it), hora_json_iter_key(it), depth + (key != NULL));
    } else {
        const char *text = hora_json_string(v, NULL);
        hora_json_dump(v, 0, false, &s);
        printf("%*s%s: %s\n", depth * 2, "", key ? key : "", text ? text : s.s);
    }
    hora_str_release(&s);
}

static void print(const hora_json *r) {
    show(r, NULL, 0);
}

static bool is_data(const char *path) {
    static const char *const ends[] = {".jsonl", ".ndjson", ".txt", ".csv", ".tsv", ".gz", ".zst"};
    for (size_t i = 0; i < HORA_COUNT(ends); i++)
        if (hora_ends(path, ends[i]))
            return true;
    return false;
}

static hora_status attention(hora_cli *cli, const config *c, hora_json **r) {
    const hora_cli_attention_config a = {.model = cli->nrest ? cli->rest[0] : c->model,
                                         .adapter = c->adapter,
                                         .picture = c->attention,
                                         .out = c->out};
    HORA_TRY(hora_cli_required("model", a.model, "a model directory"));
    HORA_TRY(hora_cli_required("out", c->out, "the picture to write"));
    const hora_input in[] = {
        {"model", a.model}, {"adapter", c->adapter}, {"picture", c->attention}};
    const hora_outfile kind = {"attention", hora_image_png_is_ours, NULL};
    HORA_TRY(hora_outfile_check(c->out, c->overwrite, &kind, in, (int)HORA_COUNT(in)));
    return hora_cli_attention(&cli->settings, &a, r);
}

static hora_status run(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    const bool drawn = hora_settings_get(&cli->settings, "attention") != NULL;
    if (!cli->nrest && !drawn)
        return hora_fail(HORA_EUSAGE, "nothing to inspect; give a safetensors file, a model, an "
                                      "adapter or a checkpoint");
    if (!drawn && is_data(cli->rest[0]))
        return hora_cli_data(cli);
    hora_status st = hora_options_take(&options, &c, &cli->settings);
    if (st == HORA_OK)
        st = drawn ? attention(cli, &c, &r) : hora_inspect(cli->rest[0], c.model, c.heads, &r);
    hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_inspect = {
    .name = "inspect",
    .summary = "What is in a file, model, adapter, checkpoint or data file",
    .usage =
        "FILE-or-DIR [--heads] [--json] | MODEL --attention IMAGE --out FILE.png [--adapter DIR]",
    .tables = {&options},
    .most = 1,
    .run = run};
