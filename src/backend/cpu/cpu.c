/*
 * The cpu backend: SIMD loops by the processor's instruction set, products by oneDNN or own gemm,
 * threads over tiles cut by shape. A table from op to kernel; what it declines, ref computes.
 */
#include "backend/cpu/cpu_impl.h"

#include <stdio.h>

/* clang-format off */
#define OPS(X)                                                                      \
    X(gather) X(linear) X(lowrank) X(grouped) X(add) X(mul) X(scale) X(act) X(glu)  \
    X(rmsnorm) X(layernorm) X(input) X(place) X(pool) X(frames) X(prompt_mean) X(rope)          \
    X(rope_reach) X(attention) X(cached_attention) X(dropout) X(detach) X(drop_path)    \
    X(shift)                                                                            \
    X(permute) X(head_xent) X(lownorm) X(mse) X(bce) X(soft_xent) X(outer) X(reflect) \
    X(orthonormal) \
    X(segment) X(upsample) \
    X(cayley) X(blocks) X(kron) X(fit) X(gramdist) X(moved) X(contrast) X(cosine) X(tokenmix) \
    X(isomorph) X(depthwise) X(divergence) X(gumbel) X(snap) X(gate) X(route) X(share) \
    X(pack) X(unpack) \
    X(mix_attention) X(cached_mix_attention) X(latent_attention) X(interleave)
/* clang-format on */
#define EXTERN(x) extern const hora_cpu_op hora_cpu_op_##x;
OPS(EXTERN)

static const hora_cpu_op *const ops[HORA_OPS] = {
#define ROW(x) [HORA_OP_##x] = &hora_cpu_op_##x,
    OPS(ROW)};

bool hora_cpu_query_one(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return hora_cpu_alike(c, 1);
}

bool hora_cpu_query_two(hora_device *d, const hora_call *c, hora_need *need) {
    (void)d;
    (void)need;
    return hora_cpu_alike(c, 2);
}

static bool takes(const hora_cpu_op *op, int i, const hora_view *v) {
    return hora_absent(v) || v->dtype == HORA_F32 || (op->bf16 && v->dtype == HORA_BF16) ||
           (op->blocks & HORA_IN(i) && hora_dtype_block(v->dtype) > 1);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const hora_cpu_op *op = ops[c->op_id];
    *need = (hora_need){0};
    if (!op || (c->phase == HORA_BACKWARD && !c->op->reads))
        return false;
    for (int i = 0; i < c->op->nin; i++)
        if (!takes(op, i, &c->in[i]))
            return false;
    if (c->out.dtype == HORA_BF16 && !op->bf16)
        return false;
    return !op->query || op->query(d, c, need);
}

static void release(hora_impl *impl) {
    hora_free(impl->state);
    *impl = (hora_impl){0};
}

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    const hora_cpu_op *op = ops[c->op_id];
    *impl = (hora_impl){.run = op->run};
    snprintf(impl->variant, sizeof impl->variant, "cpu %s", hora_kern_get()->name);
    hora_status s = op->prepare ? op->prepare(d, c, impl) : HORA_OK;
    if (s != HORA_OK)
        release(impl);
    return s;
}

extern const hora_backend hora_backend_cpu;
const hora_backend hora_backend_cpu = {"cpu", "host", query, prepare, release};
