/*
 * The life of an output folder: checked, locked, marked, filled, and put back when it fails. The
 * order of every change is such that a kill between any two calls leaves the mark telling the
 * truth: a name is listed before the entry is made, what moves aside is listed as aside before it
 * moves, and what comes back comes back after its successor's names are gone from the mark.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/log.h"
#include "base/outdir_impl.h"
#include "base/text.h"

#define SHOWN 12 /* entries that a refusal lists */

const char *hora_outdir_path(const hora_outdir *o) {
    return o->dir;
}

bool hora_outdir_marked(const hora_outdir *o) {
    return o->mark.there;
}

hora_status hora_outdir_save_mark(hora_outdir *o) {
    return hora_mark_save(&o->mark, o->dir);
}

char *hora_outdir_in(const hora_outdir *o, const char *name) {
    return hora_path_join(o->dir, name);
}

/* --- the lock --------------------------------------------------------------------------------- */
/* Who holds a lock on this file, from /proc/locks: "1: FLOCK ADVISORY WRITE 123 fe:00:4567 0 EOF".
 * 0: not told. */
static long holder(const struct stat *st) {
    char line[256], want[64];
    long pid = 0;
    FILE *f = fopen("/proc/locks", "re");
    hora_snprintf(want, sizeof want, ":%llu ", (unsigned long long)st->st_ino);
    while (f && !pid && fgets(line, sizeof line, f)) {
        const char *write = strstr(line, "WRITE ");
        if (strstr(line, "FLOCK") && !strstr(line, "->") && write && strstr(line, want))
            pid = strtol(write + strlen("WRITE "), NULL, 10);
    }
    if (f)
        fclose(f);
    return pid;
}

static hora_status lock(hora_outdir *o) {
    struct stat st;
    char who[64] = "another process";
    while (flock(o->fd, LOCK_EX | LOCK_NB)) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK) { /* some network file systems cannot lock */
            hora_warn("%s: cannot be locked (%s); start nothing else with this folder", o->dir,
                      strerror(errno));
            return HORA_OK;
        }
        const long pid = fstat(o->fd, &st) ? 0 : holder(&st);
        if (pid > 0)
            hora_snprintf(who, sizeof who, "process %ld", pid);
        return hora_fail(HORA_EEXISTS, "%s is in use by %s; wait for it or give another folder",
                         o->dir, who);
    }
    return HORA_OK;
}

/* Opens and locks the folder and reads its mark; *there is false when there is none. */
static hora_status take_folder(hora_outdir *o, bool *there) {
    struct stat st;
    *there = false;
    if (stat(o->dir, &st)) {
        if (errno != ENOENT)
            return hora_file_error(errno, "cannot be used", o->dir);
        if (lstat(o->dir, &st))
            return errno == ENOENT ? HORA_OK : hora_file_error(errno, "cannot be used", o->dir);
        return hora_fail(HORA_EEXISTS,
                         "%s is a link to nothing; make the folder that it names, or remove the "
                         "link",
                         o->dir);
    }
    if (!S_ISDIR(st.st_mode))
        return hora_fail(HORA_EEXISTS, "%s is a file; give a folder as output", o->dir);
    o->fd = hora_open_at(AT_FDCWD, o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->fd < 0)
        return hora_file_error(errno, "cannot be opened", o->dir);
    *there = true;
    HORA_TRY(lock(o));
    const int error = hora_mark_load(&o->mark, o->fd);
    return error ? hora_file_error(error, "its mark (" HORA_MARK ") cannot be read", o->dir)
                 : HORA_OK;
}

/* --- what is there ---------------------------------------------------------------------------- */
typedef struct scan {
    const hora_outdir *o;
    const hora_guard *guard;
    hora_names top;     /* ours, at the top, but for bookkeeping */
    hora_str foreign;   /* the first few, for people */
    int nforeign, nall; /* nall: entries at the top but for bookkeeping */
    hora_status refused;
} scan;

static bool is_top(const char *rel) {
    const char *slash = strchr(rel, '/');
    return !slash || !slash[1];
}

static void show(scan *s, const char *rel) {
    if (s->nforeign++ < SHOWN)
        hora_str_printf(&s->foreign, "%s%s%s", s->foreign.n ? ", " : "", rel,
                        hora_names_has(&s->o->mark.names, rel) ? " (edited)" : "");
}

