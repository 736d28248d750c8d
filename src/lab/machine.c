/*
 * What the machine reaches at the moment, on all threads: products in registers and reading from
 * memory.
 */
#include <stdatomic.h>

#include "backend/cpu/kern.h"
#include "base/rate.h"
#include "base/threads.h"
#include "lab/bench.h"

#define SECONDS 0.3                  /* of each measurement */
#define BLOCK   ((int64_t)256 << 20) /* bytes, several times the caches of most processors */
#define PIECE   ((int64_t)256 << 10) /* bytes */
enum { WORDS = PIECE / sizeof(uint32_t), PIECES = BLOCK / PIECE };

typedef struct sweep {
    const hora_kern_peak *loops;
    uint32_t *at;
    _Atomic unsigned next;           /* piece of the block */
    uint32_t sink[HORA_MAX_THREADS]; /* keeps the reads alive */
} sweep;

static double read_piece(void *arg, int thread) {
    sweep *s = arg;
    unsigned piece = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed) % PIECES;
    s->sink[thread] ^= s->loops->read(s->at + (int64_t)piece * WORDS, WORDS);
    return (double)PIECE;
}

static void touch_piece(void *arg, int64_t tile, int thread) {
    (void)thread;
    memset((char *)arg + tile * PIECE, 1, (size_t)PIECE);
}

static hora_status bandwidth(double *best) {
    sweep s = {.loops = hora_kern_get()->peak};
    void *block;
    HORA_TRY(hora_block_new(&block, (size_t)BLOCK, "measuring the memory"));
    hora_parallel(PIECES, touch_piece, block);
    s.at = block;
    *best = hora_best_rate(SECONDS, read_piece, &s);
    hora_block_free(block, (size_t)BLOCK);
    return HORA_OK;
}

hora_status hora_bench_machine_measure(hora_bench_machine *m, const char *device) {
    hora_device *d;
    HORA_TRY(hora_device_open(&d, device));
    const hora_device_kind *k = hora_device_kind_of(d);
    m->f32_flops = k->flops(d, HORA_F32, SECONDS);
    m->bf16_flops = k->flops(d, HORA_BF16, SECONDS);
    hora_status s = HORA_OK;
    if (k->reads)
        m->read_bytes = k->reads(d, SECONDS);
    else
        s = bandwidth(&m->read_bytes);
    hora_device_free(d);
    return s;
}
