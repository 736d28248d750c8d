/* Recording golden cases without a trainer, so that the engine is tested before anything is built
 * on it. */
#include "vectors/golden.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "format/hf_config.h"
#include "peft/store.h"

const char *golden_path(const char *relative) {
    char *own = hora_format("tests/vectors/files/%s", relative),
         *shared = hora_format("vectors/%s", relative);
    const char *path = hora_test_source(own);
    if (!hora_path_exists(path))
        path = hora_test_shared(shared);
    hora_free(own);
    hora_free(shared);
    return path;
}

bool golden_has(const char *relative) {
    char *own = hora_format("tests/vectors/files/%s", relative);
    const char *path = hora_test_source(own);
    char *folder = hora_path_dir(path); /* a case lies in one place */
    bool yes = hora_path_exists(path);
    if (!yes && !hora_path_exists(folder)) {
        char *shared = hora_format("%s/%s", hora_test_shared("vectors"), relative);
        yes = hora_path_exists(shared);
        hora_free(shared);
    }
    hora_free(folder);
    hora_free(own);
    return yes;
}

hora_base *golden_base(const char *model, hora_dtype dtype) {
    char *rel = hora_format("%s/base", model);
    /* the real model's weights lie in models/ */
    const char *dir =
        hora_eq(model, "stories260k") ? hora_test_shared("models/stories260k") : golden_path(rel);
    hora_base *b = NULL;
    hora_base_options o = {.dtype = dtype};
    hora_json *config = NULL;
    assert_ok(hora_hf_config_load(&config, dir));
    const hora_family *family = hora_family_of(config);
    const int64_t classes = (int64_t)hora_json_len(hora_json_get(config, "id2label"));
    o.bare = o.headers_only = family && family->vision;
    assert_ok(hora_base_open(&b, dir, &o));
    if (o.bare)
        assert_ok(hora_base_head(b, "IMAGE_CLS", classes, true, false, 1));
    assert_ok(hora_base_complete(b));
    hora_json_free(config);
    hora_free(rel);
    return b;
}

hora_base *golden_fresh(const char *config, hora_dtype dtype, bool headers_only) {
    char *path = hora_path_join(hora_test_tmp(), "config.json");
    assert_ok(hora_file_write(path, config, strlen(config)));
    hora_base *b = NULL;
    assert_ok(hora_base_fresh(
        &b, path, &(hora_base_options){.dtype = dtype, .headers_only = headers_only}, 5));
    hora_free(path);
    return b;
}

hora_adapter *golden_attach(const hora_base *b, const char *method, const char *options) {
    hora_settings s = {0};
    hora_adapter *a = NULL;
    assert_ok(hora_settings_parse(&s, options, "test"));
    assert_ok(hora_peft_attach(&a, b, method, &s, 11));
    hora_settings_release(&s);
    return a;
}

/* A copy of AdaLoRA's folder whose term has no weight, as in the cases without it. */
static char *bare_folder(const char *folder) {
    char *to = hora_path_join(hora_test_tmp(), "bare"),
         *config = hora_path_join(folder, "adapter_config.json");
    char *a = hora_path_join(folder, "adapter_model.safetensors"),
         *b = hora_path_join(to, "adapter_model.safetensors");
    hora_json *c;
    assert_ok(hora_remove_tree(to));
    assert_ok(hora_mkdirs(to));
    assert_ok(hora_json_load(&c, config));
    hora_json_set(c, "orth_reg_weight", hora_json_new_real(0));
    assert_ok(hora_json_save(c, 2, true, to, "adapter_config.json"));
    assert_ok(hora_copy_file(a, b));
    hora_json_free(c);
    hora_free(config);
    hora_free(a);
    hora_free(b);
    return to;
}

char *golden_folder(const method_case *row, const char *path, const char *folder) {
    return hora_eq(row->method, "adalora") && golden_loss_beside(path) == 0 ? bare_folder(folder)
                                                                            : hora_strdup(folder);
}

hora_adapter *golden_moved(const hora_base *b, const char *method, const char *options) {
    hora_adapter *a = golden_attach(b, method, options);
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(3, "moved");
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; !a->params[i]->fixed && k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.2 * hora_rng_normal(&r));
    return a;
}

