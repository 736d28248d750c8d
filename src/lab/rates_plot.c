/*
 * The pictures of `hora theory rates`: a panel per setting, D above mse, medians with quartile
 * bands. Data in NAME-plot.csv, one block per line of the picture.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "lab/plot.h"
#include "lab/rates_run_impl.h"

/* Line style of a student: the same in every picture. */
static int style_of(const rates_student *st) {
    return (int)(st - hora_rates_students) + 1;
}

static void block_csv(const rates_report *r, const rates_group *g, hora_str *out) {
    static const int columns[] = {ROW_D, ROW_MSE};
    const int64_t seeds = r->run->c->seeds;
    double *values = hora_malloc((size_t)seeds * sizeof *values);
    hora_str_printf(out, "# %s %s %s %s: n, then median and quartiles of D and of mse\n",
                    hora_rates_setting_names[g->setting], hora_rates_teacher_names[g->teacher],
                    g->student->name, hora_rates_init_names[g->init]);
    for (int k = 0; k < g->sizes; k++) {
        hora_str_printf(out, "%lld", (long long)g->n[k]);
        for (int m = 0; m < 2; m++) {
            for (int64_t i = 0; i < seeds; i++)
                values[i] = hora_rates_value(g, seeds, k, i, columns[m]);
            hora_str_printf(out, ",%.6g,%.6g,%.6g", hora_median(values, seeds),
                            hora_quantile(values, seeds, 0.25), hora_quantile(values, seeds, 0.75));
        }
        hora_str_putc(out, '\n');
    }
    hora_str_puts(out, "\n\n");
    hora_free(values);
}

/* One plot command: bands, lines, guides. `column` 2: D, 5: mse. */
static void panel(const rates_report *r, const int *list, const int *block, int n, int column,
                  const char *file, hora_str *out) {
    const int measure = column == 2 ? SUM_D : SUM_MSE;
    double low = INFINITY;
    hora_str_puts(out, "plot \\\n");
    for (int i = 0; i < n; i++)
        hora_str_printf(out,
                        "  \"%s\" index %d using 1:%d:%d with filledcurves ls %d fillstyle "
                        "transparent solid 0.15 noborder notitle, \\\n",
                        file, block[i], column + 1, column + 2,
                        style_of(r->run->group[list[i]].student));
    for (int i = 0; i < n; i++) {
        const rates_summary *s = &r->sum[list[i]];
        hora_str_printf(
            out, "  \"%s\" index %d using 1:%d with linespoints ls %d title \"%s (%.2f)\", \\\n",
            file, block[i], column, style_of(s->group->student), s->group->student->name,
            s->slope[measure].value);
        low = fmin(low, s->median[measure][0]);
    }
    const double n0 = (double)r->run->group[list[0]].n[0],
                 high = r->sum[list[0]].median[measure][0];
    if (column == 2) /* guides */
        hora_str_printf(out,
                        "  %g * (x / %g)**(-0.5) with lines ls 9 title \"guide (-1/2)\", "
                        "\\\n  %g with lines ls 9 title \"guide (0)\"\n",
                        low / 2, n0, high);
    else
        hora_str_printf(out, "  %g * (x / %g)**(-1) with lines ls 9 title \"guide (-1)\"\n",
                        low / 2, n0);
}

static void axes(const rates_group *g, hora_str *out) {
    hora_str_puts(out, "set logscale xy\nset format y \"10^{%L}\"\nset xlabel \"n\"\n"
                       "set xtics (");
    for (int k = 0; k < g->sizes; k++)
        hora_str_printf(out, "%s%lld", k ? ", " : "", (long long)g->n[k]);
    hora_str_printf(out,
                    ")\nset xrange [%g:%g]\nset key below height 1 maxrows 3 samplen 3 spacing 1.1 "
                    "font \",8\"\n",
                    0.85 * (double)g->n[0], 1.18 * (double)g->n[g->sizes - 1]);
}

/* The picture of one teacher and one kind of start. */
static hora_status draw(const rates_report *r, rates_kind t, int init, const char *name) {
    const rates_run *run = r->run;
    char *file = hora_format("%s-plot.csv", name);
    int list[RATES_SETTINGS][RATES_GROUPS], block[RATES_SETTINGS][RATES_GROUPS];
    int n[RATES_SETTINGS] = {0}, blocks = 0, panels = 0, first = -1;
    hora_str data = {0}, body = {0};
    for (int i = 0; i < run->groups; i++) {
        const rates_group *g = &run->group[i];
        if (g->limit || g->teacher != t || g->init != init)
            continue;
        list[g->setting][n[g->setting]] = i;
        block[g->setting][n[g->setting]++] = blocks++;
        first = first < 0 ? i : first;
        block_csv(r, g, &data);
    }
    for (int s = 0; s < RATES_SETTINGS; s++)
        panels += n[s] > 0;
    axes(&run->group[first], &body);
    hora_str_printf(&body, "set multiplot layout 2,%d\n", panels);
    for (int row = 0; row < 2; row++)
        for (int s = 0, at = 0; s < RATES_SETTINGS; s++) {
            if (!n[s])
                continue;
            hora_str_printf(&body, "set title \"%s, %s teacher (slopes)\"\nset ylabel \"%s\"\n",
                            hora_rates_setting_names[s], hora_rates_teacher_names[t],
                            at++  ? ""
                            : row ? "squared prediction error"
                                  : "Voronoi distance D");
            panel(r, list[s], block[s], n[s], row ? 5 : 2, file, &body);
        }
    hora_str_puts(&body, "unset multiplot\n");
    bool drawn;
    hora_status st = hora_outdir_write(run->out, file, data.s, data.n);
    const hora_plot p = {run->out, name, 3.4 * panels, 6.4, body.s};
    if (st == HORA_OK)
        st = hora_plot_draw(&p, &drawn);
    hora_str_release(&data);
    hora_str_release(&body);
    hora_free(file);
    return st;
}

/* The first combination of teacher and start is rates.svg, the others have them in their names. */
hora_status hora_rates_draw(const rates_report *r) {
    bool seen[3][2] = {{false}};
    int pictures = 0;
    for (int i = 0; i < r->run->groups; i++) {
        const rates_group *g = &r->run->group[i];
        if (g->limit || g->sizes < 2 || seen[g->teacher][g->init])
            continue;
        seen[g->teacher][g->init] = true;
        char *name = pictures++ ? hora_format("rates-%s-%s", hora_rates_teacher_names[g->teacher],
                                              hora_rates_init_names[g->init])
                                : hora_strdup("rates");
        const hora_status s = draw(r, g->teacher, g->init, name);
        hora_free(name);
        HORA_TRY(s);
    }
    return HORA_OK;
}
