/* LoRA of parts of a module: the folder names the module alone, as PEFT does, and computes what the
 * parts did; read back it is the same, as a whole and as parts; what is neither is refused. So is
 * (IA)3 of parts. Other types of PEFT's say nothing of parts: no file of PEFT's is made of them. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "interop/interop.h"
#include "peft/store.h"
#include "peft/typed.h"
#include "vectors/golden.h"

static const char fused[] =
    "{\"model_type\":\"modernbert\",\"vocab_size\":29,\"hidden_size\":16,\"intermediate_size\":24,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"max_position_embeddings\":32,"
    "\"initializer_range\":0.3,\"attention_bias\":true,\"pad_token_id\":0}";

static hora_base *encoder(void) {
    const char *path = hora_test_path(hora_test_tmp(), "config.json");
    hora_base *b = NULL;
    assert_ok(hora_file_write(path, fused, strlen(fused)));
    assert_ok(hora_base_fresh(&b, path, &(hora_base_options){.dtype = HORA_F32, .bare = true}, 5));
    return b;
}

static const char *const options[] = {
    "rank=2,targets=q+v",
    "rank=2,targets=q+v,use_dora=true",
    "rank=2,targets=q+v,lora_bias=true",
    "rank=2,targets=k,use_dora=true",
    "rank=2,targets=q+v+gate,use_dora=true,rank_pattern=q:3",
    "rank=2,targets=q+v+o,lora_bias=true,rslora=true,rank_pattern=v:4",
    "rank=2,targets=Wqkv+Wi",
    "rank=2,targets=Wqkv+Wi,use_dora=true",
    "rank=2,targets=Wqkv,lora_bias=true",
};

static hora_adapter *filled(const hora_base *b, const char *opts) {
    hora_adapter *a = golden_attach(b, "lora", opts);
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(5, opts);
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.2 * hora_rng_normal(&r));
    return a;
}

static const char *saved(hora_adapter *a) {
    const char *dir = hora_test_path(hora_test_tmp(), "parts");
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_peft_save(a, dir, NULL));
    return dir;
}

/* Names are those of modules that a file of the base has. */
static void check_names(const hora_base *b, const char *dir) {
    hora_st *st;
    assert_ok(hora_st_open(&st, hora_test_path(dir, "adapter_model.safetensors")));
    assert_true(hora_st_count(st) > 0);
    for (int i = 0; i < hora_st_count(st); i++)
        for (int k = 0; k < b->nsites; k++) {
            char *part = hora_format("base_model.model.%s.lora_", b->sites[k].module);
            assert_false(b->sites[k].fused && hora_starts(hora_st_at(st, i)->name, part));
            hora_free(part);
        }
    hora_st_close(st);
}

static void same_merged(const hora_base *b, hora_adapter *x, hora_adapter *y, const char *label) {
    float **v = hora_calloc((size_t)b->nweights, sizeof *v);
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    double moved = 0;
    assert_ok(hora_peft_merge(&x, 1, v));
    assert_ok(hora_peft_merge(&y, 1, w));
    for (int i = 0; i < b->nweights; i++) {
        const hora_view *base = &b->weights[i].view;
        for (int64_t k = 0; k < hora_elems(base); k++) {
            const double old = hora_value_at(base->data, base->dtype, k);
            const double one = v[i] ? (double)v[i][k] : old, two = w[i] ? (double)w[i][k] : old;
            if (!(fabs(one - two) < 1e-6))
                fail_msg("%s: %s[%d]: %g, read back %g", label, b->weights[i].name, (int)k, one,
                         two);
            moved = fmax(moved, fabs(one - old));
        }
        hora_free(v[i]);
        hora_free(w[i]);
    }
    assert_true(moved > 0.05);
    hora_free(v);
    hora_free(w);
}

static void same_values(const hora_adapter *x, const hora_adapter *y, const char *label) {
    assert_int_equal(x->nparams, y->nparams);
    for (int i = 0; i < x->nparams; i++)
        hora_assert_close(y->params[i]->value, x->params[i]->value, (size_t)x->params[i]->elems,
                          1e-6, label);
}

