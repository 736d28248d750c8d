#ifndef HORA_BACKEND_CUDA_KERN_H
#define HORA_BACKEND_CUDA_KERN_H
/*
 * What the .cu files of this folder offer to its C files: launches of kernels on a stream. All
 * pointers are the device's. Elements are F32 or BF16, statistics F32, losses F64; a batch is a
 * hora_batch in the device's memory. Sums have a fixed order: no kernel adds with atomics.
 */
#include <cuda_runtime_api.h>

#include "op/op.h"

/* --- kern_each.cu: element by element; all operands have dtype t */
typedef enum {
    HORA_CUDA_AXPY,  /* a + alpha b; b NULL: alpha a */
    HORA_CUDA_MUL,   /* a b */
    HORA_CUDA_ACT,   /* s(a) */
    HORA_CUDA_DACT,  /* a s'(b) */
    HORA_CUDA_GLU,   /* s(a) b */
    HORA_CUDA_DGATE, /* a b s'(c) */
    HORA_CUDA_DUP    /* a s(b) */
} hora_cuda_map;
/* y = f(a, b, c), or y += f where add; n elements */
void hora_cuda_each(cudaStream_t s, hora_dtype t, hora_cuda_map f, hora_act act, float alpha,
                    const void *a, const void *b, const void *c, void *y, bool add, int64_t n);
/* dg (+)= dy u s'(g), du (+)= dy s(g), in one pass; either may be NULL */
void hora_cuda_glu_back(cudaStream_t s, hora_dtype t, hora_act act, const void *dy, const void *g,
                        const void *u, void *dg, bool add_g, void *du, bool add_u, int64_t n);
/* y (+)= alpha x * v per column; v of dtype tv, NULL: ones */
void hora_cuda_columns(cudaStream_t s, hora_dtype t, hora_dtype tv, float alpha, const void *x,
                       const void *v, void *y, bool add, int64_t rows, int64_t width);
/* y = add + b per column; add NULL: nothing to add to */
void hora_cuda_bias(cudaStream_t s, hora_dtype t, hora_dtype tb, const void *add, const void *b,
                    void *y, int64_t rows, int64_t width);
void hora_cuda_cast(cudaStream_t s, hora_dtype to, void *dst, hora_dtype from, const void *src,
                    int64_t n);
/* Two at once, both from one dtype. */
void hora_cuda_cast_two(cudaStream_t s, hora_dtype to, void *dst0, const void *src0, int64_t n0,
                        void *dst1, hora_dtype from, const void *src1, int64_t n1);
/* y (+)= *factor x, factor in the device's memory */
void hora_cuda_times(cudaStream_t s, hora_dtype t, const double *factor, const void *x, void *y,
                     bool add, int64_t n);
/* uniform numbers of (-1, 1), a function of seed and position */
void hora_cuda_noise(cudaStream_t s, hora_dtype t, uint64_t seed, void *y, int64_t n);
/* op dropout: y (+)= x mask / (1 - p) */
void hora_cuda_dropout(cudaStream_t s, hora_dtype t, const hora_batch *batch, uint64_t stream,
                       double p, const void *x, void *y, bool add, int64_t rows, int64_t width);
/* op rope; sign -1: backward. freq: head_dim / 2 angles; shift is added to positions */
void hora_cuda_rope(cudaStream_t s, hora_dtype t, const hora_batch *batch, const double *freq,
                    int64_t shift, double scale, int sign, const void *x, void *y, bool add,
                    int64_t rows, int64_t heads, int64_t head_dim);
/* op ratio: y = a / (b + *c), c NULL: 0; all F32 */
void hora_cuda_ratio(cudaStream_t s, const float *a, const float *b, const float *c, float *y,
                     int64_t n);
