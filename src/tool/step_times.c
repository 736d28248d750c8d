/* Runs of bench/methods, and what their steps took against LoRA's. */
#include "tool/step_times.h"

#include <stdlib.h>

#include "base/text.h"
#include "data/data.h"

enum { SET, VARIANT, STATUS, STEP, DEVICE, DTYPE, THREADS, CPU, COLUMNS };
static const char *const names[COLUMNS] = {"set",    "variant", "status",  "step_ms",
                                           "device", "dtype",   "threads", "cpu"};

/* A run that failed has no time. */
static hora_status take(void *arg, const hora_json *record, int64_t line) {
    hora_step_times *t = arg;
    const char *cells[COLUMNS];
    (void)line;
    for (int k = 0; k < COLUMNS; k++) {
        cells[k] = hora_json_string(hora_json_get(record, names[k]), NULL);
        if (!cells[k])
            return hora_fail(HORA_EFORMAT,
                             "has no column `%s`; give a table of runs as bench/methods writes it",
                             names[k]);
    }
    if (!hora_eq(cells[STATUS], "ok"))
        return HORA_OK;
    double ms;
    if (!hora_parse_double(cells[STEP], &ms) || !(ms > 0))
        return hora_fail(HORA_EFORMAT, "step_ms is no time; correct or remove it");
    if (!t->set)
        t->set = hora_strdup(cells[SET]);
    HORA_PUSH(t->at, t->n, t->cap,
              ((hora_timed_run){.variant = hora_strdup(cells[VARIANT]),
                                .where = hora_format("%s|%s|%s|%s|%s", cells[SET], cells[DEVICE],
                                                     cells[DTYPE], cells[THREADS], cells[CPU]),
                                .ms = ms}));
    return HORA_OK;
}

hora_status hora_step_times_read(hora_step_times *t, const char *path) {
    hora_status s = hora_records_each(path, take, t);
    if (!s && !t->n)
        s = hora_fail(HORA_EFORMAT, "%s: holds no run that went well; measure some", path);
    return s;
}

void hora_step_times_release(hora_step_times *t) {
    for (int i = 0; i < t->n; i++) {
        hora_free(t->at[i].variant);
        hora_free(t->at[i].where);
    }
    hora_free(t->at);
    hora_free(t->set);
    *t = (hora_step_times){0};
}

/* --- against LoRA ----------------------------------------------------------------------------- */
static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* LoRA's median where this run was; 0: it was not there. */
static double lora_at(const hora_step_times *t, const char *where, double *room) {
    int n = 0;
    for (int i = 0; i < t->n; i++)
        if (hora_eq(t->at[i].variant, "lora") && hora_eq(t->at[i].where, where))
            room[n++] = t->at[i].ms;
    return n ? median(room, n) : 0;
}

bool hora_step_times_ratio(const hora_step_times *t, const char *variant, double *out) {
    double *ratio = hora_calloc((size_t)t->n + 1, sizeof *ratio);
    double *room = hora_calloc((size_t)t->n + 1, sizeof *room);
    int n = 0;
    for (int i = 0; i < t->n; i++) {
        const double lora =
            hora_eq(t->at[i].variant, variant) ? lora_at(t, t->at[i].where, room) : 0;
        if (lora > 0)
            ratio[n++] = t->at[i].ms / lora;
    }
    if (n)
        *out = median(ratio, n);
    hora_free(ratio);
    hora_free(room);
    return n > 0;
}
