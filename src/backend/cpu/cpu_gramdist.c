/* Kernels of op_gramdist.c. The Gram matrix is small; its entries go to the threads. */
#include "backend/cpu/cpu_lines.h"

#include <math.h>

typedef struct job {
    const hora_call *c;
    int64_t r, k; /* vectors, and their length */
    float *p, *e; /* (r, k); (r, r), the Gram matrix less I */
} job;

static job job_of(const hora_call *c) {
    const int64_t n = hora_cpu_rows(&c->in[0]), w = hora_cpu_width(&c->in[0]);
    return (job){.c = c, .r = c->attr.w ? w : n, .k = c->attr.w ? n : w, .p = c->scratch};
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const job j = job_of(c);
    (void)d;
    need->scratch = sizeof(float) * (size_t)(j.r * j.k + j.r * j.r);
    return hora_cpu_weights_f32(c, 0, 0);
}

static void gram_row(void *arg, int64_t i, int thread) {
    const job *b = arg;
    (void)thread;
    for (int64_t j = 0; j < b->r; j++) {
        double sum = i == j ? -1 : 0;
        for (int64_t l = 0; l < b->k; l++)
            sum += (double)b->p[i * b->k + l] * (double)b->p[j * b->k + l];
        b->e[i * b->r + j] = (float)sum;
    }
}

static double distance(job *b) {
    const float *x = hora_f32(&b->c->in[0]);
    double sum = 0;
    b->e = b->p + b->r * b->k;
    for (int64_t i = 0; i < b->r; i++)
        for (int64_t l = 0; l < b->k; l++)
            b->p[i * b->k + l] = b->c->attr.w ? x[l * b->r + i] : x[i * b->k + l];
    hora_parallel(b->r, gram_row, b);
    for (int64_t i = 0; i < b->r * b->r; i++)
        sum += (double)b->e[i] * (double)b->e[i];
    return sqrt(sum);
}

static void slope(const job *b, double f) {
    float *to = hora_f32(&b->c->din[0]);
    const bool over = hora_cpu_overwrites(b->c, 0);
    for (int64_t i = 0; i < b->r; i++)
        for (int64_t l = 0; l < b->k; l++) {
            float sum = 0, *y = &to[b->c->attr.w ? l * b->r + i : i * b->k + l];
            for (int64_t j = 0; j < b->r; j++)
                sum += b->e[i * b->r + j] * b->p[j * b->k + l];
            *y = (over ? 0 : *y) + (float)f * sum;
        }
}

static void run(const hora_impl *impl, const hora_call *c) {
    job b = job_of(c);
    const double n = distance(&b);
    (void)impl;
    if (c->phase == HORA_FORWARD)
        *(double *)c->out.data = n;
    else if (hora_cpu_wants(c, 0))
        slope(&b, n > 0 ? 2 * *(const double *)c->dout.data / n : 0);
}

extern const hora_cpu_op hora_cpu_op_gramdist;
const hora_cpu_op hora_cpu_op_gramdist = {query, NULL, run, false, 0};