hora_adapter *golden_start(const hora_base *b, const method_case *row, const char *path) {
    char *dir = hora_format("%s/adapter", path), *init = hora_format("%s/init.safetensors", path);
    const char *file = "init.safetensors";
    hora_adapter *a;
    if (!golden_has(init)) { /* of what an adapter's folder does not hold */
        hora_free(init);
        file = "trainable.safetensors";
        init = hora_format("%s/%s", path, file);
    }
    if (golden_has(dir) && !golden_has(init)) {
        char *from = golden_folder(row, path, golden_path(dir));
        assert_ok(hora_peft_load(&a, b, from, NULL));
        hora_free(from);
    } else {
        const bool values = golden_has(init);
        /* where there is a head of a task, it trains with the biases */
        ((hora_base *)(uintptr_t)b)->head_fresh = b->bare && hora_eq(row->method, "bitfit");
        a = golden_attach(b, row->method, values ? row->options : "");
        ((hora_base *)(uintptr_t)b)->head_fresh = false;
        assert_ok(hora_adapter_allocate(a));
        if (values)
            assert_ok(hora_params_read(a, golden_path(path), file, ""));
    }
    hora_free(dir);
    hora_free(init);
    return a;
}

hora_st *golden_file(const char *path) {
    hora_st *st = NULL;
    assert_ok(hora_st_open(&st, golden_path(path)));
    return st;
}

static int64_t int_at(const hora_st *st, const char *name, int64_t i, int64_t def) {
    const hora_st_tensor *t = hora_st_find(st, name);
    return t ? ((const int64_t *)t->view.data)[i] : def;
}

/* Row i of sequence b sees the unmasked rows of its sequence up to itself; labels are shifted by
 * one. */
static void read_batch(golden_run *r, const hora_st *st) {
    const hora_st_tensor *ids = hora_st_find(st, "input_ids");
    assert_non_null(ids);
    r->batch = ids->view.shape.d[0];
    r->length = ids->view.shape.d[1];
    int64_t n = r->batch * r->length, supervised = 0;
    for (int k = 0; k < 5; k++)
        r->ints[k] = hora_calloc((size_t)n, sizeof(int32_t));
    r->weight = hora_calloc((size_t)n, sizeof(float));
    r->first = hora_calloc((size_t)r->batch, sizeof *r->first);
    for (int64_t b = 0; b < r->batch; b++)
        r->first[b] = (int32_t)hora_max(-1, int_at(st, "labels", b * r->length, -100));
    for (int64_t i = 0; i < n; i++) {
        int64_t t = i % r->length, start = i - t;
        bool real = int_at(st, "attention_mask", i, 1) != 0;
        int64_t label = t + 1 < r->length ? int_at(st, "labels", i + 1, -100) : -100;
        r->ints[0][i] = (int32_t)int_at(st, "input_ids", i, 0);
        r->ints[1][i] = (int32_t)t;
        r->ints[2][i] = (int32_t)(real ? start : 0);
        r->ints[3][i] = (int32_t)(real ? i + 1 : 0);
        r->ints[4][i] = label < 0 ? -1 : (int32_t)label;
        r->weight[i] = label < 0 ? 0 : 1;
        supervised += label >= 0;
    }
    r->rows = (hora_batch){.rows = n,
                           .ids = r->ints[0],
                           .pos = r->ints[1],
                           .lo = r->ints[2],
                           .hi = r->ints[3],
                           .target = r->ints[4],
                           .weight = r->weight,
                           .scale = 1.0 / (double)(supervised ? supervised : 1)};
}

