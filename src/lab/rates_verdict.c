/*
 * What the numbers say: checks with their bounds, and verdicts in words per claim and setting.
 * Bounds and rules are those of docs/theory.md.
 */
#include <math.h>

#include "base/text.h"
#include "lab/rates_run_impl.h"

enum { FEW_SIZES = 4 }; /* below, and with few seeds: slopes are reported, not checked */

static const rates_summary *linear_near(const rates_report *r, rates_setting s,
                                        const char *student) {
    return hora_rates_summary_find(r, s, RATES_LINEAR, student, RATES_NEAR);
}

static double last(const rates_summary *s, int measure) {
    return s->median[measure][s->group->sizes - 1];
}

static bool overlap(const hora_interval *a, const hora_interval *b) {
    return a->lo <= b->hi && b->lo <= a->hi;
}

/* Median of V in the population limit; NaN: not in this run. */
static double limit_v(const rates_report *r, const char *student, int init) {
    const rates_group *g = hora_rates_find(r->run, RATES_OVER, RATES_LINEAR, student, init, true);
    return g ? r->sum[g - r->run->group].median[SUM_V][0] : NAN;
}

/* --- checks ----------------------------------------------------------------------------------- */
static void check(rates_report *r, hora_check_kind kind, double value, double lo, double hi,
                  const char *fmt, ...) HORA_PRINTF(6, 7);
static void check(rates_report *r, hora_check_kind kind, double value, double lo, double hi,
                  const char *fmt, ...) {
    char name[160];
    va_list ap;
    va_start(ap, fmt);
    hora_vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    hora_check(r->checks, kind, name, value, lo, hi);
}

static void check_algebra(rates_report *r) {
    const rates_algebra *a = r->algebra;
    check(r, HORA_CHECK_SOUND, a->jacobian, 0, 1e-6, "Jacobian against central differences");
    for (int i = 0; i < RANKS; i++)
        check(r, HORA_CHECK_SOUND, a->rank[i].rank, a->rank[i].expected, a->rank[i].expected,
              "Fisher rank, %s %s", hora_rates_setting_names[a->rank[i].setting],
              a->rank[i].student);
    for (int i = 0; i < CURVES; i++) {
        const rates_curve *c = &a->curve[i];
        const bool exact = hora_starts(c->name, "exact");
        if (c->hi > 0)
            check(r, exact ? HORA_CHECK_SOUND : HORA_CHECK_FINDING, c->slope, c->lo, c->hi,
                  "curve %s, slope of the gap", c->name);
        else
            check(r, HORA_CHECK_FINDING, c->most, 0, 1e-12, "curve %s, largest gap", c->name);
    }
}

static void check_finite(rates_report *r) {
    int64_t broken = 0;
    for (int64_t i = 0; i < r->run->count; i++)
        for (int k = 0; k < ROW_VALUES; k++)
            broken += !isfinite(r->run->rows[i].value[k]);
    check(r, HORA_CHECK_SOUND, (double)broken, 0, 0, "numbers that are not finite");
}

/* Exact heads: wide has the model of lora in other coordinates (fact 5). At smaller n a fit
 * may end in another minimum than its twin. */
static void check_wide(rates_report *r) {
    const rates_summary *wide = linear_near(r, RATES_EXACT, "wide");
    const rates_summary *lora = linear_near(r, RATES_EXACT, "lora");
    double worst = 0;
    if (!wide || !lora)
        return;
    for (int64_t i = 0; i < wide->group->sizes * r->run->c->seeds; i++)
        if (wide->group->rows[i].n >= 1000)
            worst = fmax(
                worst,
                fabs(wide->group->rows[i].value[ROW_D] / lora->group->rows[i].value[ROW_D] - 1));
    check(r, HORA_CHECK_FINDING, worst, 0, 0.01,
          "exact, n >= 1000: D of wide is that of lora, fit for fit, largest difference");
}

