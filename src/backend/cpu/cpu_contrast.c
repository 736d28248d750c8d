/* Kernels of op_contrast.c: a tile per text. Cosines are computed again where they are needed: they
 * cost nothing beside a model. */
#include <math.h>

#include "backend/cpu/cpu_texts.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_texts_scratch(d, c);
    return true;
}

static double weight_of(const hora_cpu_texts *t, int64_t text) {
    return (double)t->c->batch->weight[t->row[text]];
}

static double score(const hora_cpu_texts *t, int64_t i, int64_t j) {
    return t->c->attr.scale * (double)hora_cpu_texts_dot(t, i, j);
}

/* lse and loss of an anchor. */
static void ask(void *arg, int64_t a, int thread) {
    hora_cpu_texts *t = arg;
    const int64_t own = t->anchor[a] == a ? t->own[a] : -1;
    double most = -INFINITY, sum = 0;
    (void)thread;
    t->loss[a] = 0;
    if (own < 0 || weight_of(t, own) == 0)
        return;
    for (int64_t j = 0; j < t->count; j++) {
        if (t->anchor[j] == j)
            continue;
        const double z = score(t, a, j), top = fmax(most, z);
        sum = sum * exp(most - top) + exp(z - top);
        most = top;
    }
    t->lse[a] = (float)(most + log(sum));
    t->loss[a] = weight_of(t, own) * (most + log(sum) - score(t, a, own));
}

/* du += G_pj u_other for text j seen from anchor a, whose own text is p. */
static void pull(const hora_cpu_texts *t, int64_t a, int64_t j, int64_t other, float *du) {
    const int64_t p = t->own[a];
    const double s = *(const double *)t->c->dout.data * t->c->batch->scale * t->c->attr.scale;
    const double share = exp(score(t, a, j) - (double)t->lse[a]) - (j == p);
    hora_kern_get()->rows->add(t->d, (float)(s * weight_of(t, p) * share), du, t->u + other * t->d,
                               du);
}

static void give(void *arg, int64_t at, int thread) {
    const hora_cpu_texts *t = arg;
    const int64_t i = t->number[at];
    float *du = hora_cpu_texts_room(t, thread);
    if (i < 0) {
        hora_cpu_texts_put(t, at, NULL);
        return;
    }
    memset(du, 0, (size_t)t->d * sizeof *du);
    const bool anchor = t->anchor[i] == i;
    if (anchor && t->own[i] >= 0 && weight_of(t, t->own[i]) != 0)
        for (int64_t j = 0; j < t->count; j++)
            if (t->anchor[j] != j)
                pull(t, i, j, j, du);
    for (int64_t a = 0; a < t->count && !anchor; a++)
        if (t->anchor[a] == a && t->own[a] >= 0 && weight_of(t, t->own[a]) != 0)
            pull(t, a, i, a, du);
    hora_cpu_texts_put(t, at, du);
}

static void run(const hora_impl *impl, const hora_call *c) {
    hora_cpu_texts t;
    double sum = 0;
    (void)impl;
    hora_cpu_texts_find(&t, c);
    hora_parallel(t.count, ask, &t);
    if (c->phase == HORA_BACKWARD) {
        hora_parallel(t.n, give, &t);
        return;
    }
    for (int64_t i = 0; i < t.count; i++)
        sum += t.loss[i];
    *(double *)c->out.data = c->batch->scale * sum;
}

extern const hora_cpu_op hora_cpu_op_contrast;
const hora_cpu_op hora_cpu_op_contrast = {query, NULL, run, true, 0};