/* Pictures: every row sees its whole picture, whose first row is judged. */
static void put_pictures(golden_run *r, const hora_base *base, int64_t batch, const float *values,
                         const int64_t *labels) {
    const hora_vision *v = base->vision;
    const int64_t rows = hora_vision_rows(v), columns = hora_vision_columns(v);
    r->batch = batch;
    r->length = rows;
    const size_t n = (size_t)(r->batch * rows);
    for (int k = 0; k < 5; k++)
        r->ints[k] = hora_calloc(n, sizeof(int32_t));
    r->weight = hora_calloc(n, sizeof(float));
    r->patch = hora_calloc(n * (size_t)columns, sizeof(float));
    for (int64_t i = 0; i < (int64_t)n; i++) {
        const int64_t first = i / rows * rows;
        const bool head = i == first;
        r->ints[4][i] = head ? (int32_t)labels[i / rows] : -1;
        r->weight[i] = head;
        if (!head)
            continue;
        hora_vision_pattern(v, r->ints[0] + i, r->ints[1] + i);
        hora_vision_ranges(v, i, r->ints[2] + i, r->ints[3] + i);
        hora_vision_cut(v, values + i / rows * hora_vision_values(v), r->patch + i * columns);
    }
    r->rows = (hora_batch){.rows = (int64_t)n,
                           .ids = r->ints[0],
                           .pos = r->ints[1],
                           .lo = r->ints[2],
                           .hi = r->ints[3],
                           .target = r->ints[4],
                           .weight = r->weight,
                           .patch = r->patch,
                           .scale = 1.0 / (double)r->batch};
    r->rows.leaves.columns[HORA_LEAF_patch] = columns;
    assert_ok(hora_objective_choose(&r->objective, NULL, base->config));
}

/* Every parameter's value there, or gradient back. */
static void exchange(golden_run *r, bool back) {
    const hora_net *n = &r->r.net;
    for (int a = 0; a < n->nadapters; a++)
        for (int i = 0; i < n->adapters[a]->nparams; i++) {
            const hora_param *p = n->adapters[a]->params[i];
            size_t bytes = (size_t)p->elems * hora_dtype_size(n->adapters[a]->dtype);
            if (back)
                hora_device_pull(r->device, p->grad, bytes);
            else
                hora_device_push(r->device, p->value, bytes);
        }
}

void golden_again(golden_run *r) {
    exchange(r, false);
    hora_graph_before(r->g);
    hora_graph_body(r->g, &r->rows, 0);
    hora_graph_after(r->g);
    assert_ok(hora_graph_sync(r->g));
    exchange(r, true);
    hora_graph_get(r->g, r->logits, r->own_logits);
    const size_t row = hora_view_bytes(hora_graph_view(r->g, r->logits)) / (size_t)r->rows.rows;
    for (int64_t i = 0; r->patch && i < r->batch; i++) /* the rows that are judged */
        memmove((char *)r->own_logits + (size_t)i * row,
                (char *)r->own_logits + (size_t)(i * r->length) * row, row);
}

void golden_open(golden_run *r, hora_base *base, hora_adapter *const *adapters, int n,
                 const char *batch, const golden_options *o) {
    *r = (golden_run){0};
    hora_st *st = golden_file(batch);
    if (base->vision)
        put_pictures(r, base, hora_st_find(st, "pixel_values")->view.shape.d[0],
                     hora_st_find(st, "pixel_values")->view.data,
                     hora_st_find(st, "labels")->view.data);
    else
        read_batch(r, st);
    hora_st_close(st);
    golden_record(r, base, adapters, n, o);
}

/* Packs sequences of the given lengths one after another; ids and targets from the generator. */
void golden_synthetic(golden_run *r, hora_rng *rng, int64_t vocab, const int *lengths, int count,
                      int padding) {
    *r = (golden_run){0};
    int64_t n = padding, at = 0, supervised = 0;
    for (int s = 0; s < count; s++)
        n += lengths[s];
    for (int k = 0; k < 5; k++)
        r->ints[k] = hora_calloc((size_t)n, sizeof(int32_t));
    r->weight = hora_calloc((size_t)n, sizeof(float));
    for (int s = 0; s < count; s++)
        for (int64_t start = at, t = 0; t < lengths[s]; t++, at++) {
            r->ints[0][at] = (int32_t)hora_rng_below(rng, vocab);
            r->ints[1][at] = (int32_t)t;
            r->ints[2][at] = (int32_t)start;
            r->ints[3][at] = (int32_t)at + 1;
            r->ints[4][at] = t + 1 < lengths[s] && t % 3 ? (int32_t)hora_rng_below(rng, vocab) : -1;
            r->weight[at] = r->ints[4][at] >= 0;
            supervised += r->ints[4][at] >= 0;
        }
    for (; at < n; at++)
        r->ints[4][at] = -1;
    r->batch = 1;
    r->length = n;
    r->rows = (hora_batch){.rows = n,
                           .ids = r->ints[0],
                           .pos = r->ints[1],
                           .lo = r->ints[2],
                           .hi = r->ints[3],
                           .target = r->ints[4],
                           .weight = r->weight,
                           .scale = 1.0 / (double)supervised,
                           .seed = 7,
                           .step = 3};
}

