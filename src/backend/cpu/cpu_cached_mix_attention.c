/* Kernels of op_cached_mix_attention.c. */
#include "backend/cpu/cpu_mix.h"

static hora_mix mix_of(const hora_call *c, int threads) {
    return (hora_mix){.c = c,
                      .threads = threads,
                      .rows = hora_cpu_rows(&c->in[0]),
                      .keys = hora_cpu_rows(&c->in[3]),
                      .k = &c->in[3],
                      .v = &c->in[4],
                      .m = &c->in[5],
                      .first = c->batch ? c->batch->cache_row : 0,
                      .scratch = c->scratch};
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const hora_mix x = mix_of(c, hora_device_threads(d));
    if (!hora_mix_takes(c, x.m) || c->in[3].dtype != c->in[0].dtype ||
        c->in[4].dtype != c->in[0].dtype)
        return false;
    need->scratch = hora_mix_scratch(&x);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    int *threads = impl->state = hora_malloc(sizeof *threads);
    (void)c;
    *threads = hora_device_threads(d);
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    hora_cpu_append(c);
    const hora_mix x = mix_of(c, *(const int *)impl->state);
    hora_mix_run(&x);
}

extern const hora_cpu_op hora_cpu_op_cached_mix_attention;
const hora_cpu_op hora_cpu_op_cached_mix_attention = {query, prepare, run, true, 0};
