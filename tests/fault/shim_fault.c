/*
 * Preloaded into the tool: makes the n-th call of one class fail, once or from there on.
 *
 *   HORA_FAULT=CLASS:N:ERROR:TIMES   N counts from 1, 0: only count. ERROR is a number of errno,
 *       or -1: half is done (read, write) and said so, or -2: all is done and EIO is said, as a
 *       network file system may
 *   HORA_FAULT_COUNT=FILE   calls of each class so far, as uint64 in the order of `classes`; a file
 *       of the right size that is there already
 *   HORA_FAULT_SERVER=1   wait before main: for each request on descriptor 198 (texts that end in
 *       0: folder, stdout, stderr, fault) the process forks, the child goes on to main, its wait
 *       status is written to 199. Loading and linking the tool takes longer than a short run
 *
 * Calls that the C library makes inside itself are not seen, those of all other libraries are.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF     (-1)
#define LATE     (-2)
#define REQUESTS 198
#define REPLIES  199
#define SECONDS  60 /* after which a run hangs */

enum { MALLOC, WRITE, FSYNC, RENAME, OPEN, CLOSE, MKDIR, READ, MMAP, STAT, UNLINK, NCLASSES };
static const char *const classes[NCLASSES] = {"malloc", "write", "fsync", "rename",
                                              "open",   "close", "mkdir", "read",
                                              "mmap",   "stat",  "unlink"};

static _Atomic uint64_t own_counts[NCLASSES];
static _Atomic uint64_t *counts = own_counts;
static int class = -1, error;
static uint64_t first, last;

static void plan(const char *what) {
    unsigned long long n = 0, times = 1;
    char name[16] = "";
    if (sscanf(what, "%15[a-z]:%llu:%d:%llu", name, &n, &error, &times) != 4)
        return;
    for (int i = 0; i < NCLASSES; i++)
        if (!strcmp(name, classes[i]) && n) {
            first = n;
            last = n + times - 1;
            class = i;
        }
}

/* Reads a text that ends in 0; false at the end of the requests. */
static bool request(char *out, size_t cap) {
    for (size_t n = 0; n < cap; n++) {
        if (syscall(SYS_read, REQUESTS, out + n, 1) != 1)
            return false;
        if (!out[n])
            return true;
    }
    return false;
}

static int file_as(const char *path, int as) {
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int ok = fd >= 0 && syscall(SYS_dup2, fd, as) == as;
    syscall(SYS_close, fd);
    return ok;
}

/* Returns in the children only. */
static void serve(void) {
    static char dir[4096], out[4096], err[4096], what[256];
    while (request(dir, sizeof dir) && request(out, sizeof out) && request(err, sizeof err) &&
           request(what, sizeof what)) {
        int status = 0;
        const pid_t pid = fork();
        if (pid) {
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
            if (syscall(SYS_write, REPLIES, &status, sizeof status) != sizeof status)
                _exit(1);
            continue;
        }
        syscall(SYS_close, REQUESTS);
        syscall(SYS_close, REPLIES);
        if (chdir(dir) || !file_as(out, 1) || !file_as(err, 2))
            _exit(99);
        alarm(SECONDS);
        plan(what);
        return;
    }
    _exit(0);
}

__attribute__((constructor)) static void begin(void) {
    const char *what = getenv("HORA_FAULT"), *file = getenv("HORA_FAULT_COUNT");
    if (getenv("HORA_FAULT_SERVER"))
        serve();
    if (file) {
        const int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
        void *p = (void *)syscall(SYS_mmap, NULL, sizeof own_counts, PROT_READ | PROT_WRITE,
                                  MAP_SHARED, fd, 0L);
        if (fd >= 0 && p != MAP_FAILED)
            counts = p;
        if (fd >= 0)
            syscall(SYS_close, fd);
    }
    if (what)
        plan(what);
    for (int i = 0; i < NCLASSES; i++)
        counts[i] = 0;
}

/* Counts a call; true: it is one that fails. */
static bool fails(int c) {
    const uint64_t n = atomic_fetch_add(&counts[c], 1) + 1;
    return c == class && n >= first && n <= last;
}

#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

/* A call that fails before or after it was made. `bad` is what it returns then. */
#define CALL(c, bad, ...)                                                                          \
    do {                                                                                           \
        if (fails(c)) {                                                                            \
            if (error == LATE)                                                                     \
                (void)next(__VA_ARGS__);                                                           \
            errno = error > 0 ? error : EIO;                                                       \
            return bad;                                                                            \
        }                                                                                          \
        return next(__VA_ARGS__);                                                                  \
    } while (0)

