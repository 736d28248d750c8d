/*
 * Products by cuBLASLt. A row-major product is the library's column-major one with the operands
 * exchanged. The library's first choice for a shape is kept; what it declines, or what is not
 * aligned to 16 bytes, goes to kern_product.cu.
 */
#include <dlfcn.h>

#include "backend/cuda/cuda_impl.h"

enum { WORKSPACE = 64 << 20, BRANCH_WORKSPACE = 1 << 20 };

static size_t workspace_bytes(bool branched) {
    return branched ? BRANCH_WORKSPACE : WORKSPACE;
}

hora_status hora_cuda_library_open(hora_cuda *u) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
    hora_cuda_library *l = &u->lt;
    for (size_t i = 0; i < HORA_COUNT(names) && !l->handle; i++)
        l->handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!l->handle)
        return hora_fail(HORA_EUNSUPPORTED,
                         "cuda: no libcublasLt on this machine; install CUDA's cuBLAS, or add its "
                         "folder to LD_LIBRARY_PATH");
    bool all = true;
#define LOAD(name) all &= (*(void **)&l->name = dlsym(l->handle, "cublasLt" #name)) != NULL;
    HORA_CUDA_LT(LOAD)
#undef LOAD
    if (!all || l->Create(&u->handle) != CUBLAS_STATUS_SUCCESS)
        return hora_fail(HORA_EUNSUPPORTED, "cuda: libcublasLt does not start on this machine; it "
                                            "has to be as new as the driver allows");
    if (cudaMalloc(&u->workspace, WORKSPACE + HORA_BRANCHES * BRANCH_WORKSPACE) != cudaSuccess)
        return hora_fail(HORA_ENOMEM, "cuda: no 96 MiB are free on the GPU; end what else runs "
                                      "there");
    u->branch_workspace = (char *)u->workspace + WORKSPACE;
    hora_cuda_took(u, WORKSPACE + HORA_BRANCHES * BRANCH_WORKSPACE);
    return HORA_OK;
}

static void plan_free(hora_cuda *u, hora_cuda_plan *p) {
    if (p->a)
        u->lt.MatrixLayoutDestroy(p->a);
    if (p->b)
        u->lt.MatrixLayoutDestroy(p->b);
    if (p->d)
        u->lt.MatrixLayoutDestroy(p->d);
    if (p->desc)
        u->lt.MatmulDescDestroy(p->desc);
    p->a = p->b = p->d = NULL;
    p->desc = NULL;
}

void hora_cuda_library_close(hora_cuda *u) {
    for (size_t i = 0; i < u->nplans; i++)
        plan_free(u, &u->plans[i]);
    hora_free(u->plans);
    if (u->handle)
        u->lt.Destroy(u->handle);
    if (u->workspace)
        cudaFree(u->workspace);
    if (u->lt.handle)
        dlclose(u->lt.handle);
}

static cudaDataType_t type_of(hora_dtype t) {
    return t == HORA_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* Row-major (rows, columns) matrices that follow each other, as the library sees them. */
static bool layout(hora_cuda *u, cublasLtMatrixLayout_t *out, hora_dtype t, int64_t rows,
                   int64_t columns, int64_t batch) {
    const int32_t count = (int32_t)batch;
    const int64_t step = rows * columns;
    return u->lt.MatrixLayoutCreate(out, type_of(t), (uint64_t)columns, (uint64_t)rows, columns) ==
               0 &&
           (batch == 1 ||
            (u->lt.MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                            sizeof count) == 0 &&
             u->lt.MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                            &step, sizeof step) == 0));
}

static bool choose(hora_cuda *u, hora_cuda_plan *p) {
    cublasLtMatmulPreference_t pref;
    cublasLtMatmulHeuristicResult_t result;
    const uint64_t room = workspace_bytes(p->branched);
    const uint32_t align = 16, sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    int n = 0;
    if (u->lt.MatmulPreferenceCreate(&pref) != 0)
        return false;
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        const void *value;
        size_t bytes;
    } wishes[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room},
                  {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align, sizeof align},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align, sizeof align},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align, sizeof align},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align, sizeof align}};
    bool ok = true;
    for (size_t i = 0; i < HORA_COUNT(wishes); i++)
        ok &= u->lt.MatmulPreferenceSetAttribute(pref, wishes[i].what, wishes[i].value,
                                                 wishes[i].bytes) == 0;
    ok = ok && u->lt.MatmulAlgoGetHeuristic(u->handle, p->desc, p->a, p->b, p->d, p->d, pref, 1,
                                            &result, &n) == 0;
    u->lt.MatmulPreferenceDestroy(pref);
    if (!ok || n < 1 || result.state != CUBLAS_STATUS_SUCCESS)
        return false;
    p->algo = result.algo;
    return true;
}

/* The library's A is our b and the other way round. */
static void plan_make(hora_cuda *u, hora_cuda_plan *p) {
    const hora_cuda_plain *s = &p->shape;
    const cublasOperation_t ta = s->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                            tb = s->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    bool ok =
        u->lt.MatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0 &&
        u->lt.MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta) == 0 &&
        u->lt.MatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb) == 0 &&
        layout(u, &p->a, s->tin, s->tb ? s->n : s->k, s->tb ? s->k : s->n, s->batch) &&
        layout(u, &p->b, s->tin, s->ta ? s->k : s->m, s->ta ? s->m : s->k, s->batch) &&
        layout(u, &p->d, s->tout, s->m, s->n, s->batch);
    if (!ok || !choose(u, p))
        plan_free(u, p);
}

static bool same_shape(const hora_cuda_plain *a, const hora_cuda_plain *b) {
    return a->ta == b->ta && a->tb == b->tb && a->m == b->m && a->n == b->n && a->k == b->k &&
           a->batch == b->batch && a->tin == b->tin && a->tout == b->tout;
}

static const hora_cuda_plan *plan_of(hora_cuda *u, const hora_cuda_plain *s) {
    for (size_t i = 0; i < u->nplans; i++)
        if (u->plans[i].branched == (u->at > 0) && same_shape(&u->plans[i].shape, s))
            return &u->plans[i];
    hora_cuda_plan p = {.shape = *s, .branched = u->at > 0};
    plan_make(u, &p);
    HORA_PUSH(u->plans, u->nplans, u->cplans, p);
    return &u->plans[u->nplans - 1];
}

static bool aligned(const void *p) {
    return ((uintptr_t)p & 15) == 0;
}

void hora_cuda_product(hora_cuda *u, const hora_cuda_plain *s, float alpha, const void *a,
                       const void *b, float beta, const void *c, void *d) {
    if (!s->m || !s->n || !s->batch)
        return;
    const hora_cuda_plan *p = plan_of(u, s);
    if (!p->desc || !aligned(a) || !aligned(b) || !aligned(c) || !aligned(d)) {
        hora_cuda_plain_run(u->stream, s, alpha, a, b, beta, c, d);
        return;
    }
    void *workspace =
        u->at ? (char *)u->branch_workspace + (size_t)(u->at - 1) * BRANCH_WORKSPACE : u->workspace;
    cublasStatus_t e =
        u->lt.Matmul(u->handle, p->desc, &alpha, b, p->a, a, p->b, &beta, c ? c : d, p->d, d, p->d,
                     &p->algo, workspace, workspace_bytes(p->branched), u->stream);
    if (e != CUBLAS_STATUS_SUCCESS)
        hora_cuda_note(u, cudaErrorUnknown, "a product of cuBLASLt");
}
