/*
 * What comes out of the trainings: for each student and size the rate that validation chose, its
 * loss over seeds, and the paired difference to LoRA; the claim is judged by the two smallest
 * sizes, as docs/theory.md says beforehand.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "lab/lowdata_model_impl.h"
#include "lab/plot.h"
#include "lab/report.h"

static const char limits[] =
    "Limits: one model, one text, a handful of seeds; loss on held-out text, not task error. With "
    "few seeds \"not shown\" is a likely outcome on small models. Rates come from one grid, chosen "
    "on validation sequences that are trained on by nobody. Nothing here says why a method wins.";

typedef struct cell { /* of a student and size */
    int rate;         /* index; -1: every rate blew up */
    hora_interval loss, difference;
    double bits_per_byte, steps_per_s, bytes;
} cell;

/* The rate with the lowest validation loss, by mean over seeds; one that blew up is none. -1: all
 * did. */
static int best_rate(const hora_lowdata_grid *g, int student, int size) {
    int best = -1;
    double lowest = INFINITY;
    for (int r = 0; r < g->rates; r++) {
        double sum = 0;
        for (int k = 0; k < g->seeds; k++)
            sum += hora_lowdata_at(g, student, size, r, k)->val_loss;
        if (sum < lowest) { /* never for NaN */
            lowest = sum;
            best = r;
        }
    }
    return best;
}

/* Losses of the chosen rate, per seed. */
static bool losses(const hora_lowdata_grid *g, int student, int size, double *out) {
    const int rate = best_rate(g, student, size);
    for (int k = 0; k < g->seeds && rate >= 0; k++)
        out[k] = hora_lowdata_at(g, student, size, rate, k)->eval_loss;
    return rate >= 0;
}

static hora_interval paired(const double *lora, const double *x, int n, const char *stream) {
    double d[64];
    for (int k = 0; k < n; k++)
        d[k] = lora[k] - x[k];
    return hora_bootstrap_mean(d, n, stream);
}

static cell cell_of(const hora_lowdata_grid *g, int s, int n) {
    const hora_interval none = {NAN, NAN, NAN};
    cell c = {.rate = best_rate(g, s, n), .loss = none, .difference = none};
    double own[64], lora[64];
    if (c.rate < 0)
        return c;
    losses(g, s, n, own);
    c.loss = hora_bootstrap_mean(own, g->seeds, "lowdata loss");
    if (s != HORA_LOWDATA_LORA && losses(g, HORA_LOWDATA_LORA, n, lora))
        c.difference = paired(lora, own, g->seeds, "lowdata difference");
    for (int k = 0; k < g->seeds; k++) {
        const hora_lowdata_run *r = hora_lowdata_at(g, s, n, c.rate, k);
        c.bits_per_byte += r->bits_per_byte / g->seeds;
        c.steps_per_s += r->steps_per_s / g->seeds;
        c.bytes = fmax(c.bytes, r->bytes);
    }
    return c;
}

/* Area under the loss over log n, divided by the width: a mean loss. Per seed. */
static bool areas(const hora_lowdata_grid *g, int s, double *out) {
    double a[64], b[64];
    const double width = log((double)g->n[g->sizes - 1] / (double)g->n[0]);
    for (int k = 0; k < g->seeds; k++)
        out[k] = 0;
    for (int n = 0; n + 1 < g->sizes; n++) {
        if (!losses(g, s, n, a) || !losses(g, s, n + 1, b))
            return false;
        const double w = log((double)g->n[n + 1] / (double)g->n[n]) / width;
        for (int k = 0; k < g->seeds; k++)
            out[k] += w * (a[k] + b[k]) / 2;
    }
    return g->sizes > 1;
}

/* A better rate may lie beyond the grid; of fewer than three rates one always lies at the end. */
static bool at_the_end(const hora_lowdata_grid *g, int rate) {
    return g->rates >= 3 && (rate == 0 || rate == g->rates - 1);
}

