/* Adds up an evaluation, batch by batch. */
#include "task/tally.h"

#include <math.h>

#include "base/mem.h"
#include "task/metric.h"
#include "task/task.h"

void hora_metrics_add(hora_metrics *m, const char *name, double value) {
    HORA_ASSERT(m->n < (int)HORA_COUNT(m->at));
    m->at[m->n++] = (hora_metric){name, value};
}

double hora_metrics_get(const hora_metrics *m, const char *name) {
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->at[i].name, name) == 0)
            return m->at[i].value;
    return NAN;
}

bool hora_tally_predicts(const hora_objective *o) {
    return o->task->head;
}

static float element(const hora_view *v, int64_t i) {
    float x = 0;
    hora_convert(&x, HORA_F32, (const char *)v->data + (size_t)i * hora_dtype_size(v->dtype),
                 v->dtype, 1);
    return x;
}

static void grow(hora_tally *t, int64_t more, int64_t k) {
    if (t->n + more <= t->cap)
        return;
    t->cap = hora_max(2 * t->cap, t->n + more);
    const size_t n = (size_t)t->cap;
    if (t->objective->loss == HORA_LOSS_XENT) {
        t->truth = hora_realloc(t->truth, n * sizeof *t->truth);
        t->guess = hora_realloc(t->guess, n * sizeof *t->guess);
    } else {
        t->y = hora_realloc(t->y, n * (size_t)k * sizeof *t->y);
        t->z = hora_realloc(t->z, n * (size_t)k * sizeof *t->z);
    }
}

static void predict(hora_tally *t, const hora_view *z, const hora_batch *b, int64_t i) {
    const int64_t k = t->objective->classes;
    int32_t best = 0;
    if (t->objective->loss == HORA_LOSS_XENT) {
        float top = element(z, i * k);
        for (int32_t c = 1; c < k; c++) {
            const float here = element(z, i * k + c);
            best = here > top ? c : best;
            top = here > top ? here : top;
        }
        t->truth[t->n] = b->target[i];
        t->guess[t->n++] = best;
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
    grow(t, b->supervised, t->objective->classes);
    for (int64_t i = 0; i < b->tokens; i++) {
        if (b->pos[i] == 0)
            HORA_PUSH(t->start, t->nstart, t->cstart, t->n);
        if (b->weight[i] != 0)
            predict(t, &z, b, i);
    }
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

static hora_json *defined(double v) {
    return isfinite(v) ? hora_json_new_real(v) : hora_json_new_null();
}

hora_json *hora_tally_detail(const hora_tally *t) {
    const hora_objective *o = t->objective;
    const int64_t k = o->classes;
    if (o->loss != HORA_LOSS_XENT || !o->names)
        return NULL;
    int64_t *c = hora_calloc((size_t)(k * k), sizeof *c);
    hora_metric_confusion(t->truth, t->guess, t->n, k, c);
    hora_json *all = hora_json_new_object();
    hora_json *names = hora_json_set(all, "labels", hora_json_new_array());
    hora_json *rows = hora_json_set(all, "confusion", hora_json_new_array());
    hora_json *f1 = hora_json_set(all, "f1", hora_json_new_array());
    hora_json *recall = hora_json_set(all, "recall", hora_json_new_array());
    for (int64_t i = 0; i < k; i++) {
        hora_json *row = hora_json_push(rows, hora_json_new_array());
        hora_json_push(names, hora_json_new_string(o->names[i]));
        hora_json_push(f1, defined(hora_metric_f1(c, k, i)));
        hora_json_push(recall, defined(hora_metric_recall(c, k, i)));
        for (int64_t j = 0; j < k; j++)
            hora_json_push(row, hora_json_new_int(c[i * k + j]));
    }
    hora_free(c);
    return all;
}

void hora_tally_release(hora_tally *t) {
    hora_free(t->truth);
    hora_free(t->guess);
    hora_free(t->y);
    hora_free(t->z);
    hora_free(t->start);
    hora_free(t->logits);
    *t = (hora_tally){0};
}
