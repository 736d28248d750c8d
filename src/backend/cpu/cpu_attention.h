#ifndef HORA_BACKEND_CPU_CPU_ATTENTION_H
#define HORA_BACKEND_CPU_CPU_ATTENTION_H
/* Forward attention, shared by the ops attention and cache, which differ in where keys lie. */
#include "backend/cpu/cpu_impl.h"

#define HORA_CPU_BLOCK 64 /* rows and keys of a tile of scores */

typedef struct hora_attention {
    const hora_call *c;
    int64_t heads, groups, dh;
    int64_t first; /* number of row 0 among the keys */
    const float *q, *k, *v;
    float *out;
    float *lse; /* (n, heads) or NULL */
} hora_attention;

/* Keys that row i sees, [from, to); from >= to: none. */
typedef struct hora_seen {
    int64_t from, to;
} hora_seen;
static inline hora_seen hora_attention_sees(const hora_attention *a, int64_t i) {
    hora_seen s = {a->c->batch->lo[i], a->c->batch->hi[i]};
    if (a->c->attr.window)
        s.from = hora_max(s.from, a->first + i - a->c->attr.window + 1);
    return s;
}
/* What rows [i0, i1) see of keys [j0, j1), relative to j0, empty as lo = hi = 0. False: nothing. */
bool hora_attention_window(const hora_attention *a, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                           int32_t *lo, int32_t *hi);

size_t hora_attention_scratch(const hora_call *c); /* bytes per thread */
void hora_attention_run(const hora_attention *a, int64_t n, int threads, void *scratch);
#endif
