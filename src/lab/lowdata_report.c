/*
 * Ratios, verdicts and files of the simulated low-data experiment.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "lab/lowdata_impl.h"
#include "lab/plot.h"
#include "lab/report.h"

typedef struct summary {                            /* of one teacher */
    double excess[LOWDATA_STUDENTS][LOWDATA_SIZES]; /* median of mse / unadapted */
    /* mse over that of lora (with ridge: over lora's with ridge), geometric mean over seeds */
    hora_interval ratio[LOWDATA_STUDENTS][LOWDATA_SIZES];
} summary;

static const lowdata_row *row_at(const lowdata_run *r, int teacher, int student, int size,
                                 int64_t seed) {
    return &r->rows[hora_lowdata_sim_at(r, teacher, student, size, seed)];
}

static void summarise(const lowdata_run *r, int g, summary *s) {
    double *excess = hora_malloc((size_t)r->c->seeds * 2 * sizeof *excess);
    double *ratio = excess + r->c->seeds;
    for (int k = 0; k < r->students; k++)
        for (int size = 0; size < r->sizes; size++) {
            const int lora = k < LOWDATA_PLAIN ? 0 : LOWDATA_PLAIN;
            for (int64_t i = 0; i < r->c->seeds; i++) {
                const lowdata_row *row = row_at(r, g, k, size, i);
                excess[i] = row->mse / row->unadapted;
                ratio[i] = log(row->mse / row_at(r, g, lora, size, i)->mse);
            }
            const hora_interval v = hora_bootstrap_mean(ratio, r->c->seeds, "lowdata.ratio");
            s->excess[k][size] = hora_median(excess, r->c->seeds);
            s->ratio[k][size] = (hora_interval){exp(v.value), exp(v.lo), exp(v.hi)};
        }
    hora_free(excess);
}

/* --- checks and verdicts ---------------------------------------------------------------------- */
static hora_json *check_all(const lowdata_run *r, const summary *s) {
    hora_json *checks = hora_json_new_array();
    int64_t broken = 0;
    for (int64_t i = 0; i < hora_lowdata_sim_at(r, LOWDATA_TEACHERS, 0, 0, 0); i++)
        broken += !isfinite(r->rows[i].mse) || !isfinite(r->rows[i].loss);
    hora_check(checks, HORA_CHECK_SOUND, "errors that are not finite", (double)broken, 0, 0);
    for (int k = 0; k < r->students; k++) {
        char *name = hora_format("parameters of %s", hora_lowdata_students[k].name);
        hora_check(checks, HORA_CHECK_SOUND, name, hora_lowdata_model_of(k).count,
                   hora_lowdata_students[k].expected, hora_lowdata_students[k].expected);
        hora_free(name);
    }
    for (int size = 0; size < r->sizes; size++) {
        if (r->n[size] != 512)
            continue;
        hora_check(checks, HORA_CHECK_FINDING, "g 0: ratio linear / lora at n 512",
                   s[0].ratio[1][size].value, 0.70, 0.88);
        hora_check(checks, HORA_CHECK_FINDING, "g 1: ratio linear / lora at n 512",
                   s[2].ratio[1][size].value, 1.5, INFINITY);
    }
    return checks;
}

/* "Gains in low-data regimes" for a teacher: do both smallest n say so? */
static hora_json *verdict_of(const lowdata_run *r, int g, const summary *s) {
    const bool enough = r->sizes > 1 && r->c->seeds >= HORA_FEW_SEEDS;
    bool below = enough, above = enough;
    char because[512], crossing[96] = "no n here where sharing is worse for certain";
    for (int size = 0; size < 2 && size < r->sizes; size++) {
        below &= s->ratio[1][size].hi < 1;
        above &= s->ratio[1][size].lo > 1;
    }
    for (int size = r->sizes - 1; size >= 0; size--)
        if (s->ratio[1][size].lo > 1)
            hora_snprintf(crossing, sizeof crossing, "worse for certain from n %lld on",
                          (long long)r->n[size]);
    hora_snprintf(because, sizeof because,
                  "linear / lora is %.2f [%.2f, %.2f] at n %lld; %s; at that n lora has %.2g and "
                  "linear %.2g of the error without adapter%s",
                  s->ratio[1][0].value, s->ratio[1][0].lo, s->ratio[1][0].hi, (long long)r->n[0],
                  crossing, s->excess[0][0], s->excess[1][0],
                  s->excess[0][0] > 1 && s->excess[1][0] > 1 ? " (both are worse than nothing)"
                                                             : "");
    hora_json *o = hora_json_new_object();
    char *where = hora_format("teacher g = %g", hora_lowdata_g[g]);
    hora_json_set(o, "where", hora_json_new_string(where));
    hora_json_set(o, "claim", hora_json_new_string("sharing gains where data are few"));
    hora_json_set(o, "verdict",
                  hora_json_new_string(below   ? "supported"
                                       : above ? "refuted"
                                               : "not shown"));
    hora_json_set(o, "because", hora_json_new_string(because));
    hora_free(where);
    return o;
}

