#ifndef HORA_BACKEND_CPU_KERN_H
#define HORA_BACKEND_CPU_KERN_H
/*
 * The inner loops, one table per instruction set. Everything here is one thread's work on memory
 * that the caller cut; nothing allocates, nothing knows of ops' views. Files kern_*.c are compiled
 * once per variant; hora_kern_get() gives the tables for this processor (capped by HORA_ISA).
 * Matrices are row-major float; ld* are leading dimensions in elements.
 */
#include <stdbool.h>
#include <stdint.h>

#include "op/op.h"

/*
 * Products. Elements are f32 or bf16, and both go in units of 4 bytes: an f32, or two bf16 that
 * follow each other along k; the second half of the last unit is zero in B when k is odd.
 *
 * A term adds x (m, k) times a packed B (k, n). Unit (i, p) of x, of row i and elements p or 2p and
 * 2p + 1 along k, lies at x + i sxi + p sxp bytes: row-major x has sxp = 4; x that `pack` wrote as
 * a B (k, m) of one panel is read transposed, with sxi = 4 and sxp = 4 times the columns of the
 * panel.
 */
typedef struct hora_gemm_term {
    int64_t k; /* elements; 0: no such term */
    const void *x;
    int64_t sxi, sxp; /* bytes */
    const void *b;    /* as `pack` wrote it */
    int64_t sb;       /* bytes from one panel of B to the next */
    /* n columns of a wider panel: bytes from one of its units to the next. 0: all of it */
    int64_t su;
} hora_gemm_term;

/* y (m, n) = add + bias + alpha (c + term 0 + term 1). add may be y. */
typedef struct hora_gemm {
    int64_t m, n;
    hora_gemm_term t[2];
    float alpha;
    const float *c; /* f32, (m, n) with ldc; NULL: none */
    int64_t ldc;
    const void *add; /* of y's elements; NULL: none */
    int64_t ldadd;
    const float *bias; /* (n); NULL: none */
    void *y;
    int64_t ldy;
    bool wide; /* y and add are f32, whatever the elements of x and B */
} hora_gemm;

/* What is packed: B (k, n) = scale w' with w (n, k) when trans_w, else scale w (k, n). */
typedef struct hora_pack {
    const void *w;
    int64_t ldw; /* elements */
    bool trans_w;
    bool wide;   /* w is f32, whatever the elements of B; always so for f32 */
    float scale; /* 1 unless wide */
    int64_t k, n;
} hora_pack;

/* y (m, n) = x w' of few rows, with w (n, k) of x's elements in place. */
typedef struct hora_few {
    int64_t m, n, k, ldx, ldw, ldy;
    const void *x, *w;
    float *y;
} hora_few;

typedef struct hora_kern_gemm {
    int64_t panel; /* columns of a packed panel; the last is as wide as it must, in whole vectors */
    size_t elem;   /* bytes of an element */
    void (*gemm)(const hora_gemm *);
    void (*few)(const hora_few *);
    size_t (*pack_bytes)(int64_t k, int64_t n);
    void (*pack)(const hora_pack *, void *to); /* panels one after another, without gaps */
} hora_kern_gemm;

/* Runs of elements and rows. There is a table for f32 and one for bf16: `void` is the table's
 * elements. `overwrite` false: the result is added to what is there. */
typedef struct hora_kern_rows {
    void (*act)(hora_act s, int64_t n, const void *x, void *y);
    void (*act_grad)(hora_act s, int64_t n, const void *x, const void *dy, void *dx,
                     bool overwrite);
    void (*glu)(hora_act s, int64_t n, const void *g, const void *u, void *y);
    /* dg or du NULL: not wanted. u is read for dg only. dg and du may be one. */
    void (*glu_grad)(hora_act s, int64_t n, const void *g, const void *u, const void *dy, void *dg,
                     void *du, bool overwrite_dg, bool overwrite_du);
    /* y = a + alpha b; a NULL: zero; it may be y */
    void (*add)(int64_t n, float alpha, const void *a, const void *b, void *y);
    /* y = a * b */
    void (*mul)(int64_t n, const void *a, const void *b, void *y, bool overwrite);
    /* y = alpha x * v */
    void (*scale)(int64_t n, float alpha, const void *x, const float *v, void *y, bool overwrite);
    /* y = x */
    void (*accumulate)(int64_t n, const void *x, float *y, bool overwrite);
    /* y (width) = sum over rows of x; with b: of x * b, times alpha */
    void (*column_sums)(int64_t rows, int64_t width, float alpha, const void *x, const void *b,
                        int64_t ld, float *y, bool overwrite);
    /* x, y (n, w), weight (w); r (n) may be NULL */
    void (*rmsnorm)(int64_t n, int64_t w, float eps, const void *x, const float *weight, void *y,
                    float *r);
    void (*rmsnorm_dx)(int64_t n, int64_t w, const void *x, const float *weight, const float *r,
                       const void *dy, void *dx, bool overwrite);
    /* dw (columns) of `columns` columns from x, dy, which are parts of rows of width w */
    void (*rmsnorm_dw)(int64_t n, int64_t w, int64_t columns, const void *x, const float *r,
                       const void *dy, float *dw, bool overwrite);
    /* x, y (n, w), weight, bias (w); bias NULL: none; mean and r (n), both NULL or none */
    void (*layernorm)(int64_t n, int64_t w, float eps, const void *x, const float *weight,
                      const float *bias, void *y, float *mean, float *r);
    void (*layernorm_dx)(int64_t n, int64_t w, const void *x, const float *weight,
                         const float *mean, const float *r, const void *dy, void *dx,
                         bool overwrite);
    /* as rmsnorm_dw */
    void (*layernorm_dw)(int64_t n, int64_t w, int64_t columns, const void *x, const float *mean,
                         const float *r, const void *dy, float *dw, bool overwrite);
    /* One row: heads of width 2 half, cos and sin (half); sign 1 or -1 */
    void (*rope)(int64_t heads, int64_t half, const float *cos, const float *sin, float sign,
                 const void *x, void *y, bool overwrite);
    /* y = x rounded to bf16; y may begin where x does */
    void (*narrow)(int64_t n, const float *x, uint16_t *y);
    void (*widen)(int64_t n, const uint16_t *x, float *y); /* of bf16 */
    /* m (4 n) = 1 where a word of philox's is at least `least`, else 0; counters from `counter` on,
     * whose lowest 24 bits do not run over. m holds a multiple of 64. */
    void (*mask)(uint64_t seed, uint64_t stream, uint64_t counter, int64_t n, uint32_t least,
                 float *m);
    /* y (m, n) = add + bias + alpha c, all f32; add and bias may be NULL, add may be y */
    void (*merge)(int64_t m, int64_t n, float alpha, const float *c, int64_t ldc, const float *add,
                  int64_t ldadd, const float *bias, float *y, int64_t ldy);
} hora_kern_rows;

