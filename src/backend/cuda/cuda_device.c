/*
 * A GPU as a device: its memory, one stream that everything goes through in order, and runs of
 * calls kept as CUDA graphs. Failures are noted where they happen and told by sync, once a step.
 */
#include <math.h>
#include <stdio.h>

#include "backend/cuda/cuda_impl.h"
#include "base/log.h"
#include "base/text.h"

hora_cuda *hora_cuda_of(const hora_device *d) {
    return hora_device_own(d);
}

void hora_cuda_note(hora_cuda *u, cudaError_t e, const char *what) {
    if (e != cudaSuccess && !u->failed[0])
        snprintf(u->failed, sizeof u->failed, "%s: %s", what, cudaGetErrorString(e));
}

/* --- life ------------------------------------------------------------------------------------- */
static void cuda_close(hora_device *d) {
    hora_cuda *u = hora_cuda_of(d);
    if (u->stream)
        cudaStreamSynchronize(u->stream);
    hora_cuda_library_close(u);
    cudaFree(u->number);
    if (u->pinned)
        cudaFreeHost(u->pinned);
    if (u->sent)
        cudaEventDestroy(u->sent);
    if (u->fork)
        cudaEventDestroy(u->fork);
    for (int i = 0; i < HORA_BRANCHES; i++) {
        if (u->done[i])
            cudaEventDestroy(u->done[i]);
        if (u->branch[i])
            cudaStreamDestroy(u->branch[i]);
    }
    if (u->trunk)
        cudaStreamDestroy(u->trunk);
    hora_free(u);
}

static cudaError_t make_streams(hora_cuda *u) {
    cudaError_t e = cudaStreamCreateWithFlags(&u->trunk, cudaStreamNonBlocking);
    cudaEvent_t *events[] = {&u->sent, &u->fork};
    for (int i = 0; i < 2 && e == cudaSuccess; i++)
        e = cudaEventCreateWithFlags(events[i], cudaEventDisableTiming);
    for (int i = 0; i < HORA_BRANCHES && e == cudaSuccess; i++) {
        e = cudaStreamCreateWithFlags(&u->branch[i], cudaStreamNonBlocking);
        if (e == cudaSuccess)
            e = cudaEventCreateWithFlags(&u->done[i], cudaEventDisableTiming);
    }
    u->stream = u->trunk;
    return e;
}

static hora_status start(hora_cuda *u) {
    struct cudaDeviceProp about;
    int count = 0;
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess || !count)
        return hora_fail(HORA_EUNSUPPORTED, "no CUDA device here (%s); take --device host",
                         e != cudaSuccess ? cudaGetErrorString(e) : "none is visible");
    if ((e = cudaGetDeviceProperties(&about, 0)) == cudaSuccess &&
        (e = make_streams(u)) == cudaSuccess)
        e = cudaMalloc((void **)&u->number, sizeof *u->number);
    if (e != cudaSuccess)
        return hora_fail(HORA_EUNSUPPORTED, "cuda: the GPU does not start: %s",
                         cudaGetErrorString(e));
    u->capability = about.major * 10 + about.minor;
    hora_snprintf(u->name, sizeof u->name, "%s", about.name);
    hora_snprintf(u->variant, sizeof u->variant, "cuda sm_%d", u->capability);
    if (u->capability < 80)
        return hora_fail(HORA_EUNSUPPORTED,
                         "cuda: %s has compute capability %d.%d; 8.0 or newer is needed", u->name,
                         about.major, about.minor);
    HORA_TRY(hora_cuda_library_open(u));
    e = u->capability == 90 ? hora_cuda_flash_prepare() : cudaSuccess;
    return e == cudaSuccess
               ? HORA_OK
               : hora_fail(HORA_EUNSUPPORTED, "cuda: %s runs no kernel of this build: %s", u->name,
                           cudaGetErrorString(e));
}

