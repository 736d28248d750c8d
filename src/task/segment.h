#ifndef HORA_TASK_SEGMENT_H
#define HORA_TASK_SEGMENT_H
/* Maps of classes from the logits of task segment. */
#include "op/op_segment.h"
#include "task/tally.h"
#include "tensor/vision.h"

/* The cells of a picture of v, and where they lie in its rows. */
hora_mesh hora_segment_mesh(const hora_objective *o, const hora_vision *v);
/* The class of pixel (y, x) of a picture of high x wide from the logits z of its rows; room: k
 * floats. */
int32_t hora_segment_guess(const hora_mesh *m, const float *z, int64_t y, int64_t x, int64_t high,
                           int64_t wide, float *room);
#endif
