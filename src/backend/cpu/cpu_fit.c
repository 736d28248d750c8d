/* Kernels of op_fit.c. */
#include "backend/cpu/cpu_loss.h"

#include <string.h>

/* Rows of x, from column `skip` on, into rows of y from column `at` on; 0 fills. */
typedef struct fitting {
    const hora_view *x, *y;
    int64_t skip, at;
    bool overwrite;
} fitting;

static void fit_rows(void *arg, int64_t from, int64_t to) {
    const fitting *f = arg;
    const int64_t d = hora_cpu_width(f->x), w = hora_cpu_width(f->y);
    const int64_t n = hora_min(d - f->skip, w - f->at);
    const size_t size = f->y->dtype == HORA_BF16 ? 2 : 4;
    for (int64_t i = from; i < to; i++) {
        if (f->overwrite)
            memset(hora_cpu_at(f->y, i * w), 0, (size_t)w * size);
        for (int64_t j = 0; j < n; j++)
            hora_cpu_put(f->y, i * w + f->at + j, hora_cpu_load(f->x, i * d + f->skip + j),
                         f->overwrite);
    }
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return hora_cpu_alike(c, 1);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const bool forward = c->phase == HORA_FORWARD;
    fitting f = {forward ? &c->in[0] : &c->dout, forward ? &c->out : &c->din[0],
                 forward ? 0 : c->attr.a, forward ? c->attr.a : 0,
                 forward || hora_cpu_overwrites(c, 0)};
    (void)impl;
    if (forward || hora_cpu_wants(c, 0))
        hora_cpu_chunks(hora_cpu_rows(f.x),
                        hora_cpu_rows_in_chunk(hora_cpu_width(f.x) + hora_cpu_width(f.y)), fit_rows,
                        &f);
}

extern const hora_cpu_op hora_cpu_op_fit;
const hora_cpu_op hora_cpu_op_fit = {query, NULL, run, true, 0};
