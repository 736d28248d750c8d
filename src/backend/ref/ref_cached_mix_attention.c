/* Reference kernel of op_cached_mix_attention.c. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* A map per head. */
static size_t scratch(const hora_call *c) {
    return (size_t)(c->attr.heads * ref_rows(&c->in[3])) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_cached_mix_attention.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(cached_mix_attention, scratch);

#else

#include "backend/ref/ref_append.h"
#include "backend/ref/ref_mix.h"

static void T(forward)(const hora_call *c) {
    const int64_t width = ref_width(&c->in[0]);
    T(append)(c);
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        int64_t lo = c->batch->lo[i], hi = c->batch->hi[i];
        if (c->attr.window)
            lo = hora_max(lo, c->batch->cache_row + i - c->attr.window + 1);
        lo = hora_min(lo, hi);
        T(maps)(c, IN(0) + i * width, IN(3), lo, hi, c->scratch);
        T(values)(c, IN(5), c->scratch, IN(4), lo, hi, OUT + i * width);
    }
}

#endif
