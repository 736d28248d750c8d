/*
 * Encoders with a head, in f64 on ref: the gradient of every weight against central differences of
 * the loss along a random direction, for a head of the whole and one of every token, with pairs of
 * texts, padding and a padding id within; and of models of pictures the two heads that judge every
 * pixel, where some do not count.
 */
#include "hora_test.h"

#include <math.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "infer/forward.h"
#include "vectors/golden.h"

#define LABELS                                                                                     \
    "\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"},\"initializer_range\":0.4,"                \
    "\"vocab_size\":23,\"max_position_embeddings\":16,"
#define DIMS                                                                                       \
    "\"hidden_size\":12,\"intermediate_size\":20,\"num_hidden_layers\":2,\"num_attention_heads\":" \
    "3," LABELS
static const char *const families[] = {
    "{\"model_type\":\"bert\"," DIMS "\"pad_token_id\":0,\"type_vocab_size\":2}",
    "{\"model_type\":\"roberta\"," DIMS "\"pad_token_id\":1,\"type_vocab_size\":1,\"hidden_act\":"
    "\"gelu_new\"}",
    "{\"model_type\":\"distilbert\"," LABELS
    "\"pad_token_id\":0,\"dim\":12,\"hidden_dim\":20,\"n_layers\":2,\"n_heads\":3}",
    "{\"model_type\":\"modernbert\"," DIMS "\"pad_token_id\":0,\"local_attention\":4,"
    "\"classifier_pooling\":\"mean\",\"global_attn_every_n_layers\":2}",
    "{\"model_type\":\"modernbert\"," DIMS "\"pad_token_id\":0,\"local_attention\":2,"
    "\"norm_bias\":true,\"attention_bias\":true,\"mlp_bias\":true,\"classifier_bias\":true}",
};
static const char *const tasks[] = {"sequence-classification", "token-classification",
                                    "regression"};
enum { B = 3, T = 7 };

typedef struct kit {
    hora_base *base;
    hora_objective o;
    hora_adapter *a;
    hora_device *device;
    hora_forward_batch batch;
    hora_forward f;
} kit;

#define PICTURES                                                                                   \
    "\"hidden_size\":12,\"num_hidden_layers\":1,\"num_attention_heads\":3,\"initializer_range\":"  \
    "0.4,\"image_size\":[6,4],\"patch_size\":2,"
static const char *const seen[] = {
    "{\"model_type\":\"vit\"," PICTURES "\"intermediate_size\":20}",
    "{\"model_type\":\"clip_vision_model\"," PICTURES "\"intermediate_size\":20}",
    "{\"model_type\":\"dinov2_with_registers\"," PICTURES "\"mlp_ratio\":2,"
    "\"num_register_tokens\":2}",
};
enum { HIGH = 6, WIDE = 4 };

static void make_pictures(kit *k) {
    hora_rng r = hora_rng_new(7, "pictures");
    hora_forward_batch *b = &k->batch;
    const size_t n = B * HIGH * WIDE;
    *b = (hora_forward_batch){.b = B, .per = HIGH * WIDE, .pixels = {NULL, 1, 3, HIGH, WIDE}};
    b->pixels.at = hora_calloc(3 * n, sizeof *b->pixels.at);
    b->labels = hora_calloc(n, sizeof *b->labels);
    for (size_t i = 0; i < 3 * n; i++)
        b->pixels.at[i] = (float)hora_rng_normal(&r);
    for (size_t i = 0; i < n; i++)
        b->labels[i] = hora_rng_below(&r, 5) ? (double)hora_rng_below(&r, 3) : -100;
}

/* Samples of 7, 4 and 6 tokens; the last one holds the padding id within. */
static void make_batch(kit *k, bool types) {
    hora_rng r = hora_rng_new(7, "encoders");
    const bool tags = k->o.task->labels == HORA_LABELS_TAG;
    const int64_t per = tags ? T : k->o.loss == HORA_LOSS_MSE ? k->o.classes : 1;
    static const int length[B] = {7, 4, 6};
    hora_forward_batch *b = &k->batch;
    *b = (hora_forward_batch){.b = B, .t = T, .per = per};
    b->ids = hora_calloc(B * T, sizeof *b->ids);
    b->mask = hora_calloc(B * T, sizeof *b->mask);
    b->types = types ? hora_calloc(B * T, sizeof *b->types) : NULL;
    b->labels = hora_calloc((size_t)(B * per), sizeof *b->labels);
    for (int i = 0; i < B; i++)
        for (int j = 0; j < T; j++) {
            const bool in = j < length[i];
            b->mask[i * T + j] = in;
            b->ids[i * T + j] =
                in && !(i == 2 && j == 3) ? 2 + (int32_t)hora_rng_below(&r, 21) : k->o.pad;
            if (types && in && j > 2)
                b->types[i * T + j] = 1;
        }
    for (int64_t i = 0; i < B * per; i++)
        b->labels[i] = k->o.loss == HORA_LOSS_MSE ? hora_rng_normal(&r)
                       : tags && !b->mask[i]      ? -100
                                                  : (double)hora_rng_below(&r, 3);
}

