/*
 * Training on texts that belong together, against sentence-transformers' definitions in PyTorch
 * (tools/oracle/make_embedding_vectors.py): losses, gradients, vectors, eight steps.
 */
#include "vectors/golden.h"

#include <math.h>

#include "base/text.h"
#include "peft/store.h"
#include "run/open.h"
#include "train/train.h"

static const char *const models[] = {"tiny_bert", "tiny_modernbert", "tiny_llama"};

typedef struct kit {
    hora_opened o;
    hora_adapter *a;
    hora_st *batch, *want;
    hora_batch b;
} kit;

static const char *at(const char *model, const char *name) {
    char *path = hora_format("embedding/%s/%s", model, name);
    const char *found = golden_path(path);
    hora_free(path);
    return found;
}

/* The texts side by side, as the data room lays them. */
static void fill(kit *k) {
    const hora_view *ids = &hora_st_find(k->batch, "input_ids")->view;
    const int32_t *mask = hora_st_find(k->batch, "attention_mask")->view.data;
    const int32_t *part = hora_st_find(k->batch, "part")->view.data;
    const float *scores = hora_st_find(k->batch, "scores")->view.data;
    const int64_t n = ids->shape.d[0], t = ids->shape.d[1];
    hora_leaves leaves = hora_leaves_plain();
    leaves.columns[HORA_LEAF_value] = 1;
    assert_ok(hora_batch_init(&k->b, n * t, &leaves));
    for (int64_t i = 0, record = -1; i < n; i++) {
        const int32_t *row = (const int32_t *)ids->data + i * t;
        hora_segment s = {.from = k->b.tokens, .ids = row, .part = part[i]};
        while (s.n < t && mask[i * t + s.n])
            s.n++;
        record += part[i] == 0;
        s.numbers = scores + record;
        for (int64_t j = 0; j < s.n; j++) {
            k->b.ids[s.from + j] = row[j];
            k->b.pos[s.from + j] = (int32_t)j;
            k->b.type[s.from + j] = 0;
        }
        hora_batch_places(&k->b, s.from, s.n, -1);
        k->o.objective.rule.ranges(&k->b, s.from, s.n, s.from, s.from + s.n);
        k->b.supervised += k->o.objective.rule.targets(&k->o.objective.rule, &s, &k->b).rows;
        k->b.tokens += s.n;
    }
    k->b.rows = hora_row_class(k->b.capacity, k->b.tokens);
    hora_batch_pad(&k->b);
    k->b.scale = 1 / (double)k->b.supervised;
}

static void kit_open(kit *k, const char *model, hora_dtype dtype) {
    char *own = hora_format("embedding/%s/base", model), *shared = hora_format("%s/base", model);
    *k = (kit){.a = NULL};
    assert_ok(hora_open_model(&k->o, golden_path(hora_eq(model, "tiny_llama") ? shared : own),
                              &(hora_open_options){.dtype = dtype, .task = "embedding"}));
    assert_ok(
        hora_peft_load(&k->a, k->o.base, golden_path(hora_test_text("embedding/%s", model)), NULL));
    assert_ok(hora_st_open(&k->batch, at(model, "batch.safetensors")));
    assert_ok(hora_st_open(&k->want, at(model, "expect.safetensors")));
    fill(k);
    hora_free(own);
    hora_free(shared);
}

static void kit_close(kit *k) {
    hora_batch_release(&k->b);
    hora_st_close(k->batch);
    hora_st_close(k->want);
    hora_peft_detach(k->a);
    hora_open_close(&k->o);
}

/* Gradients by their names without what a model with a head has in front: PyTorch's are those of
 * the bare model. */
static void compare_grads(const kit *k, const char *model, const char *what) {
    hora_st *want;
    char *file = hora_format("grads_%s.safetensors", what);
    int met = 0;
    assert_ok(hora_st_open(&want, at(model, file)));
    for (int i = 0; i < hora_st_count(want); i++)
        for (int p = 0; p < k->a->nparams; p++) {
            const char *name = hora_st_at(want, i)->name + strlen("grad.base_model.model.");
            const char *own = hora_param_file_name(k->a->params[p]);
            if (!hora_ends(own, name))
                continue;
            golden_compare(model, k->a->params[p]->grad, want, hora_st_at(want, i)->name, 1e-4,
                           1e-6);
            met++;
        }
    assert_int_equal(met, hora_st_count(want));
    assert_int_equal(met, k->a->nparams);
    hora_st_close(want);
    hora_free(file);
}

