/* Kernels of op_interleave.c: runs are copied, or added where a gradient stands. */
#include "backend/cpu/cpu_loss.h"

#include <string.h>

/* `runs` runs of w elements, from x every ldx to y every ldy. */
typedef struct runs {
    const hora_view *x, *y;
    int64_t w, from, ldx, to, ldy, groups;
    bool overwrite;
} runs;

static void some(void *arg, int64_t from, int64_t to) {
    const runs *r = arg;
    const size_t size = hora_dtype_size(r->y->dtype);
    for (int64_t i = from * r->groups; i < to * r->groups; i++) {
        const int64_t x = r->from + i * r->ldx, y = r->to + i * r->ldy;
        if (r->overwrite)
            memcpy(hora_cpu_at(r->y, y), hora_cpu_at(r->x, x), (size_t)r->w * size);
        for (int64_t l = 0; l < r->w && !r->overwrite; l++)
            hora_cpu_put(r->y, y + l, hora_cpu_load(r->x, x + l), false);
    }
}

static void copy(runs r) {
    hora_cpu_chunks(hora_cpu_rows(r.x), hora_cpu_rows_in_chunk(r.groups * r.w), some, &r);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int64_t groups = c->attr.groups, s = hora_cpu_width(&c->in[0]) / groups,
                  t = hora_cpu_width(&c->in[1]) / groups, w = s + t;
    (void)impl;
    if (c->phase == HORA_FORWARD) {
        copy((runs){&c->in[0], &c->out, s, 0, s, 0, w, groups, true});
        copy((runs){&c->in[1], &c->out, t, 0, t, s, w, groups, true});
    }
    if (hora_cpu_wants(c, 0))
        copy((runs){&c->dout, &c->din[0], s, 0, w, 0, s, groups, hora_cpu_overwrites(c, 0)});
    if (hora_cpu_wants(c, 1))
        copy((runs){&c->dout, &c->din[1], t, s, w, 0, t, groups, hora_cpu_overwrites(c, 1)});
}

extern const hora_cpu_op hora_cpu_op_interleave;
const hora_cpu_op hora_cpu_op_interleave = {hora_cpu_query_two, NULL, run, true, 0};
