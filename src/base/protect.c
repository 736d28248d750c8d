/*
 * What must survive: inputs and every folder above them, as pairs of device and inode. Names do not
 * matter, so links, `..`, bind mounts and other spellings of a path are all the same. A folder of
 * links (a model in a download cache) is as good as what the links point at, so those count too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/outdir_impl.h"
#include "base/text.h"

typedef struct place {
    dev_t device;
    ino_t inode;
    int input;
    bool itself; /* false: a folder above it */
} place;

struct hora_guard {
    hora_input *in;
    int n;
    place *at;
    int nplaces, cap;
    int error;  /* errno of the first place that could not be looked at */
    int unsure; /* its input */
};

static const char working[] = "working folder";

static void add_place(hora_guard *g, const struct stat *st, int input, bool itself) {
    const place p = {st->st_dev, st->st_ino, input, itself};
    HORA_PUSH(g->at, g->nplaces, g->cap, p);
}

static void doubt(hora_guard *g, int error, int input) {
    if (g->error || !error || hora_means_absent(error))
        return;
    g->error = error;
    g->unsure = input;
}

/* A file or folder and all that is above its real path. */
static void add_chain(hora_guard *g, const char *path, int input) {
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real)) {
        doubt(g, errno, input);
        return;
    }
    for (bool itself = true;; itself = false) {
        if (!stat(real, &st))
            add_place(g, &st, input, itself);
        else
            doubt(g, errno, input);
        char *slash = strrchr(real, '/');
        if (!slash || !real[1])
            return;
        slash[slash == real] = 0;
    }
}

/* The files that the links in a folder point at. */
static void add_links(hora_guard *g, const char *path, int input) {
    DIR *d = opendir(path);
    struct stat st;
    int error = d ? 0 : errno;
    for (struct dirent *e; d && (e = hora_next_entry(d, &error));)
        if (!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode) &&
            !fstatat(dirfd(d), e->d_name, &st, 0) && S_ISREG(st.st_mode)) {
            char *link = hora_path_join(path, e->d_name);
            add_chain(g, link, input);
            hora_free(link);
        }
    doubt(g, error, input);
    if (d)
        closedir(d);
}

hora_guard *hora_guard_new(const hora_input *in, int n) {
    hora_guard *g = hora_calloc(1, sizeof *g);
    g->n = n + 1;
    g->in = hora_calloc((size_t)g->n, sizeof *g->in);
    for (int i = 0; i < g->n; i++) {
        g->in[i] = i < n ? in[i] : (hora_input){working, "."};
        const char *path = g->in[i].path;
        if (!path || !*path)
            continue;
        add_chain(g, path, i);
        if (i < n && hora_path_is_dir(path))
            add_links(g, path, i);
    }
    return g;
}

hora_status hora_guard_sure(const hora_guard *g) {
    return g->error ? hora_file_error(g->error, "cannot be used", g->in[g->unsure].path) : HORA_OK;
}

void hora_guard_free(hora_guard *g) {
    if (!g)
        return;
    hora_free(g->in);
    hora_free(g->at);
    hora_free(g);
}

static const hora_input *find(const hora_guard *g, const struct stat *st, bool itself, bool own) {
    for (int i = 0; i < g->nplaces; i++) {
        const place *p = &g->at[i];
        if (p->device == st->st_dev && p->inode == st->st_ino && (p->itself || !itself) &&
            (own || g->in[p->input].what != working))
            return &g->in[p->input];
    }
    return NULL;
}

const hora_input *hora_guard_holds(const hora_guard *g, const struct stat *st) {
    return find(g, st, false, true);
}

const hora_input *hora_guard_is(const hora_guard *g, const struct stat *st) {
    return find(g, st, true, false);
}

const hora_input *hora_guard_around(const hora_guard *g, const char *path) {
    hora_guard above = {0};
    const hora_input *found = NULL;
    add_chain(&above, path, 0);
    for (int i = 0; i < above.nplaces && !found; i++)
        found = find(g, &(struct stat){.st_dev = above.at[i].device, .st_ino = above.at[i].inode},
                     true, false);
    hora_free(above.at);
    return found;
}
