#ifndef HORA_FUZZ_H
#define HORA_FUZZ_H
/*
 * Fuzz targets: one file, one parser. tests/fuzz/fuzz_NAME.c is
 *
 *     HORA_FUZZ(NAME) { .. data[0, n) ..; return taken; }
 *
 * and its seeds are the files of tests/fuzz/seeds/NAME/, small and our own; an input that once
 * broke something is kept there too. `./run fuzz` hands every target to libFuzzer (libfuzzer.c);
 * the suite fuzz/corpus runs all seeds, cut and damaged ones too, as an ordinary test.
 *
 * A target says whether the input was taken. What must hold of everything that is taken, and of
 * every refusal, stands in must(). `data` has exactly n bytes: one read behind them is seen.
 */
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/text.h"

#define HORA_FUZZ(name)                                                                            \
    bool hora_fuzz_##name(const char *data, size_t n);                                             \
    bool hora_fuzz_##name(const char *data, size_t n)

typedef bool (*hora_fuzz_fn)(const char *data, size_t n);
typedef struct hora_fuzz {
    const char *name;
    hora_fuzz_fn fn;
} hora_fuzz;
extern const hora_fuzz hora_fuzz_targets[]; /* ends in a row of NULL */

#define must(holds) ((holds) ? (void)0 : hora_fuzz_broken(#holds, __FILE__, __LINE__))
/* A status that a parser gave: a refusal says what it is about and what to do next. */
#define must_say(status, what) must((status) == HORA_OK || strstr(hora_errmsg(), (what)))

/* Who runs the targets defines these two. */
void hora_fuzz_broken(const char *what, const char *file, int line);
const char *hora_fuzz_dir(void); /* a folder in memory, for this process alone */

/* A file of these bytes in that folder; the path lives until the next call with that name. */
const char *hora_fuzz_file(const char *name, const void *data, size_t n);
/* The embedded model's folder. */
const char *hora_fuzz_model(void);
#endif