/* --- JSON and text ---------------------------------------------------------------------------- */
static const char *const limits[] = {
    "The model is ours: one layer, one query token, labelled heads, rank 1, Gaussian noise.",
    "How much real models share across heads (g) is not known; hora theory lowdata --model asks.",
};

static hora_json *student_json(const lowdata_run *r, int g, int k, const summary *s) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "g", hora_json_new_real(hora_lowdata_g[g]));
    hora_json_set(o, "student", hora_json_new_string(hora_lowdata_students[k].name));
    hora_json_set(o, "p", hora_json_new_int(hora_lowdata_model_of(k).count));
    hora_json *by_n = hora_json_set(o, "sizes", hora_json_new_array());
    for (int size = 0; size < r->sizes; size++) {
        hora_json *at = hora_json_push(by_n, hora_json_new_object());
        hora_json_set(at, "n", hora_json_new_int(r->n[size]));
        hora_json_set(at, "excess", hora_json_new_real(s->excess[k][size]));
        hora_json_set(at, "ratio_to_lora", hora_interval_json(&s->ratio[k][size]));
    }
    return o;
}

static hora_json *report_json(const lowdata_run *r, const summary *s) {
    hora_json *o = hora_json_new_object(), *c = hora_json_new_object();
    hora_json_set(o, "command", hora_json_new_string("hora theory lowdata"));
    hora_json_set(o, "version", hora_json_new_string(HORA_VERSION));
    hora_json_set(o, "options", c);
    hora_json_set(c, "seeds", hora_json_new_int(r->c->seeds));
    hora_json_set(c, "seed", hora_json_new_int(r->c->seed));
    hora_json_set(c, "sigma", hora_json_new_real(r->c->sigma));
    hora_json *groups = hora_json_set(o, "groups", hora_json_new_array());
    hora_json *verdicts = hora_json_new_array(), *said = hora_json_new_array();
    for (int g = 0; g < LOWDATA_TEACHERS; g++) {
        for (int k = 0; k < r->students; k++)
            hora_json_push(groups, student_json(r, g, k, &s[g]));
        hora_json_push(verdicts, verdict_of(r, g, &s[g]));
    }
    hora_json_set(o, "checks", check_all(r, s));
    hora_json_set(o, "verdicts", verdicts);
    for (size_t i = 0; i < HORA_COUNT(limits); i++)
        hora_json_push(said, hora_json_new_string(limits[i]));
    hora_json_set(o, "limits", said);
    return o;
}

static void table_text(const lowdata_run *r, const summary *s, hora_str *out) {
    hora_str_puts(out, "excess error / error without adapter (median), and error over lora's "
                       "(geometric mean, 95 % interval)\n");
    hora_str_printf(out, "%-4s %-10s %4s", "g", "student", "p");
    for (int size = 0; size < r->sizes; size++)
        hora_str_printf(out, "  n %-22lld", (long long)r->n[size]);
    hora_str_putc(out, '\n');
    for (int g = 0; g < LOWDATA_TEACHERS; g++)
        for (int k = 0; k < r->students; k++) {
            hora_str_printf(out, "%-4g %-10s %4d", hora_lowdata_g[g], hora_lowdata_students[k].name,
                            hora_lowdata_model_of(k).count);
            for (int size = 0; size < r->sizes; size++) {
                char cell[64];
                const hora_interval *v = &s[g].ratio[k][size];
                if (k % LOWDATA_PLAIN)
                    hora_snprintf(cell, sizeof cell, "%.2g  %.2f [%.2f, %.2f]",
                                  s[g].excess[k][size], v->value, v->lo, v->hi);
                else
                    hora_snprintf(cell, sizeof cell, "%.2g", s[g].excess[k][size]);
                hora_str_printf(out, "  %-24s", cell);
            }
            hora_str_putc(out, '\n');
        }
}

static void report_text(const lowdata_run *r, const summary *s, const hora_json *json,
                        hora_str *out) {
    const hora_json *verdicts = hora_json_get(json, "verdicts");
    table_text(r, s, out);
    hora_str_puts(out, "\nchecks\n");
    hora_checks_text(hora_json_get(json, "checks"), out);
    hora_str_puts(out, "\nverdicts (of our model; see docs/theory.md)\n");
    hora_verdicts_text(verdicts, out);
    hora_str_puts(out, "\nlimits\n");
    for (size_t i = 0; i < HORA_COUNT(limits); i++)
        hora_str_printf(out, "- %s\n", limits[i]);
}

/* --- files ------------------------------------------------------------------------------------ */
static void rows_csv(const lowdata_run *r, hora_str *out) {
    char mse[32], unadapted[32], loss[32];
    hora_str_puts(out, "g,student,p,n,seed,mse,unadapted,loss,iterations\n");
    for (int g = 0; g < LOWDATA_TEACHERS; g++)
        for (int k = 0; k < r->students; k++)
            for (int size = 0; size < r->sizes; size++)
                for (int64_t i = 0; i < r->c->seeds; i++) {
                    const lowdata_row *row = row_at(r, g, k, size, i);
                    hora_str_printf(out, "%g,%s,%d,%lld,%lld,%s,%s,%s,%d\n", hora_lowdata_g[g],
                                    hora_lowdata_students[k].name, hora_lowdata_model_of(k).count,
                                    (long long)r->n[size], (long long)(r->c->seed + i),
                                    hora_format_real(mse, row->mse),
                                    hora_format_real(unadapted, row->unadapted),
                                    hora_format_real(loss, row->loss), row->steps);
                }
}

