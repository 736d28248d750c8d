/* Warm-up, stable, decay (MiniCPM, arXiv 2404.06395): 1 until the last `decay` steps, then half a
 * cosine to the floor, as transformers' get_wsd_schedule does by default. */
#include <math.h>

#include "optim/optim.h"

static double factor(const hora_schedule_shape *s, int64_t step) {
    int64_t start = s->steps - s->decay;
    if (step < start)
        return 1;
    if (step >= s->steps)
        return s->floor;
    double done = (double)(step - start) / (double)hora_max(1, s->decay);
    return s->floor + (1 - s->floor) * 0.5 * (1 + cos(3.14159265358979323846 * done));
}

const hora_schedule hora_schedule_wsd = {"wsd", "stays, then falls to min_lr at the end", factor};
