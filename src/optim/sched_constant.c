/* The learning rate stays as it is (transformers: get_constant_schedule_with_warmup). */
#include "optim/optim.h"

static double factor(const hora_schedule_shape *s, int64_t step) {
    (void)s;
    (void)step;
    return 1;
}

const hora_schedule hora_schedule_constant = {"constant", "stays at lr", factor};
