/* Attention of a Vision Transformer: as transformers gives it (tools/oracle/make_attention_maps.py)
 * and its flow through the layers, by the whole matrices. */
#include "infer/attention_maps.h"

#include <math.h>

#include "base/rng.h"
#include "format/safetensors.h"
#include "hora_test.h"
#include "run/open.h"

static void rollout(void **state) {
    (void)state;
    enum { L = 2, H = 2, T = 3 };
    float at[L * H * T * T], got[T];
    hora_rng r = hora_rng_new(3, "rollout");
    for (int i = 0; i < L * H * T; i++) {
        double sum = 0;
        for (int j = 0; j < T; j++)
            sum += at[i * T + j] = (float)hora_rng_uniform(&r);
        for (int j = 0; j < T; j++)
            at[i * T + j] /= (float)sum;
    }
    double all[T][T] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    for (int l = 0; l < L; l++) { /* A_l times what is there */
        double next[T][T] = {{0}};
        for (int i = 0; i < T; i++)
            for (int j = 0; j < T; j++)
                for (int k = 0; k < T; k++) {
                    double a = i == k ? 0.5 : 0;
                    for (int h = 0; h < H; h++)
                        a += 0.5 / H * (double)at[((l * H + h) * T + i) * T + k];
                    next[i][j] += a * all[k][j];
                }
        memcpy(all, next, sizeof all);
    }
    const hora_attention_maps m = {L, H, T, at};
    for (int i = -1; i < T; i++) {
        hora_attention_rollout(&m, i, got);
        double sum = 0;
        for (int j = 0; j < T; j++) {
            const double want = i < 0 ? (all[0][j] + all[1][j] + all[2][j]) / 3 : all[i][j];
            assert_true(fabs((double)got[j] - want) < 1e-6);
            sum += (double)got[j];
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
}

static void as_transformers(void **state) {
    (void)state;
    hora_opened o = {0};
    hora_device *device;
    hora_forward_batch b;
    hora_attention_maps m;
    hora_st *want;
    assert_ok(hora_device_open(&device, "host"));
    assert_ok(hora_open_model(&o, hora_test_shared("vectors/tiny_vit/base"),
                              &(hora_open_options){.dtype = HORA_F32}));
    assert_ok(hora_open_settle(&o, NULL, NULL, false, 0));
    assert_ok(
        hora_forward_batch_load(&b, hora_test_shared("vectors/tiny_vit/base/batch.safetensors")));
    hora_free(b.labels);
    b.labels = NULL;
    const hora_forward f = {.base = o.base, .objective = &o.objective, .device = device};
    assert_ok(hora_attention_maps_run(&m, &f, &b));
    assert_ok(
        hora_st_open(&want, hora_test_source("tests/vectors/files/attention_maps.safetensors")));
    const hora_view *v = &hora_st_find(want, "attentions")->view;
    assert_int_equal(hora_elems(v), m.layers * m.heads * m.rows * m.rows);
    hora_assert_close(m.at, v->data, (size_t)hora_elems(v), 1e-5, "attention");
    hora_st_close(want);
    hora_attention_maps_release(&m);
    hora_forward_batch_release(&b);
    hora_open_close(&o);
    hora_device_free(device);
}

HORA_TESTS(unit_attention_maps, {"as transformers has it", as_transformers, HORA_SHORT},
           {"rollout is the product of the layers", rollout, HORA_SHORT});
