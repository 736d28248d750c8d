/* hora eval: how well a model does on a file. */
#include <math.h>

#include "api/handles.h"
#include "base/log.h"
#include "base/outdir.h"
#include "base/text.h"
#include "format/image.h"
#include "task/predictions.h"
#include "tool/confusion.h"
#include "tool/data_pictures.h"
#include "tool/tool.h"

typedef struct config {
    char *data, *predictions, *confusion;
    bool overwrite;
    int64_t batch_size, bins, ignore;
    int entities;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_FILES(data, "data", NULL, NULL, "FILE",
              "text, JSONL, CSV or TSV to evaluate on, also in .gz or .zst; - is "
              "standard input, a folder holds test.jsonl; may be given several times"),
    OPT_STRING(predictions, "predictions", NULL, NULL, "FILE",
               "measure what stands in this file instead, without a model: records like "
               "{\"true\": .., \"pred\": ..}"),
    OPT_CHOICE(entities, "entities", NULL, "default", "default strict",
               "which tags are entities: by conlleval's rule, or only as the scheme writes them"),
    OPT_INT(bins, "bins", NULL, "15", 1, 1 << 20, "--predictions: of the calibration error",
            .with = "predictions"),
    OPT_INT(ignore, "ignore", NULL, "-1", -1, INT32_MAX,
            "--predictions: class of pixels that do not count; -1: none", .with = "predictions"),
    OPT_STRING(confusion, "confusion", NULL, NULL, "FILE.png",
               "write the confusion matrix as a picture: rows are true classes, columns guesses"),
    OPT_BOOL(overwrite, "overwrite", NULL, "false", "replace the picture of an earlier run"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 1e6, "sequences at a time"),
};
static const hora_options options = {"Evaluation", rows, HORA_COUNT(rows)};

/* What changes the pictures that are trained on is not asked here. */
static hora_status check_idle(const hora_model *m, hora_settings *s) {
    hora_data_config c = {0};
    hora_status st = hora_options_take(&hora_data_options, &c, s);
    if (st == HORA_OK)
        st = hora_data_idle(&c, s, m->opened.objective.task->pictures, false);
    hora_options_release(&hora_data_options, &c);
    return st;
}

static hora_status evaluate(hora_model *m, const config *c, const char *files, hora_settings *s,
                            hora_json **out) {
    hora_data *d = NULL;
    hora_str notes = {0};
    hora_dataset *held_out = NULL; /* with eval_split: what train would hold out */
    hora_eval_info info = {0};
    const double start = hora_now();
    m->opened.objective.strict = c->entities != 0;
    HORA_TRY(check_idle(m, s));
    HORA_TRY(hora_model_data(&d, m, files, s));
    if (c->confusion &&
        !(m->opened.objective.names && m->opened.objective.loss == HORA_LOSS_XENT)) {
        hora_data_close(d);
        return hora_fail(HORA_EUSAGE, "confusion: the task %s has no such matrix; leave it out",
                         m->opened.objective.task->name);
    }
    hora_data_notes(d->set, &notes);
    if (notes.n)
        hora_info("%s", notes.s);
    hora_str_release(&notes);
    hora_status st = d->config.eval_split > 0 ? hora_data_split(d->set, &held_out) : HORA_OK;
    const hora_eval_parts parts = {.base = m->base,
                                   .objective = &m->opened.objective,
                                   .adapters = m->adapters,
                                   .nadapters = m->n,
                                   .device = m->device,
                                   .data = held_out ? held_out : d->set,
                                   .seq_len = d->config.seq_len,
                                   .batch_size = c->batch_size};
    hora_json *detail = NULL;
    if (st == HORA_OK)
        st = hora_evaluate(&parts, &info, &detail);
    hora_dataset_close(held_out);
    hora_data_close(d);
    HORA_TRY(st);
    *out = hora_json_new_object();
    for (int i = 0; i < info.metrics.n; i++) {
        const hora_metric *x = &info.metrics.at[i];
        if (x->of) /* the detail has it */
            continue;
        hora_json_set(*out, x->name,
                      isfinite(x->value) ? hora_json_new_real(x->value) : hora_json_new_null());
    }
    hora_json_set(*out, m->opened.objective.task->head ? "predictions" : "tokens",
                  hora_json_new_int(info.tokens));
    for (void *it = hora_json_iter(detail); it; it = hora_json_next(detail, it))
        hora_json_set(*out, hora_json_iter_key(it), hora_json_copy(hora_json_iter_value(it)));
    hora_json_free(detail);
    hora_json_set(*out, "seconds", hora_json_new_real(hora_now() - start));
    return HORA_OK;
}

/* "bits_per_byte" as people read it. */
static void print_name(const char *key) {
    char text[32];
    size_t n = 0;
    for (; key[n] && n + 1 < sizeof text; n++)
        text[n] = key[n] == '_' ? ' ' : key[n];
    text[n] = 0;
    printf("%-22s ", text);
}

static void print_confusion(const hora_json *r) {
    const hora_json *names = hora_json_get(r, "labels"), *rows = hora_json_get(r, "confusion");
    const size_t k = hora_json_len(names);
    if (!k || k > 12)
        return;
    printf("\nconfusion (rows: truth, columns: prediction)\n");
    for (size_t i = 0; i < k; i++) {
        printf("%-22.22s", hora_json_string(hora_json_at(names, i), NULL));
        for (size_t j = 0; j < k; j++) {
            int64_t n = 0;
            hora_json_int(hora_json_at(hora_json_at(rows, i), j), &n);
            printf(" %7lld", (long long)n);
        }
        printf("\n");
    }
}

