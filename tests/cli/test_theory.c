/* hora theory rates, lowdata: same bytes for any number of threads, resumed or not; what a run
 * leaves; what is refused. */
#include "base/file.h"
#include "base/text.h"
#include "tool.h"

#define SMALL "--setting over,labelled --n 60,120 --seeds 2"

static const char *folder(const char *name) {
    return hora_test_path(hora_test_tmp(), name);
}

static void same_rates(const char *a, const char *b) {
    assert_true(hora_assert_same_file(a, b, "rates.csv") >= 100);
    assert_true(hora_assert_same_file(a, b, "curves.csv") >= 100);
    assert_true(hora_assert_same_file(a, b, "rates.json") >= 100);
    assert_true(hora_assert_same_file(a, b, "rates-plot.csv") >= 100);
}

static int lines(const char *path) {
    hora_str s = {0};
    int n = 0;
    assert_ok(hora_file_read(&s, path));
    for (size_t i = 0; i < s.n; i++)
        n += s.s[i] == '\n';
    hora_str_release(&s);
    return n;
}

static void test_rates_bits(void **state) {
    (void)state;
    const char *one = folder("one"), *two = folder("two"), *cut = folder("cut");
    hora_str fits = {0};
    tool_check(0, "verdicts", "left", "theory rates " SMALL " --threads 1 --out '%s'", one);
    tool_check(0, NULL, NULL, "theory rates " SMALL " --threads 2 --out '%s'", two);
    same_rates(one, two);
    assert_int_equal(lines(hora_test_path(one, "rates.csv")), 1 + 4 * 2 * 2);
    assert_int_equal(lines(hora_test_path(one, "curves.csv")), 1 + 7 * 9);
    /* as if killed while it wrote the line of a fit */
    assert_ok(hora_file_read(&fits, hora_test_path(one, "rates.state")));
    assert_ok(hora_mkdirs(cut));
    assert_ok(hora_file_write(hora_test_path(cut, "rates.state"), fits.s, fits.n * 2 / 3));
    tool_check(0, NULL, "fits are there already", "theory rates " SMALL " --out '%s'", cut);
    same_rates(one, cut);
    assert_int_equal(lines(hora_test_path(cut, "rates.state")), 1 + 4 * 2 * 2);
    /* a larger run takes what a smaller one has, and gives what it would have given alone */
    tool_check(0, NULL, "16 of 24 fits", "theory rates %s --out '%s'",
               "--setting over,labelled --n 60,90,120 --seeds 2", cut);
    hora_str_release(&fits);
}

static void test_rates_json(void **state) {
    (void)state;
    const char *dir = folder("json");
    hora_json *r = tool_json("theory rates " SMALL " --json --out '%s'", dir);
    const hora_json *groups = hora_json_get(r, "groups"), *checks = hora_json_get(r, "checks");
    assert_int_equal(hora_json_len(groups), 4);
    const hora_json *g = hora_json_at(groups, 0), *d = hora_json_get(g, "D");
    assert_string_equal(hora_json_string(hora_json_get(g, "setting"), NULL), "over");
    assert_string_equal(hora_json_string(hora_json_get(g, "student"), NULL), "lora");
    assert_true(tool_number(d, "lo") <= tool_number(d, "slope") &&
                tool_number(d, "slope") <= tool_number(d, "hi"));
    assert_true(tool_number(d, "first") > 0 && tool_number(g, "p") == 58);
    for (size_t i = 0; i < hora_json_len(checks); i++) {
        bool pass = false;
        assert_true(hora_json_bool(hora_json_get(hora_json_at(checks, i), "pass"), &pass) && pass);
    }
    assert_true(hora_json_len(checks) >= 15 && hora_json_len(hora_json_get(r, "verdicts")) >= 3 &&
                hora_json_len(hora_json_get(r, "limits")) >= 5);
    const hora_json *said = hora_json_get(r, "verdicts");
    for (size_t i = 0; i < hora_json_len(said);
         i++) /* two seeds show nothing, whatever is claimed */
        assert_string_equal(hora_json_string(hora_json_get(hora_json_at(said, i), "verdict"), NULL),
                            "not shown");
    assert_true(hora_path_exists(hora_test_path(dir, "rates.gp")));
    hora_json_free(r);
}