/* da (+)= dy / (b + *c), db (+)= -dy y / (b + *c), dc (+)= their sum; each may be NULL */
typedef struct hora_cuda_ratio_grad {
    const float *b, *c, *y, *dy;
    float *da, *db, *dc;
    bool add_a, add_b, add_c;
    int64_t n;
} hora_cuda_ratio_grad;
void hora_cuda_ratio_back(cudaStream_t s, const hora_cuda_ratio_grad *r);
/* op outer: y_i = a_i (x) b_i; a (n, p), b (n, q), all F32 */
void hora_cuda_outer(cudaStream_t s, const float *a, const float *b, float *y, int64_t n, int64_t p,
                     int64_t q);
/* da, db (+)=; either may be NULL */
void hora_cuda_outer_back(cudaStream_t s, const float *a, const float *b, const float *dy,
                          float *da, bool add_a, float *db, bool add_b, int64_t n, int64_t p,
                          int64_t q);
/* op permute; groups x a x b runs of w elements */
void hora_cuda_permute(cudaStream_t s, hora_dtype t, const void *x, void *y, bool add,
                       int64_t groups, int64_t a, int64_t b, int64_t w);
/* Where row numbers come from: index, or the leaf of the batch at that offset in it. Numbers
 * outside of first .. first + rows of the table name none of its rows. */
typedef struct hora_cuda_numbers {
    const hora_batch *batch;
    const int32_t *index;
    size_t leaf;
    int64_t first, table;
} hora_cuda_numbers;
/* op gather: y = onto + row of e (of dtype te); onto NULL: 0 */
void hora_cuda_gather(cudaStream_t s, hora_dtype t, hora_dtype te, const hora_cuda_numbers *k,
                      const void *e, const void *onto, void *y, int64_t n, int64_t width);
/* de (table, width) F32 (+)= rows of dy, each sum in ascending order */
void hora_cuda_scatter(cudaStream_t s, hora_dtype t, const hora_cuda_numbers *k, const void *dy,
                       float *de, bool add, int64_t n, int64_t width);
/* op input: y = the leaf of F32 at that offset of the batch */
void hora_cuda_input(cudaStream_t s, hora_dtype t, const hora_batch *batch, size_t leaf, void *y,
                     int64_t n);
/* op resample; all of dtype t but dx, which is F32 */
typedef struct hora_cuda_resample {
    hora_dtype t;
    int64_t first, h, w, to_h, to_w, d;
    bool antialias;
} hora_cuda_resample;
void hora_cuda_resample_run(cudaStream_t s, const hora_cuda_resample *p, const void *x, void *y);
void hora_cuda_resample_back(cudaStream_t s, const hora_cuda_resample *p, const void *dy, float *dx,
                             bool add);

/* --- kern_rows.cu: sums over rows and columns */
/* y[j] (+)= alpha sum over i of x_ij b_ij r_i; b of dtype t or NULL, r F32 or NULL; y F32.
 * `partial` holds hora_cuda_column_partials floats. */
int64_t hora_cuda_column_partials(int64_t rows, int64_t width);
void hora_cuda_column_sums(cudaStream_t s, hora_dtype t, float alpha, const void *x, const void *b,
                           const float *r, float *y, bool add, float *partial, int64_t rows,
                           int64_t width);
/* The same with b_ij - m_i for b_ij; m F32. */
void hora_cuda_column_sums_about(cudaStream_t s, hora_dtype t, float alpha, const void *x,
                                 const void *b, const float *m, const float *r, float *y, bool add,
                                 float *partial, int64_t rows, int64_t width);
bool hora_cuda_norm_takes(int64_t width);
/* y = x r w over groups of width elements; r kept where not NULL */
void hora_cuda_rmsnorm(cudaStream_t s, hora_dtype t, hora_dtype tw, float eps, const void *x,
                       const void *w, void *y, float *r, int64_t groups, int64_t width);
void hora_cuda_rmsnorm_back(cudaStream_t s, hora_dtype t, hora_dtype tw, const void *x,
                            const void *w, const float *r, const void *dy, void *dx, bool add,
                            int64_t groups, int64_t width);

