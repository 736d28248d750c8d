/* The adapter that watches q and k. */
#include "infer/watch.h"

static hora_t watch(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                    hora_t b) {
    hora_watch *state = a->state;
    const hora_t y = hora_net_next(n, s, x, w, b);
    if (s->layer >= 0 && (s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K)) {
        (s->kind == HORA_SITE_Q ? state->q : state->k)[s->layer] = y;
        hora_graph_output(n->g, y);
    }
    return y;
}

void hora_watch_open(hora_watch *w, const hora_base *b, hora_adapter *const *adapters, int n) {
    static const hora_hooks hooks = {.linear = watch};
    *w = (hora_watch){.q = hora_calloc((size_t)b->layers, sizeof(hora_t)),
                      .k = hora_calloc((size_t)b->layers, sizeof(hora_t)),
                      .spy = {.hooks = &hooks, .base = b, .enabled = true, .weight = 1},
                      .all = hora_calloc((size_t)n + 1, sizeof(hora_adapter *)),
                      .n = n + 1};
    w->spy.state = w;
    w->all[0] = &w->spy;
    for (int i = 0; i < n; i++)
        w->all[i + 1] = adapters[i];
}

void hora_watch_close(hora_watch *w) {
    hora_free(w->q);
    hora_free(w->k);
    hora_free(w->all);
    *w = (hora_watch){0};
}

void hora_watch_outputs(hora_net *n, hora_t hidden, void *user) {
    (void)user;
    hora_graph_output(n->g, hidden);
}
