/* Are all weights numbers? One reading of what a training or a merge reads anyway. */
#include "base/threads.h"
#include "model/family.h"

typedef struct scan {
    const hora_base *b;
    bool *bad; /* per weight */
} scan;

/* Infinities and NaNs have all bits of the exponent set. */
static bool bad_f32(const uint32_t *x, int64_t n) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= (x[i] & 0x7f800000u) == 0x7f800000u;
    return bad;
}
static bool bad_bf16(const uint16_t *x, int64_t n) {
    unsigned bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= (x[i] & 0x7f80u) == 0x7f80u;
    return bad;
}
static bool bad_f64(const uint64_t *x, int64_t n) {
    uint64_t bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= (x[i] & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    return bad;
}

static void look(void *arg, int64_t tile, int thread) {
    const scan *s = arg;
    const hora_weight *w = &s->b->weights[tile];
    const hora_view *v = &w->view;
    const int64_t n = hora_elems(v);
    (void)thread;
    if (!v->data || w->tied)
        return;
    s->bad[tile] = v->dtype == HORA_F32    ? bad_f32(v->data, n)
                   : v->dtype == HORA_BF16 ? bad_bf16(v->data, n)
                   : v->dtype == HORA_F64  ? bad_f64(v->data, n)
                                           : false;
    hora_base_forget(s->b, v->data);
}

hora_status hora_base_finite(const hora_base *b) {
    const scan s = {b, hora_calloc((size_t)b->nweights + 1, sizeof(bool))};
    hora_status st = HORA_OK;
    hora_parallel(b->nweights, look, (void *)(uintptr_t)&s);
    for (int i = 0; i < b->nweights && st == HORA_OK; i++)
        if (s.bad[i])
            st = hora_fail(HORA_ENUMERIC,
                           "%s: %s holds a number that is not finite; fetch the file again, or go "
                           "back to the model that this one was made of",
                           b->dir, b->weights[i].name);
    hora_free(s.bad);
    return st;
}
