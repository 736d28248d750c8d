#ifndef HORA_BACKEND_CPU_CPU_MIX_H
#define HORA_BACKEND_CPU_CPU_MIX_H
/*
 * Attention whose maps are recombined over the heads (op_mix_attention.c), block of query rows by
 * block: the maps of all heads of a block lie in memory together, and heads go to the threads. All
 * in f32; bf16 is widened.
 */
#include "backend/cpu/cpu_impl.h"

typedef struct hora_mix {
    const hora_call *c;
    int threads;
    int64_t rows, keys; /* most */
    const hora_view *k, *v, *m;
    int64_t first; /* number of row 0 among the keys */
    void *scratch;
} hora_mix;

/* f32 or bf16 for rows, f32 or bf16 for m. */
bool hora_mix_takes(const hora_call *c, const hora_view *m);
size_t hora_mix_scratch(const hora_mix *x);
/* Forward, or for op mix_attention backward, of c->phase. */
void hora_mix_run(const hora_mix *x);
/* New rows into the caches, inputs 3 and 4: cpu_cached_attention.c. */
void hora_cpu_append(const hora_call *c);
#endif
