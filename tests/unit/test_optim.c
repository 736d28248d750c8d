/* Optimizers: adamw and sgd against numbers printed by torch 2.13, lion by hand; every one the same
 * whether it walks an array at once or in pieces. */
#include "hora_test.h"

#include <math.h>

#include "base/rng.h"
#include "train/train.h"

static const hora_optimizer *named(const char *name) {
    for (int i = 0; i < hora_optimizer_count(); i++)
        if (!strcmp(hora_optimizer_at(i)->name, name))
            return hora_optimizer_at(i);
    fail_msg("no optimizer %s", name);
    return NULL;
}

static const float grads[3][4] = {
    {0.1f, -0.2f, 0.3f, 1e-9f}, {-0.4f, 0.05f, 2.0f, 0}, {0.7f, 0.7f, -0.7f, 1e-4f}};

static void three_steps(const char *name, hora_update u, const float want[3][4]) {
    float p[4] = {0.5f, -1.25f, 3, 0}, m[4] = {0}, v[4] = {0};
    for (int k = 0; k < 3; k++) {
        u.step = k + 1;
        named(name)->update(&u, p, grads[k], m, v, 4);
        for (int i = 0; i < 4; i++)
            if (!(fabsf(p[i] - want[k][i]) <= 3e-7f * fabsf(want[k][i]) + 1e-9f))
                fail_msg("%s, step %d, element %d: %.9g, should be %.9g", name, k + 1, i, p[i],
                         want[k][i]);
    }
}

static void adamw_as_torch(void **state) {
    (void)state;
    three_steps(
        "adamw",
        (hora_update){
            .lr = 1e-2, .decay = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .scale = 1},
        (const float[3][4]){{0.489500016f, -1.23874998f, 2.98699999f, -0.000909090915f},
                            {0.494605541f, -1.23281658f, 2.97566056f, -0.00135059084f},
                            {0.490800053f, -1.2366879f, 2.96867418f, -0.00773632247f}});
}

static void sgd_as_torch(void **state) {
    (void)state;
    three_steps("sgd", (hora_update){.lr = 1e-2, .momentum = 0.9, .scale = 1},
                (const float[3][4]){{0.499000013f, -1.24800003f, 2.99699998f, -9.99999909e-12f},
                                    {0.502099991f, -1.24670005f, 2.97429991f, -1.89999978e-11f},
                                    {0.497889996f, -1.2525301f, 2.96087003f, -1.00002705e-06f}});
}

static void lion_by_hand(void **state) {
    (void)state;
    /* b1 = b2 = 1/2, so s = m: g1/2; g1/4 + g2/2; g1/8 + g2/4 + g3/2 */
    three_steps("lion", (hora_update){.lr = 0.125, .beta1 = 0.5, .beta2 = 0.5, .scale = 1},
                (const float[3][4]){{0.375f, -1.125f, 2.875f, -0.125f},
                                    {0.5f, -1.0f, 2.75f, -0.25f},
                                    {0.375f, -1.125f, 2.625f, -0.375f}});
}

static void sgd_without_momentum_is_plain(void **state) {
    (void)state;
    float p[2] = {1, -2}, g[2] = {4, 8}, m[2] = {0};
    named("sgd")->update(&(hora_update){.lr = 0.5, .decay = 0.5, .scale = 0.25, .step = 1}, p, g, m,
                         NULL, 2);
    assert_true(p[0] == 0.75f - 0.5f && p[1] == -1.5f - 1);
}

/* The walk is cut into tiles: any cut gives the same bits, and clipping is a factor of g. */
static void any_cut_same_bits(void **state) {
    (void)state;
    enum { N = 1003 };
    static float whole[3][N], cut[3][N], g[N];
    hora_update u = {.lr = 1e-3,
                     .decay = 0.1,
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .eps = 1e-8,
                     .momentum = 0.9,
                     .scale = 0.37};
    for (int k = 0; k < hora_optimizer_count(); k++) {
        hora_rng r = hora_rng_new(7, "optimizers");
        memset(whole, 0, sizeof whole);
        for (int i = 0; i < N; i++)
            whole[0][i] = (float)hora_rng_normal(&r);
        memcpy(cut, whole, sizeof cut);
        for (u.step = 1; u.step <= 3; u.step++) {
            for (int i = 0; i < N; i++)
                g[i] = (float)hora_rng_normal(&r);
            hora_optimizer_at(k)->update(&u, whole[0], g, whole[1], whole[2], N);
            for (int at = 0, n = 1; at < N; at += n, n = n * 2 + 1) {
                n = n < N - at ? n : N - at;
                hora_optimizer_at(k)->update(&u, cut[0] + at, g + at, cut[1] + at, cut[2] + at, n);
            }
        }
        assert_memory_equal(whole, cut, sizeof whole);
    }
}

HORA_TESTS(unit_optim, {"adamw equal to torch", adamw_as_torch, HORA_SHORT},
           {"sgd with momentum equal to torch", sgd_as_torch, HORA_SHORT},
           {"lion by hand", lion_by_hand, HORA_SHORT},
           {"sgd without momentum; decay and scale", sgd_without_momentum_is_plain, HORA_SHORT},
           {"any cut, same bits", any_cut_same_bits, HORA_SHORT});
