/*
 * The one place that runs threads for kernels: a team of workers that the caller posts a job to.
 * Tiles are claimed one by one by whoever is there; no result may depend on who got which.
 *
 * The caller works too and waits only for workers that have joined the job: one that the system
 * keeps from running joins late or never and delays nobody. That is why this is not an OpenMP
 * region, whose barrier waits for the whole team: on a machine with other work each region then
 * costs milliseconds. Workers spin briefly for the next job, then sleep.
 *
 * A call from inside a tile, or while another thread has the team, runs its tiles on the calling
 * thread.
 */
#include "base/threads.h"

#include <signal.h>
#include <stdatomic.h>

#include "base/cpu.h"
#include "base/mem.h"
#ifdef _OPENMP
#include <omp.h>
#endif

enum { SPINS = 4000 }; /* some tens of microseconds: longer than between the kernels of a step */

typedef struct team {
    pthread_mutex_t busy; /* held by the caller that has the team */
    pthread_mutex_t lock; /* of everything below but the atomics */
    pthread_cond_t posted, finished;
    _Atomic unsigned job; /* number of the job last posted */
    _Atomic int active;   /* workers that have joined it and not left */
    _Atomic int64_t next; /* tile to claim */
    bool open;            /* may still be joined */
    bool over;            /* workers go home */
    int wanted, joined, workers;
    pthread_t id[HORA_MAX_THREADS]; /* of the workers; the caller's alone */
    void (*fn)(void *, int64_t, int);
    void *arg;
    int64_t tiles;
} team;

static team shared = {.busy = PTHREAD_MUTEX_INITIALIZER,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .posted = PTHREAD_COND_INITIALIZER,
                      .finished = PTHREAD_COND_INITIALIZER};
static _Atomic int limit;             /* 0: all cores */
static _Thread_local int inside = -1; /* number of this thread while it runs a tile */

int hora_threads(void) {
    int n = atomic_load_explicit(&limit, memory_order_relaxed);
    return (int)hora_min(n > 0 ? n : hora_cpu_count(), HORA_MAX_THREADS);
}

void hora_threads_limit(int n) {
    atomic_store_explicit(&limit, n > 0 ? n : 0, memory_order_relaxed);
}

/* A library called from a tile that asks OpenMP for its default team gets one thread. Returns the
 * former size. */
static int team_of_libraries(int n) {
#ifdef _OPENMP
    int former = omp_get_max_threads();
    omp_set_num_threads(n);
    return former;
#else
    return n;
#endif
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void claim(team *t, int self) {
    inside = self;
    for (int64_t i; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < t->tiles;)
        t->fn(t->arg, i, self);
    inside = -1;
}

/* Waits for a job after `seen` and joins it if it wants another worker; returns this worker's
 * number in it, 0: it does not, -1: there will be no more. */
static int join(team *t, unsigned *seen) {
    for (int i = 0; i < SPINS && atomic_load_explicit(&t->job, memory_order_acquire) == *seen; i++)
        relax();
    pthread_mutex_lock(&t->lock);
    while (atomic_load_explicit(&t->job, memory_order_relaxed) == *seen)
        pthread_cond_wait(&t->posted, &t->lock);
    *seen = atomic_load_explicit(&t->job, memory_order_relaxed);
    int self = t->over ? -1 : t->open && t->joined < t->wanted ? ++t->joined : 0;
    if (self > 0)
        atomic_fetch_add_explicit(&t->active, 1, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
    return self;
}

static void *work(void *arg) {
    team *t = arg;
    team_of_libraries(1);
    for (unsigned seen = 0;;) {
        int self = join(t, &seen);
        if (self < 0)
            return NULL;
        if (!self)
            continue;
        claim(t, self);
        pthread_mutex_lock(&t->lock);
        if (atomic_fetch_sub_explicit(&t->active, 1, memory_order_release) == 1)
            pthread_cond_signal(&t->finished);
        pthread_mutex_unlock(&t->lock);
    }
}

bool hora_thread_start(pthread_t *id, void *(*fn)(void *), void *arg) {
    static const int raised[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t others, before;
    sigfillset(&others);
    for (size_t i = 0; i < HORA_COUNT(raised); i++)
        sigdelset(&others, raised[i]);
    pthread_sigmask(SIG_BLOCK, &others, &before);
    const bool made = pthread_create(id, NULL, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return made;
}

/* Workers are made when first wanted. */
static void hire(team *t, int n) {
    while (t->workers < n && hora_thread_start(&t->id[t->workers], work, t))
        t->workers++;
}

static void post(team *t, int64_t tiles, void (*fn)(void *, int64_t, int), void *arg, int n) {
    pthread_mutex_lock(&t->lock);
    t->fn = fn;
    t->arg = arg;
    t->tiles = tiles;
    t->open = true;
    t->wanted = n - 1;
    t->joined = 0;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->job, 1, memory_order_release);
    pthread_cond_broadcast(&t->posted);
    pthread_mutex_unlock(&t->lock);
}

static void finish(team *t) {
    pthread_mutex_lock(&t->lock);
    t->open = false;
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < SPINS && atomic_load_explicit(&t->active, memory_order_acquire); i++)
        relax();
    pthread_mutex_lock(&t->lock);
    while (atomic_load_explicit(&t->active, memory_order_acquire))
        pthread_cond_wait(&t->finished, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* In the child of a fork, where only the thread that forked lives on: the parent's workers are not
 * here, nor whoever had the team or its lock, so both would stay taken for ever. A thread that
 * forked from inside a tile still has the team. */
static void start_anew(void) {
    team *t = &shared;
    t->workers = 0;
    t->open = false;
    atomic_store(&t->active, 0);
    atomic_store(&t->job, 0);
    pthread_mutex_init(&t->busy, NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->posted, NULL);
    pthread_cond_init(&t->finished, NULL);
    if (inside == 0)
        pthread_mutex_lock(&t->busy);
}

/* When the library is unloaded no thread may be left in its code; at the end of the process it does
 * no harm. Who ends it during a job does not wait for that. */
__attribute__((destructor)) static void dismiss(void) {
    team *t = &shared;
    if (inside >= 0 || pthread_mutex_trylock(&t->busy) != 0)
        return;
    pthread_mutex_lock(&t->lock);
    t->over = true;
    atomic_fetch_add_explicit(&t->job, 1, memory_order_release);
    pthread_cond_broadcast(&t->posted);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->workers; i++)
        pthread_join(t->id[i], NULL);
    t->workers = 0;
    t->over = false;
    pthread_mutex_unlock(&t->busy);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, start_anew);
}

void hora_parallel(int64_t tiles, void (*fn)(void *arg, int64_t tile, int thread), void *arg) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    team *t = &shared;
    pthread_once(&once, watch_forks);
    int n = (int)hora_min(tiles, hora_threads());
    bool alone = n <= 1 || inside >= 0 || pthread_mutex_trylock(&t->busy) != 0;
    int theirs = inside < 0 ? team_of_libraries(1) : 0;
    if (alone) {
        int self = inside < 0 ? 0 : inside;
        for (int64_t i = 0; i < tiles; i++)
            fn(arg, i, self);
    } else {
        hire(t, n - 1);
        post(t, tiles, fn, arg, n);
        claim(t, 0);
        finish(t);
        pthread_mutex_unlock(&t->busy);
    }
    if (inside < 0)
        team_of_libraries(theirs);
}
