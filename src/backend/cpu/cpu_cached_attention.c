/* Kernels of op_cached_attention.c: append the new rows to the caches, then forward attention over
 * them. */
#include "backend/cpu/cpu_attention.h"
#include "backend/cpu/cpu_mix.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    if (!hora_attention_takes(c) || c->in[3].dtype != c->in[0].dtype ||
        c->in[4].dtype != c->in[0].dtype)
        return false;
    hora_attention a = hora_attention_of(c, &c->in[3], &c->in[4]);
    need->scratch = hora_attention_scratch(&a) * (size_t)hora_device_threads(d);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    (void)c;
    int *threads = hora_malloc(sizeof *threads);
    *threads = hora_device_threads(d);
    impl->state = threads;
    return HORA_OK;
}

void hora_cpu_append(const hora_call *c) {
    const hora_batch *b = c->batch;
    size_t width = (size_t)hora_cpu_width(&c->in[1]) * hora_dtype_size(c->in[1].dtype);
    int64_t cap = hora_cpu_rows(&c->in[3]);
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++) {
        int64_t at = b->cache_row + i;
        if (b->lo[i] >= b->hi[i])
            continue;
        HORA_ASSERT(at < cap && b->hi[i] <= cap);
        for (int s = 0; s < 2; s++)
            memcpy((char *)c->in[3 + s].data + (size_t)at * width,
                   (const char *)c->in[1 + s].data + (size_t)i * width, width);
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    hora_cpu_append(c);
    hora_attention a = hora_attention_of(c, &c->in[3], &c->in[4]);
    a.first = c->batch->cache_row;
    hora_attention_run(&a, hora_cpu_rows(&c->in[0]), *(const int *)impl->state, c->scratch, NULL);
}

extern const hora_cpu_op hora_cpu_op_cached_attention;
const hora_cpu_op hora_cpu_op_cached_attention = {query, prepare, run, true, 0};
