/*
 * Statuses and their text. Owns one fixed buffer per thread: failing never allocates, so "out of
 * memory" can be said too. The rows of status.def are the only list of names and exit codes.
 * Invariant: the buffer is always NUL-terminated; text that does not fit is cut, never lost whole.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define TEXT_MAX 4096

static _Thread_local char text[TEXT_MAX];

typedef struct row {
    hora_status status;
    int exit;
    const char *text;
} row;

static const row rows[] = {
#define STATUS(name, code, words) {name, code, words},
#include "base/status.def"
#undef STATUS
};

static const row *find(hora_status s) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].status == s)
            return &rows[i];
    return NULL;
}

hora_status hora_fail(hora_status s, const char *fmt, ...) {
    char fresh[TEXT_MAX]; /* the arguments may point into the old text */
    va_list ap;
    va_start(ap, fmt);
    hora_vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    hora_escape(text, sizeof text, fresh, strlen(fresh)); /* parts of it may be a file's */
    return s;
}

hora_status hora_context(hora_status s, const char *fmt, ...) {
    char fresh[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    hora_vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    size_t used = strlen(fresh);
    hora_snprintf(fresh + used, sizeof fresh - used, ": %s", text);
    hora_escape(text, sizeof text, fresh, strlen(fresh));
    return s;
}

void hora_error_restore(const char *said) {
    hora_fail(HORA_OK, "%s", said);
}

const char *hora_errmsg(void) {
    return text;
}

const char *hora_status_text(hora_status s) {
    const row *r = find(s);
    return r ? r->text : "unknown status";
}

int hora_status_exit(hora_status s) {
    const row *r = find(s);
    return r ? r->exit : 1;
}

void hora_bug(const char *file, int line, const char *fmt, ...) {
    va_list ap;
    fprintf(stderr, "hora: internal error at %s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("; this is a defect of hora, please report it with these lines\n", stderr);
    fflush(stderr);
    abort();
}
