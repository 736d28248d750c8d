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
 *
 * A clip for a model of pictures is in one of two forms, whose positions say nothing of time.
 * Apart: every frame has the rows of a picture, which see none of another's. Joint: one segment
 * with tokens in front once, where every row sees the pieces of all frames.
 */
#include "tensor/tensor.h"

typedef struct hora_vision {
    int64_t channels, frames, height, width, patch, tubelet;
    int64_t heads, placed;
    int64_t slots; /* rows for adapters */
    bool fixed;    /* positions are those of whole clips, and no other size is known */
    bool joint;    /* frames of a clip see each other where !fixed */
} hora_vision;
bool hora_vision_apart(const hora_vision *v);      /* a clip whose frames are pictures each */
int64_t hora_vision_rows(const hora_vision *v);    /* of a picture or a whole clip */
int64_t hora_vision_segment(const hora_vision *v); /* of what sees each other */
int64_t hora_vision_columns(const hora_vision *v); /* of a piece */
int64_t hora_vision_values(const hora_vision *v);  /* of a picture: frames channels height width */
/* ids and pos of a segment. */
void hora_vision_pattern(const hora_vision *v, int32_t *ids, int32_t *pos);
/* rows (hora_vision_rows, hora_vision_columns) of leaf `patch` from values (frames, channels,
 * height, width). */
void hora_vision_cut(const hora_vision *v, const float *values, float *rows);
/* Which rows [lo, hi) those of a picture or clip see that begins at row `from`. */
void hora_vision_ranges(const hora_vision *v, int64_t from, int32_t *lo, int32_t *hi);
/* Makes a model of pictures read clips of that many frames. HORA_EUSAGE for one of clips, whose
 * number of frames is its own. */
hora_status hora_vision_clips(hora_vision *v, int64_t frames, bool joint);
/* HORA_EUSAGE for a picture of another size that the model cannot take; else it becomes v's. */
hora_status hora_vision_resize(hora_vision *v, int64_t frames, int64_t height, int64_t width);
#endif