typedef struct hora_cuda_layernorm { /* groups of width elements; w and b of F32 or BF16 */
    hora_dtype t, tw, tb;
    float eps;
    const void *x, *w, *b; /* b NULL: 0 */
    void *y;
    float *m, *r; /* mean and 1 / deviation of each group; forward: NULL: not kept */
    int64_t groups, width;
    const void *dy; /* backward */
    void *dx;
    bool add;
} hora_cuda_layernorm;
void hora_cuda_layernorm_run(cudaStream_t s, const hora_cuda_layernorm *p);
void hora_cuda_layernorm_back(cudaStream_t s, const hora_cuda_layernorm *p);
/* op pool: x (n, d), y (n, d), or (n, 2d) where joined; backward reads dy and adds to dx */
void hora_cuda_pool(cudaStream_t s, hora_dtype t, const hora_batch *batch, int64_t skip,
                    bool joined, const void *x, void *y, int64_t n, int64_t d);
void hora_cuda_pool_back(cudaStream_t s, hora_dtype t, const hora_batch *batch, int64_t skip,
                         bool joined, const void *dy, void *dx, bool add, int64_t n, int64_t d);
/* op frames: x, y (n, d), clips of `frames` of `rows` rows; backward reads dy and adds to dx */
void hora_cuda_frames(cudaStream_t s, hora_dtype t, int64_t frames, int64_t rows, const void *x,
                      void *y, int64_t n, int64_t d);
void hora_cuda_frames_back(cudaStream_t s, hora_dtype t, int64_t frames, int64_t rows,
                           const void *dy, void *dx, bool add, int64_t n, int64_t d);

/* --- kern_loss.cu: cross-entropy over a chunk of logits; losses against values */
typedef struct hora_cuda_xent {
    hora_dtype t, tb;        /* of dz, of the bias */
    const hora_batch *batch; /* rows row0 .. row0 + rows of it */
    int64_t row0, rows, classes;
    const float *z;     /* (rows, classes), without bias */
    const void *bias;   /* NULL: none */
    float *lse;         /* (rows); forward: written, 0 where nothing counts; NULL: not kept */
    double *loss;       /* (rows); forward: w (lse - z[target]) */
    void *dz;           /* (rows, classes) or NULL */
    const double *dout; /* factor of dz; NULL: 1 */
    bool back;          /* lse is read, loss is not written */
} hora_cuda_xent;
void hora_cuda_xent_run(cudaStream_t s, const hora_cuda_xent *x);
/* out = scale of the batch x sum of loss */
void hora_cuda_loss(cudaStream_t s, const hora_batch *batch, const double *loss, double *out,
                    int64_t n);

typedef struct hora_cuda_value_loss { /* op mse; binary: op bce */
    hora_dtype t;
    bool binary;
    const hora_batch *batch;
    const void *z; /* (n, k) */
    int64_t n, k;
    double *loss;       /* forward */
    const double *dout; /* backward: factor of dz */
} hora_cuda_value_loss;
void hora_cuda_value_loss_run(cudaStream_t s, const hora_cuda_value_loss *v);
void hora_cuda_value_loss_back(cudaStream_t s, const hora_cuda_value_loss *v, void *dz, bool add);
/* op soft_xent: the values are shares of k classes; rows: n of F64 */
void hora_cuda_soft_xent_run(cudaStream_t s, const hora_cuda_value_loss *v, double *rows);
void hora_cuda_soft_xent_back(cudaStream_t s, const hora_cuda_value_loss *v, void *dz, bool add);
typedef struct hora_cuda_gram { /* op gramdist: r vectors of length k, rows of p or its columns */
    const float *p;
    int64_t r, k;
    bool columns;
    double *distance; /* scratch: 16 bytes, then r r floats */
} hora_cuda_gram;
void hora_cuda_gram_run(cudaStream_t s, const hora_cuda_gram *g, double *out);
void hora_cuda_gram_back(cudaStream_t s, const hora_cuda_gram *g, const double *dout, float *dp,
                         bool add);

