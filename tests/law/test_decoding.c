/*
 * Laws of decoding, for every row of methods.def: with a cache, whatever the chunks of the prompt,
 * is without one, also of a second prompt on the same decoder; what cannot be decoded so says it
 * before any work. What is made of the prompt is not made again for a token. [para]
 * HORA_TEST_ONLY chooses methods.
 */
#include <string.h>

#include "graph/graph_impl.h"
#include "infer/generate.h"
#include "method_cases.h"
#include "model/family.h"
#include "nn/recording.h"
#include "vectors/golden.h"

#define MODEL(type, more)                                                                          \
    "{\"model_type\":\"" type "\",\"hidden_size\":48,\"intermediate_size\":40,"                    \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"                 \
    "\"vocab_size\":29,\"attention_bias\":true,\"mlp_bias\":true,\"initializer_range\":0.3,"       \
    "\"max_position_embeddings\":64,\"tie_word_embeddings\":false" more "}"
static const char model[] = MODEL("llama", ""),
                  latents[] = MODEL("latent", ",\"latent\":{\"rank\":14,\"rotary_pairs\":"
                                              "[[[0,3],[1,2]],[[0,5],[2,4]]]}");
enum { CONTEXT = 40, VOCAB = 29 };

/* Feeds `first` tokens at once, the others one by one; logits behind each feed (n, VOCAB). */
static void feed(hora_decoder *d, const int32_t *ids, int first, int n, float *logits) {
    hora_decoder_reset(d);
    for (int i = 0; i < n; i++) {
        const float *z;
        assert_ok(hora_decoder_feed(d, i ? &ids[first + i - 1] : ids, i ? 1 : (size_t)first, &z));
        memcpy(logits + i * VOCAB, z, VOCAB * sizeof *z);
    }
}

static const int prompts[] = {11, 1, 7}; /* on one decoder, one after another */

static void compare(hora_decoder *with, hora_decoder *without, const char *label) {
    enum { MORE = 6 };
    int32_t ids[CONTEXT];
    float got[MORE * VOCAB], want[MORE * VOCAB];
    for (size_t k = 0; k < HORA_COUNT(prompts); k++) {
        for (int i = 0; i < CONTEXT; i++)
            ids[i] = (int32_t)((i * 37 + 5 + 3 * (int)k) % VOCAB);
        feed(with, ids, prompts[k], MORE, got);
        feed(without, ids, prompts[k], MORE, want);
        hora_assert_close(got, want, HORA_COUNT(got), 1e-4, label);
    }
}

/* Some methods have no place in a model of latents, and say so. */
static bool has_place(const hora_base *b, const method_case *m) {
    hora_settings s = {0};
    hora_adapter *a;
    assert_ok(hora_settings_parse(&s, m->options, "test"));
    const hora_status st = hora_peft_attach(&a, b, m->method, &s, 7);
    hora_settings_release(&s);
    if (st == HORA_OK)
        hora_peft_detach(a);
    else if (st != HORA_EUNSUPPORTED && st != HORA_EUSAGE)
        fail_msg("%s: %s", m->method, hora_errmsg());
    return st == HORA_OK;
}

static int check(const hora_base *b, const method_case *m) {
    static const int64_t chunks[] = {0, 4, 1};
    int decoded = 0;
    if (b->latent && !has_place(b, m))
        return 0;
    hora_adapter *a = golden_moved(b, m->method, m->options);
    hora_device *host;
    assert_ok(hora_device_open(&host, "host"));
    hora_decoder_config c = {
        .base = b, .adapters = &a, .nadapters = 1, .device = host, .context = CONTEXT};
    hora_decoder *without;
    assert_ok(hora_decoder_new(&without, &c));
    c.cache = true;
    for (size_t k = 0; k < HORA_COUNT(chunks); k++) {
        hora_decoder *with;
        c.prefill = chunks[k];
        if (hora_decoder_new(&with, &c)) {
            assert_non_null(strstr(hora_errmsg(), "cache"));
            continue;
        }
        compare(with, without, m->method);
        hora_decoder_free(with);
        decoded++;
    }
    hora_decoder_free(without);
    hora_device_free(host);
    hora_peft_detach(a);
    return decoded;
}

static void check_all(const char *config, int least) {
    int decoded = 0;
    hora_base *b = golden_fresh(config, HORA_F32, false);
    for (int i = 0; i < method_case_count(); i++) {
        const method_case *m = method_case_at(i);
        if (hora_test_asked(m->method) && method_case_of_text(m))
            decoded += check(b, m);
    }
    assert_true(decoded >= least);
    hora_base_close(b);
}

static void cached_is_uncached(void **state) {
    (void)state;
    check_all(model, 1);
}

static void latents_too(void **state) {
    (void)state;
    check_all(latents, 1);
}

/* --- what is made once of a prompt ------------------------------------------------------------ */