static void test_round_trip(void **state) {
    (void)state;
    hora_base *b = encoder();
    for (size_t i = 0; i < HORA_COUNT(options); i++) {
        hora_adapter *a = filled(b, options[i]), *whole, *parts;
        const char *dir = saved(a);
        check_names(b, dir);
        assert_ok(hora_peft_load(&whole, b, dir, NULL));
        same_merged(b, a, whole, options[i]);
        parts = golden_attach(b, "lora", options[i]);
        assert_ok(hora_adapter_allocate(parts));
        assert_ok(hora_adapter_read(parts, dir));
        same_values(a, parts, options[i]);
        hora_peft_detach(parts);
        hora_peft_detach(whole);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

/* The magnitudes of the file are PEFT's: W' = m / |W + s B A| (W + s B A), rows without a LoRA the
 * base's. */
static void test_file_is_dora(void **state) {
    (void)state;
    hora_base *b = encoder();
    hora_adapter *a = filled(b, "rank=2,alpha=3,targets=q+v,use_dora=true");
    const char *dir = saved(a);
    hora_st *st;
    float **w = hora_calloc((size_t)b->nweights, sizeof *w);
    int rows = 0;
    assert_ok(hora_peft_merge(&a, 1, w));
    assert_ok(hora_st_open(&st, hora_test_path(dir, "adapter_model.safetensors")));
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        if (!s->fused || !hora_ends(s->fused, "Wqkv"))
            continue;
        char *names[] = {hora_peft_key(s->fused, HORA_PEFT_LORA_A),
                         hora_peft_key(s->fused, HORA_PEFT_LORA_B),
                         hora_peft_key(s->fused, HORA_PEFT_MAGNITUDE)};
        const float *fa = hora_st_find(st, names[0])->view.data,
                    *fb = hora_st_find(st, names[1])->view.data,
                    *m = hora_st_find(st, names[2])->view.data,
                    *base = b->weights[s->weight].view.data;
        for (int64_t o = 0; o < s->out; o++, rows++) {
            double row[16], norm = 0;
            for (int k = 0; k < 16; k++) {
                row[k] = (double)base[o * 16 + k];
                for (int j = 0; j < 4; j++) /* rank 4, alpha / rank as before: 3 / 2 */
                    row[k] += 1.5 * (double)fb[(s->row + o) * 4 + j] * (double)fa[j * 16 + k];
                norm += row[k] * row[k];
            }
            for (int k = 0; k < 16; k++) {
                const double got =
                    w[s->weight] ? (double)w[s->weight][o * 16 + k] : (double)base[o * 16 + k];
                assert_true(fabs((double)m[s->row + o] / sqrt(norm) * row[k] - got) < 1e-5);
            }
        }
        for (size_t k = 0; k < HORA_COUNT(names); k++)
            hora_free(names[k]);
    }
    assert_int_equal(rows, 2 * 48);
    hora_st_close(st);
    for (int i = 0; i < b->nweights; i++)
        hora_free(w[i]);
    hora_free(w);
    hora_peft_detach(a);
    hora_base_close(b);
}

/* Does the folder hold that? */
static bool lies(const char *dir, const char *name) {
    return hora_path_exists(hora_test_path(dir, name));
}

/* oft, vera, .. of q and v: read back from hora's own form they are the same. */
static void own_form(const hora_base *b, const char *method, const char *opts) {
    hora_adapter *a = golden_attach(b, method, opts), *back;
    const char *dir = hora_test_path(hora_test_tmp(), method);
    assert_true(hora_typed_parts(a));
    assert_ok(hora_adapter_allocate(a));
    hora_rng r = hora_rng_new(5, method);
    for (int i = 0; i < a->nparams; i++)
        for (int64_t k = 0; k < a->params[i]->elems && !a->params[i]->fixed; k++)
            ((float *)a->params[i]->value)[k] += (float)(0.2 * hora_rng_normal(&r));
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_peft_save(a, dir, NULL));
    assert_true(lies(dir, "delta_config.json"));
    assert_false(lies(dir, "adapter_config.json") || lies(dir, "adapter_model.safetensors"));
    assert_ok(hora_peft_load(&back, b, dir, NULL));
    assert_string_equal(back->method->name, method);
    same_values(a, back, method);
    same_merged(b, a, back, method);
    hora_peft_detach(back);
    hora_peft_detach(a);
}

static void test_other_types(void **state) {
    static const char *const rows[][2] = {
        {"ia3", "targets=q+v,feedforward=q"}, {"oft", "targets=q+v,block_size=4"},
        {"boft", "targets=q+v,block_size=4"}, {"hra", "targets=q+v,rank=4"},
        {"loha", "targets=q+v,rank=2"},       {"lokr", "targets=q+v,rank=2"},
        {"vera", "targets=q+v,rank=4"},       {"fourierft", "targets=q+v,n_frequency=40"},
        {"adalora", "targets=q+v"},
    };
    (void)state;
    hora_base *b = encoder();
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        own_form(b, rows[i][0], rows[i][1]);
    hora_base_close(b);
}

/* A folder of PEFT's of the whole module whose type has no parts is refused by name, in place of
 * what its parts would be; modules of their own are read and written as ever. */
static void test_whole_of_other_types(void **state) {
    static const char said[] = "{\"peft_type\":\"FOURIERFT\",\"target_modules\":[\"Wqkv\"]}";
    (void)state;
    hora_base *b = encoder();
    const char *dir = hora_test_path(hora_test_tmp(), "whole");
    hora_adapter *a;
    assert_ok(hora_mkdirs(dir));
    assert_ok(hora_file_write(hora_test_path(dir, "adapter_config.json"), said, strlen(said)));
    assert_fails(hora_peft_load(&a, b, dir, NULL), HORA_EUNSUPPORTED, "as one module");
    a = golden_attach(b, "ia3", "targets=o,feedforward=o");
    assert_false(hora_typed_parts(a));
    assert_ok(hora_adapter_allocate(a));
    const char *plain = hora_test_path(hora_test_tmp(), "plain");
    assert_ok(hora_mkdirs(plain));
    assert_ok(hora_peft_save(a, plain, NULL));
    assert_true(lies(plain, "adapter_config.json") && !lies(plain, "delta_config.json"));
    hora_peft_detach(a);
    hora_base_close(b);
}

