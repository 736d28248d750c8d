/*
 * What attention needs between its products, for f32 and bf16 elements from one text: tiles of
 * scores turned into weights with a running maximum (M. Milakov, N. Gimelshein, "Online normalizer
 * calculation for softmax", 2018), their gradient, and what happens to rows before and after.
 */
#include "backend/cpu/kern_vec.h"

#include <math.h>

/* Vectors side by side, as registers allow. */
#if VL == 16
#define WIDE 4
#else
#define WIDE 2
#endif

/* 2^x for x < 128: 0, or next to it, far below 0; NaN kept, 2^0 = 1. Fits of our own, 3e-6 relative
 * where `rough`, else 1e-7. */
INLINE vf v_pow2(const bool rough, vf x) {
#if VL == 16
    vf r = (vf)_mm512_reduce_ps((__m512)x, 0x01), q; /* x - floor x */
    if (rough) {
        q = v_fma(v_set(1.3426685531011878e-02f), r, v_set(5.2242472200664199e-02f));
        q = v_fma(q, r, v_set(2.4128020569777875e-01f));
        q = v_fma(q, r, v_set(6.9304484478345907e-01f));
    } else {
        q = v_fma(v_set(1.8671302133201188e-03f), r, v_set(9.0170300187928931e-03f));
        q = v_fma(q, r, v_set(5.5799913320664342e-02f));
        q = v_fma(q, r, v_set(2.4016445009570675e-01f));
        q = v_fma(q, r, v_set(6.9315131180946332e-01f));
    }
    return (vf)_mm512_scalef_ps((__m512)v_fma(q, r, v_set(1)), (__m512)x); /* times 2^floor x */
#else
    const vf magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    x = v_max(v_set(-125), x);
    vf t = x + magic, r = x - (t - magic), q;
    if (rough) {
        q = v_fma(v_set(9.5828531689082022e-03f), r, v_set(5.5906425036457992e-02f));
        q = v_fma(q, r, v_set(2.4024098611259515e-01f));
        q = v_fma(q, r, v_set(6.9312419336784004e-01f));
    } else {
        q = v_fma(v_set(1.3264727247111539e-03f), r, v_set(9.6715126881506460e-03f));
        q = v_fma(q, r, v_set(5.5507337435742321e-02f));
        q = v_fma(q, r, v_set(2.4022242084635143e-01f));
        q = v_fma(q, r, v_set(6.9314697759871635e-01f));
    }
    return (vf)((vu)v_fma(q, r, v_set(1)) + ((vu)t << 23)); /* modulo 2^32 */
#endif
}

/* Elements of n lanes from number i on; n may be VL or more. */
INLINE vf e_load(const bool bf16, const void *p, int64_t i, int64_t n) {
    if (bf16)
        return n >= VL ? v_load_bf16((const uint16_t *)p + i)
                       : v_load_bf16_n((const uint16_t *)p + i, n);
    return n >= VL ? v_load((const float *)p + i) : v_load_n((const float *)p + i, n);
}

INLINE void e_store(const bool bf16, void *p, int64_t i, vf v, int64_t n) {
    if (bf16 && n >= VL)
        v_store_bf16((uint16_t *)p + i, v);
    else if (bf16)
        v_store_bf16_n((uint16_t *)p + i, v, n);
    else if (n >= VL)
        v_store((float *)p + i, v);
    else
        v_store_n((float *)p + i, v, n);
}

/* Lane by lane: a rounded to bf16 below, b above. */
INLINE vu v_pairs(vf a, vf b) {
#ifdef HORA_VARIANT_avx512_bf16
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vu)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a));
#else
    vu u = (vu)a, w = (vu)b;
    u = (vu)v_select((vi)(a != a), (vf)(u | 0x400000), (vf)(u + 0x7fff + ((u >> 16) & 1)));
    w = (vu)v_select((vi)(b != b), (vf)(w | 0x400000), (vf)(w + 0x7fff + ((w >> 16) & 1)));
    return (u >> 16) | (w & 0xffff0000u);
#endif
}

INLINE void store_pairs(uint32_t *p, vf a, vf b) {
    v_store((float *)p, (vf)v_pairs(a, b));
}

/* Lanes that see key j. */
INLINE vi sees(const hora_scores *t, int64_t i, int64_t j) {
    vi from = (vi)v_load((const float *)(t->from + i)), to = (vi)v_load((const float *)(t->to + i));
    vi at = (vi){0} + (int32_t)(t->first + j);
    return (vi)(from <= at) & (vi)(at < to);
}

