#ifndef HORA_LAB_REPORT_H
#define HORA_LAB_REPORT_H
/*
 * What the reports of the experiments share: order statistics, bootstrap intervals, and checks,
 * each a value with its bounds that is printed whatever comes out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/outdir.h"

enum { HORA_FEW_SEEDS = 8 }; /* fewer give numbers, but no verdict: "not shown" */

typedef struct hora_interval {
    double value, lo, hi; /* 95 % between lo and hi */
} hora_interval;
enum { HORA_RESAMPLES = 2000 };

double hora_quantile(const double *x, int64_t n, double q); /* interpolated; NaN for n = 0 */
double hora_median(const double *x, int64_t n);
/* A statistic of the resampled indices pick[0..n) into whatever `arg` holds. */
typedef double (*hora_statistic)(const void *arg, const int64_t *pick, int64_t n);
/* The statistic of 0..n-1 in order, and the percentiles 2.5 and 97.5 of it over HORA_RESAMPLES
 * draws with replacement, which depend on `stream` alone. */
hora_interval hora_bootstrap(hora_statistic fn, const void *arg, int64_t n, const char *stream);
hora_interval hora_bootstrap_mean(const double *x, int64_t n, const char *stream);
hora_json *hora_interval_json(const hora_interval *v); /* {"value", "lo", "hi"} */

/* A check of a computation (it is wrong when this fails: the run is unsound, exit HORA_ENUMERIC) or
 * a finding (what the theory lets us expect; a difference is reported, never a failure). */
typedef enum { HORA_CHECK_SOUND, HORA_CHECK_FINDING } hora_check_kind;
/* Pushes {"name", "kind", "value", "lo", "hi", "pass"} onto `checks`; passes when lo <= value <= hi
 * (an infinite bound is null; NaN never passes). Returns whether it passed. */
bool hora_check(hora_json *checks, hora_check_kind kind, const char *name, double value, double lo,
                double hi);
/* HORA_ENUMERIC naming the first computation that failed its check, else HORA_OK. */
hora_status hora_checks_sound(const hora_json *checks);
/* Verdicts are objects {"where", "claim", "verdict": "supported", "refuted" or "not shown",
 * "because"}; two lines each for people. */
void hora_verdicts_text(const hora_json *verdicts, hora_str *out);
/* A line per check for people: "ok", "DIFFERS" (a finding) or "WRONG" (a computation). */
void hora_checks_text(const hora_json *checks, hora_str *out);
/* Opens and begins the folder of an experiment that goes on where an earlier one stopped. `words`
 * begin the names of its files (base/outdir.h), which must not be others'. In a folder without a
 * mark, a file `state` that begins with `head` says that such files are hora's; NULL:
 * nothing does. */
hora_status hora_report_folder(hora_outdir **out, const char *dir, const char *words,
                               const char *state, const char *head, const hora_input *in, int n);
#endif
