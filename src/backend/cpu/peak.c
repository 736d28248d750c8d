/*
 * The yardstick of MFU: multiply-adds per second that all threads together reach in registers. An
 * upper bound that no real step reaches.
 */
#include "backend/backend.h"
#include "backend/cpu/kern.h"
#include "base/cpu.h"
#include "base/rate.h"
#include "base/threads.h"

enum { ROUNDS = 2000 }; /* some ten microseconds */

typedef struct peak_job {
    const hora_kern_loop *loop;
    float sink[HORA_MAX_THREADS]; /* keeps the loops alive */
} peak_job;

static double one_round(void *arg, int thread) {
    peak_job *job = arg;
    job->sink[thread] += job->loop->run(ROUNDS);
    return job->loop->flops * ROUNDS;
}

double hora_peak_flops(hora_dtype dtype, double seconds) {
    const hora_kern_peak *k = hora_kern_get()->peak;
    peak_job job = {.loop = &k->f32};
    if (dtype == HORA_BF16 && k->bf16.run)
        job.loop = &k->bf16;
    if (dtype == HORA_BF16 && k->tiles.run && hora_cpu_isa() >= HORA_ISA_AMX)
        job.loop = &k->tiles;
    return job.loop->run ? hora_best_rate(seconds, one_round, &job) : 0;
}
