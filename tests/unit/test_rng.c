/* Random numbers: the published vectors of Philox4x32-10, moments, permutations, no bias. */
#include "hora_test.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

/* Known answers distributed with Random123 (Salmon et al.). Counter words 0, 1 are `counter`, words
 * 2, 3 `stream`. */
static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t want[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822u,
         0x0370734413198a2eu,
         0x85a308d3243f6a88u,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        uint32_t out[4];
        hora_philox(rows[i].seed, rows[i].stream, rows[i].counter, out);
        assert_memory_equal(out, rows[i].want, sizeof out);
    }
}

static void moments(void **state) {
    (void)state;
    enum { N = 400000 };
    hora_rng r = hora_rng_new(7, "moments");
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, u1 = 0, u2 = 0;
    for (int i = 0; i < N; i++) {
        double x = hora_rng_normal(&r), u = hora_rng_uniform(&r);
        assert_true(isfinite(x) && u >= 0 && u < 1);
        m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
        u1 += u, u2 += u * u;
    }
    assert_int_equal(r.counter, 2 * N); /* one counter value a draw */
    /* Five standard errors each: sqrt(1, 2, 15, 96 / N) and sqrt(1/12, 4/45 / N). */
    assert_true(fabs(m1 / N) < 5 * sqrt(1.0 / N));
    assert_true(fabs(m2 / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m3 / N) < 5 * sqrt(15.0 / N));
    assert_true(fabs(m4 / N - 3) < 5 * sqrt(96.0 / N));
    assert_true(fabs(u1 / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(u2 / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
}

static void streams_differ_and_repeat(void **state) {
    (void)state;
    hora_rng a = hora_rng_new(1, "a"), again = hora_rng_new(1, "a");
    hora_rng b = hora_rng_new(1, "b"), c = hora_rng_new(2, "a");
    uint64_t x = hora_rng_u64(&a);
    assert_true(x == hora_rng_u64(&again));
    assert_true(x != hora_rng_u64(&b) && x != hora_rng_u64(&c));
    assert_true(x != hora_rng_u64(&a));
}

static void below_is_even(void **state) {
    (void)state;
    enum { N = 60000 };
    int count[6] = {0};
    hora_rng r = hora_rng_new(3, "dice");
    for (int i = 0; i < N; i++) {
        int64_t v = hora_rng_below(&r, 6);
        assert_in_range(v, 0, 5);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++)
        chi2 += (count[i] - N / 6.0) * (count[i] - N / 6.0) / (N / 6.0);
    assert_true(chi2 < 25.7); /* 5 degrees of freedom, p = 1e-4 */
    assert_int_equal(hora_rng_below(&r, 1), 0);
    int upper = 0; /* three quarters of 2^63: x % n alone would put too many into the lower third */
    const int64_t n = (int64_t)3 << 61;
    for (int i = 0; i < 3000; i++)
        upper += hora_rng_below(&r, n) >= n / 3 * 2;
    assert_in_range(upper, 870, 1130);
}

static void permutation(int64_t n, uint64_t seed, uint64_t epoch) {
    unsigned char *seen = hora_calloc((size_t)n, 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t p = hora_rng_permutation(seed, epoch, n, i);
        if (p < 0 || p >= n || seen[p])
            fail_msg("n %lld: %lld goes to %lld", (long long)n, (long long)i, (long long)p);
        seen[p] = 1;
    }
    hora_free(seen);
}

static void permute_is_a_bijection(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 80; n++)
        permutation(n, 42, (uint64_t)n);
    static const int64_t sizes[] = {255, 256, 257, 1023, 1024, 1025, 5000, 65537};
    for (size_t i = 0; i < HORA_COUNT(sizes); i++)
        permutation(sizes[i], 1, 2);
    const int64_t huge = INT64_MAX;
    for (int64_t i = 0; i < 100; i++)
        assert_true(hora_rng_permutation(5, 0, huge, huge - 1 - i) >= 0);
}

/* Every position should get every value about equally often over the epochs, and seed and epoch
 * should matter. */
static void permute_mixes(void **state) {
    (void)state;
    enum { N = 5, EPOCHS = 5000 };
    int count[N][N] = {{0}};
    for (uint64_t e = 0; e < EPOCHS; e++)
        for (int i = 0; i < N; i++)
            count[i][hora_rng_permutation(9, e, N, i)]++;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            assert_in_range(count[i][j], 850, 1150); /* 1000 +- 28 */
    int same = 0;
    for (int i = 0; i < 1000; i++)
        same += hora_rng_permutation(1, 0, 1000, i) == hora_rng_permutation(2, 0, 1000, i);
    assert_true(same < 12);
}

static void hashes(void **state) {
    (void)state;
    /* XXH3 of no bytes with seed 0, from the specification of xxHash. */
    assert_true(hora_hash64(NULL, 0, 0) == 0x2d06800538d394c2u);
    assert_true(hora_hash64("a", 1, 0) != hora_hash64("a", 1, 1));
    assert_true(hora_hash_text("abc") == hora_hash64("abc", 3, 0));
}

HORA_TESTS(unit_rng, {"Philox: known answers", philox_known_answers, HORA_SHORT},
           {"moments of normal and uniform", moments, HORA_SHORT},
           {"streams differ and repeat", streams_differ_and_repeat, HORA_SHORT},
           {"below has no bias", below_is_even, HORA_SHORT},
           {"a permutation is a bijection", permute_is_a_bijection, HORA_SHORT},
           {"a permutation mixes", permute_mixes, HORA_SHORT}, {"hashes", hashes, HORA_SHORT});
