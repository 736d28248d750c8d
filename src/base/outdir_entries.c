/*
 * What stands in an output folder: names claimed before they are made, dropped with what hora wrote
 * of them, filled from a stage that appears whole, and folders below with marks of their own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/outdir_impl.h"
#include "base/text.h"

/* --- entries ---------------------------------------------------------------------------------- */
/* A folder's own name, and those of unfinished ones. */
static const char *const forms[] = {"", HORA_UNFINISHED, (".old" HORA_UNFINISHED)};

static char *without_slash(const char *name) {
    return hora_strndup(name, strlen(name) - (hora_ends(name, "/") ? 1 : 0));
}

/* Looks at one entry; *there and *ours say what was found, `foreign` (may be NULL) names what in it
 * is not ours. */
typedef struct verdict {
    bool there, ours;
    hora_str foreign;
} verdict;

static void judge(void *arg, const char *rel, const struct stat *st, bool ours) {
    verdict *v = arg;
    (void)st;
    if (!v->there)
        v->ours = true;
    v->there = true;
    v->ours &= ours;
    if (!ours && !v->foreign.n)
        hora_str_puts(&v->foreign, rel);
}

static hora_status judge_entry(const hora_outdir *o, const char *name, verdict *v) {
    struct stat st;
    char *entry = without_slash(name);
    *v = (verdict){0};
    hora_status s = fstat(o->fd, &st) ? hora_file_error(errno, "cannot be used", o->dir) : HORA_OK;
    if (!s)
        s = hora_mark_walk_entry(o->fd, &o->mark, entry, &(hora_visit){judge, v, st.st_dev});
    hora_free(entry);
    return s;
}

hora_status hora_outdir_owns(const hora_outdir *o, const char *name, bool *ours) {
    verdict v = {0};
    const hora_status s = o->fd >= 0 ? judge_entry(o, name, &v) : HORA_OK;
    *ours = !s && v.there && v.ours;
    hora_str_release(&v.foreign);
    return s;
}

