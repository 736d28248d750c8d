/* Bins are private to a thread and added at the end: counting costs the threads nothing. */
#include "base/rate.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/threads.h"

#define BIN 2e-3 /* seconds: shorter than a time slice of the system, many times a piece */

typedef struct race {
    double (*work)(void *, int);
    void *arg;
    double started;
    int bins;
    double *done; /* (threads, bins) */
} race;

static void run(void *arg, int64_t tile, int thread) {
    const race *r = arg;
    double *mine = r->done + tile * r->bins;
    for (;;) {
        double amount = r->work(r->arg, thread);
        int bin = (int)((hora_now() - r->started) / BIN);
        if (bin >= r->bins)
            return;
        mine[bin] += amount;
    }
}

double hora_best_rate(double seconds, double (*work)(void *arg, int thread), void *arg) {
    const int threads = hora_threads();
    race r = {.work = work, .arg = arg, .bins = (int)(seconds / BIN)};
    double best = 0;
    r.done = hora_calloc((size_t)threads * (size_t)r.bins + 1, sizeof *r.done);
    r.started = hora_now();
    hora_parallel(threads, run, &r);
    for (int b = 0; b < r.bins; b++) {
        double sum = 0;
        for (int t = 0; t < threads; t++)
            sum += r.done[t * r.bins + b];
        best = sum > best ? sum : best;
    }
    hora_free(r.done);
    return best / BIN;
}
