/* Norms of rotary pairs, of what is watched of q and k. */
#include "infer/pair_norms.h"

#include <math.h>

#include "data/data.h"
#include "infer/watch.h"
#include "model/family.h"
#include "nn/recording.h"

enum { PIECE = 512 };

/* Adds the norms of the first n rows of t, (rows, heads head_dim), to sum (heads, head_dim / 2). */
static void add(const hora_graph *g, hora_t t, int64_t n, int64_t heads, int64_t half,
                double *sum) {
    const hora_view *v = hora_graph_view(g, t);
    void *raw = hora_malloc(hora_view_bytes(v));
    hora_graph_get(g, t, raw);
    for (int64_t i = 0; i < n * heads; i++)
        for (int64_t l = 0; l < half; l++)
            sum[i % heads * half + l] +=
                hypot(hora_value_at(raw, v->dtype, i * 2 * half + l),
                      hora_value_at(raw, v->dtype, (i * 2 + 1) * half + l));
    hora_free(raw);
}

static hora_status piece(hora_pair_norms *out, hora_recording *r, hora_batch *batch,
                         const hora_watch *w, const hora_base *b, const int32_t *ids, int64_t n) {
    batch->rows = hora_min(hora_graph_rows(r->g), hora_row_class(hora_graph_rows(r->g), n));
    batch->tokens = n;
    for (int64_t i = 0; i < n; i++) {
        batch->ids[i] = ids[i];
        batch->pos[i] = (int32_t)i;
        batch->lo[i] = 0;
        batch->hi[i] = (int32_t)i + 1;
    }
    hora_batch_pad(batch);
    hora_recording_run(r, batch);
    HORA_TRY(hora_graph_sync(r->g));
    const int64_t half = b->head_dim / 2;
    for (int64_t l = 0; l < b->layers; l++) {
        add(r->g, w->q[l], n, b->heads, half, out->q + l * b->heads * half);
        add(r->g, w->k[l], n, b->kv_heads, half, out->k + l * b->kv_heads * half);
    }
    return HORA_OK;
}

static hora_status pieces(hora_pair_norms *out, const hora_base *b, hora_device *device,
                          const hora_watch *w, const int32_t *ids) {
    hora_recording r = {0};
    hora_batch batch = {0};
    const int64_t rows = hora_min(hora_min(PIECE, out->tokens), b->max_positions);
    const hora_recording_parts parts = {.base = b,
                                        .adapters = w->all,
                                        .nadapters = w->n,
                                        .device = device,
                                        .rows = rows,
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_watch_outputs};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "norms of pairs");
    const hora_leaves leaves = s ? (hora_leaves){{0}} : hora_graph_leaves(r.g);
    if (!s)
        s = hora_batch_init(&batch, rows, &leaves);
    for (int64_t at = 0; at < out->tokens && !s; at += rows)
        s = piece(out, &r, &batch, w, b, ids + at, hora_min(rows, out->tokens - at));
    hora_batch_release(&batch);
    hora_recording_release(&r);
    return s;
}

static hora_status check(const hora_base *b, const int32_t *ids, size_t n) {
    if (b->vision || b->encoder || b->latent)
        return hora_fail(HORA_EUNSUPPORTED,
                         "pairs are measured in decoders of text that cache keys, and a %s is none",
                         b->model_type);
    if (!n)
        return hora_fail(HORA_EUSAGE, "there is no token to measure on");
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= b->vocab)
            return hora_fail(HORA_EUSAGE,
                             "token %d is not in the model's vocabulary of %lld; use its own "
                             "tokenizer",
                             ids[i], (long long)b->vocab);
    return HORA_OK;
}

hora_status hora_pair_norms_run(hora_pair_norms *out, const hora_base *b,
                                hora_adapter *const *adapters, int nadapters, hora_device *device,
                                const int32_t *ids, size_t n) {
    *out = (hora_pair_norms){.tokens = (int64_t)n};
    HORA_TRY(check(b, ids, n));
    const int64_t half = b->head_dim / 2, nq = b->layers * b->heads * half,
                  nk = b->layers * b->kv_heads * half;
    hora_watch w;
    hora_watch_open(&w, b, adapters, nadapters);
    out->q = hora_calloc((size_t)nq, sizeof *out->q);
    out->k = hora_calloc((size_t)nk, sizeof *out->k);
    const hora_status s = pieces(out, b, device, &w, ids);
    for (int64_t i = 0; i < nq; i++)
        out->q[i] /= (double)n;
    for (int64_t i = 0; i < nk; i++)
        out->k[i] /= (double)n;
    hora_watch_close(&w);
    if (s)
        hora_pair_norms_release(out);
    return s;
}

void hora_pair_norms_release(hora_pair_norms *p) {
    hora_free(p->q);
    hora_free(p->k);
    *p = (hora_pair_norms){0};
}
