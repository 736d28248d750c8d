/* Bins are private to a thread and added at the end: counting costs the threads nothing. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/rate.h"

#include <math.h>
#include <time.h>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/threads.h"

#define BIN    2e-3 /* seconds: shorter than a time slice of the system, many times a piece */
#define ENOUGH 0.95 /* of perfect scaling */
enum { TRIES = 5 };

typedef struct race {
    double (*work)(void *, int);
    void *arg;
    double started;
    int bins;
    bool pinned;   /* there is a thread for every core */
    double *done;  /* (threads, bins) */
    double *whole; /* (threads): best rate in its own processor time */
} race;

/* Seconds that this thread has run, without those it waited for a core. */
static double own_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void repeat(const race *r, int64_t tile, int thread) {
    double *mine = r->done + tile * r->bins;
    const double began = own_time();
    for (double sum = 0;;) {
        double amount = r->work(r->arg, thread);
        int bin = (int)((hora_now() - r->started) / BIN);
        sum += amount;
        if (bin < r->bins) {
            mine[bin] += amount;
            continue;
        }
        const double passed = own_time() - began, rate = passed > 0 ? sum / passed : 0;
        r->whole[tile] = rate > r->whole[tile] ? rate : r->whole[tile];
        return;
    }
}

/* A busy system may leave two threads on one core for seconds: each gets its own for a while. */
static void run(void *arg, int64_t tile, int thread) {
    const race *r = arg;
#ifdef __linux__
    cpu_set_t before, own;
    int64_t nth = tile;
    if (r->pinned && !pthread_getaffinity_np(pthread_self(), sizeof before, &before)) {
        CPU_ZERO(&own);
        for (size_t c = 0; c < CPU_SETSIZE; c++)
            if (CPU_ISSET(c, &before) && nth-- == 0)
                CPU_SET(c, &own);
        pthread_setaffinity_np(pthread_self(), sizeof own, &own);
        repeat(r, tile, thread);
        pthread_setaffinity_np(pthread_self(), sizeof before, &before);
        return;
    }
#endif
    repeat(r, tile, thread);
}

/* What counts on a machine so busy that no bin was a thread's own. */
static double overall(const race *r, int threads) {
    double sum = 0;
    for (int t = 0; t < threads; t++)
        sum += r->whole[t];
    return sum;
}

/* The fullest bin of all threads, and of any one of them. */
static void look(const race *r, int threads, double *all, double *one) {
    for (int b = 0; b < r->bins; b++) {
        double sum = 0;
        for (int t = 0; t < threads; t++) {
            double mine = r->done[t * r->bins + b];
            sum += mine;
            *one = mine > *one ? mine : *one;
        }
        *all = sum > *all ? sum : *all;
    }
}

double hora_best_rate(double seconds, double (*work)(void *arg, int thread), void *arg) {
    const int threads = hora_threads();
    race r = {.work = work, .arg = arg, .bins = (int)(seconds / BIN)};
    const size_t n = (size_t)threads * (size_t)r.bins;
    double all = 0, one = 0;
    r.pinned = threads == hora_cpu_count();
    r.done = hora_calloc(n + 1, sizeof *r.done);
    r.whole = hora_calloc((size_t)threads, sizeof *r.whole);
    for (int try = 0; try < TRIES && (all == 0 || all < ENOUGH * one * threads); try++) {
        memset(r.done, 0, n * sizeof *r.done);
        r.started = hora_now();
        hora_parallel(threads, run, &r);
        look(&r, threads, &all, &one);
    }
    const double rate = r.bins ? fmax(all / BIN, overall(&r, threads)) : 0;
    hora_free(r.done);
    hora_free(r.whole);
    return rate;
}
