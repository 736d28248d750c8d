#ifndef HORA_BACKEND_CPU_CPU_IMPL_H
#define HORA_BACKEND_CPU_CPU_IMPL_H
/*
 * What the files of the cpu backend share: the row of an op, tiled products, and the way kernels
 * use threads. Work is cut by shapes alone; every chunk is done by one thread.
 */
#include "backend/cpu/kern.h"
#include "backend/device_impl.h"
#include "base/threads.h"

/* One row per op, hora_cpu_op_x in cpu_x.c. Dtypes were checked: f32 everywhere but the loss, and
 * with `bf16` any of inputs and output may be bf16 instead; query declines what it has no loop for.
 */
typedef struct hora_cpu_op {
    /* False: leave it to the next backend. Adds to *need (zeroed). NULL: accepts all, needs
     * nothing. */
    bool (*query)(hora_device *, const hora_call *, hora_need *);
    /* Fills impl->state and, if there is more to say than the ISA, variant. NULL: nothing to build.
     */
    hora_status (*prepare)(hora_device *, const hora_call *, hora_impl *);
    void (*run)(const hora_impl *, const hora_call *);
    bool bf16;
    unsigned blocks; /* HORA_IN of inputs that may lie in blocks (tensor/blocks.h) */
} hora_cpu_op;

/* Float elements of a view. */
static inline float *hora_f32(const hora_view *v) {
    return v->data;
}
/* Element i of a view of F32 or BF16, and the loops over such. */
static inline void *hora_cpu_at(const hora_view *v, int64_t i) {
    return (char *)v->data + (size_t)i * (v->dtype == HORA_BF16 ? 2 : 4);
}
static inline const hora_kern_rows *hora_cpu_loops(const hora_view *v) {
    return v->dtype == HORA_BF16 ? hora_kern_get()->rows_bf16 : hora_kern_get()->rows;
}
/* a' b of n floats */
static inline float hora_cpu_dot(int64_t n, const float *a, const float *b) {
    float sum;
    hora_kern_get()->attention[0]->dots(1, n, a, b, n, &sum);
    return sum;
}
/* y += alpha x, n floats */
static inline void hora_cpu_axpy(int64_t n, float alpha, const float *x, float *y) {
    hora_kern_get()->rows->add(n, alpha, y, x, y);
}
/* The first n inputs and the output have one dtype. */
static inline bool hora_cpu_alike(const hora_call *c, int n) {
    for (int i = 0; i < n; i++)
        if (c->in[i].dtype != c->out.dtype)
            return false;
    return true;
}
/* query of kernels that need nothing but one or two inputs of the output's dtype. */
bool hora_cpu_query_one(hora_device *d, const hora_call *c, hora_need *need);
bool hora_cpu_query_two(hora_device *d, const hora_call *c, hora_need *need);
/* The gradient of input i, a sum over rows, is f32 if it is wanted at all. */
static inline bool hora_cpu_sums_f32(const hora_call *c, int i) {
    return c->phase == HORA_FORWARD || !(c->grad & HORA_IN(i)) || c->din[i].dtype == HORA_F32;
}
static inline int64_t hora_cpu_rows(const hora_view *v) {
    return v->shape.d[0];
}
static inline int64_t hora_cpu_width(const hora_view *v) {
    return v->shape.n > 0 ? v->shape.d[v->shape.n - 1] : 1;
}
static inline bool hora_cpu_wants(const hora_call *c, int i) {
    return c->phase == HORA_BACKWARD && (c->grad & HORA_IN(i));
}
static inline bool hora_cpu_overwrites(const hora_call *c, int i) {
    return (c->overwrite & HORA_IN(i)) != 0;
}
static inline size_t hora_cpu_aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* hora_parallel for kernels with scratch per thread, which was sized for `threads`: with more of
 * them today than then, the tiles run one after another. */
void hora_cpu_parallel(int threads, int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread),
                       void *arg);
/* Waking a thread costs microseconds, so tiles of a product that one finishes in a few run one
 * after another; the tiles, and with them the bits, are the same. `products`: multiplications. */
void hora_cpu_few_or_parallel(int threads, double products, int64_t tiles,
                              void (*fn)(void *arg, int64_t tile, int thread), void *arg);

/* fn(arg, from, to) over chunks of [0, n), each at most `chunk`. */
void hora_cpu_chunks(int64_t n, int64_t chunk, void (*fn)(void *arg, int64_t from, int64_t to),
                     void *arg);

#define HORA_CPU_CHUNK 16384 /* elements: with two operands, half of a second-level cache */
/* Rows of this width that make about a chunk, one at least. */
static inline int64_t hora_cpu_rows_in_chunk(int64_t width) {
    return hora_max(1, HORA_CPU_CHUNK / hora_max(1, width));
}

/* y (+)= alpha a, the first n elements; both of F32 or both of BF16 */
void hora_cpu_add(int64_t n, float alpha, const hora_view *a, const hora_view *y, bool overwrite);
/* y (width) (+)= alpha times the sum over rows of x, or of x * b where b is not NULL; (rows, width)
 */
