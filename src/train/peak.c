/*
 * The yardstick of MFU: f32 multiply-adds per second that all threads together reach in registers,
 * measured for some 20 ms. An upper bound that no real step reaches; 0 where we have no loop for
 * the processor that is worth calling its peak.
 */
#include "base/cpu.h"
#include "base/log.h"
#include "base/threads.h"
#include "train/train.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

enum { ROUNDS = 200000, CHAINS = 12 }; /* 12 independent chains hide the latency of two FMA units */

typedef struct peak_job {
    hora_isa isa;
    float sink[HORA_MAX_THREADS]; /* keeps the loops alive */
} peak_job;

/* One loop per width. The chains are variables, so that they live in
 * registers, and start apart, so that no compiler takes two for one. */
#define PEAK_LOOP(name, isa, vec, set1, fmadd, add, low)                                           \
    __attribute__((target(isa))) static float name(void) {                                         \
        vec x = set1(0.999f), y = set1(1e-3f), a = set1(0), b = set1(1), c = set1(2);              \
        vec d = set1(3), e = set1(4), f = set1(5), g = set1(6), h = set1(7), p = set1(8);          \
        vec q = set1(9), r = set1(10), s = set1(11);                                               \
        for (int i = 0; i < ROUNDS; i++) {                                                         \
            a = fmadd(a, x, y), b = fmadd(b, x, y), c = fmadd(c, x, y), d = fmadd(d, x, y);        \
            e = fmadd(e, x, y), f = fmadd(f, x, y), g = fmadd(g, x, y), h = fmadd(h, x, y);        \
            p = fmadd(p, x, y), q = fmadd(q, x, y), r = fmadd(r, x, y), s = fmadd(s, x, y);        \
        }                                                                                          \
        a = add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h)));                             \
        return low(add(a, add(add(p, q), add(r, s))));                                             \
    }
PEAK_LOOP(loop_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps,
          _mm512_cvtss_f32)
PEAK_LOOP(loop_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps,
          _mm256_cvtss_f32)

static void one_loop(void *arg, int64_t tile, int thread) {
    peak_job *job = arg;
    (void)tile;
    job->sink[thread] += job->isa >= HORA_ISA_AVX512 ? loop_avx512() : loop_avx2();
}

double hora_peak_flops(void) {
    peak_job job = {.isa = hora_cpu_isa()};
    int lanes = job.isa >= HORA_ISA_AVX512 ? 16 : 8;
    int64_t tiles = 2 * (int64_t)hora_threads();
    double best = 0;
    if (job.isa < HORA_ISA_AVX2)
        return 0;
    for (int round = 0; round < 12; round++) { /* the first ones start and wake the threads */
        double started = hora_now();
        hora_parallel(tiles, one_loop, &job);
        double took = hora_now() - started;
        double rate = 2.0 * lanes * CHAINS * (double)ROUNDS * (double)tiles / took;
        best = took > 0 && rate > best ? rate : best;
    }
    return best;
}
#else
double hora_peak_flops(void) {
    return 0;
}
#endif
