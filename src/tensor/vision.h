#ifndef HORA_TENSOR_VISION_H
#define HORA_TENSOR_VISION_H
/*
 * How a picture, or a clip of frames, becomes rows. It is cut into pieces of tubelet x patch x
 * patch. Its segment: `heads` rows of tokens of their own, then the pieces, time by time, row by
 * row, column by column; what of a side makes no whole piece is left out. Leaf `patch` holds a
 * piece's values as (channel, time, row, column), zeros in the other rows; leaf `ids` what a row
 * is: 0 a piece, 1, 2, .. the tokens in front, -slots .. -1 rows for adapters between these and the
 * pieces; `pos` its place in the table of positions, in which
 * the first `placed` tokens come first, or -1.
 */
#include "tensor/tensor.h"

typedef struct hora_vision {
    int64_t channels, frames, height, width, patch, tubelet;
    int64_t heads, placed;
    int64_t slots; /* rows for adapters */
    bool fixed;    /* positions of no other size are known */
} hora_vision;
int64_t hora_vision_rows(const hora_vision *v);    /* of a segment */
int64_t hora_vision_columns(const hora_vision *v); /* of a piece */
int64_t hora_vision_values(const hora_vision *v);  /* of a picture: frames channels height width */
/* ids and pos of a segment. */
void hora_vision_pattern(const hora_vision *v, int32_t *ids, int32_t *pos);
/* rows (hora_vision_rows, hora_vision_columns) of leaf `patch` from values (frames, channels,
 * height, width). */
void hora_vision_cut(const hora_vision *v, const float *values, float *rows);
/* HORA_EUSAGE for a picture of another size that the model cannot take; else it becomes v's. */
hora_status hora_vision_resize(hora_vision *v, int64_t frames, int64_t height, int64_t width);
#endif
