/*
 * Models with a cache of latents: converted here and computed by PyTorch from keys and values
 * (files/latent, made by tools/oracle/make_latent_vectors.py); at full width and with all pairs
 * rotary the model that they came from; decoding over latents is computing everything anew, with
 * adapters on every projection too; what cannot be converted is refused before anything is written.
 * [latent]
 */
#include <math.h>

#include "base/file.h"
#include "base/lapack.h"
#include "base/text.h"
#include "hora_test.h"
#include "infer/generate.h"
#include "infer/pair_norms.h"
#include "interop/convert.h"
#include "vectors/golden.h"

/* A tiny model whose sizes are all different, by its model_type and what else config.json says. */
#define CONFIG(type, more)                                                                         \
    "{\"model_type\":\"" type "\",\"hidden_size\":20,\"intermediate_size\":24,"                    \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6,"  \
    "\"vocab_size\":29,\"initializer_range\":0.4,\"max_position_embeddings\":64,"                  \
    "\"tie_word_embeddings\":false" more "}"

static const hora_converter *latent(void) {
    const hora_converter *c;
    int64_t n;
    assert_ok(hora_converter_parse(&c, &n, "latent:3"));
    assert_int_equal(n, 3);
    return c;
}

/* The model in `dir` as latents, opened. */
static hora_base *converted(const hora_export *x, const hora_convert_config *c,
                            hora_json **report) {
    const char *dir = hora_test_path(hora_test_tmp(), "latent");
    hora_base *b;
    *report = hora_json_new_object();
    assert_ok(hora_remove_tree(dir));
    assert_ok(hora_mkdirs(dir));
    assert_ok(latent()->check(x, c));
    assert_ok(latent()->write(x, c, dir, *report));
    assert_ok(hora_base_open(&b, dir, &(hora_base_options){.dtype = HORA_F32}));
    return b;
}

/* A fresh model with norms and biases that are no ones and zeros, saved and opened. */
static hora_base *saved(const char *config) {
    hora_base *b = golden_fresh(config, HORA_F32, false), *from;
    const char *dir = hora_test_path(hora_test_tmp(), "plain");
    hora_rng r = hora_rng_new(5, "saved");
    for (int w = 0; w < b->nweights; w++)
        for (int64_t i = 0; i < hora_elems(&b->weights[w].view); i++)
            if (b->weights[w].role == HORA_ROLE_NORM || b->weights[w].role == HORA_ROLE_BIAS)
                ((float *)b->weights[w].view.data)[i] += (float)(0.3 * hora_rng_normal(&r));
    assert_ok(hora_remove_tree(dir));
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_base_save(b, dir, NULL, HORA_F32));
    hora_base_close(b);
    assert_ok(hora_base_open(&from, dir, &(hora_base_options){.dtype = HORA_F32}));
    return from;
}

/* Logits behind each of n tokens, fed `first` at once and then one by one, by (n - first + 1). */
static void decode(const hora_base *b, hora_adapter *const *a, int na, bool cache, int64_t prefill,
                   const int32_t *ids, int first, int n, float *out) {
    hora_device *host;
    hora_decoder *d;
    assert_ok(hora_device_open(&host, "host"));
    const hora_decoder_config c = {.base = b,
                                   .adapters = a,
                                   .nadapters = na,
                                   .device = host,
                                   .context = 40,
                                   .prefill = prefill,
                                   .cache = cache};
    assert_ok(hora_decoder_new(&d, &c));
    if (cache)
        assert_int_equal(hora_decoder_cache_bytes(d),
                         40 * hora_base_cache_row(b) * (int64_t)sizeof(float));
    for (int i = first; i <= n; i++) {
        const float *z;
        assert_ok(hora_decoder_feed(d, i == first ? ids : ids + i - 1,
                                    i == first ? (size_t)first : 1, &z));
        memcpy(out + (i - first) * b->vocab, z, (size_t)b->vocab * sizeof *z);
    }
    hora_decoder_free(d);
    hora_device_free(host);
}