/* --- memory ----------------------------------------------------------------------------------- */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static bool refused(void) {
    const bool bad = fails(MALLOC);
    if (bad)
        errno = ENOMEM;
    return bad;
}

void *malloc(size_t n) {
    return refused() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    return refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    return refused() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n) {
    return refused() ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n) {
    void *p = refused() ? NULL : __libc_memalign(align, n);
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off) {
    NEXT(mmap);
    CALL(MMAP, MAP_FAILED, at, n, prot, flags, fd, off);
}

/* --- reading and writing ---------------------------------------------------------------------- */
ssize_t write(int fd, const void *p, size_t n) {
    NEXT(write);
    if (fails(WRITE)) {
        if (error == HALF)
            return next(fd, p, n > 1 ? n / 2 : n);
        if (error == LATE)
            next(fd, p, n);
        errno = error > 0 ? error : EIO;
        return -1;
    }
    return next(fd, p, n);
}

int ftruncate(int fd, off_t n) {
    NEXT(ftruncate);
    CALL(WRITE, -1, fd, n);
}

ssize_t read(int fd, void *p, size_t n) {
    NEXT(read);
    if (fails(READ)) {
        if (error == HALF)
            return next(fd, p, n > 1 ? n / 2 : n);
        errno = error > 0 ? error : EIO;
        return -1;
    }
    return next(fd, p, n);
}

struct dirent *readdir(DIR *d) {
    NEXT(readdir);
    if (error > 0)
        CALL(READ, NULL, d);
    return next(d);
}

/* --- files ------------------------------------------------------------------------------------ */
#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags)&O_CREAT) {                                                                         \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

int open(const char *path, int flags, ...) {
    NEXT(open);
    MODE(flags)
    if (fails(OPEN)) {
        errno = error > 0 ? error : EIO;
        return -1;
    }
    return next(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    NEXT(openat);
    MODE(flags)
    if (fails(OPEN)) {
        errno = error > 0 ? error : EIO;
        return -1;
    }
    return next(dir, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) {
    NEXT(fopen);
    if (fails(OPEN)) {
        errno = error > 0 ? error : EIO;
        return NULL;
    }
    return next(path, mode);
}

DIR *opendir(const char *path) {
    NEXT(opendir);
    if (fails(OPEN)) {
        errno = error > 0 ? error : EIO;
        return NULL;
    }
    return next(path);
}

DIR *fdopendir(int fd) {
    NEXT(fdopendir);
    if (fails(OPEN)) {
        errno = error > 0 ? error : EIO;
        return NULL;
    }
    return next(fd);
}

/* What cannot be closed is closed all the same. */
int close(int fd) {
    NEXT(close);
    if (fails(CLOSE)) {
        next(fd);
        errno = error > 0 ? error : EIO;
        return -1;
    }
    return next(fd);
}

int fclose(FILE *f) {
    NEXT(fclose);
    if (fails(CLOSE)) {
        next(f);
        errno = error > 0 ? error : EIO;
        return EOF;
    }
    return next(f);
}

int fsync(int fd) {
    NEXT(fsync);
    CALL(FSYNC, -1, fd);
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    CALL(FSYNC, -1, fd);
}

int rename(const char *from, const char *to) {
    NEXT(rename);
    CALL(RENAME, -1, from, to);
}

int renameat(int a, const char *from, int b, const char *to) {
    NEXT(renameat);
    CALL(RENAME, -1, a, from, b, to);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    CALL(MKDIR, -1, path, mode);
}

int unlink(const char *path) {
    NEXT(unlink);
    CALL(UNLINK, -1, path);
}

int unlinkat(int dir, const char *path, int flags) {
    NEXT(unlinkat);
    CALL(UNLINK, -1, dir, path, flags);
}

int rmdir(const char *path) {
    NEXT(rmdir);
    CALL(UNLINK, -1, path);
}

int stat(const char *path, struct stat *st) {
    NEXT(stat);
    CALL(STAT, -1, path, st);
}

int lstat(const char *path, struct stat *st) {
    NEXT(lstat);
    CALL(STAT, -1, path, st);
}

int fstat(int fd, struct stat *st) {
    NEXT(fstat);
    CALL(STAT, -1, fd, st);
}

int fstatat(int dir, const char *path, struct stat *st, int flags) {
    NEXT(fstatat);
    CALL(STAT, -1, dir, path, st, flags);
}

int access(const char *path, int mode) {
    NEXT(access);
    CALL(STAT, -1, path, mode);
}

int statvfs(const char *path, struct statvfs *st) {
    NEXT(statvfs);
    CALL(STAT, -1, path, st);
}

char *realpath(const char *path, char *out) {
    NEXT(realpath);
    CALL(STAT, NULL, path, out);
}
