/*
 * Medians, slopes and their intervals; the results as JSON, as CSV and as text.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "lab/rates_run_impl.h"

static const struct {
    const char *name;
    int column;
} measures[SUM_MEASURES] = {
    {"D", ROW_D}, {"Q", ROW_Q}, {"V", ROW_V}, {"raw", ROW_RAW}, {"mse", ROW_MSE}};

double hora_rates_value(const rates_group *g, int64_t seeds, int size, int64_t seed, int column) {
    return g->rows[size * seeds + seed].value[column];
}

/* --- slopes ----------------------------------------------------------------------------------- */
typedef struct line_fit {
    const rates_group *g;
    int64_t seeds;
    int column, from; /* sizes from this one on */
} line_fit;

/* Slope of log10 of the median over the picked seeds against log10 n. */
static double slope_of(const void *arg, const int64_t *pick, int64_t picks) {
    const line_fit *f = arg;
    double x[RATES_SIZES], y[RATES_SIZES], mx = 0, my = 0, xy = 0, xx = 0;
    double *values = hora_malloc((size_t)picks * sizeof *values);
    const int n = f->g->sizes - f->from;
    for (int k = 0; k < n; k++) {
        for (int64_t i = 0; i < picks; i++)
            values[i] = hora_rates_value(f->g, f->seeds, f->from + k, pick[i], f->column);
        x[k] = log10((double)f->g->n[f->from + k]);
        y[k] = log10(hora_median(values, picks));
        mx += x[k] / n;
        my += y[k] / n;
    }
    for (int k = 0; k < n; k++) {
        xy += (x[k] - mx) * (y[k] - my);
        xx += (x[k] - mx) * (x[k] - mx);
    }
    hora_free(values);
    return xy / xx;
}

static hora_interval slope(const rates_group *g, int64_t seeds, int column, int from) {
    const line_fit f = {g, seeds, column, from};
    if (g->sizes - from < 2)
        return (hora_interval){NAN, NAN, NAN};
    return hora_bootstrap(slope_of, &f, seeds, "rates.slope");
}

static void summarise(rates_summary *s, const rates_group *g, int64_t seeds) {
    double *values = hora_malloc((size_t)seeds * sizeof *values);
    int late = 0;
    s->group = g;
    while (late < g->sizes && g->n[late] < 1000)
        late++;
    for (int m = 0; m < SUM_MEASURES; m++) {
        for (int k = 0; k < g->sizes; k++) {
            for (int64_t i = 0; i < seeds; i++)
                values[i] = hora_rates_value(g, seeds, k, i, measures[m].column);
            s->median[m][k] = hora_median(values, seeds);
        }
        s->slope[m] = slope(g, seeds, measures[m].column, 0);
    }
    s->late = slope(g, seeds, ROW_D, late);
    hora_free(values);
}

void hora_rates_summarise(rates_report *r) {
    for (int i = 0; i < r->run->groups; i++)
        summarise(&r->sum[i], &r->run->group[i], r->run->c->seeds);
}

const rates_summary *hora_rates_summary_find(const rates_report *r, rates_setting s, rates_kind t,
                                             const char *student, int init) {
    const rates_group *g = hora_rates_find(r->run, s, t, student, init, false);
    return g ? &r->sum[g - r->run->group] : NULL;
}

/* --- JSON ------------------------------------------------------------------------------------- */
static void set_text(hora_json *o, const char *key, const char *v) {
    hora_json_set(o, key, hora_json_new_string(v));
}
static void set_int(hora_json *o, const char *key, int64_t v) {
    hora_json_set(o, key, hora_json_new_int(v));
}
static void set_real(hora_json *o, const char *key, double v) {
    hora_json_set(o, key, hora_json_new_real(v));
}

static hora_json *options_json(const rates_config *c) {
    hora_json *o = hora_json_new_object();
    const char *const lists[][2] = {{"setting", c->setting},
                                    {"teacher", c->teacher},
                                    {"student", c->student},
                                    {"init", c->init},
                                    {"n", c->n}};
    for (size_t i = 0; i < HORA_COUNT(lists); i++)
        if (lists[i][1])
            set_text(o, lists[i][0], lists[i][1]);
    set_int(o, "seeds", c->seeds);
    set_int(o, "seed", c->seed);
    set_real(o, "sigma", c->sigma);
    hora_json_set(o, "quick", hora_json_new_bool(c->quick));
    hora_json_set(o, "all", hora_json_new_bool(c->all));
    return o;
}

