/*
 * Mapping, reading and atomic writing of files. Owns the rule that a reader never sees half a file:
 * bytes go to a temporary beside it, are synced, renamed over path, and the folder is synced. The
 * temporary has a name that nobody else would choose and is made new, so that no file of a user's
 * is taken for it; it is locked while it is written. Folders and names are in folder.c. Every
 * message names the path, the system's reason and what to do.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_impl.h"
#include "base/log.h"

#define BUFFER     ((size_t)256 << 10)
#define WRITE_MOST ((size_t)1 << 30) /* Linux writes at most 2 GiB at once */

hora_status hora_file_error(int error, const char *doing, const char *path) {
    const char *next = "check the path and try again";
    hora_status s = HORA_EIO;
    switch (error) {
    case ENOENT:
        s = HORA_ENOTFOUND;
        next = "check the spelling of the path";
        break;
    case EACCES:
    case EPERM:
        next = "change its permissions or choose another place";
        break;
    case EROFS:
        next = "choose a place that can be written";
        break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        next = "free some space or choose another disk";
        break;
    case EISDIR:
        next = "name a file, not a folder";
        break;
    case ENOTDIR:
        next = "a part of the path is a file; choose another path";
        break;
    case EMFILE:
    case ENFILE:
        next = "close other programs or raise the limit on open files";
        break;
    case EIO:
        next = "check the disk";
        break;
    case ENOMEM:
        s = HORA_ENOMEM;
        next = "there is too little memory: close other programs";
        break;
    default:
        break;
    }
    return hora_fail(s, "%s: %s: %s; %s", path, doing, strerror(error), next);
}

/* Opens a regular file for reading. */
static hora_status open_read(const char *path, int *fd, size_t *n) {
    struct stat st;
    /* a pipe without a writer does not block */
    *fd = hora_open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return hora_file_error(errno, "cannot be opened", path);
    int error = fstat(*fd, &st) ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (!error && !S_ISREG(st.st_mode)) {
        close(*fd);
        return hora_fail(HORA_EIO,
                         "%s is no regular file (a pipe or a device): write it to a file first and "
                         "give that",
                         path);
    }
    if (!error && (uint64_t)st.st_size > SIZE_MAX / 2)
        error = EFBIG;
    if (error) {
        close(*fd);
        return hora_file_error(error, "cannot be read", path);
    }
    *n = (size_t)st.st_size;
    return HORA_OK;
}

hora_status hora_map_open(hora_map *m, const char *path) {
    int fd;
    size_t n;
    void *p = NULL;
    *m = (hora_map){.data = (const unsigned char *)""};
    struct stat st;
    HORA_TRY(open_read(path, &fd, &n));
    if (!fstat(fd, &st)) {
        m->device = (uint64_t)st.st_dev;
        m->inode = (uint64_t)st.st_ino;
        m->modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    if (n)
        p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    close(fd);
    if (p == MAP_FAILED)
        return hora_file_error(error, "cannot be mapped", path);
    if (n)
        m->data = p;
    m->n = n;
    m->path = hora_strdup(path);
    return HORA_OK;
}

void hora_map_release(hora_map *m) {
    if (m->n)
        munmap((void *)m->data, m->n);
    hora_free(m->path);
    *m = (hora_map){.data = (const unsigned char *)""};
}

hora_status hora_map_unchanged(const hora_map *m) {
    struct stat st;
    if (!m->path || stat(m->path, &st) || (uint64_t)st.st_dev != m->device ||
        (uint64_t)st.st_ino != m->inode)
        return HORA_OK;
    const int64_t modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return modified == m->modified && (uint64_t)st.st_size == m->n
               ? HORA_OK
               : hora_fail(HORA_EIO,
                           "%s was written to while it was in use; put back what it was and go on "
                           "from the last checkpoint (--resume)",
                           m->path);
}

void hora_map_forget(const hora_map *m, size_t off, size_t n) {
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0 || off >= m->n)
        return;
    if (n > m->n - off)
        n = m->n - off;
    /* Whole pages inside the range only: its neighbours may still be in use. */
    size_t size = (size_t)page, from = (off + size - 1) / size * size;
    size_t to = off + n == m->n ? off + n : (off + n) / size * size;
    if (from < to)
        madvise((void *)(m->data + from), to - from, MADV_DONTNEED);
}

