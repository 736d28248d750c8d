/* Kernels of op_cosine.c. */
#include "backend/cpu/cpu_texts.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_texts_scratch(d, c);
    return c->out.dtype == HORA_F32;
}

static bool beside(const hora_cpu_texts *t, int64_t i) {
    return i >= 0 && t->anchor[i] >= 0 && t->anchor[i] != i;
}

static void forward(void *arg, int64_t at, int thread) {
    const hora_cpu_texts *t = arg;
    const int64_t i = t->number[at];
    (void)thread;
    hora_f32(&t->c->out)[at] = beside(t, i) ? hora_cpu_texts_dot(t, i, t->anchor[i]) : 0;
}

static void backward(void *arg, int64_t at, int thread) {
    const hora_cpu_texts *t = arg;
    const hora_kern_rows *rows = hora_kern_get()->rows;
    const float *dy = t->c->dout.data;
    const int64_t i = t->number[at];
    float *du = hora_cpu_texts_room(t, thread);
    if (i < 0) {
        hora_cpu_texts_put(t, at, NULL);
        return;
    }
    memset(du, 0, (size_t)t->d * sizeof *du);
    if (beside(t, i))
        rows->add(t->d, dy[at], du, t->u + t->anchor[i] * t->d, du);
    for (int64_t j = i + 1; j < t->count && t->anchor[i] == i && t->anchor[j] == i; j++)
        rows->add(t->d, dy[t->row[j]], du, t->u + j * t->d, du);
    hora_cpu_texts_put(t, at, du);
}

static void run(const hora_impl *impl, const hora_call *c) {
    hora_cpu_texts t;
    (void)impl;
    hora_cpu_texts_find(&t, c);
    hora_parallel(t.n, c->phase == HORA_FORWARD ? forward : backward, &t);
}

extern const hora_cpu_op hora_cpu_op_cosine;
const hora_cpu_op hora_cpu_op_cosine = {query, NULL, run, true, 0};
