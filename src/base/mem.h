#ifndef HORA_BASE_MEM_H
#define HORA_BASE_MEM_H
/*
 * Heap memory and growable arrays and strings. Every allocation of hora goes through here and is
 * counted, which is how the law "no allocation in a step" is tested. Running out of memory for
 * small things aborts with a clear message; large blocks use hora_block_* and return a status.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

void *hora_malloc(size_t bytes); /* never NULL; aborts with a message when there is none */
void *hora_calloc(size_t n, size_t bytes); /* zeroed; checks n * bytes for overflow */
void *hora_realloc(void *p, size_t bytes);
void hora_free(void *p);                 /* accepts NULL */
void *hora_malloc_or_null(size_t bytes); /* counted like the others; NULL when there is none */
/* What happens when a small request cannot be met: says so and aborts, or calls `fn`, which must
 * not return. A setting of the process for programs that own it; the library never sets it. */
HORA_NORETURN void hora_out_of_memory(size_t bytes);
void hora_out_of_memory_hook(void (*fn)(void));
char *hora_strdup(const char *s);
char *hora_strndup(const char *s, size_t n);
char *hora_format(const char *fmt, ...) HORA_PRINTF(1, 2); /* new string, owned by the caller */

/* Large block, 64-byte aligned, zero pages from the system. HORA_ENOMEM with sizes in the text. */
hora_status hora_block_new(void **out, size_t bytes, const char *what);
void hora_block_free(void *p, size_t bytes);

/* Allocations made so far by this process through this file (monotone counter). */
uint64_t hora_alloc_count(void);
/* Resident set now and its peak, in bytes; 0 where the system does not tell. */
size_t hora_rss(void);
size_t hora_rss_peak(void);
/* The peak counts from now on; false where the system does not let us. */
bool hora_rss_peak_reset(void);
/* Physical memory of the machine available to us now (cgroup limit respected), bytes; 0 unknown. */
size_t hora_memory_available(void);

/* Grows a typed array: HORA_PUSH(arr, n, cap, value). arr starts NULL with n = cap = 0. */
#define HORA_PUSH(arr, n, cap, value)                                                              \
    do {                                                                                           \
        if ((size_t)(n) == (size_t)(cap)) {                                                        \
            (cap) = (cap) ? (cap)*2 : 8;                                                           \
            (arr) = hora_realloc((arr), (size_t)(cap) * sizeof *(arr));                            \
        }                                                                                          \
        (arr)[(n)++] = (value);                                                                    \
    } while (0)

/* hora_str (hora.h): growable byte string, always NUL-terminated once something was added.
 * Zero-initialise. */
void hora_str_add(hora_str *b, const char *s, size_t n);
void hora_str_puts(hora_str *b, const char *s);
void hora_str_putc(hora_str *b, char c);
void hora_str_printf(hora_str *b, const char *fmt, ...) HORA_PRINTF(2, 3);

#define HORA_COUNT(a) (sizeof(a) / sizeof((a)[0]))
static inline int64_t hora_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t hora_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}
/* The things [first, first + n) of `all` that are part `part` of `parts`: the first parts have one
 * more where they do not come out even. */
static inline void hora_part_of(int64_t all, int part, int parts, int64_t *first, int64_t *n) {
    const int64_t each = all / parts, more = all % parts;
    *first = part * each + (part < more ? part : more);
    *n = each + (part < more);
}
static inline int64_t hora_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t hora_round_up(int64_t a, int64_t b) {
    return hora_ceil_div(a, b) * b;
}
#endif
