/* Statistics and checks of the theory reports. */
#include <math.h>

#include "hora_test.h"
#include "lab/report.h"

static void test_quantiles(void **state) {
    (void)state;
    const double x[] = {4, 1, 3, 2};
    assert_true(hora_median(x, 4) == 2.5 && hora_median(x, 3) == 3 && hora_median(x, 1) == 4);
    assert_true(hora_quantile(x, 4, 0) == 1 && hora_quantile(x, 4, 1) == 4);
    assert_true(isnan(hora_median(x, 0)));
}

/* The interval of a mean of n normal-like values is about 1.96 standard errors to each side. */
static void test_bootstrap(void **state) {
    (void)state;
    double x[100];
    for (int i = 0; i < 100; i++)
        x[i] = i % 2 ? 1 : -1; /* mean 0, deviation 1 */
    const hora_interval a = hora_bootstrap_mean(x, 100, "a"), b = hora_bootstrap_mean(x, 100, "a");
    assert_true(a.value == 0 && fabs(a.lo + 0.196) < 0.03 && fabs(a.hi - 0.196) < 0.03);
    assert_true(a.lo == b.lo && a.hi == b.hi);
}

static void test_checks(void **state) {
    (void)state;
    hora_json *checks = hora_json_new_array();
    hora_str text = {0};
    assert_true(hora_check(checks, HORA_CHECK_SOUND, "good", 1, 1, 2));
    assert_false(hora_check(checks, HORA_CHECK_FINDING, "strange", 3, 1, 2));
    assert_ok(hora_checks_sound(checks)); /* a finding that differs is no failure */
    assert_false(hora_check(checks, HORA_CHECK_SOUND, "broken", NAN, -INFINITY, 2));
    assert_fails(hora_checks_sound(checks), HORA_ENUMERIC, "broken");
    hora_checks_text(checks, &text);
    assert_non_null(strstr(text.s, "DIFFERS  strange: 3, expected in [1, 2]"));
    assert_non_null(strstr(text.s, "WRONG    broken: nan, expected <= 2"));
    hora_str_release(&text);
    hora_json_free(checks);
}

HORA_TESTS(unit_report, {"quantiles", test_quantiles, HORA_SHORT},
           {"bootstrap", test_bootstrap, HORA_SHORT}, {"checks", test_checks, HORA_SHORT});