static hora_status cuda_open(hora_device *d) {
    hora_cuda *u = hora_calloc(1, sizeof *u);
    hora_device_set_own(d, u);
    hora_status s = start(u);
    if (s != HORA_OK)
        cuda_close(d);
    return s;
}

void hora_cuda_took(hora_cuda *u, size_t bytes) {
    u->taken += bytes;
    u->most_taken = u->taken > u->most_taken ? u->taken : u->most_taken;
}

/* --- memory ----------------------------------------------------------------------------------- */
static hora_status cuda_alloc(hora_device *d, void **out, size_t bytes, const char *what) {
    size_t left = 0, all = 0;
    char need[32], has[32], of[32];
    *out = NULL;
    if (cudaMalloc(out, bytes) == cudaSuccess) {
        hora_cuda_took(hora_cuda_of(d), bytes);
        return HORA_OK;
    }
    cudaGetLastError();
    cudaMemGetInfo(&left, &all);
    return hora_fail(HORA_ENOMEM,
                     "%s: %s are needed, but the GPU has %s of %s free (%s); lower --batch-size or "
                     "--seq-len, or recompute layers with --recompute auto",
                     what, hora_human_bytes(need, (double)bytes),
                     hora_human_bytes(has, (double)left), hora_human_bytes(of, (double)all),
                     hora_cuda_of(d)->name);
}

static void cuda_free(hora_device *d, void *p, size_t bytes) {
    hora_cuda_of(d)->taken -= bytes;
    cudaStreamSynchronize(hora_cuda_of(d)->stream);
    hora_cuda_note(hora_cuda_of(d), cudaFree(p), "giving memory back");
}

static void copy(hora_device *d, void *to, const void *from, size_t bytes,
                 enum cudaMemcpyKind way) {
    hora_cuda *u = hora_cuda_of(d);
    hora_cuda_note(u, cudaMemcpyAsync(to, from, bytes, way, u->stream), "copying");
    hora_cuda_note(u, cudaStreamSynchronize(u->stream), "a kernel");
}

static void cuda_put(hora_device *d, void *to, const void *host, size_t bytes) {
    copy(d, to, host, bytes, cudaMemcpyHostToDevice);
}

static void cuda_get(hora_device *d, void *host, const void *from, size_t bytes) {
    copy(d, host, from, bytes, cudaMemcpyDeviceToHost);
}

static void cuda_fill(hora_device *d, void *p, int byte, size_t bytes) {
    hora_cuda *u = hora_cuda_of(d);
    hora_cuda_note(u, cudaMemsetAsync(p, byte, bytes, u->stream), "filling");
}

static hora_status cuda_sync(hora_device *d) {
    hora_cuda *u = hora_cuda_of(d);
    hora_cuda_note(u, cudaStreamSynchronize(u->stream), "a kernel");
    if (!u->failed[0])
        return HORA_OK;
    return hora_fail(HORA_EIO, "cuda: %s; the run cannot go on, resume from its last checkpoint",
                     u->failed);
}

static size_t cuda_memory(hora_device *d) {
    size_t left = 0, all = 0;
    hora_cuda_note(hora_cuda_of(d), cudaMemGetInfo(&left, &all), "asking for memory");
    return left;
}

static size_t cuda_taken(hora_device *d) {
    return hora_cuda_of(d)->most_taken;
}

static const char *cuda_variant(hora_device *d) {
    return hora_cuda_of(d)->variant;
}

static bool cuda_prefers_bf16(void) {
    return true;
}

/* --- the batch -------------------------------------------------------------------------------- */
static size_t leaf_bytes(const hora_leaves *l, int leaf, int64_t rows) {
    return cu_aligned((size_t)(l->columns[leaf] * rows) *
                      hora_dtype_size(hora_leaf_at(leaf)->dtype));
}

static size_t cuda_stage_bytes(const hora_leaves *l, int64_t rows) {
    size_t sum = cu_aligned(sizeof(hora_batch));
    for (int i = 0; i < HORA_LEAVES; i++)
        sum += leaf_bytes(l, i, rows);
    return sum;
}

