/*
 * Power loss. A run is recorded (shim_record.c): what it wrote, renamed, made, removed and synced.
 * After each prefix of these calls the power goes. What was synced is there; of the rest
 *
 *   nothing is, all is, all but one is, one alone is, all is and one write is torn in half,
 *
 * and any subset may be: many are drawn. A name is synced with its folder, bytes with their file; a
 * rename is there or not, and when it crosses folders both must be synced. Each state that differs
 * from those before is built, and the run gone on with. What must hold: a checkpoint that was
 * reported is there, bit for bit; what stood in OUT before --overwrite can be gone on with until
 * its successor has been reported; the end is as if nothing had happened.
 *
 * HORA_FAULTS=all: every state and 10,000 subsets; else a sample.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "fault_record.h"
#include "fault_world.h"
#include "hora_test.h"
#include "tiny_model.h"

#define SAMPLE  150   /* states of a scenario when not all are built */
#define SUBSETS 10000 /* drawn, over all scenarios */

#define DATA "--data data.txt --seq-len 16 --batch-size 2 --threads 1 "
#define TRAIN                                                                                      \
    "train --model model --method lora " DATA "--steps 4 --save-every 2 --save-limit 0 --out o "
#define MERGE    "merge --model model --adapter a --out o"
#define COMBINE  "combine --model model --adapter a --adapter b:0.5 --type cat --out o"
#define QUANTIZE "quantize --model model --type q8_0 --out o --overwrite"
typedef struct scenario {
    const char *name;
    const char *prepare[3];
    const char *command;
    const char *again; /* what a person types next */
    const char *anew;  /* and when that says there is nothing to go on with */
    bool keeps;        /* what stood in OUT before can be gone on with */
} scenario;
static const scenario scenarios[] = {
    {"train", {0}, TRAIN, "train --resume --out o --threads 1", TRAIN "--overwrite", false},
    {"train --resume",
     {TRAIN "--steps 2"},
     "train --resume --steps 4 --out o --threads 1",
     "train --resume --steps 4 --out o --threads 1",
     NULL,
     true},
    {"train --overwrite",
     {TRAIN "--seed 7"},
     TRAIN "--overwrite",
     "train --resume --out o --threads 1",
     TRAIN "--overwrite",
     true},
    {"train --save-limit 1",
     {0},
     "train --model model --method lora " DATA "--steps 3 --save-every 1 --save-limit 1 --out o",
     "train --resume --out o --threads 1",
     "train --model model --method lora " DATA
     "--steps 3 --save-every 1 --save-limit 1 --out o --overwrite",
     false},
    {"merge",
     {"train --model model --method lora " DATA "--steps 1 --out a"},
     MERGE,
     MERGE " --overwrite",
     NULL,
     false},
    {"combine",
     {"train --model model --method lora " DATA "--steps 1 --out a",
      "train --model model --method lora " DATA "--steps 1 --seed 7 --out b"},
     COMBINE,
     COMBINE " --overwrite",
     NULL,
     false},
    {"quantize --overwrite",
     {"quantize --model model --type q4_0 --out o"},
     QUANTIZE,
     QUANTIZE,
     NULL,
     true},
};

/* --- the file system -------------------------------------------------------------------------- */
typedef struct entry {
    uint64_t folder, inode;
    char *name;
    bool is_folder;
} entry;
typedef struct content {
    uint64_t inode;
    hora_str bytes;
} content;
typedef struct disk {
    entry *at;
    int n, cap;
    content *files;
    int nfiles, cfiles;
} disk;

static void put_entry(disk *d, uint64_t folder, const char *name, uint64_t inode, bool is_folder) {
    for (int i = 0; i < d->n; i++)
        if (d->at[i].folder == folder && hora_eq(d->at[i].name, name)) {
            d->at[i].inode = inode;
            d->at[i].is_folder = is_folder;
            return;
        }
    const entry e = {folder, inode, hora_strdup(name), is_folder};
    HORA_PUSH(d->at, d->n, d->cap, e);
}

