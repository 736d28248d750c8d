/*
 * The host device: packed weights, shared by all recordings over the same weights, and the products
 * made for their shapes. Both only grow until the device is freed, but for hora_device_drop. Not
 * thread-safe: it is used while preparing, never in a step.
 */
#include "backend/device_impl.h"
#include "base/threads.h"

typedef struct packing {
    const void *key;
    uint64_t layout;
    void *data;
    size_t bytes;
} packing;

typedef struct made {
    hora_matmul_shape shape;
    hora_matmul *matmul;
} made;

struct hora_device {
    const hora_matmul_provider *provider[2]; /* of f32 and bf16 products; NULL: own gemm */
    hora_pack_policy policy;
    int threads;
    void (*done)(void *user, const void *key);
    void *user;
    packing *packed;
    size_t npacked, cpacked;
    made *matmuls;
    size_t nmatmuls, cmatmuls;
};

hora_device *hora_device_new(void) {
    hora_device *d = hora_calloc(1, sizeof *d);
    d->provider[0] = hora_matmul_for(HORA_F32);
    d->provider[1] = hora_matmul_for(HORA_BF16);
    d->threads = hora_threads();
    return d;
}

void hora_device_free(hora_device *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->npacked; i++)
        hora_block_free(d->packed[i].data, d->packed[i].bytes);
    for (size_t i = 0; i < d->nmatmuls; i++)
        hora_device_matmul_provider(d, d->matmuls[i].shape.dtype)->free(d->matmuls[i].matmul);
    hora_free(d->packed);
    hora_free(d->matmuls);
    hora_free(d);
}

const hora_matmul_provider *hora_device_matmul_provider(const hora_device *d, hora_dtype dtype) {
    return d->provider[dtype == HORA_BF16];
}

bool hora_device_uses_library(const hora_device *d, hora_dtype dtype) {
    return hora_device_matmul_provider(d, dtype) != NULL;
}

void hora_device_set_packing(hora_device *d, hora_pack_policy p) {
    d->policy = p;
}

hora_pack_policy hora_device_packing(const hora_device *d) {
    return d->policy;
}

int hora_device_threads(const hora_device *d) {
    return d->threads;
}

static packing *find(const hora_device *d, const void *key, uint64_t layout) {
    for (size_t i = 0; i < d->npacked; i++)
        if (d->packed[i].key == key && d->packed[i].layout == layout)
            return &d->packed[i];
    return NULL;
}

bool hora_device_has(const hora_device *d, const void *key, uint64_t layout) {
    return find(d, key, layout) != NULL;
}

hora_status hora_device_pack(hora_device *d, const void *key, uint64_t layout, size_t bytes,
                             void (*fill)(void *dst, const void *arg), const void *arg,
                             void **out) {
    *out = NULL;
    packing *old = find(d, key, layout);
    if (old) {
        HORA_ASSERT(old->bytes == bytes);
        *out = old->data;
        return HORA_OK;
    }
    packing p = {.key = key, .layout = layout, .bytes = bytes};
    HORA_TRY(hora_block_new(&p.data, bytes, "a packed weight"));
    fill(p.data, arg);
    if (d->done)
        d->done(d->user, key);
    HORA_PUSH(d->packed, d->npacked, d->cpacked, p);
    *out = p.data;
    return HORA_OK;
}

void hora_device_after_packing(hora_device *d, void (*done)(void *user, const void *key),
                               void *user) {
    d->done = done;
    d->user = user;
}

size_t hora_device_packed_bytes(const hora_device *d) {
    size_t sum = 0;
    for (size_t i = 0; i < d->npacked; i++)
        sum += d->packed[i].bytes;
    return sum;
}

void hora_device_drop(hora_device *d, const void *key) {
    size_t kept = 0;
    for (size_t i = 0; i < d->npacked; i++) {
        if (d->packed[i].key == key)
            hora_block_free(d->packed[i].data, d->packed[i].bytes);
        else
            d->packed[kept++] = d->packed[i];
    }
    d->npacked = kept;
}

static bool same_shape(const hora_matmul_shape *a, const hora_matmul_shape *b) {
    return a->m == b->m && a->n == b->n && a->k == b->k && a->ldx == b->ldx && a->ldw == b->ldw &&
           a->ldy == b->ldy && a->trans_x == b->trans_x && a->trans_w == b->trans_w &&
           a->dtype == b->dtype && a->ydtype == b->ydtype && a->alpha == b->alpha &&
           a->accumulate == b->accumulate && a->packed == b->packed;
}

hora_status hora_device_matmul(hora_device *d, const hora_matmul_shape *s,
                               const hora_matmul **out) {
    *out = NULL;
    for (size_t i = 0; i < d->nmatmuls; i++)
        if (same_shape(&d->matmuls[i].shape, s)) {
            *out = d->matmuls[i].matmul;
            return HORA_OK;
        }
    made p = {.shape = *s};
    HORA_TRY(hora_device_matmul_provider(d, s->dtype)->make(&p.matmul, s));
    HORA_PUSH(d->matmuls, d->nmatmuls, d->cmatmuls, p);
    *out = p.matmul;
    return HORA_OK;
}
