/*
 * A device: copies of the host's memory and packed weights, shared by all recordings over the same
 * weights, and the products made for their shapes. All only grow until the device is freed, but for
 * hora_device_drop. Not thread-safe: it is used while preparing, never in a step.
 */
#include <stdlib.h>

#include "backend/device_impl.h"
#include "base/text.h"
#include "base/threads.h"

#define DEVICE(x) extern const hora_device_kind hora_device_##x;
#include "backend/devices.def"
#undef DEVICE

static const hora_device_kind *const kinds[] = {
#define DEVICE(x) &hora_device_##x,
#include "backend/devices.def"
#undef DEVICE
};

typedef struct packing {
    const void *key;
    uint64_t layout;
    void *data;
    size_t bytes;
    bool shared; /* in memory that is not ours to give back */
} packing;

typedef struct made {
    hora_matmul_shape shape;
    hora_matmul *matmul;
} made;

typedef struct mirror {
    const char *host;
    char *copy;
    size_t bytes;
} mirror;

struct hora_device {
    const hora_device_kind *kind;
    void *own; /* the kind's */
    mirror *mirrors;
    size_t nmirrors, cmirrors;
    const hora_matmul_provider *provider; /* of products; NULL: own gemm */
    hora_pack_policy policy;
    int threads;
    void (*done)(void *user, const void *key);
    void *user;
    packing *packed;
    size_t npacked, cpacked;
    const hora_sharing *sharing; /* NULL: packings are our own */
    size_t expected;             /* bytes of shared ones that are still to come */
    char *block;                 /* shared; what is left of it */
    size_t left;
    made *matmuls;
    size_t nmatmuls, cmatmuls;
};

int hora_device_kind_count(void) {
    return (int)HORA_COUNT(kinds);
}

const hora_device_kind *hora_device_kind_at(int i) {
    return kinds[i];
}

hora_device *hora_device_new(void) {
    hora_device *d = hora_calloc(1, sizeof *d);
    d->kind = kinds[0];
    d->provider = hora_matmul_chosen();
    d->threads = hora_threads();
    return d;
}

static hora_status no_kind(const char *name) {
    hora_str all = {0};
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        hora_str_printf(&all, "%s%s%s%s%s", i ? ", " : "", kinds[i]->name,
                        kinds[i]->also ? " (or " : "", kinds[i]->also ? kinds[i]->also : "",
                        kinds[i]->also ? ")" : "");
    hora_status s =
        hora_fail(HORA_EUSAGE, "no device `%s` in this build; there is %s%s", name, all.s,
                  HORA_COUNT(kinds) > 1 ? "" : "; for cuda, build where nvcc is");
    hora_str_release(&all);
    return s;
}

static const char *wanted(const char *kind) {
    const char *name = kind ? kind : getenv("HORA_DEVICE");
    return name && *name ? name : kinds[0]->name;
}

const hora_device_kind *hora_device_kind_named(const char *kind) {
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        if (hora_eq(kinds[i]->name, wanted(kind)) || hora_eq(kinds[i]->also, wanted(kind)))
            return kinds[i];
    return NULL;
}

hora_status hora_device_open(hora_device **out, const char *kind) {
    const hora_device_kind *k = hora_device_kind_named(kind);
    *out = NULL;
    if (!k)
        return no_kind(wanted(kind));
    hora_device *d = hora_device_new();
    d->kind = k;
    hora_status s = d->kind->open ? d->kind->open(d) : HORA_OK;
    if (s != HORA_OK)
        hora_free(d);
    else
        *out = d;
    return s;
}

static void release_packing(const packing *p) {
    if (!p->shared)
        hora_block_free(p->data, p->bytes);
}

void hora_device_free(hora_device *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->nmirrors; i++)
        d->kind->free(d, d->mirrors[i].copy, d->mirrors[i].bytes);
    for (size_t i = 0; i < d->npacked; i++)
        release_packing(&d->packed[i]);
    for (size_t i = 0; i < d->nmatmuls; i++)
        d->provider->free(d->matmuls[i].matmul);
    if (d->kind->close)
        d->kind->close(d);
    hora_free(d->mirrors);
    hora_free(d->packed);
    hora_free(d->matmuls);
    hora_free(d);
}

const hora_device_kind *hora_device_kind_of(const hora_device *d) {
    return d ? d->kind : kinds[0];
}

const char *hora_device_variant(hora_device *d) {
    return hora_device_kind_of(d)->variant(d);
}

bool hora_device_is_host(const hora_device *d) {
    return hora_device_kind_of(d) == kinds[0];
}

void hora_device_set_own(hora_device *d, void *own) {
    d->own = own;
}

void *hora_device_own(const hora_device *d) {
    return d->own;
}