/* "supported", "refuted" or "not shown": the paired interval at the two smallest sizes. Too few
 * seeds or a rate at the end of the grid show nothing. */
static const char *verdict(const hora_lowdata_grid *g) {
    int above = 0, below = 0;
    for (int n = 0; n < 2 && n < g->sizes; n++) {
        const cell c = cell_of(g, HORA_LOWDATA_EQUAL, n);
        const cell lora = cell_of(g, HORA_LOWDATA_LORA, n);
        if (g->seeds < HORA_FEW_SEEDS || at_the_end(g, c.rate) || at_the_end(g, lora.rate))
            return "not shown";
        above += c.difference.lo > 0;
        below += c.difference.hi < 0;
    }
    return above == 2 ? "supported" : below == 2 ? "refuted" : "not shown";
}

/* --- JSON ------------------------------------------------------------------------------------- */
static hora_json *size_json(const hora_lowdata_grid *g, int s, int n) {
    const cell c = cell_of(g, s, n);
    double own[64];
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "n", hora_json_new_int(g->n[n]));
    hora_json_set(o, "trained_on", hora_json_new_int(g->train[n]));
    hora_json_set(o, "steps", hora_json_new_int(g->steps[n]));
    hora_json_set(o, "rate",
                  c.rate < 0 ? hora_json_new_null() : hora_json_new_real(g->rate[c.rate]));
    hora_json_set(o, "loss", hora_interval_json(&c.loss));
    hora_json *each = hora_json_set(o, "loss_by_seed", hora_json_new_array());
    for (int k = 0; losses(g, s, n, own) && k < g->seeds; k++)
        hora_json_push(each, hora_json_new_real(own[k]));
    hora_json_set(o, "bits_per_byte", hora_json_new_real(c.bits_per_byte));
    if (s != HORA_LOWDATA_LORA)
        hora_json_set(o, "lora_minus_this", hora_interval_json(&c.difference));
    hora_json_set(o, "steps_per_s", hora_json_new_real(c.steps_per_s));
    hora_json_set(o, "bytes", hora_json_new_real(c.bytes));
    return o;
}

static hora_json *report_json(const hora_lowdata_grid *g) {
    const hora_lowdata_model_config *c = g->config;
    hora_json *o = hora_json_new_object(), *list;
    double own[64], lora[64];
    hora_json_set(o, "model", hora_json_new_string(c->model));
    hora_json_set(o, "data", hora_json_new_string(c->data));
    hora_json_set(o, "eval", hora_json_new_string(c->eval));
    hora_json_set(o, "rank", hora_json_new_int(c->rank));
    hora_json_set(o, "seeds", hora_json_new_int(g->seeds));
    hora_json_set(o, "seq_len", hora_json_new_int(c->seq_len));
    hora_json_set(o, "batch_size", hora_json_new_int(c->batch_size));
    hora_json_set(o, "sequences", hora_json_new_int(g->sequences));
    hora_json_set(o, "eval_sequences", hora_json_new_int(g->eval_sequences));
    hora_json_set(o, "unadapted_loss", hora_json_new_real(g->base_loss));
    list = hora_json_set(o, "rates", hora_json_new_array());
    for (int i = 0; i < g->rates; i++)
        hora_json_push(list, hora_json_new_real(g->rate[i]));
    list = hora_json_set(o, "students", hora_json_new_array());
    for (int s = 0; s < g->students; s++) {
        hora_json *t = hora_json_push(list, hora_json_new_object());
        hora_json_set(t, "name", hora_json_new_string(g->student[s].name));
        hora_json_set(t, "options", hora_json_new_string(g->student[s].options));
        hora_json_set(t, "parameters", hora_json_new_int(g->student[s].parameters));
        hora_json *sizes = hora_json_set(t, "sizes", hora_json_new_array());
        for (int n = 0; n < g->sizes; n++)
            hora_json_push(sizes, size_json(g, s, n));
        if (!areas(g, s, own))
            continue;
        const hora_interval a = hora_bootstrap_mean(own, g->seeds, "lowdata area");
        hora_json_set(t, "area", hora_interval_json(&a));
        if (s != HORA_LOWDATA_LORA && areas(g, HORA_LOWDATA_LORA, lora)) {
            const hora_interval d = paired(lora, own, g->seeds, "lowdata area difference");
            hora_json_set(t, "area_lora_minus_this", hora_interval_json(&d));
        }
    }
    hora_json_set(o, "claim", hora_json_new_string(verdict(g)));
    hora_json_set(o, "limits", hora_json_new_string(limits));
    return o;
}

