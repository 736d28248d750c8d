/* Kernels of op_divergence.c; rows go to the threads, sums of rows are added in order. */
#include <math.h>

#include "backend/cpu/cpu_lines.h"

enum { ROWS = 8 };

/* Two rows, two spare ones. */
static int64_t room(const hora_call *c) {
    return 4 * hora_cpu_width(&c->in[0]);
}
static size_t sums_bytes(const hora_call *c) {
    return c->phase == HORA_FORWARD ? (size_t)hora_cpu_rows(&c->in[0]) * sizeof(double) : 0;
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, room(c)) + sums_bytes(c);
    return c->in[0].dtype == c->in[1].dtype;
}

typedef struct job {
    const hora_call *c;
    double *sums; /* of each row */
} job;

static double lse(const float *z, int64_t k) {
    float most = -INFINITY;
    double sum = 0;
    for (int64_t j = 0; j < k; j++)
        most = fmaxf(most, z[j]);
    for (int64_t j = 0; j < k; j++)
        sum += exp((double)z[j] - (double)most);
    return (double)most + log(sum);
}

static void row(const job *b, int64_t i, float *own) {
    const hora_call *c = b->c;
    const int64_t k = hora_cpu_width(&c->in[0]);
    const double w = (double)c->batch->weight[i];
    const float *z = hora_cpu_line(&c->in[0], i * k, k, own);
    const float *t = hora_cpu_line(&c->in[1], i * k, k, own + k);
    const double p = w != 0 ? lse(z, k) : 0, q = w != 0 ? lse(t, k) : 0;
    float *dz = own + 2 * k;
    double sum = 0;
    if (c->phase == HORA_FORWARD) {
        for (int64_t j = 0; w != 0 && j < k; j++)
            sum += exp((double)t[j] - q) * (((double)t[j] - q) - ((double)z[j] - p));
        b->sums[i] = w * sum;
        return;
    }
    const double s = *(const double *)c->dout.data * c->batch->scale * w;
    for (int64_t j = 0; j < k; j++)
        dz[j] = w != 0 ? (float)(s * (exp((double)z[j] - p) - exp((double)t[j] - q))) : 0;
    hora_cpu_put_line(&c->din[0], i * k, k, dz, hora_cpu_overwrites(c, 0), own + 3 * k);
}

static void some_rows(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const int64_t n = hora_cpu_rows(&b->c->in[0]);
    float *own = hora_cpu_own(b->c, thread, room(b->c));
    for (int64_t i = tile * ROWS; i < hora_min(n, (tile + 1) * ROWS); i++)
        row(b, i, own);
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    const int64_t n = hora_cpu_rows(&c->in[0]);
    job b = {c, NULL};
    b.sums = (double *)(void *)hora_cpu_own(c, threads, room(c));
    if (c->phase == HORA_BACKWARD && !hora_cpu_wants(c, 0))
        return;
    hora_cpu_parallel(threads, hora_ceil_div(n, ROWS), some_rows, &b);
    double sum = 0;
    for (int64_t i = 0; c->phase == HORA_FORWARD && i < n; i++)
        sum += b.sums[i];
    if (c->phase == HORA_FORWARD)
        *(double *)c->out.data = c->batch->scale * sum;
}

extern const hora_cpu_op hora_cpu_op_divergence;
const hora_cpu_op hora_cpu_op_divergence = {query, hora_cpu_count_threads, run, true, 0};
