/*
 * The host as a device: the heap, and copies that are none. Sums of squares are added piece by
 * piece, and updates walk over pieces, so both have the same bits for any number of threads.
 */
#include <math.h>

#include "backend/backend.h"
#include "base/cpu.h"
#include "base/threads.h"

static hora_status take(hora_device *d, void **out, size_t bytes, const char *what) {
    (void)d;
    return hora_block_new(out, bytes, what);
}

static void give_back(hora_device *d, void *p, size_t bytes) {
    (void)d;
    hora_block_free(p, bytes);
}

static void put(hora_device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    if (to != from)
        memcpy(to, from, bytes);
}

static void fill(hora_device *d, void *p, int byte, size_t bytes) {
    (void)d;
    memset(p, byte, bytes);
}

static hora_status sync(hora_device *d) {
    (void)d;
    return HORA_OK;
}

static size_t memory(hora_device *d) {
    (void)d;
    return hora_memory_available();
}

static double flops(hora_device *d, hora_dtype t, double seconds) {
    (void)d;
    return hora_peak_flops(t, seconds);
}

static const char *variant(hora_device *d) {
    (void)d;
    return hora_isa_name(hora_cpu_isa());
}

static bool prefers_bf16(void) {
    return hora_cpu_isa() >= HORA_ISA_AVX512_BF16;
}

static size_t stage_bytes(const hora_leaves *l, int64_t rows) {
    (void)l;
    (void)rows;
    return 0;
}

static const hora_batch *stage(hora_device *d, void *room, const hora_leaves *l,
                               const hora_batch *batch) {
    (void)d;
    (void)l;
    (void)room;
    return batch;
}

/* --- the spans -------------------------------------------------------------------------------- */
static void square_piece(void *arg, int64_t i, int thread) {
    (void)thread;
    const hora_param_spans *s = arg;
    const hora_param_piece *p = &s->piece[i];
    const float *g = p->grad;
    double sum[4] = {0, 0, 0, 0};
    int64_t k = 0;
    if (!p->active) {
        s->partial[i] = 0;
        return;
    }
    for (; k + 4 <= p->n; k += 4)
        for (int j = 0; j < 4; j++)
            sum[j] += (double)g[k + j] * g[k + j];
    for (; k < p->n; k++)
        sum[0] += (double)g[k] * g[k];
    s->partial[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double squares(hora_device *d, const hora_param_spans *s) {
    double sum = 0;
    (void)d;
    hora_parallel(s->n, square_piece, (void *)s);
    for (int i = 0; i < s->n; i++)
        sum += s->partial[i];
    return sum;
}

typedef struct update_job {
    const hora_param_spans *s;
    const hora_update *u;
} update_job;

static void update_piece(void *arg, int64_t i, int thread) {
    (void)thread;
    const update_job *job = arg;
    const hora_param_piece *p = &job->s->piece[i];
    if (!p->active)
        return;
    hora_update u = *job->u;
    u.lr *= p->lr;
    u.step -= p->skipped;
    u.decay = p->decay;
    job->s->update(&u, p->value, p->grad, p->moment[0], p->moment[1], p->n);
    for (int64_t k = 0; p->least > -INFINITY && k < p->n; k++)
        p->value[k] = fmaxf(p->value[k], p->least);
}

static void update(hora_device *d, const hora_param_spans *s, const hora_update *u) {
    update_job job = {s, u};
    (void)d;
    hora_parallel(s->n, update_piece, &job);
}

extern const hora_device_kind hora_device_host;
const hora_device_kind hora_device_host = {.name = "host",
                                           .also = "cpu",
                                           .alloc = take,
                                           .free = give_back,
                                           .put = put,
                                           .get = put,
                                           .fill = fill,
                                           .sync = sync,
                                           .memory = memory,
                                           .flops = flops,
                                           .variant = variant,
                                           .prefers_bf16 = prefers_bf16,
                                           .stage_bytes = stage_bytes,
                                           .stage = stage,
                                           .squares = squares,
                                           .update = update};