/* --- text ------------------------------------------------------------------------------------- */
static void put_interval(hora_str *t, const hora_interval *v, bool sign) {
    if (isnan(v->value))
        hora_str_printf(t, "%27s", "-");
    else if (sign)
        hora_str_printf(t, " %+8.4f [%+7.4f,%+7.4f]", v->value, v->lo, v->hi);
    else
        hora_str_printf(t, " %8.4f [%7.4f,%7.4f]", v->value, v->lo, v->hi);
}

static void report_text(const hora_lowdata_grid *g, hora_str *t) {
    double own[64], lora[64];
    char bytes[32];
    hora_str_printf(t,
                    "rank %lld on q and v, %d seeds, sequences of %lld tokens; stored numbers that "
                    "train:",
                    (long long)g->config->rank, g->seeds, (long long)g->config->seq_len);
    for (int s = 0; s < g->students; s++)
        hora_str_printf(t, "%s %s %lld", s ? "," : "", g->student[s].name,
                        (long long)g->student[s].parameters);
    hora_str_printf(t,
                    "\nunadapted loss %.4f on %lld sequences of %s\n\n"
                    "   size  trained  steps  student      rate    loss [95 %%]                 "
                    "LoRA - it [95 %%, paired]      steps/s  memory\n",
                    g->base_loss, (long long)g->eval_sequences, hora_path_base(g->config->eval));
    for (int n = 0; n < g->sizes; n++)
        for (int s = 0; s < g->students; s++) {
            const cell c = cell_of(g, s, n);
            hora_str_printf(t, "%7lld %8lld %6lld  %-9s", (long long)g->n[n],
                            (long long)g->train[n], (long long)g->steps[n], g->student[s].name);
            if (c.rate < 0) {
                hora_str_puts(t, "  every rate blew up\n");
                continue;
            }
            hora_str_printf(t, "%8.2g", g->rate[c.rate]);
            put_interval(t, &c.loss, false);
            put_interval(t, &c.difference, true);
            hora_str_printf(t, "%9.1f  %s%s\n", c.steps_per_s, hora_human_bytes(bytes, c.bytes),
                            g->rates > 1 && (c.rate == 0 || c.rate == g->rates - 1)
                                ? "  (rate at the end of the grid)"
                                : "");
        }
    hora_str_putc(t, '\n');
    for (int s = 0; s < g->students && areas(g, s, own); s++) {
        const hora_interval a = hora_bootstrap_mean(own, g->seeds, "lowdata area");
        hora_interval d = {NAN, NAN, NAN};
        if (s != HORA_LOWDATA_LORA && areas(g, HORA_LOWDATA_LORA, lora))
            d = paired(lora, own, g->seeds, "lowdata area difference");
        hora_str_printf(t, "mean over log n          %-9s        ", g->student[s].name);
        put_interval(t, &a, false);
        put_interval(t, &d, true);
        hora_str_putc(t, '\n');
    }
    hora_str_printf(t,
                    "\nThe paper's claim of gains where data are few, at equal parameters and the "
                    "two smallest sizes: %s here.\n%s\n",
                    verdict(g), limits);
}

/* --- files ------------------------------------------------------------------------------------ */
static void put_csv(hora_str *out, double v) {
    char text[32];
    hora_str_printf(out, ",%s", isnan(v) ? "NaN" : hora_format_real(text, v));
}

