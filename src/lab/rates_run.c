/*
 * The fits of a run, in parallel, one thread each. A finished fit is a line of DIR/rates.state, in
 * whatever order they finish; a later run takes from there what has the same key. The results
 * depend on the key alone, so a run that was cut off and goes on gives the bits of one that was
 * not.
 */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "lab/rates_run_impl.h"

#define LIMIT_SIGMA 1e-8
enum { STARTS = 4 };
#define REPORT_EVERY 5.0 /* seconds between lines of progress */

const char *const hora_rates_columns[ROW_VALUES] = {
    "D", "D_weight", "Q", "V", "raw", "mse", "loss", "singletons", "iterations"};

static double sigma_of(const rates_run *run, const rates_group *g) {
    return g->limit ? LIMIT_SIGMA : run->c->sigma;
}

/* What a fit depends on. */
static char *key_of(const rates_run *run, const rates_row *row) {
    const rates_group *g = &run->group[row->group];
    char sigma[32];
    return hora_format("%s,%s,%s,%s,%s,%s,%lld,%llu,", g->limit ? "limit" : "fit",
                       hora_rates_setting_names[g->setting], hora_rates_teacher_names[g->teacher],
                       g->student->name, hora_rates_init_names[g->init],
                       hora_format_real(sigma, sigma_of(run, g)), (long long)row->n,
                       (unsigned long long)row->seed);
}

/* --- one fit ---------------------------------------------------------------------------------- */
static double best_start(const rates_model *m, const rates_data *data, const rates_fit_options *o,
                         const rates_teacher *t, const rates_row *row, int init, double *theta,
                         int *steps) {
    double trial[RATES_PARAMS], best = INFINITY;
    for (int i = 0; i < (init == RATES_NEAR ? 1 : STARTS); i++) {
        int taken;
        if (init == RATES_NEAR)
            HORA_ASSERT(hora_rates_start_near(m, t, row->seed, trial));
        else
            hora_rates_start_random(m, false, row->seed, i, trial);
        const double error = hora_rates_fit(m, data, o, trial, &taken);
        if (i && !(error < best))
            continue;
        best = error;
        *steps = taken;
        memcpy(theta, trial, (size_t)m->count * sizeof *theta);
    }
    return best;
}

static void fit_row(const rates_run *run, rates_row *row) {
    const rates_group *g = &run->group[row->group];
    const rates_shape shape = hora_rates_shape_of(g->setting);
    const rates_model m = hora_rates_model_new(g->student, &shape, g->teacher, 0, 0);
    const double sigma = sigma_of(run, g);
    const rates_fit_options o = {.ridge =
                                     g->student->ridge ? sigma * sigma / sqrt((double)row->n) : 0,
                                 .damping = 1e-3,
                                 .tolerance = g->limit ? 1e-14 : 1e-9,
                                 .iterations = g->limit ? 300 : 150};
    rates_base base;
    rates_teacher t;
    rates_data data, test;
    double c[RATES_COORDS], theta[RATES_PARAMS];
    int steps = 0;
    const double start = hora_now();
    hora_rates_base_draw(&base, &shape, row->seed);
    hora_rates_teacher_draw(&t, g->teacher, shape.d, shape.dh, hora_rates_teacher_heads(g->setting),
                            g->teacher == RATES_TANH ? 3 : 2, row->seed);
    hora_rates_teacher_coords(&t, &m.shape, c);
    hora_rates_data_draw(&data, &m.shape, &base, c, &m.shape, sigma, row->n, row->seed,
                         "rates.train");
    hora_rates_data_draw(&test, &m.shape, &base, c, &m.shape, 0, RATES_TEST, row->seed,
                         "rates.test");
    const double error = best_start(&m, &data, &o, &t, row, g->init, theta, &steps);
    m.student->coords(&m, theta, c);
    const rates_distances d = hora_rates_measure(&m.shape, c, &t);
    row->value[ROW_D] = d.d;
    row->value[ROW_WEIGHT] = d.weight;
    row->value[ROW_Q] = d.q;
    row->value[ROW_V] = d.v;
    row->value[ROW_RAW] = d.raw;
    row->value[ROW_MSE] = hora_rates_error(&m.shape, c, &test);
    row->value[ROW_LOSS] = error / (sigma * sigma * shape.dh);
    row->value[ROW_SINGLETONS] = d.singletons;
    row->value[ROW_ITERATIONS] = steps;
    row->seconds = hora_now() - start;
    hora_rates_data_release(&data);
    hora_rates_data_release(&test);
}

