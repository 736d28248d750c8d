/*
 * AdamW (arXiv 1711.05101), with torch.optim.AdamW's placement of eps and order of operations:
 *
 *   p <- (1 - lr decay) p
 *   m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
 *   p <- p - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * eps stands outside the square root of the bias-corrected v. Scalars are computed in double and
 * rounded once.
 */
#include <math.h>

#include "optim/optim.h"

static void update(const hora_update *u, float *restrict p, const float *restrict g,
                   float *restrict m, float *restrict v, int64_t n) {
    double t = (double)u->step;
    float keep = (float)(1 - u->lr * u->decay), scale = (float)u->scale, eps = (float)u->eps;
    float b1 = (float)u->beta1, c1 = (float)(1 - u->beta1);
    float b2 = (float)u->beta2, c2 = (float)(1 - u->beta2);
    float size = (float)(u->lr / (1 - pow(u->beta1, t)));
    float root = (float)(1 / sqrt(1 - pow(u->beta2, t)));
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * scale;
        m[i] = b1 * m[i] + c1 * d;
        v[i] = b2 * v[i] + c2 * (d * d);
        p[i] = keep * p[i] - size * (m[i] / (sqrtf(v[i]) * root + eps));
    }
}

const hora_optimizer hora_optimizer_adamw = {
    "adamw", "Adam with decoupled weight decay", "arXiv 1711.05101",
    2,       {"exp_avg", "exp_avg_sq"},          update};