/* (IA)3 of parts: PEFT's folder of the module, 1 where a part has no vector; read as a whole it is
 * the same, and as parts. */
static void test_joined(void **state) {
    static const char *const rows[][2] = {
        {"targets=k+v+down", "\"Wqkv\""}, /* attn.Wo is not adapted */
        {"targets=k+v+down", "\"mlp.Wo\""},
        {"targets=q+o+down,feedforward=down", "\"Wo\""},
        {"targets=re:.*layers\\.1\\..*Wqkv\\.k,feedforward=", "\"1.attn.Wqkv\""},
        {"targets=up+gate+q,modules_to_save=final_norm", "\"Wi\""}};
    (void)state;
    hora_base *b = encoder();
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = golden_moved(b, "ia3", rows[i][0]), *whole, *parts;
        const char *dir = hora_test_path(hora_test_tmp(), "joined");
        hora_str text = {0};
        assert_true(hora_typed_parts(a));
        assert_ok(hora_mkdirs(dir));
        assert_ok(hora_peft_save(a, dir, NULL));
        assert_ok(hora_file_read(&text, hora_test_path(dir, "adapter_config.json")));
        if (!strstr(text.s, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], text.s);
        hora_str_release(&text);
        assert_false(lies(dir, "delta_config.json"));
        assert_ok(hora_peft_load(&whole, b, dir, NULL));
        assert_false(hora_typed_parts(whole));
        same_merged(b, a, whole, rows[i][0]);
        parts = golden_attach(b, "ia3", rows[i][0]);
        assert_ok(hora_adapter_allocate(parts));
        assert_ok(hora_adapter_read(parts, dir));
        same_values(a, parts, rows[i][0]);
        hora_peft_detach(parts);
        parts = golden_attach(b, "ia3", "targets=down"); /* of fewer sites */
        assert_ok(hora_adapter_allocate(parts));
        assert_true(hora_adapter_read(parts, dir) < 0);
        hora_peft_detach(parts);
        parts = golden_attach(b, "ia3", "targets=up+o,feedforward=o");
        assert_ok(hora_adapter_allocate(parts));
        assert_true(hora_adapter_read(parts, dir) < 0);
        hora_peft_detach(parts);
        hora_peft_detach(whole);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

/* Exported at its plainest: one rank for modules, whole or of parts, that computes the same. */
static void test_exported(void **state) {
    (void)state;
    hora_base *b = encoder();
    const hora_exporter *e = hora_exporter_named("peft");
    for (size_t i = 0; i < HORA_COUNT(options); i++) {
        hora_adapter *a = filled(b, options[i]), *back;
        const hora_export x = {.base = b, .adapters = &a, .n = 1};
        const char *dir = hora_test_path(hora_test_tmp(), "exported");
        if (strstr(options[i], "lora_bias")) {
            assert_fails(e->check(&x), HORA_EUNSUPPORTED, "no place");
            hora_peft_detach(a);
            continue;
        }
        assert_ok(e->check(&x));
        assert_ok(hora_mkdirs(dir));
        assert_ok(e->write(&x, dir));
        check_names(b, dir);
        assert_ok(hora_peft_load(&back, b, dir, NULL));
        same_merged(b, a, back, options[i]);
        assert_int_equal(back->method->peft_config(back)->n_rank, 0);
        hora_peft_detach(back);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

static void test_refused(void **state) {
    static const struct {
        const char *made, *read, *says;
    } rows[] = {
        {"rank=4,targets=Wqkv", "rank=2,targets=q+v", "take it as a whole"},
        {"rank=2,targets=q+v", "rank=2,targets=q+v,use_dora=true", "lacks"},
        {"rank=2,targets=q+v,use_dora=true", "rank=2,targets=q+v", "not part of it"},
        {"rank=2,targets=q+v", "rank=3,targets=q+v", "should be"},
        {"rank=2,targets=q+v+o", "rank=2,targets=q+v", "not part of it"},
    };
    (void)state;
    hora_base *b = encoder();
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        hora_adapter *a = filled(b, rows[i].made), *c = golden_attach(b, "lora", rows[i].read);
        assert_ok(hora_adapter_allocate(c));
        assert_fails(hora_adapter_read(c, saved(a)), HORA_ESHAPE, rows[i].says);
        hora_peft_detach(c);
        hora_peft_detach(a);
    }
    hora_base_close(b);
}

HORA_TESTS(law_parts, {"what is saved is the module's", test_round_trip, HORA_SHORT},
           {"its magnitudes are DoRA's", test_file_is_dora, HORA_SHORT},
           {"what is neither is refused", test_refused, HORA_SHORT},
           {"other types of PEFT's lie in a form of hora's own", test_other_types, HORA_SHORT},
           {"the whole module of such a type", test_whole_of_other_types, HORA_SHORT},
           {"vectors of parts are the module's", test_joined, HORA_SHORT},
           {"at their plainest", test_exported, HORA_SHORT});
