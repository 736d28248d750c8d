#ifndef HORA_BACKEND_CUDA_CUDA_IMPL_H
#define HORA_BACKEND_CUDA_CUDA_IMPL_H
/*
 * What the C files of this folder share: the device behind a hora_device, the row of an op, and
 * products by cuBLASLt. Everything goes in order on one stream.
 */
#include <cublasLt.h>

#include "backend/cuda/kern.h"
#include "backend/device_impl.h"

/* cuBLASLt is opened at run time, so that a build with CUDA starts on a machine without it. */
typedef struct hora_cuda_library {
    void *handle;
#define HORA_CUDA_LT(X)                                                                            \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(Matmul)                                                                                      \
    X(MatmulDescCreate)                                                                            \
    X(MatmulDescDestroy)                                                                           \
    X(MatmulDescSetAttribute)                                                                      \
    X(MatrixLayoutCreate)                                                                          \
    X(MatrixLayoutDestroy)                                                                         \
    X(MatrixLayoutSetAttribute)                                                                    \
    X(MatmulPreferenceCreate)                                                                      \
    X(MatmulPreferenceDestroy)                                                                     \
    X(MatmulPreferenceSetAttribute)                                                                \
    X(MatmulAlgoGetHeuristic)
#define HORA_CUDA_LT_FIELD(name) __typeof__(cublasLt##name) *name;
    HORA_CUDA_LT(HORA_CUDA_LT_FIELD)
#undef HORA_CUDA_LT_FIELD
} hora_cuda_library;

/* The shape of a product, and how the library computes it. */
typedef struct hora_cuda_plan {
    hora_cuda_plain shape;
    bool branched;             /* of a branch, which has a smaller workspace */
    cublasLtMatmulDesc_t desc; /* NULL: the library declines, kern_product.cu does it */
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
} hora_cuda_plan;

typedef struct hora_cuda {
    cudaStream_t stream; /* where launches go: the trunk, or a branch */
    cudaStream_t trunk, branch[HORA_BRANCHES];
    cudaEvent_t fork, done[HORA_BRANCHES];
    void *branch_workspace;      /* one for each */
    int at;                      /* 0: the trunk, else 1 + branch */
    unsigned begun;              /* bits of branches */
    int capability;              /* 90: compute capability 9.0 */
    char name[256], variant[32]; /* "NVIDIA H100 80GB HBM3", "cuda sm_90" */
    hora_cuda_library lt;
    cublasLtHandle_t handle;
    void *workspace;
    hora_cuda_plan *plans;
    size_t nplans, cplans;
    void *pinned; /* of the batch on its way */
    size_t pinned_bytes;
    cudaEvent_t sent; /* the batch has left pinned memory */
    double *number;   /* one, in the device's memory */
    size_t taken, most_taken;
    char failed[256]; /* the first thing that went wrong; "" */
} hora_cuda;

hora_cuda *hora_cuda_of(const hora_device *d);
/* Keeps the first failure for the next sync. */
void hora_cuda_note(hora_cuda *u, cudaError_t e, const char *what);
void hora_cuda_took(hora_cuda *u, size_t bytes);
hora_status hora_cuda_library_open(hora_cuda *u); /* HORA_EUNSUPPORTED: none here */
void hora_cuda_library_close(hora_cuda *u);
/* d (m, n) = alpha op(a) op(b) + beta c, row by row; c may be d. How is found at the first call of
 * a shape and kept. */
void hora_cuda_product(hora_cuda *u, const hora_cuda_plain *p, float alpha, const void *a,
                       const void *b, float beta, const void *c, void *d);

static inline size_t cu_aligned(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}
/* Pieces of scratch, in order; `at` NULL only counts. */
typedef struct cu_room {
    char *at;
    size_t used;
} cu_room;
static inline void *cu_take(cu_room *r, size_t bytes) {
    void *p = r->at ? r->at + r->used : NULL;
    r->used += cu_aligned(bytes);
    return p;
}

/* --- ops -------------------------------------------------------------------------------------- */
typedef struct hora_cuda_job { /* state of an impl */
    hora_cuda *u;
    const struct hora_cuda_op *op;
    const void *table; /* the device's copy of what the attributes borrow; NULL: nothing */
} hora_cuda_job;

/* One row per op, hora_cuda_op_x. Dtypes of inputs are F32 or BF16. */
typedef struct hora_cuda_op {
    /* False: declined. NULL: all are taken. */
    bool (*takes)(const hora_cuda *, const hora_call *);
    size_t (*scratch)(const hora_call *); /* NULL: none */
    /* What of the attributes has to be copied; NULL: nothing. */
    const void *(*table)(const hora_attr *, size_t *bytes);
    void (*forward)(const hora_cuda_job *, const hora_call *);
    void (*backward)(const hora_cuda_job *, const hora_call *); /* NULL: none */
} hora_cuda_op;
/* v in dtype t: where it is, or a copy in r; j NULL only counts. */
const void *hora_cuda_in_type(const hora_cuda_job *j, const hora_view *v, hora_dtype t, cu_room *r);
#define CUDA_OP(name, ...)                                                                         \
    extern const hora_cuda_op hora_cuda_op_##name;                                                 \
    const hora_cuda_op hora_cuda_op_##name = {__VA_ARGS__}

static inline int64_t cu_rows(const hora_view *v) {
    return v->shape.d[0];
}
static inline int64_t cu_width(const hora_view *v) {
    return v->shape.n > 0 ? v->shape.d[v->shape.n - 1] : 1;
}
static inline bool cu_wants(const hora_call *c, int i) {
    return c->phase == HORA_BACKWARD && c->grad & HORA_IN(i);
}
static inline bool cu_adds(const hora_call *c, int i) {
    return !(c->overwrite & HORA_IN(i));
}
/* The first n inputs and the output have one dtype. */
static inline bool cu_alike(const hora_call *c, int n) {
    for (int i = 0; i < n; i++)
        if (!hora_absent(&c->in[i]) && c->in[i].dtype != c->out.dtype)
            return false;
    return true;
}
#endif
