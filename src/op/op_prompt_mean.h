#ifndef HORA_OP_PROMPT_MEAN_H
#define HORA_OP_PROMPT_MEAN_H
/* Which rows of a segment are its prompt. */
#include "op/op_tokenmix.h"

/* The end of the prompt of the segment [from, to): behind the first row with a target, whose answer
 * begins in the next; the segment's where there is no target, or rows see each other both ways. */
static inline int64_t hora_prompt_end(const hora_batch *b, int64_t from, int64_t to) {
    if (b->hi[from] > from + 1)
        return to;
    for (int64_t i = from; i < to; i++)
        if (b->target[i] >= 0)
            return i + 1;
    return to;
}
#endif
