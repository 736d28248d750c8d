/*
 * The one place that starts threads for kernels: OpenMP when the compiler has it, else a loop.
 * Refuses to nest: a call from inside a tile runs its tiles on the calling thread and hands on that
 * thread's number, so per-thread scratch stays private. Tiles are handed out one by one; no result
 * may depend on who got which.
 */
#include "base/threads.h"

#include <stdatomic.h>

#include "base/cpu.h"
#include "base/mem.h"
#ifdef _OPENMP
#include <omp.h>
#endif

static _Atomic int limit; /* 0: all cores */

int hora_threads(void) {
#ifdef _OPENMP
    int n = atomic_load_explicit(&limit, memory_order_relaxed);
    return (int)hora_min(n > 0 ? n : hora_cpu_count(), HORA_MAX_THREADS);
#else
    return 1;
#endif
}

void hora_threads_limit(int n) {
    atomic_store_explicit(&limit, n > 0 ? n : 0, memory_order_relaxed);
}

void hora_parallel(int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread), void *arg) {
    int self = 0;
#ifdef _OPENMP
    int n = (int)hora_min(tiles, hora_threads());
    if (omp_in_parallel()) {
        self = omp_get_thread_num();
    } else {
        /* a library called from a tile that asks OpenMP for its default team gets one thread */
        int theirs = omp_get_max_threads();
        omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(n > 1 ? n : 1)
        for (int64_t i = 0; i < tiles; i++)
            fn(arg, i, omp_get_thread_num());
        omp_set_num_threads(theirs);
        return;
    }
#endif
    for (int64_t i = 0; i < tiles; i++)
        fn(arg, i, self);
}
