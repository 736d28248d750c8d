/* The sum of comm/tree.h in one rank: its shape against the recursive definition, memory, and what
 * a share is. */
#include "base/rng.h"
#include "comm/tree.h"
#include "hora_test.h"

enum { FLOATS = 37, MOST = 70 };

static float leaf_at(int64_t i, int k) {
    uint32_t r[4];
    hora_philox(5, (uint64_t)i, (uint64_t)k, r);
    return ((float)r[0] - 2e9f) * (float)(1 << (i % 13));
}

/* Largest power of two below n. */
static int64_t left_of(int64_t n) {
    int64_t p = 1;
    while (2 * p < n)
        p *= 2;
    return p;
}

static float recursive(int64_t first, int64_t n, int k) {
    if (n == 1)
        return leaf_at(first, k);
    const int64_t left = left_of(n);
    return recursive(first, left, k) + recursive(first + left, n - left, k);
}

static void test_shape(void **state) {
    float a[FLOATS - 5], b[5];
    const hora_sum_span spans[] = {{a, FLOATS - 5}, {b, 5}};
    hora_tree *t;
    (void)state;
    assert_ok(hora_tree_new(&t, NULL, spans, 2));
    assert_ok(hora_tree_reserve(t, MOST));
    for (int64_t n = 1; n <= MOST; n++) {
        hora_tree_begin(t, n);
        for (int64_t i = 0; i < n; i++) {
            for (int k = 0; k < FLOATS; k++)
                *(k < FLOATS - 5 ? &a[k] : &b[k - FLOATS + 5]) = leaf_at(i, k);
            hora_tree_leaf(t);
        }
        assert_ok(hora_tree_sum(t));
        for (int k = 0; k < FLOATS; k++) {
            const float want = recursive(0, n, k);
            assert_memory_equal(k < FLOATS - 5 ? &a[k] : &b[k - FLOATS + 5], &want, sizeof want);
        }
    }
    hora_tree_free(t);
}

static void test_bytes(void **state) {
    (void)state;
    assert_int_equal(hora_tree_bytes(10, 1, 0, 1), 0);  /* without accumulation nothing is taken */
    assert_int_equal(hora_tree_bytes(10, 2, 0, 1), 40); /* the first waits for the second */
    assert_int_equal(hora_tree_bytes(10, 8, 0, 1), 120);
    assert_int_equal(hora_tree_bytes(10, 9, 0, 1), 120);
}

static void test_share(void **state) {
    (void)state;
    for (int64_t all = 0; all < 20; all++)
        for (int parts = 1; parts < 8; parts++) {
            int64_t at = 0;
            for (int p = 0; p < parts; p++) {
                int64_t first, n;
                hora_part_of(all, p, parts, &first, &n);
                assert_int_equal(first, at);
                assert_true(n == all / parts || n == all / parts + 1);
                at += n;
            }
            assert_int_equal(at, all);
        }
}

HORA_TESTS(unit_tree, {"the order of a sum", test_shape, HORA_SHORT},
           {"memory", test_bytes, HORA_SHORT}, {"shares", test_share, HORA_SHORT});
