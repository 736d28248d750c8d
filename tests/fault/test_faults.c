/*
 * Every call that can fail, made to fail: memory and files, once and from there on, in short runs
 * of every command that writes and of the commonest that read. What must hold after each:
 *
 *   the tool ends by itself, with 0 and the right result, or with the code of a status and a
 *   message that gives the system's reason; every file under its own name is whole: it is the one
 *   from before or the one of a good run, and a checkpoint that was reported is there; the same
 *   command again (a training: with --resume) ends as if nothing had happened, and nothing
 *   unfinished lies about.
 *
 * HORA_FAULTS=all makes every case and prints the table of docs/reliability.md; else a sample.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "fault_world.h"
#include "hora_test.h"
#include "tiny_model.h"

#define SAMPLE 220 /* cases of a scenario when not all are made */

/* In the order of shim.c; -1: half, -2: done and reported as failed. */
enum { NCLASSES = 11, MALLOC = 0, MKDIR = 6, STAT = 9 };
static const struct {
    const char *name;
    int errors[6];
} classes[NCLASSES] = {{"malloc", {ENOMEM}},
                       {"write", {EIO, ENOSPC, EINTR, -1, -2}},
                       {"fsync", {EIO, ENOSPC, EINTR, -2}},
                       {"rename", {EIO, ENOSPC, -2}},
                       {"open", {EIO, ENOSPC, EINTR, EMFILE}},
                       {"close", {EIO, EINTR}},
                       {"mkdir", {EIO, ENOSPC, -2}},
                       {"read", {EIO, EINTR, -1}},
                       {"mmap", {ENOMEM}},
                       {"stat", {EIO, EACCES}},
                       {"unlink", {EIO, -2}}};
static const uint64_t for_ever = 1000000000, interrupts = 50; /* who tries again must end */

typedef struct scenario {
    const char *name;
    const char *prepare[3];      /* commands that make what the world begins with */
    const char *command, *again; /* again: NULL: the command itself */
    const char *out;             /* what it writes; NULL: it prints */
    const char *use; /* what was in `out` is not lost before the new is whole: this runs on it */
} scenario;

#define DATA "--data data.txt --seq-len 16 --batch-size 2 --threads 1 "
#define TRAIN                                                                                      \
    "train --model model --method lora " DATA "--steps 4 --save-every 2 --save-limit 0 --out o "
#define RESUME "train --resume --out o"
static const scenario scenarios[] = {
    {"train", {0}, TRAIN, NULL, "o", NULL},
    {"train --method hora, evaluated",
     {0},
     "train --model model --method hora --eval-data data.txt --eval-every 1 " DATA
     "--steps 3 --save-every 1 --save-limit 1 --out o",
     NULL,
     "o",
     NULL},
    {"train --overwrite", {TRAIN "--seed 7"}, TRAIN "--overwrite", NULL, "o", RESUME},
    {"train --resume",
     {TRAIN "--steps 2", TRAIN "--steps 2 --out p"},
     "train --resume --out o "
     "--steps 4 --threads 1",
     NULL,
     "o",
     RESUME},
    {"train --method full",
     {0},
     "train --model model --method full " DATA "--steps 2 --save-every 1 --out o",
     NULL,
     "o",
     NULL},
    {"merge", {TRAIN "--steps 1"}, "merge --model model --adapter o --out m", NULL, "m", NULL},
    {"merge --overwrite",
     {TRAIN "--steps 1", "merge --model model --adapter o/checkpoint-1 --out m --dtype f32"},
     "merge --model model --adapter o --out m --overwrite",
     NULL,
     "m",
     "eval --model m " DATA},
    {"export --to gguf",
     {TRAIN "--steps 1"},
     "export --model model --adapter o --to gguf --out x.gguf",
     NULL,
     "x.gguf",
     NULL},
    {"export --to mlx",
     {TRAIN "--steps 1"},
     "export --model model --adapter o --to mlx --out x",
     NULL,
     "x",
     NULL},
    {"quantize --overwrite",
     {"quantize --model model --out q.gguf --type q4_0"},
     "quantize --model model --out q.gguf --type q8_0 --overwrite",
     NULL,
     "q.gguf",
     "eval --model q.gguf " DATA},
    {"combine",
     {TRAIN "--steps 1", TRAIN "--steps 1 --seed 7 --overwrite --out p"},
     "combine --model model --adapter o --adapter p:0.5 --type cat --out c",
     NULL,
     "c",
     NULL},
    {"convert",
     {TRAIN "--steps 1"},
     "convert --model model --adapter o --to lora:2 --out c",
     NULL,
     "c",
     NULL},
    {"new", {0}, "new --config model/config.json --tokenizer model --out n", NULL, "n", NULL},
    {"forward",
     {0},
     "forward --model model --method lora --grads --batch b.json --out f",
     NULL,
     "f",
     NULL},
    {"eval", {0}, "eval --model model " DATA, NULL, NULL, NULL},
    {"generate",
     {0},
     "generate --model model --prompt abc --max-new-tokens 4 --temperature 1 --seed 1 --threads 1",
     NULL,
     NULL,
     NULL},
    {"tokenize", {0}, "tokenize --model model --text abc", NULL, NULL, NULL},
    {"data", {0}, "data --model model data.txt --seq-len 16", NULL, NULL, NULL},
    {"verify",
     {TRAIN "--steps 1"},
     "verify --model model --adapter o --prompt abc",
     NULL,
     NULL,
     NULL},
    {"inspect", {TRAIN "--steps 1"}, "inspect o", NULL, NULL, NULL},
    {"plan", {0}, "plan --model model --method lora " DATA, NULL, NULL, NULL},
};

