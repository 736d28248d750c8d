#ifndef HORA_BASE_THREADS_H
#define HORA_BASE_THREADS_H
/*
 * The only way to use threads in kernels. `fn` is called once for each tile 0..tiles-1, each by one
 * thread, in any order. Tiles follow from shapes alone, never from the thread count: that is what
 * makes results independent of it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void hora_parallel(int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread), void *arg);
int hora_threads(void);         /* threads that hora_parallel may use; `thread` above is below it */
void hora_threads_limit(int n); /* 0: all cores this process may use                              */
#define HORA_MAX_THREADS 256

/* A thread for other work, to be joined, with signals blocked: those are for the caller's threads.
 * Not the ones that an instruction raises: a thread that blocks them dies without its handler. */
bool hora_thread_start(pthread_t *id, void *(*fn)(void *), void *arg);
#endif
