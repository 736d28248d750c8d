/*
 * Lion (arXiv 2302.06675, algorithm 2), the sign of an interpolated momentum:
 *
 *   p <- (1 - lr decay) p,    p <- p - lr sign(b1 m + (1 - b1) g),    m <- b2 m + (1 - b2) g
 *
 * The paper uses b2 = 0.99 and a learning rate three to ten times below AdamW's.
 */
#include "optim/optim.h"

static void update(const hora_update *u, float *restrict p, const float *restrict g,
                   float *restrict m, float *restrict unused, int64_t n) {
    float keep = (float)(1 - u->lr * u->decay), scale = (float)u->scale, lr = (float)u->lr;
    float b1 = (float)u->beta1, c1 = (float)(1 - u->beta1);
    float b2 = (float)u->beta2, c2 = (float)(1 - u->beta2);
    (void)unused;
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * scale, s = b1 * m[i] + c1 * d;
        p[i] = keep * p[i] - lr * (float)((s > 0) - (s < 0));
        m[i] = b2 * m[i] + c2 * d;
    }
}

const hora_optimizer hora_optimizer_lion = {"lion", "sign of momentum", "arXiv 2302.06675",
                                            1,      {"exp_avg", NULL},  update};
