/*
 * Adapters for other programs: GGUF LoRAs equal the golden ones, PEFT's plain folder and MLX's hold
 * the same update, for rsLoRA, patterns and HoRA too.
 */
#include "interop/interop.h"

#include <math.h>

#include "base/text.h"
#include "format/gguf.h"
#include "hora_test.h"
#include "model/family.h"

typedef struct opened {
    hora_base *base;
    hora_adapter *adapter;
    hora_export x;
} opened;

static void open_case(opened *o, const char *model, const char *adapter) {
    const hora_base_options options = {.dtype = HORA_F32};
    assert_ok(hora_base_open(&o->base, model, &options));
    assert_ok(hora_peft_load(&o->adapter, o->base, adapter, NULL));
    o->x = (hora_export){.base = o->base, .adapters = &o->adapter, .n = 1};
}

static void close_case(opened *o) {
    hora_peft_detach(o->adapter);
    hora_base_close(o->base);
}

static const hora_exporter *exporter(const char *name) {
    for (int i = 0; i < hora_exporter_count(); i++)
        if (hora_eq(hora_exporter_at(i)->name, name))
            return hora_exporter_at(i);
    fail_msg("no exporter %s", name);
    return NULL;
}

/* --- GGUF ------------------------------------------------------------------------------------- */
static void compare_gguf(const char *got_path, const char *want_path) {
    hora_gguf *got, *want;
    double alpha = 1;
    assert_ok(hora_gguf_open(&got, got_path));
    assert_ok(hora_gguf_open(&want, want_path));
    assert_ok(hora_gguf_get_float(got, "adapter.lora.alpha", true, 1, &alpha));
    assert_true(alpha == 0);
    assert_int_equal(hora_gguf_count(got), hora_gguf_count(want));
    for (int i = 0; i < hora_gguf_count(want); i++) {
        const hora_gguf_tensor *w = hora_gguf_at(want, i), *g = hora_gguf_find(got, w->name);
        if (!g || !hora_shape_equal(&g->view.shape, &w->view.shape))
            fail_msg("%s: %s is missing or of another shape", got_path, w->name);
        const float *pw = w->view.data, *pg = g->view.data;
        for (int64_t k = 0; k < hora_elems(&w->view); k++) /* scales may be folded in f32 there */
            if (fabsf(pg[k] - pw[k]) > 2.4e-7f * fabsf(pw[k]))
                fail_msg("%s: %s[%lld]: %.9g, want %.9g", got_path, w->name, (long long)k,
                         (double)pg[k], (double)pw[k]);
    }
    hora_gguf_close(got);
    hora_gguf_close(want);
}

static void test_gguf_lora(void **state) {
    static const char *const cases[][2] = {
        {"llama", "plain"},           {"llama", "rslora"},           {"llama", "patterns"},
        {"qwen2", "plain"},           {"qwen2", "rslora"},           {"qwen2", "patterns"},
        {"llama", "rslora_patterns"}, {"llama_rope3", "embed_head"},
    };
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        const char *model = hora_test_shared(hora_test_text("gguf/models/%s/hf", cases[i][0]));
        const char *dir =
            hora_test_shared(hora_test_text("gguf/lora/%s/%s", cases[i][0], cases[i][1]));
        const char *out = hora_test_path(hora_test_tmp(), "out.gguf");
        opened o;
        open_case(&o, model, hora_test_path(dir, "peft"));
        assert_ok(exporter("gguf-lora")->check(&o.x));
        assert_ok(exporter("gguf-lora")->write(&o.x, out));
        compare_gguf(out, hora_test_path(dir, "adapter.gguf"));
        close_case(&o);
    }
}