static void check_over(rates_report *r, bool slopes) {
    const rates_summary *lora = linear_near(r, RATES_OVER, "lora");
    const rates_summary *linear = linear_near(r, RATES_OVER, "linear");
    if (!lora || !linear)
        return;
    const int64_t n = lora->group->n[lora->group->sizes - 1];
    if (n >= 4000)
        check(r, HORA_CHECK_FINDING, last(lora, SUM_D) / last(linear, SUM_D), n < 8000 ? 10 : 20,
              INFINITY, "over: D(lora) / D(linear) at n %lld", (long long)n);
    if (!slopes)
        return;
    check(r, HORA_CHECK_FINDING, lora->slope[SUM_V].value, -0.25, INFINITY,
          "over: slope of V, lora");
    check(r, HORA_CHECK_FINDING, linear->slope[SUM_D].value, -0.9, -0.4,
          "over: slope of D, linear");
}

static void check_regular(rates_report *r, rates_setting s) {
    const char *name = hora_rates_setting_names[s];
    const rates_summary *at[] = {linear_near(r, s, "lora"), linear_near(r, s, "linear")};
    for (int i = 0; i < 2; i++)
        if (at[i])
            check(r, HORA_CHECK_FINDING, at[i]->slope[SUM_D].value, -0.7, -0.3,
                  "%s: slope of D, %s", name, at[i]->group->student->name);
    if (at[0] && at[1])
        check(r, HORA_CHECK_FINDING,
              fmax(at[0]->slope[SUM_D].lo, at[1]->slope[SUM_D].lo) -
                  fmin(at[0]->slope[SUM_D].hi, at[1]->slope[SUM_D].hi),
              -INFINITY, 0, "%s: gap between the intervals of both slopes of D", name);
}

/* Students that contain their teacher predict at the rate 1/n. */
static void check_prediction(rates_report *r) {
    for (int i = 0; i < r->run->groups; i++) {
        const rates_summary *s = &r->sum[i];
        const rates_group *g = s->group;
        const bool biased = g->teacher == RATES_FREE && hora_eq(g->student->name, "linear");
        if (g->limit || g->init != RATES_NEAR || (g->teacher == RATES_FREE && g->student->m) ||
            (hora_eq(g->student->name, "tanh") && g->teacher != RATES_TANH))
            continue;
        check(r, HORA_CHECK_FINDING, s->slope[SUM_MSE].value, biased ? -0.3 : -1.25,
              biased ? INFINITY : -0.85, "%s, %s teacher: slope of mse, %s",
              hora_rates_setting_names[g->setting], hora_rates_teacher_names[g->teacher],
              g->student->name);
    }
}

static void check_limit(rates_report *r) {
    for (int init = RATES_NEAR; init <= RATES_RANDOM; init++) {
        const double linear = limit_v(r, "linear", init), lora = limit_v(r, "lora", init);
        if (!isnan(linear))
            check(r, HORA_CHECK_FINDING, linear, 0, 1e-3, "limit, %s start: V of linear",
                  hora_rates_init_names[init]);
        if (!isnan(lora))
            check(r, HORA_CHECK_FINDING, lora, 0.02, INFINITY, "limit, %s start: V of lora",
                  hora_rates_init_names[init]);
    }
}

void hora_rates_check_all(rates_report *r) {
    const rates_group *g = &r->run->group[0];
    const bool slopes = r->run->c->seeds >= HORA_FEW_SEEDS && g->sizes >= FEW_SIZES;
    check_algebra(r);
    check_finite(r);
    check_over(r, slopes);
    check_limit(r);
    if (!slopes)
        return;
    check_wide(r);
    check_regular(r, RATES_EXACT);
    check_regular(r, RATES_LABELLED);
    check_prediction(r);
}

/* --- verdicts --------------------------------------------------------------------------------- */
typedef enum { SUPPORTED, REFUTED, NOT_SHOWN } verdict;

static void say(rates_report *r, const char *where, const char *claim, verdict v, const char *fmt,
                ...) HORA_PRINTF(5, 6);
static void say(rates_report *r, const char *where, const char *claim, verdict v, const char *fmt,
                ...) {
    static const char *const names[] = {"supported", "refuted", "not shown"};
    const bool few = r->run->c->seeds < HORA_FEW_SEEDS; /* then nothing is, of whatever kind */
    hora_str why = {0};
    char because[512];
    va_list ap;
    va_start(ap, fmt);
    hora_vsnprintf(because, sizeof because, fmt, ap);
    va_end(ap);
    hora_json *o = hora_json_push(r->verdicts, hora_json_new_object());
    hora_json_set(o, "where", hora_json_new_string(where));
    hora_json_set(o, "claim", hora_json_new_string(claim));
    hora_json_set(o, "verdict", hora_json_new_string(names[few ? NOT_SHOWN : v]));
    hora_str_printf(&why, "%s%s", because,
                    few && v != NOT_SHOWN ? "; too few seeds for a verdict" : "");
    hora_json_set(o, "because", hora_json_new_string(why.s));
    hora_str_release(&why);
}

