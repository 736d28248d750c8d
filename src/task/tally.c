/* Adds up an evaluation, batch by batch. */
#include "task/tally.h"

#include <math.h>

#include "base/mem.h"
#include "base/text.h"
#include "task/metric.h"
#include "task/task.h"

void hora_metrics_add(hora_metrics *m, const char *name, double value) {
    HORA_ASSERT(m->n < (int)HORA_COUNT(m->at));
    m->at[m->n++] = (hora_metric){name, NULL, value};
}

void hora_metrics_add_of(hora_metrics *m, const char *name, const char *of, double value) {
    HORA_ASSERT(m->n < (int)HORA_COUNT(m->at));
    m->at[m->n++] = (hora_metric){name, of, value};
}

void hora_metrics_numbers(hora_metrics *m, const double *z, const double *y, int64_t n) {
    double mse = 0, mae = 0;
    for (int64_t i = 0; i < n; i++) {
        mse += (y[i] - z[i]) * (y[i] - z[i]) / (double)n;
        mae += fabs(y[i] - z[i]) / (double)n;
    }
    hora_metrics_add(m, "mse", mse);
    hora_metrics_add(m, "mae", mae);
    hora_metrics_add(m, "pearson", hora_metric_pearson(z, y, n));
    hora_metrics_add(m, "spearman", hora_metric_spearman(z, y, n));
}

double hora_metrics_get(const hora_metrics *m, const char *name) {
    for (int i = 0; i < m->n; i++)
        if (!m->at[i].of && strcmp(m->at[i].name, name) == 0)
            return m->at[i].value;
    return NAN;
}

bool hora_tally_predicts(const hora_objective *o) {
    return o->task->head || o->task->observe;
}

static float element(const hora_view *v, int64_t i) {
    float x = 0;
    hora_convert(&x, HORA_F32, (const char *)v->data + (size_t)i * hora_dtype_size(v->dtype),
                 v->dtype, 1);
    return x;
}

void hora_tally_grow(hora_tally *t, int64_t more, int64_t k) {
    t->width = k;
    if (t->n + more <= t->cap)
        return;
    t->cap = hora_max(2 * t->cap, t->n + more);
    const size_t n = (size_t)t->cap;
    if (t->objective->loss == HORA_LOSS_XENT) {
        t->truth = hora_realloc(t->truth, n * sizeof *t->truth);
        t->guess = hora_realloc(t->guess, n * sizeof *t->guess);
        t->confidence = hora_realloc(t->confidence, n * sizeof *t->confidence);
        t->above = hora_realloc(t->above, n * sizeof *t->above);
    } else {
        t->y = hora_realloc(t->y, n * (size_t)k * sizeof *t->y);
        t->z = hora_realloc(t->z, n * (size_t)k * sizeof *t->z);
    }
}

/* The first of the greatest; of equal ones the first stands above the others. */
static void predict_class(hora_tally *t, const hora_view *z, int32_t truth, int64_t i) {
    const int64_t k = t->objective->classes;
    const float own = element(z, i * k + truth);
    float top = element(z, i * k);
    int32_t best = 0, above = 0;
    double sum = 0;
    for (int32_t c = 0; c < k; c++) {
        const float here = element(z, i * k + c);
        above += here > own || (here == own && c < truth);
        best = here > top ? c : best;
        top = here > top ? here : top;
    }
    for (int64_t c = 0; c < k; c++)
        sum += exp((double)element(z, i * k + c) - (double)top);
    t->truth[t->n] = truth;
    t->guess[t->n] = best;
    t->confidence[t->n] = 1 / sum;
    t->above[t->n++] = above;
}

static void predict(hora_tally *t, const hora_view *z, const hora_batch *b, int64_t i) {
    const int64_t k = t->objective->classes;
    if (t->objective->loss == HORA_LOSS_XENT) {
        predict_class(t, z, b->target[i], i);
        return;
    }
    for (int64_t c = 0; c < k; c++) {
        t->y[t->n * k + c] = b->value[i * k + c];
        t->z[t->n * k + c] = element(z, i * k + c);
    }
    t->n++;
}

/* They may have been computed on a device. */
static hora_view logits_of(hora_tally *t, const hora_graph *g, hora_t logits) {
    hora_view z = *hora_graph_view(g, logits);
    if (hora_view_bytes(&z) > t->logits_bytes) {
        t->logits_bytes = hora_view_bytes(&z);
        t->logits = hora_realloc(t->logits, t->logits_bytes);
    }
    z.data = t->logits;
    hora_graph_get(g, logits, z.data);
    return z;
}

