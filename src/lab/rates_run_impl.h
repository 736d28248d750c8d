#ifndef HORA_LAB_RATES_RUN_IMPL_H
#define HORA_LAB_RATES_RUN_IMPL_H
/*
 * One run of `hora theory rates`: what is fitted (groups), the results (rows), the checks that need
 * no fitting (curves), and how they are reported. A group is a student in a setting with a teacher
 * and a kind of start; it has a row per size and seed.
 */
#include "base/json.h"
#include "base/options.h"
#include "lab/rates_impl.h"
#include "lab/report.h"

typedef enum { RATES_OVER, RATES_EXACT, RATES_LABELLED, RATES_SETTINGS } rates_setting;
enum { RATES_NEAR, RATES_RANDOM };
extern const char *const hora_rates_setting_names[]; /* these three end in NULL */
extern const char *const hora_rates_teacher_names[];
extern const char *const hora_rates_init_names[];
enum { RATES_SIZES = 32, RATES_GROUPS = 160, RATES_TEST = 4000 };

/* The first line of rates.state. */
#define RATES_STATE_HEADER "# hora theory rates, fits, version 1"

typedef struct rates_config { /* what the options say; rates_options.c */
    char *setting, *teacher, *student, *init, *n, *out;
    int64_t seeds, seed;
    double sigma;
    bool quick, all, overwrite;
} rates_config;

/* Columns of a row, in the order of rates.csv. */
enum {
    ROW_D,
    ROW_WEIGHT,
    ROW_Q,
    ROW_V,
    ROW_RAW,
    ROW_MSE,
    ROW_LOSS,
    ROW_SINGLETONS,
    ROW_ITERATIONS,
    ROW_VALUES
};
extern const char *const hora_rates_columns[ROW_VALUES];

typedef struct rates_row {
    int group, done;
    int64_t n;
    uint64_t seed;
    double value[ROW_VALUES], seconds;
} rates_row;

typedef struct rates_group {
    rates_setting setting;
    rates_kind teacher;
    const rates_student *student;
    int init;
    bool limit; /* the population limit: no noise to speak of, one size, fitted to the end */
    int p, heads;
    int64_t n[RATES_SIZES];
    int sizes;
    rates_row *rows; /* [sizes, seeds], borrowed from the run */
} rates_group;

typedef struct rates_run {
    const rates_config *c;
    hora_outdir *out;
    rates_group group[RATES_GROUPS];
    int groups;
    rates_row *rows; /* owned */
    int64_t count;
} rates_run;

/* The groups that the options ask for, rows empty. Refuses what it cannot read. */
hora_status hora_rates_plan(rates_run *run, const rates_config *c);
void hora_rates_run_release(rates_run *run);
rates_shape hora_rates_shape_of(rates_setting s);
int hora_rates_teacher_heads(rates_setting s);
/* NULL: no such group in this run. */
const rates_group *hora_rates_find(const rates_run *run, rates_setting s, rates_kind t,
                                   const char *student, int init, bool limit);
/* Fits every row, in parallel; goes on from DIR/rates.state and adds to it. */
hora_status hora_rates_fit_all(rates_run *run);

/* --- identifiability curves and ranks (rates_curves.c) */
enum { CURVE_POINTS = 9, CURVES = 7, RANKS = 6 };
typedef struct rates_curve {
    const char *name;
    double t[CURVE_POINTS], gap[CURVE_POINTS], d[CURVE_POINTS], slope, most; /* slope of the gap */
    double lo, hi; /* the slope that is expected; both 0: the gap is 0 everywhere */
} rates_curve;
typedef struct rates_rank {
    rates_setting setting;
    const char *student;
    int rank, expected;
} rates_rank;
typedef struct rates_algebra { /* everything that needs no fitting */
    rates_curve curve[CURVES];
    rates_rank rank[RANKS];
    double jacobian; /* largest relative difference from central differences */
} rates_algebra;
void hora_rates_algebra_run(rates_algebra *a);

/* --- summaries (rates_report.c) */
enum { SUM_D, SUM_Q, SUM_V, SUM_RAW, SUM_MSE, SUM_MEASURES };
typedef struct rates_summary { /* of one group */
    const rates_group *group;
    double median[SUM_MEASURES][RATES_SIZES];
    hora_interval slope[SUM_MEASURES], late; /* late: of D over n >= 1000 */
} rates_summary;
typedef struct rates_report {
    const rates_run *run;
    const rates_algebra *algebra;
    rates_summary sum[RATES_GROUPS];
    hora_json *checks, *verdicts;
} rates_report;
double hora_rates_value(const rates_group *g, int64_t seeds, int size, int64_t seed, int column);
const rates_summary *hora_rates_summary_find(const rates_report *r, rates_setting s, rates_kind t,
                                             const char *student, int init);
void hora_rates_summarise(rates_report *r);
void hora_rates_check_all(rates_report *r);   /* fills checks (rates_verdict.c) */
void hora_rates_verdict_all(rates_report *r); /* fills verdicts (rates_verdict.c) */
hora_json *hora_rates_report_json(const rates_report *r);
void hora_rates_report_text(const rates_report *r, hora_str *out);
/* rates.csv, curves.csv, rates.json and the picture into the folder of the options. */
hora_status hora_rates_write(const rates_report *r, const hora_json *json);
hora_status hora_rates_draw(const rates_report *r);
#endif