static const rates_curve *curve(const rates_report *r, const char *name) {
    for (int i = 0; i < CURVES; i++)
        if (hora_eq(r->algebra->curve[i].name, name))
            return &r->algebra->curve[i];
    HORA_BUG("no curve %s", name);
}

/* Unshared experts are not identified. */
static void judge_flat(rates_report *r) {
    const rates_curve *c = curve(r, "over lora B_V");
    const double v = limit_v(r, "lora", RATES_NEAR);
    const bool flat = c->most <= 1e-12;
    char limit[96] = "the population limit was not in this run";
    if (!isnan(v))
        hora_snprintf(limit, sizeof limit, "without noise lora's V stops at %.2g", v);
    say(r, "over", "an unshared V is not identified when heads are over-specified",
        !flat || v < 1e-3       ? REFUTED
        : isnan(v) || v >= 0.02 ? SUPPORTED
                                : NOT_SHOWN,
        "the gap along V + D, V - D is at most %.1e; %s", c->most, limit);
}

/* Tied heads reach n^(-1/4) in shared cells: the slope of V says so directly; D is quadratic there,
 * and steeper while cells still change hands. */
static void judge_tied(rates_report *r) {
    const rates_curve *c = curve(r, "over linear u");
    const rates_summary *linear = linear_near(r, RATES_OVER, "linear");
    const bool quadratic = c->slope >= c->lo && c->slope <= c->hi && c->most > 1e-12;
    const bool late = linear && !isnan(linear->late.value);
    if (!linear)
        return;
    const hora_interval *v = &linear->slope[SUM_V];
    say(r, "over", "tied heads are identified, at the rate n^(-1/4) in shared cells",
        c->slope > c->hi || (late && linear->late.lo > -0.3)    ? REFUTED
        : quadratic && late && v->lo <= -0.25 && v->hi >= -0.25 ? SUPPORTED
                                                                : NOT_SHOWN,
        "the gap grows with the power %.2f of the distance; V falls with slope %.2f [%.2f, %.2f] "
        "(-0.25 is expected), D, quadratic in shared cells, with %.2f [%.2f, %.2f] from n 1000 on",
        c->slope, v->value, v->lo, v->hi, linear->late.value, linear->late.lo, linear->late.hi);
}

static void judge_wide(rates_report *r) {
    const rates_summary *lora = linear_near(r, RATES_OVER, "lora");
    const rates_summary *wide = linear_near(r, RATES_OVER, "wide");
    if (!lora || !wide)
        return;
    const double ratio = last(lora, SUM_D) / last(wide, SUM_D);
    const bool same = overlap(&lora->slope[SUM_D], &wide->slope[SUM_D]);
    say(r, "over", "the tie between Q and V does it, not the presence of a generator",
        same && ratio < 3                                       ? SUPPORTED
        : same || wide->slope[SUM_D].lo > lora->slope[SUM_D].hi ? NOT_SHOWN
                                                                : REFUTED,
        "a generator wider than a head (wide) has slope %.2f [%.2f, %.2f] of D, lora %.2f [%.2f, "
        "%.2f]; the last D of lora is %.2g times that of wide",
        wide->slope[SUM_D].value, wide->slope[SUM_D].lo, wide->slope[SUM_D].hi,
        lora->slope[SUM_D].value, lora->slope[SUM_D].lo, lora->slope[SUM_D].hi, ratio);
}

/* Does sharing have the better exponent here? Refuted where both intervals overlap and the unshared
 * one is at least parametric-like: then nothing was slow. */
