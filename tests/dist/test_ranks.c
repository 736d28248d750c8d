/*
 * Several ranks under mpirun: the same bits for any number of them, for every kind of task and
 * method; going on with another number; what is refused before the work starts.
 */
#include <math.h>

#include "base/file.h"
#include "ranks.h"
#include "tiny_model.h"
#include "tool.h"

static const char pairs[] = "{\"text\": \"abc\", \"text_pair\": \"xy\", \"label\": \"same\"}\n"
                            "{\"text\": \"a\", \"label\": \"other\"}\n"
                            "{\"sentence1\": \"q\", \"sentence2\": \"rstu\", \"label\": \"same\"}\n"
                            "{\"text\": \"zzzzzzzz\", \"text_pair\": \"b\", \"label\": \"none\"}\n"
                            "{\"text\": \"k\", \"label\": \"none\"}\n"
                            "{\"text\": \"uvw\", \"label\": \"other\"}\n"
                            "{\"text\": \"\", \"label\": \"other\"}\n";

static const char *text_file(void) {
    hora_str text = {0};
    for (int i = 0; i < 60; i++)
        hora_str_printf(&text, "{\"prompt\": \"%c%c\", \"completion\": \"%.*s\"}\n", 'a' + i % 26,
                        'z' - i % 7, 1 + i % 9, "abcdefghijk");
    const char *path = tiny_file("text.jsonl", text.s);
    hora_str_release(&text);
    return path;
}

static const char *out_of(const char *name) {
    return hora_test_path(hora_test_tmp(), name);
}

/* One rank alone, then 1 .. 4 under mpirun, all to the same bits. */
static void all_same(const char *what) {
    const char *alone = out_of("alone");
    ranks_run(0, "train %s --out '%s' --overwrite", what, alone);
    for (int n = 2; n <= 4; n++) {
        const char *out = out_of(hora_test_text("ranks-%d", n));
        ranks_run(n, "train %s --out '%s' --overwrite", what, out);
        ranks_same(alone, out, 4);
        ranks_same(alone, out, 2);
    }
}

static const char *causal(const char *more) {
    return hora_test_text("--model '%s' --data '%s' --seq-len 24 --steps 4 --save-every 2 "
                          "--save-limit 0 --eval-split 0.2 --eval-every 2 --lr 1e-2 %s",
                          tiny_model(), text_file(), more);
}

static void test_causal(void **state) {
    (void)state;
    ranks_needed();
    all_same(causal("--method lora --dropout 0.2 --batch-size 2 --grad-accum 8"));
    all_same(causal("--method hora --rank 2 --batch-size 1 --grad-accum 7 --dtype f32"));
    all_same(causal("--method full --batch-size 2 --grad-accum 5 --optimizer sgd"));
    all_same(causal("--method dora --batch-size 2 --grad-accum 6 --clip 0.01"));
    all_same(causal("--method adalora --batch-size 1 --grad-accum 4 --pack both"));
    all_same(causal("--method lora --batch-size 1 --grad-accum 4 --quantize q8_0"));
}

/* 8 x 1: a rank for each micro-batch. */
static void test_eight(void **state) {
    (void)state;
    ranks_needed();
    const char *what = causal("--method hora --rank 2 --batch-size 1 --grad-accum 8");
    const char *alone = out_of("alone"), *out = out_of("eight");
    ranks_run(0, "train %s --out '%s'", what, alone);
    ranks_run(8, "train %s --out '%s'", what, out);
    ranks_same(alone, out, 4);
}

/* One rank more than there are micro-batches: it has nothing to do, and nothing changes. */
static void test_idle(void **state) {
    (void)state;
    ranks_needed();
    all_same(causal("--method lora --batch-size 3 --grad-accum 3"));
    all_same(causal("--method lora --batch-size 4 --grad-accum 1"));
}