/* --- whole models ----------------------------------------------------------------------------- */
static bool same_value(const hora_gguf_value *a, const hora_gguf_value *b) {
    bool same = a->type == b->type && a->array == b->array && a->n == b->n;
    for (int64_t i = 0; same && i < a->n; i++) {
        size_t n = 0, m = 0;
        const char *s = hora_gguf_text(a, i, &n), *t = hora_gguf_text(b, i, &m);
        int64_t x = 0, y = 0;
        double u = 0, v = 0;
        same = (!s || (n == m && memcmp(s, t, n) == 0)) &&
               hora_gguf_int(a, i, &x) == hora_gguf_int(b, i, &y) && x == y &&
               hora_gguf_float(a, i, &u) == hora_gguf_float(b, i, &v) && u == v;
    }
    return same;
}

/* Keys of the converter's file that are names or a mix of types. */
static bool may_differ(const char *key) {
    return hora_starts(key, "general.name") || hora_starts(key, "general.size_label") ||
           hora_starts(key, "general.file_type");
}

static void compare_keys(const hora_gguf *got, const hora_gguf *want) {
    int more = 0;
    for (int i = 0; i < hora_gguf_keys(want); i++) {
        const hora_gguf_value *w = hora_gguf_key_at(want, i), *g = hora_gguf_get(got, w->key);
        if (may_differ(w->key))
            continue;
        if (!g || !same_value(g, w))
            fail_msg("%s: key %s is missing or another", hora_gguf_path(want), w->key);
    }
    for (int i = 0; i < hora_gguf_keys(got); i++)
        more += !hora_gguf_get(want, hora_gguf_key_at(got, i)->key) &&
                !hora_starts(hora_gguf_key_at(got, i)->key, "hora.");
    assert_int_equal(more, 0); /* but for hora's mark */
}

/* Tensors of the same type hold the same bytes; *same counts them. */
static void compare_tensors(const hora_gguf *got, const hora_gguf *want, int *same) {
    assert_int_equal(hora_gguf_count(got), hora_gguf_count(want));
    for (int i = 0; i < hora_gguf_count(want); i++) {
        const hora_gguf_tensor *w = hora_gguf_at(want, i), *g = hora_gguf_find(got, w->name);
        if (!g || !hora_shape_equal(&g->view.shape, &w->view.shape))
            fail_msg("%s: %s is missing or of another shape", hora_gguf_path(want), w->name);
        if (g->view.dtype != w->view.dtype || w->view.dtype == HORA_Q4_K)
            continue; /* llama.cpp mixes types; q4_k's scales are searched */
        if (memcmp(g->view.data, w->view.data, hora_view_bytes(&w->view)) != 0)
            fail_msg("%s: %s has other bytes", hora_gguf_path(want), w->name);
        ++*same;
    }
}

static void test_gguf_models(void **state) {
    static const struct {
        const char *model, *type;
        hora_dtype dtype;
    } cases[] = {{"llama_rope3", "f32", HORA_F32},   {"llama_rope3", "f16", HORA_F16},
                 {"llama_rope3", "bf16", HORA_BF16}, {"llama_rope3", "q8_0", HORA_Q8_0},
                 {"qwen2", "bf16", HORA_BF16},       {"qwen2", "q8_0", HORA_Q8_0},
                 {"qwen3", "q8_0", HORA_Q8_0},       {"llama", "q8_0", HORA_Q8_0},
                 {"llama", "q4_0", HORA_Q4_0},       {"llama", "q4_k", HORA_Q4_K},
                 {"qwen3", "q5_0", HORA_Q5_0},       {"qwen3", "q4_k", HORA_Q4_K}};
    int same = 0;
    (void)state;
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        const char *dir = hora_test_shared(hora_test_text("gguf/models/%s", cases[i].model));
        const char *out = hora_test_path(hora_test_tmp(), "model.gguf");
        const hora_base_options options = {.dtype = HORA_BF16};
        hora_tokenizer *t;
        hora_base *b;
        hora_gguf *got, *want;
        assert_ok(hora_base_open(&b, hora_test_path(dir, "hf"), &options));
        assert_ok(hora_tokenizer_open(&t, hora_test_path(dir, "hf")));
        const hora_export x = {.base = b, .tokenizer = t, .dtype = cases[i].dtype};
        assert_ok(exporter("gguf")->check(&x));
        assert_ok(exporter("gguf")->write(&x, out));
        assert_ok(hora_gguf_open(&got, out));
        assert_ok(
            hora_gguf_open(&want, hora_test_path(dir, hora_test_text("%s.gguf", cases[i].type))));
        compare_keys(got, want);
        compare_tensors(got, want, &same);
        hora_gguf_close(got);
        hora_gguf_close(want);
        hora_tokenizer_close(t);
        hora_base_close(b);
    }
    print_message("%d tensors equal to the bit\n", same);
    assert_true(same > 100);
}

