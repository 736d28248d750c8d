#ifndef HORA_TEST_TOOL_H
#define HORA_TEST_TOOL_H
/* Running the tool under test. Arguments are a printf format and go through the shell. */
#include "base/json.h"
#include "hora_test.h"

/* Checks the exit code, and that stdout holds `out` and stderr `err` (NULL: any). */
void tool_check(int code, const char *out, const char *err, const char *fmt, ...) HORA_PRINTF(4, 5);
/* Exit code 0 and one JSON value on stdout; the caller frees it. */
hora_json *tool_json(const char *fmt, ...) HORA_PRINTF(1, 2);
/* stdout of a run that must succeed. */
void tool_text(hora_str *out, const char *fmt, ...) HORA_PRINTF(2, 3);
/* A random model of this config.json, made once by `hora new` with these options; its folder, NAME
 * in the test's. */
const char *tool_new(const char *name, const char *config, const char *options);
double tool_number(const hora_json *o, const char *key); /* fails when it is no number */
#endif
