#ifndef HORA_TOOL_STEP_TIMES_H
#define HORA_TOOL_STEP_TIMES_H
/*
 * Measured times of steps against LoRA's, from a table of runs as bench/methods writes it: CSV with
 * a header, of which `set`, `variant`, `status`, `step_ms`, `device`, `dtype`, `threads` and `cpu`
 * are read. A run is compared with LoRA's of the same machine and settings alone.
 */
#include "base/status.h"

typedef struct hora_timed_run {
    char *variant, *where; /* where: all that must be alike */
    double ms;
} hora_timed_run;

typedef struct hora_step_times { /* zeroed before the first use */
    char *set;                   /* "text", "pictures": of its first run */
    hora_timed_run *at;
    int n, cap;
} hora_step_times;

/* HORA_EFORMAT naming the column or the line that is wrong. */
hora_status hora_step_times_read(hora_step_times *t, const char *path);
/* The median, over the runs of `variant`, of its time by the median of LoRA's where it ran; false:
 * it was not measured beside LoRA. */
bool hora_step_times_ratio(const hora_step_times *t, const char *variant, double *out);
void hora_step_times_release(hora_step_times *t);
#endif
