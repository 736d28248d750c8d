/* Kernel of op_snap.c. */
#include "backend/cpu/cpu_loss.h"

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    for (int64_t i = 0, n = hora_elems(&c->out); i < n; i++) {
        const double s = hora_cpu_load(&c->in[0], i);
        hora_cpu_put(&c->out, i, (s > 0.5) - s, true);
    }
}

extern const hora_cpu_op hora_cpu_op_snap;
const hora_cpu_op hora_cpu_op_snap = {.run = run, .bf16 = true};