static double farthest(const float *a, const float *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* --- PyTorch ---------------------------------------------------------------------------------- */
static int64_t whole(const hora_json *o, const char *key) {
    int64_t v = 0;
    assert_true(hora_json_int(hora_json_get(o, key), &v));
    return v;
}

static void check_norms(const hora_pair_norms *p, const hora_base *b, const hora_st *st,
                        const char *base) {
    for (int k = 0; k < 2; k++) {
        char *key = hora_format("%s.%s_norms", base, k ? "k" : "q");
        const hora_st_tensor *t = hora_st_find(st, key);
        const double *got = k ? p->k : p->q;
        assert_non_null(t);
        assert_int_equal(hora_elems(&t->view),
                         b->layers * (k ? b->kv_heads : b->heads) * b->head_dim / 2);
        for (int64_t i = 0; i < hora_elems(&t->view); i++) {
            const double want = (double)((const float *)t->view.data)[i];
            if (fabs(got[i] - want) > 1e-5 * (1 + want))
                fail_msg("%s[%d]: %g, want %g", key, (int)i, got[i], want);
        }
        hora_free(key);
    }
}

static void check_report(const hora_base *b, const hora_json *row, const hora_json *report) {
    const hora_json *left = hora_json_get(row, "left"), *list = hora_json_get(report, "tensors");
    const hora_json *cache = hora_json_get(report, "cache");
    assert_int_equal(hora_json_len(list), hora_json_len(left));
    for (size_t i = 0; i < hora_json_len(left); i++) {
        double want, got;
        assert_true(hora_json_real(hora_json_at(left, i), &want));
        assert_true(hora_json_real(hora_json_get(hora_json_at(list, i), "error"), &got));
        assert_true(fabs(got - want) < 1e-6);
    }
    assert_int_equal(whole(cache, "numbers"), hora_base_cache_row(b));
    assert_int_equal(whole(cache, "numbers"),
                     b->layers *
                         (b->kv_heads * 2 * whole(row, "rotary_pairs") + whole(row, "rank")));
    assert_int_equal(whole(cache, "before"), b->layers * 2 * b->kv_heads * b->head_dim);
}

static void check_case(const hora_json *row, const hora_st *st) {
    static const char *const ways[] = {"norm", "high", "low", "uniform"};
    const char *name = hora_json_string(hora_json_get(row, "name"), NULL),
               *base = hora_json_string(hora_json_get(row, "base"), NULL),
               *by = hora_json_string(hora_json_get(row, "rotary_by"), NULL);
    const hora_st_tensor *ids = hora_st_find(st, "ids"), *want = hora_st_find(st, name);
    const int n = (int)hora_elems(&ids->view);
    hora_pair_norms norms = {0};
    hora_device *host;
    hora_json *report;
    hora_convert_config c = {.n = whole(row, "rank"), .rotary_pairs = whole(row, "rotary_pairs")};
    for (int i = 1; i < 4; i++)
        c.rotary_by = hora_eq(by, ways[i]) ? i : c.rotary_by;
    hora_base *from = golden_base(base, HORA_F32);
    assert_ok(hora_device_open(&host, "host"));
    if (hora_eq(by, "text")) {
        assert_ok(hora_pair_norms_run(&norms, from, NULL, 0, host, ids->view.data, (size_t)n));
        check_norms(&norms, from, st, base);
        c.q_norms = norms.q;
        c.k_norms = norms.k;
    }
    hora_base *b = converted(&(hora_export){.base = from}, &c, &report);
    check_report(b, row, report);
    assert_true(hora_json_equal(hora_json_get(hora_json_get(b->config, "latent"), "rotary_pairs"),
                                hora_json_get(row, "pairs")));
    float *got = hora_calloc((size_t)(n * b->vocab), sizeof *got);
    for (int k = 0; k < 3; k++) { /* anew for each token; one by one; a prompt in pieces */
        const int first = k == 2 ? 17 : 1;
        decode(b, NULL, 0, k > 0, k == 2 ? 5 : 0, ids->view.data, first, n, got);
        const double d = farthest(got, (const float *)want->view.data + (first - 1) * b->vocab,
                                  (n - first + 1) * b->vocab);
        if (!(d < 2e-4))
            fail_msg("%s, way %d: logits differ by %g", name, k, d);
    }
    hora_free(got);
    hora_json_free(report);
    hora_pair_norms_release(&norms);
    hora_device_free(host);
    hora_base_close(b);
    hora_base_close(from);
}

static void test_torch(void **state) {
    hora_json *all;
    hora_st *st;
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    assert_ok(hora_json_load(&all, hora_test_source("tests/vectors/files/latent/cases.json")));
    assert_ok(hora_st_open(&st, hora_test_source("tests/vectors/files/latent/expect.safetensors")));
    const hora_json *rows = hora_json_get(all, "cases");
    assert_true(hora_json_len(rows) >= 7);
    for (size_t i = 0; i < hora_json_len(rows); i++)
        check_case(hora_json_at(rows, i), st);
    hora_st_close(st);
    hora_json_free(all);
}

/* --- laws ------------------------------------------------------------------------------------- */
static const char *const models[] = {
    CONFIG("llama", ""),
    CONFIG("llama", ",\"attention_bias\":true,\"mlp_bias\":true"),
    CONFIG("qwen2", ""),
    CONFIG("mistral", ",\"sliding_window\":5"),
    CONFIG("llama", ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
                    "\"original_max_position_embeddings\":16}"),
};
enum { TOKENS = 19, VOCAB = 29 };

static void fill(int32_t *ids) {
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (i * 11 + 3) % VOCAB;
}

/* All pairs rotary and nothing cut: the same model. */
static void test_same(void **state) {
    int32_t ids[TOKENS];
    float want[TOKENS * VOCAB], got[TOKENS * VOCAB];
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    fill(ids);
    for (size_t i = 0; i < HORA_COUNT(models); i++) {
        hora_json *report;
        hora_base *from = saved(models[i]);
        hora_base *b = converted(&(hora_export){.base = from},
                                 &(hora_convert_config){.n = 12, .rotary_pairs = 3}, &report);
        decode(from, NULL, 0, false, 0, ids, 1, TOKENS, want);
        for (int cache = 0; cache < 2; cache++) {
            decode(b, NULL, 0, cache, 0, ids, 1, TOKENS, got);
            if (!(farthest(got, want, TOKENS * VOCAB) < 1e-4))
                fail_msg("model %d, cache %d: %g", (int)i, cache,
                         farthest(got, want, TOKENS * VOCAB));
        }
        hora_json_free(report);
        hora_base_close(b);
        hora_base_close(from);
    }
}

/* With adapters: what they make of the ways from the latent is absorbed as well; merged is
 * attached. */
static void test_adapters(void **state) {
    static const struct {
        const char *method, *options;
        bool merges;
    } rows[] = {
        {"lora", "rank=2,targets=all-linear", true},
        {"lora", "rank=2,targets=q+v", true},
        {"lora", "rank=2,targets=k+kv_down+k_rope,lora_bias=true", false},
        {"dora", "rank=2,targets=k+v+o", true},
        {"full", "", true},
        {"vera", "rank=3,targets=q+o", true},
        {"oft", "block_size=2,targets=k+v+kv_down", true},
        {"ia3", "targets=k+v", true},
        {"bitfit", "", true},
    };
    int32_t ids[TOKENS];
    float want[TOKENS * VOCAB], got[TOKENS * VOCAB];
    hora_json *report;
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    fill(ids);
    hora_base *from = saved(models[1]);
    hora_base *b = converted(&(hora_export){.base = from},
                             &(hora_convert_config){.n = 8, .rotary_pairs = 1}, &report);
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_moved(b, rows[i].method, rows[i].options);
        decode(b, &a, 1, false, 0, ids, 1, TOKENS, want);
        decode(b, NULL, 0, false, 0, ids, 1, TOKENS, got);
        assert_true(farthest(got, want, TOKENS * VOCAB) > 1e-3);
        for (int64_t prefill = 0; prefill < 5; prefill += 4) {
            decode(b, &a, 1, true, prefill, ids, prefill ? 9 : 1, TOKENS, got);
            const double d = farthest(got, want + (prefill ? 8 : 0) * VOCAB,
                                      (TOKENS - (prefill ? 8 : 0)) * VOCAB);
            if (!(d < 1e-4))
                fail_msg("%s %s: cached %g", rows[i].method, rows[i].options, d);
        }
        float **w = hora_calloc((size_t)b->nweights, sizeof *w);
        hora_view *old = hora_calloc((size_t)b->nweights, sizeof *old);
        if (rows[i].merges) {
            assert_ok(hora_peft_merge(&a, 1, w));
            hora_base_put_merged(b, w, old);
            decode(b, NULL, 0, true, 0, ids, 1, TOKENS, got);
            hora_base_take_merged(b, w, old);
            if (!(farthest(got, want, TOKENS * VOCAB) < 1e-4))
                fail_msg("%s: merged %g", rows[i].method, farthest(got, want, TOKENS * VOCAB));
        }
        hora_base_free_merged(b, w);
        hora_free(old);
        hora_peft_detach(a);
    }
    hora_json_free(report);
    hora_base_close(b);
    hora_base_close(from);
}

