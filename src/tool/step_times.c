/* Runs of bench/methods, and what their steps took against LoRA's. */
#include "tool/step_times.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

enum { SET, VARIANT, STATUS, STEP, DEVICE, DTYPE, THREADS, CPU, COLUMNS };
static const char *const names[COLUMNS] = {"set",    "variant", "status",  "step_ms",
                                           "device", "dtype",   "threads", "cpu"};
enum { CELLS = 64 };

/* --- reading ---------------------------------------------------------------------------------- */
/* Cuts a line into its cells, in place: commas in quotes do not part, quotes go. */
static int cut(char *line, char *cells[CELLS]) {
    int n = 0;
    bool quoted = false;
    char *to = line;
    cells[n++] = to;
    for (const char *p = line; *p; p++) {
        if (*p == '"') {
            quoted = !quoted;
        } else if (*p == ',' && !quoted && n < CELLS) {
            *to++ = 0;
            cells[n++] = to;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return n;
}

static hora_status find_columns(char *header, const char *path, int place[COLUMNS]) {
    char *cells[CELLS];
    const int n = cut(header, cells);
    for (int k = 0; k < COLUMNS; k++) {
        place[k] = -1;
        for (int i = 0; i < n; i++)
            if (hora_eq(cells[i], names[k]))
                place[k] = i;
        if (place[k] < 0)
            return hora_fail(HORA_EFORMAT,
                             "%s: has no column `%s`; give a table of runs as bench/methods writes "
                             "it",
                             path, names[k]);
    }
    return HORA_OK;
}

/* A run that failed has no time. */
static hora_status take(hora_step_times *t, char *line, const int place[COLUMNS], const char *path,
                        int number) {
    char *cells[CELLS];
    const int n = cut(line, cells);
    for (int k = 0; k < COLUMNS; k++)
        if (place[k] >= n)
            return hora_fail(HORA_EFORMAT, "%s: line %d has no cell `%s`; correct or remove it",
                             path, number, names[k]);
    if (!hora_eq(cells[place[STATUS]], "ok"))
        return HORA_OK;
    double ms;
    if (!hora_parse_double(cells[place[STEP]], &ms) || !(ms > 0))
        return hora_fail(HORA_EFORMAT, "%s: line %d: step_ms is no time; correct or remove it",
                         path, number);
    if (!t->set)
        t->set = hora_strdup(cells[place[SET]]);
    HORA_PUSH(t->at, t->n, t->cap,
              ((hora_timed_run){.variant = hora_strdup(cells[place[VARIANT]]),
                                .where = hora_format("%s|%s|%s|%s|%s", cells[place[SET]],
                                                     cells[place[DEVICE]], cells[place[DTYPE]],
                                                     cells[place[THREADS]], cells[place[CPU]]),
                                .ms = ms}));
    return HORA_OK;
}

hora_status hora_step_times_read(hora_step_times *t, const char *path) {
    hora_str text = {0};
    int place[COLUMNS], number = 0;
    hora_status s = hora_file_read(&text, path);
    const char *p = text.s;
    for (char *line; !s && p && *p; hora_free(line)) {
        const size_t n = strcspn(p, "\r\n");
        line = hora_strndup(p, n);
        p += n;
        p += strspn(p, "\r\n");
        s = number++ ? take(t, line, place, path, number) : find_columns(line, path, place);
    }
    if (!s && !t->n)
        s = hora_fail(HORA_EFORMAT, "%s: holds no run that went well; measure some", path);
    hora_str_release(&text);
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
