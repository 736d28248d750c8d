#ifndef HORA_TENSOR_BLOCKS_H
#define HORA_TENSOR_BLOCKS_H
/*
 * Quantized numbers in blocks: a fixed number of values of one row share scales and lie together in
 * a fixed number of bytes. Source of the layouts: ggml (github.com/ggml-org/ggml, src/ggml-common.h
 * and ggml-quants.c); Q4_K and its kin are "k-quants", 256 values in sub-blocks of 16 or 32 whose
 * scales are quantized in turn.
 */
#include "tensor/tensor.h"

/* `n` values, whole blocks, to f32: the numbers of ggml's own dequantization, to the bit. y and x
 * need no alignment. type must be a block dtype. */
void hora_dequantize(float *y, const void *x, hora_dtype type, int64_t n);
/* `n` values, whole blocks, to Q8_0, Q4_0 or Q5_0 (the bits of ggml's reference quantizers) or Q4_K
 * (a search of our own). HORA_EUNSUPPORTED for other types; HORA_ENUMERIC for a value that is not
 * finite or too large for a scale in f16. */
hora_status hora_quantize(void *y, hora_dtype type, const float *x, int64_t n);
/* Into `type` can be quantized. */
bool hora_can_quantize(hora_dtype type);
/* The type of a matrix with rows of `width` where `want` is asked for: itself where they are whole
 * blocks, else what llama.cpp takes (llama-quant.cpp: Q4_K becomes Q5_0), at last F16. */
hora_dtype hora_blocks_that_fit(hora_dtype want, int64_t width);
#endif
