/* A straight line from 1 to the floor over the steps after warm-up; with floor 0 it is
 * transformers' get_linear_schedule_with_warmup. */
#include "optim/optim.h"

static double factor(const hora_schedule_shape *s, int64_t step) {
    double left = (double)(s->steps - step) / (double)hora_max(1, s->steps - s->warmup);
    return s->floor + (1 - s->floor) * (left > 0 ? left : 0);
}

const hora_schedule hora_schedule_linear = {"linear", "falls in a line to min_lr", factor};