void golden_pictures(golden_run *r, hora_rng *rng, const hora_base *b, int n, int classes) {
    *r = (golden_run){0};
    const size_t each = (size_t)hora_vision_values(b->vision);
    float *values = hora_malloc((size_t)n * each * sizeof *values);
    int64_t *labels = hora_malloc((size_t)n * sizeof *labels);
    for (size_t i = 0; i < (size_t)n * each; i++)
        values[i] = (float)hora_rng_normal(rng);
    for (int i = 0; i < n; i++)
        labels[i] = hora_rng_below(rng, classes);
    put_pictures(r, b, n, values, labels);
    hora_free(values);
    hora_free(labels);
}

/* A batch's arrays, as they were or wider. */
typedef struct arrays {
    int32_t *ints[5], *route;
    float *weight, *patch;
} arrays;

static arrays arrays_new(int64_t rows, int64_t columns) {
    arrays w;
    for (int k = 0; k < 5; k++)
        w.ints[k] = hora_calloc((size_t)rows, sizeof(int32_t));
    w.route = hora_calloc((size_t)rows, sizeof(int32_t));
    w.weight = hora_calloc((size_t)rows, sizeof(float));
    w.patch = columns ? hora_calloc((size_t)(rows * columns), sizeof(float)) : NULL;
    return w;
}

/* Rows for adapters in every sample, as the data put them there: in front of a text, behind the
 * `heads` rows in front of a picture's pieces. Of each task its own. */
static void make_room(golden_run *r, hora_adapter *const *adapters, int nadapters, int64_t heads) {
    const int64_t n = r->rows.rows, most = hora_adapters_slots(adapters, nadapters),
                  columns = r->patch ? r->rows.leaves.columns[HORA_LEAF_patch] : 0;
    int64_t samples = 0, first = 0, start = 0, at = 0, counted = 0;
    for (int64_t i = 0; i < n; i++)
        samples += r->ints[2][i] == i && r->ints[3][i] > i;
    const arrays w = arrays_new(n + samples * most, columns);
    for (int64_t i = 0; i < n; i++) {
        const int32_t route = r->rows.route ? r->rows.route[i] : -1;
        const int64_t slots = hora_adapters_slots_of(adapters, nadapters, route);
        if (r->ints[2][i] == i && r->ints[3][i] > i) {
            first = i;
            start = at;
        }
        const int64_t seen = r->ints[3][i] - r->ints[2][i]; /* of a picture: all of it */
        const bool real = seen > 0;
        for (int64_t k = 0; real && i == first + heads && k < slots; k++, at++) {
            w.ints[0][at] = (int32_t)(k - slots);
            w.ints[1][at] = r->patch ? -1 : (int32_t)k;
            w.ints[2][at] = (int32_t)start;
            w.ints[3][at] = (int32_t)(r->patch ? start + seen + slots : at + 1);
            w.ints[4][at] = -1;
            w.route[at] = route;
            if (r->first && k == slots - 1 && r->first[i / r->length] >= 0) {
                w.ints[4][at] = r->first[i / r->length]; /* what the last of them predicts */
                w.weight[at] = 1;
                counted++;
            }
        }
        for (int k = 0; k < 5; k++)
            w.ints[k][at] = r->ints[k][i];
        w.ints[1][at] += (int32_t)(r->patch || !real ? 0 : slots);
        w.ints[2][at] = (int32_t)(real ? start : 0);
        w.ints[3][at] = (int32_t)(!real ? 0 : r->patch ? start + seen + slots : at + 1);
        w.route[at] = route;
        w.weight[at] = r->weight[i];
        if (columns)
            memcpy(w.patch + at * columns, r->patch + i * columns, (size_t)columns * sizeof(float));
        at++;
    }
    if (counted)
        r->rows.scale = 1 / (1 / r->rows.scale + (double)counted);
    for (int k = 0; k < 5; k++) {
        hora_free(r->ints[k]);
        r->ints[k] = w.ints[k];
    }
    hora_free(r->weight);
    hora_free(r->patch);
    r->weight = w.weight;
    r->patch = w.patch;
    r->length += r->patch ? samples / r->batch * most : r->batch > 1 ? most : at - n;
    r->rows.rows = at;
    r->rows.ids = w.ints[0];
    r->rows.pos = w.ints[1];
    r->rows.lo = w.ints[2];
    r->rows.hi = w.ints[3];
    r->rows.target = w.ints[4];
    r->rows.weight = w.weight;
    r->rows.route = r->route = w.route;
    r->rows.patch = w.patch;
}

