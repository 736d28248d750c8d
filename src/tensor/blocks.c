/* Dequantization of block formats for everyone; kernels compile the same groups for themselves. */
#include "tensor/blocks.h"

#include "tensor/blocks_groups.h"

void hora_dequantize(float *y, const void *x, hora_dtype type, int64_t n) {
    const bool known = hora_dequantize_groups(y, x, type, 0, n);
    HORA_ASSERT(known && n % hora_dtype_block(type) == 0);
    (void)known;
}

double hora_block_value(const void *x, hora_dtype type, int64_t i) {
    float group[HORA_GROUP];
    (void)hora_dequantize_groups(group, x, type, i / HORA_GROUP * HORA_GROUP, HORA_GROUP);
    return (double)group[i % HORA_GROUP];
}