typedef struct fault {
    uint64_t n, times;
    int class, error;
} fault;

typedef struct tally { /* shared by the workers */
    _Atomic int cases, fine, refused, bad;
} tally;

typedef struct bench {
    const scenario *s;
    const char *shim;
    char *begin; /* the folder that every case starts from */
    hora_str before, want, printed;
    fault *faults;
    int n;
    tally *tallies; /* of the classes */
} bench;

static int tool(const char *dir, const char *command, const fault *f, hora_str *out,
                hora_str *err) {
    char *plan = NULL;
    world_run r = {.dir = dir, .command = command};
    if (f) {
        r.fault = plan =
            hora_format("%s:%llu:%d:%llu", classes[f->class].name, (unsigned long long)f->n,
                        f->error, (unsigned long long)f->times);
    }
    const int rc = world_tool(&r, out, err);
    hora_free(plan);
    return rc;
}

/* --- what must hold --------------------------------------------------------------------------- */
/* Lines that tell times differ between runs. */
static void same_text(const char *text, hora_str *out) {
    for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const size_t n = strcspn(at, "\n");
        char *line = hora_strndup(at, n);
        if (!strstr(line, "seconds") && !strstr(line, " s,") && !strstr(line, " s in all") &&
            !strstr(line, "available") && !strstr(line, "FLOP/s") && !hora_ends(line, " s"))
            hora_str_printf(out, "%s\n", line);
        hora_free(line);
    }
    hora_str_puts(out, "");
}

static bool wrong_message(const fault *f, int rc, const hora_str *err) {
    static const char *const never[] = {"defect of hora", "damaged", "written again"};
    const char *text = err->n ? err->s : "";
    if (rc >= 98 || (!strstr(text, "hora: ") && !strstr(text, "libgomp: ")))
        return true;
    for (size_t i = 0; i < HORA_COUNT(never); i++)
        if (strstr(text, never[i]))
            return true;
    if (f->class == MALLOC || f->error == ENOMEM)
        return !strcasestr(text, "memory") && !strstr(text, "refused");
    if (f->class == STAT && strstr(text, strerror(ENOENT))) /* opened then, and not there */
        return false;
    return !strstr(text, strerror(f->error > 0 ? f->error : EIO));
}