static void test_tasks(void **state) {
    const char *pictures;
    (void)state;
    ranks_needed();
    const char *vit = ranks_pictures(&pictures);
    all_same(hora_test_text("--model '%s' --data '%s' --method lora --batch-size 2 --grad-accum 4 "
                            "--steps 4 --save-every 2 --save-limit 0 --eval-split 6 --eval-every 2 "
                            "--flip 0.5 --mixup 0.2",
                            vit, pictures));
    for (int i = 0; i < 2; i++)
        all_same(
            hora_test_text("--model '%s' --task sequence-classification --data '%s' --method %s "
                           "--seq-len 24 --batch-size 1 --grad-accum 5 --steps 4 --save-every 2 "
                           "--save-limit 0 --eval-data '%s' --eval-every 2",
                           tiny_encoder(), tiny_file("pairs.jsonl", pairs), i ? "hora" : "lora",
                           tiny_file("pairs-2.jsonl", pairs)));
}

/* The end of an epoch is the middle of a step: the last one is short. */
static void test_short_step(void **state) {
    (void)state;
    ranks_needed();
    const char *what =
        hora_test_text("--model '%s' --data '%s' --seq-len 16 --packing=0 --epochs 0.5 "
                       "--batch-size 2 --grad-accum 11 --method lora --save-every 1",
                       tiny_model(), text_file());
    const char *alone = out_of("alone");
    ranks_run(0, "train %s --out '%s'", what, alone);
    for (int n = 2; n <= 4; n++) {
        const char *out = out_of(hora_test_text("short-%d", n));
        ranks_run(n, "train %s --out '%s'", what, out);
        ranks_same(alone, out, 2);
    }
}

/* A rank that waits while another writes a checkpoint does not wait within that one's step. */
static void test_waits(void **state) {
    (void)state;
    ranks_needed();
    const char *out = out_of("waits");
    hora_str text = {0};
    int steps = 0;
    ranks_run(2, "train %s --out '%s'",
              causal("--method lora --rank 2 --batch-size 1 --grad-accum 2"), out);
    assert_ok(hora_file_read(&text, hora_test_path(out, "log.jsonl")));
    for (char *line = strtok(text.s, "\n"); line; line = strtok(NULL, "\n")) {
        hora_json *o;
        assert_ok(hora_json_parse(&o, line, strlen(line), "log.jsonl"));
        if (hora_json_get(o, "comm_ms")) {
            assert_true(tool_number(o, "comm_ms") >= 0);
            assert_true(tool_number(o, "comm_ms") <= tool_number(o, "ms"));
            steps++;
        }
        hora_json_free(o);
    }
    assert_true(steps > 0);
    hora_str_release(&text);
}

static void test_resume(void **state) {
    (void)state;
    ranks_needed();
    const char *what = causal("--method hora --rank 2 --dropout 0 --batch-size 1 --grad-accum 8");
    const char *whole = out_of("whole");
    ranks_run(0, "train %s --out '%s'", what, whole);
    for (int n = 0; n <= 3; n++) {
        const char *out = out_of(hora_test_text("resumed-%d", n));
        ranks_run(4, "train %s --out '%s'", what, out);
        assert_ok(hora_remove_tree(hora_test_path(out, "checkpoint-4")));
        ranks_run(n, "train --resume --out '%s'", out);
        ranks_same(whole, out, 4);
    }
}

static void same_workers(const char *a, const char *b) {
    ranks_same(a, b, 4);
    hora_assert_same_file(hora_test_path(a, "checkpoint-4"), hora_test_path(b, "checkpoint-4"),
                          "workers.safetensors");
}

static bool same_adapter(const char *a, const char *b) {
    hora_str x = {0}, y = {0};
    assert_ok(hora_file_read(&x, hora_test_path(a, "adapter_model.safetensors")));
    assert_ok(hora_file_read(&y, hora_test_path(b, "adapter_model.safetensors")));
    const bool same = x.n == y.n && !memcmp(x.s, y.s, x.n);
    hora_str_release(&x);
    hora_str_release(&y);
    return same;
}

