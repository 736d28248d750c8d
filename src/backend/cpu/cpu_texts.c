/* Unit vectors of texts. */
#include "backend/cpu/cpu_texts.h"

#include <math.h>

/* One array after another, each on a cache line; at NULL: bytes alone. */
static size_t lay_out(hora_cpu_texts *t, char *at, int64_t n, int64_t d, int threads) {
    const size_t rows = (size_t)n;
    const struct {
        void *field;
        size_t bytes;
    } parts[] = {{&t->number, rows * sizeof *t->number},
                 {&t->row, rows * sizeof *t->row},
                 {&t->anchor, rows * sizeof *t->anchor},
                 {&t->own, rows * sizeof *t->own},
                 {&t->inverse, rows * sizeof *t->inverse},
                 {&t->u, rows * (size_t)d * sizeof *t->u},
                 {&t->lse, rows * sizeof *t->lse},
                 {&t->loss, rows * sizeof *t->loss},
                 {&t->du, (size_t)threads * (size_t)d * sizeof *t->du}};
    size_t used = 0;
    for (size_t i = 0; i < HORA_COUNT(parts); i++) {
        char *here = at ? at + used : NULL;
        memcpy(parts[i].field, &here, sizeof here);
        used += hora_cpu_aligned(parts[i].bytes);
    }
    return used;
}

size_t hora_cpu_texts_scratch(hora_device *d, const hora_call *c) {
    hora_cpu_texts t;
    return lay_out(&t, NULL, hora_cpu_rows(&c->in[0]), hora_cpu_width(&c->in[0]),
                   hora_device_threads(d));
}

static void unit(void *arg, int64_t i, int thread) {
    const hora_cpu_texts *t = arg;
    float *u = t->u + i * t->d;
    (void)thread;
    hora_cpu_widen(&t->c->in[0], t->row[i] * t->d, t->d, u);
    t->inverse[i] = (float)(1 / fmax(sqrt((double)hora_cpu_dot(t->d, u, u)), 1e-12));
    hora_kern_get()->rows->add(t->d, t->inverse[i], NULL, u, u);
}

void hora_cpu_texts_find(hora_cpu_texts *t, const hora_call *c) {
    int32_t last = -1;
    *t = (hora_cpu_texts){.c = c, .d = hora_cpu_width(&c->in[0]), .n = hora_cpu_rows(&c->in[0])};
    /* du lies last, so the number of threads at the plan need not be known again */
    lay_out(t, c->scratch, t->n, t->d, 1);
    for (int64_t i = 0; i < t->n; i++) {
        const int32_t k = c->batch->target[i], at = (int32_t)t->count;
        t->number[i] = k < 0 ? -1 : at;
        if (k < 0)
            continue;
        t->row[at] = (int32_t)i;
        t->own[at] = -1;
        last = k ? last : at;
        t->anchor[at] = last;
        if (k == 1 && last >= 0)
            t->own[last] = at;
        t->count++;
    }
    hora_parallel(t->count, unit, t);
}

float hora_cpu_texts_dot(const hora_cpu_texts *t, int64_t i, int64_t j) {
    return hora_cpu_dot(t->d, t->u + i * t->d, t->u + j * t->d);
}

void hora_cpu_texts_put(const hora_cpu_texts *t, int64_t at, float *du) {
    const hora_view *dx = &t->c->din[0];
    const hora_kern_rows *rows = hora_kern_get()->rows;
    const bool overwrite = hora_cpu_overwrites(t->c, 0);
    const int64_t i = t->number[at];
    void *to = hora_cpu_at(dx, at * t->d);
    if (!du) {
        if (overwrite)
            memset(to, 0, (size_t)t->d * hora_dtype_size(dx->dtype));
        return;
    }
    const float *u = t->u + i * t->d;
    hora_cpu_axpy(t->d, -hora_cpu_dot(t->d, du, u), u, du);
    rows->add(t->d, t->inverse[i], NULL, du, du);
    if (!overwrite)
        hora_cpu_loops(dx)->accumulate(t->d, to, du, false);
    if (dx->dtype == HORA_BF16)
        rows->narrow(t->d, du, to);
    else
        memcpy(to, du, (size_t)t->d * sizeof *du);
}