/* The quick run with every check it has. */
static void test_rates_quick(void **state) {
    (void)state;
    hora_str out = {0};
    tool_text(&out, "theory rates --quick --out '%s'", folder("quick"));
    assert_non_null(strstr(out.s, "ok       over: D(lora) / D(linear) at n 4000"));
    assert_null(strstr(out.s, "DIFFERS"));
    assert_null(strstr(out.s, "WRONG"));
    hora_str_release(&out);
}

static void test_lowdata(void **state) {
    (void)state;
    const char *one = folder("low1"), *two = folder("low2");
    tool_check(0, "verdicts", "left", "theory lowdata --n 16,48 --seeds 2 --threads 1 --out '%s'",
               one);
    tool_check(0, NULL, NULL, "theory lowdata --n 16,48 --seeds 2 --threads 2 --out '%s'", two);
    assert_true(hora_assert_same_file(one, two, "lowdata.csv") >= 100);
    assert_true(hora_assert_same_file(one, two, "lowdata.json") >= 100);
    assert_true(hora_assert_same_file(one, two, "lowdata-plot.csv") >= 100);
    assert_int_equal(lines(hora_test_path(one, "lowdata.csv")), 1 + 3 * 6 * 2 * 2);
}

/* Fact 4's constant for shared heads, and the bias where nothing is shared. */
static void test_lowdata_quick(void **state) {
    (void)state;
    hora_str out = {0};
    tool_text(&out, "theory lowdata --quick --out '%s'", folder("lowquick"));
    assert_non_null(strstr(out.s, "ok       g 0: ratio linear / lora at n 512"));
    assert_non_null(strstr(out.s, "ok       g 1: ratio linear / lora at n 512"));
    assert_null(strstr(out.s, "WRONG"));
    hora_str_release(&out);
}

static void test_refused(void **state) {
    (void)state;
    const char *out = folder("never"), *file = folder("file");
    assert_ok(hora_file_write(file, "x", 1));
    static const char *const rows[][2] = {
        {"--n 0", "at least 10"},
        {"--n 100,abc", "`abc` is no sample size"},
        {"--student lorra", "did you mean `lora`?"},
        {"--student xyzzy", "choose from lora, linear"},
        {"--setting sideways", "choose from over, exact, labelled"},
        {"--teacher none", "choose from linear, tanh, free"},
        {"--init far", "choose from near, random"},
        {"--student tanh", "give --teacher tanh or --init random"},
        {"--quick --all", "exclude each other"},
        {"--seeds -1", "seeds"},
        {"--sigma 0", "sigma"},
        {"--sede 1", "did you mean `--seed`?"},
    };
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        tool_check(2, "", rows[i][1], "theory rates %s --out '%s'", rows[i][0], out);
    tool_check(2, "", "at least 2", "theory lowdata --n 0 --out '%s'", out);
    assert_false(hora_path_exists(out));
    tool_check(3, "", "file", "theory rates --quick --out '%s/inside'", file);
    tool_check(3, "", "file", "theory lowdata --quick --out '%s/inside'", file);
    assert_ok(hora_mkdirs(out));
    assert_ok(hora_file_write(hora_test_path(out, "rates.state"), "something else\n", 15));
    tool_check(9, "", "move it away", "theory rates " SMALL " --out '%s'", out);
}

HORA_TESTS(cli_theory, {"rates: any threads, resumed or not", test_rates_bits, HORA_SHORT},
           {"rates: JSON", test_rates_json, HORA_SHORT},
           {"rates: the quick checks", test_rates_quick, HORA_MEDIUM},
           {"lowdata: any threads", test_lowdata, HORA_SHORT},
           {"lowdata: the quick checks", test_lowdata_quick, HORA_MEDIUM},
           {"what is refused", test_refused, HORA_SHORT});