static void see(void *arg, const char *rel, const struct stat *st, bool ours) {
    scan *s = arg;
    const hora_input *in = ours ? hora_guard_holds(s->guard, st) : NULL;
    if (in && !s->refused)
        s->refused = hora_fail(HORA_EEXISTS,
                               "%s/%s would be replaced, and the %s (%s) is or lies in it; give "
                               "another output folder",
                               s->o->dir, rel, in->what, in->path);
    if (!ours)
        show(s, rel);
    if (!is_top(rel) || hora_mark_is_bookkeeping(&s->o->mark, rel) ||
        hora_starts(rel, HORA_ASIDE HORA_UNFINISHED "/") ||
        hora_starts(rel, HORA_STAGE HORA_UNFINISHED "/") ||
        hora_starts(rel, HORA_GONE HORA_UNFINISHED "/"))
        return;
    s->nall++;
    if (ours)
        hora_names_add(&s->top, rel);
}

static hora_status look(scan *s, const hora_outdir *o, const hora_guard *guard) {
    struct stat st;
    *s = (scan){.o = o, .guard = guard};
    if (fstat(o->fd, &st))
        return hora_file_error(errno, "cannot be used", o->dir);
    return hora_mark_walk(o->fd, &o->mark, &(hora_visit){see, s, st.st_dev});
}

static void scan_release(scan *s) {
    hora_names_release(&s->top);
    hora_str_release(&s->foreign);
}

/* --- refusals --------------------------------------------------------------------------------- */
static const char *more_of(char buf[32], int n) {
    buf[0] = 0;
    if (n > SHOWN)
        hora_snprintf(buf, 32, " and %d more", n - SHOWN);
    return buf;
}

static hora_status refuse_foreign(const hora_outdir *o, const scan *s) {
    char more[32];
    more_of(more, s->nforeign);
    if (o->mark.there)
        return hora_fail(HORA_EEXISTS,
                         "%s holds what hora did not write: %s%s; overwriting takes only what is "
                         "hora's. Move it away, or give another folder",
                         o->dir, s->foreign.s, more);
    return hora_fail(HORA_EEXISTS,
                     "%s has no mark of hora (" HORA_MARK
                     "): overwriting would remove %s%s. Remove "
                     "it yourself, give another folder, or --resume a run of an older version, "
                     "which marks it",
                     o->dir, s->foreign.s, more);
}

/* The folder as a whole against the inputs. */
static hora_status refuse_place(const hora_outdir *o, const hora_guard *g) {
    struct stat st;
    if (fstat(o->fd, &st))
        return hora_file_error(errno, "cannot be used", o->dir);
    const hora_input *in =
        o->mode == HORA_OUT_REPLACE ? hora_guard_holds(g, &st) : hora_guard_is(g, &st);
    if (in)
        return hora_fail(HORA_EEXISTS,
                         "the output folder %s is or holds the %s (%s); give another folder",
                         o->dir, in->what, in->path);
    in = o->mode == HORA_OUT_REPLACE ? hora_guard_around(g, o->dir) : NULL;
    if (in)
        return hora_fail(HORA_EEXISTS,
                         "the output folder %s lies in the %s (%s), and nothing is replaced there; "
                         "give another folder",
                         o->dir, in->what, in->path);
    return HORA_OK;
}

static hora_status refuse(const hora_outdir *o, scan *s, const hora_guard *g) {
    HORA_TRY(hora_guard_sure(g));
    HORA_TRY(look(s, o, g));
    if (o->mode == HORA_OUT_NEW)
        return s->nall ? hora_fail(HORA_EEXISTS, "%s exists; %s", o->dir, o->advice) : HORA_OK;
    if (o->mode == HORA_OUT_REPLACE && !s->nall)
        return HORA_OK;
    HORA_TRY(refuse_place(o, g));
    if (s->refused)
        return s->refused;
    return o->mode == HORA_OUT_REPLACE && s->nforeign ? refuse_foreign(o, s) : HORA_OK;
}

/* --- moving aside and back -------------------------------------------------------------------- */
hora_status hora_outdir_rename(const char *from, const char *to, const char *name) {
    char *a = hora_path_join(from, name), *b = hora_path_join(to, name);
    hora_status s = hora_rename(a, b);
    hora_free(a);
    hora_free(b);
    return s;
}

/* All that is listed goes, the new names first of all: from here on the mark lists what comes
 * back. */