/* Local steps: a run repeats, and goes on, to the bit; other numbers of ranks are other runs. */
static void test_local(void **state) {
    (void)state;
    ranks_needed();
    const char *what = causal("--method lora --batch-size 1 --grad-accum 5 --sync-every 2");
    const char *first = out_of("first"), *again = out_of("again"), *alone = out_of("alone");
    ranks_run(3, "train %s --out '%s'", what, first);
    ranks_run(3, "train %s --out '%s'", what, again);
    same_workers(first, again);
    assert_ok(hora_remove_tree(hora_test_path(again, "checkpoint-4")));
    ranks_run(3, "train --resume --out '%s'", again);
    same_workers(first, again);
    ranks_run(0, "train %s --out '%s'", what, alone);
    assert_false(same_adapter(first, alone));
    hora_str err = {0}, card = {0};
    assert_int_equal(ranks_try(2, "", &err, "train --resume --out '%s'", again), 10);
    assert_non_null(strstr(err.s, "local steps (sync_every), and these are 2; go on with 3 ranks"));
    hora_str_release(&err);
    assert_ok(hora_file_read(&card, hora_test_path(first, "README.md")));
    assert_non_null(strstr(card.s, "By local steps (DiLoCo): 3 workers, which met every 2 steps"));
    hora_str_release(&card);
}

/* One worker, plain means: anchor - (anchor - p) is what the steps alone come to, but for a
 * rounding each meeting. */
static void test_local_mean(void **state) {
    (void)state;
    ranks_needed();
    const char *exact = out_of("exact"), *mean = out_of("mean");
    const char *what = causal("--method lora --batch-size 1 --grad-accum 2");
    ranks_run(0, "train %s --out '%s'", what, exact);
    ranks_run(0, "train %s --sync-every 2 --outer-lr 1 --outer-momentum 0 --out '%s'", what, mean);
    const double a = ranks_last_loss(exact), b = ranks_last_loss(mean);
    assert_true(fabs(a - b) < 1e-5 * fabs(a));
    ranks_run(0, "train %s --sync-every 2 --outer-lr 0.5 --outer-momentum 0 --overwrite --out '%s'",
              what, mean);
    assert_true(fabs(a - ranks_last_loss(mean)) > 1e-5 * fabs(a));
}

static void refused(int ranks, int code, const char *part, const char *args) {
    hora_str err = {0};
    const int got = ranks_try(ranks, "", &err, "%s", args);
    if (got != code || !err.s || !strstr(err.s, part))
        fail_msg("%d ranks: %s: exit code %d, not %d with \"%s\": %s", ranks, args, got, code, part,
                 err.s ? err.s : "");
    /* said once */
    const char *first = strstr(err.s, "hora: ");
    if (first && strstr(first + 1, "hora: "))
        fail_msg("%s: said more than once: %s", args, err.s);
    hora_str_release(&err);
}

