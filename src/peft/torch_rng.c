/* MT19937 and what PyTorch draws from it. */
#include "peft/torch_rng.h"

#include "base/mem.h"
#include "tensor/tensor.h"

enum { N = 624, M = 397 };

void hora_torch_seed(hora_torch_rng *r, uint64_t seed) {
    r->at[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N; i++)
        r->at[i] = 1812433253U * (r->at[i - 1] ^ (r->at[i - 1] >> 30)) + i;
    r->used = N;
}

static void twist(hora_torch_rng *r) {
    for (int i = 0; i < N; i++) {
        const uint32_t y = (r->at[i] & 0x80000000U) | (r->at[(i + 1) % N] & 0x7fffffffU);
        r->at[i] = r->at[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfU : 0);
    }
    r->used = 0;
}

uint32_t hora_torch_next(hora_torch_rng *r) {
    if (r->used == N)
        twist(r);
    uint32_t y = r->at[r->used++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680U;
    y ^= (y << 15) & 0xefc60000U;
    return y ^ (y >> 18);
}

void hora_torch_uniform(hora_torch_rng *r, double bound, double *out, int64_t n) {
    const float from = (float)-bound, width = (float)bound - from;
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)(hora_torch_next(r) & 0xffffff) / 16777216.0F;
        out[i] = (double)(x * width + from);
    }
}

static float narrow(double x) {
    return hora_bf16_to_f32(hora_f32_to_bf16((float)x));
}

void hora_torch_uniform_bf16(hora_torch_rng *r, double bound, double *out, int64_t n) {
    const double top = (double)narrow(bound);
    hora_torch_uniform(r, bound, out, n);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (double)narrow(out[i]);
        if (out[i] == top)
            out[i] = -top;
    }
}

/* Fisher and Yates, of which the first k steps settle the first k places. */
void hora_torch_randperm(hora_torch_rng *r, int64_t n, int64_t *out, int64_t k) {
    int64_t *all = hora_malloc((size_t)n * sizeof *all);
    for (int64_t i = 0; i < n; i++)
        all[i] = i;
    for (int64_t i = 0; i < k; i++) {
        const int64_t z = i + (i < n - 1 ? hora_torch_next(r) % (n - i) : 0), kept = all[i];
        all[i] = all[z];
        all[z] = kept;
        out[i] = all[i];
    }
    hora_free(all);
}
