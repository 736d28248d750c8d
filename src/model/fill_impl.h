#ifndef HORA_MODEL_FILL_IMPL_H
#define HORA_MODEL_FILL_IMPL_H
/* Values of weights that do not stay where they lie in a file. */
#include "nn/base.h"

/* Fills w->view from a tensor of its shape: converted, or quantized where the view is in blocks and
 * the tensor is not. head_dim: the tensor's rows lie pair by pair in such heads; 0: as they are.
 * HORA_ENUMERIC naming the weight for a value that cannot be quantized. */
hora_status hora_weight_fill(const hora_weight *w, const hora_view *from, int64_t head_dim);
#endif