static void print_overlaps(const hora_json *r) {
    const hora_json *iou = hora_json_get(r, "iou"), *dice = hora_json_get(r, "dice");
    if (hora_json_type(iou) == HORA_JOBJECT)
        printf("\n%-22s %7s %7s\n", "class", "IoU", "Dice");
    for (void *it = hora_json_iter(iou); it; it = hora_json_next(iou, it)) {
        double a = NAN, b = NAN;
        hora_json_real(hora_json_iter_value(it), &a);
        hora_json_real(hora_json_get(dice, hora_json_iter_key(it)), &b);
        if (isnan(a)) /* neither true nor guessed anywhere */
            printf("%-22.22s %7s %7s\n", hora_json_iter_key(it), "-", "-");
        else
            printf("%-22.22s %7.4f %7.4f\n", hora_json_iter_key(it), a, b);
    }
}

/* A line for each task: loss and the first number of the task's own. */
static void print_tasks(const hora_json *r) {
    const hora_json *tasks = hora_json_get(r, "tasks");
    for (void *it = hora_json_iter(tasks); it; it = hora_json_next(tasks, it)) {
        const hora_json *one = hora_json_iter_value(it);
        const bool first = it == hora_json_iter(tasks);
        hora_str head = {0}, line = {0};
        for (void *m = hora_json_iter(one); m; m = hora_json_next(one, m)) {
            double x = NAN;
            hora_json_real(hora_json_iter_value(m), &x);
            if (head.n > 48)
                break;
            hora_str_printf(&head, " %11.11s", hora_json_iter_key(m));
            hora_str_printf(&line, " %11.*f", x == floor(x) && fabs(x) > 1 ? 0 : 4, x);
        }
        if (first)
            printf("\n%-22s%s\n", "task", head.s);
        printf("%-22.22s%s\n", hora_json_iter_key(it), line.s);
        hora_str_release(&head);
        hora_str_release(&line);
    }
}

static void print(const hora_json *r) {
    for (void *it = hora_json_iter(r); it; it = hora_json_next(r, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        int64_t whole;
        double x = 0;
        if (hora_json_type(v) == HORA_JARRAY || hora_json_type(v) == HORA_JOBJECT)
            continue;
        print_name(key);
        if (hora_json_int(v, &whole))
            printf("%lld\n", (long long)whole);
        else if (hora_json_real(v, &x))
            printf("%.*f\n", hora_eq(key, "perplexity") ? 3 : hora_eq(key, "seconds") ? 2 : 4, x);
        else
            printf("%s\n", hora_json_string(v, NULL) ? hora_json_string(v, NULL) : "-");
    }
    print_overlaps(r);
    print_tasks(r);
    print_confusion(r);
}

static hora_status measure(const config *c, hora_settings *s, hora_json **out) {
    if (c->data)
        return hora_fail(HORA_EUSAGE, "--predictions needs no --data; give one of them");
    if (hora_settings_get(s, "model") || hora_settings_get(s, "adapter"))
        return hora_fail(HORA_EUSAGE, "--predictions needs no model; leave --model out");
    const char *task = hora_settings_get(s, "task");
    const hora_task *t = task ? hora_task_named(task) : NULL;
    if (task && !t)
        return hora_task_unknown(task);
    const hora_predictions_config p = {t ? t->name : NULL, c->entities != 0, c->bins, c->ignore};
    return hora_predictions_measure(out, c->predictions, &p);
}

static hora_status run(hora_cli *cli) {
    hora_model *m = NULL;
    hora_json *r = NULL;
    config c = {0};
    char *files = NULL;
    hora_status st;
    HORA_TRY_OUT(st, hora_options_take(&options, &c, &cli->settings));
    if (c.confusion) {
        const hora_input in[] = {{"data", c.data}, {"predictions", c.predictions}};
        const hora_outfile kind = {"confusion", hora_image_png_is_ours, "--confusion"};
        HORA_TRY_OUT(st,
                     hora_outfile_check(c.confusion, c.overwrite, &kind, in, (int)HORA_COUNT(in)));
    }
    if (c.predictions) {
        st = measure(&c, &cli->settings, &r);
    } else {
        HORA_TRY_OUT(st, hora_cli_required("model", hora_settings_get(&cli->settings, "model"),
                                           "a model directory"));
        HORA_TRY_OUT(st, hora_cli_required("data", c.data, "a text, JSONL, CSV or TSV file"));
        if (hora_cli_is_pictures(c.data))
            files = hora_strdup(c.data);
        else
            HORA_TRY_OUT(st, hora_data_resolve(&files, c.data, HORA_DATA_TEST, false));
        HORA_TRY_OUT(st, hora_cli_open_routed(&m, &cli->settings));
        st = evaluate(m, &c, files, &cli->settings, &r);
    }
    if (!st && c.confusion)
        st = hora_cli_confusion(c.confusion, r);
out:
    hora_free(files);
    hora_cli_show(cli, r, print);
    hora_model_close(m);
    hora_options_release(&options, &c);
    return st;
}

const hora_command hora_command_eval = {
    .name = "eval",
    .summary = "Loss and the measures of the task on a file",
    .usage = "(--model DIR [--adapter DIR] --data FILE | --predictions FILE) [options]",
    .more =
        "Plain text is cut into windows of --seq-len tokens without overlap. --predictions\n"
        "measures what a file holds: classes, numbers, tags of words or classes of pixels under\n"
        "`true` and `pred`, or `confidence` and `correct`; lists are that many predictions.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options, &hora_data_options},
    .run = run};
