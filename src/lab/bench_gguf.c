/*
 * A shape as a GGUF file: what people have on their disks. A million random values are quantized
 * once; tensors begin at different places of their blocks, which repeat with a prime period.
 */
#include "base/text.h"
#include "base/threads.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "format/hf_config.h"
#include "lab/bench.h"
#include "model/family.h"
#include "tensor/blocks.h"

enum { PERIOD = 4093, VALUES = 256, PIECE = 64, TYPES = 4 }; /* stretches of VALUES values */

/* Blocks of one type, the period over and over. */
typedef struct supply {
    hora_dtype dtype;
    const float *values; /* of a period */
    char *at;
    size_t bytes, one; /* of all; of a stretch */
} supply;

typedef struct writing {
    const hora_base *base;
    hora_gguf_out *out;
    float *values, *ones;
    supply of[TYPES];
    int n;
} writing;

static void quantize_piece(void *arg, int64_t tile, int thread) {
    (void)thread;
    const supply *s = arg;
    for (int64_t i = tile * PIECE; i < hora_min(PERIOD, (tile + 1) * PIECE); i++) {
        const float *x = s->values + i * VALUES;
        char *y = s->at + (size_t)i * s->one;
        hora_status st = hora_can_quantize(s->dtype)
                             ? hora_quantize(y, s->dtype, x, VALUES)
                             : hora_convert(y, s->dtype, x, HORA_F32, VALUES);
        HORA_ASSERT(st == HORA_OK);
        (void)st;
    }
}

static size_t bytes_of(const hora_weight *w, hora_dtype t) {
    const hora_view v = {NULL, t, w->view.shape};
    return hora_view_bytes(&v);
}

/* Enough for the largest matrix, from any stretch of the period on. */
static hora_status new_supply(writing *w, hora_dtype t) {
    supply *s = &w->of[w->n];
    void *block;
    HORA_ASSERT(w->n < TYPES);
    *s = (supply){.dtype = t, .values = w->values};
    s->one = (size_t)(VALUES / hora_dtype_block(t)) * hora_dtype_block_bytes(t);
    for (int i = 0; i < w->base->nweights; i++)
        s->bytes = (size_t)hora_max((int64_t)s->bytes, (int64_t)bytes_of(&w->base->weights[i], t));
    const size_t period = PERIOD * s->one;
    s->bytes += 2 * period;
    HORA_TRY(hora_block_new(&block, s->bytes, "random blocks"));
    s->at = block;
    w->n++;
    hora_parallel(hora_ceil_div(PERIOD, PIECE), quantize_piece, s);
    for (size_t done = period; done < s->bytes; done += period)
        memcpy(s->at + done, s->at, (size_t)hora_min((int64_t)period, (int64_t)(s->bytes - done)));
    return HORA_OK;
}

static hora_status put_weight(writing *w, int i, hora_dtype dtype) {
    const hora_weight *x = &w->base->weights[i];
    char *name = hora_gguf_name(x->name);
    hora_view v = x->view;
    hora_status s = HORA_OK;
    int k = 0;
    HORA_ASSERT(name);
    if (v.shape.n < 2) {
        v.dtype = HORA_F32;
        v.data = w->ones;
    } else {
        v.dtype = hora_blocks_that_fit(dtype, hora_row_elems(&v.shape));
        while (k < w->n && w->of[k].dtype != v.dtype)
            k++;
        if (k == w->n)
            s = new_supply(w, v.dtype);
        v.data = w->of[k].at + (size_t)(i * 7919 % PERIOD) * w->of[k].one;
    }
    hora_gguf_put_tensor(w->out, name, v, v.dtype);
    hora_free(name);
    return s;
}

static void put_keys(writing *w, const char *arch) {
    const hora_base *b = w->base;
    const struct {
        const char *name;
        int64_t value;
    } keys[] = {{"block_count", b->layers},
                {"context_length", b->max_positions},
                {"embedding_length", b->hidden},
                {"feed_forward_length", b->intermediate},
                {"attention.head_count", b->heads},
                {"attention.head_count_kv", b->kv_heads},
                {"attention.key_length", b->head_dim},
                {"attention.value_length", b->head_dim}};
    hora_str *tokens = hora_calloc((size_t)b->vocab, sizeof *tokens);
    char *eps = hora_format("%s.attention.layer_norm_rms_epsilon", arch);
    hora_gguf_put_text(w->out, "general.architecture", arch);
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        char *key = hora_format("%s.%s", arch, keys[i].name);
        hora_gguf_put_int(w->out, key, HORA_GGUF_U32, keys[i].value);
        hora_free(key);
    }
    hora_gguf_put_float(w->out, eps, 1e-5);
    hora_gguf_put_texts(w->out, "tokenizer.ggml.tokens", tokens, b->vocab);
    hora_free(eps);
    hora_free(tokens);
}

static hora_status fill_and_write(writing *w, const char *arch, hora_dtype dtype,
                                  const char *path) {
    w->values = hora_malloc((size_t)PERIOD * VALUES * sizeof(float));
    w->ones = hora_malloc((size_t)w->base->hidden * sizeof(float));
    hora_bench_draw(HORA_F32, w->values, (int64_t)PERIOD * VALUES);
    for (int64_t i = 0; i < w->base->hidden; i++)
        w->ones[i] = 1;
    put_keys(w, arch);
    for (int i = 0; i < w->base->nweights; i++)
        if (!w->base->weights[i].tied)
            HORA_TRY(put_weight(w, i, dtype));
    return hora_gguf_write(w->out, path);
}

hora_status hora_bench_gguf_write(hora_dtype dtype, const char *dir, const char *path) {
    const hora_base_options headers = {.dtype = HORA_F32, .headers_only = true};
    writing w = {0};
    hora_base *b;
    HORA_TRY(hora_base_fresh(&b, dir, &headers, 0));
    w.base = b;
    w.out = hora_gguf_out_new();
    hora_status s = fill_and_write(&w, hora_gguf_arch_of(b->model_type)->name, dtype, path);
    for (int i = 0; i < w.n; i++)
        hora_block_free(w.of[i].at, w.of[i].bytes);
    hora_free(w.values);
    hora_free(w.ones);
    hora_gguf_out_free(w.out);
    hora_base_close(b);
    return s;
}
