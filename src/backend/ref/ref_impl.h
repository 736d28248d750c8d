#ifndef HORA_BACKEND_REF_REF_IMPL_H
#define HORA_BACKEND_REF_REF_IMPL_H
/*
 * What the reference kernels share. A file ref_x.c holds one text, compiled once per dtype by
 * ref_each.h, which defines
 *
 *   REAL          element of activations and weights in memory
 *   WIDE          element of saved statistics and of gradients of inputs that are no row tensors
 *   LD(x) ST(v)   REAL to double and back; all arithmetic is in double
 *   T(name)       name with the dtype's suffix
 *
 * and a table row, REF_KERNEL(x, scratch). Kernels run on one thread, in the plainest order.
 */
#include <stddef.h>

#include "backend/backend.h"

enum { REF_F32, REF_F64, REF_DTYPES, REF_MIXED };

typedef struct hora_ref_kernel {
    void (*forward[REF_DTYPES])(const hora_call *);
    void (*backward[REF_DTYPES])(const hora_call *); /* NULL: the op has none */
    size_t (*scratch)(const hora_call *);            /* bytes; NULL: none */
} hora_ref_kernel;

#define REF_KERNEL(name, bytes)                                                                    \
    extern const hora_ref_kernel hora_ref_op_##name;                                               \
    const hora_ref_kernel hora_ref_op_##name = {                                                   \
        {forward_f32, forward_f64}, {backward_f32, backward_f64}, bytes}
#define REF_KERNEL_FORWARD(name, bytes)                                                            \
    extern const hora_ref_kernel hora_ref_op_##name;                                               \
    const hora_ref_kernel hora_ref_op_##name = {{forward_f32, forward_f64}, {NULL, NULL}, bytes}

/* mixed.c: bytes of scratch before the kernel's own, and a call run by its f64 kernel. */
size_t hora_ref_mixed_scratch(const hora_call *c);
void hora_ref_mixed_run(const hora_call *c, void (*f64)(const hora_call *));

/* s(x) and s'(x) of op_act.c. */
double hora_ref_act(hora_act s, double x);
double hora_ref_dact(hora_act s, double x);

/* Elements of input, output and so on; only for what this call has. */
#define IN(i)    ((const REAL *)c->in[i].data)
#define OUT      ((REAL *)c->out.data)
#define SAVED(i) c->saved[i].data
#define DIN(i)   ((REAL *)c->din[i].data)
#define DWIDE(i) ((WIDE *)c->din[i].data)
#define DOUT     ((const REAL *)c->dout.data)
#define WANT(i)  (c->grad & HORA_IN(i))
/* Writes the gradient of input i at p, or adds to it. */
#define PUT(i, p, v)  (*(p) = ST((c->overwrite & HORA_IN(i) ? 0 : LD(*(p))) + (v)))
#define PUTW(i, p, v) (*(p) = (WIDE)((c->overwrite & HORA_IN(i) ? 0 : (double)*(p)) + (v)))

static inline int64_t ref_rows(const hora_view *v) {
    return v->shape.d[0];
}
static inline int64_t ref_width(const hora_view *v) {
    return v->shape.n > 0 ? v->shape.d[v->shape.n - 1] : 1;
}
#endif
