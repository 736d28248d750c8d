#ifndef HORA_BASE_RNG_H
#define HORA_BASE_RNG_H
/*
 * Random numbers are functions of (seed, stream, counter): Philox4x32-10 (Salmon et al., SC 2011).
 * Nothing to save, nothing depends on order or thread count. A stream is usually hora_hash64 of a
 * name.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct hora_rng {
    uint64_t seed, stream, counter;
} hora_rng;

void hora_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
uint64_t hora_hash64(const void *p, size_t n, uint64_t seed); /* XXH3, 64 bits */
uint64_t hora_hash_text(const char *s);

hora_rng hora_rng_new(uint64_t seed, const char *stream);
uint64_t hora_rng_u64(hora_rng *r);
double hora_rng_uniform(hora_rng *r);           /* [0, 1), 53 bits                      */
int64_t hora_rng_below(hora_rng *r, int64_t n); /* 0 .. n-1, without bias               */
double hora_rng_normal(hora_rng *r);            /* N(0, 1), Box-Muller, no state kept   */
/* Position `i` of a permutation of 0..n-1 that depends on (seed, epoch) alone (Feistel network with
 * cycle walking). O(1) memory. */
int64_t hora_rng_permutation(uint64_t seed, uint64_t epoch, int64_t n, int64_t i);
#endif
