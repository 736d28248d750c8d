/*
 * The decoder: recordings over shared key and value caches. Each has an arena of its own, because
 * what is computed from parameters alone (a generated adapter) lives in it from the first run on.
 * Padding rows of a chunk have an empty range and touch nothing.
 */
#include "base/text.h"
#include "data/data.h"
#include "graph/verbs.h"
#include "infer/generate.h"
#include "model/family.h"

enum { PREFILL = 128 };

typedef struct recording {
    hora_graph *g;
    hora_net net;
    hora_t logits;
    int64_t rows;
    int32_t *last; /* row whose logits are wanted; the graph reads it at run time */
    int32_t *ids, *pos, *lo, *hi;
    bool ready; /* `before` has run */
} recording;

struct hora_decoder {
    hora_decoder_config c;
    int64_t context, length;
    hora_view *k, *v; /* per layer */
    void *cache;
    size_t cache_bytes;
    recording many, one; /* without cache: `many` alone, over the whole context */
    int32_t *ids;        /* without cache: the sequence */
    float *logits;
    void *raw; /* logits in the base's dtype */
};

/* --- recordings ------------------------------------------------------------------------------- */
static hora_status record(hora_decoder *d, recording *r, int64_t rows) {
    const hora_graph_config gc = {
        .dtype = d->c.base->dtype, .rows = rows, .device = d->c.device, .backends = NULL};
    r->rows = rows;
    r->last = hora_calloc((size_t)rows * 4 + 1, sizeof *r->last);
    r->ids = r->last + 1;
    r->pos = r->ids + rows;
    r->lo = r->pos + rows;
    r->hi = r->lo + rows;
    r->g = hora_graph_new(&gc);
    hora_net_init(&r->net, r->g, d->c.base, d->c.adapters, d->c.nadapters,
                  d->c.cache ? HORA_NET_DECODE : HORA_NET_EVAL);
    r->net.kcache = d->k;
    r->net.vcache = d->v;
    hora_t h = hora_model_record(&r->net);
    hora_t row = hora_gather(r->g, h, r->last, 1);
    r->logits = hora_linear(r->g, row, hora_net_head(&r->net), HORA_NONE, HORA_NONE, 1);
    hora_graph_output(r->g, r->logits);
    const hora_plan_options po = {.backward = false};
    HORA_TRY(hora_graph_plan(r->g, &po));
    hora_net_bind(&r->net);
    return hora_graph_prepare(r->g, NULL);
}

static void unrecord(recording *r) {
    if (r->g)
        hora_net_release(&r->net);
    hora_graph_free(r->g);
    hora_free(r->last);
}

/* Runs rows [0, n) of r, which stand at positions at .. at+n-1 of the sequence. */
static hora_status run(hora_decoder *d, recording *r, const int32_t *ids, int64_t n, int64_t at) {
    const int64_t rows = d->c.cache ? r->rows : hora_row_class(r->rows, n);
    for (int64_t i = 0; i < rows; i++) {
        const bool real = i < n;
        r->ids[i] = real ? ids[i] : 0;
        r->pos[i] = real ? (int32_t)(at + i) : 0;
        r->lo[i] = 0;
        r->hi[i] = real ? (int32_t)(at + i + 1) : 0;
    }
    *r->last = (int32_t)(n - 1);
    hora_device_push(d->c.device, r->last, sizeof *r->last);
    const hora_rows batch = {
        .rows = rows, .ids = r->ids, .pos = r->pos, .lo = r->lo, .hi = r->hi, .cache_row = at};
    if (!r->ready)
        hora_graph_before(r->g);
    r->ready = true;
    hora_graph_body(r->g, &batch, 0);
    const hora_view *z = hora_graph_view(r->g, r->logits);
    hora_graph_get(r->g, r->logits, d->raw);
    HORA_TRY(hora_graph_sync(r->g));
    return hora_convert(d->logits, HORA_F32, d->raw, z->dtype, d->c.base->vocab);
}