void golden_record(golden_run *r, hora_base *base, hora_adapter *const *adapters, int n,
                   const golden_options *o) {
    if (hora_adapters_slots(adapters, n))
        make_room(r, adapters, n, base->vision ? base->vision->heads : 0);
    const bool host = o->backends || base->dtype == HORA_F64; /* what only the host has */
    assert_ok(hora_device_open(&r->device, host ? "host" : NULL));
    const hora_recording_parts parts = {.base = base,
                                        .adapters = adapters,
                                        .nadapters = n,
                                        .device = r->device,
                                        .backends = o->backends,
                                        .rows = r->rows.rows,
                                        .mode = o->mode,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &r->out};
    r->out = (hora_outputs){.objective = r->patch ? &r->objective : NULL,
                            .want_loss = true,
                            .want_logits = true,
                            .differentiate = true};
    hora_recording_init(&r->r, &parts);
    r->g = r->r.g;
    r->logits = r->out.logits;
    r->loss = r->out.loss;
    assert_ok(hora_graph_plan(r->g, &(hora_plan_options){.backward = o->backward,
                                                         .recompute = o->recompute,
                                                         .poison = o->poison,
                                                         .hold = o->hold}));
    int64_t elems = 16;
    for (int a = 0; a < n; a++)
        elems += adapters[a]->elems;
    r->grad_bytes = (size_t)elems * 8;
    assert_ok(hora_block_new(&r->grads, r->grad_bytes, "gradients"));
    memset(r->grads, 0xff, r->grad_bytes); /* a gradient nobody writes is NaN */
    for (int a = 0, at = 0; a < n; a++)
        for (int i = 0; i < adapters[a]->nparams; i++) {
            hora_param *p = adapters[a]->params[i];
            p->grad = (char *)r->grads + (size_t)at * hora_dtype_size(adapters[a]->dtype);
            at += (int)hora_round_up(p->elems, 16);
        }
    assert_ok(hora_recordings_prepare((hora_recording *[]){&r->r}, 1, "arena"));
    r->own_logits = hora_malloc(hora_view_bytes(hora_graph_view(r->g, r->logits)));
    golden_again(r);
    if (o->hold)
        hora_graph_hold(r->g);
}

void golden_close(golden_run *r) {
    hora_recording_release(&r->r);
    hora_device_free(r->device);
    hora_block_free(r->grads, r->grad_bytes);
    for (int k = 0; k < 5; k++)
        hora_free(r->ints[k]);
    hora_free(r->route);
    hora_free(r->weight);
    hora_free(r->patch);
    hora_free(r->first);
    hora_objective_release(&r->objective);
    hora_free(r->own_logits);
}

const float *golden_logits(golden_run *r) {
    return r->own_logits;
}

void golden_compare(const char *what, const float *got, const hora_st *want, const char *name,
                    double rel, double abs) {
    const hora_st_tensor *t = hora_st_find(want, name);
    if (!t)
        fail_msg("%s: the file has no %s", what, name);
    int64_t n = hora_elems(&t->view);
    const float *w = t->view.data;
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)w[i]));
    char *label = hora_format("%s %s", what, name);
    hora_assert_close(got, w, (size_t)n, rel * largest + abs, label);
    hora_free(label);
}