static void judge_exponent(rates_report *r, rates_setting s, rates_kind t, const char *shared) {
    const rates_summary *a = hora_rates_summary_find(r, s, t, "lora", RATES_NEAR);
    const rates_summary *b = hora_rates_summary_find(r, s, t, shared, RATES_NEAR);
    if (!a || !b || isnan(a->slope[SUM_D].value))
        return;
    const hora_interval *lora = &a->slope[SUM_D], *tied = &b->slope[SUM_D];
    const bool few = r->run->c->seeds < HORA_FEW_SEEDS || a->group->sizes < FEW_SIZES;
    verdict v = NOT_SHOWN;
    if (!few && tied->hi < lora->lo)
        v = SUPPORTED;
    else if (!few && (tied->lo > lora->hi || lora->hi < -0.3))
        v = REFUTED;
    char *where =
        hora_format("%s, %s teacher", hora_rates_setting_names[s], hora_rates_teacher_names[t]);
    char *claim = hora_format("sharing (%s) has the better exponent for the matrices", shared);
    say(r, where, claim, v,
        "slope of D: lora %.2f [%.2f, %.2f], %s %.2f [%.2f, %.2f]; at the last n D of lora is %.3g "
        "times, its mse %.3g times that of %s%s",
        lora->value, lora->lo, lora->hi, shared, tied->value, tied->lo, tied->hi,
        last(a, SUM_D) / last(b, SUM_D), last(a, SUM_MSE) / last(b, SUM_MSE), shared,
        few ? "; too few seeds or sizes for a verdict" : "");
    hora_free(where);
    hora_free(claim);
}

/* Sharing, where it is right, never predicts worse. Intervals of the paired ratio at each n. */
static void judge_prediction(rates_report *r, rates_setting s) {
    const rates_summary *a = linear_near(r, s, "lora"), *b = linear_near(r, s, "linear");
    const int64_t seeds = r->run->c->seeds;
    if (!a || !b)
        return;
    double *ratio = hora_malloc((size_t)seeds * sizeof *ratio), most = 0, least = INFINITY;
    bool worse = false, better = true;
    for (int k = 0; k < a->group->sizes; k++) {
        for (int64_t i = 0; i < seeds; i++)
            ratio[i] = log(hora_rates_value(b->group, seeds, k, i, ROW_MSE) /
                           hora_rates_value(a->group, seeds, k, i, ROW_MSE));
        const hora_interval v = hora_bootstrap_mean(ratio, seeds, "rates.ratio");
        worse |= v.lo > 0;
        better &= v.hi < 0;
        most = fmax(most, exp(v.value));
        least = fmin(least, exp(v.value));
    }
    hora_free(ratio);
    char *where = hora_format("%s, linear teacher", hora_rates_setting_names[s]);
    say(r, where, "sharing predicts better when it is right, by a constant",
        worse    ? REFUTED
        : better ? SUPPORTED
                 : NOT_SHOWN,
        "mse of linear is between %.2f and %.2f of lora's over these n (mean over seeds); both "
        "fall "
        "as 1/n",
        least, most);
    hora_free(where);
}

static void judge_decay(rates_report *r) {
    const rates_summary *lora = linear_near(r, RATES_OVER, "lora");
    const rates_summary *decay = linear_near(r, RATES_OVER, "lora-wd");
    const rates_summary *linear = linear_near(r, RATES_OVER, "linear");
    if (!lora || !decay || !linear)
        return;
    const hora_interval *d = &decay->slope[SUM_D];
    say(r, "over", "LoRA cannot recover the matrices (read: no estimator on free heads can)",
        d->hi < lora->slope[SUM_D].lo ? REFUTED : NOT_SHOWN,
        "with a little weight decay lora's D falls with slope %.2f [%.2f, %.2f], though it stays "
        "%.3g times that of linear: decay picks equal experts inside a cell",
        d->value, d->lo, d->hi, last(decay, SUM_D) / last(linear, SUM_D));
}

void hora_rates_verdict_all(rates_report *r) {
    judge_flat(r);
    judge_tied(r);
    judge_wide(r);
    for (int s = 0; s < RATES_SETTINGS; s++)
        for (int t = RATES_LINEAR; t <= RATES_FREE; t++) {
            judge_exponent(r, (rates_setting)s, (rates_kind)t, "linear");
            judge_exponent(r, (rates_setting)s, (rates_kind)t, "tanh");
        }
    for (int s = 0; s < RATES_SETTINGS; s++)
        judge_prediction(r, (rates_setting)s);
    judge_decay(r);
}