/* An adapter that is given is folded in first. */
static void test_folded(void **state) {
    int32_t ids[TOKENS];
    float want[TOKENS * VOCAB], got[TOKENS * VOCAB];
    hora_json *report;
    (void)state;
    if (!hora_lapack())
        hora_test_skip("this build has no LAPACK");
    fill(ids);
    hora_base *from = saved(models[2]);
    hora_adapter *a = golden_moved(from, "lora", "rank=2,targets=all-linear");
    hora_base *b = converted(&(hora_export){.base = from, .adapters = &a, .n = 1},
                             &(hora_convert_config){.n = 12, .rotary_pairs = 3}, &report);
    decode(from, &a, 1, false, 0, ids, 1, TOKENS, want);
    decode(b, NULL, 0, true, 0, ids, 1, TOKENS, got);
    assert_true(farthest(got, want, TOKENS * VOCAB) < 1e-4);
    hora_json_free(report);
    hora_peft_detach(a);
    hora_base_close(b);
    hora_base_close(from);
}

/* --- what is refused -------------------------------------------------------------------------- */
static void test_refused(void **state) {
    static const struct {
        const char *config;
        hora_convert_config c;
        const char *text;
    } rows[] = {
        {CONFIG("llama", ""), {.n = 0}, "say how wide"},
        {CONFIG("llama", ""), {.n = 21, .rotary_pairs = 1}, "rank 20 at most"},
        {CONFIG("llama", ""), {.n = 13, .rotary_pairs = 3}, "rank 12 at most"},
        {CONFIG("llama", ""), {.n = 4, .rotary_pairs = 4}, "has 3"},
        {CONFIG("llama", ""),
         {.n = 4, .rotary_by = HORA_ROTARY_LOW, .calibrate = (char *)(uintptr_t) "x"},
         "leave one of them out"},
        {CONFIG("qwen3", ""), {.n = 4}, "normalises the keys"},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_base *b = golden_fresh(rows[i].config, HORA_F32, false);
        assert_true(latent()->check(&(hora_export){.base = b}, &rows[i].c) < 0);
        if (!strstr(hora_errmsg(), rows[i].text))
            fail_msg("row %d: %s", (int)i, hora_errmsg());
        hora_base_close(b);
    }
    const hora_convert_config c = {.n = 4};
    hora_base *vit = golden_base("tiny_vit", HORA_F32);
    assert_fails(latent()->check(&(hora_export){.base = vit}, &c), HORA_EUNSUPPORTED,
                 "rotary positions");
    hora_base_close(vit);
    hora_base *b = golden_fresh(models[0], HORA_F32, false);
    b->weights[3].view.dtype = HORA_Q8_0;
    assert_fails(latent()->check(&(hora_export){.base = b}, &c), HORA_EUNSUPPORTED, "blocks of");
    b->weights[3].view.dtype = HORA_F32;
    ((float *)b->weights[3].view.data)[2] = NAN;
    assert_fails(latent()->check(&(hora_export){.base = b}, &c), HORA_ENUMERIC, b->weights[3].name);
    hora_base_close(b);
}