/* 2^(s - m) of key j and the vector of lanes at i. */
INLINE vf weight(const bool bf16, const bool masked, const hora_scores *t, int64_t i, int64_t j,
                 vf m) {
    vf p = v_pow2(bf16, v_load(t->s + j * t->ld + i) - m);
    return masked ? (vf)((vi)p & sees(t, i, j)) : p;
}

/* Two rows of elements. */
INLINE void store_two(const bool bf16, void *y, int64_t at, int64_t ld, vf a, vf b) {
#ifdef HORA_VARIANT_avx512_bf16
    if (bf16) {
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a);
        _mm256_storeu_si256((__m256i_u *)((uint16_t *)y + at), _mm512_castsi512_si256(both));
        _mm256_storeu_si256((__m256i_u *)((uint16_t *)y + at + ld),
                            _mm512_extracti64x4_epi64(both, 1));
        return;
    }
#endif
    e_store(bf16, y, at, a, VL);
    e_store(bf16, y, at + ld, b, VL);
}

/* nv vectors of lanes from i on. */
INLINE void softmax_update_lanes(const bool bf16, const bool masked, const int nv,
                                 const hora_scores *t, int64_t i, float *m, float *l,
                                 float *correction) {
    vf most[WIDE], sum[WIDE];
    for (int v = 0; v < nv; v++)
        most[v] = v_load(m + i + v * VL);
    for (int64_t j = 0; j < t->keys; j++)
        for (int v = 0; v < nv; v++) {
            vf s = v_load(t->s + j * t->ld + i + v * VL);
            most[v] = v_max(most[v], masked ? v_select(sees(t, i + v * VL, j), s, most[v]) : s);
        }
    for (int v = 0; v < nv; v++) {
        vf old = v_load(m + i + v * VL);
        /* weights up to 2^8 are as good as those up to 1 and spare o a correction */
        most[v] = v_select((vi)(most[v] - old <= v_set(8)), old, most[v]);
        vf scaled = v_pow2(false, old - most[v]);
        scaled =
            v_select((vi)(old == v_set(HORA_NO_SCORE)), v_set(1), scaled); /* nothing there yet */
        v_store(m + i + v * VL, most[v]);
        v_store(correction + i + v * VL, scaled);
        sum[v] = v_load(l + i + v * VL) * scaled;
    }
    int64_t j = 0;
    for (; j + 2 <= t->keys; j += 2)
        for (int v = 0; v < nv; v++) {
            int64_t at = i + v * VL;
            vf a = weight(bf16, masked, t, at, j, most[v]);
            vf b = weight(bf16, masked, t, at, j + 1, most[v]);
            sum[v] += a;
            sum[v] += b;
            if (bf16)
                store_pairs(t->pairs + j / 2 * t->ldp + at, a, b);
            else
                store_two(false, t->p, j * t->ldp + at, t->ldp, a, b);
        }
    for (int v = 0; v < nv && j < t->keys; v++) {
        int64_t at = i + v * VL;
        vf p = weight(bf16, masked, t, at, j, most[v]);
        sum[v] += p;
        if (bf16)
            store_pairs(t->pairs + j / 2 * t->ldp + at, p, v_zero());
        else
            v_store((float *)t->p + j * t->ldp + at, p);
    }
    for (int v = 0; v < nv; v++)
        v_store(l + i + v * VL, sum[v]);
}

/* p of one key and vector; ds in *ds. */
INLINE vf grad_of(const bool bf16, const bool masked, const hora_scores *t, int64_t i, int64_t j,
                  vf lse, vf d, vf *ds) {
    vf p = weight(bf16, masked, t, i, j, lse);
    vf g = p * (v_load(t->dp + j * t->ld + i) - d);
    *ds = masked ? (vf)((vi)g & sees(t, i, j)) : g;
    return p;
}

INLINE void grad_lanes(const bool bf16, const bool masked, const int nv, const hora_scores *t,
                       int64_t i, const float *lse2, const float *dots) {
    vf lse[WIDE], d[WIDE];
    for (int v = 0; v < nv; v++) {
        lse[v] = v_load(lse2 + i + v * VL);
        d[v] = v_load(dots + i + v * VL);
    }
    int64_t j = 0;
    for (; j + 2 <= t->keys; j += 2)
        for (int v = 0; v < nv; v++) {
            int64_t at = i + v * VL;
            vf da, a = grad_of(bf16, masked, t, at, j, lse[v], d[v], &da);
            vf db, b = grad_of(bf16, masked, t, at, j + 1, lse[v], d[v], &db);
            store_two(bf16, t->p, j * t->ldp + at, t->ldp, a, b);
            store_two(bf16, t->ds, j * t->ldp + at, t->ldp, da, db);
            if (bf16)
                store_pairs(t->pairs + j / 2 * t->ldp + at, da, db);
        }
    for (int v = 0; v < nv && j < t->keys; v++) {
        int64_t at = i + v * VL;
        vf ds, p = grad_of(bf16, masked, t, at, j, lse[v], d[v], &ds);
        e_store(bf16, t->p, j * t->ldp + at, p, VL);
        e_store(bf16, t->ds, j * t->ldp + at, ds, VL);
        if (bf16)
            store_pairs(t->pairs + j / 2 * t->ldp + at, ds, v_zero());
    }
}