void hora_tally_add(hora_tally *t, const hora_graph *g, const hora_outputs *out,
                    const hora_batch *b) {
    t->loss += hora_graph_scalar(g, out->loss);
    t->count += b->supervised;
    t->bytes += b->target_bytes;
    if (out->logits == HORA_NONE)
        return;
    const hora_view z = logits_of(t, g, out->logits);
    t->scored = out->scored;
    if (t->objective->task->observe) {
        t->objective->task->observe(t, &z, b);
        return;
    }
    hora_tally_grow(t, b->supervised, t->objective->classes);
    for (int64_t i = 0; i < b->tokens; i++) {
        if (b->pos[i] == 0)
            HORA_PUSH(t->start, t->nstart, t->cstart, t->n);
        if (b->weight[i] != 0)
            predict(t, &z, b, i);
    }
}

/* The arrays of a tally: each has so many bytes for one prediction. */
typedef struct column {
    void *data;
    size_t width;
} column;

static void columns_of(const hora_tally *t, column c[6]) {
    const size_t k = (size_t)t->width;
    const bool classes = t->objective->loss == HORA_LOSS_XENT;
    c[0] = (column){t->truth, classes * sizeof *t->truth};
    c[1] = (column){t->guess, classes * sizeof *t->guess};
    c[2] = (column){t->confidence, classes * sizeof *t->confidence};
    c[3] = (column){t->above, classes * sizeof *t->above};
    c[4] = (column){t->y, !classes * k * sizeof *t->y};
    c[5] = (column){t->z, !classes * k * sizeof *t->z};
}

static void put(hora_str *out, const void *data, size_t bytes) {
    if (bytes)
        hora_str_add(out, data, bytes);
}

void hora_tally_pack(const hora_tally *t, hora_str *out) {
    const int64_t k = t->confusion ? t->objective->classes : 0;
    const int64_t head[6] = {t->count, t->bytes, t->n, t->nstart, t->width, k};
    column c[6];
    columns_of(t, c);
    put(out, head, sizeof head);
    for (int i = 0; i < 6; i++)
        put(out, c[i].data, (size_t)t->n * c[i].width);
    put(out, t->start, (size_t)t->nstart * sizeof *t->start);
    put(out, t->confusion, (size_t)(k * k) * sizeof *t->confusion);
}

void hora_tally_unpack(hora_tally *t, const char *bytes) {
    int64_t head[6];
    column c[6];
    memcpy(head, bytes, sizeof head);
    bytes += sizeof head;
    t->count += head[0];
    t->bytes += head[1];
    if (head[2])
        hora_tally_grow(t, head[2], head[4]);
    columns_of(t, c);
    for (int i = 0; i < 6; i++) {
        const size_t n = (size_t)head[2] * c[i].width;
        if (n)
            memcpy((char *)c[i].data + (size_t)t->n * c[i].width, bytes, n);
        bytes += n;
    }
    for (int64_t i = 0; i < head[3]; i++, bytes += sizeof(int64_t)) {
        int64_t at;
        memcpy(&at, bytes, sizeof at);
        HORA_PUSH(t->start, t->nstart, t->cstart, t->n + at);
    }
    t->n += head[2];
    if (head[5] && !t->confusion)
        t->confusion = hora_calloc((size_t)(head[5] * head[5]), sizeof *t->confusion);
    for (int64_t i = 0; i < head[5] * head[5]; i++, bytes += sizeof(int64_t)) {
        int64_t more;
        memcpy(&more, bytes, sizeof more);
        t->confusion[i] += more;
    }
}

static void shift(void *at, size_t size, int64_t from, int64_t n) {
    char *p = (char *)at + (size_t)from * size;
    memmove(p + size, p, (size_t)(n - from) * size);
}

void hora_tally_miss(hora_tally *t, int64_t sample, int64_t word, int32_t truth) {
    char *const *names = t->objective->names;
    int32_t o = 0;
    while (names && o < t->objective->classes && !hora_eq(names[o], "O"))
        o++;
    if (!names || o == t->objective->classes || t->objective->loss != HORA_LOSS_XENT)
        return;
    const int64_t at = t->start[sample] + word;
    hora_tally_grow(t, 1, t->objective->classes);
    shift(t->truth, sizeof *t->truth, at, t->n);
    shift(t->guess, sizeof *t->guess, at, t->n);
    shift(t->confidence, sizeof *t->confidence, at, t->n);
    shift(t->above, sizeof *t->above, at, t->n);
    t->truth[at] = truth;
    t->guess[at] = o;
    t->confidence[at] = NAN;
    t->above[at] = truth == o ? 0 : (int32_t)t->objective->classes;
    t->n++;
    for (int64_t k = sample + 1; k < t->nstart; k++)
        t->start[k]++;
}

