/* Kernels of op_cache.c: append the new rows to the caches, then forward attention over them. */
#include "backend/cpu/cpu_attention.h"

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_attention_scratch(c) * (size_t)hora_device_threads(d);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    (void)c;
    int *threads = hora_malloc(sizeof *threads);
    *threads = hora_device_threads(d);
    impl->state = threads;
    return HORA_OK;
}

static void append(const hora_call *c) {
    const hora_rows *b = c->batch;
    int64_t width = hora_cpu_width(&c->in[1]), cap = hora_cpu_rows(&c->in[3]);
    for (int64_t i = 0; i < hora_cpu_rows(&c->in[0]); i++) {
        int64_t at = b->cache_row + i;
        if (b->lo[i] >= b->hi[i])
            continue;
        HORA_ASSERT(at < cap && b->hi[i] <= cap);
        for (int s = 0; s < 2; s++)
            memcpy(hora_f32(&c->in[3 + s]) + at * width, hora_f32(&c->in[1 + s]) + i * width,
                   (size_t)width * sizeof(float));
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    append(c);
    hora_attention a = {.c = c,
                        .heads = c->attr.heads,
                        .groups = c->attr.kv_heads,
                        .dh = c->attr.head_dim,
                        .first = c->batch->cache_row,
                        .q = c->in[0].data,
                        .k = c->in[3].data,
                        .v = c->in[4].data,
                        .out = c->out.data};
    hora_attention_run(&a, hora_cpu_rows(&c->in[0]), *(const int *)impl->state, c->scratch);
}

extern const hora_cpu_op hora_cpu_op_cache;
const hora_cpu_op hora_cpu_op_cache = {query, prepare, run, false};