static hora_json *curves_json(const rates_algebra *a) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; i < CURVES; i++) {
        const rates_curve *c = &a->curve[i];
        hora_json *o = hora_json_push(list, hora_json_new_object());
        const bool flat = c->most <= 1e-12;
        set_text(o, "curve", c->name);
        hora_json_set(o, "flat", hora_json_new_bool(flat));
        hora_json_set(o, "slope", flat ? hora_json_new_null() : hora_json_new_real(c->slope));
        set_real(o, "largest_gap", c->most);
    }
    return list;
}

static hora_json *ranks_json(const rates_algebra *a) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; i < RANKS; i++) {
        hora_json *o = hora_json_push(list, hora_json_new_object());
        set_text(o, "setting", hora_rates_setting_names[a->rank[i].setting]);
        set_text(o, "student", a->rank[i].student);
        set_int(o, "rank", a->rank[i].rank);
        set_int(o, "expected", a->rank[i].expected);
    }
    return list;
}

static hora_json *group_head(const rates_group *g, int64_t seeds) {
    hora_json *o = hora_json_new_object();
    set_text(o, "setting", hora_rates_setting_names[g->setting]);
    set_text(o, "teacher", hora_rates_teacher_names[g->teacher]);
    set_text(o, "student", g->student->name);
    set_text(o, "init", hora_rates_init_names[g->init]);
    set_int(o, "p", g->p);
    set_int(o, "heads", g->heads);
    set_int(o, "seeds", seeds);
    return o;
}

static hora_json *group_json(const rates_summary *s, int64_t seeds) {
    const rates_group *g = s->group;
    hora_json *o = group_head(g, seeds);
    hora_json *n = hora_json_set(o, "n", hora_json_new_array());
    for (int k = 0; k < g->sizes; k++)
        hora_json_push(n, hora_json_new_int(g->n[k]));
    for (int m = 0; m < SUM_MEASURES; m++) {
        hora_json *of = hora_json_set(o, measures[m].name, hora_json_new_object());
        set_real(of, "slope", s->slope[m].value);
        set_real(of, "lo", s->slope[m].lo);
        set_real(of, "hi", s->slope[m].hi);
        set_real(of, "first", s->median[m][0]);
        set_real(of, "last", s->median[m][g->sizes - 1]);
        set_int(of, "seeds", seeds);
        hora_json *medians = hora_json_set(of, "medians", hora_json_new_array());
        for (int k = 0; k < g->sizes; k++)
            hora_json_push(medians, hora_json_new_real(s->median[m][k]));
    }
    hora_json_set(o, "D_slope_from_n_1000", hora_interval_json(&s->late));
    return o;
}

static hora_json *limit_json(const rates_summary *s, int64_t seeds) {
    static const int columns[] = {ROW_MSE, ROW_Q, ROW_V};
    hora_json *o = group_head(s->group, seeds);
    for (size_t i = 0; i < HORA_COUNT(columns); i++) {
        double *values = hora_malloc((size_t)seeds * sizeof *values);
        for (int64_t k = 0; k < seeds; k++)
            values[k] = hora_rates_value(s->group, seeds, 0, k, columns[i]);
        hora_json *of = hora_json_set(o, hora_rates_columns[columns[i]], hora_json_new_object());
        set_real(of, "median", hora_median(values, seeds));
        set_real(of, "most", hora_quantile(values, seeds, 1));
        hora_free(values);
    }
    return o;
}

static const char *const limits[] = {
    "The model is ours: the paper's assumptions and losses were not compared line by line with it.",
    "One layer, one query token, linear experts, rank 1, Gaussian noise, least squares.",
    "Starts near the truth favour convergence for everybody.",
    "Voronoi slopes at these n are pre-asymptotic: cells gain and lose heads, worst with the tanh "
    "teacher. Logarithms, and exponential against merely slower than polynomial, cannot be told "
    "apart here.",
    "Single teachers differ: fewer than 16 seeds show little.",
    "A better exponent concerns the matrices, and needs over-specified heads that can be "
    "exchanged; "
    "for prediction the gain of sharing is a constant.",
    "Nothing here says that trained transformers share structure across heads: hora theory hmoe "
    "and "
    "hora theory lowdata --model are the way to ask.",
};

