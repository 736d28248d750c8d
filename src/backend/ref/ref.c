/*
 * The reference backend: the law that other backends are held against. One table from op to kernel,
 * f32 and f64; calls of any mix of f32, f64, bf16 and blocks go through mixed.c. Prepares nothing.
 */
#include "backend/ref/ref_impl.h"

#include <stdio.h>

#define OP(x) extern const hora_ref_kernel hora_ref_op_##x;
#include "op/ops.def"
#undef OP

static const hora_ref_kernel *const kernels[HORA_OPS] = {
#define OP(x) [HORA_OP_##x] = &hora_ref_op_##x,
#include "op/ops.def"
#undef OP
};

/* A REF_ dtype; -1: not for us. */
static int dtype_of(const hora_call *c) {
    bool mixed = !hora_absent(&c->out) && c->out.dtype == HORA_BF16;
    for (int i = 0; i < c->op->nin; i++) {
        if (hora_absent(&c->in[i]))
            continue;
        hora_dtype t = c->in[i].dtype;
        if (t != HORA_F32 && t != HORA_F64 && t != HORA_BF16 && hora_dtype_block(t) == 1)
            return -1;
        mixed |= t == HORA_BF16 || hora_dtype_block(t) > 1 || t != c->in[0].dtype;
    }
    const hora_dtype all = c->op->nin ? c->in[0].dtype : c->out.dtype;
    return mixed ? REF_MIXED : all == HORA_F32 ? REF_F32 : REF_F64;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    int t = dtype_of(c);
    if (t < 0 || (c->phase == HORA_BACKWARD && !kernels[c->op_id]->backward[0]))
        return false;
    size_t (*scratch)(const hora_call *) = kernels[c->op_id]->scratch;
    *need = (hora_need){.scratch = scratch ? scratch(c) : 0};
    if (t == REF_MIXED)
        need->scratch += hora_ref_mixed_scratch(c);
    return true;
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const hora_ref_kernel *k = kernels[c->op_id];
    void (*const *kernel)(const hora_call *) = c->phase == HORA_FORWARD ? k->forward : k->backward;
    int t = dtype_of(c);
    if (t == REF_MIXED)
        hora_ref_mixed_run(c, kernel[REF_F64]);
    else
        kernel[t](c);
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    static const char *const names[] = {"f32", "f64", [REF_MIXED] = "mixed"};
    (void)d;
    *impl = (hora_impl){.run = run};
    snprintf(impl->variant, sizeof impl->variant, "ref %s", names[dtype_of(c)]);
    return HORA_OK;
}

static void release(hora_impl *impl) {
    impl->run = NULL;
}

extern const hora_backend hora_backend_ref;
const hora_backend hora_backend_ref = {"ref", "host", query, prepare, release};
