#ifndef HORA_LAB_LOWDATA_IMPL_H
#define HORA_LAB_LOWDATA_IMPL_H
/* One run of the simulated `hora theory lowdata`: lowdata.c fits, lowdata_report.c reports. */
#include "base/json.h"
#include "base/outdir.h"
#include "lab/rates_impl.h"

enum { LOWDATA_TEACHERS = 3, LOWDATA_STUDENTS = 6, LOWDATA_PLAIN = 3, LOWDATA_SIZES = 16 };

typedef struct lowdata_config {
    char *n, *out;
    int64_t seeds, seed;
    double sigma;
    bool quick;
} lowdata_config;

typedef struct lowdata_student {
    const char *name, *row; /* row of hora_rates_students */
    int m, e;
    bool ridge;
    int expected; /* parameters */
} lowdata_student;
extern const lowdata_student
    hora_lowdata_students[LOWDATA_STUDENTS]; /* the first 3 without ridge */
extern const double hora_lowdata_g[LOWDATA_TEACHERS];
rates_model hora_lowdata_model_of(int student);

typedef struct lowdata_row {
    double mse, unadapted, loss; /* loss: training error / (sigma^2 dh) */
    int steps;
} lowdata_row;

typedef struct lowdata_run {
    const lowdata_config *c;
    hora_outdir *out;
    int64_t n[LOWDATA_SIZES];
    int sizes, students;
    lowdata_row *rows;
} lowdata_run;
int64_t hora_lowdata_sim_at(const lowdata_run *r, int teacher, int student, int size, int64_t seed);
hora_status hora_lowdata_sim_report(const lowdata_run *r, hora_json **out, hora_str *text);
#endif
