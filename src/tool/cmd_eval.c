/* hora eval: loss on a file. */
#include "api/handles.h"
#include "base/log.h"
#include "tool/tool.h"

typedef struct config {
    char *data;
    int64_t batch_size;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_STRING(data, "data", NULL, NULL, "FILE", "text or JSONL to evaluate on"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 1e6, "rows at a time"),
};
static const hora_options options = {"Evaluation", rows, HORA_COUNT(rows)};

static hora_status evaluate(hora_model *m, const config *c, hora_settings *s, hora_json **out) {
    hora_data *d = NULL;
    hora_dataset *held_out = NULL; /* with eval_split: what train would hold out */
    hora_eval_info info = {0};
    const double start = hora_now();
    HORA_TRY(hora_cli_required("data", c->data, "a text or JSONL file"));
    HORA_TRY(hora_model_data(&d, m, c->data, s));
    hora_status st = d->config.eval_split > 0 ? hora_data_split(d->set, &held_out) : HORA_OK;
    const hora_eval_parts parts = {.base = m->base,
                                   .adapters = m->adapters,
                                   .nadapters = m->n,
                                   .device = m->device,
                                   .data = held_out ? held_out : d->set,
                                   .seq_len = d->config.seq_len,
                                   .batch_size = c->batch_size};
    if (st == HORA_OK)
        st = hora_evaluate(&parts, &info);
    hora_dataset_close(held_out);
    hora_data_close(d);
    HORA_TRY(st);
    *out = hora_json_new_object();
    hora_json_set(*out, "loss", hora_json_new_real(info.loss));
    hora_json_set(*out, "perplexity", hora_json_new_real(info.perplexity));
    hora_json_set(*out, "tokens", hora_json_new_int(info.tokens));
    hora_json_set(*out, "bits_per_byte",
                  info.bits_per_byte > 0 ? hora_json_new_real(info.bits_per_byte)
                                         : hora_json_new_null());
    hora_json_set(*out, "seconds", hora_json_new_real(hora_now() - start));
    return HORA_OK;
}

static void print(const hora_json *r) {
    printf("loss           %.4f\nperplexity     %.3f\ntokens         %.0f\n",
           hora_cli_number(r, "loss"), hora_cli_number(r, "perplexity"),
           hora_cli_number(r, "tokens"));
    if (hora_cli_number(r, "bits_per_byte") > 0)
        printf("bits per byte  %.4f\n", hora_cli_number(r, "bits_per_byte"));
    printf("seconds        %.2f\n", hora_cli_number(r, "seconds"));
}

static hora_status run(hora_cli *cli) {
    hora_model *m = NULL;
    hora_json *r = NULL;
    config c = {0};
    hora_status st = hora_options_take(&options, &c, &cli->settings);
    if (st == HORA_OK)
        st = hora_cli_open(&m, &cli->settings);
    if (st == HORA_OK)
        st = evaluate(m, &c, &cli->settings, &r);
    hora_cli_show(cli, r, print);
    hora_model_close(m);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_eval = {
    .name = "eval",
    .summary = "Loss, perplexity and bits per byte on a file",
    .usage = "--model DIR [--adapter DIR] --data FILE [options]",
    .more = "Plain text is cut into windows of --seq-len tokens without overlap.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options, &hora_data_options},
    .run = run};