hora_json *hora_rates_report_json(const rates_report *r) {
    const rates_run *run = r->run;
    hora_json *o = hora_json_new_object();
    set_text(o, "command", "hora theory rates");
    set_text(o, "version", HORA_VERSION);
    hora_json_set(o, "options", options_json(run->c));
    hora_json_set(o, "curves", curves_json(r->algebra));
    hora_json_set(o, "ranks", ranks_json(r->algebra));
    set_real(o, "jacobian_error", r->algebra->jacobian);
    hora_json *groups = hora_json_set(o, "groups", hora_json_new_array());
    hora_json *limit = hora_json_set(o, "limit", hora_json_new_array());
    for (int i = 0; i < run->groups; i++) {
        if (run->group[i].limit)
            hora_json_push(limit, limit_json(&r->sum[i], run->c->seeds));
        else
            hora_json_push(groups, group_json(&r->sum[i], run->c->seeds));
    }
    hora_json_set(o, "checks", hora_json_copy(r->checks));
    hora_json_set(o, "verdicts", hora_json_copy(r->verdicts));
    hora_json *said = hora_json_set(o, "limits", hora_json_new_array());
    for (size_t i = 0; i < HORA_COUNT(limits); i++)
        hora_json_push(said, hora_json_new_string(limits[i]));
    return o;
}

/* --- text ------------------------------------------------------------------------------------- */
static void cell_text(const rates_summary *s, int m, hora_str *out) {
    char cell[96];
    const hora_interval *v = &s->slope[m];
    const double first = s->median[m][0], last = s->median[m][s->group->sizes - 1];
    if (isnan(v->value))
        hora_snprintf(cell, sizeof cell, "%.2g", last);
    else
        hora_snprintf(cell, sizeof cell, "%.2f [%.2f, %.2f] %.2g>%.2g", v->value, v->lo, v->hi,
                      first, last);
    hora_str_printf(out, "  %-33s", cell);
}

static void groups_text(const rates_report *r, hora_str *out) {
    const double sigma = r->run->c->sigma;
    hora_str_printf(
        out,
        "slopes over n with 95 %% intervals (%lld seeds), medians at the first>last n; k: the "
        "last mse n / sigma^2\n%-24s %-12s %3s  %-33s  %-33s  %-33s  %s\n",
        (long long)r->run->c->seeds, "setting, teacher, start", "student", "p", "D", "V", "mse",
        "k");
    for (int i = 0; i < r->run->groups; i++) {
        const rates_summary *s = &r->sum[i];
        const rates_group *g = s->group;
        if (g->limit)
            continue;
        char *where =
            hora_format("%s, %s, %s", hora_rates_setting_names[g->setting],
                        hora_rates_teacher_names[g->teacher], hora_rates_init_names[g->init]);
        hora_str_printf(out, "%-24s %-12s %3d", where, g->student->name, g->p);
        cell_text(s, SUM_D, out);
        cell_text(s, SUM_V, out);
        cell_text(s, SUM_MSE, out);
        hora_str_printf(out, "  %.3g\n",
                        s->median[SUM_MSE][g->sizes - 1] * (double)g->n[g->sizes - 1] /
                            (sigma * sigma));
        hora_free(where);
    }
}

static void limit_text(const rates_report *r, hora_str *out) {
    bool headed = false;
    for (int i = 0; i < r->run->groups; i++) {
        const rates_summary *s = &r->sum[i];
        const rates_group *g = s->group;
        if (!g->limit)
            continue;
        if (!headed)
            hora_str_puts(out, "\npopulation limit (n 1000, sigma 1e-8), medians\n");
        headed = true;
        hora_str_printf(out, "  %s %-8s %-7s mse %.2g  Q %.2g  V %.2g\n",
                        hora_rates_setting_names[g->setting], g->student->name,
                        hora_rates_init_names[g->init], s->median[SUM_MSE][0], s->median[SUM_Q][0],
                        s->median[SUM_V][0]);
    }
}