static void plot_csv(const lowdata_run *r, const summary *s, hora_str *out) {
    for (int g = 0; g < LOWDATA_TEACHERS; g++)
        for (int k = 0; k < LOWDATA_PLAIN; k++) {
            hora_str_printf(out, "# g %g, %s: n, excess / unadapted, ratio to lora, lo, hi\n",
                            hora_lowdata_g[g], hora_lowdata_students[k].name);
            for (int size = 0; size < r->sizes; size++)
                hora_str_printf(out, "%lld,%.6g,%.6g,%.6g,%.6g\n", (long long)r->n[size],
                                s[g].excess[k][size], s[g].ratio[k][size].value,
                                s[g].ratio[k][size].lo, s[g].ratio[k][size].hi);
            hora_str_puts(out, "\n\n");
        }
}

static void plot_body(const lowdata_run *r, hora_str *out) {
    hora_str_puts(out, "set logscale xy\nset xlabel \"n\"\nset xtics (");
    for (int size = 0; size < r->sizes; size++)
        hora_str_printf(out, "%s%lld", size ? ", " : "", (long long)r->n[size]);
    hora_str_printf(out,
                    ")\nset xrange [%g:%g]\nset key below height 1 samplen 3\nset multiplot layout "
                    "2,%d\n",
                    0.8 * (double)r->n[0], 1.25 * (double)r->n[r->sizes - 1], LOWDATA_TEACHERS);
    hora_str_puts(out, "set format y \"10^{%L}\"\n");
    for (int row = 0; row < 2; row++) {
        if (row)
            hora_str_puts(out, "set format y \"%g\"\nset ytics (0.25, 0.5, 1, 2, 4, 8)\n");
        for (int g = 0; g < LOWDATA_TEACHERS; g++) {
            const int at = g * LOWDATA_PLAIN;
            hora_str_printf(out, "set title \"%s (g = %g)\"\nset ylabel \"%s\"\nplot \\\n",
                            g == 0   ? "all shared"
                            : g == 1 ? "partly shared"
                                     : "nothing shared",
                            hora_lowdata_g[g],
                            g     ? ""
                            : row ? "error / LoRA's error"
                                  : "error / error without adapter");
            for (int k = row; k < LOWDATA_PLAIN; k++) {
                if (row)
                    hora_str_printf(out,
                                    "  \"lowdata-plot.csv\" index %d using 1:3:4:5 with "
                                    "yerrorbars ls %d dashtype 1 notitle, \\\n",
                                    at + k, k + 1);
                hora_str_printf(out,
                                "  \"lowdata-plot.csv\" index %d using 1:%d with linespoints "
                                "ls %d title \"%s\", \\\n",
                                at + k, row ? 3 : 2, k + 1, hora_lowdata_students[k].name);
            }
            hora_str_printf(out, "  1 with lines ls 9 title \"%s\"\n", row ? "lora" : "no adapter");
        }
    }
    hora_str_puts(out, "unset multiplot\n");
}

static hora_status write_text(const lowdata_run *r, const char *name, const hora_str *text) {
    return hora_outdir_write(r->out, name, text->s, text->n);
}

static hora_status write_all(const lowdata_run *r, const summary *s, const hora_json *json) {
    hora_str data = {0}, plot = {0}, all = {0}, body = {0};
    bool drawn;
    rows_csv(r, &data);
    plot_csv(r, s, &plot);
    plot_body(r, &body);
    hora_json_dump(json, 2, false, &all);
    hora_str_putc(&all, '\n');
    const hora_plot p = {r->out, "lowdata", 9.6, 6.4, body.s};
    hora_status st;
    HORA_TRY_OUT(st, write_text(r, "lowdata.csv", &data));
    HORA_TRY_OUT(st, write_text(r, "lowdata.json", &all));
    HORA_TRY_OUT(st, write_text(r, "lowdata-plot.csv", &plot));
    st = hora_plot_draw(&p, &drawn);
out:
    hora_str_release(&data);
    hora_str_release(&plot);
    hora_str_release(&all);
    hora_str_release(&body);
    return st;
}

hora_status hora_lowdata_sim_report(const lowdata_run *r, hora_json **out, hora_str *text) {
    summary s[LOWDATA_TEACHERS];
    for (int g = 0; g < LOWDATA_TEACHERS; g++)
        summarise(r, g, &s[g]);
    *out = report_json(r, s);
    report_text(r, s, *out, text);
    HORA_TRY(write_all(r, s, *out));
    return hora_checks_sound(hora_json_get(*out, "checks"));
}
