/* Memory, threads, processor, log: what the rest of hora takes for granted of the system. */
#include "hora_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/rate.h"
#include "base/threads.h"

static void strings_grow(void **state) {
    (void)state;
    hora_str s = {0};
    for (int i = 0; i < 1000; i++)
        hora_str_printf(&s, "%d,", i);
    assert_int_equal(s.n, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(s.s), s.n);
    assert_true(strstr(s.s, "998,999,") != NULL);
    hora_str_release(&s);
    assert_null(s.s);
    char *cut = hora_strndup("abc", 2), *whole = hora_strndup("abc", 9);
    char *text = hora_format("%s-%d", cut, 5);
    assert_string_equal(text, "ab-5");
    assert_string_equal(whole, "abc");
    hora_free(cut);
    hora_free(whole);
    hora_free(text);
}

static void allocations_are_counted(void **state) {
    (void)state;
    int *list = NULL, n = 0, cap = 0;
    uint64_t before = hora_alloc_count();
    for (int i = 0; i < 8; i++)
        HORA_PUSH(list, n, cap, i);
    assert_int_equal(hora_alloc_count() - before, 1);
    HORA_PUSH(list, n, cap, 8);
    assert_int_equal(hora_alloc_count() - before, 2);
    assert_int_equal(list[8], 8);
    hora_free(list);
    void *p;
    assert_ok(hora_block_new(&p, 100, "test"));
    assert_int_equal(hora_alloc_count() - before, 3);
    hora_block_free(p, 100);
}

static void blocks(void **state) {
    (void)state;
    void *p = NULL;
    const size_t n = (size_t)9 << 20;
    assert_ok(hora_block_new(&p, n, "test"));
    assert_int_equal((uintptr_t)p % 64, 0);
    for (size_t i = 0; i < n; i += 4096)
        assert_int_equal(((unsigned char *)p)[i], 0);
    memset(p, 1, n);
    hora_block_free(p, n);
    hora_block_free(NULL, n);
    assert_ok(hora_block_new(&p, 0, "nothing"));
    hora_block_free(p, 0);
    assert_fails(hora_block_new(&p, SIZE_MAX / 2, "arena"), HORA_ENOMEM, "arena: ");
    assert_null(p);
}

static void memory_is_known(void **state) {
    (void)state;
    size_t available = hora_memory_available(), now = hora_rss();
    assert_true(available == 0 || available > 4096);
    if (!now)
        hora_test_skip("this system does not tell the resident size");
    assert_true(hora_rss_peak() >= now / 2);
    void *p;
    const size_t n = (size_t)64 << 20;
    assert_ok(hora_block_new(&p, n, "test"));
    memset(p, 1, n);
    assert_true(hora_rss() > now + n / 2);
    hora_block_free(p, n);
    assert_true(hora_rss() < now + n / 2);
    assert_true(hora_rss_peak() > now + n / 2);
    if (hora_rss_peak_reset())
        assert_true(hora_rss_peak() < now + n / 2);
}

static double one(void *arg, int thread) {
    (void)thread;
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 2;
}

static double slow(void *arg, int thread) {
    (void)arg, (void)thread;
    const double until = hora_now() + 0.02;
    while (hora_now() < until)
        continue;
    return 1;
}

/* The first call of every thread is kept from the core until the time is over. */
static double kept_away(void *arg, int thread) {
    (void)thread;
    if (atomic_fetch_add((_Atomic int *)arg, 1) < hora_threads())
        slow(NULL, 0);
    return 1;
}

static void rates(void **state) {
    (void)state;
    _Atomic int calls = 0;
    assert_true(hora_best_rate(0.02, one, &calls) > 0 && calls > 0);
    assert_true(hora_best_rate(0, one, &calls) == 0);
    assert_true(hora_best_rate(0.004, slow, &calls) > 0); /* no piece ends in time */
    calls = 0;
    assert_true(hora_best_rate(0.004, kept_away, &calls) > 0);
    assert_true(calls > hora_threads()); /* tried again */
}

enum { TILES = 1000 };
typedef struct job {
    int hits[TILES], thread[TILES];
    int inner[TILES];
} job;

static void count_tile(void *arg, int64_t tile, int thread) {
    job *j = arg;
    j->hits[tile]++;
    j->thread[tile] = thread;
}

static void inner_tile(void *arg, int64_t tile, int thread) {
    int *seen = arg;
    seen[tile] = thread;
}

static void outer_tile(void *arg, int64_t tile, int thread) {
    job *j = arg;
    int seen[5] = {-1, -1, -1, -1, -1};
    hora_parallel(5, inner_tile, seen);
    j->inner[tile] = 0;
    for (int i = 0; i < 5; i++)
        j->inner[tile] += seen[i] == thread;
}

static void each_tile_once(void **state) {
    (void)state;
    static const int limits[] = {1, 2, 3, 8, 0};
    job *j = hora_malloc(sizeof *j);
    for (size_t k = 0; k < HORA_COUNT(limits); k++) {
        memset(j, 0, sizeof *j);
        hora_threads_limit(limits[k]);
        assert_in_range(hora_threads(), 1, HORA_MAX_THREADS);
        hora_parallel(0, count_tile, j);
        hora_parallel(TILES, count_tile, j);
        for (int i = 0; i < TILES; i++) {
            assert_int_equal(j->hits[i], 1);
            assert_in_range(j->thread[i], 0, hora_threads() - 1);
        }
        hora_parallel(TILES, outer_tile, j); /* nested: serial, on the same thread number */
        for (int i = 0; i < TILES; i++)
            assert_int_equal(j->inner[i], 5);
    }
    hora_threads_limit(0);
    hora_free(j);
}

