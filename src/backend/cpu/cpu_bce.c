/* Kernels of op_bce.c. */
#include <math.h>

#include "backend/cpu/cpu_loss.h"

static double loss(double z, double y) {
    return fmax(z, 0) - z * y + log1p(exp(-fabs(z)));
}
static double slope(double z, double y) {
    return 1 / (1 + exp(-z)) - y;
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    hora_cpu_loss(c, loss, slope);
}

extern const hora_cpu_op hora_cpu_op_bce;
const hora_cpu_op hora_cpu_op_bce = {.run = run, .bf16 = true};