/* --- state ------------------------------------------------------------------------------------ */
static void state_line(const rates_run *run, const rates_row *row, hora_str *out) {
    char *key = key_of(run, row), number[32];
    hora_str_puts(out, key);
    for (int i = 0; i < ROW_VALUES; i++)
        hora_str_printf(out, "%s,", hora_format_real(number, row->value[i]));
    hora_str_printf(out, "%.3f\n", row->seconds);
    hora_free(key);
}

/* The values behind the key of a line into the row; false: the line is not whole. */
static bool state_read(const char *text, const char *end, rates_row *row) {
    rates_row r = *row;
    for (int i = 0; i <= ROW_VALUES; i++) {
        const char *stop = memchr(text, i < ROW_VALUES ? ',' : '\n', (size_t)(end - text));
        if (!stop)
            return false;
        char *word = hora_strndup(text, (size_t)(stop - text));
        const bool ok = hora_parse_double(word, i < ROW_VALUES ? &r.value[i] : &r.seconds);
        hora_free(word);
        if (!ok)
            return false;
        text = stop + 1;
    }
    r.done = 1;
    *row = r;
    return true;
}

typedef struct line {
    const char *at;
    size_t n;
} line;

static int by_text(const void *a, const void *b) {
    const line *x = a, *y = b;
    const int c = memcmp(x->at, y->at, (size_t)hora_min((int64_t)x->n, (int64_t)y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* The first line that begins with the key, among sorted lines; NULL: none. */
static const line *find_line(const line *lines, size_t n, const char *key) {
    const size_t len = strlen(key);
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        const line want = {key, len};
        if (by_text(&lines[mid], &want) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && lines[lo].n > len && !memcmp(lines[lo].at, key, len) ? &lines[lo] : NULL;
}

/* Fills rows from the state; a last line that is not whole is cut off the file. */
static hora_status state_load(rates_run *run, const char *path) {
    hora_str text = {0};
    line *lines = NULL;
    size_t n = 0, cap = 0, whole = 0;
    if (run->c->overwrite || !hora_path_exists(path))
        return hora_file_write(path, RATES_STATE_HEADER "\n", sizeof RATES_STATE_HEADER);
    HORA_TRY(hora_file_read(&text, path));
    if (!hora_starts(text.s, RATES_STATE_HEADER "\n")) {
        hora_str_release(&text);
        return hora_fail(HORA_EEXISTS,
                         "%s is no state of this version; give another --out, or "
                         "--overwrite to start anew",
                         path);
    }
    for (const char *at = text.s, *end; (end = strchr(at, '\n')); at = end + 1) {
        const line l = {at, (size_t)(end - at) + 1};
        HORA_PUSH(lines, n, cap, l);
        whole = (size_t)(end + 1 - text.s);
    }
    qsort(lines, n, sizeof *lines, by_text);
    for (int64_t i = 0; i < run->count; i++) {
        char *key = key_of(run, &run->rows[i]);
        const line *l = find_line(lines, n, key);
        if (l)
            state_read(l->at + strlen(key), l->at + l->n, &run->rows[i]);
        hora_free(key);
    }
    hora_status s = whole < text.n ? hora_file_write(path, text.s, whole) : HORA_OK;
    hora_free(lines);
    hora_str_release(&text);
    return s;
}

/* --- all of them ------------------------------------------------------------------------------ */
/* Work of a fit in arbitrary units, for the order and the time left: steps, as experience has them,
 * times what one costs. */
static double cost_of(const rates_run *run, const rates_row *row) {
    const rates_group *g = &run->group[row->group];
    const bool flat = g->setting == RATES_OVER && !hora_eq(g->student->name, "linear");
    const double steps = g->limit ? 200 : g->student->ridge || flat ? 130 : 15;
    const int starts = g->init == RATES_RANDOM ? STARTS : 1;
    return (double)row->n * steps * starts * (1000.0 + g->heads * g->heads * 100.0) + 1e7;
}

typedef struct job { /* what the threads share */
    rates_run *run;
    const char *state;
    rates_row **todo; /* dearest first, so that the threads finish together */
    double *cost;
    pthread_mutex_t lock; /* of everything below and of the state */
    int64_t finished, total;
    double work, all, start, said;
    hora_status status;
    char *message;
} job;

static void say(job *j, const rates_row *row) {
    const rates_group *g = &j->run->group[row->group];
    const double now = hora_now(), left = (now - j->start) * (j->all - j->work) / j->work;
    if (now - j->said < REPORT_EVERY && j->finished < j->total)
        return;
    j->said = now;
    hora_info("fit %lld/%lld  %s %s n %lld  left %d:%02d", (long long)j->finished,
              (long long)j->total, hora_rates_setting_names[g->setting], g->student->name,
              (long long)row->n, (int)left / 60, (int)left % 60);
}

static void fit_tile(void *arg, int64_t tile, int thread) {
    job *j = arg;
    rates_row *row = j->todo[tile];
    hora_str text = {0};
    (void)thread;
    pthread_mutex_lock(&j->lock);
    const bool go_on = j->status == HORA_OK;
    pthread_mutex_unlock(&j->lock);
    if (!go_on)
        return;
    fit_row(j->run, row);
    state_line(j->run, row, &text);
    pthread_mutex_lock(&j->lock);
    const hora_status s = hora_append(j->state, text.s, text.n);
    if (s != HORA_OK && j->status == HORA_OK) {
        j->status = s;
        j->message = hora_strdup(hora_errmsg());
    }
    row->done = 1;
    j->finished++;
    j->work += j->cost[row - j->run->rows];
    say(j, row);
    pthread_mutex_unlock(&j->lock);
    hora_str_release(&text);
}

typedef struct item {
    double cost;
    rates_row *row;
} item;

static int dearest(const void *a, const void *b) {
    const item *x = a, *y = b;
    return x->cost != y->cost ? (x->cost < y->cost) - (x->cost > y->cost)
                              : (x->row > y->row) - (x->row < y->row);
}

static void list_work(job *j) {
    rates_run *run = j->run;
    item *items = hora_calloc((size_t)run->count, sizeof *items);
    for (int64_t i = 0; i < run->count; i++) {
        j->cost[i] = cost_of(run, &run->rows[i]);
        if (!run->rows[i].done)
            items[j->total++] = (item){j->cost[i], &run->rows[i]};
    }
    qsort(items, (size_t)j->total, sizeof *items, dearest);
    for (int64_t i = 0; i < j->total; i++) {
        j->todo[i] = items[i].row;
        j->all += items[i].cost;
    }
    hora_free(items);
}

hora_status hora_rates_fit_all(rates_run *run) {
    char *path = hora_path_join(run->c->out, "rates.state");
    job j = {.run = run, .state = path, .lock = PTHREAD_MUTEX_INITIALIZER};
    hora_status s;
    HORA_TRY_OUT(s, hora_outdir_claim(run->out, "rates.state"));
    HORA_TRY_OUT(s, state_load(run, path));
    j.todo = hora_calloc((size_t)run->count, sizeof *j.todo);
    j.cost = hora_calloc((size_t)run->count, sizeof *j.cost);
    list_work(&j);
    if (j.total < run->count)
        hora_info("%s: %lld of %lld fits are there already", path,
                  (long long)(run->count - j.total), (long long)run->count);
    j.start = j.said = hora_now();
    hora_parallel(j.total, fit_tile, &j);
    HORA_TRY_OUT(s, j.status == HORA_OK ? HORA_OK : hora_fail(j.status, "%s", j.message));
out:
    hora_free(j.message);
    hora_free(j.todo);
    hora_free(j.cost);
    hora_free(path);
    return s;
}