static bool pin(hora_cuda *u, size_t bytes) {
    if (bytes <= u->pinned_bytes)
        return true;
    if (u->pinned)
        cudaFreeHost(u->pinned);
    u->pinned_bytes = 0;
    cudaError_t e = cudaMallocHost(&u->pinned, bytes);
    hora_cuda_note(u, e, "memory for a batch");
    u->pinned_bytes = e == cudaSuccess ? bytes : 0;
    return e == cudaSuccess;
}

/* The struct first, its pointers the device's, then the leaves that are read. */
static const hora_batch *cuda_stage(hora_device *d, void *room, const hora_leaves *l,
                                    const hora_batch *batch) {
    hora_cuda *u = hora_cuda_of(d);
    hora_batch there = *batch;
    size_t at = cu_aligned(sizeof there);
    hora_cuda_note(u, cudaEventSynchronize(u->sent), "sending a batch");
    if (!pin(u, cuda_stage_bytes(l, batch->rows)))
        return room;
    for (int i = 0; i < HORA_LEAVES; i++) {
        const size_t bytes = leaf_bytes(l, i, batch->rows);
        const void *from = hora_batch_leaf(batch, i);
        void *to = bytes && from ? (char *)room + at : NULL;
        if (to)
            memcpy((char *)u->pinned + at, from,
                   (size_t)(l->columns[i] * batch->rows) * hora_dtype_size(hora_leaf_at(i)->dtype));
        memcpy((char *)&there + hora_leaf_at(i)->offset, &to, sizeof to);
        at += bytes;
    }
    memcpy(u->pinned, &there, sizeof there);
    hora_cuda_note(u, cudaMemcpyAsync(room, u->pinned, at, cudaMemcpyHostToDevice, u->stream),
                   "sending a batch");
    hora_cuda_note(u, cudaEventRecord(u->sent, u->stream), "sending a batch");
    return room;
}

/* --- runs of calls ---------------------------------------------------------------------------- */
static void cuda_begin(hora_device *d) {
    hora_cuda *u = hora_cuda_of(d);
    hora_cuda_note(u, cudaStreamBeginCapture(u->stream, cudaStreamCaptureModeRelaxed),
                   "keeping a step");
}

static void *cuda_end(hora_device *d) {
    hora_cuda *u = hora_cuda_of(d);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t kept = NULL;
    hora_cuda_note(u, cudaStreamEndCapture(u->stream, &graph), "keeping a step");
    if (graph) {
        hora_cuda_note(u, cudaGraphInstantiate(&kept, graph, 0), "keeping a step");
        cudaGraphDestroy(graph);
    }
    return kept;
}

static void cuda_replay(hora_device *d, void *kept) {
    hora_cuda *u = hora_cuda_of(d);
    if (kept)
        hora_cuda_note(u, cudaGraphLaunch(kept, u->stream), "a step");
}

static void cuda_forget(hora_device *d, void *kept) {
    cudaStreamSynchronize(hora_cuda_of(d)->stream);
    cudaGraphExecDestroy(kept);
}

static void to_branch(hora_cuda *u, int b) {
    if (!u->begun)
        hora_cuda_note(u, cudaEventRecord(u->fork, u->trunk), "a branch");
    if (!(u->begun & 1u << (b - 1)))
        hora_cuda_note(u, cudaStreamWaitEvent(u->branch[b - 1], u->fork, 0), "a branch");
    u->begun |= 1u << (b - 1);
    u->stream = u->branch[b - 1];
}

static void to_trunk(hora_cuda *u) {
    for (int i = 0; i < HORA_BRANCHES; i++)
        if (u->begun & 1u << i) {
            hora_cuda_note(u, cudaEventRecord(u->done[i], u->branch[i]), "a branch");
            hora_cuda_note(u, cudaStreamWaitEvent(u->trunk, u->done[i], 0), "a branch");
        }
    u->begun = 0;
    u->stream = u->trunk;
}

