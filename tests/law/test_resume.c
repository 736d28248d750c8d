/*
 * Laws of going on, on a tiny random model: after a kill a run goes on as if nothing had happened;
 * what is damaged is passed over, what belongs to another run is refused by name, and what is kept
 * in an output folder is what was asked for.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/threads.h"
#include "train/train_impl.h"
#include "train_world.h"

static void kill_in_step_7(void *user, const hora_run_event *e) {
    (void)user;
    if (e->kind == HORA_RUN_STEP && e->step->step == 7)
        kill(getpid(), SIGKILL);
}

/* First in the list: a child after threads were started would miss them. */
static void killed_run_goes_on(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(120);
        world_train("killed", "threads=1", &(hora_run_hooks){.event = kill_in_step_7}, NULL);
        _exit(0);
    }
    int how = -1;
    assert_true(child > 0 && waitpid(child, &how, 0) == child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    assert_false(hora_path_exists(world_path("killed/adapter_model.safetensors")));

    hora_run_result cut, whole;
    assert_ok(world_resume("killed", "threads=3", NULL, &cut));
    assert_ok(world_train("whole", "threads=2", NULL, &whole));
    world_same_adapter("killed", "whole");
    world_same_file(world_path("killed/checkpoint-10/state.safetensors"),
                    world_path("whole/checkpoint-10/state.safetensors"));
    assert_true(cut.status.last_loss == whole.status.last_loss);
    world_log_counts(world_path("killed/log.jsonl"), 10);
    hora_threads_limit(0);
    hora_log_sink(NULL, NULL);
}

static void stop_at_4(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_STEP && e->step->step == 4)
        *(volatile int *)user = 1;
}

static void interrupted_run_goes_on(void **state) {
    (void)state;
    volatile int stop = 0;
    hora_run_hooks hooks = {stop_at_4, (void *)&stop, &stop, NULL};
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_fails(world_train("cut", "", &hooks, NULL), HORA_EINTERRUPTED, "--resume --out");
    assert_true(hora_path_is_dir(world_path("cut/checkpoint-4")));
    assert_ok(world_resume("cut", "", NULL, NULL));
    assert_ok(world_train("whole", "", NULL, NULL));
    world_same_adapter("cut", "whole");
    world_log_counts(world_path("cut/log.jsonl"), 10);
    /* a finished run has nothing left, and says the same again */
    assert_ok(world_resume("cut", "", NULL, NULL));
    world_same_adapter("cut", "whole");
    hora_log_sink(NULL, NULL);
}

static void truncate_half(const char *path) {
    assert_int_equal(truncate(path, hora_file_size(path) / 2), 0);
}

static void damaged_checkpoints_are_passed_over(void **state) {
    (void)state;
    hora_str seen = {0};
    world_make(3);
    hora_log_sink(world_quiet, &seen);
    assert_ok(world_train("whole", "", NULL, NULL));
    assert_ok(world_train("broken", "", NULL, NULL));
    truncate_half(world_path("broken/checkpoint-10/state.safetensors"));
    assert_ok(hora_mkdirs(world_path("broken/checkpoint-12"))); /* an empty one and a torn one */
    assert_ok(hora_mkdirs(world_path("broken/checkpoint-11.tmp")));
    assert_ok(hora_remove_tree(world_path("broken/adapter_model.safetensors")));
    hora_run_result r;
    assert_ok(world_resume("broken", "", NULL, &r));
    assert_int_equal(r.last.step, 10);
    assert_non_null(strstr(seen.s, "checkpoint-10"));
    assert_non_null(strstr(seen.s, "checkpoint-12"));
    world_same_adapter("broken", "whole");
    /* neither is in the mark, so neither is touched */
    assert_true(hora_path_is_dir(world_path("broken/checkpoint-11.tmp")));
    assert_true(hora_path_is_dir(world_path("broken/checkpoint-12")));
    /* a whole one that was not renamed yet counts */
    assert_ok(
        hora_rename(world_path("broken/checkpoint-10"), world_path("broken/checkpoint-10.tmp")));
    assert_ok(world_resume("broken", "", NULL, &r));
    assert_int_equal(r.last.step, 0); /* no step was left */
    assert_true(hora_path_is_dir(world_path("broken/checkpoint-10")));
    /* nothing whole: refused */
    assert_ok(hora_remove_tree(world_path("broken/checkpoint-5/state.json")));
    truncate_half(world_path("broken/checkpoint-10/adapter_model.safetensors"));
    assert_fails(world_resume("broken", "", NULL, NULL), HORA_ENOTFOUND, "no whole checkpoint");
    hora_log_sink(NULL, NULL);
    hora_str_release(&seen);
}

