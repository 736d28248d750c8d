#ifndef HORA_FORMAT_BNB_H
#define HORA_FORMAT_BNB_H
/*
 * Matrices in four bits as bitsandbytes' Linear4bit keeps them in safetensors (NF4, QLoRA's): for a
 * weight N of (out, in)
 *
 *     N                                   (out in / 2, 1) bytes, or as many in another dtype: two
 *                                         codes each, the first in the high nibble, rows end to end
 *     N.absmax                            F32, one a block; or U8 codes of a second level
 *     N.quant_map                         F32 (16), the numbers of the codes
 *     N.nested_absmax, N.nested_quant_map F32, one of 256 blocks; F32 (256): with a second level
 *     N.quant_state.bitsandbytes__nf4     U8, JSON: quant_type blocksize dtype shape, and
 *                                         nested_blocksize nested_offset
 *
 * Source: bitsandbytes, functional.py, QuantState.as_dict and dequantize_4bit.
 */
#include "format/safetensors.h"

/* The parts of such a matrix, all of them views into its file. */
typedef struct hora_bnb {
    const uint8_t *codes;
    const float *scales;  /* one a block; NULL: in two levels */
    const uint8_t *level; /* codes of scales in map, one a block */
    const float *map, *most;
    float offset;
    int64_t values, block, nested; /* how many; of a scale; scales of a number of `most` */
} hora_bnb;

/* Tensors of a set that are such parts become matrices: `parts` is set, and the view tells what
 * hora_bnb_take gives, NF4 where the blocks of 64 are whole in a row, else the dtype of the JSON.
 * Its data stay what they were; the others become `beside`. HORA_EFORMAT naming the tensor for
 * parts that are missing or do not fit; HORA_EUNSUPPORTED for fp4 and for blocks that are no
 * multiple of 64. */
hora_status hora_bnb_gather(hora_st *st);
/* hora_view_bytes of t->view, which has parts. */
hora_status hora_bnb_take(const hora_st_tensor *t, void *to);
#endif
