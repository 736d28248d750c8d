/*
 * The mark of a folder: reading, writing, and what is ours by it. Owns the rule; decides nothing
 * about when something is removed. Works with folder handles and never follows a link, so an entry
 * is judged by what it is, not by what it points at.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/json.h"
#include "base/outdir_impl.h"
#include "base/rng.h"
#include "base/text.h"

#define MARK_VERSION 1
#define MARK_MOST    ((off_t)64 << 20) /* bytes: more is none of ours */
#define DEPTH_MOST   16
#define SUM_MOST     ((off_t)64 << 10) /* bytes: what people edit is smaller */

/* --- names ------------------------------------------------------------------------------------ */
bool hora_names_has(const hora_names *v, const char *name) {
    for (int i = 0; i < v->n; i++)
        if (hora_eq(v->at[i], name))
            return true;
    return false;
}

void hora_names_add(hora_names *v, const char *name) {
    if (!hora_names_has(v, name))
        HORA_PUSH(v->at, v->n, v->cap, hora_strdup(name));
}

void hora_names_remove(hora_names *v, const char *name) {
    int n = 0;
    for (int i = 0; i < v->n; i++)
        if (hora_eq(v->at[i], name))
            hora_free(v->at[i]);
        else
            v->at[n++] = v->at[i];
    v->n = n;
}

void hora_names_release(hora_names *v) {
    hora_list_free(v->at, v->n);
    *v = (hora_names){0};
}

/* --- the file --------------------------------------------------------------------------------- */
/* An entry of this folder and of no other: "a", "a/"; no "..", no path. */
static bool is_entry(const char *name) {
    const char *slash = strchr(name, '/');
    const size_t n = slash ? (size_t)(slash - name) : strlen(name);
    return n && (!slash || !slash[1]) && !(n == 1 && name[0] == '.') &&
           !(n == 2 && name[0] == '.' && name[1] == '.');
}

static bool take_names(const hora_json *list, hora_names *out) {
    if (hora_json_type(list) != HORA_JARRAY)
        return false;
    for (size_t i = 0; i < hora_json_len(list); i++) {
        size_t n;
        const char *name = hora_json_string(hora_json_at(list, i), &n);
        if (!name || strlen(name) != n || !is_entry(name))
            return false;
        HORA_PUSH(out->at, out->n, out->cap, hora_strdup(name));
    }
    return true;
}

/* Objects with a list of sums for each name. What cannot be read is passed over. */
static void take_sums(hora_mark *m, const hora_json *sums) {
    for (void *it = hora_json_iter(sums); it; it = hora_json_next(sums, it)) {
        const hora_json *list = hora_json_iter_value(it);
        for (size_t i = 0; i < hora_json_len(list); i++) {
            const char *text = hora_json_string(hora_json_at(list, i), NULL);
            if (text)
                hora_mark_add_sum(m, hora_json_iter_key(it), strtoull(text, NULL, 16));
        }
    }
}

static bool take_mark(hora_mark *m, const hora_json *tree) {
    int64_t version;
    const char *id = hora_json_string(hora_json_get(tree, "id"), NULL);
    const hora_json *aside = hora_json_get(tree, "aside");
    if (!hora_json_int(hora_json_get(tree, "hora"), &version) || version != MARK_VERSION || !id ||
        !take_names(hora_json_get(tree, "names"), &m->names) ||
        (aside && !take_names(aside, &m->aside)))
        return false;
    m->id = strtoull(id, NULL, 16);
    m->replacing = aside != NULL;
    take_sums(m, hora_json_get(tree, "sums"));
    return true;
}

/* Bytes of a regular file in `dir`; false for anything else, and *error when it was not to be
 * found out. */
