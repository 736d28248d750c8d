/*
 * Stochastic gradient descent with momentum, weight decay decoupled as in AdamW:
 *
 *   p <- (1 - lr decay) p,    m <- momentum m + g,    p <- p - lr m
 *
 * m starts at zero, so the first step is a plain one (torch.optim.SGD with dampening 0).
 */
#include "optim/optim.h"

static void update(const hora_update *u, float *restrict p, const float *restrict g,
                   float *restrict m, float *restrict unused, int64_t n) {
    float keep = (float)(1 - u->lr * u->decay), scale = (float)u->scale;
    float momentum = (float)u->momentum, lr = (float)u->lr;
    (void)unused;
    for (int64_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + g[i] * scale;
        p[i] = keep * p[i] - lr * m[i];
    }
}

const hora_optimizer hora_optimizer_sgd = {
    "sgd", "gradient descent with momentum", NULL, 1, {"momentum", NULL}, update};
