#ifndef HORA_MODEL_FILL_IMPL_H
#define HORA_MODEL_FILL_IMPL_H
/* Values of weights that do not stay where they lie in a file. */
#include "format/safetensors.h"
#include "nn/base.h"

/* Fills w->view from a tensor of its shape: converted, or quantized where the view is in blocks and
 * the tensor is not. head_dim: the tensor's rows lie pair by pair in such heads; 0: as they are.
 * HORA_ENUMERIC naming the weight for a value that cannot be quantized. */
hora_status hora_weight_fill(const hora_weight *w, const hora_view *from, int64_t head_dim);

/* Values that no file has: norms are 1, biases 0, the rest normal with init_std, each number drawn
 * by its place, whatever the threads. */
void hora_weight_draw(const hora_weight *w, uint64_t seed);

/* blocks_cache.c: quantized matrices beside the model. Zeroed before; released also after a
 * failure. */
typedef struct hora_blocks_cache {
    char *path, *of; /* NULL: not asked for */
    hora_st *st;     /* NULL: they are to be made and written */
} hora_blocks_cache;
/* HORA_EUSAGE for a file of that name that hora did not write. */
hora_status hora_blocks_cache_open(hora_blocks_cache *c, const hora_base *b, hora_st *source,
                                   hora_dtype type, bool double_quant);
const void *hora_blocks_cache_find(const hora_blocks_cache *c, const hora_weight *w); /* or NULL */
/* Atomic; a failure is a warning. */
void hora_blocks_cache_write(const hora_blocks_cache *c, const hora_base *b);
void hora_blocks_cache_release(hora_blocks_cache *c);
#endif