/* Tensors that nothing reads, a mask token or a norm behind the last: their gradients are zero. */
static int unread(const hora_adapter *a, const hora_st *want) {
    int n = 0;
    for (int i = 0; i < hora_st_count(want); i++) {
        const hora_st_tensor *t = hora_st_at(want, i);
        const char *name = t->name + strlen("grad.");
        bool zero = a->base->family->ignores && a->base->family->ignores(a->base, name);
        for (int64_t k = 0; zero && k < hora_elems(&t->view); k++)
            zero = ((const float *)t->view.data)[k] == 0;
        n += zero;
    }
    return n;
}

/* The gradient of a weight that is rows of a fused tensor, against those rows. True: it is one. */
static bool compare_rows(const hora_adapter *a, const hora_param *p, const hora_st *want,
                         int *tensors) {
    if (p->weight < 0)
        return false;
    const hora_spelling s = hora_weight_spelling(&a->base->weights[p->weight]);
    char *name = s.rows ? hora_format("grad.%s", s.name) : NULL;
    const hora_st_tensor *t = name ? hora_st_find(want, name) : NULL;
    if (t) {
        const int64_t width = hora_row_elems(&t->view.shape);
        const float *all = t->view.data, *rows = all + s.from * width;
        double largest = 0;
        for (int64_t i = 0; i < hora_elems(&t->view); i++)
            largest = fmax(largest, fabs((double)all[i]));
        hora_assert_close(p->grad, rows, (size_t)p->elems, 1e-4 * largest + 1e-6, name);
        *tensors += !s.from;
    }
    hora_free(name);
    return t != NULL;
}

void golden_compare_grads(golden_run *r, hora_adapter *a, const hora_st *want) {
    (void)r;
    int met = 0;
    for (int i = 0; i < a->nparams; i++) {
        if (a->params[i]->fixed || compare_rows(a, a->params[i], want, &met))
            continue;
        char *name = hora_format("grad.%s", hora_param_file_name(a->params[i]));
        met += hora_st_find(want, name) != NULL;
        golden_compare(a->method->name, a->params[i]->grad, want, name, 1e-4, 1e-6);
        hora_free(name);
    }
    assert_int_equal(met, hora_st_count(want) - unread(a, want));
}

/* --- losses that have more than the task's ---------------------------------------------------- */
double golden_loss_beside(const char *path) {
    char *file = hora_format("%s/case.json", path);
    hora_json *o;
    double all, alone = 0;
    assert_ok(hora_json_load(&o, golden_path(file)));
    const bool two = hora_json_real(hora_json_get(o, "loss_cross_entropy_only"), &alone) &&
                     hora_json_real(hora_json_get(o, "loss"), &all);
    hora_json_free(o);
    hora_free(file);
    return two ? all - alone : 0;
}

/* What AdaLoRA's loss has beside the cross-entropy, as its definition says. */
double golden_adalora_loss(const hora_adapter *a) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        const bool cols = hora_ends(p->name, "lora_B");
        if (!hora_eq(a->method->name, "adalora") || (!cols && !hora_ends(p->name, "lora_A")))
            continue;
        const int64_t rows = p->shape.d[0], w = p->shape.d[1], r = cols ? w : rows;
        double squares = 0;
        for (int64_t j = 0; j < r; j++)
            for (int64_t l = 0; l < r; l++) {
                double dot = j == l ? -1 : 0;
                for (int64_t k = 0; k < (cols ? rows : w); k++)
                    dot += (double)((const float *)p->value)[cols ? k * w + j : j * w + k] *
                           (double)((const float *)p->value)[cols ? k * w + l : l * w + k];
                squares += dot * dot;
            }
        sum += sqrt(squares);
        n++;
    }
    return n ? 0.5 * sum / n : 0;
}

bool golden_host_only(const method_case *row) {
    const char *device = getenv("HORA_DEVICE");
    if (!device || hora_eq(device, "host") || !hora_eq(row->method, "adalora"))
        return false;
    print_message("adalora's steps are compared on the host alone\n");
    return true;
}

/* The golden case keeps two of AdaLoRA's four triplets, whatever their importance. */
void golden_adalora_budget(hora_adapter *a) {
    hora_adapter_refresh(a);
    for (int i = 0; i < a->nparams; i++)
        if (hora_ends(a->params[i]->name, ".lora_E")) {
            float *e = a->params[i]->value;
            e[1] = e[a->params[i]->elems - 1] = 0;
        }
}