static bool read_regular(int dir, const char *name, off_t most, hora_str *out, int *error) {
    struct stat st;
    char chunk[1 << 13];
    ssize_t got = -1;
    /* a link is refused, and a pipe does not block */
    const int fd = hora_open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *error = 0;
    if (fd < 0) {
        *error = hora_means_absent(errno) || errno == ELOOP || errno == ENXIO ? 0 : errno;
        return false;
    }
    if (fstat(fd, &st))
        *error = errno;
    else if (S_ISREG(st.st_mode) && st.st_size <= most)
        while ((got = read(fd, chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR))
            hora_str_add(out, chunk, got > 0 ? (size_t)got : 0);
    if (!*error && got < 0 && S_ISREG(st.st_mode) && st.st_size <= most)
        *error = errno;
    close(fd);
    return got == 0;
}

int hora_mark_load(hora_mark *m, int dir) {
    int error;
    hora_str text = {0};
    hora_json *tree = NULL;
    *m = (hora_mark){0};
    if (read_regular(dir, HORA_MARK, MARK_MOST, &text, &error)) {
        const hora_status s = hora_json_parse(&tree, text.s ? text.s : "", text.n, HORA_MARK);
        m->there = !s && take_mark(m, tree);
        error = s == HORA_ENOMEM ? ENOMEM : 0;
    }
    if (!m->there)
        hora_mark_release(m);
    hora_json_free(tree);
    hora_str_release(&text);
    return error;
}

static hora_json *list_of(const hora_names *v) {
    hora_json *list = hora_json_new_array();
    for (int i = 0; i < v->n; i++)
        hora_json_push(list, hora_json_new_string(v->at[i]));
    return list;
}

static void put_sums(hora_json *o, const hora_mark *m) {
    char hex[32];
    for (int i = 0; i < m->nsums; i++) {
        hora_snprintf(hex, sizeof hex, "%016llx", (unsigned long long)m->sums[i].sum);
        if (!hora_json_get(o, m->sums[i].name))
            hora_json_set(o, m->sums[i].name, hora_json_new_array());
        hora_json_push((hora_json *)hora_json_get(o, m->sums[i].name), hora_json_new_string(hex));
    }
}

hora_status hora_mark_save(const hora_mark *m, const char *dir) {
    char id[32];
    hora_json *o = hora_json_new_object();
    hora_snprintf(id, sizeof id, "%016llx", (unsigned long long)m->id);
    hora_json_set(o, "hora", hora_json_new_int(MARK_VERSION));
    hora_json_set(o, "id", hora_json_new_string(id));
    hora_json_set(o, "names", list_of(&m->names));
    if (m->nsums)
        put_sums(hora_json_set(o, "sums", hora_json_new_object()), m);
    if (m->replacing)
        hora_json_set(o, "aside", list_of(&m->aside));
    hora_status s = hora_json_save(o, 1, false, dir, HORA_MARK);
    hora_json_free(o);
    return s;
}

void hora_mark_new(hora_mark *m) {
    m->id = hora_unguessable();
    m->there = true;
}

void hora_mark_release(hora_mark *m) {
    hora_names_release(&m->names);
    hora_names_release(&m->aside);
    for (int i = 0; i < m->nsums; i++)
        hora_free(m->sums[i].name);
    hora_free(m->sums);
    *m = (hora_mark){0};
}

/* --- edited or not ---------------------------------------------------------------------------- */
void hora_mark_add_sum(hora_mark *m, const char *name, uint64_t sum) {
    for (int i = 0; i < m->nsums; i++)
        if (m->sums[i].sum == sum && hora_eq(m->sums[i].name, name))
            return;
    const struct hora_sum s = {hora_strdup(name), sum};
    HORA_PUSH(m->sums, m->nsums, m->csums, s);
}

void hora_mark_drop_sums(hora_mark *m, const char *name) {
    int n = 0;
    for (int i = 0; i < m->nsums; i++)
        if (hora_eq(m->sums[i].name, name))
            hora_free(m->sums[i].name);
        else
            m->sums[n++] = m->sums[i];
    m->nsums = n;
}

bool hora_mark_sum(int dir, const char *name, uint64_t *sum, int *error) {
    hora_str text = {0};
    const bool small = read_regular(dir, name, SUM_MOST, &text, error);
    *sum = hora_hash64(text.s ? text.s : "", text.n, 0);
    hora_str_release(&text);
    return small;
}

bool hora_mark_edited(const hora_mark *m, int dir, const char *name, int *error) {
    bool known = false, read = false, same = false;
    uint64_t sum = 0;
    *error = 0;
    for (int i = 0; i < m->nsums && !*error; i++) {
        if (!hora_eq(m->sums[i].name, name))
            continue;
        if (!known)
            read = hora_mark_sum(dir, name, &sum, error);
        known = true;
        same |= read && m->sums[i].sum == sum;
    }
    return known && !same && !*error;
}

/* --- ours or foreign -------------------------------------------------------------------------- */
static bool listed(const hora_mark *m, const char *name) {
    return hora_names_has(&m->names, name) || hora_names_has(&m->aside, name);
}

static bool is_temporary(const hora_mark *m, const char *name) {
    const size_t n = hora_temporary_stem(name);
    char *stem = hora_strndup(name, n);
    const bool ours = n && (hora_eq(stem, HORA_MARK) || listed(m, stem));
    hora_free(stem);
    return ours;
}

bool hora_mark_is_bookkeeping(const hora_mark *m, const char *rel) {
    return (m->there && hora_eq(rel, HORA_MARK)) || is_temporary(m, rel);
}

/* The folder NAME.tmp or NAME.old.tmp of a listed NAME/. */
static bool is_unfinished(const hora_mark *m, const char *folder) {
    static const char *const ends[] = {".old" HORA_UNFINISHED, HORA_UNFINISHED};
    for (size_t i = 0; i < HORA_COUNT(ends); i++) {
        if (!hora_ends(folder, ends[i]))
            continue;
        char *stem = hora_format("%.*s/", (int)(strlen(folder) - strlen(ends[i])), folder);
        const bool ours = listed(m, stem);
        hora_free(stem);
        if (ours)
            return true;
    }
    return false;
}

typedef enum { FOREIGN, OURS, OURS_MARKED, OURS_UNFINISHED } owner;

/* m NULL: the folder is unfinished, and all that hora could have put into it is ours. */
static owner owner_of(const hora_mark *m, int dir, const char *name, const struct stat *st,
                      dev_t device, int *error) {
    *error = 0;
    if (st->st_dev != device)
        return FOREIGN;
    if (S_ISREG(st->st_mode))
        return !m || (listed(m, name) && !hora_mark_edited(m, dir, name, error)) ||
                       hora_mark_is_bookkeeping(m, name)
                   ? OURS
                   : FOREIGN;
    if (!S_ISDIR(st->st_mode))
        return FOREIGN;
    if (!m || is_unfinished(m, name))
        return OURS_UNFINISHED;
    char *folder = hora_format("%s/", name);
    const bool ours = listed(m, folder);
    hora_free(folder);
    return ours ? OURS_MARKED : FOREIGN;
}

static int walk(int dir, const char *above, const hora_mark *m, const hora_visit *v, int depth);

static int visit(int dir, const char *above, const char *name, const hora_mark *m,
                 const hora_visit *v, int depth) {
    struct stat st;
    int error = 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : errno;
    const owner o = depth < DEPTH_MOST ? owner_of(m, dir, name, &st, v->device, &error) : FOREIGN;
    if (error)
        return error;
    char *rel = hora_format("%s%s%s", above, name, S_ISDIR(st.st_mode) ? "/" : "");
    v->fn(v->arg, rel, &st, o != FOREIGN);
    if (o == OURS_MARKED || o == OURS_UNFINISHED) {
        hora_mark below = {0};
        const int sub = hora_open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub < 0) {
            error = errno;
        } else {
            if (o == OURS_MARKED)
                error = hora_mark_load(&below, sub);
            if (!error)
                error = walk(sub, rel, o == OURS_MARKED ? &below : NULL, v, depth + 1);
            hora_mark_release(&below);
            close(sub);
        }
    }
    hora_free(rel);
    return error;
}

static int walk(int dir, const char *above, const hora_mark *m, const hora_visit *v, int depth) {
    const int again = hora_open_at(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    int error = d ? 0 : errno;
    if (!d && again >= 0)
        close(again);
    for (struct dirent *e; d && !error && (e = hora_next_entry(d, &error));)
        error = visit(dir, above, e->d_name, m, v, depth);
    if (d)
        closedir(d);
    return error;
}

hora_status hora_mark_walk(int dir, const hora_mark *m, const hora_visit *v) {
    const int error = walk(dir, "", m, v, 0);
    return error ? hora_file_error(error, "cannot be listed", "the output folder") : HORA_OK;
}

hora_status hora_mark_walk_entry(int dir, const hora_mark *m, const char *name,
                                 const hora_visit *v) {
    const int error = visit(dir, "", name, m, v, 0);
    return error ? hora_file_error(error, "cannot be listed", name) : HORA_OK;
}
