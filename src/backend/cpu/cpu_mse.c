/* Kernels of op_mse.c. */
#include "backend/cpu/cpu_loss.h"

static double loss(double z, double y) {
    return (z - y) * (z - y);
}
static double slope(double z, double y) {
    return 2 * (z - y);
}

static void run(const hora_impl *impl, const hora_call *c) {
    (void)impl;
    hora_cpu_loss(c, loss, slope);
}

extern const hora_cpu_op hora_cpu_op_mse;
const hora_cpu_op hora_cpu_op_mse = {.run = run, .bf16 = true};
