/* Plans: what cannot fit and what cannot be meant is refused before the work. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "train/train_impl.h"
#include "train_world.h"

static hora_status plan_with(const char *more, hora_train_report *report) {
    hora_settings s = {0};
    world_settings(&s, "plan", more);
    hora_status status = hora_run_plan(&s, report, NULL);
    hora_settings_release(&s);
    return status;
}

static void plans_refuse_what_cannot_fit(void **state) {
    (void)state;
    hora_train_report r, all;
    char more[80];
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_ok(plan_with("pack=both", &all));
    assert_ok(plan_with("pack=one", &r));
    assert_true(all.pack_both && !r.pack_both && r.packed < all.packed);
    /* few rows: packed where there is room for it */
    hora_snprintf(more, sizeof more, "memory=%llu", (unsigned long long)all.total);
    assert_ok(plan_with(more, &r));
    assert_true(r.pack_both);
    hora_snprintf(more, sizeof more, "memory=%llu", (unsigned long long)all.total - 1);
    assert_ok(plan_with(more, &r));
    assert_true(!r.pack_both && r.total < all.total);
    assert_true(r.fits && r.steps == 10 && r.trainable > 0 && r.flops_step > 0);
    assert_true(r.total >= r.weights + r.values + r.gradients + r.moments + r.step_arena);
    assert_int_equal(r.moments, 2 * r.gradients);
    assert_ok(plan_with("recompute=all,pack=one", &all));
    assert_true(all.step_arena < r.step_arena);
    /* room for recomputing only: auto takes it, none is refused and says so */
    hora_snprintf(more, sizeof more, "pack=one,memory=%llu",
                  (unsigned long long)(all.total + r.total) / 2);
    assert_fails(plan_with(more, &r), HORA_ENOMEM, "recompute=auto");
    assert_false(r.fits);
    strcat(more, ",recompute=auto");
    assert_ok(plan_with(more, &r));
    assert_true(r.recomputed > 0);
    assert_fails(plan_with("memory=1000,recompute=all", &r), HORA_ENOMEM, "smaller");
    assert_fails(world_train("plan", "memory=1000", NULL, NULL), HORA_ENOMEM, "available");
    assert_false(hora_path_exists(world_path("plan")));
    hora_log_sink(NULL, NULL);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    hora_train_report r;
    assert_fails(plan_with("seq_len=65", &r), HORA_EUSAGE, "context");
    assert_fails(plan_with("learning_rat=1", &r), HORA_EUSAGE, "learning_rate");
    assert_fails(plan_with("schedule=cosin", &r), HORA_EUSAGE, "cosine");
    assert_fails(plan_with("recompute=some", &r), HORA_EUSAGE, "auto");
    assert_fails(plan_with("eval_split=0.1,eval_data=x.txt", &r), HORA_EUSAGE, "give one");
    assert_fails(world_train("x", "resume,overwrite", NULL, NULL), HORA_EUSAGE, "contradict");
    hora_log_sink(NULL, NULL);
}

HORA_TESTS(law_plan, {"plans refuse what cannot fit", plans_refuse_what_cannot_fit, HORA_SHORT},
           {"wrong settings are refused", wrong_settings_are_refused, HORA_SHORT});
