/* Reference kernel of op_cached_attention.c: copy the new rows, then attend as attention does. */
#include "backend/ref/ref_impl.h"

#ifndef REAL

/* A score per row of the cache. */
static size_t scratch(const hora_call *c) {
    return (size_t)ref_rows(&c->in[3]) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_cached_attention.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(cached_attention, scratch);

#else

#include "backend/ref/ref_append.h"
#include "backend/ref/ref_softmax.h"

static void T(forward)(const hora_call *c) {
    int64_t n = ref_rows(&c->in[0]), heads = c->attr.heads, dh = c->attr.head_dim;
    T(append)(c);
    for (int64_t i = 0; i < n; i++) {
        int64_t lo = c->batch->lo[i], hi = c->batch->hi[i];
        if (c->attr.window)
            lo = hora_max(lo, c->batch->cache_row + i - c->attr.window + 1);
        for (int64_t h = 0; h < heads; h++) {
            int64_t at = (i * heads + h) * dh, kv = h * c->attr.kv_heads / heads * dh;
            T(keys) run[2] = {{IN(3) + kv, IN(4) + kv, lo, hi}, {NULL, NULL, 0, 0}};
            T(softmax)(c, IN(0) + at, run, OUT + at);
        }
    }
}

#endif