/* Weights in blocks (tensor/blocks.h). */
typedef struct hora_kern_blocks {
    /* y (n) = values [from, from + n) of a row that begins at x; both multiples of 32 */
    void (*dequantize)(float *y, const void *x, hora_dtype type, int64_t from, int64_t n);
    /* the same, rounded to bf16 */
    void (*dequantize_bf16)(uint16_t *y, const void *x, hora_dtype type, int64_t from, int64_t n);
} hora_kern_blocks;

/* Rows of logits. */
typedef struct hora_kern_softmax {
    /* log of the sum of exp z */
    float (*lse)(int64_t n, const float *z);
    /* z becomes factor exp(z - lse) */
    void (*weigh)(int64_t n, float lse, float factor, float *z);
} hora_kern_softmax;

/*
 * Attention goes over transposed tiles of scores: a row per key, the query rows side by side, so
 * that maxima and sums run down the lanes. Scores are in units of log 2: they have the factor
 * log2(e), and what is exp elsewhere is a power of two here.
 *
 * Lanes are worked on in whole vectors: what lies along them, from `rows` on to the next multiple
 * of 16, is read and written.
 */
typedef struct hora_scores {
    int64_t keys, rows;
    int64_t first;            /* number of key 0 */
    const int32_t *from, *to; /* row i sees keys from_i <= j < to_i; NULL: all */
    const float *s, *dp;      /* (keys, ld): s = log2(e) scale k q' and dp = v dy' */
    int64_t ld;
    /* Results are elements of products. `pairs` ((keys + 1) / 2, ldp) are units of two keys, which
     * products read transposed; f32 has none, there the plain rows serve. */
    void *p, *ds; /* (keys, ldp) */
    uint32_t *pairs;
    int64_t ldp;
} hora_scores;

#define HORA_NO_SCORE (-1e30f) /* maximum of a row that saw no key yet */

/* One table per element. o is f32; y, a, b, v are elements. */
typedef struct hora_kern_attention {
    /* One more tile: m, within 8 of each row's maximum, and sum l go on, o is to be multiplied by
     * correction; p = 2^(s - m), 0 where not seen, goes to `p` in f32 and to `pairs` in bf16. */
    void (*softmax_update)(const hora_scores *t, float *m, float *l, float *correction);
    /* o (rows, width), row i times factor_i */
    void (*softmax_rescale)(int64_t rows, int64_t width, const float *factor, float *o);
    /* y = o / l and lse = ln 2 (m + log2 l); zeros for rows that saw nothing. lse may be NULL. */
    void (*softmax_finish)(int64_t rows, int64_t width, const float *m, const float *l,
                           const float *o, void *y, int64_t ldy, float *lse, int64_t ldlse);
    /* p = 2^(s - lse2) and ds = p (dp - d), 0 where not seen; `pairs` are those of ds. */
    void (*grad)(const hora_scores *t, const float *lse2, const float *d);
    /* out_i = a_i b_i' */
    void (*dots)(int64_t rows, int64_t width, const void *a, const void *b, int64_t ld, float *out);
    /* y = alpha (x + x from `next` on + .. , `parts` of them) */
    void (*store)(int64_t rows, int64_t width, float alpha, const float *x, int64_t parts,
                  int64_t next, void *y, int64_t ldy, bool overwrite);
    /* o (rows, width) += p' v with p (keys, ldp) of f32, v (keys, width) in place: few rows */
    void (*mix)(int64_t rows, int64_t width, int64_t keys, const float *p, int64_t ldp,
                const void *v, int64_t ldv, float *o);
} hora_kern_attention;

/* Loops at the best this instruction set reaches; for measuring, not for computing. */
typedef struct hora_kern_loop {
    float (*run)(int64_t rounds); /* products in registers; NULL: no such instruction */
    double flops;                 /* of a round */
} hora_kern_loop;
typedef struct hora_kern_peak {
    hora_kern_loop f32, bf16, tiles; /* tiles (AMX, bf16): only where hora_cpu_isa() says so */
    /* Reads n words, a multiple of 64, and folds them. */
    uint32_t (*read)(const uint32_t *p, int64_t n);
} hora_kern_peak;

typedef struct hora_kern {
    const char *name;              /* "avx512" */
    const hora_kern_gemm *gemm[2]; /* of f32 and of bf16 elements */
    const hora_kern_rows *rows, *rows_bf16;
    const hora_kern_softmax *softmax;
    const hora_kern_blocks *blocks;
    const hora_kern_attention *attention[2]; /* of f32 and of bf16 elements */
    const hora_kern_peak *peak;
} hora_kern;
const hora_kern *hora_kern_get(void);
#endif