static hora_status put_back(hora_outdir *o) {
    hora_status s = HORA_OK;
    char *aside = hora_outdir_in(o, HORA_ASIDE HORA_UNFINISHED);
    for (int i = o->mark.names.n - 1; i >= 0 && !s; i--) {
        char *name = hora_strdup(o->mark.names.at[i]);
        if (!hora_starts(name, HORA_ASIDE "/"))
            s = hora_outdir_drop(o, name);
        hora_free(name);
    }
    if (!s)
        s = hora_outdir_save_mark(o);
    for (int i = 0; i < o->mark.aside.n && !s; i++) {
        const char *name = o->mark.aside.at[i];
        char *there = hora_path_join(aside, name);
        if (hora_path_exists(there))
            s = hora_outdir_rename(aside, o->dir, name);
        hora_free(there);
    }
    if (!s) {
        for (int i = 0; i < o->mark.aside.n; i++)
            hora_names_add(&o->mark.names, o->mark.aside.at[i]);
        hora_names_release(&o->mark.aside);
        o->mark.replacing = false;
        s = hora_outdir_save_mark(o);
    }
    if (!s)
        s = hora_remove_tree(aside);
    hora_free(aside);
    return s;
}

/* What an earlier process left between two states. */
static hora_status mend(hora_outdir *o) {
    if (!o->mark.there)
        return HORA_OK;
    if (o->mark.replacing) {
        HORA_TRY(put_back(o));
        hora_warn("%s: what was to replace its contents was stopped before it had saved anything; "
                  "the earlier contents are back",
                  o->dir);
    }
    HORA_TRY(hora_outdir_drop(o, HORA_GONE "/"));
    HORA_TRY(hora_outdir_drop(o, HORA_ASIDE "/"));
    return hora_outdir_drop(o, HORA_STAGE "/");
}

static hora_status move_aside(hora_outdir *o, hora_names *top) {
    char *aside = hora_outdir_in(o, HORA_ASIDE HORA_UNFINISHED);
    hora_names_release(&o->mark.names);
    hora_names_add(&o->mark.names, HORA_ASIDE "/");
    o->mark.aside = *top;
    *top = (hora_names){0};
    o->mark.replacing = true;
    hora_status s = hora_outdir_save_mark(o);
    if (!s)
        s = hora_mkdirs(aside);
    for (int i = 0; i < o->mark.aside.n && !s; i++)
        s = hora_outdir_rename(o->dir, aside, o->mark.aside.at[i]);
    hora_free(aside);
    return s;
}

/* --- open, begin, close ----------------------------------------------------------------------- */
hora_status hora_outdir_open(hora_outdir **out, const char *dir, const hora_outdir_how *how) {
    hora_outdir *o = hora_calloc(1, sizeof *o);
    bool there;
    o->dir = hora_strdup(dir);
    o->advice = hora_strdup(how->advice ? how->advice : "give another folder");
    o->mode = how->mode;
    o->fd = -1;
    o->n = how->n;
    o->in = hora_calloc((size_t)how->n + 1, sizeof *o->in);
    for (int i = 0; i < how->n; i++)
        o->in[i] = (hora_input){hora_strdup(how->in[i].what),
                                how->in[i].path ? hora_strdup(how->in[i].path) : NULL};
    scan seen = {0};
    hora_guard *guard = hora_guard_new(o->in, o->n);
    hora_status s = take_folder(o, &there);
    if (!s && there)
        s = mend(o);
    if (!s && there)
        s = refuse(o, &seen, guard);
    scan_release(&seen);
    hora_guard_free(guard);
    if (s)
        hora_outdir_close(o);
    *out = s ? NULL : o;
    return s;
}

static hora_status make(hora_outdir *o) {
    bool there;
    HORA_TRY(hora_mkdirs_told(o->dir, &o->made));
    HORA_TRY(take_folder(o, &there));
    return there ? mend(o) : hora_fail(HORA_EIO, "%s went away; try again", o->dir);
}