/* A config.json that somebody changed. */
static void test_config(void **state) {
#define LATENT(text) CONFIG("latent", ",\"latent\":" text)
    static const char *const rows[][2] = {
        {CONFIG("latent", ""), "latent.rank"},
        {LATENT("{\"rank\":0,\"rotary_pairs\":[[[0],[1]],[[0],[1]]]}"), "latent.rank"},
        {LATENT("{\"rank\":4}"), "rotary_pairs"},
        {LATENT("{\"rank\":4,\"rotary_pairs\":[[[0],[1]]]}"), "2 layers"},
        {LATENT("{\"rank\":4,\"rotary_pairs\":[[[0],[1]],[[0]]]}"), "layer 1"},
        {LATENT("{\"rank\":4,\"rotary_pairs\":[[[0],[1]],[[0],[3]]]}"), "layer 1, head 1"},
        {LATENT("{\"rank\":4,\"rotary_pairs\":[[[0,1],[1,1]],[[0,1],[0,1]]]}"), "layer 0, head 1"},
        {LATENT("{\"rank\":4,\"rotary_pairs\":[[[],[]],[[],[]]]}"), "1 to 3 pairs"},
    };
    const char *path = hora_test_path(hora_test_tmp(), "config.json");
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_base *b = NULL;
        assert_ok(hora_file_write(path, rows[i][0], strlen(rows[i][0])));
        assert_fails(hora_base_fresh(&b, path, &(hora_base_options){.dtype = HORA_F32}, 1),
                     HORA_EFORMAT, rows[i][1]);
    }
}

