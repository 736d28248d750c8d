/*
 * Frozen weights in blocks: kernels give the bits of the reference dequantization, and training on
 * blocks, with every method, is training on their values.
 */
#include <math.h>

#include "backend/cpu/kern.h"
#include "backend/device.h"
#include "base/file.h"
#include "base/rng.h"
#include "hora_test.h"
#include "infer/forward.h"
#include "method_cases.h"
#include "model/family.h"
#include "peft/peft.h"
#include "tensor/blocks.h"
#include "vectors/golden.h"

static const method_case all_lora = {"lora", "targets=all-linear", NULL};

/* --- kernels ---------------------------------------------------------------------------------- */
enum { VALUES = 1024 };

/* Random bits, with scales that are finite: halves lie at some even places of every type. */
static void fill(unsigned char *x, size_t n, hora_rng *r) {
    for (size_t i = 0; i < n; i++)
        x[i] = (unsigned char)hora_rng_below(r, 256);
    for (size_t i = 1; i < n; i += 2)
        if ((x[i] & 0x7c) == 0x7c) /* an f16 would be infinite */
            x[i] &= 0xbf;
}

static void check_type(hora_dtype t, hora_rng *r) {
    unsigned char *x = hora_calloc(VALUES / hora_dtype_block(t) + 1, hora_dtype_block_bytes(t));
    float want[VALUES], got[VALUES];
    uint16_t small[VALUES];
    for (int k = 0; k < 16; k++) {
        fill(x, (size_t)(VALUES / hora_dtype_block(t)) * hora_dtype_block_bytes(t), r);
        hora_dequantize(want, x, t, VALUES);
        for (int64_t from = 0; from < VALUES; from += 32)
            for (int64_t n = 32; n <= 96 && from + n <= VALUES; n += 32) {
                hora_kern_get()->blocks->dequantize(got, x, t, from, n);
                hora_kern_get()->blocks->dequantize_bf16(small, x, t, from, n);
                for (int64_t i = 0; i < n; i++) {
                    if (memcmp(&got[i], &want[from + i], 4) != 0)
                        fail_msg("%s: value %d is %a, not %a", hora_dtype_name(t), (int)(from + i),
                                 (double)got[i], (double)want[from + i]);
                    if (fabsf(want[from + i]) > 1e-37f && /* denormals: kern_vec.h */
                        small[i] != hora_f32_to_bf16(want[from + i]))
                        fail_msg("%s: value %d in bf16", hora_dtype_name(t), (int)(from + i));
                }
            }
    }
    hora_free(x);
}

static void test_kernels(void **state) {
    hora_rng r = hora_rng_new(3, "blocks");
    (void)state;
    for (hora_dtype t = HORA_DTYPE_OTHER + 1; t < HORA_DTYPES; t++)
        check_type(t, &r);
}

/* --- training --------------------------------------------------------------------------------- */
typedef struct trained {
    hora_base *base;
    hora_adapter *a;
    double loss;
} trained;

/* A method whose parameters are all away from zero; their gradients. */
static void differentiate(trained *t, const char *path, const hora_base_options *options,
                          const method_case *m) {
    int32_t ids[40];
    double labels[40];
    hora_forward_batch batch = {.b = 2, .t = 20, .ids = ids, .labels = labels, .per = 20};
    hora_settings s = {0};
    hora_device *host;
    assert_ok(hora_settings_parse(&s, m->options, "test"));
    assert_ok(hora_base_open(&t->base, path, options));
    assert_ok(hora_peft_attach(&t->a, t->base, m->method, &s, 7));
    assert_ok(hora_adapter_allocate(t->a));
    for (int i = 0; i < t->a->nparams; i++) {
        float *v = t->a->params[i]->value;
        for (int64_t k = 0; k < t->a->params[i]->elems; k++)
            v[k] += 0.01f * (float)((k * 7 + i) % 11 - 5);
    }
    for (int i = 0; i < 40; i++)
        labels[i] = ids[i] = (i * 37 + 11) % (int)t->base->vocab;
    assert_ok(hora_device_open(&host, "host"));
    hora_forward f = {
        .base = t->base, .adapters = &t->a, .nadapters = 1, .device = host, .grads = true};
    assert_ok(hora_forward_grads(t->a));
    assert_ok(hora_forward_run(&f, &batch));
    t->loss = f.loss;
    hora_device_free(host);
    hora_settings_release(&s);
}

