#ifndef HORA_LAB_BENCH_IMPL_H
#define HORA_LAB_BENCH_IMPL_H
/* What bench.c measured and report.c prints. */
#include "lab/bench.h"

enum { MAX_OPS = 96 }; /* kinds of calls in a breakdown */

typedef struct bench_result {
    char name[64];               /* of the shape, or of the model's folder */
    const hora_adapter *adapter; /* borrowed, with method and options */
    hora_dtype dtype;
    int threads;
    int64_t batch_size, seq_len, grad_accum;
    int ranks;
    double comm_seconds, slowest; /* of the last step, as in hora_step_info */
    bool pictures;                /* what counts is a picture, not a token */
    hora_train_report plan;
    double *step; /* seconds of the measured steps, ascending */
    int nsteps;
    hora_op_time *ops; /* of all profiled steps */
    int nops, nprofiled;
    double profiled; /* seconds of all profiled steps */
    double open_s, prepare_s;
    double loss;        /* of the last step */
    char device[64];    /* whose kernels */
    size_t device_peak; /* bytes of its own memory; 0: it has none */
    size_t rss_peak;
    bool rss_exact; /* the writer of the model is not in rss_peak */
    hora_bench_machine machine;
} bench_result;

hora_json *hora_bench_json(const bench_result *r);
void hora_bench_text(const bench_result *r, hora_str *out);
hora_json *hora_bench_machine_json(const hora_bench_machine *m);
void hora_bench_machine_text(const hora_bench_machine *m, hora_str *out);
#endif
