#ifndef HORA_TEST_H
#define HORA_TEST_H
/*
 * What every test file includes. A file tests/ROOM/test_NAME.c ends in
 *     HORA_TESTS(ROOM_NAME, {"what holds", fn}, {"slow one", fn2, HORA_LONG});
 * Tests never time anything and clean up what they write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"

typedef enum {
    HORA_SHORT,
    HORA_MEDIUM,
    HORA_LONG
} hora_tier; /* short: runs under sanitizers too */
typedef struct hora_test {
    const char *name;
    void (*fn)(void **state);
    hora_tier tier;
} hora_test;
#define HORA_TESTS(suite, ...)                                                                     \
    extern const hora_test hora_tests_##suite[];                                                   \
    const hora_test hora_tests_##suite[] = {__VA_ARGS__, {NULL, NULL, HORA_SHORT}}
/* A row without a tier would warn about missing initialisers, so spell it: HORA_SHORT in most. */

/* HORA_OK, else fails with the library's own text. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        hora_status s_ = (expr);                                                                   \
        if (s_ != HORA_OK)                                                                         \
            fail_msg("%s: status %d, %s", #expr, (int)s_, hora_errmsg());                          \
    } while (0)
/* The expected status, and a text that contains `part` (NULL: any). */
#define assert_fails(expr, status, part)                                                           \
    hora_assert_fails((expr), (status), (part), #expr, __FILE__, __LINE__)
void hora_assert_fails(hora_status got, hora_status want, const char *part, const char *expr,
                       const char *file, int line);
/* File `name` of folders a and b, or (name NULL) the files a and b: the same bytes; how many. */
size_t hora_assert_same_file(const char *a, const char *b, const char *name);
/* max |a-b| <= atol, naming the worst element; NaN fails. */
void hora_assert_close(const float *a, const float *b, size_t n, double atol, const char *what);

/* Path of something in ../shared (HORA_SHARED in the environment, else next to the source tree).
 * Skips the test loudly when it is absent. The string stays valid until the test ends. */
const char *hora_test_shared(const char *relative);
/* Path in the source tree. */
const char *hora_test_source(const char *relative);
/* A text of at most 1023 bytes; valid until the test ends. */
const char *hora_test_text(const char *fmt, ...) HORA_PRINTF(1, 2);
/* A fresh empty folder, removed after the test. */
const char *hora_test_tmp(void);
/* DIR/NAME; valid until the test ends. */
const char *hora_test_path(const char *dir, const char *name);
/* Loud skip: counted and printed with its reason at the end. Does not return. */
void hora_test_skip(const char *fmt, ...) HORA_PRINTF(1, 2) HORA_NORETURN;
/* Runs a shell command, captures stdout and stderr (either may be NULL) into the strings; returns
 * the exit code. */
int hora_test_run(const char *command, hora_str *out, hora_str *err);
/* HORA_TEST_ONLY in the environment: names of ops and methods, separated by blanks; tests that go
 * through all of them then leave out the others. False: this one is left out. */
bool hora_test_asked(const char *name);
/* The tool under test, quoted for the shell. */
const char *hora_test_tool(void);
#endif
