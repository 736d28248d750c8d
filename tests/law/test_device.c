/*
 * Laws of training on a device other than the host, on a tiny model: it follows the host, gives the
 * same bits twice, goes on after a checkpoint as if nothing had happened, there and on the host,
 * and allocates nothing in a step; and of decoding there. Without such a device all of them are
 * skipped.
 */
#include "hora_test.h"

#include <math.h>

#include "base/rng.h"
#include "data/data.h"
#include "infer/generate.h"
#include "method_cases.h"
#include "train/train.h"
#include "vectors/golden.h"

enum { LENGTH = 48, COUNT = 4, STEPS = 6, HALF = 3 };

static const char config_text[] =
    "{\"model_type\": \"%s\", \"vocab_size\": 96, \"hidden_size\": 96, \"intermediate_size\": "
    "96,"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    " \"head_dim\": 64, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6,"
    " \"rope_theta\": 10000.0, \"torch_dtype\": \"float32\", %s}";
static const char tied[] = "\"tie_word_embeddings\": true";
static const char biased[] =
    "\"tie_word_embeddings\": false, \"attention_bias\": true, \"mlp_bias\": true";

typedef struct kind { /* of a training: a method, its options, a model that suits it */
    const char *method, *options, *family, *more;
} kind;
static const kind kinds[] = {
    {"lora", "rank=4,targets=q+k+v+o+gate+up+down,dropout=0.1", "qwen3", tied},
    {"hora", "rank=4,dropout=0.1", "qwen3", tied},
    {"lora", "rank=4,use_dora=on", "qwen3", tied},
    {"hora", "rank=4,targets=q+v+o,act=gelu,magnitude=doran", "qwen3", tied},
    {"ia3", "", "qwen3", tied},
    {"full", "", "qwen3", tied},
    {"bitfit", "", "qwen2", tied},
};

/* The name of a device that this machine has besides the host; skips where there is none. */
static const char *other(void) {
    for (int i = 0; i < hora_device_kind_count(); i++) {
        const char *name = hora_device_kind_at(i)->name;
        hora_device *d;
        if (strcmp(name, "host") == 0)
            continue;
        if (hora_device_open(&d, name) != HORA_OK)
            hora_test_skip("%s", hora_errmsg());
        hora_device_free(d);
        return name;
    }
    hora_test_skip("this build has no device but the host");
    return NULL;
}

typedef struct world {
    hora_base *base;
    hora_adapter *adapter;
    hora_training *training;
    hora_batch batch[2]; /* micro-batches, packed, the second with padding */
} world;

static void fill_batch(hora_batch *b, int64_t rows, int padding, uint64_t seed) {
    hora_rng r = hora_rng_new(seed, "device");
    assert_ok(hora_batch_init(b, rows, NULL));
    b->rows = b->capacity;
    for (int64_t i = 0; i < b->rows; i++) {
        const bool real = i < LENGTH * COUNT - padding;
        b->ids[i] = real ? (int32_t)hora_rng_below(&r, 96) : 0;
        b->target[i] = real && i % LENGTH > 3 ? (int32_t)hora_rng_below(&r, 96) : -1;
        b->weight[i] = b->target[i] >= 0;
        b->pos[i] = (int32_t)(i % LENGTH);
        b->lo[i] = (int32_t)(real ? i - i % LENGTH : 0);
        b->hi[i] = (int32_t)(real ? i + 1 : 0);
        b->tokens += real;
        b->supervised += b->target[i] >= 0;
    }
}

/* False: the device has no kernel for one of its ops, and says which. */
static bool try_world(world *w, const char *device, hora_dtype dtype, const kind *k,
                      const char *recompute) {
    char *config = hora_format(config_text, k->family, k->more);
    *w = (world){.base = golden_fresh(config, dtype, false)};
    hora_free(config);
    w->adapter = golden_attach(w->base, k->method, k->options);
    hora_train_config c;
    hora_settings s = {0};
    assert_ok(hora_settings_parse(&s, "steps=6,batch_size=4,grad_accum=2,lr=1e-3,weight_decay=0.01",
                                  "test"));
    hora_settings_put(&s, "device", device, "test");
    hora_settings_put(&s, "recompute", recompute, "test");
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    hora_settings_release(&s);
    c.dtype = HORA_TRAIN_AUTO;
    const hora_training_parts p = {
        .base = w->base, .adapters = &w->adapter, .nadapters = 1, .seq_len = LENGTH};
    const hora_status opened = hora_training_open(&w->training, &p, &c);
    hora_options_release(&hora_train_options, &c);
    if (opened == HORA_EUNSUPPORTED && strstr(hora_errmsg(), " computes op "))
        return false;
    assert_ok(opened);
    assert_ok(hora_training_prepare(w->training));
    for (int i = 0; i < 2; i++)
        fill_batch(&w->batch[i], hora_training_report(w->training)->rows, i * 40, (uint64_t)i);
    return true;
}

