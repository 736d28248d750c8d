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
#include "nn/recording.h"

enum { PREFILL = 128 };

typedef struct decoding {
    hora_recording r;
    hora_t logits;
    hora_batch batch;
    int32_t last; /* row whose logits are wanted; the graph reads it at run time */
    bool ready;   /* `before` has run */
} decoding;

struct hora_decoder {
    hora_decoder_config c;
    int64_t context, length; /* tokens */
    int64_t slots;           /* rows of adapters in front of them */
    bool primed;             /* these stand in the caches */
    hora_view *k, *v;        /* per layer; of latents k alone */
    int64_t ncaches;         /* of both together */
    hora_view *kept;         /* per layer and vector of the prompt; NULL: no adapter keeps any */
    hora_adapter *keeper;
    int64_t prompt; /* rows that were fed first, slots included: what the keeper reads */
    int64_t reach;  /* rows after the present feeding, slots included */
    void *cache;
    size_t cache_bytes;
    decoding many, one; /* without cache: `many` alone, over the whole context */
    int32_t *ids;       /* the sequence so far, behind the slots */
    float *logits;
    void *raw; /* the same in the base's dtype */
};

/* --- recordings ------------------------------------------------------------------------------- */
static void record_logits(hora_net *n, hora_t hidden, void *user) {
    decoding *x = user;
    hora_t row = hora_gather(n->g, hidden, &x->last, 1);
    const hora_head head = hora_net_head(n, row);
    x->logits = hora_net_logits(n, &head, row);
    hora_graph_output(n->g, x->logits);
}

static hora_status record(hora_decoder *d, decoding *x, int64_t rows, bool answers) {
    const hora_recording_parts parts = {.base = d->c.base,
                                        .adapters = d->c.adapters,
                                        .nadapters = d->c.nadapters,
                                        .device = d->c.device,
                                        .rows = rows,
                                        .mode = d->c.cache ? HORA_NET_DECODE : HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = record_logits,
                                        .user = x,
                                        .kcache = d->k,
                                        .vcache = d->v,
                                        .kept = d->kept,
                                        .answers = answers};
    HORA_TRY(hora_recording_open(&x->r, &parts, &(hora_plan_options){0}, "decoding"));
    const hora_leaves leaves = hora_graph_leaves(x->r.g);
    return hora_batch_init(&x->batch, rows, &leaves);
}

static void unrecord(decoding *x) {
    hora_recording_release(&x->r);
    hora_batch_release(&x->batch);
}

/* Runs rows [0, n) of x, which stand at positions at .. at+n-1 of the sequence. */
static hora_status run(hora_decoder *d, decoding *x, const int32_t *ids, int64_t n, int64_t at) {
    hora_batch *b = &x->batch;
    const int64_t rows = hora_graph_rows(x->r.g);
    b->rows = d->c.cache && !d->keeper ? rows : hora_min(rows, hora_row_class(rows, n));
    b->tokens = n;
    b->cache_row = at;
    for (int64_t i = 0; i < n; i++) {
        b->ids[i] = ids[i];
        b->pos[i] = (int32_t)(at + i);
        b->lo[i] = 0;
        b->hi[i] = (int32_t)(at + i + 1);
    }
    hora_batch_reach(b, 0, n, d->reach);
    hora_batch_pad(b);
    if (b->target && d->prompt <= n) /* behind the prompt stands what must not be read of it */
        b->target[d->prompt - 1] = 0;
    x->last = (int32_t)(n - 1);
    hora_device_push(d->c.device, &x->last, sizeof x->last);
    if (!x->ready)
        hora_graph_before(x->r.g);
    x->ready = true;
    hora_graph_body(x->r.g, b, 0);
    const hora_view *z = hora_graph_view(x->r.g, x->logits);
    hora_graph_get(x->r.g, x->logits, d->raw);
    HORA_TRY(hora_graph_sync(x->r.g));
    return hora_convert(d->logits, HORA_F32, d->raw, z->dtype, d->c.base->vocab);
}