static void cuda_branch(hora_device *d, int b) {
    hora_cuda *u = hora_cuda_of(d);
    if (b == u->at)
        return;
    if (b)
        to_branch(u, b);
    else
        to_trunk(u);
    u->at = b;
}

/* --- the peak --------------------------------------------------------------------------------- */
static double time_products(hora_cuda *u, const hora_cuda_plain *p, char *room, double seconds) {
    const size_t one = (size_t)(p->m * p->m) * hora_dtype_size(p->tin);
    double best = 0, spent = 0;
    cudaEvent_t from, to;
    if (cudaEventCreate(&from) != cudaSuccess || cudaEventCreate(&to) != cudaSuccess)
        return 0;
    hora_cuda_noise(u->stream, p->tin, 1, room, 2 * p->m * p->m);
    for (int i = 0; i < 1000 && (i < 4 || spent < seconds); i++) {
        float ms = 0;
        cudaEventRecord(from, u->stream);
        hora_cuda_product(u, p, 1, room, room + one, 0, NULL, room + 2 * one);
        cudaEventRecord(to, u->stream);
        cudaEventSynchronize(to);
        cudaEventElapsedTime(&ms, from, to);
        spent += 1e-3 * ms;
        if (i && ms > 0)
            best = fmax(best, 2.0 * (double)p->m * (double)p->m * (double)p->m / (1e-3 * ms));
    }
    cudaEventDestroy(from);
    cudaEventDestroy(to);
    return best;
}

