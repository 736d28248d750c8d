/*
 * Products by oneDNN's matmul, made for one thread. The fast implementations (brgemm) want dense
 * operands and packed weights, so a strided operand is copied into scratch first, and a strided,
 * scaled or accumulated result is computed in scratch and merged: with tiles of 64 rows and more
 * that costs a few per cent, while the library's strided path costs more and takes no packing.
 *
 * The layout of packed weights is asked for once per (n, k, trans_w, dtype), with 64 rows of x, and
 * then imposed on every row count, so one packing serves them all.
 */
#include "backend/cpu/kern.h"
#include "backend/matmul.h"
#include "backend/onednn/dnnl_compat.h"
#include "base/cpu.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>

struct hora_matmul {
    hora_matmul_shape shape;
    const hora_kern *kern;
    dnnl_engine_t engine;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    hora_dnnl_layout x, w, y, pad;
    size_t pad_bytes, x_bytes, w_bytes, y_bytes; /* pieces of scratch, in this order */
    char variant[64];
};

static dnnl_data_type_t type_of(hora_dtype t) {
    return t == HORA_BF16 ? dnnl_bf16 : dnnl_f32;
}

static size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* HORA_ISA caps the library too; it listens only before it makes its first primitive. */
static void cap_isa(void) {
    const char *cap = getenv("HORA_ISA");
    if (!cap || !*cap)
        return;
    switch (hora_cpu_isa()) {
    case HORA_ISA_PORTABLE:
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
        break;
    case HORA_ISA_AVX2:
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
        break;
    case HORA_ISA_AVX512:
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core);
        break;
    case HORA_ISA_AVX512_BF16:
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
        break;
    case HORA_ISA_AMX:
        break;
    }
}

/* Operands without gaps; w in the layout given, or in any when NULL. */
static dnnl_status_t describe(dnnl_engine_t engine, const hora_matmul_shape *s, int64_t m,
                              const hora_dnnl_layout *w, hora_dnnl_layout *x, hora_dnnl_layout *y,
                              dnnl_primitive_desc_t *pd) {
    hora_dnnl_layout any = {0};
    dnnl_status_t e =
        hora_dnnl_strided(x, m, s->k, s->trans_x ? 1 : s->k, s->trans_x ? m : 1, type_of(s->dtype));
    if (e == dnnl_success)
        e = hora_dnnl_strided(y, m, s->n, s->n, 1, type_of(s->ydtype));
    if (e == dnnl_success && !w)
        e = hora_dnnl_any(&any, s->k, s->n, type_of(s->dtype));
    if (e == dnnl_success)
        e = hora_dnnl_matmul(pd, engine, x, w ? w : &any, y);
    hora_dnnl_layout_release(&any);
    return e;
}

static dnnl_status_t plain_weights(const hora_matmul_shape *s, int64_t ldw, hora_dnnl_layout *w) {
    return hora_dnnl_strided(w, s->k, s->n, s->trans_w ? 1 : ldw, s->trans_w ? ldw : 1,
                             type_of(s->dtype));
}

static dnnl_status_t packed_weights(dnnl_engine_t engine, const hora_matmul_shape *s,
                                    hora_dnnl_layout *w) {
    hora_matmul_shape like = *s;
    hora_dnnl_layout x = {0}, y = {0};
    dnnl_primitive_desc_t pd = NULL;
    like.trans_x = false;
    dnnl_status_t e = describe(engine, &like, 64, NULL, &x, &y, &pd);
    if (e == dnnl_success)
        e = hora_dnnl_chosen(w, pd, dnnl_query_weights_md);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    hora_dnnl_layout_release(&x);
    hora_dnnl_layout_release(&y);
    return e;
}

