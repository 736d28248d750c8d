/* Low-rank factors that a prelude makes: used in projections, and evaluated for files and merging.
 */
#include "peft/made.h"

#include "nn/recording.h"

static hora_made *made_of(const hora_adapter *a) {
    return a->state ? *(hora_made **)a->state : NULL;
}

void *hora_made_state(hora_adapter *a, size_t size) {
    a->state = hora_calloc(1, size);
    *(hora_made **)a->state = hora_calloc((size_t)a->base->nsites + 1, sizeof(hora_made));
    return a->state;
}

void hora_made_release(hora_adapter *a) {
    hora_made *m = made_of(a);
    for (int i = 0; m && i < a->base->nsites; i++) {
        hora_free(m[i].value_a);
        hora_free(m[i].value_f);
    }
    hora_free(m);
}

hora_t hora_made_linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                        hora_t b) {
    const hora_made *m = &made_of(a)[s - a->base->sites];
    if (!m->rank)
        return hora_net_next(n, s, x, w, b);
    hora_t xd = hora_dropout(
        n->g, x, hora_net_dropout(n, m->dropout),
        hora_net_stream(n, a, a->method->name, hora_typed_stream(a, (int)(s - a->base->sites))));
    return hora_net_update(n, a, s, x, w, b, xd, m->a, m->f, m->scale);
}

/* The factors are what is to be read of a recording of the preludes. */
static void keep(hora_net *n, hora_t hidden, void *user) {
    const hora_adapter *a = user;
    const hora_made *m = made_of(a);
    (void)hidden;
    for (int i = 0; i < a->base->nsites; i++)
        if (m[i].rank) {
            hora_graph_output(n->g, m[i].a);
            hora_graph_output(n->g, m[i].f);
        }
}

static void copy(const hora_graph *g, hora_t t, size_t size, void **to) {
    const hora_view *v = hora_graph_view(g, t);
    *to = hora_realloc(*to, (size_t)hora_elems(v) * size);
    memcpy(*to, v->data, (size_t)hora_elems(v) * size);
}

hora_status hora_made_materialise(hora_adapter *a) {
    hora_adapter *only[] = {a};
    hora_device *d = hora_device_new();
    hora_recording r;
    const hora_recording_parts parts = {.base = a->base,
                                        .adapters = only,
                                        .nadapters = 1,
                                        .device = d,
                                        .rows = 64,
                                        .mode = HORA_NET_EVAL,
                                        .outputs = keep,
                                        .user = a};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "generated factors");
    hora_made *m = made_of(a);
    if (!s)
        hora_graph_before(r.g);
    for (int i = 0; i < a->base->nsites && !s; i++)
        if (m[i].rank) {
            copy(r.g, m[i].a, hora_dtype_size(a->dtype), &m[i].value_a);
            copy(r.g, m[i].f, hora_dtype_size(a->dtype), &m[i].value_f);
        }
    hora_recording_release(&r);
    hora_device_free(d);
    return s;
}

void hora_made_factors(hora_adapter *a, int site, hora_factors *f) {
    const hora_made *m = &made_of(a)[site];
    *f = m->rank ? (hora_factors){.rank = m->rank,
                                  .scale = m->scale,
                                  .alpha = m->alpha,
                                  .a = m->value_a,
                                  .b = m->value_f}
                 : (hora_factors){0};
}