hora_status hora_tally_metrics(const hora_tally *t, hora_metrics *out) {
    *out = (hora_metrics){.n = 0};
    if (!t->count)
        return hora_fail(HORA_EUSAGE, "evaluation: no token of the data counts; check the mask "
                                      "(hora inspect shows it) or give other data");
    hora_metrics_add(out, "loss", t->loss / (double)t->count);
    t->objective->task->metrics(t, out);
    return HORA_OK;
}

void hora_tally_scores(const hora_tally *t, hora_metrics *out) {
    int64_t five = 0;
    for (int64_t i = 0; t->above && i < t->n; i++)
        five += t->above[i] < 5;
    if (t->above && t->objective->classes > 5)
        hora_metrics_add(out, "top5_accuracy", t->n ? (double)five / (double)t->n : NAN);
    if (!t->confidence)
        return;
    bool *right = hora_malloc((size_t)t->n + 1);
    double *sure = hora_malloc(((size_t)t->n + 1) * sizeof *sure);
    int64_t known = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (!isnan(t->confidence[i])) {
            right[known] = t->truth[i] == t->guess[i];
            sure[known++] = t->confidence[i];
        }
    hora_metrics_add(out, "calibration_error",
                     hora_metric_calibration(sure, right, known, HORA_CALIBRATION_BINS));
    hora_free(right);
    hora_free(sure);
}

static hora_json *defined(double v) {
    return isfinite(v) ? hora_json_new_real(v) : hora_json_new_null();
}

/* IoU and Dice of each class, by name. */
static void put_overlaps(const hora_objective *o, const int64_t *c, hora_json *all) {
    hora_json *iou = hora_json_set(all, "iou", hora_json_new_object());
    hora_json *dice = hora_json_set(all, "dice", hora_json_new_object());
    for (int64_t i = 0; i < o->classes; i++) {
        hora_json_set(iou, o->names[i], defined(hora_metric_iou(c, o->classes, i)));
        hora_json_set(dice, o->names[i], defined(hora_metric_dice(c, o->classes, i)));
    }
}

hora_json *hora_tally_detail(const hora_tally *t) {
    const hora_objective *o = t->objective;
    const int64_t k = o->classes;
    if (o->loss != HORA_LOSS_XENT || !o->names)
        return NULL;
    int64_t *c = hora_calloc((size_t)(k * k), sizeof *c);
    if (t->confusion)
        memcpy(c, t->confusion, (size_t)(k * k) * sizeof *c);
    else
        hora_metric_confusion(t->truth, t->guess, t->n, k, c);
    hora_json *all = hora_json_new_object();
    if (t->confusion)
        put_overlaps(o, c, all);
    hora_json *names = hora_json_set(all, "labels", hora_json_new_array());
    hora_json *rows = hora_json_set(all, "confusion", hora_json_new_array());
    hora_json *f1 = hora_json_set(all, "f1", hora_json_new_array());
    hora_json *recall = hora_json_set(all, "recall", hora_json_new_array());
    hora_json *over = hora_json_set(all, "macro_f1_over", hora_json_new_array());
    for (int64_t i = 0; i < k; i++) {
        hora_json *row = hora_json_push(rows, hora_json_new_array());
        hora_json_push(names, hora_json_new_string(o->names[i]));
        hora_json_push(f1, defined(hora_metric_f1(c, k, i)));
        hora_json_push(recall, defined(hora_metric_recall(c, k, i)));
        if (!isnan(hora_metric_dice(c, k, i)))
            hora_json_push(over, hora_json_new_string(o->names[i]));
        for (int64_t j = 0; j < k; j++)
            hora_json_push(row, hora_json_new_int(c[i * k + j]));
    }
    hora_free(c);
    return all;
}

void hora_tally_release(hora_tally *t) {
    hora_free(t->truth);
    hora_free(t->guess);
    hora_free(t->confidence);
    hora_free(t->above);
    hora_free(t->y);
    hora_free(t->z);
    hora_free(t->start);
    hora_free(t->confusion);
    hora_free(t->logits);
    *t = (hora_tally){0};
}