static void report_csv(const hora_lowdata_grid *g, hora_str *out) {
    hora_str_puts(out, "student,n,trained_on,parameters,rate,loss,loss_lo,loss_hi,bits_per_byte,"
                       "difference,difference_lo,difference_hi,steps_per_s,bytes\n");
    for (int s = 0; s < g->students; s++)
        for (int n = 0; n < g->sizes; n++) {
            const cell c = cell_of(g, s, n);
            const double row[] = {c.rate < 0 ? NAN : g->rate[c.rate],
                                  c.loss.value,
                                  c.loss.lo,
                                  c.loss.hi,
                                  c.bits_per_byte,
                                  c.difference.value,
                                  c.difference.lo,
                                  c.difference.hi,
                                  c.steps_per_s,
                                  c.bytes};
            hora_str_printf(out, "%s,%lld,%lld,%lld", g->student[s].name, (long long)g->n[n],
                            (long long)g->train[n], (long long)g->student[s].parameters);
            for (size_t i = 0; i < HORA_COUNT(row); i++)
                put_csv(out, row[i]);
            hora_str_putc(out, '\n');
        }
}

/* One curve per student; error bars of students stand beside each other. */
static void curves(const hora_lowdata_grid *g, const char *value, int first, hora_str *body) {
    for (int s = first; s < g->students; s++)
        hora_str_printf(body,
                        "%s\"lowdata.csv\" using (strcol(1) eq \"%s\" ? column(\"n\") * %.3f : "
                        "NaN):\"%s\":\"%s_lo\":\"%s_hi\" with yerrorlines ls %d title \"%s\"",
                        s > first ? ", " : "", g->student[s].name, 1 + 0.03 * (s - 1), value, value,
                        value, 1 + s % 6, g->student[s].name);
}

static hora_status draw(const hora_lowdata_grid *g, hora_outdir *dir, bool *drawn) {
    hora_str body = {0};
    hora_str_puts(&body, "set key below height 1 samplen 3\nset multiplot layout 1,2\nset logscale "
                         "x 2\nset xlabel \"sequences of the "
                         "subset\"\nset tics nomirror\nset xtics (");
    for (int n = 0; n < g->sizes; n++)
        hora_str_printf(&body, "%s%lld", n ? ", " : "", (long long)g->n[n]);
    hora_str_printf(&body, ")\nset xrange [%.4g:%.4g]\nset ylabel \"loss on held-out text\"\nplot ",
                    0.8 * (double)g->n[0], 1.25 * (double)g->n[g->sizes - 1]);
    curves(g, "loss", 0, &body);
    hora_str_puts(&body, "\nset ylabel \"loss of LoRA - loss (above 0: better than LoRA)\"\nplot 0 "
                         "ls 9 notitle, ");
    curves(g, "difference", 1, &body);
    hora_str_puts(&body, "\nunset multiplot\n");
    const hora_plot p = {dir, "lowdata", 9, 4, body.s};
    hora_status s = hora_plot_draw(&p, drawn);
    hora_str_release(&body);
    return s;
}

hora_status hora_lowdata_report(const hora_lowdata_grid *g, hora_outdir *dir, hora_json **out,
                                hora_str *table) {
    hora_json *json = report_json(g);
    hora_str text = {0}, csv = {0};
    bool drawn = false;
    report_text(g, table);
    hora_status s = HORA_OK;
    if (dir) {
        hora_json_dump(json, 1, false, &text);
        report_csv(g, &csv);
        if (!(s = hora_outdir_write(dir, "lowdata.json", text.s, text.n)) &&
            !(s = hora_outdir_write(dir, "lowdata.csv", csv.s, csv.n)))
            s = draw(g, dir, &drawn);
        hora_str_printf(table, "%s: lowdata.json, lowdata.csv, lowdata_runs.csv, lowdata.gp%s\n",
                        hora_outdir_path(dir),
                        drawn ? ", lowdata.svg, lowdata.png" : " (no picture without gnuplot)");
    }
    hora_str_release(&text);
    hora_str_release(&csv);
    if (s == HORA_OK)
        *out = json;
    else
        hora_json_free(json);
    return s;
}
