/* Every numbered line of "what must hold" in docs/methods/hora.md. Line 7 (gradients) is held by
 * grad/models and vectors/causal. */
#include "vectors/golden.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#define MODEL(extra)                                                                               \
    "{\"model_type\":\"llama\",\"hidden_size\":16,\"intermediate_size\":24,\"num_hidden_layers\":" \
    "2,\"num_attention_heads\":4,\"vocab_size\":29,\"initializer_range\":0.3," extra               \
    "\"tie_word_embeddings\":false}"
static const char *const gqa = MODEL("\"num_key_value_heads\":2,\"head_dim\":6,");
static const int lengths[] = {11, 6};

static hora_adapter *attach_values(const hora_base *b, const char *method, const char *options) {
    hora_adapter *a = golden_attach(b, method, options);
    assert_ok(hora_adapter_allocate(a));
    return a;
}

/* Gives the zero factors values, so that the adapter does something. */
static void wake(hora_adapter *a) {
    hora_rng r = hora_rng_new(3, "wake");
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; a->params[i]->lora_b && k < a->params[i]->elems; k++)
            ((double *)a->params[i]->value)[k] = 0.5 * hora_rng_normal(&r);
}

static void run(golden_run *r, hora_base *b, hora_adapter *const *a, int n, bool backward) {
    hora_rng rng = hora_rng_new(1, "batch");
    golden_synthetic(r, &rng, b->vocab, lengths, 2, 0);
    golden_record(r, b, a, n, &(golden_options){.backends = "ref", .backward = backward});
}

static double *copy_logits(golden_run *r) {
    const hora_view *v = hora_graph_view(r->g, r->logits);
    double *out = hora_malloc((size_t)hora_elems(v) * sizeof *out);
    memcpy(out, v->data, (size_t)hora_elems(v) * sizeof *out);
    return out;
}

static double *logits_of(hora_base *b, hora_adapter *a, int64_t *n) {
    golden_run r;
    run(&r, b, &a, a != NULL, false);
    *n = hora_elems(hora_graph_view(r.g, r.logits));
    double *out = copy_logits(&r);
    golden_close(&r);
    return out;
}

