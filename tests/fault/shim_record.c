/*
 * Preloaded into the tool: writes down every change of a file system and every sync, with what is
 * needed to do it again (tests/fault/test_power.c). HORA_RECORD names the file; each record is a
 * `record` (fault_record.h), its names and its bytes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault_record.h"

static int out = -1;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("HORA_RECORD");
    if (file)
        out = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                           0600);
}

static void note(record r, const char *name, const char *to, const void *data) {
    struct stat st;
    r.said = fstat(2, &st) ? 0 : (uint64_t)st.st_size;
    r.names[0] = (uint32_t)(name ? strlen(name) : 0);
    r.names[1] = (uint32_t)(to ? strlen(to) : 0);
    const struct iovec v[] = {{&r, sizeof r},
                              {(void *)name, r.names[0]},
                              {(void *)to, r.names[1]},
                              {(void *)data, data ? r.n : 0}};
    if (out >= 0)
        (void)!writev(out, v, 4);
}

#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

/* The folder of a path; `name` gets the name in it, without slashes at its end. */
static uint64_t folder_of(int dir, const char *path, char name[256]) {
    char above[4096];
    struct stat st;
    size_t n = strlen(path), start;
    while (n > 1 && path[n - 1] == '/')
        n--;
    for (start = n; start && path[start - 1] != '/';)
        start--;
    snprintf(name, 256, "%.*s", (int)(n - start), path + start);
    if (!start)
        return (dir == AT_FDCWD ? stat(".", &st) : fstat(dir, &st)) ? 0 : st.st_ino;
    snprintf(above, sizeof above, "%.*s", (int)start, path);
    return fstatat(dir, above, &st, 0) ? 0 : st.st_ino;
}

static uint64_t inode_at(int dir, const char *path) {
    struct stat st;
    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_ino;
}

static int opened(int dir, const char *path, int flags, int fd, uint64_t before) {
    char name[256];
    struct stat st;
    const int saved = errno;
    if (fd >= 0 && (flags & O_CREAT) && !fstat(fd, &st) && S_ISREG(st.st_mode) && !before) {
        const uint64_t folder = folder_of(dir, path, name);
        note((record){.op = RECORD_CREATE, .inode = st.st_ino, .folder = folder}, name, NULL, NULL);
    } else if (fd >= 0 && (flags & O_TRUNC) && !fstat(fd, &st)) {
        note((record){.op = RECORD_CUT, .inode = st.st_ino}, NULL, NULL, NULL);
    }
    errno = saved;
    return fd;
}

int open(const char *path, int flags, ...) {
    NEXT(open);
    va_list ap;
    va_start(ap, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    const uint64_t before = flags & O_CREAT ? inode_at(AT_FDCWD, path) : 1;
    return opened(AT_FDCWD, path, flags, next(path, flags, mode), before);
}

int openat(int dir, const char *path, int flags, ...) {
    NEXT(openat);
    va_list ap;
    va_start(ap, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    const uint64_t before = flags & O_CREAT ? inode_at(dir, path) : 1;
    return opened(dir, path, flags, next(dir, path, flags, mode), before);
}

ssize_t write(int fd, const void *p, size_t n) {
    NEXT(write);
    struct stat st;
    const int is_file = fd > 2 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    const off_t at = !is_file                        ? 0
                     : fcntl(fd, F_GETFL) & O_APPEND ? st.st_size
                                                     : lseek(fd, 0, SEEK_CUR);
    const ssize_t put = next(fd, p, n);
    if (is_file && put > 0)
        note(
            (record){
                .op = RECORD_WRITE, .inode = st.st_ino, .at = (uint64_t)at, .n = (uint64_t)put},
            NULL, NULL, p);
    return put;
}

int ftruncate(int fd, off_t n) {
    NEXT(ftruncate);
    struct stat st;
    const int rc = next(fd, n);
    if (!rc && !fstat(fd, &st))
        note((record){.op = RECORD_CUT, .inode = st.st_ino, .at = (uint64_t)n}, NULL, NULL, NULL);
    return rc;
}

int fsync(int fd) {
    NEXT(fsync);
    struct stat st;
    const int rc = next(fd);
    if (!rc && !fstat(fd, &st))
        note((record){.op = RECORD_SYNC, .inode = st.st_ino}, NULL, NULL, NULL);
    return rc;
}

int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    char name[256];
    const int rc = next(path, mode);
    if (!rc) {
        const uint64_t inode = inode_at(AT_FDCWD, path), folder = folder_of(AT_FDCWD, path, name);
        note((record){.op = RECORD_MKDIR, .inode = inode, .folder = folder}, name, NULL, NULL);
    }
    return rc;
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    char a[256], b[256];
    record r = {.op = RECORD_RENAME, .inode = inode_at(AT_FDCWD, from)};
    const int rc = next(from, to);
    r.folder = folder_of(AT_FDCWD, from, a);
    r.folder2 = folder_of(AT_FDCWD, to, b);
    if (!rc)
        note(r, a, b, NULL);
    return rc;
}

static int removed(int rc, int dir, const char *path) {
    char name[256];
    const int saved = errno;
    const uint64_t folder = folder_of(dir, path, name);
    if (!rc)
        note((record){.op = RECORD_REMOVE, .folder = folder}, name, NULL, NULL);
    errno = saved;
    return rc;
}

int unlink(const char *path) {
    NEXT(unlink);
    return removed(next(path), AT_FDCWD, path);
}

int unlinkat(int dir, const char *path, int flags) {
    NEXT(unlinkat);
    return removed(next(dir, path, flags), dir, path);
}

int rmdir(const char *path) {
    NEXT(rmdir);
    return removed(next(path), AT_FDCWD, path);
}