static void end(trained *t) {
    hora_forward_grads_free(t->a);
    hora_peft_detach(t->a);
    hora_base_close(t->base);
}

/* The same model, in blocks and plain. */
typedef struct pair {
    const char *blocks, *plain;
    hora_base_options in_blocks, out_of_them;
} pair;

static pair of_file(const char *path, hora_dtype dtype) {
    return (pair){path, path, {.dtype = dtype}, {.dtype = dtype, .unpacked = true}};
}

static void same_gradients(const pair *of, const method_case *m) {
    const char *path = of->blocks;
    const double tolerance = 2e-5; /* of one product of f32, as op_linear.c has it */
    trained blocks, plain;
    differentiate(&blocks, of->blocks, &of->in_blocks, m);
    differentiate(&plain, of->plain, &of->out_of_them, m);
    for (int i = 0; i < plain.base->nweights; i++) {
        const hora_weight *w = &plain.base->weights[i], *b = &blocks.base->weights[i];
        assert_int_equal(hora_dtype_block(w->view.dtype), 1);
        if (w->view.shape.n == 2 && hora_dtype_block(b->view.dtype) == 1)
            fail_msg("%s: %s left its blocks", path, b->name);
    }
    if (!(fabs(blocks.loss - plain.loss) <= tolerance * plain.loss))
        fail_msg("%s, %s %s: loss %g, unpacked %g", path, m->method, m->options, blocks.loss,
                 plain.loss);
    for (int i = 0; i < plain.a->nparams; i++) {
        const hora_param *p = plain.a->params[i], *q = blocks.a->params[i];
        double largest = 0;
        for (int64_t k = 0; k < p->elems; k++)
            largest = fmax(largest, fabs((double)((float *)p->grad)[k]));
        hora_assert_close(q->grad, p->grad, (size_t)p->elems, tolerance * largest + 1e-9,
                          hora_test_text("%s %s: %s", m->method, m->options, p->name));
    }
    end(&blocks);
    end(&plain);
}

/* Root mean square distance of the gradients of parameter i, of all, from those in f32. */
static double distance(const trained *t, const trained *exact, int i) {
    const float *g = t->a->params[i]->grad, *want = exact->a->params[i]->grad;
    double sum = 0, square = 0;
    for (int64_t k = 0; k < t->a->params[i]->elems; k++) {
        sum += pow((double)(g[k] - want[k]), 2);
        square += pow((double)want[k], 2);
    }
    return sqrt(sum / square);
}

/* bf16 rounds on blocks no more than it does on plain weights. */
static void rounds_alike(const char *path) {
    trained blocks, plain, exact;
    const pair small = of_file(path, HORA_BF16), wide = of_file(path, HORA_F32);
    differentiate(&blocks, path, &small.in_blocks, &all_lora);
    differentiate(&plain, path, &small.out_of_them, &all_lora);
    differentiate(&exact, path, &wide.out_of_them, &all_lora);
    if (!(fabs(blocks.loss - plain.loss) <= 0.002))
        fail_msg("%s: loss %g, %g on its values", path, blocks.loss, plain.loss);
    for (int i = 0; i < exact.a->nparams; i++)
        if (!(distance(&blocks, &exact, i) <= 2 * distance(&plain, &exact, i)))
            fail_msg("%s: %s is off by %g, on plain weights by %g", path, exact.a->params[i]->name,
                     distance(&blocks, &exact, i), distance(&plain, &exact, i));
    end(&blocks);
    end(&plain);
    end(&exact);
}

static double loss_in_f64(const char *path, bool unpacked) {
    const hora_base_options options = {.dtype = HORA_F64, .unpacked = unpacked};
    int32_t ids[20];
    double labels[20];
    const hora_forward_batch batch = {.b = 1, .t = 20, .ids = ids, .labels = labels, .per = 20};
    hora_base *b;
    hora_device *host;
    assert_ok(hora_base_open(&b, path, &options));
    for (int i = 0; i < 20; i++)
        labels[i] = ids[i] = (i * 37 + 11) % (int)b->vocab;
    assert_ok(hora_device_open(&host, "host"));
    hora_forward f = {.base = b, .device = host};
    assert_ok(hora_forward_run(&f, &batch));
    hora_device_free(host);
    hora_base_close(b);
    return f.loss;
}