static double distance(const double *a, const double *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

/* 1 */
static void test_starts_at_base(void **state) {
    static const char *const options[] = {"rank=3", "rank=2,targets=q+k+v+o,act=gelu",
                                          "rank=2,generator=rep", "rank=2,generator=free",
                                          "rank=2,share_qv=off,share_heads=off"};
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    int64_t n;
    double *base = logits_of(b, NULL, &n);
    for (size_t i = 0; i < HORA_COUNT(options); i++) {
        hora_adapter *a = attach_values(b, "hora", options[i]);
        double *got = logits_of(b, a, &n);
        assert_memory_equal(base, got, (size_t)n * sizeof *got);
        hora_free(got);
        hora_peft_detach(a);
    }
    hora_free(base);
    hora_base_close(b);
}

static bool any_nonzero(const hora_param *p) {
    for (int64_t i = 0; i < p->elems; i++)
        if (((const double *)p->grad)[i] != 0)
            return true;
    return false;
}

static void listen(void *user, int level, const char *text) {
    (void)level;
    if (strstr(text, "dead"))
        ++*(int *)user;
}

/* 2 */
static void test_wakes_after_one_step(void **state) {
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3");
    golden_run r;
    run(&r, b, &a, 1, true);
    for (int i = 0; i < a->nparams; i++) {
        hora_param *p = a->params[i];
        assert_int_equal(any_nonzero(p), p->lora_b); /* at zero only W2_b is reached */
        for (int64_t k = 0; k < p->elems; k++)
            ((double *)p->value)[k] -= 0.1 * ((double *)p->grad)[k];
    }
    golden_again(&r);
    for (int i = 0; i < a->nparams; i++)
        assert_true(any_nonzero(a->params[i]));
    golden_close(&r);
    int warnings = 0;
    hora_log_sink(listen, &warnings);
    a->method->diagnose(a);
    assert_int_equal(warnings, 0);
    hora_param *xb = hora_adapter_find(a, "layers.1.input_b");
    memset(xb->value, 0, (size_t)xb->elems * sizeof(double));
    a->method->diagnose(a);
    hora_log_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    hora_peft_detach(a);
    hora_base_close(b);
}

static int64_t count(const char *config, const char *method, const char *options) {
    hora_base *b = golden_fresh(config, HORA_F32, true);
    hora_adapter *a = golden_attach(b, method, options);
    int64_t n = hora_adapter_trainable(a);
    hora_peft_detach(a);
    hora_base_close(b);
    return n;
}
#define WIDE(d, layers, heads, kv)                                                                 \
    "{\"model_type\":\"llama\",\"hidden_size\":" #d                                                \
    ",\"intermediate_size\":8,\"num_hidden_layers\":" #layers ",\"num_attention_heads\":" #heads   \
    ",\"num_key_value_heads\":" #kv ",\"vocab_size\":8}"

/* 3 */
static void test_counts(void **state) {
    (void)state;
    assert_int_equal(count(WIDE(768, 12, 12, 12), "hora", "rank=8"),
                     332544); /* ViT-B/16's dimensions */
    assert_int_equal(count(WIDE(768, 12, 12, 12), "lora", "rank=8"), 294912);
    assert_int_equal(count(WIDE(4096, 32, 32, 32), "hora", "rank=32"), 18513920); /* LLaMA-7B */
    assert_int_equal(count(WIDE(4096, 32, 32, 32), "lora", "rank=32"), 16777216);
    assert_int_equal(count(WIDE(5120, 40, 40, 40), "hora", "rank=32"), 28712960); /* LLaMA-13B */
    assert_int_equal(count(WIDE(5120, 40, 40, 40), "lora", "rank=32"), 26214400);
    /* grouped: per block e r + m e + 2 d m + H e r + m e + 2 dh m; LoRA r (2 d + (H + G) dh) */
    int64_t d = 64, h = 8, g = 4, dh = 8, r = 8, m = 16, e = 8, blocks = 5;
    assert_int_equal(count(WIDE(64, 5, 8, 4), "hora", "rank=8"),
                     blocks * (e * r + m * e + 2 * d * m + h * e * r + m * e + 2 * dh * m));
    assert_int_equal(count(WIDE(64, 5, 8, 4), "lora", "rank=8"),
                     blocks * r * (2 * d + (h + g) * dh));
}

/* Numerical rank of an (m, n) matrix by elimination with full pivoting; destroys it. */
static int rank_of(double *w, int64_t m, int64_t n) {
    int rank = 0;
    for (int64_t step = 0; step < m && step < n; step++) {
        int64_t pi = step, pj = step;
        for (int64_t i = step; i < m; i++)
            for (int64_t j = step; j < n; j++)
                if (fabs(w[i * n + j]) > fabs(w[pi * n + pj])) {
                    pi = i;
                    pj = j;
                }
        if (fabs(w[pi * n + pj]) < 1e-9)
            break;
        rank++;
        for (int64_t j = 0; j < n; j++) {
            double t = w[step * n + j];
            w[step * n + j] = w[pi * n + j];
            w[pi * n + j] = t;
        }
        for (int64_t i = 0; i < m; i++) {
            double t = w[i * n + step];
            w[i * n + step] = w[i * n + pj];
            w[i * n + pj] = t;
        }
        for (int64_t i = step + 1; i < m; i++) {
            double f = w[i * n + step] / w[step * n + step];
            for (int64_t j = step; j < n; j++)
                w[i * n + j] -= f * w[step * n + j];
        }
    }
    return rank;
}

static double *delta(const hora_adapter *a, const hora_site *s, const hora_factors *f) {
    (void)a;
    double *w = hora_calloc((size_t)(s->out * s->in), sizeof *w);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < f->rank; j++)
            for (int64_t k = 0; k < s->in; k++)
                w[o * s->in + k] += f->scale * ((const double *)f->b)[o * f->rank + j] *
                                    ((const double *)f->a)[j * s->in + k];
    return w;
}

/* 4 */
static void test_rank(void **state) {
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3,targets=q+k+v+o");
    wake(a);
    assert_ok(hora_adapter_materialise(a));
    for (int i = 0; i < b->nsites; i++) {
        hora_factors f;
        a->method->factors(a, i, &f);
        if (!f.rank)
            continue;
        double *w = delta(a, &b->sites[i], &f);
        int rank = rank_of(w, b->sites[i].out, b->sites[i].in);
        assert_in_range(rank, 1, 3);
        hora_free(w);
    }
    hora_peft_detach(a);
    hora_settings s = {0};
    assert_ok(hora_settings_parse(&s, "rank=8,hidden=4", "test"));
    assert_fails(hora_peft_attach(&a, b, "hora", &s, 1), HORA_EUSAGE, "hidden 4 is below rank 8");
    hora_settings_release(&s);
    hora_base_close(b);
}

static int q_site(const hora_base *b, int layer) {
    return (int)(hora_base_site(b, HORA_SITE_Q, layer) - b->sites);
}

