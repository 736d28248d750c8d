/*
 * Learning-rate schedules: the registry and the warm-up that all share. A factor is a function of
 * the step alone, so resuming needs no state.
 */
#include "optim/optim.h"

#include <math.h>

#define SCHEDULE(x) extern const hora_schedule hora_schedule_##x;
#include "optim/schedules.def"
#undef SCHEDULE

static const hora_schedule *const rows[] = {
#define SCHEDULE(x) &hora_schedule_##x,
#include "optim/schedules.def"
#undef SCHEDULE
};

const char hora_schedule_list[] = ""
#define SCHEDULE(x) " " #x
#include "optim/schedules.def"
#undef SCHEDULE
    ;

int hora_schedule_count(void) {
    return (int)HORA_COUNT(rows);
}

const hora_schedule *hora_schedule_at(int i) {
    return rows[i];
}

int64_t hora_schedule_warmup(double warmup, int64_t steps) {
    double n = ceil(warmup < 1 ? warmup * (double)steps : warmup);
    return n < (double)steps ? (int64_t)n : steps;
}

double hora_schedule_factor(const hora_schedule *s, const hora_schedule_shape *shape,
                            int64_t step) {
    if (step < shape->warmup)
        return (double)step / (double)hora_max(1, shape->warmup);
    return s->factor(shape, step);
}
