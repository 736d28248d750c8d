#ifndef HORA_BASE_STATUS_H
#define HORA_BASE_STATUS_H
/*
 * Errors. The world failed: return hora_fail(code, "what; what to do next"). We erred: HORA_BUG.
 * The text lives in a fixed per-thread buffer; only the return value says whether something failed.
 */
#include "hora/hora.h"

#if defined(__GNUC__)
#define HORA_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define HORA_NORETURN     __attribute__((noreturn))
#else
#define HORA_PRINTF(f, a)
#define HORA_NORETURN
#endif

/* Sets the thread's text and returns `s`. Call at the origin of the failure, as `return
 * hora_fail(..)`. */
hora_status hora_fail(hora_status s, const char *fmt, ...) HORA_PRINTF(2, 3);
/* Puts "context: " in front of the text; returns `s`. */
hora_status hora_context(hora_status s, const char *fmt, ...) HORA_PRINTF(2, 3);
/* Sets the text alone, as hora_errmsg gave it before something that may have changed it. */
void hora_error_restore(const char *said);
/* Name of the row in status.def ("file format") and the tool's exit code. */
const char *hora_status_text(hora_status s);
int hora_status_exit(hora_status s);
void hora_bug(const char *file, int line, const char *fmt, ...) HORA_PRINTF(3, 4) HORA_NORETURN;

#define HORA_BUG(...)     hora_bug(__FILE__, __LINE__, __VA_ARGS__)
#define HORA_ASSERT(cond) ((cond) ? (void)0 : HORA_BUG("broken invariant: %s", #cond))
/* Forwards a failure: `HORA_TRY(f(x));` - any non-OK value, HORA_DONE included, returns. */
#define HORA_TRY(expr)                                                                             \
    do {                                                                                           \
        hora_status try_status_ = (expr);                                                          \
        if (try_status_ != HORA_OK)                                                                \
            return try_status_;                                                                    \
    } while (0)
/* The same where something has to be freed first: the failure stays in `s`, label `out` frees and
 * returns it. */
#define HORA_TRY_OUT(s, expr)                                                                      \
    do {                                                                                           \
        if (((s) = (expr)) != HORA_OK)                                                             \
            goto out;                                                                              \
    } while (0)
#endif