/* Without the checkpoints that a good run does not make: what ends a run saves its last step. */
static void drop_more(const bench *b, hora_str *list) {
    hora_str kept = {0};
    for (const char *at = list->s; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const size_t n = strcspn(at, "\n");
        char *folder = hora_strndup(at, hora_min(n, strcspn(at, "/") + 1));
        /* what is being removed goes at last when the folder is opened next */
        const bool gone = hora_starts(at, ".hora-gone.tmp/");
        if (!gone && (!hora_starts(at, "checkpoint-") || strstr(folder, ".tmp") ||
                      world_has_line(b->want.s, folder, strlen(folder)) ||
                      world_has_line(b->before.s, folder, strlen(folder))))
            hora_str_printf(&kept, "%.*s\n", (int)n, at);
        hora_free(folder);
    }
    hora_str_puts(&kept, "");
    hora_str_release(list);
    *list = kept;
}

/* The state of a run that stopped before its last evaluation was noted is its own: whoever goes on
 * from it must end alike, and reads its hash. */
static bool own_state(const char *line, size_t n) {
    const char *at = strstr(line, "/state.json ");
    return at && at < line + n;
}

/* A line of `have` that neither the run before nor a good one has: half a file. */
static bool half_file(const bench *b, const hora_str *have, char *out, size_t cap) {
    for (const char *at = have->s; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const size_t n = strcspn(at, "\n");
        hora_snprintf(out, cap, "%.*s", (int)n, at);
        if (!strstr(out, ".tmp") && !own_state(at, n) && at[n - 1] != '/' &&
            !world_has_line(b->want.s, at, n) && !world_has_line(b->before.s, at, n))
            return true;
    }
    return false;
}