/* --- folders ---------------------------------------------------------------------------------- */
/* The same update, B A: factors may be padded. */
static void same_update(const hora_flat *f, const hora_flat *g, const hora_site *s) {
    if (!f->rank && !g->rank)
        return;
    for (int64_t i = 0; i < s->out; i++)
        for (int64_t k = 0; k < s->in; k++) {
            double a = 0, b = 0;
            for (int64_t j = 0; j < f->rank; j++)
                a += (double)f->b[i * f->rank + j] * (double)f->a[j * s->in + k];
            for (int64_t j = 0; j < g->rank; j++)
                b += (double)g->b[i * g->rank + j] * (double)g->a[j * s->in + k];
            if (!(fabs(a - b) <= 1e-12 + 1e-7 * fabs(a)))
                fail_msg("%s: [%lld, %lld] is %g, want %g", s->module, (long long)i, (long long)k,
                         b, a);
        }
    assert_true(!f->magnitude == !g->magnitude);
    if (f->magnitude)
        assert_memory_equal(f->magnitude, g->magnitude, (size_t)s->out * sizeof *f->magnitude);
}

static void read_mlx(hora_flat *g, const hora_st *st, const hora_site *s) {
    const hora_st_tensor *a = hora_st_find(st, hora_test_text("%s.lora_a", s->module));
    const hora_st_tensor *b = hora_st_find(st, hora_test_text("%s.lora_b", s->module));
    const hora_st_tensor *m = hora_st_find(st, hora_test_text("%s.m", s->module));
    assert_true(!a == !b);
    if (!a)
        return;
    g->rank = a->view.shape.d[1];
    assert_int_equal(a->view.shape.d[0], s->in);
    assert_int_equal(b->view.shape.d[0], g->rank);
    assert_int_equal(b->view.shape.d[1], s->out);
    g->a = hora_calloc((size_t)(g->rank * s->in), sizeof *g->a);
    g->b = hora_calloc((size_t)(g->rank * s->out), sizeof *g->b);
    for (int64_t j = 0; j < g->rank; j++) {
        for (int64_t k = 0; k < s->in; k++)
            g->a[j * s->in + k] = ((const float *)a->view.data)[k * g->rank + j];
        for (int64_t o = 0; o < s->out; o++)
            g->b[o * g->rank + j] = ((const float *)b->view.data)[j * s->out + o];
    }
    if (m) {
        g->magnitude = hora_calloc((size_t)s->out, sizeof *g->magnitude);
        memcpy(g->magnitude, m->view.data, (size_t)s->out * sizeof *g->magnitude);
    }
}

static void check_plain(const opened *o, const hora_flat *want, const char *dir) {
    const hora_base *b = o->base;
    hora_peft_config c;
    hora_adapter *again;
    hora_flat *got;
    assert_ok(hora_peft_config_load(&c, dir));
    assert_int_equal(c.r, hora_flat_rank(want, b));
    assert_true(c.lora_alpha == (double)c.r && !c.use_rslora && !c.n_rank && !c.n_alpha &&
                !c.target_regex && !c.n_layers && c.n_targets > 0);
    hora_peft_config_release(&c);
    assert_ok(hora_peft_load(&again, b, dir, NULL));
    const hora_export y = {.base = b, .adapters = &again, .n = 1};
    assert_ok(hora_flat_of(&got, &y));
    for (int i = 0; i < hora_flat_sites(b); i++)
        same_update(&want[i], &got[i], &b->sites[i]);
    hora_flat_free(got, b);
    hora_peft_detach(again);
}