/* --- life ------------------------------------------------------------------------------------- */
static hora_status take_caches(hora_decoder *d) {
    const hora_base *b = d->c.base;
    const int64_t width = b->kv_heads * b->head_dim, one = d->context * width;
    const size_t size = hora_dtype_size(b->dtype);
    d->cache_bytes = (size_t)(2 * b->layers * one) * size;
    HORA_TRY(hora_block_new(&d->cache, d->cache_bytes,
                            "keys and values of the context (try a smaller --context)"));
    d->k = hora_calloc((size_t)b->layers * 2, sizeof *d->k);
    d->v = d->k + b->layers;
    for (int64_t i = 0; i < 2 * b->layers; i++)
        d->k[i] = (hora_view){(char *)d->cache + (size_t)(i * one) * size, b->dtype,
                              HORA_SHAPE2(d->context, width)};
    return HORA_OK;
}

static hora_status take(hora_decoder *d) {
    if (!d->c.cache) {
        d->ids = hora_calloc((size_t)d->context, sizeof *d->ids);
        return record(d, &d->many, d->context);
    }
    const int64_t chunk = hora_min(d->c.prefill > 0 ? d->c.prefill : PREFILL, d->context);
    HORA_TRY(take_caches(d));
    HORA_TRY(record(d, &d->many, chunk));
    return record(d, &d->one, 1);
}

hora_status hora_decoder_new(hora_decoder **out, const hora_decoder_config *c) {
    const int64_t most = c->base->max_positions;
    if (most > 0 && c->context > most)
        return hora_fail(HORA_EUSAGE,
                         "a context of %lld is asked for, but the model has %lld positions; give "
                         "at most these",
                         (long long)c->context, (long long)most);
    hora_decoder *d = hora_calloc(1, sizeof *d);
    d->c = *c;
    d->context = c->context > 0 ? c->context : most > 0 ? most : 2048;
    d->logits = hora_calloc((size_t)c->base->vocab, sizeof *d->logits);
    d->raw = hora_calloc((size_t)c->base->vocab, sizeof(double));
    hora_status s = take(d);
    if (s != HORA_OK) {
        hora_decoder_free(d);
        return s;
    }
    *out = d;
    return HORA_OK;
}

void hora_decoder_free(hora_decoder *d) {
    if (!d)
        return;
    unrecord(&d->many);
    unrecord(&d->one);
    hora_block_free(d->cache, d->cache_bytes);
    hora_free(d->k);
    hora_free(d->ids);
    hora_free(d->logits);
    hora_free(d->raw);
    hora_free(d);
}

void hora_decoder_reset(hora_decoder *d) {
    d->length = 0;
}
int64_t hora_decoder_length(const hora_decoder *d) {
    return d->length;
}
int64_t hora_decoder_context(const hora_decoder *d) {
    return d->context;
}
int64_t hora_decoder_vocab(const hora_decoder *d) {
    return d->c.base->vocab;
}

/* --- feeding ---------------------------------------------------------------------------------- */
static hora_status feed_cached(hora_decoder *d, const int32_t *ids, int64_t n) {
    while (n > 0) {
        recording *r = n == 1 ? &d->one : &d->many;
        const int64_t k = hora_min(n, r->rows);
        HORA_TRY(run(d, r, ids, k, d->length));
        d->length += k;
        ids += k;
        n -= k;
    }
    return HORA_OK;
}

hora_status hora_decoder_feed(hora_decoder *d, const int32_t *ids, size_t n, const float **logits) {
    if (!n)
        return hora_fail(HORA_EUSAGE,
                         "nothing to predict from; give a prompt of at least one token");
    if ((int64_t)n > d->context - d->length)
        return hora_fail(HORA_EUSAGE,
                         "%zu tokens behind %lld do not fit into a context of %lld; shorten the "
                         "prompt",
                         n, (long long)d->length, (long long)d->context);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= d->c.base->vocab)
            return hora_fail(HORA_EUSAGE,
                             "token %d is not in the model's vocabulary of %lld; use its own "
                             "tokenizer",
                             ids[i], (long long)d->c.base->vocab);
    *logits = d->logits;
    if (d->c.cache)
        return feed_cached(d, ids, (int64_t)n);
    memcpy(d->ids + d->length, ids, n * sizeof *ids);
    d->length += (int64_t)n;
    return run(d, &d->many, d->ids, d->length, 0);
}