/* In f64 every op is the reference's, and its table of embeddings comes in blocks alone. */
static void test_f64(void **state) {
    static const char *const files[] = {"llama/q8_0", "llama/q4_k", "qwen3/q4_k"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        const char *path = hora_test_shared(hora_test_text("gguf/models/%s.gguf", files[i]));
        const double blocks = loss_in_f64(path, false), plain = loss_in_f64(path, true);
        if (!(fabs(blocks - plain) <= 1e-12 * plain))
            fail_msg("%s: loss %.15g, unpacked %.15g", path, blocks, plain);
    }
}

/* Both orientations of every product, in every type, are those of the weights out of their
 * blocks. */
static void test_blocks(void **state) {
    static const char *const files[] = {"llama/q8_0", "llama/q4_0",   "llama/q4_1", "llama/q5_0",
                                        "llama/q5_1", "llama/q2_k",   "llama/q3_k", "llama/q4_k",
                                        "llama/q5_k", "llama/iq4_nl", "qwen2/q4_k", "qwen3/q4_k"};
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        const char *path = hora_test_shared(hora_test_text("gguf/models/%s.gguf", files[i]));
        const pair of = of_file(path, HORA_F32);
        same_gradients(&of, &all_lora);
        rounds_alike(path);
    }
}

/* --- methods ---------------------------------------------------------------------------------- */
static const char config[] =
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", \"hidden_size\": 192,"
    " \"intermediate_size\": 384, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"vocab_size\": 96, \"max_position_embeddings\": 64,"
    " \"rms_norm_eps\": 1e-05, \"initializer_range\": 0.2, \"tie_word_embeddings\": false}";

/* A random model, quantized as it is opened, and the values of its blocks in a folder. */
static pair made(hora_dtype type) {
    pair of = {.in_blocks = {.dtype = HORA_F32, .quantize = type},
               .out_of_them = {.dtype = HORA_F32}};
    hora_base *b;
    of.blocks = hora_test_path(hora_test_tmp(), hora_dtype_name(type));
    of.plain = hora_test_path(hora_test_tmp(), hora_test_text("%s.f32", hora_dtype_name(type)));
    assert_ok(hora_mkdirs(of.blocks));
    assert_ok(hora_mkdirs(of.plain));
    const char *at = hora_test_path(of.blocks, "config.json");
    assert_ok(hora_file_write(at, config, strlen(config)));
    assert_ok(hora_base_fresh(&b, of.blocks, &of.out_of_them, 5));
    assert_ok(hora_base_save(b, of.blocks, NULL, HORA_F32));
    hora_base_close(b);
    assert_ok(hora_base_open(&b, of.blocks, &of.in_blocks));
    assert_ok(hora_base_save(b, of.plain, NULL, HORA_F32));
    hora_base_close(b);
    return of;
}

/* Needs the weight before it is quantized, and says so. */
static void refused(const pair *of, const char *options) {
    hora_settings s = {0};
    hora_adapter *a = NULL;
    hora_base *b;
    assert_ok(hora_base_open(&b, of->blocks, &of->in_blocks));
    assert_ok(hora_settings_parse(&s, options, "test"));
    assert_fails(hora_peft_attach(&a, b, "lora", &s, 7), HORA_EUNSUPPORTED, "init=pissa");
    hora_settings_release(&s);
    hora_base_close(b);
}

/* Every row of methods.def, on every type that models are quantized to. */
static void test_methods(void **state) {
    static const hora_dtype types[] = {HORA_Q8_0, HORA_Q4_0, HORA_NF4};
    (void)state;
    for (size_t k = 0; k < HORA_COUNT(types); k++) {
        const pair of = made(types[k]);
        for (int i = 0; i < method_case_count(); i++)
            if (method_case_of_text(method_case_at(i)))
                same_gradients(&of, method_case_at(i));
        refused(&of, "init=pissa");
        refused(&of, "init=olora,targets=q");
    }
}

HORA_TESTS(vectors_blocks, {"kernels give the bits of the reference", test_kernels, HORA_SHORT},
           {"training on blocks is training on their values", test_blocks, HORA_SHORT},
           {"f64 on blocks is f64 on their values", test_f64, HORA_SHORT},
           {"every method trains on blocks", test_methods, HORA_SHORT});