static int count(const hora_base *b, hora_adapter **a, bool answers, const hora_view *views,
                 hora_op_id op) {
    hora_device *host;
    hora_recording r;
    int n = 0;
    assert_ok(hora_device_open(&host, "host"));
    const hora_recording_parts parts = {.base = b,
                                        .adapters = a,
                                        .nadapters = 1,
                                        .device = host,
                                        .rows = 1,
                                        .mode = HORA_NET_DECODE,
                                        .model = hora_model_record,
                                        .kcache = views,
                                        .vcache = views,
                                        .kept = views + b->layers,
                                        .answers = answers};
    hora_recording_init(&r, &parts);
    for (int i = 0; i < r.g->node_count; i++)
        n += r.g->nodes[i].op == (int)op;
    hora_recording_release(&r);
    hora_device_free(host);
    return n;
}

static void made_once(void **state) {
    (void)state;
    static float room[CONTEXT * 48];
    hora_base *b = golden_fresh(model, HORA_F32, false);
    hora_adapter *a = golden_moved(b, "para", "bottleneck=3");
    hora_view *views = hora_calloc((size_t)(b->layers * (1 + HORA_KEEPS)), sizeof *views);
    for (int64_t i = 0; i < b->layers * (1 + HORA_KEEPS); i++) {
        const int64_t k = i - b->layers;
        const int64_t w = k < 0 ? b->kv_heads * b->head_dim
                                : a->hooks->keeps(a, (int)(k / HORA_KEEPS), (int)(k % HORA_KEEPS));
        views[i] = (hora_view){room, HORA_F32, HORA_SHAPE2(k < 0 ? CONTEXT : 1, w)};
    }
    const int sites = 7 * (int)b->layers; /* projections of the base */
    assert_int_equal(count(b, &a, false, views, HORA_OP_prompt_mean), b->layers);
    assert_int_equal(count(b, &a, false, views, HORA_OP_keep), 3 * b->layers);
    assert_int_equal(count(b, &a, false, views, HORA_OP_linear), sites + 4 * (int)b->layers);
    assert_int_equal(count(b, &a, true, views, HORA_OP_prompt_mean), 0);
    assert_int_equal(count(b, &a, true, views, HORA_OP_keep), 0);
    assert_int_equal(count(b, &a, true, views, HORA_OP_linear), sites);
    hora_free(views);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* A text's answer does not reach the vectors that its prompt makes. */
static void answers_are_not_read(void **state) {
    (void)state;
    enum { ROWS = 12, PROMPT = 5 };
    hora_base *b = golden_fresh(model, HORA_F32, false);
    hora_adapter *a = golden_moved(b, "para", "bottleneck=3");
    float z[2][ROWS * VOCAB];
    for (int k = 0; k < 2; k++) {
        golden_run r;
        hora_rng rng = hora_rng_new(1, "batch");
        golden_synthetic(&r, &rng, b->vocab, (int[]){ROWS}, 1, 0);
        for (int i = 0; i < ROWS; i++) {
            r.rows.target[i] = i < PROMPT - 1 ? -1 : r.rows.target[i] < 0 ? 0 : r.rows.target[i];
            r.rows.ids[i] = i < PROMPT ? r.rows.ids[i] : (r.rows.ids[i] + k) % VOCAB;
        }
        golden_record(&r, b, &a, 1, &(golden_options){.mode = HORA_NET_EVAL});
        memcpy(z[k], golden_logits(&r), sizeof z[k]);
        golden_close(&r);
    }
    assert_memory_equal(z[0], z[1], PROMPT * VOCAB * sizeof **z);
    assert_memory_not_equal(z[0], z[1], sizeof z[0]);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* Two that keep something of the prompt are refused before any work. */
static void one_keeps(void **state) {
    (void)state;
    hora_base *b = golden_fresh(model, HORA_F32, false);
    hora_adapter *a[] = {golden_moved(b, "para", ""), golden_moved(b, "para", "")};
    hora_device *host;
    hora_decoder *d;
    assert_ok(hora_device_open(&host, "host"));
    const hora_decoder_config c = {.base = b,
                                   .adapters = a,
                                   .nadapters = 2,
                                   .device = host,
                                   .context = CONTEXT,
                                   .cache = true};
    assert_fails(hora_decoder_new(&d, &c), HORA_EUSAGE, "leave that to one");
    a[1]->enabled = false;
    assert_ok(hora_decoder_new(&d, &c));
    hora_decoder_free(d);
    hora_device_free(host);
    hora_peft_detach(a[0]);
    hora_peft_detach(a[1]);
    hora_base_close(b);
}

HORA_TESTS(law_decoding, {"with a cache is without one", cached_is_uncached, HORA_SHORT},
           {"with a cache of latents is without one", latents_too, HORA_SHORT},
           {"what is made of the prompt is made once", made_once, HORA_SHORT},
           {"answers are not read by what scales them", answers_are_not_read, HORA_SHORT},
           {"one adapter keeps what it makes of the prompt", one_keeps, HORA_SHORT});