static void open_world(world *w, const char *device, hora_dtype dtype, const kind *k,
                       const char *recompute) {
    if (!try_world(w, device, dtype, k, recompute))
        fail_msg("%s", hora_errmsg());
}

static void close_world(world *w) {
    for (int i = 0; i < 2; i++)
        hora_batch_release(&w->batch[i]);
    hora_training_free(w->training);
    hora_peft_detach(w->adapter);
    hora_base_close(w->base);
}

static void steps(world *w, int n, double *loss, double *norm) {
    for (int i = 0; i < n; i++) {
        hora_step_info info;
        assert_ok(hora_training_step_on(w->training, w->batch, 2, &info));
        loss[i] = info.loss;
        norm[i] = info.grad_norm;
    }
}

/* What was learned, as the host sees it. */
static float *values(world *w) {
    float *copy = hora_malloc(w->adapter->value_bytes);
    hora_adapter_refresh(w->adapter);
    memcpy(copy, w->adapter->values, w->adapter->value_bytes);
    return copy;
}

static void follows(const kind *k, hora_dtype dtype, double tol) {
    const char *device = other();
    double loss[2][STEPS], norm[2][STEPS];
    for (int there = 0; there < 2; there++) {
        world w;
        if (!try_world(&w, there ? device : "host", dtype, k, there ? "1" : "none")) {
            print_message("%s: %s\n", k->method, hora_errmsg());
            close_world(&w);
            return;
        }
        steps(&w, STEPS, loss[there], norm[there]);
        close_world(&w);
    }
    for (int i = 0; i < STEPS; i++)
        if (!(fabs(loss[1][i] - loss[0][i]) <= tol * loss[0][i]) ||
            !(fabs(norm[1][i] - norm[0][i]) <= 20 * tol * norm[0][i]))
            fail_msg("%s %s, step %d: %s has loss %.7f and norm %.6g, the host %.7f and %.6g",
                     k->method, k->options, i + 1, device, loss[1][i], norm[1][i], loss[0][i],
                     norm[0][i]);
}

/* These, and every row of methods.def. */
static void all_follow(hora_dtype dtype, double tol) {
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        follows(&kinds[i], dtype, tol);
    for (int i = 0; i < method_case_count(); i++) {
        const method_case *m = method_case_at(i);
        if (!method_case_of_text(m))
            continue;
        follows(&(kind){m->method, m->options, "llama", biased}, dtype, tol);
    }
}

static void follows_f32(void **state) {
    (void)state;
    all_follow(HORA_F32, 2e-5);
}

static void follows_bf16(void **state) {
    (void)state;
    all_follow(HORA_BF16, 5e-3);
}

static void same_bits(void **state) {
    (void)state;
    const char *device = other();
    const hora_dtype dtypes[] = {HORA_F32, HORA_BF16};
    for (int k = 0; k < 2; k++)
        for (int m = 0; m < (int)HORA_COUNT(kinds); m++) {
            float *got[2];
            size_t bytes = 0;
            for (int n = 0; n < 2; n++) {
                double loss[STEPS], norm[STEPS];
                world w;
                open_world(&w, device, dtypes[k], &kinds[m], n ? "all" : "none");
                steps(&w, STEPS, loss, norm);
                got[n] = values(&w);
                bytes = w.adapter->value_bytes;
                close_world(&w);
            }
            if (memcmp(got[0], got[1], bytes))
                fail_msg("%s: two runs, one of them recomputing, end in other bits",
                         kinds[m].method);
            hora_free(got[0]);
            hora_free(got[1]);
        }
}

/* Half on one device, a checkpoint, the rest on another; `first` NULL: all on the second. */
static float *halves(const char *first, const char *second, size_t *bytes, const char *name) {
    double loss[STEPS], norm[STEPS];
    const char *checkpoint = hora_test_path(hora_test_tmp(), name);
    world w;
    open_world(&w, first ? first : second, HORA_F32, &kinds[0], "none");
    steps(&w, first ? HALF : STEPS, loss, norm);
    if (first) {
        assert_ok(hora_training_save_to(w.training, checkpoint));
        close_world(&w);
        open_world(&w, second, HORA_F32, &kinds[0], "none");
        assert_ok(hora_training_resume_from(w.training, checkpoint));
        steps(&w, STEPS - HALF, loss, norm);
    }
    float *got = values(&w);
    *bytes = w.adapter->value_bytes;
    close_world(&w);
    return got;
}

static void resumes(void **state) {
    (void)state;
    const char *device = other();
    size_t bytes;
    float *whole = halves(NULL, device, &bytes, "none");
    float *there = halves(device, device, &bytes, "there");
    float *crossed = halves("host", device, &bytes, "to");
    float *back = halves(device, "host", &bytes, "from");
    if (memcmp(whole, there, bytes))
        fail_msg("%s: resumed is not uninterrupted", device);
    hora_assert_close(crossed, whole, bytes / sizeof *whole, 1e-4, "begun on the host");
    hora_assert_close(back, whole, bytes / sizeof *whole, 1e-4, "finished on the host");
    hora_free(whole);
    hora_free(there);
    hora_free(crossed);
    hora_free(back);
}

