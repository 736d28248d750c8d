/* hora forward: logits, loss and gradients of one batch, for outside programs. */
#include "api/handles.h"
#include "base/file.h"
#include "infer/forward.h"
#include "tool/tool.h"

typedef struct config {
    char *batch, *out, *method;
    bool grads, overwrite;
    int64_t seed;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(batch, "batch", NULL, NULL, "FILE",
               "safetensors or .json with input_ids, attention_mask, labels"),
    OPT_STRING(out, "out", NULL, NULL, "FILE", "safetensors to write: logits, loss, grad.NAME"),
    OPT_BOOL(grads, "grads", NULL, "false", "gradients of every trainable tensor too"),
    OPT_STRING(method, "method", NULL, NULL, "NAME",
               "attach a fresh adapter instead of --adapter; its options as in train"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of a fresh adapter"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace --out when it exists"),
};
static const hora_options options = {"Forward", rows, HORA_COUNT(rows)};

static hora_status forward(hora_model *m, const config *c, const hora_forward_batch *b,
                           hora_json **out) {
    hora_forward f = {.base = m->base,
                      .objective = &m->opened.objective,
                      .adapters = m->adapters,
                      .nadapters = m->n,
                      .device = m->device,
                      .grads = c->grads};
    void *logits;
    const hora_shape shape = hora_forward_logits(&f, b);
    const size_t bytes = (size_t)hora_shape_elems(&shape) * sizeof(float);
    HORA_TRY(hora_block_new(&logits, bytes, "logits"));
    f.logits = logits;
    hora_status s = HORA_OK;
    for (int i = 0; i < m->n && f.grads && s == HORA_OK; i++)
        s = hora_forward_grads(m->adapters[i]);
    if (s)
        goto out;
    HORA_TRY_OUT(s, hora_forward_run(&f, b));
    s = hora_forward_save(&f, b, c->out);
out:
    for (int i = 0; i < m->n && f.grads; i++)
        hora_forward_grads_free(m->adapters[i]);
    hora_block_free(logits, bytes);
    HORA_TRY(s);
    *out = hora_json_new_object();
    hora_json_set(*out, "samples", hora_json_new_int(b->b));
    hora_json_set(*out, "tokens", hora_json_new_int(b->b * b->t));
    if (b->labels)
        hora_json_set(*out, "loss", hora_json_new_real(f.loss));
    hora_json_set(*out, "out", hora_json_new_string(c->out));
    return HORA_OK;
}

static hora_status ready(const config *c, const hora_settings *s) {
    HORA_TRY(hora_cli_required("batch", c->batch, "a safetensors or JSON file with input_ids"));
    HORA_TRY(hora_cli_required("out", c->out, "the safetensors file to write"));
    const hora_input in[] = {{"model", hora_settings_get(s, "model")},
                             {"adapter", hora_settings_get(s, "adapter")},
                             {"batch", c->batch}};
    HORA_TRY(hora_outfile_check(c->out, c->overwrite, in, (int)HORA_COUNT(in)));
    const bool adapter = hora_settings_get(s, "adapter") != NULL;
    if (adapter && c->method)
        return hora_fail(HORA_EUSAGE, "--adapter and --method exclude each other; give one");
    if (c->grads && !adapter && !c->method)
        return hora_fail(HORA_EUSAGE, "--grads needs something that trains; give --adapter DIR or "
                                      "--method NAME");
    return HORA_OK;
}

static void print(const hora_json *r) {
    printf("%.0f samples, %.0f tokens", hora_cli_number(r, "samples"),
           hora_cli_number(r, "tokens"));
    if (hora_json_get(r, "loss"))
        printf(", loss %.6f", hora_cli_number(r, "loss"));
    printf(": %s\n", hora_cli_text(r, "out"));
}

static hora_status run(hora_cli *cli) {
    hora_settings *s = &cli->settings;
    hora_model *m = NULL;
    hora_adapter *a;
    hora_json *r = NULL;
    config c = {0};
    hora_forward_batch b = {0};
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&options, &c, s));
    HORA_TRY_OUT(st, ready(&c, s));
    HORA_TRY_OUT(st, hora_forward_batch_load(&b, c.batch));
    HORA_TRY_OUT(st, hora_cli_open(&m, s));
    if (c.method)
        HORA_TRY_OUT(st, hora_model_attach(&a, m, c.method, s));
    if (c.grads && !m->n) /* --adapter was a whole model */
        HORA_TRY_OUT(st, hora_model_attach(&a, m, "full", s));
    st = forward(m, &c, &b, &r);
out:
    hora_cli_show(cli, r, print);
    hora_model_close(m);
    hora_forward_batch_release(&b);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_forward = {
    .name = "forward",
    .summary = "Logits, loss and gradients of one batch, as safetensors",
    .usage = "--model DIR [--adapter DIR | --method full|bitfit|..] --batch FILE --out FILE "
             "[--grads]",
    .more =
        "Computes what transformers computes without position_ids: positions count from 0,\n"
        "masked tokens are never keys; labels are what the task has: shifted by one for language\n"
        "modelling, as they are for tags, one (or k) of a sample for classes and numbers; -100\n"
        "does not count.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .methods = HORA_CLI_NAMED_METHOD,
    .run = run};