/* --- kern_lownorm.cu */
typedef struct hora_cuda_lownorm {
    hora_dtype tw; /* of w; the rest is F32 */
    float alpha;
    const void *w;      /* (o, k) */
    const float *a, *b; /* (r, k), (o, r) */
    float *n;           /* (o): norms of the rows of w + alpha b a; read where dn is given */
    int64_t o, k, r;
    const float *dn; /* NULL, or: u (o, k) = dn / n times these rows, 0 where n is */
    float *u;
} hora_cuda_lownorm;
void hora_cuda_lownorm_run(cudaStream_t s, const hora_cuda_lownorm *p);

/* --- kern_attention.cu: any head width up to 256, any dtype, prefixes; kern_flash.cu: tensor
 * cores, bf16, width 64 or 128, no prefix
 * -------------------------------------------------------------- */
typedef struct hora_cuda_attention {
    hora_dtype t, tp; /* of rows, of the prefix */
    const hora_batch *batch;
    int64_t n, heads, kv_heads, head_dim, window, ahead, prefix;
    float scale;
    const void *q, *k, *v, *kp, *vp;
    void *y;
    float *lse; /* (n, heads); NULL: not kept */
    /* backward */
    const void *dy;
    float *dots;        /* scratch (n, heads): dy . y */
    void *dq, *dk, *dv; /* NULL: not wanted */
    void *dkp, *dvp;    /* of dtype tdp */
    bool add_q, add_k, add_v, add_kp, add_vp;
    int32_t *tiles; /* scratch of hora_cuda_flash_tiles bytes */
} hora_cuda_attention;
void hora_cuda_attend(cudaStream_t s, const hora_cuda_attention *a);
void hora_cuda_attend_back(cudaStream_t s, const hora_cuda_attention *a);
/* op cached_attention: appends rows of k and v to the caches kp and vp, then attends to those */
void hora_cuda_attend_cached(cudaStream_t s, const hora_cuda_attention *a);
bool hora_cuda_flash_takes(int capability, const hora_cuda_attention *a);
size_t hora_cuda_flash_tiles(int64_t n);
cudaError_t hora_cuda_flash_prepare(void); /* raises limits of shared memory; once */
void hora_cuda_flash(cudaStream_t s, const hora_cuda_attention *a);
void hora_cuda_flash_back(cudaStream_t s, const hora_cuda_attention *a);

/* --- kern_product.cu: products that the library declines */
/* d (m, n) = alpha op(a) op(b) + beta c, row by row, of each of `batch` pairs that follow each
 * other; a is (k, m) where ta, b is (n, k) where tb */
typedef struct hora_cuda_plain {
    bool ta, tb;
    int64_t m, n, k, batch;
    hora_dtype tin, tout;
} hora_cuda_plain;
void hora_cuda_plain_run(cudaStream_t s, const hora_cuda_plain *p, float alpha, const void *a,
                         const void *b, float beta, const void *c, void *d);

/* --- kern_update.cu: the spans ---------------------------------------------------------------- */
typedef enum { HORA_CUDA_ADAMW, HORA_CUDA_SGD, HORA_CUDA_LION } hora_cuda_rule;
typedef struct hora_cuda_piece { /* hora_param_piece, with the device's addresses */
    float *value, *grad, *moment[2];
    int64_t n;
    double lr, decay;
    float least; /* values below are set to it */
    int32_t active;
} hora_cuda_piece;
typedef struct hora_cuda_rates { /* hora_update, and what follows from its step */
    double lr, beta1, beta2, eps, momentum, scale;
    double first, root; /* 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
} hora_cuda_rates;
/* out = sum of squares of all gradients; partial holds n numbers */
void hora_cuda_squares(cudaStream_t s, const hora_cuda_piece *p, int n, double *partial,
                       double *out);
void hora_cuda_update(cudaStream_t s, hora_cuda_rule rule, const hora_cuda_piece *p, int n,
                      hora_cuda_rates r);
#endif