void hora_cpu_column_sums(int64_t rows, int64_t width, float alpha, const hora_view *x,
                          const hora_view *b, float *y, bool overwrite);

/*
 * A tiled product y (m, n) = add + bias + alpha (x (m, k) B + scale z (m, r) F): m at most `rows`,
 * any at run time; x, y, z and add without gaps; B = w' with w (n, k) when trans_w, else w (k, n);
 * F likewise from a factor f of f32. Tiles are a chunk of rows x a panel of columns. A frozen w is
 * packed once, by panels, where the device's policy says so; any other is packed panel by panel on
 * the way.
 */
typedef struct hora_cpu_matmul_spec {
    int64_t rows, n, k;
    int64_t ldx; /* elements between rows of x; 0: k */
    bool trans_w;
    hora_dtype dtype;   /* of x, z and (unless wide) y and add: F32 or BF16 */
    hora_dtype wdtype;  /* of w: dtype, F32, or in blocks: frozen, and never packed beforehand */
    const void *frozen; /* w, when it never changes and has data; NULL otherwise */
    bool will_freeze;   /* at query, when the data is not there yet */
    int64_t rank;       /* largest r; 0: no low-rank term */
    bool summed;        /* hora_cpu_matmul_sum will run it */
} hora_cpu_matmul_spec;

typedef struct hora_cpu_matmul {
    hora_cpu_matmul_spec spec;
    const hora_kern *kern;
    const hora_kern_gemm *gemm;          /* of spec.dtype */
    const hora_matmul_provider *library; /* NULL: own gemm */
    int threads;
    int64_t chunk;        /* rows of a tile */
    int64_t panel, count; /* columns of a panel, how many */
    const char *packed;   /* NULL: on the way */
    size_t panel_bytes;
    const hora_matmul *made[2][2]; /* library: [whole chunk, 64 rows][whole panel, last panel] */
    size_t library_scratch, sums, thread_scratch; /* bytes per thread */
    size_t rectangle; /* of those, at the end: a part of a panel out of its blocks */
} hora_cpu_matmul;

typedef struct hora_cpu_matmul_args {
    int64_t m;
    float alpha;
    const void *x, *w;     /* w: plain */
    const void *add;       /* NULL: none; may be y */
    const hora_view *bias; /* (n) of F32 or BF16; absent or NULL: none */
    void *y;
    bool wide; /* y and add are F32 */
    struct {
        int64_t rank; /* 0: none */
        const void *z;
        const float *f; /* (n, rank) when trans, else (rank, n) */
        bool trans;
        float scale;
    } low;
    void *scratch;
} hora_cpu_matmul_args;

/* Can products of rows of x by w be computed? */
static inline bool hora_cpu_multiplies(const hora_view *x, const hora_view *w) {
    return (x->dtype == HORA_F32 || x->dtype == HORA_BF16) &&
           (w->dtype == HORA_F32 || w->dtype == x->dtype || hora_dtype_block(w->dtype) > 1);
}
/* Adds scratch and packed bytes. */
void hora_cpu_matmul_query(hora_device *d, const hora_cpu_matmul_spec *s, hora_need *need);
/* Needs no release: what it holds belongs to the device. */
hora_status hora_cpu_matmul_make(hora_cpu_matmul *p, hora_device *d, const hora_cpu_matmul_spec *s);
void hora_cpu_matmul_run(const hora_cpu_matmul *p, const hora_cpu_matmul_args *a);
/* n independent products, as if one after another; n may be 0. Chunks of rows are the outer loop,
 * so products of the same x share what they read of it. */
void hora_cpu_matmul_run_all(const hora_cpu_matmul *const *p, const hora_cpu_matmul_args *a, int n);
/* y of a[0] = its add + the n products, which have the same rows, n, dtype and y. */
void hora_cpu_matmul_sum(const hora_cpu_matmul *const *p, const hora_cpu_matmul_args *a, int n);
const char *hora_cpu_matmul_variant(const hora_cpu_matmul *p);

/* y (o, k) of f32 (+)= alpha a' b with a (rows, o), b (rows, k) of dtype: a weight's gradient. The
 * sum over rows goes in chunks of fixed length inside one tile. */
size_t hora_cpu_weight_grad_scratch(hora_device *d, hora_dtype dtype);
void hora_cpu_weight_grad(hora_dtype dtype, int threads, int64_t rows, int64_t o, int64_t k,
                          float alpha, const void *a, const void *b, float *y, bool overwrite,
                          void *scratch);

/* The same bytes for vectors of F32 or BF16: n floats of v from element `at`. */
void hora_cpu_widen(const hora_view *v, int64_t at, int64_t n, float *to);
/* All of v in f32: where it is, or widened into `to` of hora_cpu_floats_bytes. */
static inline size_t hora_cpu_floats_bytes(const hora_view *v) {
    return hora_absent(v) || v->dtype == HORA_F32
               ? 0
               : hora_cpu_aligned((size_t)hora_elems(v) * sizeof(float));
}
static inline const float *hora_cpu_floats(const hora_view *v, void *to) {
    if (v->dtype == HORA_F32)
        return v->data;
    hora_cpu_widen(v, 0, hora_elems(v), to);
    return to;
}
#endif