hora_status hora_outdir_claim(hora_outdir *o, const char *name) {
    struct stat st;
    char *entry = without_slash(name);
    const bool folder = hora_ends(name, "/"), known = hora_names_has(&o->mark.names, name);
    hora_status s = HORA_OK;
    for (size_t i = 0; i < (folder ? HORA_COUNT(forms) : 1) && !s; i++) {
        char *form = hora_format("%s%s", entry, forms[i]);
        int error = 0;
        const bool there = !fstatat(o->fd, form, &st, AT_SYMLINK_NOFOLLOW);
        const bool kind = there && (folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
        if (!there && !hora_means_absent(errno))
            s = hora_file_error(errno, "cannot be used", form);
        if (there && !(known && kind))
            s = hora_fail(HORA_EEXISTS,
                          "%s/%s is there already, and hora did not write it; move it away or give "
                          "another folder",
                          o->dir, form);
        else if (there && !folder && hora_mark_edited(&o->mark, o->fd, form, &error))
            s = hora_fail(HORA_EEXISTS,
                          "%s/%s was edited since hora wrote it; move it away, or give another "
                          "folder",
                          o->dir, form);
        if (!s && error)
            s = hora_file_error(error, "cannot be read", form);
        hora_free(form);
    }
    hora_free(entry);
    if (s || known)
        return s;
    hora_names_add(&o->mark.names, name);
    return hora_outdir_save_mark(o);
}

bool hora_outdir_begins(const char *name, const char *words) {
    for (size_t n; *words; words += n + (words[n] == ' '))
        if ((n = strcspn(words, " ")) && !strncmp(name, words, n))
            return true;
    return false;
}

hora_status hora_outdir_expect(const hora_outdir *o, const char *words) {
    char **names;
    int n;
    hora_status s = HORA_OK;
    HORA_TRY(hora_list_dir(o->dir, &names, &n));
    for (int i = 0; i < n && !s; i++) {
        bool ours;
        if (!hora_outdir_begins(names[i], words) || hora_mark_is_bookkeeping(&o->mark, names[i]))
            continue;
        s = hora_outdir_owns(o, names[i], &ours);
        if (!s && !ours)
            s = hora_fail(HORA_EEXISTS,
                          "%s/%s would be written at the end, and what is there is not as hora "
                          "wrote it; move it away or give another folder",
                          o->dir, names[i]);
    }
    hora_list_free(names, n);
    return s;
}

hora_status hora_outdir_adopt(hora_outdir *o, const char *name) {
    struct stat st;
    bool fits = false;
    char *entry = without_slash(name);
    const bool folder = hora_ends(name, "/");
    for (size_t i = 0; i < (folder ? HORA_COUNT(forms) : 1); i++) {
        char *form = hora_format("%s%s", entry, forms[i]);
        fits |= !fstatat(o->fd, form, &st, AT_SYMLINK_NOFOLLOW) &&
                (folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
        hora_free(form);
    }
    hora_free(entry);
    if (!fits || hora_names_has(&o->mark.names, name))
        return HORA_OK;
    hora_names_add(&o->mark.names, name);
    return hora_outdir_save_mark(o);
}

/* A folder is renamed first: what is in it then is ours by its name, whatever of it a loss of power
 * leaves. */
static hora_status remove_entry(hora_outdir *o, const char *entry, const char *path) {
    static const char gone[] = HORA_GONE HORA_UNFINISHED;
    bool folder;
    HORA_TRY(hora_path_is_folder(path, &folder));
    if (!folder || hora_ends(entry, HORA_UNFINISHED))
        return hora_remove_tree(path);
    HORA_TRY(hora_outdir_claim(o, HORA_GONE "/"));
    char *to = hora_outdir_in(o, gone);
    hora_status s = hora_remove_tree(to);
    if (!s)
        s = hora_rename(path, to);
    if (!s)
        s = hora_remove_tree(to);
    hora_free(to);
    return s;
}

static hora_status drop_entry(hora_outdir *o, const char *entry) {
    verdict v;
    hora_status s = judge_entry(o, entry, &v);
    char *path = hora_outdir_in(o, entry);
    if (!s && v.there && !v.ours)
        s = hora_fail(HORA_EEXISTS, "%s/%s stays: hora did not write %s; move that away", o->dir,
                      entry, v.foreign.s);
    if (!s && v.there)
        s = remove_entry(o, entry, path);
    hora_free(path);
    hora_str_release(&v.foreign);
    return s;
}

/* The name leaves the mark in memory; the file follows with its next change, for a name too many
 * does no harm. */
hora_status hora_outdir_drop(hora_outdir *o, const char *name) {
    char *entry = without_slash(name);
    hora_status s = HORA_OK;
    for (size_t i = 0; i < (hora_ends(name, "/") ? HORA_COUNT(forms) : 1) && !s; i++) {
        char *form = hora_format("%s%s", entry, forms[i]);
        if (hora_names_has(&o->mark.names, name))
            s = drop_entry(o, form);
        hora_free(form);
    }
    if (!s && hora_names_has(&o->mark.names, name))
        s = hora_fsync_dir(o->dir); /* gone for good before its name leaves the mark */
    if (!s)
        hora_names_remove(&o->mark.names, name);
    hora_free(entry);
    return s;
}

hora_status hora_outdir_write(hora_outdir *o, const char *name, const void *data, size_t n) {
    HORA_TRY(hora_outdir_claim(o, name));
    hora_mark_drop_sums(&o->mark, name); /* of a stage that had the name before */
    char *path = hora_outdir_in(o, name);
    hora_status s = hora_file_write(path, data, n);
    hora_free(path);
    return s;
}

/* --- staging ---------------------------------------------------------------------------------- */
hora_status hora_outdir_stage(hora_outdir *o, const char **path) {
    hora_free(o->stage);
    o->stage = hora_outdir_in(o, HORA_STAGE HORA_UNFINISHED);
    *path = o->stage;
    HORA_TRY(hora_outdir_drop(o, HORA_STAGE "/"));
    HORA_TRY(hora_outdir_claim(o, HORA_STAGE "/"));
    return hora_mkdirs(o->stage);
}

static hora_status take_one(hora_outdir *o, const char *name) {
    if (hora_ends(name, "/")) { /* a folder does not replace one that holds something */
        HORA_TRY(hora_outdir_drop(o, name));
        HORA_TRY(hora_outdir_claim(o, name));
    }
    char *entry = without_slash(name);
    hora_status s = hora_outdir_rename(o->stage, o->dir, entry);
    hora_free(entry);
    return s;
}

static hora_status seal(const char *dir, const hora_names *only);

/* Notes what small files hold, so that an edit is known later. What is replaced counts until its
 * successor is there. */
static hora_status note_sums(hora_outdir *o, char *const *names, int n) {
    int error = 0;
    const int fd = hora_open_at(AT_FDCWD, o->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return hora_file_error(errno, "cannot be opened", o->stage);
    for (int i = 0; i < n && !error; i++) {
        uint64_t sum;
        if (!hora_ends(names[i], "/") && hora_mark_sum(fd, names[i], &sum, &error))
            hora_mark_add_sum(&o->mark, names[i], sum);
    }
    close(fd);
    return error ? hora_file_error(error, "cannot be read", o->stage) : hora_outdir_save_mark(o);
}

/* Only what is there now counts from here on. */
static hora_status settle_sums(hora_outdir *o, char *const *names, int n) {
    int error = 0;
    for (int i = 0; i < n && !error; i++) {
        uint64_t sum;
        const bool small =
            !hora_ends(names[i], "/") && hora_mark_sum(o->fd, names[i], &sum, &error);
        hora_mark_drop_sums(&o->mark, names[i]);
        if (small)
            hora_mark_add_sum(&o->mark, names[i], sum);
    }
    return error ? hora_file_error(error, "cannot be read", o->dir) : hora_outdir_save_mark(o);
}

hora_status hora_outdir_take(hora_outdir *o) {
    char **names;
    int n;
    hora_status s = HORA_OK;
    HORA_TRY(hora_fsync_dir(o->stage));
    HORA_TRY(hora_list_dir(o->stage, &names, &n));
    for (int i = 0; i < n && !s; i++) {
        bool folder_there;
        char *path = hora_path_join(o->stage, names[i]);
        s = hora_path_is_folder(path, &folder_there);
        if (folder_there) {
            char *folder = hora_format("%s/", names[i]);
            hora_free(names[i]);
            names[i] = folder;
            s = seal(path, NULL);
        }
        hora_free(path);
        if (!s)
            s = hora_outdir_claim(o, names[i]);
    }
    if (!s)
        s = note_sums(o, names, n);
    /* who finds a config takes the folder for whole */
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < n && !s; i++)
            if (hora_ends(names[i], "config.json") == last)
                s = take_one(o, names[i]);
    if (!s)
        s = settle_sums(o, names, n);
    hora_list_free(names, n);
    return s ? s : hora_outdir_drop(o, HORA_STAGE "/");
}

/* --- folders below ---------------------------------------------------------------------------- */
/* only NULL: all that is there. */
static hora_status seal(const char *dir, const hora_names *only) {
    hora_mark m = {0};
    char **names;
    int n;
    hora_status s = HORA_OK;
    HORA_TRY(hora_list_dir(dir, &names, &n));
    hora_mark_new(&m);
    for (int i = 0; i < n && !s; i++) {
        char *path = hora_path_join(dir, names[i]);
        char *folder = hora_format("%s/", names[i]);
        bool is_folder;
        s = hora_path_is_folder(path, &is_folder);
        const char *name = is_folder ? folder : names[i];
        if (!s && !only && !is_folder && hora_temporary_stem(name)) {
            unlink(path); /* of a write that a kill or a loss of power ended */
        } else if (!s && !hora_eq(name, HORA_MARK) && (!only || hora_names_has(only, name))) {
            hora_names_add(&m.names, name);
            s = is_folder ? seal(path, NULL) : HORA_OK;
        }
        hora_free(folder);
        hora_free(path);
    }
    hora_list_free(names, n);
    if (!s)
        s = hora_mark_save(&m, dir);
    hora_mark_release(&m);
    return s;
}

hora_status hora_outdir_seal(const char *dir) {
    return seal(dir, NULL);
}

hora_status hora_outdir_seal_only(const char *dir, char *const *names, int n) {
    return seal(dir, &(hora_names){(char **)names, n, n});
}
