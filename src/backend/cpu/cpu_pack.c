/* Kernels of op_pack.c and op_unpack.c: whole rows are copied. */
#include "backend/cpu/cpu_loss.h"

static void run(const hora_impl *impl, const hora_call *c) {
    const int64_t n = hora_cpu_rows(&c->in[1]), d = hora_cpu_width(&c->in[0]);
    const size_t bytes = (size_t)((char *)hora_cpu_at(&c->out, d) - (char *)c->out.data);
    const bool back = c->op_id == HORA_OP_unpack;
    (void)impl;
    for (int64_t i = 0, k = 0; i < n; i++) {
        const bool there = hora_cpu_load(&c->in[1], i) != 0;
        if (there)
            memcpy(hora_cpu_at(&c->out, (back ? i : k) * d),
                   hora_cpu_at(&c->in[0], (back ? k : i) * d), bytes);
        else if (back)
            memset(hora_cpu_at(&c->out, i * d), 0, bytes);
        k += there;
    }
}

extern const hora_cpu_op hora_cpu_op_pack, hora_cpu_op_unpack;
const hora_cpu_op hora_cpu_op_pack = {hora_cpu_query_two, NULL, run, true, 0};
const hora_cpu_op hora_cpu_op_unpack = {hora_cpu_query_two, NULL, run, true, 0};
