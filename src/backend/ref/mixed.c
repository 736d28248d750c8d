/*
 * Calls of mixed dtypes, as bf16 graphs make them: every tensor is widened to double in scratch,
 * the f64 kernel runs, and each result is rounded once to the dtype of its tensor. So ref's bf16 is
 * its f64 with one rounding at each end, whatever the op.
 */
#include "backend/ref/ref_impl.h"

enum { VIEWS = 2 * HORA_MAX_IN + HORA_MAX_SAVED + 2, ALIGN = 64 };

static void list_views(hora_call *c, hora_view *v[VIEWS]) {
    int n = 0;
    for (int i = 0; i < HORA_MAX_IN; i++) {
        v[n++] = &c->in[i];
        v[n++] = &c->din[i];
    }
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        v[n++] = &c->saved[i];
    v[n++] = &c->out;
    v[n++] = &c->dout;
}

static size_t widened(const hora_view *v) {
    size_t bytes = (size_t)hora_elems(v) * sizeof(double);
    return hora_absent(v) || v->dtype == HORA_F64 ? 0 : (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

size_t hora_ref_mixed_scratch(const hora_call *c) {
    hora_call w = *c;
    hora_view *v[VIEWS];
    size_t sum = 0;
    list_views(&w, v);
    for (int i = 0; i < VIEWS; i++)
        sum += widened(v[i]);
    return sum;
}

static void convert(const hora_view *to, const hora_view *from) {
    hora_status s = hora_convert(to->data, to->dtype, from->data, from->dtype, hora_elems(from));
    HORA_ASSERT(s == HORA_OK);
    (void)s;
}

/* Two inputs may be one tensor, and so may their gradients: they share what is widened. */
static void widen(hora_call *w) {
    hora_view *v[VIEWS];
    void *was[VIEWS];
    char *at = w->scratch;
    list_views(w, v);
    for (int i = 0; i < VIEWS; i++) {
        hora_view narrow = *v[i];
        was[i] = narrow.data;
        if (hora_absent(&narrow) || !narrow.data || narrow.dtype == HORA_F64)
            continue;
        int twin = 0;
        while (was[twin] != narrow.data)
            twin++;
        v[i]->dtype = HORA_F64;
        v[i]->data = twin < i ? v[twin]->data : at;
        if (twin == i) {
            convert(v[i], &narrow);
            at += widened(&narrow);
        }
    }
    w->scratch = at;
}

static void put_back(const hora_view *to, const hora_view *wide) {
    if (!hora_absent(to) && to->data && to->data != wide->data)
        convert(to, wide);
}

void hora_ref_mixed_run(const hora_call *c, void (*f64)(const hora_call *)) {
    hora_call w = *c;
    widen(&w);
    f64(&w);
    for (int i = 0; i < HORA_MAX_IN; i++) {
        if (c->phase == HORA_BACKWARD && c->grad & HORA_IN(i))
            put_back(&c->din[i], &w.din[i]);
        if (c->op->options & HORA_OP_EFFECT)
            put_back(&c->in[i], &w.in[i]);
    }
    if (c->phase == HORA_BACKWARD)
        return;
    put_back(&c->out, &w.out);
    for (int i = 0; i < HORA_MAX_SAVED; i++)
        put_back(&c->saved[i], &w.saved[i]);
}
