/*
 * Heap, large blocks, growable strings, and what the system says about memory. Owns the counter of
 * allocations, the one number that tells whether a step allocates. Small requests that cannot be
 * met end the program with a message: no caller could do better. Large blocks come from mmap, so
 * that they are zero, page-aligned and returned to the system when freed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cgroup_impl.h"
#include "base/text.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define HUGE_FROM ((size_t)4 << 20) /* blocks from here on ask for huge pages */

static _Atomic uint64_t allocations;

static void (*_Atomic exhausted)(void);

void hora_out_of_memory_hook(void (*fn)(void)) {
    atomic_store(&exhausted, fn);
}

void hora_out_of_memory(size_t bytes) {
    void (*fn)(void) = atomic_load(&exhausted);
    fprintf(stderr,
            "hora: out of memory: %zu bytes were refused; close other programs or use a smaller "
            "model, batch or sequence length\n",
            bytes);
    fflush(stderr);
    if (fn)
        fn();
    abort();
}

static void *counted(void *p, size_t bytes) {
    if (!p)
        hora_out_of_memory(bytes);
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return p;
}

void *hora_malloc_or_null(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (p)
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    return p;
}

void *hora_malloc(size_t bytes) {
    return counted(malloc(bytes ? bytes : 1), bytes);
}

void *hora_calloc(size_t n, size_t bytes) {
    if (bytes && n > SIZE_MAX / bytes)
        hora_out_of_memory(SIZE_MAX);
    return counted(calloc(n && bytes ? n : 1, n && bytes ? bytes : 1), n * bytes);
}

void *hora_realloc(void *p, size_t bytes) {
    return counted(realloc(p, bytes ? bytes : 1), bytes);
}

void hora_free(void *p) {
    free(p);
}

char *hora_strdup(const char *s) {
    return hora_strndup(s, strlen(s));
}

char *hora_strndup(const char *s, size_t n) {
    const char *end = memchr(s, 0, n);
    size_t len = end ? (size_t)(end - s) : n;
    char *copy = hora_malloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}

char *hora_format(const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = hora_vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    HORA_ASSERT(n >= 0);
    char *s = hora_malloc((size_t)n + 1);
    hora_vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

hora_status hora_block_new(void **out, size_t bytes, const char *what) {
    char need[32], have[32];
    *out = NULL;
    size_t size = bytes ? bytes : 1;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        hora_human_bytes(need, (double)bytes);
        hora_human_bytes(have, (double)hora_memory_available());
        return hora_fail(
            HORA_ENOMEM,
            "%s: %s were refused by the system, %s are available; use a smaller model, "
            "batch or sequence length, or recompute",
            what, need, have);
    }
#ifdef MADV_HUGEPAGE
    if (size >= HUGE_FROM)
        madvise(p, size, MADV_HUGEPAGE); /* advice: a refusal costs speed only */
#endif
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    *out = p;
    return HORA_OK;
}

void hora_block_free(void *p, size_t bytes) {
    if (p)
        munmap(p, bytes ? bytes : 1);
}

uint64_t hora_alloc_count(void) {
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

/* Bytes of a "Name:   123 kB" line; 0 when there is none. */
static size_t kib_field(const char *path, const char *name) {
    int64_t kib = 0;
    const char *slash = strrchr(path, '/');
    char dir[64];
    hora_snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char line[256];
    size_t n = strlen(name);
    long long v;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, name, n) && line[n] == ':' && sscanf(line + n + 1, "%lld", &v) == 1) {
            kib = v;
            break;
        }
    fclose(f);
    return kib > 0 ? (size_t)kib * 1024 : 0;
}

size_t hora_rss(void) {
    return kib_field("/proc/self/status", "VmRSS");
}

size_t hora_rss_peak(void) {
    size_t peak = kib_field("/proc/self/status", "VmHWM");
    if (peak)
        return peak;
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use))
        return 0;
#ifdef __APPLE__
    return (size_t)use.ru_maxrss;
#else
    return (size_t)use.ru_maxrss * 1024;
#endif
}

bool hora_rss_peak_reset(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (!f)
        return false;
    bool written = fputs("5", f) >= 0;
    return !fclose(f) && written;
}

/* Files in the page cache count as used by the group but are given back on demand. */
static void least_free(void *user, const char *dir, bool v2) {
    size_t *least = user;
    int64_t limit, used, cached, file = 0;
    if (!hora_cgroup_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        !hora_cgroup_number(dir, v2 ? "memory.current" : "memory.usage_in_bytes", &used))
        return;
    static const char *const lists[2][2] = {{"total_inactive_file", "total_active_file"},
                                            {"inactive_file", "active_file"}};
    for (int i = 0; i < 2; i++)
        if (hora_cgroup_field(dir, "memory.stat", lists[v2][i], &cached))
            file += cached;
    used = hora_max(0, used - file);
    size_t left = (size_t)hora_max(1, limit - used); /* 0 would mean unknown */
    if (!*least || left < *least)
        *least = left;
}

size_t hora_memory_available(void) {
    size_t least = kib_field("/proc/meminfo", "MemAvailable");
#if defined(_SC_AVPHYS_PAGES) && defined(_SC_PAGESIZE)
    if (!least) {
        long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        if (pages > 0 && page > 0)
            least = (size_t)pages * (size_t)page;
    }
#endif
    hora_cgroup_walk("memory", least_free, &least);
    struct rlimit limit;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY) { /* ulimit -v */
        const size_t used = kib_field("/proc/self/status", "VmSize");
        const size_t left = limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 1;
        if (!least || left < least)
            least = left;
    }
    return least;
}

static void reserve(hora_str *b, size_t more) {
    if (more >= SIZE_MAX / 2 - b->n)
        hora_out_of_memory(more);
    size_t need = b->n + more + 1;
    if (need <= b->cap)
        return;
    b->cap = need > b->cap * 2 ? need : b->cap * 2;
    if (b->cap < 32)
        b->cap = 32;
    b->s = hora_realloc(b->s, b->cap);
}

void hora_str_add(hora_str *b, const char *s, size_t n) {
    reserve(b, n);
    if (n)
        memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = 0;
}

void hora_str_puts(hora_str *b, const char *s) {
    hora_str_add(b, s, strlen(s));
}

void hora_str_putc(hora_str *b, char c) {
    hora_str_add(b, &c, 1);
}

void hora_str_printf(hora_str *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = hora_vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    HORA_ASSERT(n >= 0);
    reserve(b, (size_t)n);
    hora_vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap);
    b->n += (size_t)n;
    va_end(ap);
}

void hora_str_release(hora_str *b) {
    hora_free(b->s);
    *b = (hora_str){0};
}
