/*
 * A rank that is killed, hangs or gets an error from MPI, on each rank and at each phase: all stop,
 * one says why, what is on the disk is whole, and going on from it ends in the bits of a run that
 * nothing happened to. The shim counts messages; hundreds of them pass from the start to the end.
 */
#include <stdlib.h>

#include "base/file.h"
#include "ranks.h"
#include "tiny_model.h"

enum { RANKS = 3 };

static const char *lines(void) {
    hora_str text = {0};
    for (int i = 0; i < 40; i++)
        hora_str_printf(&text, "{\"prompt\": \"%c%c\", \"completion\": \"%.*s\"}\n", 'a' + i % 26,
                        'z' - i % 7, 1 + i % 9, "abcdefghijk");
    const char *path = tiny_file("text.jsonl", text.s);
    hora_str_release(&text);
    return path;
}

static const char *run_into(const char *out) {
    return hora_test_text("train --model '%s' --data '%s' --seq-len 16 --steps 6 --save-every 2 "
                          "--eval-split 0.2 --eval-every 2 --batch-size 1 --grad-accum 4 --method "
                          "lora --threads 1 --log-every 1 --out '%s' --comm-timeout 3",
                          tiny_model(), lines(), out);
}

static bool has_checkpoint(const char *out) {
    for (int step = 0; step <= 6; step++)
        if (hora_path_exists(hora_test_path(out, hora_test_text("checkpoint-%d", step))))
            return true;
    return false;
}

/* What is there is whole: going on gives what the uninterrupted run gave. */
static void goes_on(const char *out, const char *whole) {
    if (has_checkpoint(out)) {
        ranks_run(2, "train --resume --out '%s' -q", out);
        ranks_same(whole, out, 6);
    }
    assert_ok(hora_remove_tree(out));
}

static void one(const char *whole, int rank, int at, const char *what) {
    hora_str err = {0};
    const char *out = hora_test_path(hora_test_tmp(), "faulty");
    const char *env = hora_test_text("LD_PRELOAD='%s/tests/hora-net.so' HORA_FAULT=%d:%d:%s",
                                     HORA_BINARY_DIR, rank, at, what);
    const int code = ranks_try(RANKS, env, &err, "%s", run_into(out));
    const char *text = err.s ? err.s : "";
    const bool reached = !strstr(text, "is done:"); /* else all was written before */
    const char *said = strcmp(what, "kill") == 0   ? "is gone"
                       : strcmp(what, "hang") == 0 ? "no word from rank"
                       : strcmp(what, "term") == 0 ? "go on with: mpirun -n 3 hora train --resume"
                                                   : "MPI: ";
    if (reached && (code == 0 || !strstr(text, said)))
        fail_msg("rank %d, message %d, %s: exit code %d, no \"%s\" in: %s", rank, at, what, code,
                 said, text);
    /* where steps were saved, the way to go on is printed */
    if (reached && has_checkpoint(out) && strcmp(what, "term") &&
        !strstr(text, "go on with: mpirun -n 3 hora train --resume --out"))
        fail_msg("rank %d, message %d, %s: no way to go on: %s", rank, at, what, text);
    if (hora_path_exists(out))
        goes_on(out, whole);
    hora_str_release(&err);
}

static const char *uninterrupted(void) {
    const char *whole = hora_test_path(hora_test_tmp(), "whole");
    ranks_needed();
    if (getenv("ASAN_OPTIONS"))
        hora_test_skip("a preloaded shim does not go with sanitizers");
    ranks_run(0, "%s", run_into(whole));
    return whole;
}

static void test_kill(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    static const int at[] = {1, 5, 12, 30, 55, 80};
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t i = 0; i < HORA_COUNT(at); i++)
            one(whole, rank, at[i] + rank, "kill");
}

static void test_error(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    static const int at[] = {2, 9, 25, 48, 70};
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t i = 0; i < HORA_COUNT(at); i++)
            one(whole, rank, at[i] + rank, "error");
}

static void test_hang(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    static const int at[] = {3, 28, 60};
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t i = 0; i < HORA_COUNT(at); i++)
            one(whole, rank, at[i] + rank, "hang");
}

/* A scheduler asks one rank to go: all save and stop. */
static void test_term(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    for (int rank = 0; rank < RANKS; rank++)
        one(whole, rank, 40 + rank, "term");
}

HORA_TESTS(dist_rank_faults, {"a rank is killed", test_kill, HORA_MEDIUM},
           {"MPI fails in a rank", test_error, HORA_MEDIUM},
           {"a rank hangs", test_hang, HORA_MEDIUM},
           {"a rank is asked to stop", test_term, HORA_MEDIUM});
