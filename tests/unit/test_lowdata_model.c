/* `hora theory lowdata` on a model: counts, what is kept and not done twice, refusals. */
#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "hora_test.h"
#include "lab/lowdata_model_impl.h"
#include "tiny_model.h"

/* Some lines of letters that follow a rule. */
static const char *lines(const char *name, int from, int n) {
    hora_str s = {0};
    for (int i = from; i < from + n; i++)
        hora_str_printf(&s, "%c%c%c after %c, %d times\n", 'a' + i % 7, 'a' + i % 5, 'a' + i % 3,
                        'b' + i % 11, i % 9);
    const char *path = tiny_file(name, s.s);
    hora_str_release(&s);
    return path;
}

static void count_lines(void *user, int level, const char *text) {
    (void)level;
    *(int *)user += hora_starts(text, "training ");
}

/* Runs with these options beside model, data and eval; *trained: trainings that were done. */
static hora_status lab(hora_json **out, hora_str *table, int *trained, const char *options) {
    hora_settings s = {0};
    hora_lowdata_model_config c = {0};
    char *all = hora_format("model=%s,data=%s,eval=%s,seq_len=16,%s", tiny_model(),
                            lines("data.txt", 0, 60), lines("eval.txt", 77, 8), options);
    *trained = 0;
    hora_status st = hora_settings_parse(&s, all, "test");
    if (st == HORA_OK)
        st = hora_options_take(&hora_lowdata_model_options, &c, &s);
    hora_log_sink(count_lines, trained);
    if (st == HORA_OK)
        st = hora_lowdata_model(&c, out, table);
    hora_log_sink(NULL, NULL);
    hora_options_release(&hora_lowdata_model_options, &c);
    hora_settings_release(&s);
    hora_free(all);
    return st;
}

static const char small[] = "rank=2,n=36+60,seeds=2,rates=1e-2+1e-9,min_steps=6,epochs=1,"
                            "batch_size=4,student=tanh+rep,out=";

static double number(const hora_json *o, const char *key) {
    double v = NAN;
    hora_json_real(hora_json_get(o, key), &v);
    return v;
}

/* Wall-clock figures differ from run to run; nothing else may. */
static char *without_clock(hora_json *r) {
    const hora_json *students = hora_json_get(r, "students");
    hora_str text = {0};
    for (size_t s = 0; s < hora_json_len(students); s++) {
        const hora_json *sizes = hora_json_get(hora_json_at(students, s), "sizes");
        for (size_t n = 0; n < hora_json_len(sizes); n++)
            hora_json_set((hora_json *)hora_json_at(sizes, n), "steps_per_s", hora_json_new_null());
    }
    hora_json_dump(r, 0, true, &text);
    hora_json_free(r);
    return text.s;
}

static void test_report(void **state) {
    (void)state;
    static const char *const names[] = {"lora", "hora", "hora-2r", "tanh", "rep"};
    /* 2 layers: 2(64 + 48); e r (1 + H) + m (2 e + 2 d + 2 dh) with m 2 and 4; rep has 2 r in place
     * of the inputs, and W2_b of all rows */
    static const int parameters[] = {448, 2 * (20 + 2 * 84), 2 * (20 + 4 * 84), 2 * (20 + 2 * 84),
                                     2 * (4 + 8 + 2 * 112)};
    const char *out = hora_test_path(hora_test_tmp(), "lab");
    char *options = hora_format("%s%s", small, out);
    hora_json *r;
    hora_str table = {0};
    int trained;
    assert_ok(lab(&r, &table, &trained, options));
    assert_int_equal(trained, 5 * 2 * 2 * 2);
    const hora_json *students = hora_json_get(r, "students");
    assert_int_equal(hora_json_len(students), 5);
    for (size_t i = 0; i < 5; i++) {
        const hora_json *s = hora_json_at(students, i), *sizes = hora_json_get(s, "sizes");
        assert_string_equal(hora_json_string(hora_json_get(s, "name"), NULL), names[i]);
        assert_int_equal((int)number(s, "parameters"), parameters[i]);
        for (size_t n = 0; n < 2; n++) {
            const hora_json *z = hora_json_at(sizes, n), *by = hora_json_get(z, "loss_by_seed");
            double a, b;
            assert_true(hora_json_real(hora_json_at(by, 0), &a));
            assert_true(hora_json_real(hora_json_at(by, 1), &b));
            assert_int_equal((int)number(z, "trained_on"), n ? 28 : 4); /* 32 choose the rate */
            assert_int_equal((int)number(z, "steps"), n ? 7 : 6);
            assert_true(number(z, "rate") == 1e-2); /* the other one does not move */
            assert_true(fabs(number(hora_json_get(z, "loss"), "value") - (a + b) / 2) < 1e-12);
            assert_true(a < number(r, "unadapted_loss") && a != b);
        }
    }
    assert_non_null(strstr(table.s, "hora 376"));
    assert_non_null(strstr(table.s, "two smallest sizes"));
    static const char *const files[] = {"lowdata.json", "lowdata.csv", "lowdata_runs.csv",
                                        "lowdata.gp"};
    for (size_t i = 0; i < HORA_COUNT(files); i++)
        assert_true(hora_file_size(hora_test_path(out, files[i])) > 0);
    hora_str_release(&table);
    hora_json_free(r);
    hora_free(options);
}