/* "saved o/checkpoint-2" on stderr: all of its files are there. */
static bool lost(const bench *b, const hora_str *said, const hora_str *have) {
    const char *last = NULL;
    for (const char *at = said->n ? said->s : ""; (at = strstr(at, "saved o/"));)
        last = at += strlen("saved o/");
    if (!last)
        return false;
    char *name = hora_format("%.*s/", (int)strcspn(last, "\n"), last);
    bool gone = false;
    for (const char *at = b->want.s; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (hora_starts(at, name) && !own_state(at, strcspn(at, "\n")))
            gone |= !world_has_line(have->s, at, strcspn(at, "\n"));
    hora_free(name);
    return gone;
}

static bool has_run(const char *out) {
    char *recipe = hora_path_join(out, "recipe.yaml");
    const bool has = hora_path_exists(recipe);
    hora_free(recipe);
    return has;
}

/* As a person would: resume, else begin anew. */
static int again(const bench *b, const char *dir, hora_str *err) {
    const scenario *s = b->s;
    char *out = s->out ? hora_path_join(dir, s->out) : NULL;
    int rc = -1;
    if (out && hora_starts(s->command, "train") && !s->use && has_run(out))
        rc = tool(dir, "train --resume --out o", NULL, NULL, err);
    if (rc && out && hora_path_exists(out) && !strstr(s->command, "--resume") &&
        !strstr(s->command, "--overwrite")) {
        char *anew = hora_format("%s --overwrite", s->command);
        rc = tool(dir, anew, NULL, NULL, err);
        hora_free(anew);
    } else if (rc) {
        rc = tool(dir, s->command, NULL, NULL, err);
    }
    hora_free(out);
    return rc;
}

/* What stood in OUT before is still of use: a training can be gone on with, a model opened. */
static bool kept(const bench *b, const char *dir) {
    char *copy = hora_format("%s-kept", dir);
    hora_str err = {0};
    world_copy(dir, copy);
    int rc = tool(copy, b->s->use, NULL, NULL, &err);
    if (rc && !hora_eq(b->s->use, RESUME)) /* takes back what was moved aside */
        rc = tool(copy, b->s->command, NULL, NULL, &err);
    world_remove(copy);
    hora_str_release(&err);
    hora_free(copy);
    return !rc;
}

static char *verdict(bench *b, const fault *f, const char *dir) {
    hora_str out = {0}, err = {0}, now = {0}, end = {0}, text = {0}, said = {0};
    char line[512], *what = NULL;
    tally *t = &b->tallies[f->class];
    const scenario *s = b->s;
    char *path = s->out ? hora_path_join(dir, s->out) : NULL;
    world_copy(b->begin, dir);
    const int rc = tool(dir, s->command, f, &out, &err);
    atomic_fetch_add(rc ? &t->refused : &t->fine, 1);
    if (path) {
        world_list(path, &now);
        drop_more(b, &now);
    }
    same_text(out.n ? out.s : "", &text);
    if (rc >= 128)
        what = hora_format("ended by signal %d", rc - 128);
    else if (rc && wrong_message(f, rc, &err))
        what = hora_strdup("the message is not right");
    else if (!rc && path && !hora_eq(now.s, b->want.s))
        what = hora_strdup("exit 0 and another result");
    else if (!rc && !hora_eq(text.s, b->printed.s))
        what = hora_strdup("exit 0 and other output");
    else if (rc && path && half_file(b, &now, line, sizeof line))
        what = hora_format("half a file: %s", line);
    else if (rc && path && f->class != MALLOC && f->class != MKDIR && !rmdir(path))
        what = hora_strdup("an empty output folder stays");
    else if (rc && path && lost(b, &err, &now))
        what = hora_strdup("a checkpoint that was reported is not there");
    else if (rc && s->use && !kept(b, dir))
        what = hora_strdup("what was there before is lost");
    int rc2 = 0;
    if (!what && rc && (rc2 = again(b, dir, &said)))
        what = hora_format("then: exit %d", rc2);
    if (!what && rc && path) {
        world_list(path, &end);
        drop_more(b, &end);
        if (!hora_eq(end.s, b->want.s))
            what = hora_strdup("then: another result");
    }
    atomic_fetch_add(&t->cases, 1);
    if (what) {
        atomic_fetch_add(&t->bad, 1);
        hora_str *e = rc2 ? &said : &err;
        const char *last = e->n ? e->s : "";
        for (const char *at = last; (at = strchr(at, '\n')) && at[1];)
            last = ++at;
        char *full =
            hora_format("%s, %s %llu%s error %d: %s (exit %d: %.*s)", s->name,
                        classes[f->class].name, (unsigned long long)f->n, f->times > 1 ? "+" : "",
                        f->error, what, rc, (int)strcspn(last, "\n"), last);
        hora_free(what);
        what = full;
    }
    if (!(what && getenv("HORA_FAULTS_KEEP")))
        world_remove(dir);
    hora_free(path);
    hora_str_release(&out);
    hora_str_release(&err);
    hora_str_release(&now);
    hora_str_release(&end);
    hora_str_release(&text);
    hora_str_release(&said);
    return what;
}

static char *one(void *arg, int i, const char *own) {
    bench *b = arg;
    char *dir = hora_format("%s/%d", own, i);
    char *said = verdict(b, &b->faults[i], dir);
    hora_free(dir);
    return said;
}

/* --- the cases -------------------------------------------------------------------------------- */
static void reference(bench *b, const char *dir, uint64_t counts[NCLASSES]) {
    hora_str err = {0}, out = {0};
    char *file = hora_format("%s.counts", dir), *env = hora_format("HORA_FAULT_COUNT=%s", file);
    memset(counts, 0, NCLASSES * sizeof *counts);
    assert_ok(hora_file_write(file, counts, NCLASSES * sizeof *counts));
    world_copy(b->begin, dir);
    const world_run r = {dir, b->s->command, NULL, b->shim, {env}};
    const int rc = world_tool(&r, &out, &err);
    if (rc)
        fail_msg("%s: exit %d: %s", b->s->name, rc, err.s);
    hora_str raw = {0};
    assert_ok(hora_file_read(&raw, file));
    memcpy(counts, raw.s, NCLASSES * sizeof *counts);
    same_text(out.n ? out.s : "", &b->printed);
    hora_str_puts(&b->want, "");
    if (b->s->out) {
        char *path = hora_path_join(dir, b->s->out);
        world_list(path, &b->want);
        hora_free(path);
    }
    hora_str_release(&raw);
    hora_str_release(&out);
    hora_str_release(&err);
    hora_free(file);
    hora_free(env);
}

static void add_cases(bench *b, const uint64_t counts[NCLASSES]) {
    int cap = 0;
    const char *only = getenv("HORA_FAULTS_CLASS");
    for (int c = 0; c < NCLASSES; c++)
        for (const int *e = classes[c].errors; *e; e++)
            for (int ever = 0; ever < (*e < 0 || c == MALLOC ? 1 : 2); ever++)
                for (uint64_t n = 1; n <= counts[c] && (!only || hora_eq(only, classes[c].name));
                     n++) {
                    const fault f = {n, ever ? *e == EINTR ? interrupts : for_ever : 1, c, *e};
                    HORA_PUSH(b->faults, b->n, cap, f);
                }
    if (world_exhaustive() || b->n <= SAMPLE)
        return;
    /* half of the sample for memory, which has most cases; the rest in even steps */
    int ends = 0, kept = 0;
    while (ends < b->n && b->faults[ends].class == MALLOC)
        ends++;
    for (int k = 0; k < 2; k++) {
        const int first = k ? ends : 0, n = k ? b->n - ends : ends,
                  want = k ? SAMPLE * 3 / 4 : SAMPLE / 4;
        const int step = (int)hora_max(1, n / want);
        for (int i = step / 2; i < n; i += step)
            b->faults[kept++] = b->faults[first + i];
    }
    b->n = kept;
}

static void print_table(const bench *b, const uint64_t counts[NCLASSES]) {
    for (int c = 0; c < NCLASSES; c++)
        if (b->tallies[c].cases)
            print_message("| %s | %s | %llu | %d | %d | %d | %d |\n", b->s->name, classes[c].name,
                          (unsigned long long)counts[c], b->tallies[c].cases, b->tallies[c].fine,
                          b->tallies[c].refused, b->tallies[c].bad);
}

static int scenario_in(const char *world, const scenario *s, hora_str *wrong) {
    uint64_t counts[NCLASSES];
    hora_str text = {0};
    bench b = {.s = s, .shim = world_shim("hora-fault")};
    const size_t shared = NCLASSES * sizeof *b.tallies;
    b.tallies = mmap(NULL, shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(b.tallies != MAP_FAILED);
    b.begin = hora_format("%s/begin", world);
    char *model = hora_format("%s/model", b.begin), *data = hora_format("%s/data.txt", b.begin);
    char *batch = hora_format("%s/b.json", b.begin), *ref = hora_format("%s/reference", world);
    for (int i = 0; i < 30; i++)
        hora_str_printf(&text, "line %d of a small text; ", i);
    world_copy(tiny_model(), model);
    assert_ok(hora_file_write(data, text.s, text.n));
    static const char ids[] = "{\"input_ids\": [[5, 6, 7, 8]], \"labels\": [[5, 6, 7, 8]]}";
    assert_ok(hora_file_write(batch, ids, sizeof ids - 1));
    for (int i = 0; i < 3 && s->prepare[i]; i++) {
        hora_str err = {0};
        if (tool(b.begin, s->prepare[i], NULL, NULL, &err))
            fail_msg("%s: %s", s->prepare[i], err.s);
        hora_str_release(&err);
    }
    hora_str_puts(&b.before, "");
    if (s->out) {
        char *path = hora_path_join(b.begin, s->out);
        world_list(path, &b.before);
        hora_free(path);
    }
    reference(&b, ref, counts);
    add_cases(&b, counts);
    const int bad = world_all(world, b.n, one, &b, wrong);
    print_table(&b, counts);
    munmap(b.tallies, shared);
    hora_free(b.faults);
    hora_free(b.begin);
    hora_free(model);
    hora_free(data);
    hora_free(batch);
    hora_free(ref);
    hora_str_release(&text);
    hora_str_release(&b.before);
    hora_str_release(&b.want);
    hora_str_release(&b.printed);
    return bad;
}

static void test_faults(void **state) {
    (void)state;
    int bad = 0;
    const char *only = getenv("HORA_FAULTS_ONLY");
    for (size_t i = 0; i < HORA_COUNT(scenarios); i++) {
        hora_str wrong = {0};
        if (only && !hora_eq(only, scenarios[i].name))
            continue;
        char *world = world_new();
        bad += scenario_in(world, &scenarios[i], &wrong);
        if (wrong.n)
            fputs(wrong.s, stderr);
        hora_str_release(&wrong);
        world_free(world);
    }
    assert_int_equal(bad, 0);
}

HORA_TESTS(fault_faults, {"every call fails", test_faults, HORA_MEDIUM});
