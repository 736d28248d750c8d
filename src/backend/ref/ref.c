/*
 * The reference backend: the law that other backends are held against. One table from op to kernel,
 * f32 and f64. Accepts every call whose tensors are all of one of these dtypes, prepares nothing.
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

static int dtype_of(const hora_call *c) {
    return c->in[0].dtype == HORA_F32 ? REF_F32 : c->in[0].dtype == HORA_F64 ? REF_F64 : -1;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    if (dtype_of(c) < 0)
        return false;
    for (int i = 1; i < c->op->nin; i++)
        if (!hora_absent(&c->in[i]) && c->in[i].dtype != c->in[0].dtype)
            return false;
    if (c->phase == HORA_BACKWARD && !kernels[c->op_id]->backward[0])
        return false;
    size_t (*scratch)(const hora_call *) = kernels[c->op_id]->scratch;
    *need = (hora_need){.scratch = scratch ? scratch(c) : 0};
    return true;
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    const hora_ref_kernel *k = kernels[c->op_id];
    (c->phase == HORA_FORWARD ? k->forward : k->backward)[dtype_of(c)](c);
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    (void)d;
    *impl = (hora_impl){.run = run};
    snprintf(impl->variant, sizeof impl->variant, "ref %s", dtype_of(c) == REF_F64 ? "f64" : "f32");
    return HORA_OK;
}

static void release(hora_impl *impl) {
    impl->run = NULL;
}

extern const hora_backend hora_backend_ref;
const hora_backend hora_backend_ref = {"ref", "host", query, prepare, release};