/* The yardstick: one large product, the best of several. */
static double cuda_flops(hora_device *d, hora_dtype t, double seconds) {
    hora_cuda *u = hora_cuda_of(d);
    const int64_t n = t == HORA_BF16 ? 8192 : 4096;
    const hora_cuda_plain p = {.tb = true, .m = n, .n = n, .k = n, .batch = 1, .tin = t, .tout = t};
    void *room;
    if (cudaMalloc(&room, 3 * (size_t)(n * n) * hora_dtype_size(t)) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    double best = time_products(u, &p, room, seconds);
    cudaFree(room);
    return best;
}

/* A large copy inside the memory, the best of several; counts bytes read and bytes written. */
static double cuda_reads(hora_device *d, double seconds) {
    hora_cuda *u = hora_cuda_of(d);
    const size_t bytes = (size_t)1 << 30;
    double best = 0, spent = 0;
    cudaEvent_t from, to;
    char *room;
    if (cudaMalloc((void **)&room, 2 * bytes) != cudaSuccess) {
        cudaGetLastError();
        return 0;
    }
    cudaEventCreate(&from);
    cudaEventCreate(&to);
    hora_cuda_noise(u->stream, HORA_F32, 1, room, (int64_t)(bytes / sizeof(float)));
    for (int i = 0; i < 1000 && (i < 4 || spent < seconds); i++) {
        float ms = 0;
        cudaEventRecord(from, u->stream);
        cudaMemcpyAsync(room + bytes, room, bytes, cudaMemcpyDeviceToDevice, u->stream);
        cudaEventRecord(to, u->stream);
        cudaEventSynchronize(to);
        cudaEventElapsedTime(&ms, from, to);
        spent += 1e-3 * ms;
        if (i && ms > 0)
            best = fmax(best, 2.0 * (double)bytes / (1e-3 * ms));
    }
    cudaEventDestroy(from);
    cudaEventDestroy(to);
    cudaFree(room);
    return best;
}

/* --- the spans -------------------------------------------------------------------------------- */
typedef struct spans_room {
    hora_cuda_piece *piece;
    double *partial;
    hora_cuda_rule rule;
} spans_room;

static void cuda_detach(hora_device *d, hora_param_spans *s) {
    spans_room *r = s->room;
    if (r) {
        cudaStreamSynchronize(hora_cuda_of(d)->stream);
        cudaFree(r->piece);
        cudaFree(r->partial);
    }
    hora_free(r);
    s->room = NULL;
}

static void *copy_of(hora_device *d, float *host, int64_t n) {
    void *p = NULL;
    if (hora_device_mirror(d, &p, host, (size_t)n * sizeof *host, "parameters") != HORA_OK)
        HORA_BUG("a span was not mirrored");
    return p;
}

static hora_status cuda_attach(hora_device *d, hora_param_spans *s) {
    static const char *const rules[] = {"adamw", "sgd", "lion"};
    size_t k = 0, bytes = (size_t)hora_max(s->n, 1) * sizeof(hora_cuda_piece);
    while (k < HORA_COUNT(rules) && !hora_eq(rules[k], s->rule))
        k++;
    if (k == HORA_COUNT(rules))
        return hora_fail(HORA_EUNSUPPORTED,
                         "optimizer %s has no kernel for device cuda; take adamw, sgd or lion, or "
                         "--device host",
                         s->rule);
    spans_room *r = s->room = hora_calloc(1, sizeof *r);
    hora_cuda_piece *list = hora_calloc(1, bytes);
    r->rule = (hora_cuda_rule)k;
    for (int i = 0; i < s->n; i++) {
        const hora_param_piece *p = &s->piece[i];
        list[i] =
            (hora_cuda_piece){copy_of(d, p->value, p->n),
                              copy_of(d, p->grad, p->n),
                              {copy_of(d, p->moment[0], p->n), copy_of(d, p->moment[1], p->n)},
                              p->n,
                              p->lr,
                              p->decay,
                              p->least,
                              p->active};
    }
    hora_status st = cuda_alloc(d, (void **)&r->piece, bytes, "the list of parameters");
    if (st == HORA_OK)
        st = cuda_alloc(d, (void **)&r->partial, (size_t)hora_max(s->n, 1) * sizeof(double),
                        "the list of parameters");
    if (st == HORA_OK)
        cuda_put(d, r->piece, list, bytes);
    hora_free(list);
    return st;
}

static double cuda_squares(hora_device *d, const hora_param_spans *s) {
    hora_cuda *u = hora_cuda_of(d);
    const spans_room *r = s->room;
    double sum = 0;
    hora_cuda_squares(u->stream, r->piece, s->n, r->partial, u->number);
    cuda_get(d, &sum, u->number, sizeof sum);
    return sum;
}

static void cuda_update(hora_device *d, const hora_param_spans *s, const hora_update *x) {
    const spans_room *r = s->room;
    const double t = (double)x->step;
    hora_cuda_update(hora_cuda_of(d)->stream, r->rule, r->piece, s->n,
                     (hora_cuda_rates){.lr = x->lr,
                                       .beta1 = x->beta1,
                                       .beta2 = x->beta2,
                                       .eps = x->eps,
                                       .momentum = x->momentum,
                                       .scale = x->scale,
                                       .first = 1 / (1 - pow(x->beta1, t)),
                                       .root = 1 / sqrt(1 - pow(x->beta2, t))});
}

extern const hora_device_kind hora_device_cuda;
const hora_device_kind hora_device_cuda = {.name = "cuda",
                                           .open = cuda_open,
                                           .close = cuda_close,
                                           .alloc = cuda_alloc,
                                           .free = cuda_free,
                                           .put = cuda_put,
                                           .get = cuda_get,
                                           .fill = cuda_fill,
                                           .sync = cuda_sync,
                                           .memory = cuda_memory,
                                           .flops = cuda_flops,
                                           .reads = cuda_reads,
                                           .taken = cuda_taken,
                                           .variant = cuda_variant,
                                           .prefers_bf16 = cuda_prefers_bf16,
                                           .stage_bytes = cuda_stage_bytes,
                                           .stage = cuda_stage,
                                           .begin = cuda_begin,
                                           .end = cuda_end,
                                           .replay = cuda_replay,
                                           .forget = cuda_forget,
                                           .branch = cuda_branch,
                                           .attach = cuda_attach,
                                           .detach = cuda_detach,
                                           .squares = cuda_squares,
                                           .update = cuda_update};
