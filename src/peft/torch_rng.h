#ifndef HORA_PEFT_TORCH_RNG_H
#define HORA_PEFT_TORCH_RNG_H
/*
 * PyTorch's generator on the CPU, for adapters that store a seed instead of what was drawn from it:
 * the Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), 32 bits a draw.
 */
#include <stdint.h>

typedef struct hora_torch_rng {
    uint32_t at[624];
    int used;
} hora_torch_rng;

void hora_torch_seed(hora_torch_rng *r, uint64_t seed); /* torch.Generator().manual_seed */
uint32_t hora_torch_next(hora_torch_rng *r);
/* n floats as tensor.uniform_(-bound, bound) fills them: 24 bits a draw. */
void hora_torch_uniform(hora_torch_rng *r, double bound, double *out, int64_t n);
/* The same of a tensor of bfloat16: rounded, and what rounds to the upper bound is the lower. */
void hora_torch_uniform_bf16(hora_torch_rng *r, double bound, double *out, int64_t n);
/* The first k of torch.randperm(n), for n below 2^32 / 20. */
void hora_torch_randperm(hora_torch_rng *r, int64_t n, int64_t *out, int64_t k);
#endif