/* --- life ------------------------------------------------------------------------------------- */
/* Where the prompt's vectors go: cuts them off from `at` (NULL: only counts), in elements. */
static int64_t cut_kept(hora_decoder *d, char *at) {
    const hora_base *b = d->c.base;
    const size_t size = hora_dtype_size(b->dtype);
    int64_t sum = 0;
    for (int64_t i = 0; d->keeper && i < b->layers * HORA_KEEPS; i++) {
        const int64_t w =
            d->keeper->hooks->keeps(d->keeper, (int)(i / HORA_KEEPS), (int)(i % HORA_KEEPS));
        if (at)
            d->kept[i] = (hora_view){at + (size_t)sum * size, b->dtype, HORA_SHAPE2(1, w)};
        sum += hora_ceil_div(w, 64) * 64;
    }
    return sum;
}

static hora_status take_caches(hora_decoder *d) {
    const hora_base *b = d->c.base;
    const int64_t width = b->latent ? b->latent : b->kv_heads * b->head_dim;
    const int64_t rows = d->context + d->slots, one = rows * width;
    const size_t size = hora_dtype_size(b->dtype);
    d->ncaches = (b->latent ? 1 : 2) * b->layers;
    d->cache_bytes = (size_t)(d->ncaches * one + cut_kept(d, NULL)) * size;
    HORA_TRY(hora_block_new(&d->cache, d->cache_bytes,
                            "keys and values of the context (try a smaller --context)"));
    d->k = hora_calloc((size_t)d->ncaches, sizeof *d->k);
    d->v = b->latent ? NULL : d->k + b->layers;
    for (int64_t i = 0; i < d->ncaches; i++)
        d->k[i] = (hora_view){(char *)d->cache + (size_t)(i * one) * size, b->dtype,
                              HORA_SHAPE2(rows, width)};
    if (d->keeper)
        d->kept = hora_calloc((size_t)(b->layers * HORA_KEEPS), sizeof *d->kept);
    cut_kept(d, d->keeper ? (char *)d->cache + (size_t)(d->ncaches * one) * size : NULL);
    return HORA_OK;
}

static hora_status take(hora_decoder *d) {
    const int64_t rows = d->context + d->slots;
    d->ids = hora_calloc((size_t)rows, sizeof *d->ids);
    for (int64_t i = 0; i < d->slots; i++)
        d->ids[i] = (int32_t)(i - d->slots);
    d->ids += d->slots;
    if (!d->c.cache)
        return record(d, &d->many, rows, false);
    /* what is made of a whole prompt is made of it in one pass */
    const int64_t chunk =
        d->keeper ? rows : hora_min(d->c.prefill > 0 ? d->c.prefill : PREFILL, d->context);
    HORA_TRY(take_caches(d));
    HORA_TRY(record(d, &d->many, chunk, false));
    return record(d, &d->one, 1, d->keeper != NULL);
}

hora_status hora_decoder_fits(const hora_base *b, hora_adapter *const *at, int n, int64_t context) {
    const int64_t most = b->max_positions, front = hora_adapters_front(at, n);
    if (most <= 0 || hora_max(context, 1) + front <= most)
        return HORA_OK;
    if (!front)
        return hora_fail(HORA_EUSAGE,
                         "a context of %lld is asked for, but the model has %lld positions; give "
                         "at most these",
                         (long long)context, (long long)most);
    return hora_fail(HORA_EUSAGE,
                     "a context of %lld behind %lld positions of prompts is asked for, but the "
                     "model has %lld positions; give --context %lld",
                     (long long)hora_max(context, 1), (long long)front, (long long)most,
                     (long long)hora_max(most - front, 0));
}

