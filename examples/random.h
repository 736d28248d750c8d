#ifndef HORA_EXAMPLES_RANDOM_H
#define HORA_EXAMPLES_RANDOM_H
/* Random numbers of the programs that draw data: the same on every machine. */
#include <math.h>
#include <stdint.h>

/* splitmix64 */
static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static double uniform(uint64_t *state, double from, double to) {
    return from + (to - from) * (double)(next(state) >> 11) / 9007199254740992.0;
}
static double normal(uint64_t *state) {
    const double u = uniform(state, 1e-12, 1), v = uniform(state, 0, 6.283185307179586);
    return sqrt(-2 * log(u)) * cos(v);
}
#endif
