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
/* `n` values, whole blocks, to Q8_0, Q4_0 or Q5_0 (the bits of ggml's reference quantizers), NF4
 * (bitsandbytes' bits) or Q4_K (a search of our own). HORA_EUNSUPPORTED for other types;
 * HORA_ENUMERIC for a value that is not finite or too large for a scale in f16. */
hora_status hora_quantize(void *y, hora_dtype type, const float *x, int64_t n);
/* Double quantization of NF4: what the 256 codes of a second-level scale stand for (bitsandbytes'
 * map, ascending), and one such scale. */
void hora_nf4_dynamic_map(float map[256]);
float hora_nf4_second(const float map[256], uint8_t code, float most, float offset);
/* The scales of a whole tensor of NF4 blocks rounded to 8 bits, in place. codes (blocks) and
 * largest (one for 256 blocks) get the second level where they are not NULL; returns its offset. */
float hora_nf4_round_scales(void *y, int64_t blocks, uint8_t *codes, float *largest);
/* Into `type` can be quantized. */
bool hora_can_quantize(hora_dtype type);
/* The type of a matrix with rows of `width` where `want` is asked for: itself where they are whole
 * blocks, else what llama.cpp takes (llama-quant.cpp: Q4_K becomes Q5_0), at last F16. */
hora_dtype hora_blocks_that_fit(hora_dtype want, int64_t width);
#endif