static dnnl_status_t build(hora_matmul *matmul) {
    const hora_matmul_shape *s = &matmul->shape;
    dnnl_status_t e = dnnl_engine_create(&matmul->engine, dnnl_cpu, 0);
    if (e == dnnl_success)
        e = s->packed ? packed_weights(matmul->engine, s, &matmul->w)
                      : plain_weights(s, s->trans_w ? s->k : s->n, &matmul->w);
    if (e == dnnl_success)
        e = describe(matmul->engine, s, s->m, &matmul->w, &matmul->x, &matmul->y, &matmul->pd);
    if (e == dnnl_success)
        e = hora_dnnl_chosen(&matmul->pad, matmul->pd, dnnl_query_scratchpad_md);
    if (e == dnnl_success)
        e = dnnl_primitive_create(&matmul->primitive, matmul->pd);
    if (e != dnnl_success)
        return e;
    size_t size = hora_dtype_size(s->dtype);
    matmul->pad_bytes = aligned(hora_dnnl_bytes(&matmul->pad));
    if (s->ldx != (s->trans_x ? s->m : s->k))
        matmul->x_bytes = aligned((size_t)(s->m * s->k) * size);
    if (!s->packed && s->ldw != (s->trans_w ? s->k : s->n))
        matmul->w_bytes = aligned((size_t)(s->n * s->k) * size);
    if (s->ldy != s->n || s->alpha != 1 || s->accumulate)
        matmul->y_bytes = aligned((size_t)(s->m * s->n) * sizeof(float));
    const char *name = NULL;
    dnnl_primitive_desc_query(matmul->pd, dnnl_query_impl_info_str, 0, &name);
    snprintf(matmul->variant, sizeof matmul->variant, "%s", name ? name : "?");
    return dnnl_success;
}

static void matmul_free(hora_matmul *matmul) {
    if (!matmul)
        return;
    if (matmul->primitive)
        dnnl_primitive_destroy(matmul->primitive);
    if (matmul->pd)
        dnnl_primitive_desc_destroy(matmul->pd);
    hora_dnnl_layout_release(&matmul->x);
    hora_dnnl_layout_release(&matmul->w);
    hora_dnnl_layout_release(&matmul->y);
    hora_dnnl_layout_release(&matmul->pad);
    if (matmul->engine)
        dnnl_engine_destroy(matmul->engine);
    hora_free(matmul);
}

typedef struct job {
    hora_matmul *matmul;
    dnnl_status_t status;
} job;

/* Inside hora_parallel, where the library sees a machine of one thread. */
static void build_alone(void *arg, int64_t tile, int thread) {
    (void)tile;
    (void)thread;
    job *j = arg;
    j->status = build(j->matmul);
}

static hora_status make(hora_matmul **out, const hora_matmul_shape *s) {
    *out = NULL;
    if ((s->dtype != HORA_F32 && s->dtype != HORA_BF16) || s->ydtype != HORA_F32)
        return hora_fail(HORA_EUNSUPPORTED, "products of %s are not there; compute in f32 or bf16",
                         hora_dtype_name(s->dtype));
    cap_isa();
    job j = {.matmul = hora_calloc(1, sizeof *j.matmul)};
    j.matmul->shape = *s;
    j.matmul->kern = hora_kern_get();
    hora_parallel(1, build_alone, &j);
    if (j.status != dnnl_success) {
        matmul_free(j.matmul);
        return hora_fail(HORA_EUNSUPPORTED,
                         "oneDNN makes no product of %lld x %lld x %lld %s (status %d); try "
                         "HORA_MATMUL=own",
                         (long long)s->m, (long long)s->n, (long long)s->k,
                         hora_dtype_name(s->dtype), (int)j.status);
    }
    *out = j.matmul;
    return HORA_OK;
}

/* Rows of a strided matrix side by side. */
static const void *dense(void *dst, const void *src, int64_t rows, int64_t width, int64_t ld,
                         size_t size) {
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)dst + (size_t)(i * width) * size,
               (const char *)src + (size_t)(i * ld) * size, (size_t)width * size);
    return dst;
}