/* What works on keys and values is decoded without the cache alone, and says so. */
static void test_needs_keys(void **state) {
    hora_device *host;
    hora_decoder *d;
    (void)state;
    hora_base *b = golden_fresh(LATENT("{\"rank\":4,\"rotary_pairs\":[[[0],[1]],[[0],[2]]]}"),
                                HORA_F32, false);
    hora_adapter *a = golden_moved(b, "head_mix", "");
    assert_ok(hora_device_open(&host, "host"));
    hora_decoder_config c = {
        .base = b, .adapters = &a, .nadapters = 1, .device = host, .context = 8, .cache = true};
    assert_fails(hora_decoder_new(&d, &c), HORA_EUNSUPPORTED, "--no-cache");
    c.cache = false;
    assert_ok(hora_decoder_new(&d, &c));
    hora_decoder_free(d);
    hora_device_free(host);
    hora_peft_detach(a);
    hora_base_close(b);
}

HORA_TESTS(vectors_latent, {"as PyTorch computes them", test_torch, HORA_SHORT},
           {"nothing cut: the same model", test_same, HORA_SHORT},
           {"adapters are absorbed", test_adapters, HORA_SHORT},
           {"an adapter is folded in first", test_folded, HORA_SHORT},
           {"refused before anything is written", test_refused, HORA_SHORT},
           {"configurations that make no model", test_config, HORA_SHORT},
           {"adapters that want keys", test_needs_keys, HORA_SHORT});
