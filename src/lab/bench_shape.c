/*
 * The shapes and their random models. A model is written in the ordinary format, so that opening it
 * is what users do; its values repeat with a prime period, which makes a billion of them cheap and
 * leaves no two rows of a matrix equal.
 */
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "format/hf_config.h"
#include "format/safetensors.h"
#include "lab/bench.h"
#include "model/family.h"

static const hora_bench_shape shapes[] = {
#define SHAPE(name, family, ...) {#name, #family, __VA_ARGS__},
#include "lab/shapes.def"
#undef SHAPE
};

const char hora_bench_shape_list[] = ""
#define SHAPE(name, ...) " " #name
#include "lab/shapes.def"
#undef SHAPE
    ;

const hora_bench_shape *hora_bench_shape_at(int i) {
    return &shapes[i];
}

/* --- config.json ------------------------------------------------------------------------------ */
hora_status hora_bench_config_write(const hora_bench_shape *s, int64_t positions, hora_dtype dtype,
                                    const char *dir) {
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"hidden_size", s->hidden},        {"num_hidden_layers", s->layers},
                   {"num_attention_heads", s->heads}, {"num_key_value_heads", s->kv_heads},
                   {"head_dim", s->head_dim},         {"intermediate_size", s->intermediate},
                   {"vocab_size", s->vocab},          {"max_position_embeddings", positions}};
    hora_json *c = hora_json_new_object();
    hora_json_set(c, "model_type", hora_json_new_string(s->family));
    for (size_t i = 0; i < HORA_COUNT(numbers); i++)
        hora_json_set(c, numbers[i].key, hora_json_new_int(numbers[i].value));
    const hora_family *family = hora_family_of(c);
    if (family && family->encoder) { /* ready for a head */
        hora_json *list = hora_json_set(c, "architectures", hora_json_new_array());
        hora_json_push(list,
                       hora_json_new_string(family->vision ? "EncoderForImageClassification"
                                                           : "EncoderForSequenceClassification"));
        hora_json_set(c, "num_labels", hora_json_new_int(family->vision ? s->vocab : 2));
    }
    hora_json_set(c, "tie_word_embeddings", hora_json_new_bool(s->tied));
    hora_json_set(c, "torch_dtype",
                  hora_json_new_string(dtype == HORA_BF16 ? "bfloat16" : "float32"));
    hora_status st = hora_json_save(c, 2, false, dir, "config.json");
    hora_json_free(c);
    return st;
}

/* --- weights ---------------------------------------------------------------------------------- */
enum { PERIOD = 1048573, PIECE = 1 << 14 }; /* PERIOD: the largest prime below 2^20 */

typedef struct values {
    hora_dtype dtype;
    char *at; /* PERIOD normal values, repeated to the end */
    int64_t n;
} values;

static void put(hora_dtype dtype, void *at, int64_t i, float x) {
    if (dtype == HORA_BF16)
        ((uint16_t *)at)[i] = hora_f32_to_bf16(x);
    else
        ((float *)at)[i] = x;
}

static void draw_piece(void *arg, int64_t tile, int thread) {
    (void)thread;
    const values *v = arg;
    const hora_rng stream = hora_rng_new(42, "bench");
    int64_t end = hora_min(hora_min(v->n, PERIOD), (tile + 1) * PIECE);
    for (int64_t i = tile * PIECE; i < end; i++) {
        hora_rng r = stream;
        r.counter = (uint64_t)i << 8;
        put(v->dtype, v->at, i, (float)(0.02 * hora_rng_normal(&r)));
    }
}

void hora_bench_draw(hora_dtype dtype, void *at, int64_t n) {
    values v = {dtype, at, n};
    int64_t size = (int64_t)hora_dtype_size(dtype);
    hora_parallel(hora_ceil_div(hora_min(n, PERIOD), PIECE), draw_piece, &v);
    for (int64_t done = PERIOD; done < n; done += PERIOD)
        memcpy(v.at + done * size, v.at, (size_t)(hora_min(PERIOD, n - done) * size));
}

/* Norms are one, everything else random; tensors begin at different places of the values. */
static hora_status write_weights(const hora_base *b, const values *v, void *ones, const char *dir) {
    hora_st_entry *e = hora_calloc((size_t)b->nweights, sizeof *e);
    int n = 0;
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        if (w->tied)
            continue;
        int64_t spare = v->n - hora_elems(&w->view);
        int64_t from = spare > 0 ? (int64_t)i * 7919 % (spare + 1) : 0;
        e[n] = (hora_st_entry){w->name, w->view, v->dtype};
        e[n].view.shape = hora_weight_disk(w);
        e[n].view.dtype = v->dtype;
        e[n++].view.data =
            w->role == HORA_ROLE_NORM ? ones : v->at + from * (int64_t)hora_dtype_size(v->dtype);
    }
    hora_status s;
    HORA_TRY_OUT(s, hora_check_writable(dir, hora_st_write_size(e, n)));
    HORA_TRY_OUT(s, hora_st_write_model(dir, e, n, NULL, 0, 0));
out:
    hora_free(e);
    return s;
}

static hora_status fill_and_write(const hora_base *b, hora_dtype dtype, const char *dir) {
    values v = {.dtype = dtype};
    void *block;
    for (int i = 0; i < b->nweights; i++)
        v.n = hora_max(v.n, hora_elems(&b->weights[i].view));
    size_t bytes = (size_t)v.n * hora_dtype_size(dtype);
    HORA_TRY(hora_block_new(&block, bytes, "random weights"));
    v.at = block;
    hora_bench_draw(dtype, v.at, v.n);
    void *ones = hora_calloc((size_t)b->hidden, sizeof(float));
    for (int64_t i = 0; i < b->hidden; i++)
        put(dtype, ones, i, 1);
    hora_status s = write_weights(b, &v, ones, dir);
    hora_free(ones);
    hora_block_free(block, bytes);
    return s;
}

hora_status hora_bench_weights_write(hora_dtype dtype, const char *dir) {
    hora_base_options headers = {.dtype = HORA_F32, .headers_only = true};
    hora_json *config;
    hora_base *b;
    HORA_TRY(hora_hf_config_load(&config, dir));
    const hora_family *family = hora_family_of(config);
    headers.bare = family && family->encoder; /* the head is drawn when it is opened */
    hora_json_free(config);
    HORA_TRY(hora_base_fresh(&b, dir, &headers, 0));
    hora_status s = fill_and_write(b, dtype, dir);
    hora_base_close(b);
    return s;
}
