/*
 * A rank that is killed, hangs or gets an error from MPI, on each rank and at each phase: all stop,
 * one says why, what is on the disk is whole, and going on from it ends in the bits of a run that
 * nothing happened to. The shim knows phases by MPI_Pcontrol.
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

static const char *run_into(const char *out, int patience) {
    return hora_test_text("train --model '%s' --data '%s' --seq-len 16 --steps 6 --save-every 2 "
                          "--eval-split 0.2 --eval-every 2 --batch-size 1 --grad-accum 4 --method "
                          "lora --threads 1 --log-every 1 --out '%s' --comm-timeout %d",
                          tiny_model(), lines(), out, patience);
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

typedef struct fault {
    int rank, phase, time; /* which entry into the phase */
    const char *what;
} fault;
typedef struct ending {
    int code;
    hora_str err;
    const char *out;
} ending;

static const char *const phases[] = {"opening",    "reading",    "step",
                                     "evaluation", "checkpoint", "end"};

static const char *where(const fault *f) {
    return hora_test_text("rank %d, %s %d, %s", f->rank, phases[f->phase], f->time, f->what);
}

static const char *said_of(const char *what) {
    return strcmp(what, "kill") == 0   ? "is gone"
           : strcmp(what, "hang") == 0 ? "no word from rank"
           : strcmp(what, "term") == 0 ? "go on with: mpirun -n 3 hora train --resume"
                                       : "MPI: ";
}

/* All stop with a message, and where steps were saved, the way to go on is in it. */
static void check(const char *whole, const fault *f, const ending *e) {
    const char *text = e->err.s ? e->err.s : "";
    if (e->code == 0 || !strstr(text, said_of(f->what)))
        fail_msg("%s: exit code %d, no \"%s\" in: %s", where(f), e->code, said_of(f->what), text);
    if (has_checkpoint(e->out) && strcmp(f->what, "term") &&
        !strstr(text, "go on with: mpirun -n 3 hora train --resume --out"))
        fail_msg("%s: no way to go on: %s", where(f), text);
    if (hora_path_exists(e->out))
        goes_on(e->out, whole);
}

static const char *env_of(const fault *f) {
    return hora_test_text("LD_PRELOAD='%s/tests/hora-net.so' HORA_FAULT=%d:%d:%d:%s",
                          HORA_BINARY_DIR, f->rank, 10 + f->phase, f->time, f->what);
}

static void one(const char *whole, int rank, int phase, const char *what) {
    /* the second step and evaluation: the first checkpoint is that of step 2 */
    const fault f = {rank, phase, phase == 2 ? 4 : phase == 3 ? 2 : 1, what};
    ending e = {.out = hora_test_path(hora_test_tmp(), "faulty")};
    e.code = ranks_try(RANKS, env_of(&f), &e.err, "%s", run_into(e.out, 60));
    check(whole, &f, &e);
    hora_str_release(&e.err);
}

static const char *uninterrupted(void) {
    const char *whole = hora_test_path(hora_test_tmp(), "whole");
    ranks_needed();
    if (getenv("ASAN_OPTIONS"))
        hora_test_skip("a preloaded shim does not go with sanitizers");
    ranks_run(0, "%s", run_into(whole, 60));
    return whole;
}

static void each(const char *what) {
    const char *whole = uninterrupted();
    for (int phase = 0; phase < (int)HORA_COUNT(phases); phase++)
        for (int rank = 0; rank < RANKS; rank++)
            one(whole, rank, phase, what);
}

static void test_kill(void **state) {
    (void)state;
    each("kill");
}

static void test_error(void **state) {
    (void)state;
    each("error");
}

/* Those that wait do nothing else: all ranks' cases at once. */
static void hang(const char *whole, int phase) {
    hora_str command = {0};
    fault f[RANKS];
    ending e[RANKS] = {{0}};
    for (int r = 0; r < RANKS; r++) {
        f[r] = (fault){r, phase, phase == 2 ? 4 : phase == 3 ? 2 : 1, "hang"};
        e[r].out = hora_test_path(hora_test_tmp(), hora_test_text("hangs-%d", r));
        hora_str_printf(&command,
                        "{ %s mpirun --oversubscribe --allow-run-as-root -n %d %s %s >/dev/null "
                        "2>'%s.err'; echo $? >'%s.code'; } & ",
                        env_of(&f[r]), RANKS, hora_test_tool(), run_into(e[r].out, 3), e[r].out,
                        e[r].out);
    }
    hora_str_puts(&command, "wait");
    assert_int_equal(hora_test_run(command.s, NULL, NULL), 0);
    for (int r = 0; r < RANKS; r++) {
        hora_str code = {0};
        assert_ok(hora_file_read(&e[r].err, hora_test_text("%s.err", e[r].out)));
        assert_ok(hora_file_read(&code, hora_test_text("%s.code", e[r].out)));
        e[r].code = atoi(code.s);
        check(whole, &f[r], &e[r]);
        hora_str_release(&code);
        hora_str_release(&e[r].err);
    }
    hora_str_release(&command);
}

static void test_hang(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    for (int phase = 0; phase < (int)HORA_COUNT(phases); phase++)
        hang(whole, phase);
}

/* A scheduler asks one rank to go: all save and stop. */
static void test_term(void **state) {
    (void)state;
    const char *whole = uninterrupted();
    for (int rank = 0; rank < RANKS; rank++) {
        one(whole, rank, 2, "term");
        one(whole, rank, 3, "term");
    }
}

/* Under srun the way to go on is srun's: its variables here, and not that of Open MPI's launcher,
 * which Open MPI sets by itself later. */
static void test_srun(void **state) {
    (void)state;
    ranks_needed();
    if (getenv("ASAN_OPTIONS"))
        hora_test_skip("a preloaded shim does not go with sanitizers");
    const fault f = {1, 2, 4, "term"};
    const char *out = hora_test_path(hora_test_tmp(), "of-srun");
    hora_str err = {0};
    const int code =
        hora_test_run(hora_test_text("%s mpirun --oversubscribe --allow-run-as-root -n 2 env -u "
                                     "OMPI_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS=2 "
                                     "SLURM_MPI_TYPE=pmix %s %s",
                                     env_of(&f), hora_test_tool(), run_into(out, 60)),
                      NULL, &err);
    const char *text = err.s ? err.s : "";
    if (code != 12 || !strstr(text, "go on with: srun --mpi=pmix -n 2 hora train --resume --out"))
        fail_msg("exit code %d: %s", code, text);
    hora_str_release(&err);
}

HORA_TESTS(dist_rank_faults, {"a rank is killed", test_kill, HORA_MEDIUM},
           {"MPI fails in a rank", test_error, HORA_MEDIUM},
           {"a rank hangs", test_hang, HORA_MEDIUM},
           {"a rank is asked to stop", test_term, HORA_MEDIUM},
           {"ranks that srun started", test_srun, HORA_MEDIUM});
