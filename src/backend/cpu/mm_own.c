/*
 * The provider of products that is always there: the register blocks of kern_gemm.c. f32 only; any
 * leading dimensions; packs into column panels. Needs no scratch.
 */
#include "backend/cpu/kern.h"
#include "backend/mm.h"

struct hora_mm {
    hora_mm_shape shape;
    const hora_kern *kern;
};

static hora_status make(hora_mm **out, const hora_mm_shape *s) {
    *out = NULL;
    if (s->dtype != HORA_F32 || s->ydtype != HORA_F32)
        return hora_fail(HORA_EUNSUPPORTED,
                         "own products are in F32, not %s; build with oneDNN or compute in f32",
                         hora_dtype_name(s->dtype));
    hora_mm *mm = hora_calloc(1, sizeof *mm);
    mm->shape = *s;
    mm->kern = hora_kern_get();
    *out = mm;
    return HORA_OK;
}

static void run(const hora_mm *mm, const void *x, const void *w, void *y, void *scratch) {
    (void)scratch;
    const hora_mm_shape *s = &mm->shape;
    hora_gemm g = {.m = s->m,
                   .n = s->n,
                   .k = s->k,
                   .ldx = s->ldx,
                   .ldw = s->ldw,
                   .ldy = s->ldy,
                   .ldadd = s->ldy,
                   .trans_x = s->trans_x,
                   .trans_w = s->trans_w,
                   .packed = s->packed,
                   .alpha = s->alpha,
                   .x = x,
                   .w = w,
                   .y = y};
    g.add = s->accumulate ? g.y : NULL;
    mm->kern->products->gemm(&g);
}

static size_t scratch_bytes(const hora_mm *mm) {
    (void)mm;
    return 0;
}

static size_t pack_bytes(const hora_mm_shape *s) {
    return s->dtype == HORA_F32
               ? (size_t)hora_kern_get()->products->pack_size(s->k, s->n) * sizeof(float)
               : 0;
}

static void pack(const hora_mm_shape *s, const void *w, void *packed) {
    hora_kern_get()->products->pack(w, s->ldw, s->trans_w, s->k, s->n, packed);
}

static const char *variant(const hora_mm *mm) {
    return mm->kern->name;
}

static void mm_free(hora_mm *mm) {
    hora_free(mm);
}

extern const hora_mm_provider hora_mm_own;
const hora_mm_provider hora_mm_own = {"own",      make, run,     scratch_bytes,
                                      pack_bytes, pack, variant, mm_free};
