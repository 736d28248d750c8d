/* Kernels of op_mix_attention.c. */
#include "backend/cpu/cpu_mix.h"

typedef struct state {
    int threads;
    int64_t rows; /* most */
} state;

static hora_mix mix_of(const hora_call *c, const state *s) {
    return (hora_mix){.c = c,
                      .threads = s->threads,
                      .rows = s->rows,
                      .keys = s->rows,
                      .k = &c->in[1],
                      .v = &c->in[2],
                      .m = &c->in[3],
                      .scratch = c->scratch};
}

static state state_of(hora_device *d, const hora_call *c) {
    return (state){hora_device_threads(d), hora_cpu_rows(&c->in[0])};
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const state s = state_of(d, c);
    const hora_mix x = mix_of(c, &s);
    if (!hora_mix_takes(c, x.m))
        return false;
    need->scratch = hora_mix_scratch(&x);
    return true;
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = impl->state = hora_malloc(sizeof *s);
    *s = state_of(d, c);
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const hora_mix x = mix_of(c, impl->state);
    hora_mix_run(&x);
}

extern const hora_cpu_op hora_cpu_op_mix_attention;
const hora_cpu_op hora_cpu_op_mix_attention = {query, prepare, run, true, 0};
