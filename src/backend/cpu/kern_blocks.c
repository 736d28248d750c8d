/* Dequantization of block formats, compiled for each instruction set (tensor/blocks_groups.h). */
#include "tensor/blocks_groups.h"

#include "backend/cpu/kern_vec.h"

static void dequantize(float *y, const void *x, hora_dtype type, int64_t from, int64_t n) {
    (void)hora_dequantize_groups(y, x, type, from, n);
}

const hora_kern_blocks KERN(blocks) = {dequantize};