static void allocates_nothing(void **state) {
    (void)state;
    double loss[STEPS], norm[STEPS];
    world w;
    open_world(&w, other(), HORA_BF16, &kinds[0], "none");
    steps(&w, HALF, loss, norm); /* the first makes calls, the second keeps them */
    const hora_device_kind *k = hora_device_kind_of(hora_training_device(w.training));
    const size_t taken = k->taken(hora_training_device(w.training));
    const uint64_t count = hora_alloc_count();
    steps(&w, STEPS - HALF, loss, norm);
    assert_int_equal(hora_alloc_count(), count);
    assert_int_equal(k->taken(hora_training_device(w.training)), taken);
    close_world(&w);
}

/* Logits behind a prompt of `PROMPT` tokens, fed at once, and behind each of a few more. */
enum { PROMPT = 21, MORE = 5, VOCAB = 96 };
static void decode(const char *device, hora_dtype dtype, bool cache, float *logits) {
    char *config = hora_format(config_text, "qwen3", tied);
    hora_base *base = golden_fresh(config, dtype, false);
    hora_adapter *adapter = golden_attach(base, "hora", "rank=4");
    hora_device *d;
    hora_decoder *decoder;
    int32_t ids[PROMPT + MORE];
    assert_ok(hora_adapter_allocate(adapter));
    assert_ok(hora_device_open(&d, device));
    const hora_decoder_config c = {.base = base,
                                   .adapters = &adapter,
                                   .nadapters = 1,
                                   .device = d,
                                   .cache = cache,
                                   .prefill = 8,
                                   .context = 64};
    assert_ok(hora_decoder_new(&decoder, &c));
    for (int i = 0; i < PROMPT + MORE; i++)
        ids[i] = (i * 37 + 5) % VOCAB;
    for (int i = 0; i <= MORE; i++) {
        const float *z;
        assert_ok(
            hora_decoder_feed(decoder, i ? &ids[PROMPT + i - 1] : ids, i ? 1 : (size_t)PROMPT, &z));
        memcpy(logits + i * VOCAB, z, VOCAB * sizeof *z);
    }
    hora_decoder_free(decoder);
    hora_device_free(d);
    hora_peft_detach(adapter);
    hora_base_close(base);
    hora_free(config);
}

static void decodes(void **state) {
    (void)state;
    const char *device = other();
    const struct {
        hora_dtype dtype;
        double tol;
    } in[] = {{HORA_F32, 2e-5}, {HORA_BF16, 2e-2}};
    for (size_t k = 0; k < HORA_COUNT(in); k++)
        for (int cache = 0; cache < 2; cache++) {
            float there[(MORE + 1) * VOCAB], here[(MORE + 1) * VOCAB];
            decode(device, in[k].dtype, cache, there);
            decode("host", in[k].dtype, cache, here);
            hora_assert_close(there, here, HORA_COUNT(here), in[k].tol, "logits");
        }
}

static void memory_runs_out(void **state) {
    (void)state;
    hora_device *d;
    void *p;
    assert_ok(hora_device_open(&d, other()));
    assert_fails(hora_device_alloc(d, &p, (size_t)1 << 50, "the step arena"), HORA_ENOMEM,
                 "PiB are needed, but the GPU has");
    assert_null(p);
    assert_ok(hora_device_kind_of(d)->sync(d));
    hora_device_free(d);
}

static void names(void **state) {
    (void)state;
    hora_device *d;
    assert_fails(hora_device_open(&d, "tpu"), HORA_EUSAGE, "no device `tpu`");
    assert_null(d);
    if (hora_device_kind_count() == 1)
        assert_fails(hora_device_open(&d, "cuda"), HORA_EUSAGE,
                     "no device `cuda` in this build; there is host (or cpu); for cuda, build "
                     "where nvcc is");
    static const char *const host[] = {"host", "cpu"};
    for (size_t i = 0; i < HORA_COUNT(host); i++) {
        assert_ok(hora_device_open(&d, host[i]));
        assert_true(hora_device_is_host(d));
        assert_string_equal(hora_device_kind_of(d)->name, "host");
        hora_device_free(d);
    }
}

HORA_TESTS(law_device, {"devices have names", names, HORA_SHORT},
           {"a device follows the host in f32", follows_f32, HORA_SHORT},
           {"a device follows the host in bf16", follows_bf16, HORA_SHORT},
           {"a device gives the same bits twice", same_bits, HORA_SHORT},
           {"a device resumes, its own runs and the host's", resumes, HORA_SHORT},
           {"a step on a device allocates nothing", allocates_nothing, HORA_SHORT},
           {"a device decodes as the host does", decodes, HORA_SHORT},
           {"a device without memory says so", memory_runs_out, HORA_SHORT});