static void others_are_refused(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_ok(world_train("out", "steps=5", NULL, NULL));
    assert_fails(world_resume("out", "lr=2e-2", NULL, NULL), HORA_EMISMATCH, "lr");
    assert_fails(world_resume("out", "rank=2", NULL, NULL), HORA_EMISMATCH, "rank");
    assert_fails(world_resume("out", "steps=4", NULL, NULL), HORA_EMISMATCH, "5 steps already");
    assert_ok(world_resume("out", "save_every=2,recompute=all", NULL, NULL));
    world_text(world_path("text.txt"), 40, 2);
    assert_fails(world_resume("out", "", NULL, NULL), HORA_EMISMATCH, "data hash");
    world_text(world_path("text.txt"), 40, 1);
    hora_base *other = world_base(4, HORA_F32);
    assert_ok(hora_base_save(other, world_path("model"), NULL, HORA_F32));
    hora_base_close(other);
    assert_fails(world_resume("out", "", NULL, NULL), HORA_EMISMATCH, "base hash");
    hora_log_sink(NULL, NULL);
}

/* Another value of a row than the run below has. */
static char *other_value(const hora_option *row) {
    static const char *const own[][2] = {{"memory", "8G"},    {"recompute", "all"},
                                         {"backends", "ref"}, {"device", "host"},
                                         {"steps", "7"}, /* longer */
                                         {"min_lr", "1e-3"}};
    for (size_t i = 0; i < HORA_COUNT(own); i++)
        if (!strcmp(row->name, own[i][0]))
            return hora_strdup(own[i][1]);
    switch (row->type) {
    case HORA_OPT_BOOL:
        return hora_strdup(strcmp(row->def, "true") ? "true" : "false");
    case HORA_OPT_INT:
        return hora_strdup("3");
    case HORA_OPT_REAL:
        return hora_strdup("0.5");
    case HORA_OPT_CHOICE:
        return hora_strdup(strrchr(row->choices, ' ') + 1); /* the last is no default here */
    case HORA_OPT_STRING:
        break;
    }
    fail_msg("no value for option %s; add one above", row->name);
    return NULL;
}

/* In a run of steps, on text, by adamw and a cosine, alone, without evaluation; the model has no
 * body dropout. */
static bool decides_nothing(const char *option) {
    static const char *const names[] = {
        "epochs",           "decay_share", "outer_lr",  "outer_momentum", "min_delta",
        "body_dropout",     "eval_every",  "patience",  "segment_head",   "dice",
        "similarity_scale", "momentum",    "eval_start"};
    for (size_t i = 0; i < HORA_COUNT(names); i++)
        if (hora_eq(option, names[i]))
            return true;
    return false;
}

/* The flag in an option's row decides, whatever the option. */
static void rows_say_what_a_resume_may_change(void **state) {
    (void)state;
    int may = 0;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_ok(world_train("out", "steps=5,method=lora", NULL, NULL));
    for (int i = 0; i < hora_train_options.n; i++) {
        const hora_option *row = &hora_train_options.rows[i];
        char *value = other_value(row), *text = hora_format("%s=%s", row->name, value);
        const bool idle = decides_nothing(row->name);
        if (idle)
            assert_fails(world_resume("out", text, NULL, NULL), HORA_EUSAGE, row->name);
        else if (row->flags & HORA_OPT_RESUMABLE)
            assert_ok(world_resume("out", text, NULL, NULL));
        else
            assert_fails(world_resume("out", text, NULL, NULL), HORA_EMISMATCH, row->name);
        may += (row->flags & HORA_OPT_RESUMABLE) != 0 && !idle;
        hora_free(text);
        hora_free(value);
    }
    assert_true(may > 0 && may < hora_train_options.n);
    hora_log_sink(NULL, NULL);
}