/* 5 */
static void test_head_permutation(void **state) {
    static const int perm[4] = {2, 0, 3, 1};
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3");
    wake(a);
    assert_ok(hora_adapter_materialise(a));
    hora_factors f;
    a->method->factors(a, q_site(b, 1), &f);
    size_t block = (size_t)(b->head_dim * f.rank), total = 4 * block * sizeof(double);
    double *before = hora_malloc(total), *xb_old;
    memcpy(before, f.b, total);
    hora_param *xb = hora_adapter_find(a, "layers.1.input_b");
    int64_t one = xb->elems / 4;
    xb_old = hora_malloc((size_t)xb->elems * sizeof *xb_old);
    memcpy(xb_old, xb->value, (size_t)xb->elems * sizeof *xb_old);
    for (int h = 0; h < 4; h++)
        memcpy((double *)xb->value + h * one, xb_old + perm[h] * one, (size_t)one * sizeof *xb_old);
    assert_ok(hora_adapter_materialise(a));
    a->method->factors(a, q_site(b, 1), &f);
    for (int h = 0; h < 4; h++)
        assert_memory_equal((const double *)f.b + (size_t)h * block,
                            before + (size_t)perm[h] * block, block * sizeof(double));
    assert_memory_not_equal(f.b, before, total);
    hora_free(before);
    hora_free(xb_old);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* 6 */
static void test_same_function(void **state) {
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3,targets=q+k+v+o,alpha=5"),
                 *l = attach_values(b, "lora", "rank=3,targets=q+k+v+o,alpha=5");
    wake(a);
    assert_ok(hora_adapter_materialise(a));
    int64_t n;
    double *native = logits_of(b, a, &n), *base = logits_of(b, NULL, &n);
    assert_true(distance(native, base, n) > 1e-2);
    double **kept = hora_calloc((size_t)b->nweights, sizeof *kept);
    for (int i = 0; i < b->nsites; i++) {
        hora_factors f, g;
        const hora_site *s = &b->sites[i];
        a->method->factors(a, i, &f);
        l->method->factors(l, i, &g);
        if (!f.rank)
            continue;
        memcpy((void *)g.a, f.a, (size_t)(f.rank * s->in) * sizeof(double));
        memcpy((void *)g.b, f.b, (size_t)(f.rank * s->out) * sizeof(double));
    }
    double *plain = logits_of(b, l, &n);
    assert_true(distance(native, plain, n) <= 1e-10);
    for (int i = 0; i < b->nsites; i++) {
        hora_factors f;
        a->method->factors(a, i, &f);
        hora_view *w = &b->weights[b->sites[i].weight].view;
        if (!f.rank)
            continue;
        double *d = delta(a, &b->sites[i], &f);
        kept[b->sites[i].weight] = w->data;
        for (int64_t k = 0; k < hora_elems(w); k++)
            d[k] += ((const double *)w->data)[k];
        w->data = d;
    }
    double *merged = logits_of(b, NULL, &n);
    assert_true(distance(native, merged, n) <= 1e-10);
    for (int w = 0; w < b->nweights; w++)
        if (kept[w]) {
            hora_free(b->weights[w].view.data);
            b->weights[w].view.data = kept[w];
        }
    hora_free(kept);
    hora_free(native);
    hora_free(base);
    hora_free(plain);
    hora_free(merged);
    hora_peft_detach(a);
    hora_peft_detach(l);
    hora_base_close(b);
}

static void set_identity(hora_param *p) {
    int64_t n = p->shape.d[1];
    for (int64_t i = 0; i < p->elems; i++)
        ((double *)p->value)[i] = i / n == i % n;
}

/* 8: the linear generator of the theory, B_h = W2_b X_b,h */
static void test_linear_generator(void **state) {
    enum { R = 3, H = 4, DH = 6 };
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3,input=3,hidden=3,act=identity");
    wake(a);
    set_identity(hora_adapter_find(a, "layers.0.input_a"));
    set_identity(hora_adapter_find(a, "layers.0.w1_a"));
    set_identity(hora_adapter_find(a, "layers.0.w1_b"));
    assert_ok(hora_adapter_materialise(a));
    hora_factors f;
    a->method->factors(a, q_site(b, 0), &f);
    const double *w2 = hora_adapter_find(a, "layers.0.w2_b_q")->value,
                 *xb = hora_adapter_find(a, "layers.0.input_b")->value;
    const double *w2a = hora_adapter_find(a, "layers.0.w2_a_q")->value;
    for (int h = 0; h < H; h++)
        for (int i = 0; i < DH; i++)
            for (int j = 0; j < R; j++) {
                double want = 0;
                for (int k = 0; k < R; k++)
                    want += w2[i * R + k] * xb[(h * R + k) * R + j];
                assert_true(fabs(((const double *)f.b)[(h * DH + i) * R + j] - want) < 1e-12);
            }
    for (int j = 0; j < R; j++) /* and A = W2_a' */
        for (int64_t k = 0; k < b->hidden; k++)
            assert_true(((const double *)f.a)[j * b->hidden + k] == w2a[k * R + j]);
    hora_peft_detach(a);
    hora_base_close(b);
}

static void permute_rows(hora_param *p, const int *perm, int64_t m) {
    int64_t w = p->elems / m;
    double *old = hora_malloc((size_t)p->elems * sizeof *old);
    memcpy(old, p->value, (size_t)p->elems * sizeof *old);
    for (int64_t i = 0; i < m; i++)
        memcpy((double *)p->value + i * w, old + perm[i] * w, (size_t)w * sizeof *old);
    hora_free(old);
}

static void permute_columns(hora_param *p, const int *perm, int64_t m) {
    double *v = p->value, *old = hora_malloc((size_t)m * sizeof *old);
    for (int64_t r = 0; r < p->elems / m; r++) {
        memcpy(old, v + r * m, (size_t)m * sizeof *old);
        for (int64_t j = 0; j < m; j++)
            v[r * m + j] = old[perm[j]];
    }
    hora_free(old);
}

/* 9 */
static void test_hidden_permutation(void **state) {
    static const int perm[5] = {3, 0, 4, 1, 2};
    static const char *const rows[] = {"layers.0.w1_a", "layers.0.w1_b"};
    static const char *const columns[] = {"layers.0.w2_a_q", "layers.0.w2_a_v", "layers.0.w2_b_q",
                                          "layers.0.w2_b_v"};
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F64, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3,hidden=5");
    wake(a);
    int64_t n;
    double *first = logits_of(b, a, &n);
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        permute_rows(hora_adapter_find(a, rows[i]), perm, 5);
    double *broken = logits_of(b, a, &n); /* rows alone change the function */
    assert_true(distance(first, broken, n) > 1e-4);
    for (size_t i = 0; i < HORA_COUNT(columns); i++)
        permute_columns(hora_adapter_find(a, columns[i]), perm, 5);
    double *second = logits_of(b, a, &n);
    assert_true(distance(first, second, n) <= 1e-12);
    hora_free(first);
    hora_free(broken);
    hora_free(second);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* Files: native and materialised written, read back, and refused when they disagree. */
static void test_files(void **state) {
    (void)state;
    hora_base *b = golden_fresh(gqa, HORA_F32, false);
    hora_adapter *a = attach_values(b, "hora", "rank=3,targets=q+v+o,share_qv=off,act=tanh"),
                 *back = NULL;
    hora_rng r = hora_rng_new(3, "wake");
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)hora_rng_normal(&r);
    const char *dir = hora_test_tmp();
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_ok(hora_peft_load(&back, b, dir, NULL));
    assert_string_equal(back->method->name, "hora");
    assert_int_equal(back->nparams, a->nparams);
    assert_memory_equal(back->values, a->values, a->value_bytes);
    hora_peft_detach(back);
    assert_ok(hora_peft_load(&back, b, dir, "materialised"));
    assert_string_equal(back->method->name, "lora");
    hora_peft_detach(back);
    /* the factors of another generator beside this one */
    char *path = hora_path_join(dir, "adapter_model.safetensors"),
         *native = hora_path_join(dir, "hora_state.safetensors");
    hora_str kept = {0};
    assert_ok(hora_file_read(&kept, native));
    ((float *)a->params[0]->value)[0] += 1;
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_ok(hora_file_write(native, kept.s, kept.n));
    assert_fails(hora_peft_load(&back, b, dir, NULL), HORA_EMISMATCH, "prefer=native");
    assert_ok(hora_peft_load(&back, b, dir, "native"));
    hora_peft_detach(back);
    hora_str_release(&kept);
    hora_free(path);
    hora_free(native);
    hora_peft_detach(a);
    hora_base_close(b);
}

HORA_TESTS(law_hora, {"1 starts at the base model, bit for bit", test_starts_at_base, HORA_SHORT},
           {"2 wakes after one step; a dead generator is named", test_wakes_after_one_step,
            HORA_SHORT},
           {"3 counts", test_counts, HORA_SHORT}, {"4 rank", test_rank, HORA_SHORT},
           {"5 heads permute with their inputs", test_head_permutation, HORA_SHORT},
           {"6 native = materialised = merged", test_same_function, HORA_SHORT},
           {"8 the linear generator", test_linear_generator, HORA_SHORT},
           {"9 hidden units permute", test_hidden_permutation, HORA_SHORT},
           {"files", test_files, HORA_SHORT});
