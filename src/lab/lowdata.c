/*
 * `hora theory lowdata`, simulated: labelled heads as real models have them, a teacher that shares
 * in part (B = sqrt(1 - g^2) shared + g free), students at nearly equal parameter count, starts as
 * in practice (B = 0). Excess error relative to the layer without adapter.
 */
#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "lab/lowdata_impl.h"
#include "lab/rates.h"
#include "lab/report.h"

enum { TEST = 4000, SPACE = 4 << 20 };

#define OPT_OF lowdata_config
static const hora_option rows[] = {
    OPT_LIST(n, "n", NULL, NULL, "LIST",
             "sample sizes; unset: 16,32,64,128,256,512 (quick: 32,512)"),
    OPT_INT(seeds, "seeds", NULL, "0", 0, 10000, "teachers and samples per size; 0: 16 (quick: 8)"),
    OPT_INT(seed, "seed", NULL, "0", 0, 1e9, "the first seed"),
    OPT_REAL(sigma, "sigma", NULL, "0.1", 1e-10, 10, "deviation of the noise"),
    OPT_BOOL(quick, "quick", NULL, "false", "few sizes and seeds, no ridge"),
    OPT_STRING(out, "out", NULL, "out/theory", "DIR", "folder for lowdata.csv, .json and .svg"),
};
const hora_options hora_lowdata_options = {"Low data", rows, HORA_COUNT(rows)};

const double hora_lowdata_g[LOWDATA_TEACHERS] = {0, 0.5, 1};
const lowdata_student hora_lowdata_students[LOWDATA_STUDENTS] = {
    {"lora", "lora", 0, 0, false, 112},       {"linear", "linear", 4, 0, false, 104},
    {"tanh", "tanh", 4, 4, false, 120},       {"lora-wd", "lora", 0, 0, true, 112},
    {"linear-wd", "linear", 4, 0, true, 104}, {"tanh-wd", "tanh", 4, 4, true, 120},
};
#define RIDGE 3.5 /* times sigma^2 / n: a prior of variance 1 / 3.5 on each number of B */

static const rates_shape shape = {.d = 8, .dh = 8, .tokens = 6, .heads = 6, .labelled = true};

rates_model hora_lowdata_model_of(int student) {
    const lowdata_student *s = &hora_lowdata_students[student];
    return hora_rates_model_new(hora_rates_student_find(s->row), &shape, RATES_FREE, s->m, s->e);
}

int64_t hora_lowdata_sim_at(const lowdata_run *r, int teacher, int student, int size,
                            int64_t seed) {
    return ((teacher * r->students + student) * (int64_t)r->sizes + size) * r->c->seeds + seed;
}

/* All students of one teacher, size and seed see the same data. */
static void fit(lowdata_run *r, int teacher, int student, int size, int64_t at) {
    const double sigma = r->c->sigma;
    const int64_t n = r->n[size];
    const uint64_t seed = (uint64_t)(r->c->seed + at);
    const rates_model m = hora_lowdata_model_of(student);
    const rates_fit_options o = {
        .ridge = hora_lowdata_students[student].ridge ? RIDGE * sigma * sigma / (double)n : 0,
        .damping = 0.1,
        .tolerance = 1e-6,
        .iterations = 80};
    rates_base base;
    rates_teacher t;
    rates_data data, test;
    double c[RATES_COORDS], theta[RATES_PARAMS];
    int steps;
    lowdata_row *row = &r->rows[hora_lowdata_sim_at(r, teacher, student, size, at)];
    hora_rates_base_draw(&base, &shape, seed);
    hora_rates_teacher_draw(&t, RATES_LINEAR, shape.d, shape.dh, shape.heads, 3, seed);
    hora_rates_teacher_mix(&t, hora_lowdata_g[teacher], seed);
    hora_rates_teacher_coords(&t, &shape, c);
    hora_rates_data_draw(&data, &shape, &base, c, &shape, sigma, n, seed, "lowdata.train");
    hora_rates_data_draw(&test, &shape, &base, c, &shape, 0, TEST, seed, "lowdata.test");
    hora_rates_start_random(&m, true, seed, 0, theta);
    m.student->coords(&m, theta, c);
    row->unadapted = hora_rates_error(&m.shape, c, &test);
    row->loss = hora_rates_fit(&m, &data, &o, theta, &steps) / (sigma * sigma * shape.dh);
    row->steps = steps;
    m.student->coords(&m, theta, c);
    row->mse = hora_rates_error(&m.shape, c, &test);
    hora_rates_data_release(&data);
    hora_rates_data_release(&test);
}

typedef struct job { /* the fits of one size and teacher */
    lowdata_run *run;
    int size, teacher;
} job;

static void fit_tile(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const int64_t seeds = j->run->c->seeds;
    (void)thread;
    fit(j->run, j->teacher, (int)(tile / seeds), j->size, tile % seeds);
}

/* The dearest size first, progress after each; a fit takes about as long as it has samples. */
static void fit_all(lowdata_run *r) {
    const int64_t fits = r->students * r->c->seeds;
    const double start = hora_now();
    double all = 0, done = 0;
    for (int k = 0; k < r->sizes; k++)
        all += LOWDATA_TEACHERS * ((double)r->n[k] + 50);
    for (int i = 0; i < r->sizes * LOWDATA_TEACHERS; i++) {
        const int k = r->sizes - 1 - i / LOWDATA_TEACHERS;
        job j = {r, k, i % LOWDATA_TEACHERS};
        hora_parallel(fits, fit_tile, &j);
        done += (double)r->n[k] + 50;
        const double left = (hora_now() - start) * (all - done) / done;
        hora_info("n %lld, g %g: %lld fits  left %d:%02d", (long long)r->n[k],
                  hora_lowdata_g[j.teacher], (long long)fits, (int)left / 60, (int)left % 60);
    }
}

static hora_status run_all(const lowdata_config *c, hora_json **out, hora_str *text) {
    lowdata_run r = {.c = c, .students = c->quick ? 3 : LOWDATA_STUDENTS};
    const char *n = c->n ? c->n : c->quick ? "32,512" : "16,32,64,128,256,512";
    HORA_TRY(hora_sizes_parse("n", n, 2, r.n, LOWDATA_SIZES, &r.sizes));
    HORA_TRY(hora_check_writable(c->out, SPACE));
    HORA_TRY(hora_report_folder(&r.out, c->out, "lowdata", NULL, NULL, NULL, 0));
    r.rows =
        hora_calloc((size_t)hora_lowdata_sim_at(&r, LOWDATA_TEACHERS, 0, 0, 0), sizeof *r.rows);
    fit_all(&r);
    const hora_status s = hora_lowdata_sim_report(&r, out, text);
    hora_outdir_close(r.out);
    hora_free(r.rows);
    return s;
}

hora_status hora_lowdata(hora_settings *settings, hora_json **out, hora_str *text) {
    lowdata_config c = {0};
    *out = NULL;
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&hora_lowdata_options, &c, settings));
    if (!c.seeds)
        c.seeds = c.quick ? 8 : 16;
    HORA_TRY_OUT(s, run_all(&c, out, text));
out:
    hora_options_release(&hora_lowdata_options, &c);
    return s;
}
