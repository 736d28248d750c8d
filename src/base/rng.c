/*
 * Random numbers without state: Philox4x32-10 of J. Salmon, M. Moraes, R. Dror and D. Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The 128-bit counter holds (counter,
 * stream), the 64-bit key the seed. Hashes are XXH3. Every draw takes one counter value, whatever
 * it returns, so positions in a stream can be computed.
 */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/status.h"

void hora_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t hora_hash64(const void *p, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(n ? p : "", n, seed);
}

uint64_t hora_hash_text(const char *s) {
    return hora_hash64(s, strlen(s), 0);
}

hora_rng hora_rng_new(uint64_t seed, const char *stream) {
    return (hora_rng){seed, hora_hash_text(stream), 0};
}

uint64_t hora_rng_u64(hora_rng *r) {
    uint32_t w[4];
    hora_philox(r->seed, r->stream, r->counter++, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double hora_rng_uniform(hora_rng *r) {
    return (double)(hora_rng_u64(r) >> 11) * 0x1p-53;
}

/* Draws from the largest multiple of n below 2^64; what lies above is drawn again. */
int64_t hora_rng_below(hora_rng *r, int64_t n) {
    HORA_ASSERT(n > 0);
    uint64_t m = (uint64_t)n, over = (0 - m) % m; /* 2^64 mod n */
    uint64_t x;
    do
        x = hora_rng_u64(r);
    while (x < over);
    return (int64_t)(x % m);
}

double hora_rng_normal(hora_rng *r) {
    uint32_t w[4];
    hora_philox(r->seed, r->stream, r->counter++, w);
    uint64_t a = (uint64_t)w[1] << 32 | w[0], b = (uint64_t)w[3] << 32 | w[2];
    double u = (double)((a >> 11) + 1) * 0x1p-53; /* (0, 1]: the logarithm is finite */
    double v = (double)(b >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

#define ROUNDS      8
#define PERMUTATION 0x7065726d75746174u /* keeps these draws apart from other streams */

/* A Feistel network permutes 0 .. 4^half - 1; walking along a cycle until the value is below n
 * permutes 0 .. n-1. At least 4 bits a side, else few permutations could be reached. */
int64_t hora_rng_permutation(uint64_t seed, uint64_t epoch, int64_t n, int64_t i) {
    HORA_ASSERT(n > 0 && i >= 0 && i < n);
    int half = 4;
    while (half < 32 && (uint64_t)(n - 1) >> (2 * half))
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t x = (uint64_t)i;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint32_t w[4];
            hora_philox(seed, epoch ^ PERMUTATION, round << 32 | right, w);
            uint64_t next = left ^ (w[0] & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= (uint64_t)n);
    return (int64_t)x;
}