static void check_mlx(const opened *o, const hora_flat *want, const char *dir) {
    const hora_base *b = o->base;
    hora_flat *got = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *got);
    hora_json *config;
    hora_st *st;
    double scale = 0;
    int64_t rank = 0;
    assert_ok(hora_st_open(&st, hora_test_path(dir, "adapters.safetensors")));
    assert_ok(hora_json_load(&config, hora_test_path(dir, "adapter_config.json")));
    const hora_json *p = hora_json_get(config, "lora_parameters");
    assert_true(hora_json_real(hora_json_get(p, "scale"), &scale) && scale == 1);
    assert_true(hora_json_int(hora_json_get(p, "rank"), &rank));
    for (int i = 0; i < hora_flat_sites(b); i++) {
        read_mlx(&got[i], st, &b->sites[i]);
        if (got[i].rank)
            assert_int_equal(got[i].rank, rank);
        same_update(&want[i], &got[i], &b->sites[i]);
    }
    hora_json_free(config);
    hora_st_close(st);
    hora_flat_free(got, b);
}

/* Every golden adapter of tiny_llama: written where the format can say it, refused where not. */
static void test_folders(void **state) {
    const char *vectors = hora_test_shared("vectors/tiny_llama");
    char **names;
    int n, plain = 0, mlx = 0;
    (void)state;
    assert_ok(hora_list_dir(vectors, &names, &n));
    for (int i = 0; i < n; i++) {
        const char *adapter = hora_test_path(vectors, hora_test_text("%s/adapter", names[i]));
        hora_flat *want = NULL;
        opened o;
        if (!hora_path_is_dir(adapter))
            continue;
        const hora_base_options options = {.dtype = HORA_F32};
        assert_ok(hora_base_open(&o.base, hora_test_path(vectors, "base"), &options));
        if (hora_peft_load(&o.adapter, o.base, adapter, NULL)) {
            hora_base_close(o.base); /* a method that is still to come */
            continue;
        }
        o.x = (hora_export){.base = o.base, .adapters = &o.adapter, .n = 1};
        const char *dir = hora_test_path(hora_test_tmp(), names[i]);
        const hora_status s = hora_flat_of(&want, &o.x);
        assert_true(s == HORA_OK || s == HORA_EUNSUPPORTED);
        if (s == HORA_OK && exporter("peft")->check(&o.x) == HORA_OK) {
            assert_ok(hora_mkdirs(dir));
            assert_ok(exporter("peft")->write(&o.x, dir));
            check_plain(&o, want, dir);
            plain++;
        }
        const char *other = hora_test_path(hora_test_tmp(), hora_test_text("mlx-%s", names[i]));
        if (s == HORA_OK && exporter("mlx")->check(&o.x) == HORA_OK) {
            assert_ok(hora_mkdirs(other));
            assert_ok(exporter("mlx")->write(&o.x, other));
            check_mlx(&o, want, other);
            mlx++;
        }
        hora_flat_free(want, o.base);
        close_case(&o);
    }
    hora_list_free(names, n);
    print_message("%d adapters as plain PEFT, %d for MLX\n", plain, mlx);
    assert_true(plain >= 10 && mlx >= 10);
}

HORA_TESTS(vectors_interop, {"GGUF LoRAs equal the golden ones", test_gguf_lora, HORA_SHORT},
           {"GGUF models equal the converter's", test_gguf_models, HORA_SHORT},
           {"plain folders hold the same update", test_folders, HORA_SHORT});
