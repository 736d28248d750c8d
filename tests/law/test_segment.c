/*
 * Task segment on scans that examples/scans draws: it learns with both heads, a killed run that
 * goes on is one that never stopped, recomputing and the number of threads change no bit, the
 * adapter's folder brings head and classes back.
 */
#include "hora_test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "run/run.h"
#include "tool.h"

static const char config[] =
    "{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":32,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":64,"
    "\"image_size\":32,\"patch_size\":4,\"initializer_range\":0.1}";

static void quiet(void *user, int level, const char *text) {
    (void)user;
    (void)level;
    (void)text;
}

static const char *scans(const char *name, int n, int seed) {
    const char *dir = hora_test_path(hora_test_tmp(), name);
    char *command = hora_format("test -d '%s' || '%s/examples/scans' '%s' %d %d 32", dir,
                                HORA_BINARY_DIR, dir, n, seed);
    assert_int_equal(hora_test_run(command, NULL, NULL), 0);
    hora_free(command);
    return dir;
}

static hora_status train(const char *out, const char *more, volatile int *stop,
                         void (*event)(void *, const hora_run_event *), hora_run_result *r) {
    static const char usual[] = "task=segment,method=lora,batch_size=8,lr=1e-2,"
                                "dtype=f32,flip=0.5,segment_head=upsampled";
    hora_settings s = {0};
    hora_settings_put(&s, "model", tool_new("base", config, "--seed 2"), "test");
    hora_settings_put(&s, "data", scans("train", 24, 1), "test");
    hora_settings_put(&s, "eval_data", scans("eval", 8, 2), "test");
    hora_settings_put(&s, "out", hora_test_path(hora_test_tmp(), out), "test");
    assert_ok(hora_settings_parse(&s, usual, "test"));
    assert_ok(hora_settings_parse(&s, more, "test"));
    const hora_run_hooks hooks = {event, (void *)(uintptr_t)stop, stop, NULL};
    hora_log_sink(quiet, NULL);
    const hora_status st = hora_run_train(&s, &hooks, r);
    hora_log_sink(NULL, NULL);
    hora_settings_release(&s);
    return st;
}

static void it_learns(void **state) {
    static const char *const heads[] = {"linear", "upsampled"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        hora_run_result r;
        char *more = hora_format("steps=90,warmup=0,method=full,lr=4e-3,segment_head=%s", heads[i]);
        assert_ok(train(heads[i], more, NULL, NULL, &r));
        hora_free(more);
        const double dice = hora_metrics_get(&r.last_eval.metrics, "mean_dice");
        const double iou = hora_metrics_get(&r.last_eval.metrics, "miou");
        if (!(dice > 0.5 && iou < dice && iou > dice / 2))
            fail_msg("%s: mean Dice is %g, mIoU %g", heads[i], dice, iou);
        for (int k = 0; k < r.last_eval.metrics.n; k++) /* names of classes end with the run */
            assert_null(r.last_eval.metrics.at[k].of);
        hora_str log = {0};
        assert_ok(hora_file_read(
            &log, hora_test_path(hora_test_path(hora_test_tmp(), heads[i]), "log.jsonl")));
        assert_non_null(strstr(log.s, "spleen"));
        hora_str_release(&log);
    }
}

static void stop_at_4(void *user, const hora_run_event *e) {
    if (e->kind == HORA_RUN_STEP && e->step->step == 4 && user)
        *(volatile int *)user = 1;
}

static void same(const char *a, const char *b) {
    static const char *const files[] = {"adapter_model.safetensors", "task.json"};
    for (size_t f = 0; f < HORA_COUNT(files); f++)
        hora_assert_same_file(hora_test_path(hora_test_tmp(), a),
                              hora_test_path(hora_test_tmp(), b), files[f]);
}

static void bits(void **state) {
    volatile int stop = 0;
    hora_run_result r;
    (void)state;
    assert_fails(train("cut", "steps=9,random_crop=true", &stop, stop_at_4, &r), HORA_EINTERRUPTED,
                 NULL);
    assert_ok(train("cut", "steps=9,random_crop=true,resume=true", NULL, NULL, &r));
    assert_ok(train("whole", "steps=9,random_crop=true", NULL, NULL, &r));
    same("cut", "whole");
    assert_ok(
        train("again", "steps=9,random_crop=true,recompute=all,image_cache=0", NULL, NULL, &r));
    same("again", "whole");
    assert_ok(train("parts", "steps=9,random_crop=true,batch_size=4,grad_accum=2", NULL, NULL, &r));
}

/* PEFT finds both layers of the head under modules_to_save; hora its task, too. */
static void folder(void **state) {
    hora_run_result r;
    hora_json *c, *got;
    bool met[2] = {false, false};
    (void)state;
    assert_ok(train("out", "steps=20,dice=0.5", NULL, NULL, &r));
    const char *out = hora_test_path(hora_test_tmp(), "out");
    assert_ok(hora_json_load(&c, hora_test_path(out, "adapter_config.json")));
    const hora_json *save = hora_json_get(c, "modules_to_save");
    for (size_t i = 0; i < hora_json_len(save); i++) {
        const char *name = hora_json_string(hora_json_at(save, i), NULL);
        met[0] |= hora_eq(name, "decoder");
        met[1] |= hora_eq(name, "classifier");
    }
    assert_true(met[0] && met[1]);
    hora_json_free(c);
    got = tool_json("eval --model '%s' --adapter '%s' --data '%s' --dtype f32 --json",
                    tool_new("base", config, "--seed 2"), out, scans("eval", 8, 2));
    const double was = r.last_eval.loss;
    assert_true(tool_number(got, "loss") > was - 1e-4 && tool_number(got, "loss") < was + 1e-4);
    assert_string_equal(hora_json_string(hora_json_at(hora_json_get(got, "labels"), 0), NULL),
                        "background");
    hora_json_free(got);
}

HORA_TESTS(law_segment, {"both heads learn", it_learns, HORA_SHORT},
           {"stopped, recomputed, without a cache", bits, HORA_SHORT},
           {"what the folder says", folder, HORA_SHORT});
