/* Reference kernel of op_latent_attention.c: row by row, head by head, everything in double. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL

/* a, the sum over latents, and a score per row of the cache. */
static size_t scratch(const hora_call *c) {
    return (size_t)(2 * ref_width(&c->in[2]) + ref_rows(&c->in[5])) * sizeof(double);
}

#define REF_TEXT "backend/ref/ref_latent_attention.c"
#include "backend/ref/ref_each.h"
REF_KERNEL_FORWARD(latent_attention, scratch);

#else

static void T(append_latents)(const hora_call *c) {
    const hora_batch *b = c->batch;
    const int64_t turned = ref_width(&c->in[1]), w = ref_width(&c->in[2]), row = turned + w;
    REAL *cache = c->in[5].data;
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        const int64_t at = b->cache_row + i;
        if (b->lo[i] >= b->hi[i])
            continue;
        HORA_ASSERT(at < ref_rows(&c->in[5]) && b->hi[i] <= ref_rows(&c->in[5]));
        for (int64_t l = 0; l < row; l++)
            cache[at * row + l] = l < turned ? IN(1)[i * turned + l] : IN(2)[i * w + l - turned];
    }
}

/* a (w) = U_g' q^n; q: a head's row. */
static void T(absorb)(const hora_call *c, const REAL *q, int64_t group, double *a) {
    const int64_t w = ref_width(&c->in[2]), half = c->attr.head_dim / 2;
    const int64_t p = ref_width(&c->in[1]) / c->attr.kv_heads / 2, rest = half - p;
    for (int64_t l = 0; l < w; l++)
        a[l] = 0;
    for (int64_t k = 0; k < 2 * rest; k++) {
        const int64_t ld = ref_width(&c->in[3]);
        const REAL *u = IN(3) + (group * 2 * rest + k) * ld;
        const double x = LD(q[k / rest * half + p + k % rest]);
        for (int64_t l = 0; l < w; l++)
            a[l] += x * LD(u[l]);
    }
}

static void T(head)(const hora_call *c, int64_t i, int64_t h, int64_t lo, int64_t hi) {
    const int64_t dh = c->attr.head_dim, half = dh / 2, w = ref_width(&c->in[2]);
    const int64_t turned = ref_width(&c->in[1]), p = turned / c->attr.kv_heads / 2;
    const int64_t g = h * c->attr.kv_heads / c->attr.heads, ld = ref_width(&c->in[4]);
    const REAL *q = IN(0) + (i * c->attr.heads + h) * dh;
    double *a = c->scratch, *sum = a + w, *z = sum + w, most = -INFINITY, all = 0;
    T(absorb)(c, q, g, a);
    for (int64_t j = lo; j < hi; j++) {
        const REAL *key = IN(5) + j * (turned + w), *r = key + g * 2 * p;
        double s = 0;
        for (int64_t l = 0; l < 2 * p; l++)
            s += LD(q[l / p * half + l % p]) * LD(r[l]);
        for (int64_t l = 0; l < w; l++)
            s += a[l] * LD(key[turned + l]);
        z[j - lo] = c->attr.scale * s;
        most = fmax(most, z[j - lo]);
    }
    for (int64_t l = 0; l < w; l++)
        sum[l] = 0;
    for (int64_t j = lo; j < hi; j++) {
        const double e = exp(z[j - lo] - most);
        all += e;
        for (int64_t l = 0; l < w; l++)
            sum[l] += e * LD(IN(5)[j * (turned + w) + turned + l]);
    }
    for (int64_t k = 0; k < dh; k++) {
        const REAL *v = IN(4) + (g * dh + k) * ld;
        double y = ld > w && hi > lo ? LD(v[w]) * all : 0;
        for (int64_t l = 0; l < w; l++)
            y += LD(v[l]) * sum[l];
        OUT[(i * c->attr.heads + h) * dh + k] = ST(hi > lo ? y / all : 0);
    }
}

static void T(forward)(const hora_call *c) {
    T(append_latents)(c);
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        int64_t lo = c->batch->lo[i], hi = c->batch->hi[i];
        if (c->attr.window)
            lo = hora_max(lo, c->batch->cache_row + i - c->attr.window + 1);
        for (int64_t h = 0; h < c->attr.heads; h++)
            T(head)(c, i, h, lo, hi);
    }
}

#endif