/* A file of that name that is no mark stays: without a mark there is nothing to write. */
static hora_status check_mark(const hora_outdir *o) {
    struct stat st;
    if (o->mark.there)
        return HORA_OK;
    if (fstatat(o->fd, HORA_MARK, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? HORA_OK : hora_file_error(errno, "cannot be used", o->dir);
    return hora_fail(HORA_EEXISTS,
                     "%s/" HORA_MARK " is no mark of hora; move it away or give another folder",
                     o->dir);
}

static void drop_temporaries(void *arg, const char *rel, const struct stat *st, bool ours) {
    hora_outdir *o = arg;
    if (!ours || !S_ISREG(st->st_mode) || !is_top(rel) || hora_eq(rel, HORA_MARK) ||
        !hora_mark_is_bookkeeping(&o->mark, rel))
        return;
    unlinkat(o->fd, rel, 0);
}

hora_status hora_outdir_begin(hora_outdir *o) {
    scan seen = {0};
    struct stat st;
    hora_guard *guard = hora_guard_new(o->in, o->n);
    hora_status s = o->fd < 0 ? make(o) : HORA_OK;
    if (s)
        goto out;
    HORA_TRY_OUT(s, refuse(o, &seen, guard));
    HORA_TRY_OUT(s, check_mark(o));
    if (fstat(o->fd, &st))
        HORA_TRY_OUT(s, hora_file_error(errno, "cannot be used", o->dir));
    HORA_TRY_OUT(s, hora_mark_walk(o->fd, &o->mark, &(hora_visit){drop_temporaries, o, st.st_dev}));
    if (!o->mark.there) {
        hora_mark_new(&o->mark);
        o->first = true;
        HORA_TRY_OUT(s, hora_outdir_save_mark(o));
    }
    if (o->mode == HORA_OUT_REPLACE && seen.nall)
        s = move_aside(o, &seen.top);
out:
    o->begun = !s;
    scan_release(&seen);
    hora_guard_free(guard);
    return s;
}

hora_status hora_outdir_whole(hora_outdir *o) {
    if (!o->mark.replacing)
        return HORA_OK;
    hora_names_release(&o->mark.aside);
    o->mark.replacing = false;
    HORA_TRY(hora_outdir_save_mark(o));
    return hora_outdir_drop(o, HORA_ASIDE "/");
}

/* Removes what was written since _begin and puts back what was aside. */
static hora_status undo(hora_outdir *o) {
    if (o->mark.replacing)
        return put_back(o);
    hora_status s = HORA_OK;
    while (o->mark.names.n && !s) {
        char *name = hora_strdup(o->mark.names.at[o->mark.names.n - 1]);
        s = hora_outdir_drop(o, name);
        hora_free(name);
    }
    return s ? s : hora_outdir_save_mark(o);
}

/* The same after a failure, whose text stays. */
static void give_up(hora_outdir *o) {
    char *said = hora_strdup(hora_errmsg());
    undo(o);
    hora_error_restore(said);
    hora_free(said);
}

static hora_status or_give_up(hora_outdir *o, hora_status s) {
    if (s != HORA_OK)
        give_up(o);
    return s;
}

hora_status hora_outdir_enter(hora_outdir *o, const char **stage) {
    hora_status s = hora_outdir_begin(o);
    if (s == HORA_OK)
        s = hora_outdir_stage(o, stage);
    return or_give_up(o, s);
}

hora_status hora_outdir_leave(hora_outdir *o, hora_status written) {
    if (written == HORA_OK)
        written = hora_outdir_take(o);
    if (written == HORA_OK)
        written = hora_outdir_whole(o);
    return or_give_up(o, written);
}

/* A mark, and then a folder, that this process made for nothing go again. */
static void unmake(const hora_outdir *o) {
    scan seen = {0};
    hora_guard *none = hora_guard_new(NULL, 0);
    if (o->first && look(&seen, o, none) == HORA_OK && !seen.top.n)
        unlinkat(o->fd, HORA_MARK, 0);
    if (o->made)
        rmdir(o->dir); /* which fails while anything is in it */
    scan_release(&seen);
    hora_guard_free(none);
}

void hora_outdir_close(hora_outdir *o) {
    if (!o)
        return;
    char *said = hora_strdup(hora_errmsg());
    if (o->fd >= 0 && o->begun) {
        hora_status s = hora_outdir_drop(o, HORA_STAGE "/");
        if (!s && o->mark.replacing)
            s = put_back(o);
        if (s)
            hora_warn("%s: what was moved aside could not be put back (%s); it lies in " HORA_ASIDE
                          HORA_UNFINISHED
                      " there, and the next --resume or --overwrite tries again",
                      o->dir, hora_errmsg());
    }
    unmake(o);
    if (o->fd >= 0)
        close(o->fd);
    for (int i = 0; i < o->n; i++) {
        hora_free((char *)o->in[i].what);
        hora_free((char *)o->in[i].path);
    }
    hora_mark_release(&o->mark);
    hora_free(o->in);
    hora_free(o->stage);
    hora_free(o->advice);
    hora_free(o->dir);
    hora_free(o);
    hora_error_restore(said);
    hora_free(said);
}

hora_status hora_outdir_missing(const char *dir, hora_status s) {
    const bool replaced = hora_path_has(dir, HORA_ASIDE HORA_UNFINISHED);
    if (!hora_path_has(dir, HORA_MARK) ||
        !(replaced || hora_path_has(dir, HORA_STAGE HORA_UNFINISHED)))
        return s;
    char *said = hora_strdup(hora_errmsg());
    s = hora_fail(s,
                  "%s: whoever was writing this folder was stopped or is not done; give that "
                  "command again%s (%s)",
                  dir,
                  replaced ? ", what was here before lies in " HORA_ASIDE HORA_UNFINISHED
                             " and comes back with it"
                           : "",
                  said);
    hora_free(said);
    return s;
}