/* Rows that hold a text are the vectors of the file, in its order. */
static void compare_vectors(const kit *k, const hora_graph *g, hora_t t, const char *model) {
    const hora_view *x = hora_graph_view(g, t);
    const hora_view *want = &hora_st_find(k->want, "embeddings")->view;
    const int64_t d = want->shape.d[1];
    int64_t n = 0;
    for (int64_t i = 0; i < k->b.tokens; i++)
        if (k->b.target[i] >= 0)
            hora_assert_close((const float *)x->data + i * d, (const float *)want->data + d * n++,
                              (size_t)d, 1e-4, model);
    assert_int_equal(n, want->shape.d[0]);
}

static void once(const char *model, bool scored, const char *backends) {
    kit k;
    hora_recording r = {0};
    hora_device *device;
    kit_open(&k, model, HORA_F32);
    assert_ok(hora_device_open(&device, "host"));
    const char *what = scored ? "likeness" : "ranking";
    hora_outputs out = {.objective = &k.o.objective,
                        .want_loss = true,
                        .want_logits = true,
                        .differentiate = true,
                        .scored = scored};
    const hora_recording_parts parts = {.base = k.o.base,
                                        .adapters = &k.a,
                                        .nadapters = 1,
                                        .device = device,
                                        .backends = backends,
                                        .rows = k.b.capacity,
                                        .mode = HORA_NET_TRAIN,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &out};
    hora_recording_init(&r, &parts);
    r.backward = true;
    assert_ok(hora_graph_plan(r.g, &(hora_plan_options){.backward = true}));
    void *grads = hora_calloc((size_t)hora_max(k.a->elems, 16), sizeof(float));
    for (int i = 0; i < k.a->nparams; i++)
        k.a->params[i]->grad = (float *)grads + k.a->params[i]->offset;
    assert_ok(hora_recordings_prepare((hora_recording *[]){&r}, 1, "a test"));
    hora_recording_run(&r, &k.b);
    float loss = (float)hora_graph_scalar(r.g, out.loss);
    golden_compare(model, &loss, k.want, what, 1e-5, 0);
    compare_vectors(&k, r.g, out.logits, model);
    compare_grads(&k, model, what);
    hora_recording_release(&r);
    hora_device_free(device);
    for (int i = 0; i < k.a->nparams; i++)
        k.a->params[i]->grad = NULL;
    hora_free(grads);
    kit_close(&k);
}

static void losses(void **state) {
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++)
        for (int scored = 0; scored < 2; scored++) {
            once(models[m], scored, NULL);
            once(models[m], scored, "ref");
        }
}

static void steps(const char *model) {
    kit k;
    hora_settings s = {0};
    hora_train_config c;
    hora_training *t;
    kit_open(&k, model, HORA_F32);
    assert_ok(hora_settings_parse(&s,
                                  "steps=8,lr=1e-3,schedule=constant,warmup=0,weight_decay=0.01,"
                                  "decay_all,clip=1,dtype=f32,backends=cpu",
                                  "test"));
    assert_ok(hora_options_take(&hora_train_options, &c, &s));
    const hora_training_parts p = {.base = k.o.base,
                                   .objective = &k.o.objective,
                                   .adapters = &k.a,
                                   .nadapters = 1,
                                   .seq_len = hora_ceil_div(k.b.capacity, c.batch_size)};
    assert_ok(hora_training_open(&t, &p, &c));
    assert_ok(hora_training_prepare(t));
    const float *want = hora_st_find(k.want, "losses")->view.data;
    const float *norms = hora_st_find(k.want, "grad_norms")->view.data;
    for (int i = 0; i < 8; i++) {
        hora_step_info info;
        assert_ok(hora_training_step_on(t, &k.b, 1, &info));
        if (!(fabs(info.loss - (double)want[i]) <= 1e-4 * (double)want[i]))
            fail_msg("%s, step %d: loss %.9g, should be %.9g", model, i + 1, info.loss,
                     (double)want[i]);
        if (!(fabs(info.grad_norm - (double)norms[i]) <= 1e-3 * (double)norms[i]))
            fail_msg("%s, step %d: norm %.9g, should be %.9g", model, i + 1, info.grad_norm,
                     (double)norms[i]);
    }
    hora_training_free(t);
    hora_options_release(&hora_train_options, &c);
    hora_settings_release(&s);
    kit_close(&k);
}

static void eight_steps(void **state) {
    (void)state;
    for (size_t m = 0; m < HORA_COUNT(models); m++)
        steps(models[m]);
}

HORA_TESTS(vectors_embedding,
           {"loss, gradients and vectors as sentence-transformers", losses, HORA_SHORT},
           {"eight steps", eight_steps, HORA_SHORT});
