/* Learning rates, step by step, against numbers printed by transformers 5.23 (3 steps of warm-up,
 * 12 steps, rate 1; wsd with 4 steps of decay). */
#include "hora_test.h"

#include <math.h>
#include <string.h>

#include "train/train.h"

static const hora_schedule *named(const char *name) {
    for (int i = 0; i < hora_schedule_count(); i++)
        if (!strcmp(hora_schedule_at(i)->name, name))
            return hora_schedule_at(i);
    fail_msg("no schedule %s", name);
    return NULL;
}

static void follow(const char *name, const double want[13]) {
    const hora_schedule_shape shape = {.steps = 12, .warmup = 3, .decay = 4};
    for (int k = 0; k < 13; k++) {
        double got = hora_schedule_factor(named(name), &shape, k);
        if (fabs(got - want[k]) > 1e-15)
            fail_msg("%s, step %d: %.17g, should be %.17g", name, k, got, want[k]);
    }
}

static void as_transformers(void **state) {
    (void)state;
    follow("constant", (const double[13]){0, 1 / 3., 2 / 3., 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    follow("linear", (const double[13]){0, 0.3333333333333333, 0.6666666666666666, 1.0,
                                        0.8888888888888888, 0.7777777777777778, 0.6666666666666666,
                                        0.5555555555555556, 0.4444444444444444, 0.3333333333333333,
                                        0.2222222222222222, 0.1111111111111111, 0.0});
    follow("cosine",
           (const double[13]){0, 0.3333333333333333, 0.6666666666666666, 1.0, 0.9698463103929542,
                              0.883022221559489, 0.75, 0.5868240888334653, 0.41317591116653485,
                              0.2500000000000001, 0.11697777844051105, 0.03015368960704584, 0.0});
    follow("wsd", (const double[13]){0, 0.3333333333333333, 0.6666666666666666, 1, 1, 1, 1, 1, 1,
                                     0.8535533905932737, 0.5, 0.14644660940672627, 0.0});
}

static void warmup_in_steps_and_share(void **state) {
    (void)state;
    assert_int_equal(hora_schedule_warmup(0, 100), 0);
    assert_int_equal(hora_schedule_warmup(0.03, 100), 3);
    assert_int_equal(hora_schedule_warmup(0.03, 101), 4); /* rounded up, as transformers does */
    assert_int_equal(hora_schedule_warmup(1, 100), 1);
    assert_int_equal(hora_schedule_warmup(10, 100), 10);
    assert_int_equal(hora_schedule_warmup(500, 100), 100);
    const hora_schedule_shape none = {.steps = 10};
    for (int i = 0; i < hora_schedule_count(); i++)
        assert_true(hora_schedule_factor(hora_schedule_at(i), &none, 0) == 1);
}

static void ends_at_the_floor(void **state) {
    (void)state;
    const char *const falling[] = {"linear", "cosine", "wsd"};
    const hora_schedule_shape shape = {.steps = 40, .warmup = 4, .decay = 10, .floor = 0.1};
    for (int i = 0; i < 3; i++) {
        double before = 1;
        for (int64_t k = 4; k <= 50; k++) {
            double f = hora_schedule_factor(named(falling[i]), &shape, k);
            assert_true(f <= before && f >= 0.1 - 1e-15);
            before = f;
        }
        assert_true(fabs(before - 0.1) < 1e-15);
    }
}

static void options_name_the_rows(void **state) {
    (void)state;
    const hora_option *s = hora_options_find(&hora_train_options, "lr_scheduler_type");
    const hora_option *o = hora_options_find(&hora_train_options, "optim");
    for (int i = 0; i < hora_schedule_count(); i++) {
        char *name = hora_option_choice(s, i);
        assert_string_equal(name, hora_schedule_at(i)->name);
        hora_free(name);
    }
    for (int i = 0; i < hora_optimizer_count(); i++) {
        char *name = hora_option_choice(o, i);
        assert_string_equal(name, hora_optimizer_at(i)->name);
        hora_free(name);
    }
    /* no more choices than rows */
    const char *last = hora_optimizer_at(hora_optimizer_count() - 1)->name;
    assert_string_equal(o->choices + strlen(o->choices) - strlen(last), last);
    last = hora_schedule_at(hora_schedule_count() - 1)->name;
    assert_string_equal(s->choices + strlen(s->choices) - strlen(last), last);
}

static void defaults_of_the_options(void **state) {
    (void)state;
    hora_train_config c;
    hora_settings none = {0};
    assert_ok(hora_options_take(&hora_train_options, &c, &none));
    assert_true(c.batch_size == 8 && c.epochs == 1 && c.steps == 0 && c.seed == 42);
    assert_true(c.warmup == 0.03 && c.clip == 1 && c.weight_decay == 0 && c.lr == 0);
    assert_true(c.beta1 == 0.9 && c.beta2 == 0.999 && c.eps == 1e-8);
    assert_string_equal(hora_schedule_at(c.schedule)->name, "cosine");
    assert_string_equal(hora_optimizer_at(c.optimizer)->name, "adamw");
    hora_options_release(&hora_train_options, &c);
}

HORA_TESTS(unit_sched, {"equal to transformers", as_transformers, HORA_SHORT},
           {"warm-up in steps or as a share", warmup_in_steps_and_share, HORA_SHORT},
           {"falling schedules end at min_lr", ends_at_the_floor, HORA_SHORT},
           {"option choices are the rows", options_name_the_rows, HORA_SHORT},
           {"defaults", defaults_of_the_options, HORA_SHORT});
