/* Order statistics, bootstrap and checks. Plain loops over small arrays. */
#include "lab/report.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of values in ascending order. */
static double quantile_sorted(const double *x, int64_t n, double q) {
    const double at = q * (double)(n - 1);
    const int64_t i = (int64_t)at;
    return i + 1 < n ? x[i] + (at - (double)i) * (x[i + 1] - x[i]) : x[n - 1];
}

double hora_quantile(const double *x, int64_t n, double q) {
    if (n < 1)
        return NAN;
    double *y = hora_malloc((size_t)n * sizeof *y);
    memcpy(y, x, (size_t)n * sizeof *y);
    qsort(y, (size_t)n, sizeof *y, ascending);
    const double v = quantile_sorted(y, n, q);
    hora_free(y);
    return v;
}

double hora_median(const double *x, int64_t n) {
    return hora_quantile(x, n, 0.5);
}

hora_interval hora_bootstrap(hora_statistic fn, const void *arg, int64_t n, const char *stream) {
    hora_interval out = {NAN, NAN, NAN};
    if (n < 1)
        return out;
    hora_rng r = hora_rng_new(0, stream);
    int64_t *pick = hora_malloc((size_t)n * sizeof *pick);
    double *values = hora_malloc(HORA_RESAMPLES * sizeof *values);
    for (int64_t i = 0; i < n; i++)
        pick[i] = i;
    out.value = fn(arg, pick, n);
    for (int k = 0; k < HORA_RESAMPLES; k++) {
        for (int64_t i = 0; i < n; i++)
            pick[i] = hora_rng_below(&r, n);
        values[k] = fn(arg, pick, n);
    }
    qsort(values, HORA_RESAMPLES, sizeof *values, ascending);
    out.lo = quantile_sorted(values, HORA_RESAMPLES, 0.025);
    out.hi = quantile_sorted(values, HORA_RESAMPLES, 0.975);
    hora_free(pick);
    hora_free(values);
    return out;
}

static double mean_of(const void *arg, const int64_t *pick, int64_t n) {
    const double *x = arg;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[pick[i]];
    return sum / (double)n;
}

hora_interval hora_bootstrap_mean(const double *x, int64_t n, const char *stream) {
    return hora_bootstrap(mean_of, x, n, stream);
}

hora_json *hora_interval_json(const hora_interval *v) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "value", hora_json_new_real(v->value));
    hora_json_set(o, "lo", hora_json_new_real(v->lo));
    hora_json_set(o, "hi", hora_json_new_real(v->hi));
    return o;
}

bool hora_check(hora_json *checks, hora_check_kind kind, const char *name, double value, double lo,
                double hi) {
    const bool pass = value >= lo && value <= hi;
    hora_json *o = hora_json_push(checks, hora_json_new_object());
    hora_json_set(o, "name", hora_json_new_string(name));
    hora_json_set(o, "kind",
                  hora_json_new_string(kind == HORA_CHECK_SOUND ? "computation" : "finding"));
    hora_json_set(o, "value", hora_json_new_real(value));
    hora_json_set(o, "lo", hora_json_new_real(lo));
    hora_json_set(o, "hi", hora_json_new_real(hi));
    hora_json_set(o, "pass", hora_json_new_bool(pass));
    return pass;
}

/* Whether check i passed, and whether it is one of a computation. */
static bool passed(const hora_json *check, bool *computation) {
    bool pass = false;
    hora_json_bool(hora_json_get(check, "pass"), &pass);
    *computation = hora_eq(hora_json_string(hora_json_get(check, "kind"), NULL), "computation");
    return pass;
}

hora_status hora_checks_sound(const hora_json *checks) {
    for (size_t i = 0; i < hora_json_len(checks); i++) {
        const hora_json *c = hora_json_at(checks, i);
        bool computation;
        if (!passed(c, &computation) && computation)
            return hora_fail(HORA_ENUMERIC,
                             "the check \"%s\" of the computation failed; these results cannot be "
                             "trusted: report it as a bug, with the options and the JSON file",
                             hora_json_string(hora_json_get(c, "name"), NULL));
    }
    return HORA_OK;
}

static void bounds_text(const hora_json *check, hora_str *out) {
    double lo = 0, hi = 0;
    const bool low = hora_json_real(hora_json_get(check, "lo"), &lo);
    const bool high = hora_json_real(hora_json_get(check, "hi"), &hi);
    if (low && high)
        hora_str_printf(out, "in [%g, %g]", lo, hi);
    else if (low)
        hora_str_printf(out, ">= %g", lo);
    else
        hora_str_printf(out, "<= %g", hi);
}

void hora_checks_text(const hora_json *checks, hora_str *out) {
    for (size_t i = 0; i < hora_json_len(checks); i++) {
        const hora_json *c = hora_json_at(checks, i);
        bool computation;
        double value = NAN;
        const bool pass = passed(c, &computation);
        hora_json_real(hora_json_get(c, "value"), &value);
        hora_str_printf(out, "%-8s %s: %.4g, expected ",
                        pass          ? "ok"
                        : computation ? "WRONG"
                                      : "DIFFERS",
                        hora_json_string(hora_json_get(c, "name"), NULL), value);
        bounds_text(c, out);
        hora_str_putc(out, '\n');
    }
}

void hora_verdicts_text(const hora_json *verdicts, hora_str *out) {
    for (size_t i = 0; i < hora_json_len(verdicts); i++) {
        const hora_json *v = hora_json_at(verdicts, i);
        hora_str_printf(out, "%-10s %s: %s\n           %s\n",
                        hora_json_string(hora_json_get(v, "verdict"), NULL),
                        hora_json_string(hora_json_get(v, "where"), NULL),
                        hora_json_string(hora_json_get(v, "claim"), NULL),
                        hora_json_string(hora_json_get(v, "because"), NULL));
    }
}

/* --- the folder ------------------------------------------------------------------------------- */
/* A run of an older version: its files have such names and lie beside its state. */
static hora_status adopt(hora_outdir *o, const char *words, const char *state, const char *head) {
    hora_str text = {0};
    char **names, *path = hora_path_join(hora_outdir_path(o), state);
    int n;
    const bool ours = hora_file_size(path) > 0 && hora_file_read(&text, path) == HORA_OK &&
                      hora_starts(text.s, head);
    hora_free(path);
    hora_str_release(&text);
    if (!ours)
        return HORA_OK;
    hora_status s = HORA_OK;
    HORA_TRY(hora_list_dir(hora_outdir_path(o), &names, &n));
    for (int i = 0; i < n && !s; i++)
        if (hora_outdir_begins(names[i], words))
            s = hora_outdir_adopt(o, names[i]);
    hora_list_free(names, n);
    return s;
}

hora_status hora_report_folder(hora_outdir **out, const char *dir, const char *words,
                               const char *state, const char *head, const hora_input *in, int n) {
    const hora_outdir_how how = {.mode = HORA_OUT_ADD, .in = in, .n = n};
    HORA_TRY(hora_outdir_open(out, dir, &how));
    const bool marked = hora_outdir_marked(*out);
    hora_status s;
    HORA_TRY_OUT(s, hora_check_writable(dir, 1 << 20));
    HORA_TRY_OUT(s, hora_outdir_begin(*out));
    if (!marked && state)
        HORA_TRY_OUT(s, adopt(*out, words, state, head));
    HORA_TRY_OUT(s, hora_outdir_expect(*out, words));
out:
    if (s != HORA_OK) {
        hora_outdir_close(*out);
        *out = NULL;
    }
    return s;
}