hora_status hora_device_alloc(hora_device *d, void **out, size_t bytes, const char *what) {
    return hora_device_kind_of(d)->alloc(d, out, bytes, what);
}

void hora_device_release(hora_device *d, void *p, size_t bytes) {
    if (p)
        hora_device_kind_of(d)->free(d, p, bytes);
}

/* --- copies of the host's memory -------------------------------------------------------------- */
static mirror *mirror_of(const hora_device *d, const char *host) {
    for (size_t i = 0; i < d->nmirrors; i++)
        if (host >= d->mirrors[i].host && host < d->mirrors[i].host + d->mirrors[i].bytes)
            return &d->mirrors[i];
    return NULL;
}

/* What the host gave back and took anew for something else, in part. */
static void drop_overlapping(hora_device *d, const char *host, size_t bytes) {
    size_t kept = 0;
    for (size_t i = 0; i < d->nmirrors; i++) {
        const mirror m = d->mirrors[i];
        if (m.host < host + bytes && host < m.host + m.bytes)
            d->kind->free(d, m.copy, m.bytes);
        else
            d->mirrors[kept++] = m;
    }
    d->nmirrors = kept;
}

hora_status hora_device_mirror(hora_device *d, void **out, const void *host, size_t bytes,
                               const char *what) {
    *out = (void *)host;
    if (hora_device_is_host(d) || !host || !bytes)
        return HORA_OK;
    const mirror *old = mirror_of(d, host);
    if (old && (const char *)host + bytes <= old->host + old->bytes) {
        *out = old->copy + ((const char *)host - old->host);
        return HORA_OK;
    }
    drop_overlapping(d, host, bytes);
    HORA_TRY(d->kind->alloc(d, out, bytes, what));
    mirror m = {host, *out, bytes};
    HORA_PUSH(d->mirrors, d->nmirrors, d->cmirrors, m);
    hora_device_push(d, host, bytes);
    if (d->done)
        d->done(d->user, host);
    return HORA_OK;
}

void hora_device_push(hora_device *d, const void *host, size_t bytes) {
    const mirror *m = hora_device_is_host(d) ? NULL : mirror_of(d, host);
    if (m)
        d->kind->put(d, m->copy + ((const char *)host - m->host), host, bytes);
}

void hora_device_pull(hora_device *d, void *host, size_t bytes) {
    const mirror *m = hora_device_is_host(d) ? NULL : mirror_of(d, host);
    if (m)
        d->kind->get(d, host, m->copy + ((char *)host - m->host), bytes);
}

static void drop_mirror(hora_device *d, const void *host) {
    mirror *m = mirror_of(d, host);
    if (!m)
        return;
    d->kind->free(d, m->copy, m->bytes);
    *m = d->mirrors[--d->nmirrors];
}

/* --- products and packings of the host -------------------------------------------------------- */
const hora_matmul_provider *hora_device_matmul_provider(const hora_device *d) {
    return d->provider;
}

bool hora_device_uses_library(const hora_device *d) {
    return d->provider != NULL;
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

void hora_device_share(hora_device *d, const hora_sharing *s, size_t bytes) {
    HORA_ASSERT(hora_device_is_host(d));
    d->sharing = s;
    d->expected = bytes;
    d->block = NULL;
    d->left = 0;
}

/* A piece of the shared block, or of a further one; none where there is no room. */
static hora_status take_shared(hora_device *d, packing *p) {
    const size_t bytes = (size_t)hora_round_up((int64_t)p->bytes, 64);
    void *block;
    if (!d->sharing)
        return HORA_OK;
    if (bytes > d->left) {
        const size_t all = bytes > d->expected ? bytes : d->expected;
        HORA_TRY(d->sharing->take(d->sharing->user, all, &block));
        d->block = block;
        d->left = block ? all : 0;
        d->expected = 0;
    }
    if (!d->block) { /* nor will there be for more */
        d->sharing = NULL;
        return HORA_OK;
    }
    p->shared = true;
    p->data = d->block;
    d->block += bytes;
    d->left -= bytes;
    return HORA_OK;
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
    HORA_TRY(take_shared(d, &p));
    if (!p.shared)
        HORA_TRY(hora_block_new(&p.data, bytes, "a packed weight"));
    if (!p.shared || hora_share_fills(d->sharing, (int64_t)d->npacked))
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
            release_packing(&d->packed[i]);
        else
            d->packed[kept++] = d->packed[i];
    }
    d->npacked = kept;
    drop_mirror(d, key);
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
    HORA_TRY(d->provider->make(&p.matmul, s));
    HORA_PUSH(d->matmuls, d->nmatmuls, d->cmatmuls, p);
    *out = p.matmul;
    return HORA_OK;
}
