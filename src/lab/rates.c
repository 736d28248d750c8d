/*
 * `hora theory rates` from options to results: what needs no fitting first, then the fits, then the
 * report.
 */
#include "lab/rates.h"

#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "lab/rates_run_impl.h"

enum { SPACE = 16 << 20 }; /* bytes that a run may leave in its folder */

static hora_status report(const rates_run *run, const rates_algebra *a, hora_json **out,
                          hora_str *text) {
    rates_report *r = hora_calloc(1, sizeof *r);
    *r = (rates_report){.run = run,
                        .algebra = a,
                        .checks = hora_json_new_array(),
                        .verdicts = hora_json_new_array()};
    hora_rates_summarise(r);
    hora_rates_check_all(r);
    hora_rates_verdict_all(r);
    *out = hora_rates_report_json(r);
    hora_rates_report_text(r, text);
    hora_status s;
    HORA_TRY_OUT(s, hora_rates_write(r, *out));
    HORA_TRY_OUT(s, hora_checks_sound(r->checks));
out:
    hora_json_free(r->checks);
    hora_json_free(r->verdicts);
    hora_free(r);
    return s;
}

static hora_status run_all(const rates_config *c, hora_json **out, hora_str *text) {
    rates_run *run = hora_calloc(1, sizeof *run);
    rates_algebra *a = hora_calloc(1, sizeof *a);
    const double start = hora_now();
    hora_status s;
    HORA_TRY_OUT(s, hora_rates_plan(run, c));
    HORA_TRY_OUT(s, hora_report_folder(&run->out, c->out, "rates curves",
                                       c->overwrite ? NULL : "rates.state", RATES_STATE_HEADER "\n",
                                       NULL, 0));
    HORA_TRY_OUT(s, hora_check_writable(c->out, SPACE));
    hora_rates_algebra_run(a);
    hora_info("curves and ranks are done; %lld fits follow", (long long)run->count);
    HORA_TRY_OUT(s, hora_rates_fit_all(run));
    HORA_TRY_OUT(s, report(run, a, out, text));
    hora_info("%s: %lld fits, %.0f s", c->out, (long long)run->count, hora_now() - start);
out:
    hora_outdir_close(run->out);
    hora_rates_run_release(run);
    hora_free(run);
    hora_free(a);
    return s;
}

hora_status hora_rates(hora_settings *settings, hora_json **out, hora_str *text) {
    rates_config c = {0};
    *out = NULL;
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&hora_rates_options, &c, settings));
    if (!c.seeds)
        c.seeds = c.quick ? 8 : 16;
    HORA_TRY_OUT(s, run_all(&c, out, text));
out:
    hora_options_release(&hora_rates_options, &c);
    return s;
}