hora_status hora_file_read(hora_str *out, const char *path) {
    int fd;
    size_t n;
    char chunk[1 << 14];
    HORA_TRY(open_read(path, &fd, &n));
    /* Until the end, not until n: /proc does not tell sizes. */
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = errno;
            close(fd);
            return hora_file_error(error, "cannot be read", path);
        }
        if (!got)
            break;
        hora_str_add(out, chunk, (size_t)got);
    }
    close(fd);
    hora_str_add(out, "", 0); /* an empty file gives "" rather than NULL */
    return HORA_OK;
}

struct hora_writer {
    int fd, error; /* the first errno, 0 while all is well */
    size_t used;
    char *path, *tmp;
    char buf[BUFFER];
};

#define TEMPORARY        ".hora-%016llx.tmp"
#define TEMPORARY_LENGTH (sizeof ".hora-0123456789abcdef.tmp" - 1)

size_t hora_temporary_stem(const char *name) {
    const size_t n = strlen(name);
    if (n <= TEMPORARY_LENGTH)
        return 0;
    const char *tail = name + n - TEMPORARY_LENGTH;
    return !strncmp(tail, ".hora-", 6) && strspn(tail + 6, "0123456789abcdef") == 16 &&
                   !strcmp(tail + 22, ".tmp")
               ? n - TEMPORARY_LENGTH
               : 0;
}

/* What will be replaced: the target of a link, which stays a link; a regular file or nothing. */
static hora_status place_of(const char *path, char **out) {
    struct stat st;
    *out = NULL;
    if (lstat(path, &st)) {
        if (!hora_means_absent(errno))
            return hora_file_error(errno, "cannot be written", path);
        *out = hora_strdup(path);
        return HORA_OK;
    }
    if (S_ISLNK(st.st_mode)) {
        char *real = realpath(path, NULL);
        if (!real)
            return hora_file_error(errno, "is a link that leads nowhere", path);
        *out = hora_strdup(real);
        free(real);
        if (stat(*out, &st))
            return hora_file_error(errno, "cannot be written", path);
    }
    if (!S_ISREG(st.st_mode))
        return hora_fail(HORA_EEXISTS, "%s is there and no regular file; give another name", path);
    if (!*out)
        *out = hora_strdup(path);
    return HORA_OK;
}

uint64_t hora_unguessable(void) {
    static atomic_uint count;
    uint64_t r;
    if (getrandom(&r, sizeof r, 0) != sizeof r)
        r = (uint64_t)getpid() << 32 | atomic_fetch_add(&count, 1);
    return r;
}

char *hora_temporary_name(const char *path) {
    return hora_format("%s" TEMPORARY, path, (unsigned long long)hora_unguessable());
}

/* A temporary that is not locked is a dead process's (hora_outfile_check removes it). False: one
 * who looked between making and locking takes it for that. */
static bool hold(int fd) {
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno != EWOULDBLOCK; /* a system without locks has no one who looks either */
    return fstat(fd, &st) || st.st_nlink;
}

static hora_status open_temporary(hora_writer *w) {
    for (;;) {
        hora_free(w->tmp);
        w->tmp = hora_temporary_name(w->path);
        w->fd =
            hora_open_at(AT_FDCWD, w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW);
        if (w->fd < 0 && errno == EEXIST)
            continue;
        if (w->fd < 0 || hold(w->fd))
            break;
        unlink(w->tmp);
        close(w->fd);
    }
    return w->fd < 0 ? hora_file_error(errno, "cannot be written", w->path) : HORA_OK;
}

hora_status hora_writer_open(hora_writer **out, const char *path) {
    void *block;
    *out = NULL;
    HORA_TRY(hora_block_new(&block, sizeof **out, "write buffer"));
    hora_writer *w = block;
    w->fd = -1;
    hora_status s = place_of(path, &w->path);
    if (!s)
        s = open_temporary(w);
    if (s) {
        hora_free(w->path);
        hora_free(w->tmp);
        hora_block_free(w, sizeof *w);
        return s;
    }
    *out = w;
    return HORA_OK;
}

