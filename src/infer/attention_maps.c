/* Attention of a picture. */
#include "infer/attention_maps.h"

#include <math.h>

#include "base/text.h"
#include "infer/watch.h"
#include "model/family.h"

/* (rows, width) of a tensor in f32. */
static hora_status fetch(const hora_graph *g, hora_t t, int64_t n, float *out) {
    const hora_view *v = hora_graph_view(g, t);
    void *raw = hora_malloc(hora_view_bytes(v));
    hora_graph_get(g, t, raw);
    const hora_status s = hora_convert(out, HORA_F32, raw, v->dtype, n);
    hora_free(raw);
    return s;
}

/* softmax of one head. */
static void head(const float *q, const float *k, int64_t t, int64_t ld, int64_t dh, float *out) {
    for (int64_t i = 0; i < t; i++) {
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < t; j++) {
            double z = 0;
            for (int64_t c = 0; c < dh; c++)
                z += (double)q[i * ld + c] * (double)k[j * ld + c];
            z /= sqrt((double)dh);
            out[i * t + j] = (float)z;
            most = fmax(most, z);
        }
        for (int64_t j = 0; j < t; j++)
            sum += exp((double)out[i * t + j] - most);
        for (int64_t j = 0; j < t; j++)
            out[i * t + j] = (float)(exp((double)out[i * t + j] - most) / sum);
    }
}

static hora_status take(hora_attention_maps *m, const hora_recording *r, const hora_watch *w,
                        const hora_base *base) {
    const int64_t d = base->heads * base->head_dim, n = m->rows * d;
    float *q = hora_malloc((size_t)n * sizeof *q), *k = hora_malloc((size_t)n * sizeof *k);
    hora_status s = hora_graph_sync(r->g);
    for (int64_t l = 0; l < m->layers && !s; l++) {
        s = fetch(r->g, w->q[l], n, q);
        if (!s)
            s = fetch(r->g, w->k[l], n, k);
        for (int64_t h = 0; h < m->heads && !s; h++)
            head(q + h * base->head_dim, k + h * base->head_dim, m->rows, d, base->head_dim,
                 m->at + (l * m->heads + h) * m->rows * m->rows);
    }
    hora_free(q);
    hora_free(k);
    return s;
}

static hora_status check(const hora_forward *f) {
    if (!f->base->vision)
        return hora_fail(HORA_EUNSUPPORTED, "attention is shown over pictures, but a %s reads text",
                         f->base->model_type);
    for (int a = 0; a < f->nadapters; a++)
        if (hora_adapter_on(f->adapters[a]) && f->adapters[a]->hooks->kv)
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter %s puts keys of its own in front, which have no place in the "
                             "picture",
                             f->adapters[a]->name);
    return HORA_OK;
}

static hora_status pass(hora_attention_maps *m, const hora_forward *f, const hora_forward_batch *b,
                        const hora_watch *w) {
    hora_recording r = {0};
    hora_batch l = {0};
    const hora_recording_parts parts = {.base = f->base,
                                        .adapters = w->all,
                                        .nadapters = w->n,
                                        .device = f->device,
                                        .rows = b->b * m->rows,
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_watch_outputs};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "one pass");
    const hora_leaves leaves = s ? (hora_leaves){{0}} : hora_graph_leaves(r.g);
    if (!s)
        s = hora_batch_init(&l, b->b * m->rows, &leaves);
    if (!s)
        s = hora_forward_fill(f, b, &l);
    if (!s) {
        hora_recording_run(&r, &l);
        s = take(m, &r, w, f->base);
    }
    hora_batch_release(&l);
    hora_recording_release(&r);
    return s;
}

hora_status hora_attention_maps_run(hora_attention_maps *m, const hora_forward *f,
                                    const hora_forward_batch *b) {
    const hora_base *base = f->base;
    *m = (hora_attention_maps){0};
    HORA_TRY(check(f));
    HORA_TRY(hora_forward_fit(f, b));
    m->layers = base->layers;
    m->heads = base->heads;
    m->rows = hora_vision_rows(base->vision);
    const size_t n = (size_t)(m->layers * m->heads * m->rows * m->rows);
    hora_watch w;
    hora_watch_open(&w, base, f->adapters, f->nadapters);
    m->at = hora_malloc(n * sizeof *m->at);
    const hora_status s = pass(m, f, b, &w);
    hora_watch_close(&w);
    if (s)
        hora_attention_maps_release(m);
    return s;
}

void hora_attention_maps_release(hora_attention_maps *m) {
    hora_free(m->at);
    *m = (hora_attention_maps){0};
}

void hora_attention_rollout(const hora_attention_maps *m, int64_t i, float *out) {
    const int64_t t = m->rows;
    double *v = hora_calloc((size_t)t, sizeof *v), *next = hora_malloc((size_t)t * sizeof *next);
    for (int64_t j = 0; j < t; j++)
        v[j] = i < 0 ? 1 / (double)t : j == i;
    for (int64_t l = m->layers - 1; l >= 0; l--) { /* a row times the layers, the last first */
        for (int64_t j = 0; j < t; j++)
            next[j] = 0.5 * v[j];
        for (int64_t h = 0; h < m->heads; h++)
            for (int64_t q = 0; q < t; q++)
                for (int64_t j = 0; j < t && v[q] != 0; j++)
                    next[j] += 0.5 * v[q] / (double)m->heads *
                               (double)m->at[((l * m->heads + h) * t + q) * t + j];
        memcpy(v, next, (size_t)t * sizeof *v);
    }
    for (int64_t j = 0; j < t; j++)
        out[j] = (float)v[j];
    hora_free(v);
    hora_free(next);
}