/* inode 0: whatever is there. */
static bool drop_entry(disk *d, uint64_t folder, const char *name, uint64_t inode,
                       bool *was_folder) {
    for (int i = 0; i < d->n; i++)
        if (d->at[i].folder == folder && hora_eq(d->at[i].name, name) &&
            (!inode || d->at[i].inode == inode)) {
            *was_folder = d->at[i].is_folder;
            hora_free(d->at[i].name);
            d->at[i] = d->at[--d->n];
            return true;
        }
    return false;
}

static hora_str *bytes_of(disk *d, uint64_t inode) {
    for (int i = 0; i < d->nfiles; i++)
        if (d->files[i].inode == inode)
            return &d->files[i].bytes;
    const content c = {inode, {0}};
    HORA_PUSH(d->files, d->nfiles, d->cfiles, c);
    return &d->files[d->nfiles - 1].bytes;
}

static void disk_release(disk *d) {
    for (int i = 0; i < d->n; i++)
        hora_free(d->at[i].name);
    for (int i = 0; i < d->nfiles; i++)
        hora_str_release(&d->files[i].bytes);
    hora_free(d->at);
    hora_free(d->files);
    *d = (disk){0};
}

static void disk_copy(disk *to, const disk *from) {
    *to = (disk){0};
    for (int i = 0; i < from->n; i++)
        put_entry(to, from->at[i].folder, from->at[i].name, from->at[i].inode,
                  from->at[i].is_folder);
    for (int i = 0; i < from->nfiles; i++)
        hora_str_add(bytes_of(to, from->files[i].inode),
                     from->files[i].bytes.s ? from->files[i].bytes.s : "", from->files[i].bytes.n);
}

/* What lies in a real folder, but for links (the inputs). */
static void disk_read(disk *d, const char *dir, uint64_t inode) {
    char **names;
    int n;
    struct stat st;
    assert_ok(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n; i++) {
        char *path = hora_path_join(dir, names[i]);
        if (!lstat(path, &st) && !S_ISLNK(st.st_mode)) {
            put_entry(d, inode, names[i], st.st_ino, S_ISDIR(st.st_mode));
            if (S_ISDIR(st.st_mode))
                disk_read(d, path, st.st_ino);
            else
                assert_ok(hora_file_read(bytes_of(d, st.st_ino), path));
        }
        hora_free(path);
    }
    hora_list_free(names, n);
}