static void write_all(hora_writer *w, const char *p, size_t n) {
    while (n && !w->error) {
        ssize_t put = write(w->fd, p, n < WRITE_MOST ? n : WRITE_MOST);
        if (put < 0) {
            if (errno != EINTR)
                w->error = errno;
            continue;
        }
        p += put;
        n -= (size_t)put;
    }
}

static void flush(hora_writer *w) {
    write_all(w, w->buf, w->used);
    w->used = 0;
}

void hora_writer_put(hora_writer *w, const void *data, size_t n) {
    if (!n || w->error)
        return;
    if (n > BUFFER - w->used)
        flush(w);
    if (n >= BUFFER) {
        write_all(w, data, n);
        return;
    }
    memcpy(w->buf + w->used, data, n);
    w->used += n;
}

static void writer_free(hora_writer *w) {
    if (w->fd >= 0)
        close(w->fd);
    hora_free(w->path);
    hora_free(w->tmp);
    hora_block_free(w, sizeof *w);
}

hora_status hora_writer_commit(hora_writer *own_w) {
    hora_writer *w = own_w;
    hora_status s = HORA_OK;
    flush(w);
    while (!w->error && fsync(w->fd))
        if (errno != EINTR)
            w->error = errno;
    const int lock = fcntl(w->fd, F_DUPFD_CLOEXEC, 0); /* held until the file has its name */
    if (close(w->fd) && errno != EINTR && !w->error)   /* interrupted: closed all the same */
        w->error = errno;
    w->fd = -1;
    if (w->error)
        s = hora_file_error(w->error, "cannot be written", w->path);
    else
        s = hora_rename(w->tmp, w->path);
    if (s != HORA_OK)
        unlink(w->tmp);
    if (lock >= 0)
        close(lock);
    writer_free(w);
    return s;
}

void hora_writer_abort(hora_writer *own_w) {
    if (!own_w)
        return;
    unlink(own_w->tmp);
    writer_free(own_w);
}

hora_status hora_file_write(const char *path, const void *data, size_t n) {
    hora_writer *w;
    HORA_TRY(hora_writer_open(&w, path));
    hora_writer_put(w, data, n);
    return hora_writer_commit(w);
}

hora_status hora_append(const char *path, const void *data, size_t n) {
    int error = 0;
    size_t done = 0;
    int fd = hora_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        error = errno;
    while (!error && done < n) {
        ssize_t put = write(fd, (const char *)data + done, n - done);
        if (put < 0 && errno != EINTR)
            error = errno;
        done += put > 0 ? (size_t)put : 0;
    }
    struct stat at;
    if (error && done && !fstat(fd, &at) && ftruncate(fd, at.st_size - (off_t)done))
        error = errno;
    if (fd >= 0 && close(fd) && errno != EINTR && !error)
        error = errno;
    return error ? hora_file_error(error, "cannot be appended to", path) : HORA_OK;
}

hora_status hora_append_line(const char *path, const char *line, size_t n) {
    hora_str whole = {0};
    hora_str_add(&whole, line, n);
    if (!n || line[n - 1] != '\n')
        hora_str_putc(&whole, '\n');
    hora_status s = hora_append(path, whole.s, whole.n);
    hora_str_release(&whole);
    return s;
}

hora_status hora_copy_file(const char *from, const char *to) {
    hora_map m;
    hora_writer *w;
    HORA_TRY(hora_map_open(&m, from));
    hora_status s = hora_writer_open(&w, to);
    if (s == HORA_OK) {
        hora_writer_put(w, m.data, m.n);
        s = hora_writer_commit(w);
    }
    hora_map_release(&m);
    return s;
}

hora_status hora_refuse_pointer(const char *path, const void *data, size_t n) {
    static const char first[] = "version https://git-lfs.github.com/spec/";
    if (n < sizeof first - 1 || memcmp(data, first, sizeof first - 1) != 0)
        return HORA_OK;
    return hora_fail(
        HORA_EFORMAT,
        "%s is a git-LFS pointer, not the file itself; fetch it with `git lfs pull` in its "
        "folder",
        path);
}