static void kit_open(kit *k, const char *config, const char *task, bool upsampled,
                     const char *method, const char *options) {
    char *path = hora_path_join(hora_test_tmp(), "config.json");
    hora_json *c;
    *k = (kit){.device = hora_device_new()};
    assert_ok(hora_file_write(path, config, strlen(config)));
    assert_ok(hora_json_load(&c, path));
    assert_ok(hora_objective_choose(&k->o, task, c));
    const bool types = hora_json_get(c, "type_vocab_size") && k->o.pad == 0;
    const hora_base_options bo = {.dtype = HORA_F64, .headers_only = true, .bare = true};
    assert_ok(hora_base_fresh(&k->base, path, &bo, 3));
    k->o.classes = 3;
    hora_objective_shape(&k->o, 0.7, upsampled);
    assert_ok(hora_objective_settle(&k->o, k->base, NULL, NULL, false, 5));
    assert_ok(hora_base_complete(k->base));
    k->a = golden_attach(k->base, method, options);
    assert_ok(hora_adapter_allocate(k->a));
    hora_rng r = hora_rng_new(3, "perturb"); /* no bias may be zero */
    for (int64_t i = 0; i < k->a->elems; i++)
        ((double *)k->a->values)[i] += 0.2 * hora_rng_normal(&r);
    if (k->base->vision)
        make_pictures(k);
    else
        make_batch(k, types);
    k->f = (hora_forward){.base = k->base,
                          .objective = &k->o,
                          .adapters = &k->a,
                          .nadapters = 1,
                          .device = k->device,
                          .grads = true};
    assert_ok(hora_forward_grads(k->a));
    hora_json_free(c);
    hora_free(path);
}

static void kit_close(kit *k) {
    hora_forward_grads_free(k->a);
    hora_forward_batch_release(&k->batch);
    hora_peft_detach(k->a);
    hora_base_close(k->base);
    hora_device_free(k->device);
    hora_objective_release(&k->o);
}

static double loss_at(kit *k, hora_param *p, const double *p0, const double *dir, double h) {
    for (int64_t i = 0; i < p->elems; i++)
        ((double *)p->value)[i] = p0[i] + h * dir[i];
    assert_ok(hora_forward_run(&k->f, &k->batch));
    return k->f.loss;
}

static void check_param(kit *k, hora_param *p, const double *grad, hora_rng *rng,
                        const char *what) {
    double *p0 = hora_malloc((size_t)p->elems * sizeof *p0),
           *dir = hora_malloc((size_t)p->elems * 8);
    double want = 0, best = INFINITY;
    memcpy(p0, p->value, (size_t)p->elems * sizeof *p0);
    for (int64_t i = 0; i < p->elems; i++)
        want += (dir[i] = hora_rng_normal(rng)) * grad[i];
    for (double h = 1e-3; h > 1e-6; h /= 10) {
        const double got = (loss_at(k, p, p0, dir, h) - loss_at(k, p, p0, dir, -h)) / (2 * h);
        best = fmin(best, fabs(got - want) / fmax(fmax(fabs(got), fabs(want)), 1e-4));
    }
    memcpy(p->value, p0, (size_t)p->elems * sizeof *p0);
    hora_free(p0);
    hora_free(dir);
    if (!(best <= 1e-6))
        fail_msg("%s: %s is off by %.3g relative", what, p->name, best);
}

static void check(const char *config, const char *task, bool upsampled, const char *method,
                  const char *options) {
    kit k;
    kit_open(&k, config, task, upsampled, method, options);
    hora_rng rng = hora_rng_new(1, task);
    assert_ok(hora_forward_run(&k.f, &k.batch));
    char *what = hora_format("%s %s %s", k.base->model_type, task, method);
    k.f.grads = false;
    for (int i = 0; i < k.a->nparams; i++)
        check_param(&k, k.a->params[i], k.a->params[i]->grad, &rng, what);
    hora_free(what);
    kit_close(&k);
}

static void test_all(void **state) {
    (void)state;
    for (size_t f = 0; f < HORA_COUNT(families); f++)
        for (size_t t = 0; t < HORA_COUNT(tasks); t++)
            check(families[f], tasks[t], false, "full", "");
}

/* What stands in front of a text, or changes the rows of its tokens, reaches every family. */
static void test_rows(void **state) {
    static const char *const methods[][2] = {{"prompt", "virtual_tokens=2"},
                                             {"ptuning", "virtual_tokens=2,encoder_hidden_size=5"},
                                             {"prefix", "virtual_tokens=2"},
                                             {"lora", "targets=embed,rank=2"}};
    (void)state;
    for (size_t f = 0; f < HORA_COUNT(families); f++)
        for (size_t m = 0; m < HORA_COUNT(methods); m++)
            check(families[f], tasks[0], false, methods[m][0], methods[m][1]);
}

static void test_segment(void **state) {
    (void)state;
    for (size_t f = 0; f < HORA_COUNT(seen); f++)
        for (int head = 0; head < 2; head++)
            check(seen[f], "segment", head == 1, "full", "");
}

HORA_TESTS(grad_encoders, {"every family, every task, every weight", test_all, HORA_SHORT},
           {"prompts and rows of tokens", test_rows, HORA_SHORT},
           {"a class of each pixel", test_segment, HORA_SHORT});
