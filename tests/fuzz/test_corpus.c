/*
 * Every fuzz target as an ordinary test: its seeds, each of them cut anywhere and damaged at
 * random (the seed is fixed), and the inputs that once broke something. Sanitizers see the rest;
 * `./run fuzz` goes further.
 */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "fuzz.h"
#include "hora_test.h"

enum { CUTS = 24, ROUNDS = 40 };

static const char *target, *running;

void hora_fuzz_broken(const char *what, const char *file, int line) {
    print_error("%s:%d: %s does not hold for %s: \"%s\" was the last refusal\n", file, line, what,
                running, hora_errmsg());
    _fail(file, line);
}

const char *hora_fuzz_dir(void) {
    static char path[256]; /* what one target left is not beside another's files */
    snprintf(path, sizeof path, "%s/%s", hora_test_tmp(), target);
    return path;
}

static void quiet(void *user, int level, const char *text) {
    (void)user, (void)level, (void)text;
}

/* A copy of exactly n bytes: what is read behind them is seen. */
static bool one(const hora_fuzz *t, const char *data, size_t n) {
    char *exact = hora_malloc(n ? n : 1);
    memcpy(exact, data, n);
    const bool taken = t->fn(exact, n);
    hora_free(exact);
    return taken;
}

static void damage(hora_rng *r, hora_str *s, const hora_str *other) {
    static const char hostile[] = "{}[]:,\"\\-=\n .e9&*!#?|>'%@\t\x01\xff\x7f\x80";
    for (int64_t k = hora_rng_below(r, 4); k >= 0 && s->n; k--) {
        const size_t at = (size_t)hora_rng_below(r, (int64_t)s->n);
        const size_t from = (size_t)hora_rng_below(r, (int64_t)other->n);
        size_t len = 1 + (size_t)hora_rng_below(r, 12);
        switch (hora_rng_below(r, 5)) {
        case 0:
            s->s[at] = (char)hora_rng_below(r, 256);
            break;
        case 1:
            s->s[at] = hostile[hora_rng_below(r, (int64_t)sizeof hostile - 1)];
            break;
        case 2: /* a run goes */
            len = hora_min(len, s->n - at);
            memmove(s->s + at, s->s + at + len, s->n - at - len);
            s->n -= len;
            break;
        case 3: /* a run of another seed */
            len = hora_min(len, hora_min(s->n - at, other->n - from));
            memcpy(s->s + at, other->s + from, len);
            break;
        default:
            s->s[at] ^= (char)(1 << hora_rng_below(r, 8));
        }
    }
}

static void run_target(const hora_fuzz *t) {
    char folder[128], **names;
    int n, taken = 0;
    hora_rng r = hora_rng_new(21, t->name);
    target = t->name;
    assert_ok(hora_mkdirs(hora_fuzz_dir()));
    snprintf(folder, sizeof folder, "tests/fuzz/seeds/%s", t->name);
    const char *dir = hora_test_source(folder);
    assert_ok(hora_list_dir(dir, &names, &n));
    assert_true(n > 0);
    hora_str *seeds = hora_calloc((size_t)n, sizeof *seeds);
    for (int i = 0; i < n; i++) {
        assert_ok(hora_file_read(&seeds[i], hora_test_path(dir, names[i])));
        assert_true(seeds[i].n > 0);
        running = names[i];
        taken += one(t, seeds[i].s, seeds[i].n);
        one(t, "", 0);
        for (size_t k = 0; k < CUTS; k++)
            one(t, seeds[i].s, seeds[i].n * k / CUTS);
    }
    if (!taken) /* then nothing deep is seen */
        fail_msg("%s: no seed is taken; the last refusal is \"%s\"", t->name, hora_errmsg());
    for (int k = 0; k < ROUNDS * hora_min(n, 12); k++) {
        const int i = (int)hora_rng_below(&r, n);
        hora_str s = {0};
        hora_str_add(&s, seeds[i].s, seeds[i].n);
        running = names[i];
        damage(&r, &s, &seeds[hora_rng_below(&r, n)]);
        one(t, s.s, s.n);
        hora_str_release(&s);
    }
    for (int i = 0; i < n; i++)
        hora_str_release(&seeds[i]);
    hora_free(seeds);
    hora_list_free(names, n);
}

static void seeds_of_every_target(void **state) {
    (void)state;
    hora_log_sink(quiet, NULL);
    for (const hora_fuzz *t = hora_fuzz_targets; t->name; t++)
        run_target(t);
    hora_log_sink(NULL, NULL);
}

HORA_TESTS(fuzz_corpus, {"seeds of every target", seeds_of_every_target, HORA_SHORT});