static void test_refused(void **state) {
    (void)state;
    ranks_needed();
    const char *out = out_of("none");
    refused(3, 2, "start at most 2 ranks",
            hora_test_text("train %s --out '%s'", causal("--batch-size 1 --grad-accum 2"), out));
    refused(3, 2, "sync_every: 3 workers, but a step has 2 micro-batches",
            hora_test_text("train %s --out '%s'",
                           causal("--batch-size 2 --grad-accum 2 --sync-every 2"), out));
    refused(2, 5, "sync_every: method adalora",
            hora_test_text("train %s --out '%s'",
                           causal("--method adalora --grad-accum 2 --sync-every 2"), out));
    refused(2, 8, "no such file",
            hora_test_text("train --model '%s' --data nowhere --seq-len 24 --out '%s'",
                           tiny_model(), out));
    refused(2, 2, "standard input",
            hora_test_text("train --model '%s' --data - --seq-len 24 --out '%s' </dev/null",
                           tiny_model(), out));
    refused(2, 10, "ranks differ: options lr is \"0.01\" on rank 0 and \"0.02\" on rank 2",
            hora_test_text("train %s --out '%s' : -n 1 %s train %s --lr 2e-2 --out '%s'",
                           causal("--method lora --grad-accum 2 -q"), out, hora_test_tool(),
                           causal("--method lora --grad-accum 2 -q"), out));
    hora_str other = {0};
    assert_ok(hora_file_read(&other, text_file()));
    hora_str_puts(&other, "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
    const char *more = tiny_file("other.jsonl", other.s);
    hora_str_release(&other);
    refused(
        2, 10, "ranks differ: data ",
        hora_test_text("train %s --method lora --grad-accum 2 --out '%s' : -n 1 %s train --model "
                       "'%s' --data '%s' --seq-len 24 --steps 4 --save-every 2 --save-limit 0 "
                       "--eval-split 0.2 --eval-every 2 --lr 1e-2 --method lora --grad-accum 2 "
                       "--out '%s'",
                       causal(""), out, hora_test_tool(), tiny_model(), more, out));
    assert_false(hora_path_exists(out));
}

/* A row of `hora plan --ranks 4`. */
static double predicted(const char *more, size_t row, const char *key) {
    hora_json *j = tool_json("plan --json --ranks 4 %s %s", more,
                             causal("--method lora --batch-size 1 --grad-accum 4"));
    const double v = tool_number(hora_json_at(hora_json_get(j, "scaling"), row), key);
    assert_int_equal(hora_json_len(hora_json_get(j, "scaling")), 3);
    hora_json_free(j);
    return v;
}

static void test_plan(void **state) {
    (void)state;
    assert_true(predicted("", 0, "exchange_ms") == 0 && predicted("", 0, "efficiency") == 1);
    assert_true(predicted("", 2, "ranks") == 4 && predicted("", 2, "micro_batches") == 1);
    const double fast = predicted("--net 20us:1GB", 2, "exchange_ms"),
                 slow = predicted("--net 20us:1MB", 2, "exchange_ms"),
                 far = predicted("--net 20ms:1GB", 2, "exchange_ms"),
                 apart = predicted("--net 20us:1MB --sync-every 10", 2, "exchange_ms");
    assert_true(fast < slow && fast < far && apart < slow / 5);
    assert_true(far > 60 && far < 70); /* a message for all, then two rounds of the sum */
    tool_check(2, "", "give 1GbE, 10GbE, 100GbE or LATENCY:BANDWIDTH", "plan --ranks 4 --net 5 %s",
               causal("--method lora"));
    tool_check(0, "on each machine one rank reads and tokenises", NULL, "plan --ranks 2 %s",
               causal("--method lora"));
    const char *pictures, *vit = ranks_pictures(&pictures);
    tool_check(0, "each rank decodes the pictures of its own share", NULL,
               "plan --ranks 2 --model '%s' --data '%s' --method lora --steps 2", vit, pictures);
}

static void test_bench(void **state) {
    (void)state;
    ranks_needed();
    const char *out = out_of("bench.json");
    for (int both = 0; both < 2; both++) {
        hora_json *j;
        ranks_run(2,
                  "bench --shape s260k --batch-size 1 --seq-len 32 --method lora --repeats 2 "
                  "--settle 0 --pack %s --threads 1 --json >'%s'",
                  both ? "both" : "one", out);
        assert_ok(hora_json_load(&j, out)); /* one rank speaks */
        assert_true(tool_number(j, "ranks") == 2);
        assert_true(tool_number(j, "comm_ms") > 0);
        hora_json_free(j);
    }
}

HORA_TESTS(dist_ranks, {"language models: the same bits for any number", test_causal, HORA_MEDIUM},
           {"a rank for each of eight micro-batches", test_eight, HORA_MEDIUM},
           {"local steps repeat and go on", test_local, HORA_MEDIUM},
           {"local steps of one worker", test_local_mean, HORA_MEDIUM},
           {"ranks without work change nothing", test_idle, HORA_MEDIUM},
           {"pictures and sequences: the same bits", test_tasks, HORA_MEDIUM},
           {"a short last step", test_short_step, HORA_SHORT},
           {"communication within a step", test_waits, HORA_SHORT},
           {"another number goes on", test_resume, HORA_MEDIUM},
           {"what a plan says of ranks", test_plan, HORA_SHORT},
           {"bench in two ranks", test_bench, HORA_SHORT},
           {"what is refused, and said once", test_refused, HORA_SHORT});