INLINE void softmax_update(const bool bf16, const bool masked, const hora_scores *t, float *m,
                           float *l, float *correction) {
    int64_t i = 0;
    for (; i + WIDE * VL <= t->rows; i += WIDE * VL)
        softmax_update_lanes(bf16, masked, WIDE, t, i, m, l, correction);
    for (; i < t->rows; i += VL)
        softmax_update_lanes(bf16, masked, 1, t, i, m, l, correction);
}

INLINE void grad(const bool bf16, const bool masked, const hora_scores *t, const float *lse2,
                 const float *d) {
    int64_t i = 0;
    for (; i + WIDE * VL <= t->rows; i += WIDE * VL)
        grad_lanes(bf16, masked, WIDE, t, i, lse2, d);
    for (; i < t->rows; i += VL)
        grad_lanes(bf16, masked, 1, t, i, lse2, d);
}

static void softmax_rescale(int64_t rows, int64_t width, const float *factor, float *o) {
    for (int64_t i = 0; i < rows; i++, o += width)
        if (factor[i] != 1)
            EACH(width)
                SET(o, GET(o) * factor[i]);
}

/* log2 x of normal x > 0, 1e-7: e + log2 m with m near 1, whose series is one of (m - 1) / (m + 1).
 */
INLINE vf v_log2(vf x) {
    vi u = (vi)x - 0x3f3504f3; /* sqrt(1/2) */
    vf m = (vf)((u & 0x7fffff) + 0x3f3504f3), s = (m - 1.0f) / (m + 1.0f), z = s * s;
    vf q = v_fma(v_set(3.2059889e-01f), z, v_set(4.1219858e-01f));
    q = v_fma(q, z, v_set(5.7707802e-01f));
    q = v_fma(q, z, v_set(9.6179669e-01f));
    q = v_fma(q, z, v_set(2.8853901e+00f));
    vf e;
    for (int i = 0; i < VL; i++)
        e[i] = (float)(u[i] >> 23);
    return v_fma(q, s, e);
}

/* lse of the lanes from i on. */
INLINE void lanes_lse(int64_t i, int64_t rows, const float *m, const float *l, float *lse,
                      int64_t ldlse) {
    float z[VL];
    vf most = v_load(m + i);
    v_store(z, v_select((vi)(most == v_set(HORA_NO_SCORE)), v_zero(),
                        0.69314718f * (most + v_log2(v_load(l + i)))));
    for (int64_t r = i; r < i + VL && r < rows; r++)
        lse[r * ldlse] = z[r - i];
}

INLINE void softmax_finish(const bool bf16, int64_t rows, int64_t width, const float *m,
                           const float *l, const float *o, void *y, int64_t ldy, float *lse,
                           int64_t ldlse) {
    for (int64_t i = 0; lse && i < rows; i += VL)
        lanes_lse(i, rows, m, l, lse, ldlse);
    for (int64_t i = 0; i < rows; i++, o += width) {
        float each = m[i] != HORA_NO_SCORE ? 1.0f / l[i] : 0.0f;
        EACH(width)
            e_store(bf16, y, i * ldy + at_, GET(o) * each, left_);
    }
}

INLINE void dots(const bool bf16, int64_t rows, int64_t width, const void *a, const void *b,
                 int64_t ld, float *out) {
    for (int64_t i = 0; i < rows; i++) {
        vf sum = v_zero();
        EACH(width)
            sum = v_fma(e_load(bf16, a, i * ld + at_, left_), e_load(bf16, b, i * ld + at_, left_),
                        sum);
        out[i] = v_sum(sum);
    }
}

INLINE void store(const bool bf16, int64_t rows, int64_t width, float alpha, const float *x,
                  int64_t parts, int64_t next, void *y, int64_t ldy, bool overwrite) {
    for (int64_t i = 0; i < rows; i++, x += width)
        EACH(width) {
            vf sum = GET(x);
            for (int64_t p = 1; p < parts; p++)
                sum += GET(x + p * next);
            sum *= alpha;
            if (!overwrite)
                sum += e_load(bf16, y, i * ldy + at_, left_);
            e_store(bf16, y, i * ldy + at_, sum, left_);
        }
}