static void execute(const hora_matmul *matmul, const void *x, const void *w, void *y, void *pad) {
    dnnl_memory_t mx, mw, my, mpad;
    dnnl_stream_t stream;
    /* x and w are only read, though the library has one type for all */
    dnnl_status_t e = hora_dnnl_memory(&mx, &matmul->x, matmul->engine, (void *)(uintptr_t)x);
    e |= hora_dnnl_memory(&mw, &matmul->w, matmul->engine, (void *)(uintptr_t)w);
    e |= hora_dnnl_memory(&my, &matmul->y, matmul->engine, y);
    e |= hora_dnnl_memory(&mpad, &matmul->pad, matmul->engine, pad);
    e |= dnnl_stream_create(&stream, matmul->engine, dnnl_stream_default_flags);
    HORA_ASSERT(e == dnnl_success);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, mx},
                              {DNNL_ARG_WEIGHTS, mw},
                              {DNNL_ARG_DST, my},
                              {DNNL_ARG_SCRATCHPAD, mpad}};
    e = dnnl_primitive_execute(matmul->primitive, stream, 4, args);
    HORA_ASSERT(e == dnnl_success);
    dnnl_stream_destroy(stream);
    dnnl_memory_destroy(mx);
    dnnl_memory_destroy(mw);
    dnnl_memory_destroy(my);
    dnnl_memory_destroy(mpad);
}

static void run(const hora_matmul *matmul, const void *x, const void *w, void *y, void *scratch) {
    const hora_matmul_shape *s = &matmul->shape;
    size_t size = hora_dtype_size(s->dtype);
    char *pad = scratch, *cx = pad + matmul->pad_bytes, *cw = cx + matmul->x_bytes,
         *cy = cw + matmul->w_bytes;
    if (matmul->x_bytes)
        x = dense(cx, x, s->trans_x ? s->k : s->m, s->trans_x ? s->m : s->k, s->ldx, size);
    if (matmul->w_bytes)
        w = dense(cw, w, s->trans_w ? s->n : s->k, s->trans_w ? s->k : s->n, s->ldw, size);
    execute(matmul, x, w, matmul->y_bytes ? (void *)cy : y, pad);
    if (matmul->y_bytes)
        matmul->kern->rows->merge(s->m, s->n, s->alpha, (const float *)cy, s->n,
                                  s->accumulate ? y : NULL, s->ldy, NULL, y, s->ldy);
}

static size_t scratch_bytes(const hora_matmul *matmul) {
    return matmul->pad_bytes + matmul->x_bytes + matmul->w_bytes + matmul->y_bytes;
}

typedef struct packing {
    const hora_matmul_shape *shape;
    const void *from;
    void *to; /* NULL: only say how large */
    size_t bytes;
    dnnl_status_t status;
} packing;

static void pack_alone(void *arg, int64_t tile, int thread) {
    (void)tile;
    (void)thread;
    packing *p = arg;
    dnnl_engine_t engine = NULL;
    hora_dnnl_layout plain = {0}, packed = {0};
    p->status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (p->status == dnnl_success)
        p->status = packed_weights(engine, p->shape, &packed);
    if (p->status == dnnl_success)
        p->bytes = hora_dnnl_bytes(&packed);
    if (p->status == dnnl_success && p->to)
        p->status = plain_weights(p->shape, p->shape->ldw, &plain);
    if (p->status == dnnl_success && p->to)
        p->status = hora_dnnl_reorder(engine, &plain, p->from, &packed, p->to);
    hora_dnnl_layout_release(&plain);
    hora_dnnl_layout_release(&packed);
    if (engine)
        dnnl_engine_destroy(engine);
}

static size_t pack_bytes(const hora_matmul_shape *s) {
    packing p = {.shape = s};
    cap_isa();
    hora_parallel(1, pack_alone, &p);
    return p.status == dnnl_success ? p.bytes : 0;
}

static void pack(const hora_matmul_shape *s, const void *w, void *packed) {
    packing p = {.shape = s, .from = w, .to = packed};
    hora_parallel(1, pack_alone, &p);
    HORA_ASSERT(p.status == dnnl_success);
}

static const char *variant(const hora_matmul *matmul) {
    return matmul->variant;
}

extern const hora_matmul_provider hora_matmul_onednn;
const hora_matmul_provider hora_matmul_onednn = {"onednn",   make, run,     scratch_bytes,
                                                 pack_bytes, pack, variant, matmul_free};