hora_status hora_decoder_new(hora_decoder **out, const hora_decoder_config *c) {
    const int64_t most = c->base->max_positions;
    if (c->base->bare)
        return hora_fail(HORA_EUNSUPPORTED,
                         "this model has a head for classes, none for tokens: it does not "
                         "generate; give a causal language model or --task causal");
    const int64_t front = hora_adapters_front(c->adapters, c->nadapters);
    HORA_TRY(hora_decoder_fits(c->base, c->adapters, c->nadapters, c->context));
    hora_adapter *keeper;
    HORA_TRY(hora_adapters_keeper(c->adapters, c->nadapters, &keeper));
    hora_decoder *d = hora_calloc(1, sizeof *d);
    d->c = *c;
    d->keeper = keeper;
    d->slots = hora_adapters_slots(c->adapters, c->nadapters);
    d->context = c->context > 0 ? c->context : most > 0 ? most - front : 2048;
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

/* What the device holds of the memory that goes now. */
static void forget_copies(hora_decoder *d) {
    if (hora_device_is_host(d->c.device))
        return;
    for (int64_t i = 0; d->k && i < d->ncaches; i++)
        hora_device_drop(d->c.device, d->k[i].data);
    for (int64_t i = 0; d->kept && i < d->c.base->layers * HORA_KEEPS; i++)
        hora_device_drop(d->c.device, d->kept[i].data);
    hora_device_drop(d->c.device, &d->many.last);
    hora_device_drop(d->c.device, &d->one.last);
}

void hora_decoder_free(hora_decoder *d) {
    if (!d)
        return;
    unrecord(&d->many);
    unrecord(&d->one);
    forget_copies(d);
    hora_block_free(d->cache, d->cache_bytes);
    hora_free(d->k);
    hora_free(d->kept);
    hora_free(d->ids ? d->ids - d->slots : NULL);
    hora_free(d->logits);
    hora_free(d->raw);
    hora_free(d);
}

void hora_decoder_reset(hora_decoder *d) {
    d->length = 0;
}
/* Texts of which lengths have the same rotary frequencies: those with the same number. */
static int64_t turning(const hora_decoder *d, int64_t length) {
    const hora_base *b = d->c.base;
    return !b->far_positions || length <= b->far_positions ? 0 : b->far_stretch > 0 ? length : 1;
}

size_t hora_decoder_rewind(hora_decoder *d, const int32_t *ids, size_t n) {
    size_t same = 0;
    while (same + 1 < n && (int64_t)same < d->length && ids[same] == d->ids[same])
        same++;
    d->length = d->keeper ? 0 : (int64_t)same; /* another prompt: everything is made of it anew */
    /* so it is where the rows that are kept were turned as those of a text of another length */
    if (turning(d, d->prompt) != turning(d, d->slots + (int64_t)n))
        d->length = 0;
    return (size_t)d->length;
}
int64_t hora_decoder_length(const hora_decoder *d) {
    return d->length;
}
size_t hora_decoder_cache_bytes(const hora_decoder *d) {
    return d->cache_bytes;
}
int64_t hora_decoder_context(const hora_decoder *d) {
    return d->context;
}
int64_t hora_decoder_vocab(const hora_decoder *d) {
    return d->c.base->vocab;
}

/* --- feeding ---------------------------------------------------------------------------------- */
/* Rows ids[at], .. ids[at + n - 1] of the sequence, slots included, into the caches. */
static hora_status feed_cached(hora_decoder *d, int64_t at, int64_t n) {
    while (n > 0) {
        const bool one = d->keeper ? at > 0 : n == 1;
        decoding *x = one ? &d->one : &d->many;
        const int64_t k = hora_min(n, hora_graph_rows(x->r.g));
        HORA_TRY(run(d, x, d->ids - d->slots + at, k, at));
        at += k;
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
    memcpy(d->ids + d->length, ids, n * sizeof *ids);
    const bool first = d->length == 0;
    const int64_t at = d->primed && !(d->keeper && first) ? d->slots + d->length : 0;
    d->prompt = first ? d->slots + (int64_t)n : d->prompt;
    d->length += (int64_t)n;
    const int64_t rows = d->slots + d->length;
    d->reach = rows;
    hora_status s =
        d->c.cache ? feed_cached(d, at, rows - at) : run(d, &d->many, d->ids - d->slots, rows, 0);
    d->primed |= d->c.cache && !s;
    d->length -= s ? (int64_t)n : 0;
    return s;
}
