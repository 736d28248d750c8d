/* safetensors files of others: the format's own samples with their values, real checkpoints; what
 * we read and write again is the same. */
#include "base/file.h"
#include "format/safetensors.h"
#include "st_bytes.h"

/* Element i of an integer or float view. */
static double element(const hora_view *v, int i) {
    double d;
    assert_ok(hora_convert(
        &d, HORA_F64, (const char *)v->data + (size_t)i * hora_dtype_size(v->dtype), v->dtype, 1));
    return d;
}

/* expected.txt: unsigned ones hold max-2, max-1, max, 0; signed and floats -3, -2, -1, 0. */
static void check_sample(const hora_st_tensor *t) {
    static const double maxima[] = {255, 65535, 4294967295.0};
    const char *unsigned_at = strchr("BHI", t->name[0]);
    double first = unsigned_at ? maxima[unsigned_at - "BHI"] - 2 : -3;
    assert_int_equal(t->view.shape.n, 1);
    assert_int_equal(t->view.shape.d[0], 6);
    for (int i = 0; i < 3; i++)
        assert_true(element(&t->view, i) == first + i);
    assert_true(element(&t->view, 3) == 0);
}

static void format_samples(void **state) {
    (void)state;
    static const char letters[] = "BHIbdefhi";
    static const hora_dtype dtypes[] = {HORA_U8,  HORA_U16, HORA_U32, HORA_I8, HORA_F64,
                                        HORA_F16, HORA_F32, HORA_I16, HORA_I32};
    const char *dir = hora_test_shared("data/formats/safetensors");
    hora_st *all, *one;
    char *path = hora_path_join(dir, "overall.safetensors");
    assert_ok(hora_st_open(&all, path));
    hora_free(path);
    assert_int_equal(hora_st_count(all), 9);
    for (int i = 0; i < 9; i++) {
        char name[2] = {letters[i], 0};
        char *file = hora_format("%s/%s.safetensors", dir, name);
        assert_ok(hora_st_open(&one, file));
        assert_string_equal(hora_st_meta(one, "test"), "a");
        assert_int_equal(hora_st_count(one), 1);
        const hora_st_tensor *t = hora_st_find(one, name), *u = hora_st_find(all, name);
        assert_non_null(t);
        assert_non_null(u);
        assert_int_equal(t->view.dtype, dtypes[i]);
        check_sample(t);
        check_sample(u);
        hora_st_close(one);
        hora_free(file);
    }
    hora_st_close(all);
}

static void assert_same_tensors(hora_st *a, hora_st *b) {
    assert_int_equal(hora_st_count(a), hora_st_count(b));
    for (int i = 0; i < hora_st_count(a); i++) {
        const hora_st_tensor *t = hora_st_at(a, i), *u = hora_st_find(b, t->name);
        assert_non_null(u);
        assert_int_equal(t->view.dtype, u->view.dtype);
        assert_true(hora_shape_equal(&t->view.shape, &u->view.shape));
        assert_int_equal(t->bytes, u->bytes);
        assert_memory_equal(t->view.data, u->view.data, t->bytes);
    }
    assert_true(hora_st_hash(a) == hora_st_hash(b));
}

/* Reads `path` (a file or a model folder), writes it whole and in shards, reads both. */
static void round_trip(const char *path, int tensors) {
    hora_st *a, *b;
    bool dir = hora_path_is_dir(path);
    assert_ok(dir ? hora_st_open_model(&a, path) : hora_st_open(&a, path));
    int n = hora_st_count(a);
    assert_int_equal(n, tensors);
    hora_st_entry *e = hora_calloc((size_t)n, sizeof *e);
    uint64_t bytes = 0;
    for (int i = 0; i < n; i++) {
        const hora_st_tensor *t = hora_st_at(a, i);
        e[i] = (hora_st_entry){t->name, t->view, t->view.dtype};
        bytes += t->bytes;
    }
    char *out = hora_path_join(hora_test_tmp(), "model.safetensors");
    assert_ok(hora_st_write(out, e, n, NULL, 0));
    assert_ok(hora_st_open(&b, out));
    assert_same_tensors(a, b);
    hora_st_close(b);
    assert_ok(hora_remove_tree(out));
    assert_ok(hora_st_write_model(hora_test_tmp(), e, n, NULL, 0, bytes / 3));
    assert_ok(hora_st_open_model(&b, hora_test_tmp()));
    assert_true(hora_st_files(b) > 1 || n == 1);
    assert_same_tensors(a, b);
    hora_st_close(b);
    hora_st_close(a);
    hora_free(out);
    hora_free(e);
}

static void samples_round_trip(void **state) {
    (void)state;
    round_trip(hora_test_shared("data/formats/safetensors/overall.safetensors"), 9);
}

static void stories260k_round_trips(void **state) {
    (void)state;
    round_trip(hora_test_shared("models/stories260k"), 47);
}

static void vit_tiny_round_trips(void **state) {
    (void)state;
    round_trip(hora_test_shared("models/vit_tiny_hf"), 200);
}

static void minilm_round_trips(void **state) {
    (void)state;
    round_trip(hora_test_shared("models/minilm"), 104);
}

HORA_TESTS(vectors_safetensors, {"the format's own samples", format_samples, HORA_SHORT},
           {"samples round trip", samples_round_trip, HORA_SHORT},
           {"stories260k round trips", stories260k_round_trips, HORA_SHORT},
           {"vit_tiny_hf round trips", vit_tiny_round_trips, HORA_MEDIUM},
           {"minilm round trips", minilm_round_trips, HORA_MEDIUM});