/* nr rows of o and nv vectors of columns, the last of which has `left` lanes. */
INLINE void mix_block(const bool bf16, const int nr, const int nv, int64_t width, int64_t keys,
                      const float *p, int64_t ldp, const void *v, int64_t ldv, int64_t left,
                      float *o) {
    vf acc[4][4];
    for (int r = 0; r < nr; r++)
        for (int c = 0; c < nv; c++) {
            int64_t n = c == nv - 1 ? left : VL;
            acc[r][c] = e_load(false, o, r * width + c * VL, n);
        }
    for (int64_t j = 0; j < keys; j++)
        for (int c = 0; c < nv; c++) {
            vf vj = e_load(bf16, v, j * ldv + c * VL, c == nv - 1 ? left : VL);
            for (int r = 0; r < nr; r++)
                acc[r][c] = v_fma(v_set(p[j * ldp + r]), vj, acc[r][c]);
        }
    for (int r = 0; r < nr; r++)
        for (int c = 0; c < nv; c++)
            e_store(false, o, r * width + c * VL, acc[r][c], c == nv - 1 ? left : VL);
}

INLINE void mix(const bool bf16, int64_t rows, int64_t width, int64_t keys, const float *p,
                int64_t ldp, const void *v, int64_t ldv, float *o) {
    const int64_t size = bf16 ? 2 : 4;
    for (int64_t c = 0; c < width;) {
        bool four = width - c >= 4 * VL;
        const char *vc = (const char *)v + c * size;
        int64_t left = four ? VL : width - c, i = 0;
        for (; i + 4 <= rows; i += 4)
            if (four)
                mix_block(bf16, 4, 4, width, keys, p + i, ldp, vc, ldv, left, o + i * width + c);
            else
                mix_block(bf16, 4, 1, width, keys, p + i, ldp, vc, ldv, left, o + i * width + c);
        for (; i < rows; i++)
            if (four)
                mix_block(bf16, 1, 4, width, keys, p + i, ldp, vc, ldv, left, o + i * width + c);
            else
                mix_block(bf16, 1, 1, width, keys, p + i, ldp, vc, ldv, left, o + i * width + c);
        c += four ? 4 * VL : VL;
    }
}

#define TABLE(name, bf16)                                                                          \
    static void softmax_update_##name(const hora_scores *t, float *m, float *l, float *scaled) {   \
        if (t->from)                                                                               \
            softmax_update(bf16, true, t, m, l, scaled);                                           \
        else                                                                                       \
            softmax_update(bf16, false, t, m, l, scaled);                                          \
    }                                                                                              \
    static void grad_##name(const hora_scores *t, const float *lse2, const float *d) {             \
        if (t->from)                                                                               \
            grad(bf16, true, t, lse2, d);                                                          \
        else                                                                                       \
            grad(bf16, false, t, lse2, d);                                                         \
    }                                                                                              \
    static void softmax_finish_##name(int64_t rows, int64_t width, const float *m, const float *l, \
                                      const float *o, void *y, int64_t ldy, float *lse,            \
                                      int64_t ldlse) {                                             \
        softmax_finish(bf16, rows, width, m, l, o, y, ldy, lse, ldlse);                            \
    }                                                                                              \
    static void dots_##name(int64_t rows, int64_t width, const void *a, const void *b, int64_t ld, \
                            float *out) {                                                          \
        dots(bf16, rows, width, a, b, ld, out);                                                    \
    }                                                                                              \
    static void store_##name(int64_t rows, int64_t width, float alpha, const float *x,             \
                             int64_t parts, int64_t next, void *y, int64_t ldy, bool overwrite) {  \
        store(bf16, rows, width, alpha, x, parts, next, y, ldy, overwrite);                        \
    }                                                                                              \
    static void mix_##name(int64_t rows, int64_t width, int64_t keys, const float *p, int64_t ldp, \
                           const void *v, int64_t ldv, float *o) {                                 \
        mix(bf16, rows, width, keys, p, ldp, v, ldv, o);                                           \
    }                                                                                              \
    extern const hora_kern_attention KERN(attention_##name);                                       \
    const hora_kern_attention KERN(attention_##name) = {                                           \
        softmax_update_##name, softmax_rescale, softmax_finish_##name, grad_##name, dots_##name,   \
        store_##name,          mix_##name};
TABLE(f32, false)
TABLE(bf16, true)
