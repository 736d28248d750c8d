/*
 * Paths, folders and names in them; the second half of file.h. Owns nothing. Removing a tree works
 * with folder handles and never follows a link, so nothing outside the tree can be hit.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/outdir_impl.h"
#include "base/text.h"

char *hora_path_join(const char *dir, const char *name) {
    if (!*dir || *name == '/')
        return hora_strdup(name);
    return hora_format(hora_ends(dir, "/") ? "%s%s" : "%s/%s", dir, name);
}

/* Length of path without slashes at its end; "/" keeps its one. */
static size_t trimmed(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

char *hora_path_dir(const char *path) {
    size_t n = trimmed(path);
    while (n && path[n - 1] != '/')
        n--;
    if (!n)
        return hora_strdup(".");
    while (n > 1 && path[n - 1] == '/')
        n--;
    return hora_strndup(path, n);
}

const char *hora_path_base(const char *path) {
    size_t n = trimmed(path);
    while (n && path[n - 1] != '/')
        n--;
    return path[n] ? path + n : path;
}

bool hora_path_exists(const char *path) {
    struct stat st;
    return !stat(path, &st) || !hora_means_absent(errno);
}

bool hora_means_absent(int error) {
    return error == ENOENT || error == ENOTDIR;
}

hora_status hora_path_is_folder(const char *path, bool *yes) {
    struct stat st;
    *yes = false;
    if (stat(path, &st))
        return hora_means_absent(errno) ? HORA_OK : hora_file_error(errno, "cannot be used", path);
    *yes = S_ISDIR(st.st_mode);
    return HORA_OK;
}

hora_status hora_path_is_there(const char *path, bool *yes) {
    struct stat st;
    *yes = !stat(path, &st);
    return *yes || hora_means_absent(errno) ? HORA_OK
                                            : hora_file_error(errno, "cannot be used", path);
}

int hora_open_at(int dir, const char *path, int flags) {
    int fd;
    do
        fd = openat(dir, path, flags, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

struct dirent *hora_next_entry(DIR *d, int *error) {
    struct dirent *e;
    do {
        errno = 0;
        e = readdir(d);
    } while (e ? !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") : errno == EINTR);
    *error = e ? 0 : errno;
    return e;
}

bool hora_path_has(const char *dir, const char *name) {
    char *path = hora_path_join(dir, name);
    const bool yes = hora_path_exists(path);
    hora_free(path);
    return yes;
}

bool hora_path_is_dir(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int64_t hora_file_size(const char *path) {
    struct stat st;
    return stat(path, &st) || S_ISDIR(st.st_mode) ? -1 : (int64_t)st.st_size;
}

hora_status hora_mkdirs(const char *path) {
    bool made;
    return hora_mkdirs_told(path, &made);
}

hora_status hora_mkdirs_told(const char *path, bool *made) {
    char *part = hora_strndup(path, trimmed(path));
    hora_status s = HORA_OK;
    for (char *p = part; s == HORA_OK;) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        char kept = *p;
        *p = 0;
        *made = !mkdir(part, 0777);
        if (*made) {
            char *above = hora_path_dir(part); /* a new folder is there for good with its name */
            s = hora_fsync_dir(above);
            hora_free(above);
        } else {
            const int error = errno;
            bool folder;
            s = hora_path_is_folder(part, &folder);
            if (!s && !folder)
                s = hora_file_error(error == EEXIST ? ENOTDIR : error, "the folder cannot be made",
                                    part);
        }
        *p = kept;
        if (!kept)
            break;
    }
    hora_free(part);
    return s;
}

hora_status hora_mkdir_temporary(const char *path, char **out) {
    char *plain = hora_strndup(path, trimmed(path)), *above = hora_path_dir(plain);
    *out = NULL;
    hora_status s = hora_mkdirs(above);
    for (int made = 1; !s && made;) {
        hora_free(*out);
        *out = hora_temporary_name(plain);
        made = mkdir(*out, 0777);
        if (made && errno != EEXIST)
            s = hora_file_error(errno, "the folder cannot be made", path);
    }
    hora_free(above);
    hora_free(plain);
    return s;
}

hora_status hora_fsync_dir(const char *path) {
    int fd = hora_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) /* what may be written and not read cannot be synced */
        return errno == EACCES ? HORA_OK : hora_file_error(errno, "cannot be opened", path);
    /* Some network file systems have no sync of folders and say EINVAL: nothing to be done. */
    int error;
    do
        error = fsync(fd) ? errno : 0;
    while (error == EINTR);
    if (error == EINVAL || error == ENOTSUP)
        error = 0;
    close(fd);
    return error ? hora_file_error(error, "cannot be synced", path) : HORA_OK;
}

hora_status hora_rename(const char *from, const char *to) {
    if (rename(from, to))
        return hora_file_error(errno, "cannot be put in place", to);
    char *dir = hora_path_dir(to), *before = hora_path_dir(from);
    hora_status s = hora_fsync_dir(dir);
    if (!s && !hora_eq(dir, before)) /* else the old name may come back */
        s = hora_fsync_dir(before);
    hora_free(before);
    hora_free(dir);
    return s;
}

/* Removes what lies in the folder `fd` (taken over), its mark last: as long as something is left,
 * it is known whose it is. Returns 0 or the first errno. */
static int empty_dir(int fd) {
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return error;
    }
    int error = 0;
    bool marked = false;
    for (struct dirent *e; !error && (e = hora_next_entry(d, &error));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
            error = errno;
        } else if (S_ISREG(st.st_mode) && !strcmp(e->d_name, HORA_MARK)) {
            marked = true;
        } else if (S_ISDIR(st.st_mode)) {
            int sub =
                hora_open_at(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            error = sub < 0 ? errno : empty_dir(sub);
            if (!error && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR))
                error = errno;
        } else if (unlinkat(dirfd(d), e->d_name, 0)) {
            error = errno;
        }
    }
    if (!error && marked && unlinkat(dirfd(d), HORA_MARK, 0))
        error = errno;
    closedir(d);
    return error;
}

hora_status hora_remove_tree(const char *path) {
    struct stat st;
    int error = 0;
    if (lstat(path, &st))
        return errno == ENOENT ? HORA_OK : hora_file_error(errno, "cannot be removed", path);
    if (S_ISDIR(st.st_mode)) {
        int fd = hora_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        error = fd < 0 ? errno : empty_dir(fd);
        if (!error && rmdir(path))
            error = errno;
    } else if (unlink(path)) {
        error = errno;
    }
    return error ? hora_file_error(error, "cannot be removed", path) : HORA_OK;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

hora_status hora_list_dir(const char *path, char ***names, int *n) {
    int cap = 0, error = 0;
    *names = NULL;
    *n = 0;
    DIR *d = opendir(path);
    if (!d)
        return hora_file_error(errno, "the folder cannot be listed", path);
    for (struct dirent *e; (e = hora_next_entry(d, &error));)
        HORA_PUSH(*names, *n, cap, hora_strdup(e->d_name));
    closedir(d);
    if (error) {
        hora_list_free(*names, *n);
        *names = NULL;
        *n = 0;
        return hora_file_error(error, "the folder cannot be listed", path);
    }
    if (*n)
        qsort(*names, (size_t)*n, sizeof **names, by_bytes);
    return HORA_OK;
}

void hora_list_free(char **names, int n) {
    for (int i = 0; i < n; i++)
        hora_free(names[i]);
    hora_free(names);
}

hora_status hora_check_writable(const char *dir, uint64_t need) {
    struct statvfs fs;
    char *at = hora_strndup(*dir ? dir : ".", trimmed(*dir ? dir : "."));
    hora_status s = HORA_OK;
    struct stat st;
    while (stat(at, &st) && errno == ENOENT && strcmp(at, "/") && strcmp(at, ".")) {
        char *up = hora_path_dir(at);
        hora_free(at);
        at = up;
    }
    if (stat(at, &st)) {
        s = hora_file_error(errno, "cannot be used", at);
    } else if (!S_ISDIR(st.st_mode)) {
        s = hora_fail(HORA_EIO, "%s: is a file, not a folder; choose another place", at);
    } else if (access(at, W_OK | X_OK)) {
        s = hora_file_error(errno, "cannot be written", at);
    } else if (!statvfs(at, &fs)) {
        uint64_t left = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
        char want[32], have[32];
        if (left < need)
            s = hora_fail(
                HORA_EIO, "%s: %s are needed, %s are free; free some space or choose another disk",
                at, hora_human_bytes(want, (double)need), hora_human_bytes(have, (double)left));
    }
    hora_free(at);
    return s;
}
