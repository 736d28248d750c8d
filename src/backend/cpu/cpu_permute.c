/* Kernels of op_permute.c: rows (group, j) of y gather from a rows of x; backward exchanges a and
 * b. */
#include "backend/cpu/cpu_impl.h"

typedef struct permutation {
    int64_t a, b, w; /* of the input */
    const float *x;
    float *y;
    bool overwrite;
} permutation;

/* Rows [from, to) of y, each of a runs of w elements. */
static void permute(void *arg, int64_t from, int64_t to) {
    const permutation *s = arg;
    for (int64_t row = from; row < to; row++) {
        const float *x = s->x + row / s->b * s->a * s->b * s->w + row % s->b * s->w;
        float *y = s->y + row * s->a * s->w;
        for (int64_t i = 0; i < s->a; i++)
            for (int64_t l = 0; l < s->w; l++) {
                float v = x[i * s->b * s->w + l];
                y[i * s->w + l] = s->overwrite ? v : y[i * s->w + l] + v;
            }
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const hora_attr *t = &c->attr;
    bool forward = c->phase == HORA_FORWARD;
    if (!forward && !hora_cpu_wants(c, 0))
        return;
    permutation s = {.a = forward ? t->a : t->b,
                     .b = forward ? t->b : t->a,
                     .w = t->w,
                     .x = hora_f32(forward ? &c->in[0] : &c->dout),
                     .y = hora_f32(forward ? &c->out : &c->din[0]),
                     .overwrite = forward || hora_cpu_overwrites(c, 0)};
    hora_cpu_chunks(t->groups * s.b, hora_cpu_rows_in_chunk(s.a * s.w), permute, &s);
}

extern const hora_cpu_op hora_cpu_op_permute;
const hora_cpu_op hora_cpu_op_permute = {NULL, NULL, run, false, 0};