/* What is said of two students whose losses lie `apart`, with the best of `rates` rates at
 * `best`. */
static char *claim(int seeds, int rates, int best, double apart) {
    const hora_lowdata_model_config c = {.model = "m", .data = "d", .eval = "e"};
    hora_lowdata_grid g = {.config = &c, .students = 2, .sizes = 2, .rates = rates, .seeds = seeds};
    hora_json *r;
    hora_str table = {0};
    g.run = hora_calloc((size_t)(2 * 2 * rates * seeds), sizeof *g.run);
    for (int s = 0; s < 2; s++) {
        g.student[s].name = s ? "hora" : "lora";
        for (int n = 0; n < 2; n++)
            for (int i = 0; i < rates; i++)
                for (int k = 0; k < seeds; k++) {
                    const double loss = 5 + 0.001 * k - (s ? apart : 0) + (i != best);
                    *hora_lowdata_at(&g, s, n, i, k) =
                        (hora_lowdata_run){.done = true, .val_loss = loss, .eval_loss = loss};
                }
        g.n[s] = 10 * (s + 1);
    }
    for (int i = 0; i < rates; i++)
        g.rate[i] = 1e-3 * (i + 1);
    assert_ok(hora_lowdata_report(&g, NULL, &r, &table));
    char *said = hora_strdup(hora_json_string(hora_json_get(r, "claim"), NULL));
    hora_json_free(r);
    hora_str_release(&table);
    hora_free(g.run);
    return said;
}

/* The same numbers say nothing from fewer than eight seeds, or where a better rate may lie beyond
 * the grid; two rates are no grid. */
static void test_verdict(void **state) {
    (void)state;
    static const struct {
        int seeds, rates, best;
        double apart;
        const char *says;
    } rows[] = {{8, 3, 1, 1, "supported"},  {8, 3, 1, -1, "refuted"},  {7, 3, 1, 1, "not shown"},
                {2, 2, 0, -1, "not shown"}, {8, 3, 0, 1, "not shown"}, {8, 3, 2, 1, "not shown"},
                {8, 2, 1, 1, "supported"},  {8, 3, 1, 0, "not shown"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        char *said = claim(rows[i].seeds, rows[i].rates, rows[i].best, rows[i].apart);
        assert_string_equal(said, rows[i].says);
        hora_free(said);
    }
    for (int i = 0; i < hora_lowdata_model_options.n; i++)
        if (hora_eq(hora_lowdata_model_options.rows[i].name, "seeds"))
            assert_string_equal(hora_lowdata_model_options.rows[i].def, "8");
}

/* Cut the log short, as a killed run leaves it: only what is missing is trained, and the result is
 * that of an uninterrupted run; other options leave the finished trainings alone. */
static void test_goes_on(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "lab"), *log;
    char *options = hora_format("%s%s", small, out);
    hora_json *r;
    hora_str table = {0}, text = {0};
    int trained;
    assert_ok(lab(&r, &table, &trained, options));
    char *whole = without_clock(r);
    assert_ok(lab(&r, &table, &trained, options));
    assert_int_equal(trained, 0);
    char *again = without_clock(r);
    assert_string_equal(again, whole);
    log = hora_test_path(out, "lowdata_runs.csv");
    assert_ok(hora_file_read(&text, log));
    int kept = 0;
    size_t at = 0;
    for (; kept < 12; kept++)
        at += strcspn(text.s + at, "\n") + 1;
    assert_ok(hora_file_write(log, text.s, at + 20)); /* a torn line behind 11 trainings */
    assert_ok(lab(&r, &table, &trained, options));
    assert_int_equal(trained, 40 - 11);
    char *mended = without_clock(r);
    assert_string_equal(mended, whole);
    char *other = hora_format("%s%s,min_steps=8", small, out);
    assert_ok(lab(&r, &table, &trained, other));
    assert_int_equal(trained, 40);
    hora_json_free(r);
    assert_ok(lab(&r, &table, &trained, options));
    assert_int_equal(trained, 0);
    hora_json_free(r);
    hora_free(whole);
    hora_free(again);
    hora_free(mended);
    hora_free(other);
    hora_free(options);
    hora_str_release(&text);
    hora_str_release(&table);
}

