/* Half a cosine from 1 to the floor over the steps after warm-up (SGDR, arXiv 1608.03983, without
 * restarts); with floor 0 it is transformers' get_cosine_schedule_with_warmup. */
#include <math.h>

#include "optim/optim.h"

static double factor(const hora_schedule_shape *s, int64_t step) {
    double done = (double)(step - s->warmup) / (double)hora_max(1, s->steps - s->warmup);
    return s->floor + (1 - s->floor) * 0.5 * (1 + cos(3.14159265358979323846 * fmin(1, done)));
}

const hora_schedule hora_schedule_cosine = {"cosine", "falls in half a cosine to min_lr", factor};
