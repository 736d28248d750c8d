/* Kernels of op_attention.c. */
#include "backend/cpu/cpu_attention.h"

static size_t cuts_bytes(const hora_view *q) {
    return (size_t)HORA_ATTENTION_CUTS(hora_cpu_rows(q)) * sizeof(int32_t);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    if (!hora_attention_takes(c))
        return false;
    int threads = hora_device_threads(d);
    hora_attention a = hora_attention_of(c, &c->in[1], &c->in[2]);
    need->scratch = c->phase == HORA_FORWARD
                        ? hora_attention_scratch(&a) * (size_t)threads + cuts_bytes(&c->in[0]) +
                              hora_attention_prefix_bytes(&a)
                        : hora_attention_grad_scratch(&a, hora_cpu_rows(&c->in[0]), threads);
    return true;
}

typedef struct state {
    int threads;
    int64_t rows; /* most */
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = hora_calloc(1, sizeof *s);
    s->threads = hora_device_threads(d);
    s->rows = hora_cpu_rows(&c->in[0]);
    impl->state = s;
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *s = impl->state;
    if (c->phase == HORA_BACKWARD) {
        hora_attention_grad_run(c, s->rows, s->threads);
        return;
    }
    hora_attention a = hora_attention_of(c, &c->in[1], &c->in[2]);
    a.lse = c->grad ? c->saved[0].data : NULL;
    char *own = (char *)c->scratch + hora_attention_prefix_bytes(&a);
    hora_attention_prefix(&a, c->scratch);
    hora_attention_run(&a, hora_cpu_rows(&c->in[0]), s->threads, own,
                       (int32_t *)(own + hora_attention_scratch(&a) * (size_t)s->threads));
}

extern const hora_cpu_op hora_cpu_op_attention;
const hora_cpu_op hora_cpu_op_attention = {query, prepare, run, true, 0};