/* A rate that blows up is no choice, and no failure. */
static void test_blown_up(void **state) {
    (void)state;
    hora_json *r;
    hora_str table = {0};
    int trained;
    assert_ok(
        lab(&r, &table, &trained, "rank=2,n=60,seeds=1,rates=1e-3+1e3,min_steps=30,epochs=1"));
    const hora_json *s = hora_json_at(hora_json_get(r, "students"), 0);
    assert_true(number(hora_json_at(hora_json_get(s, "sizes"), 0), "rate") == 1e-3);
    assert_string_equal(hora_json_string(hora_json_get(r, "claim"), NULL), "not shown");
    hora_json_free(r);
    hora_str_release(&table);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *options, *text;
        hora_status status;
    } cases[] = {
        {"rank=2,n=0", "`0` should be a number from 1", HORA_EUSAGE},
        {"rank=2,n=32", "leaves none to train on", HORA_EUSAGE},
        {"rank=2,n=60+50", "have to rise", HORA_EUSAGE},
        {"rank=2,n=100000", "fewer than 100000", HORA_EUSAGE},
        {"rank=2,n=50,fractions=0.5", "exclude each other", HORA_EUSAGE},
        {"rank=2,fractions=0", "should be a number", HORA_EUSAGE},
        {"rank=2,n=50,rates=fast", "`fast` should be a number", HORA_EUSAGE},
        {"rank=2,n=50,student=vera", "`vera` is none", HORA_EUSAGE},
        {"rank=8,n=50", "use --rank 4", HORA_EUSAGE},
        {"rank=2,n=50,seq_len=500", "96 positions", HORA_EUSAGE},
        {"rank=2,n=50,out=/proc/hora", "proc", HORA_EIO},
        {"rank=2,n=50,data=none.txt", "none.txt", HORA_ENOTFOUND},
        {"rank=2,n=50,seeds=0", "seeds", HORA_EUSAGE},
    };
    hora_json *r;
    hora_str table = {0};
    int trained;
    for (size_t i = 0; i < HORA_COUNT(cases); i++) {
        assert_fails(lab(&r, &table, &trained, cases[i].options), cases[i].status, cases[i].text);
        assert_int_equal(trained, 0);
    }
    const char *full = hora_test_path(hora_test_tmp(), "full");
    assert_ok(hora_mkdirs(full));
    assert_ok(hora_file_write(hora_test_path(full, "thesis.tex"), "x", 1));
    char *options = hora_format("rank=2,n=50,out=%s", full);
    assert_fails(lab(&r, &table, &trained, options), HORA_EEXISTS, "something else");
    hora_free(options);
    assert_int_equal(table.n, 0);
    hora_str_release(&table);
}

HORA_TESTS(unit_lowdata_model,
           {"verdict-from-two-seeds: verdicts need seeds and a grid", test_verdict, HORA_SHORT},
           {"students, sizes and losses", test_report, HORA_SHORT},
           {"goes on where it stopped", test_goes_on, HORA_SHORT},
           {"a rate that blows up", test_blown_up, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT});