static void folders_are_respected(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_ok(world_train("out", "steps=2", NULL, NULL));
    assert_ok(world_train("same", "steps=2", NULL, NULL));
    assert_fails(world_train("out", "steps=3", NULL, NULL), HORA_EEXISTS, "--overwrite");
    assert_fails(world_resume("nowhere", "", NULL, NULL), HORA_ENOTFOUND, "recipe.yaml");
    /* an overwrite that fails before it has anything leaves the old result */
    assert_fails(world_train("out", "steps=3,overwrite,explode=0.5", NULL, NULL), HORA_ENUMERIC,
                 "(records ");
    world_same_adapter("out", "same");
    world_log_counts(world_path("out/log.jsonl"), 2);
    assert_false(hora_path_exists(world_path("out/.hora-old.tmp")));
    assert_ok(world_train("out", "steps=3,overwrite", NULL, NULL));
    world_log_counts(world_path("out/log.jsonl"), 3);
    assert_false(hora_path_exists(world_path("out/.hora-old.tmp")));
    /* what is not ours stays */
    assert_ok(hora_mkdirs(world_path("precious")));
    assert_ok(hora_file_write(world_path("precious/diary.txt"), "dear", 4));
    assert_fails(world_train("precious", "overwrite", NULL, NULL), HORA_EEXISTS, "diary.txt");
    assert_true(hora_path_exists(world_path("precious/diary.txt")));
    hora_log_sink(NULL, NULL);
}

static void limit_keeps_newest_and_best(void **state) {
    (void)state;
    world_make(3);
    hora_log_sink(world_quiet, NULL);
    assert_ok(world_train("out", "steps=6,save_every=1,save_limit=2", NULL, NULL));
    for (int k = 1; k <= 6; k++) {
        char name[64];
        hora_snprintf(name, sizeof name, "out/checkpoint-%d", k);
        assert_int_equal(hora_path_is_dir(world_path(name)), k > 4);
    }
    hora_run_result r;
    assert_ok(world_train("best",
                          "steps=12,eval_split=8,eval_every=2,save_every=1,save_limit=1,"
                          "patience=3,lr=0.3,schedule=constant",
                          NULL, &r));
    assert_true(r.first_eval.step == 0 && r.status.best_step >= 2);
    char name[64];
    hora_snprintf(name, sizeof name, "best/checkpoint-%d", (int)r.status.best_step);
    assert_true(hora_path_is_dir(world_path(name)));
    hora_snprintf(name, sizeof name, "best/checkpoint-%d/adapter_model.safetensors",
                  (int)r.status.best_step);
    world_same_file(world_path(name), world_path("best/adapter_model.safetensors"));
    hora_log_sink(NULL, NULL);
}

static void patience_stops(void **state) {
    (void)state;
    world_make(3);
    hora_run_result r;
    hora_log_sink(world_quiet, NULL);
    assert_ok(world_train("out",
                          "steps=10,eval_split=0.2,eval_every=1,patience=2,min_delta=0.5,"
                          "lr=1e-12,method=lora",
                          NULL, &r));
    /* the first counts as improvement over nothing, the next two do not */
    assert_int_equal(r.status.step, 3);
    assert_int_equal(r.status.best_step, 1);
    hora_log_sink(NULL, NULL);
}

HORA_TESTS(law_resume,
           {"10 steps = 5, kill -9, resume, 5: every byte", killed_run_goes_on, HORA_SHORT},
           {"stopped and resumed = never stopped", interrupted_run_goes_on, HORA_SHORT},
           {"damaged and partial checkpoints are passed over", damaged_checkpoints_are_passed_over,
            HORA_SHORT},
           {"another base, data or options: refused by name", others_are_refused, HORA_SHORT},
           {"options that a resume may change", rows_say_what_a_resume_may_change, HORA_SHORT},
           {"output folders are respected", folders_are_respected, HORA_SHORT},
           {"newest and best checkpoints are kept", limit_keeps_newest_and_best, HORA_SHORT},
           {"patience stops a run", patience_stops, HORA_SHORT});