static void disk_write(disk *d, const char *dir, uint64_t inode) {
    for (int i = 0; i < d->n; i++) {
        const entry *e = &d->at[i];
        if (e->folder != inode)
            continue;
        char *path = hora_path_join(dir, e->name);
        if (e->is_folder) {
            if (mkdir(path, 0777))
                world_fail("%s: %s", path, strerror(errno));
            disk_write(d, path, e->inode);
        } else {
            const hora_str *s = bytes_of(d, e->inode);
            const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
            if (fd < 0 || (s->n && write(fd, s->s, s->n) != (ssize_t)s->n) || close(fd))
                world_fail("%s: %s", path, strerror(errno));
        }
        hora_free(path);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

/* A number for what is there; the names are sorted. */
static uint64_t disk_hash(disk *d, uint64_t inode, uint64_t h) {
    for (int i = 0; i < d->n; i++) {
        const entry e = d->at[i];
        if (e.folder != inode)
            continue;
        h = hora_hash64(e.name, strlen(e.name), h);
        if (e.is_folder) {
            h = disk_hash(d, e.inode, h + 1) + 2;
        } else {
            const hora_str *s = bytes_of(d, e.inode);
            h = hora_hash64(s->s ? s->s : "", s->n, h);
        }
    }
    return h;
}

/* --- the recording ---------------------------------------------------------------------------- */
typedef struct step {
    record r;
    char *name, *to;
    const char *data; /* in the recording */
    int synced;       /* from this call on it is on the disk; n: never */
} step;
typedef struct bench {
    const scenario *s;
    const char *begin; /* the world of every state: links to the inputs */
    uint64_t root;
    disk before;
    hora_str raw, said, want, was; /* recording; messages; OUT at the end and before */
    step *steps;
    int n, cap;
    struct state *states;
    int nstates, cstates;
} bench;

static bool is_names(uint32_t op) {
    return op == RECORD_CREATE || op == RECORD_MKDIR || op == RECORD_RENAME || op == RECORD_REMOVE;
}

static int synced_at(const bench *b, int from, uint64_t inode) {
    for (int i = from + 1; i < b->n; i++)
        if (b->steps[i].r.op == RECORD_SYNC && b->steps[i].r.inode == inode)
            return i;
    return b->n;
}

static void read_recording(bench *b) {
    for (size_t at = 0; at + sizeof(record) <= b->raw.n;) {
        step s = {0};
        memcpy(&s.r, b->raw.s + at, sizeof s.r);
        at += sizeof s.r;
        s.name = hora_strndup(b->raw.s + at, s.r.names[0]);
        s.to = hora_strndup(b->raw.s + at + s.r.names[0], s.r.names[1]);
        at += s.r.names[0] + s.r.names[1];
        s.data = b->raw.s + at;
        at += s.r.op == RECORD_WRITE ? s.r.n : 0;
        HORA_PUSH(b->steps, b->n, b->cap, s);
    }
    for (int i = 0; i < b->n; i++) {
        step *s = &b->steps[i];
        s->synced = synced_at(b, i, is_names(s->r.op) ? s->r.folder : s->r.inode);
        if (s->r.op == RECORD_RENAME)
            s->synced = (int)hora_max(s->synced, synced_at(b, i, s->r.folder2));
    }
}

/* torn: half of a write; a rename leaves both names. */
static void apply(disk *d, const step *s, bool torn) {
    bool folder = s->r.op == RECORD_MKDIR;
    switch (s->r.op) {
    case RECORD_CREATE:
    case RECORD_MKDIR:
        put_entry(d, s->r.folder, s->name, s->r.inode, folder);
        break;
    case RECORD_RENAME:
        for (int i = 0; i < d->n; i++)
            if (d->at[i].inode == s->r.inode)
                folder = d->at[i].is_folder;
        if (!torn || folder)
            drop_entry(d, s->r.folder, s->name, s->r.inode, &folder);
        put_entry(d, s->r.folder2, s->to, s->r.inode, folder);
        break;
    case RECORD_REMOVE:
        drop_entry(d, s->r.folder, s->name, 0, &folder);
        break;
    case RECORD_CUT:
    case RECORD_WRITE: {
        hora_str *to = bytes_of(d, s->r.inode);
        const size_t n = s->r.op == RECORD_CUT ? 0 : torn ? s->r.n / 2 : s->r.n;
        while (to->n < s->r.at + n) /* what was never written reads as zeros */
            hora_str_add(to, "", 1);
        if (s->r.op == RECORD_WRITE)
            memcpy(to->s + s->r.at, s->data, n);
        else
            to->n = s->r.at;
        break;
    }
    default:
        break;
    }
}

/* --- states ----------------------------------------------------------------------------------- */
typedef enum { NONE, ALL, ALL_BUT, ONLY, TORN, DRAWN } how;
typedef struct state {
    int prefix;
    how how;
    uint64_t which; /* a step; the seed of a draw */
} state;

static void build(const bench *b, const state *st, disk *d) {
    disk_copy(d, &b->before);
    hora_rng rng = hora_rng_new(st->which, "power");
    for (int i = 0; i < st->prefix; i++) {
        const step *s = &b->steps[i];
        const bool pending = s->synced >= st->prefix, it = (int)st->which == i;
        bool kept = !pending || st->how == ALL || st->how == TORN || (st->how == ONLY && it) ||
                    (st->how == ALL_BUT && !it);
        bool torn = st->how == TORN && it;
        if (pending && st->how == DRAWN) {
            const uint64_t bits = hora_rng_u64(&rng);
            kept = bits & 1;
            torn = (bits >> 1 & 7) == 0;
        }
        if (kept)
            apply(d, s, torn);
    }
}

static void add_state(bench *b, const state *st, hora_str *seen) {
    disk d;
    build(b, st, &d);
    if (d.n)
        qsort(d.at, (size_t)d.n, sizeof *d.at, by_name);
    const uint64_t h =
        disk_hash(&d, b->root, 0) + (uint64_t)b->steps[hora_min(st->prefix, b->n - 1)].r.said;
    disk_release(&d);
    for (size_t i = 0; i < seen->n; i += sizeof h)
        if (!memcmp(seen->s + i, &h, sizeof h))
            return;
    hora_str_add(seen, (const char *)&h, sizeof h);
    HORA_PUSH(b->states, b->nstates, b->cstates, *st);
}

static int add_states(bench *b, int drawn) {
    hora_str seen = {0};
    int all = 0;
    for (int p = 0; p <= b->n; p++) {
        add_state(b, &(state){p, NONE, 0}, &seen);
        add_state(b, &(state){p, ALL, 0}, &seen);
        all += 2;
        for (int i = 0; i < p; i++)
            if (b->steps[i].synced >= p && b->steps[i].r.op != RECORD_SYNC)
                for (how h = ALL_BUT; h <= TORN; h++, all++)
                    add_state(b, &(state){p, h, (uint64_t)i}, &seen);
    }
    hora_rng rng = hora_rng_new(1, "states");
    for (int i = 0; i < drawn; i++, all++) {
        const int p = (int)(hora_rng_u64(&rng) % (uint64_t)(b->n + 1));
        add_state(b, &(state){p, DRAWN, hora_rng_u64(&rng)}, &seen);
    }
    hora_str_release(&seen);
    return all;
}

/* --- what must hold --------------------------------------------------------------------------- */
/* The last checkpoint reported before the power went: its name with a slash; NULL: none. */
static char *reported(const bench *b, int prefix) {
    const size_t told = prefix < b->n ? b->steps[prefix].r.said : b->said.n;
    char *text = hora_strndup(b->said.s ? b->said.s : "", told), *name = NULL;
    for (const char *at = text; (at = strstr(at, "saved o/"));) {
        at += strlen("saved o/");
        if (!strchr(at, '\n'))
            break;
        hora_free(name);
        name = hora_format("%.*s/", (int)strcspn(at, "\n"), at);
    }
    hora_free(text);
    return name;
}

static bool all_there(const hora_str *want, const hora_str *have, const char *name) {
    for (const char *at = want->s; *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (hora_starts(at, name) && !world_has_line(have->s, at, strcspn(at, "\n")))
            return false;
    return true;
}

static char *judge(const bench *b, const state *st, const char *dir) {
    hora_str have = {0}, end = {0}, err = {0};
    char *name = reported(b, st->prefix), *what = NULL, *out = hora_path_join(dir, "o");
    world_list(out, &have);
    if (name && !all_there(&b->want, &have, name))
        what = hora_format("%s was reported and is not whole", name);
    int rc = world_tool(&(world_run){.dir = dir, .command = b->s->again}, NULL, &err);
    if (rc && (name || b->s->keeps))
        what = what ? what : hora_strdup("cannot be gone on with");
    else if (rc && b->s->anew)
        rc = world_tool(&(world_run){.dir = dir, .command = b->s->anew}, NULL, &err);
    world_list(out, &end);
    if (!what && rc)
        what = hora_strdup("cannot be begun anew");
    if (!what && !hora_eq(end.s, b->want.s) && (name || !b->s->keeps || !hora_eq(end.s, b->was.s)))
        what = hora_strdup("another result");
    if (what) {
        static const char *const hows[] = {"none", "all", "all but", "only", "torn", "drawn"};
        const char *last = err.n ? err.s : "";
        for (const char *at = last; (at = strchr(at, '\n')) && at[1];)
            last = ++at;
        char *full = hora_format("%s, after %d of %d calls, %s %llu: %s (%.*s)", b->s->name,
                                 st->prefix, b->n, hows[st->how], (unsigned long long)st->which,
                                 what, (int)strcspn(last, "\n"), last);
        hora_free(what);
        what = full;
    }
    hora_free(name);
    hora_free(out);
    hora_str_release(&have);
    hora_str_release(&end);
    hora_str_release(&err);
    return what;
}

static void link_inputs(const char *from, const char *to) {
    static const char *const inputs[] = {"model", "data.txt"};
    assert_ok(hora_mkdirs(to));
    for (size_t i = 0; i < HORA_COUNT(inputs); i++) {
        char *a = hora_path_join(from, inputs[i]), *b = hora_path_join(to, inputs[i]);
        if (symlink(a, b))
            world_fail("%s: %s", b, strerror(errno));
        hora_free(a);
        hora_free(b);
    }
}

static char *one(void *arg, int i, const char *own) {
    const bench *b = arg;
    const int step = world_exhaustive() ? 1 : (int)hora_max(1, b->nstates / SAMPLE);
    const state *st = &b->states[(int)hora_min(b->nstates - 1, i * step + step / 2)];
    char *dir = hora_format("%s/%d", own, i);
    disk d;
    link_inputs(b->begin, dir);
    build(b, st, &d);
    disk_write(&d, dir, b->root);
    disk_release(&d);
    char *said = judge(b, st, dir);
    if (!(said && getenv("HORA_FAULTS_KEEP")))
        world_remove(dir);
    hora_free(dir);
    return said;
}

/* --- scenarios -------------------------------------------------------------------------------- */
static int scenario_in(const char *world, const scenario *s, int drawn, hora_str *wrong) {
    bench b = {.s = s};
    hora_str text = {0};
    struct stat st;
    char *begin = hora_path_join(world, "begin"), *run = hora_path_join(world, "run");
    char *model = hora_path_join(begin, "model"), *data = hora_path_join(begin, "data.txt");
    char *file = hora_path_join(world, "recording"), *out = hora_path_join(run, "o");
    char *env = hora_format("HORA_RECORD=%s", file);
    b.begin = begin;
    world_copy(tiny_model(), model);
    for (int i = 0; i < 30; i++)
        hora_str_printf(&text, "line %d of a small text; ", i);
    assert_ok(hora_file_write(data, text.s, text.n));
    link_inputs(begin, run);
    for (int i = 0; i < 3 && s->prepare[i]; i++)
        assert_int_equal(world_tool(&(world_run){.dir = run, .command = s->prepare[i]}, NULL, NULL),
                         0);
    assert_int_equal(stat(run, &st), 0);
    b.root = st.st_ino;
    disk_read(&b.before, run, b.root);
    world_list(out, &b.was);
    const world_run r = {run, s->command, NULL, world_shim("hora-record"), {env}};
    if (world_tool(&r, NULL, &b.said))
        fail_msg("%s: %s", s->command, b.said.s);
    world_list(out, &b.want);
    assert_ok(hora_file_read(&b.raw, file));
    read_recording(&b);
    assert_true(b.n >= 5); /* one file: made, written, synced, renamed, its folder synced */
    const int all = add_states(&b, drawn);
    const int made = world_exhaustive() ? b.nstates : (int)hora_min(b.nstates, SAMPLE);
    const int bad = world_all(world, made, one, &b, wrong);
    print_message("| %s | %d | %d | %d | %d | %d |\n", s->name, b.n, all, b.nstates, made, bad);
    for (int i = 0; i < b.n; i++) {
        hora_free(b.steps[i].name);
        hora_free(b.steps[i].to);
    }
    hora_free(b.steps);
    hora_free(b.states);
    disk_release(&b.before);
    hora_str_release(&b.raw);
    hora_str_release(&b.said);
    hora_str_release(&b.want);
    hora_str_release(&b.was);
    hora_str_release(&text);
    char *const strings[] = {begin, run, model, data, file, out, env};
    for (size_t i = 0; i < HORA_COUNT(strings); i++)
        hora_free(strings[i]);
    return bad;
}

static void test_power(void **unused) {
    (void)unused;
    int bad = 0;
    const char *only = getenv("HORA_FAULTS_ONLY");
    world_shim("hora-fault");
    for (size_t i = 0; i < HORA_COUNT(scenarios); i++) {
        hora_str wrong = {0};
        if (only && !hora_eq(only, scenarios[i].name))
            continue;
        char *world = world_new();
        const int drawn = (world_exhaustive() ? SUBSETS : SAMPLE) / (int)HORA_COUNT(scenarios);
        bad += scenario_in(world, &scenarios[i], drawn, &wrong);
        if (wrong.n)
            fputs(wrong.s, stderr);
        hora_str_release(&wrong);
        world_free(world);
    }
    assert_int_equal(bad, 0);
}

HORA_TESTS(fault_power, {"the power goes", test_power, HORA_MEDIUM});