void hora_rates_report_text(const rates_report *r, hora_str *out) {
    const rates_algebra *a = r->algebra;
    hora_str_puts(out, "gap along curves through the truth\n");
    for (int i = 0; i < CURVES; i++)
        if (a->curve[i].most <= 1e-12)
            hora_str_printf(out, "  %-34s flat (largest gap %.1e)\n", a->curve[i].name,
                            a->curve[i].most);
        else
            hora_str_printf(out, "  %-34s slope %.3f\n", a->curve[i].name, a->curve[i].slope);
    hora_str_puts(out, "Fisher ranks:");
    for (int i = 0; i < RANKS; i++)
        hora_str_printf(out, "%s %s %s %d", i ? "," : "",
                        hora_rates_setting_names[a->rank[i].setting], a->rank[i].student,
                        a->rank[i].rank);
    hora_str_puts(out, "\n\n");
    groups_text(r, out);
    limit_text(r, out);
    hora_str_puts(out, "\nchecks\n");
    hora_checks_text(r->checks, out);
    hora_str_puts(out, "\nverdicts (of our model; see docs/theory.md)\n");
    hora_verdicts_text(r->verdicts, out);
    hora_str_puts(out, "\nlimits\n");
    for (size_t i = 0; i < HORA_COUNT(limits); i++)
        hora_str_printf(out, "- %s\n", limits[i]);
}

/* --- files ------------------------------------------------------------------------------------ */
static void rows_csv(const rates_report *r, hora_str *out) {
    char number[32];
    hora_str_puts(out, "setting,teacher,student,init,n,seed,p,heads");
    for (int i = 0; i < ROW_VALUES; i++)
        hora_str_printf(out, ",%s", hora_rates_columns[i]);
    hora_str_putc(out, '\n');
    for (int64_t k = 0; k < r->run->count; k++) {
        const rates_row *row = &r->run->rows[k];
        const rates_group *g = &r->run->group[row->group];
        if (g->limit)
            continue;
        hora_str_printf(out, "%s,%s,%s,%s,%lld,%llu,%d,%d", hora_rates_setting_names[g->setting],
                        hora_rates_teacher_names[g->teacher], g->student->name,
                        hora_rates_init_names[g->init], (long long)row->n,
                        (unsigned long long)row->seed, g->p, g->heads);
        for (int i = 0; i < ROW_VALUES; i++)
            hora_str_printf(out, ",%s", hora_format_real(number, row->value[i]));
        hora_str_putc(out, '\n');
    }
}

static void curves_csv(const rates_report *r, hora_str *out) {
    char t[32], gap[32], d[32];
    hora_str_puts(out, "curve,t,gap,D\n");
    for (int i = 0; i < CURVES; i++) {
        const rates_curve *c = &r->algebra->curve[i];
        for (int k = 0; k < CURVE_POINTS; k++)
            hora_str_printf(out, "%s,%s,%s,%s\n", c->name, hora_format_real(t, c->t[k]),
                            hora_format_real(gap, c->gap[k]), hora_format_real(d, c->d[k]));
    }
}

static hora_status write_text(const rates_report *r, const char *name, const hora_str *text) {
    return hora_outdir_write(r->run->out, name, text->s, text->n);
}

hora_status hora_rates_write(const rates_report *r, const hora_json *json) {
    hora_str rows = {0}, curves = {0}, all = {0};
    rows_csv(r, &rows);
    curves_csv(r, &curves);
    hora_json_dump(json, 2, false, &all);
    hora_str_putc(&all, '\n');
    hora_status s;
    HORA_TRY_OUT(s, write_text(r, "rates.csv", &rows));
    HORA_TRY_OUT(s, write_text(r, "curves.csv", &curves));
    HORA_TRY_OUT(s, write_text(r, "rates.json", &all));
out:
    hora_str_release(&rows);
    hora_str_release(&curves);
    hora_str_release(&all);
    return s == HORA_OK ? hora_rates_draw(r) : s;
}
