/* hora new: a model directory with random weights. */
#include "api/handles.h"
#include "base/file.h"
#include "tool/tool.h"

typedef struct config {
    char *config, *out, *tokenizer;
    int dtype;
    int64_t seed;
    bool overwrite;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(config, "config", NULL, NULL, "FILE", "config.json of the model to make"),
    OPT_STRING(out, "out", NULL, NULL, "DIR", "model directory to write"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of the initial values"),
    OPT_CHOICE(dtype, "dtype", NULL, "f32", "f32 bf16", "of the written weights"),
    OPT_STRING(tokenizer, "tokenizer", NULL, NULL, "DIR", "copy the tokenizer's files from here"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace --out when it exists"),
};
static const hora_options options = {"New model", rows, HORA_COUNT(rows)};

static hora_status make_new(const config *c, hora_json **out) {
    const hora_base_options o = {.dtype = HORA_F32, .headers_only = false};
    hora_base *b;
    HORA_TRY(hora_cli_required("config", c->config, "the config.json of the model to make"));
    HORA_TRY(hora_cli_required("out", c->out, "the directory to write"));
    const hora_input in[] = {{"configuration", c->config}, {"tokenizer", c->tokenizer}};
    HORA_TRY(hora_base_fresh(&b, c->config, &o, (uint64_t)c->seed));
    hora_status s = hora_write_model(b, c->out, NULL, c->dtype ? HORA_BF16 : HORA_F32, c->tokenizer,
                                     c->overwrite, in, (int)HORA_COUNT(in));
    if (s == HORA_OK) {
        *out = hora_json_new_object();
        hora_json_set(*out, "out", hora_json_new_string(c->out));
        hora_json_set(*out, "model_type", hora_json_new_string(b->model_type));
        hora_json_set(*out, "parameters", hora_json_new_int(hora_base_parameters(b)));
        hora_json_set(*out, "seed", hora_json_new_int(c->seed));
    }
    hora_base_close(b);
    return s;
}

static void print(const hora_json *r) {
    printf("%s: %s of %.0f parameters\n", hora_cli_text(r, "out"), hora_cli_text(r, "model_type"),
           hora_cli_number(r, "parameters"));
}

static hora_status run(hora_cli *cli) {
    hora_json *r = NULL;
    config c = {0};
    hora_status st = hora_options_take(&options, &c, &cli->settings);
    if (st == HORA_OK)
        st = make_new(&c, &r);
    hora_cli_show(cli, r, print);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_new = {.name = "new",
                                       .summary = "A randomly initialised model directory",
                                       .usage = "--config config.json --out DIR [--seed N] "
                                                "[--dtype f32|bf16] [--tokenizer DIR]",
                                       .tables = {&options},
                                       .run = run};
