/*
 * The host device: packed copies of frozen weights, keyed by the plain weight's address and a
 * layout number, shared by all recordings over the same weights. Owned here, freed with the device.
 */
#include "backend/backend.h"

typedef struct packing {
    const void *key;
    uint64_t layout;
    void *data;
    size_t bytes;
} packing;

struct hora_device {
    packing *at;
    int n, cap;
};

hora_device *hora_device_new(void) {
    return hora_calloc(1, sizeof(hora_device));
}

void hora_device_free(hora_device *d) {
    if (!d)
        return;
    for (int i = 0; i < d->n; i++)
        hora_block_free(d->at[i].data, d->at[i].bytes);
    hora_free(d->at);
    hora_free(d);
}

static const packing *find(const hora_device *d, const void *key, uint64_t layout) {
    for (int i = 0; i < d->n; i++)
        if (d->at[i].key == key && d->at[i].layout == layout)
            return &d->at[i];
    return NULL;
}

bool hora_device_has(const hora_device *d, const void *key, uint64_t layout) {
    return find(d, key, layout) != NULL;
}

hora_status hora_device_pack(hora_device *d, const void *key, uint64_t layout, size_t bytes,
                             void (*fill)(void *dst, const void *arg), const void *arg,
                             void **out) {
    const packing *old = find(d, key, layout);
    *out = old ? old->data : NULL;
    if (old)
        return HORA_OK;
    packing p = {.key = key, .layout = layout, .bytes = bytes};
    HORA_TRY(hora_block_new(&p.data, bytes, "packed weights"));
    fill(p.data, arg);
    HORA_PUSH(d->at, d->n, d->cap, p);
    *out = p.data;
    return HORA_OK;
}

size_t hora_device_packed_bytes(const hora_device *d) {
    size_t sum = 0;
    for (int i = 0; i < d->n; i++)
        sum += d->at[i].bytes;
    return sum;
}

void hora_device_drop(hora_device *d, const void *key) {
    for (int i = 0; i < d->n; i++)
        if (d->at[i].key == key) {
            hora_block_free(d->at[i].data, d->at[i].bytes);
            d->at[i--] = d->at[--d->n];
        }
}