/* --- fork ------------------------------------------------------------------------------------- */
static _Atomic int holding, release;
static _Atomic int met;

static void hold_tile(void *arg, int64_t tile, int thread) {
    (void)arg;
    (void)tile;
    (void)thread;
    atomic_store(&holding, 1);
    while (!atomic_load(&release))
        usleep(1000);
}

static void *hold_team(void *arg) {
    hora_parallel(2, hold_tile, NULL);
    return arg;
}

/* Two tiles that meet are run by two threads; alone, the first gives up in the end. */
static void meet_tile(void *arg, int64_t tile, int thread) {
    (void)arg;
    (void)tile;
    (void)thread;
    atomic_fetch_add(&met, 1);
    for (int i = 0; i < 10000 && atomic_load(&met) < 2; i++)
        usleep(1000);
    if (atomic_load(&met) < 2)
        _exit(1);
}

static void fork_finds_a_team(void **state) {
    (void)state;
    pthread_t id;
    int status = -1;
    hora_threads_limit(2);
    assert_int_equal(pthread_create(&id, NULL, hold_team, NULL), 0);
    while (!atomic_load(&holding))
        usleep(1000);
    pid_t child = fork(); /* while the other thread has the team */
    if (child == 0) {
        hora_parallel(2, meet_tile, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    atomic_store(&release, 1);
    assert_int_equal(pthread_join(id, NULL), 0);
    hora_threads_limit(0);
    assert_int_equal(status, 0);
}

/* Two tiles that wait for each other, so that a worker runs one; what each thread blocks. */
static void mask_tile(void *arg, int64_t tile, int thread) {
    sigset_t *blocked = arg;
    (void)thread;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked[tile]);
    atomic_fetch_add(&met, 1);
    while (atomic_load(&met) < 2)
        usleep(1000);
}

/* A thread that blocks the signal of its own fault ends the process before a handler can speak. */
static void workers_leave_faults_to_handlers(void **state) {
    (void)state;
    sigset_t blocked[2];
    int workers = 0;
    hora_threads_limit(2);
    atomic_store(&met, 0);
    hora_parallel(2, mask_tile, blocked);
    hora_threads_limit(0);
    for (int i = 0; i < 2; i++) {
        workers += sigismember(&blocked[i], SIGTERM);
        assert_false(sigismember(&blocked[i], SIGBUS));
        assert_false(sigismember(&blocked[i], SIGSEGV));
        assert_false(sigismember(&blocked[i], SIGFPE));
        assert_false(sigismember(&blocked[i], SIGILL));
    }
    assert_int_equal(workers, 1);
}

static void processor(void **state) {
    (void)state;
    hora_isa isa = hora_cpu_isa();
    assert_in_range(isa, HORA_ISA_PORTABLE, HORA_ISA_AMX);
    assert_in_range(hora_cpu_count(), 1, 100000);
    assert_true(strlen(hora_cpu_model()) > 0);
    assert_string_equal(hora_isa_name(HORA_ISA_AVX512_BF16), "avx512_bf16");
#if defined(__x86_64__) && defined(__GNUC__)
    /* The compiler's own view of the processor. */
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    assert_int_equal(strstr(hora_cpu_features(), "avx2") != NULL, !!__builtin_cpu_supports("avx2"));
    if (!getenv("HORA_ISA")) {
        assert_int_equal(isa >= HORA_ISA_AVX2, avx2);
        assert_int_equal(isa >= HORA_ISA_AVX512, avx512);
    }
#endif
}

static void keep(void *user, int level, const char *text) {
    hora_str_printf(user, "[%d %s]", level, text);
}

/* A sink whose work makes the library speak hears itself, and does not wait for itself. */
static void echo(void *user, int level, const char *text) {
    int *heard = user;
    (void)level;
    if (++*heard == 1)
        hora_warn("again: %s", text);
}

static void log_goes_to_the_sink(void **state) {
    (void)state;
    hora_str s = {0};
    hora_log_sink(keep, &s);
    hora_warn("low %s", "disk");
    hora_log(HORA_LOG_DEBUG, "hidden");
    hora_log_threshold(HORA_LOG_ERROR);
    hora_info("hidden too");
    hora_log(HORA_LOG_ERROR, "bad");
    hora_log_threshold(HORA_LOG_INFO);
    hora_log_sink(NULL, NULL);
    assert_string_equal(s.s, "[1 low disk][0 bad]");
    int heard = 0;
    hora_log_sink(echo, &heard);
    hora_warn("x");
    hora_log_sink(NULL, NULL);
    assert_int_equal(heard, 2);
    hora_str_release(&s);
    double a = hora_now(), b = hora_now();
    assert_true(b >= a);
}

HORA_TESTS(unit_system, {"strings grow", strings_grow, HORA_SHORT},
           {"allocations are counted", allocations_are_counted, HORA_SHORT},
           {"blocks are zero and aligned", blocks, HORA_SHORT},
           {"memory is known", memory_is_known, HORA_MEDIUM},
           {"each tile runs once", each_tile_once, HORA_SHORT},
           {"the child of a fork has a team", fork_finds_a_team, HORA_SHORT},
           {"workers leave faults to handlers", workers_leave_faults_to_handlers, HORA_SHORT},
           {"peak-zero-on-busy-machine: rates are sums over all threads", rates, HORA_SHORT},
           {"the processor is known", processor, HORA_SHORT},
           {"log goes to the sink", log_goes_to_the_sink, HORA_SHORT});
