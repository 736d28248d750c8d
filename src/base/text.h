#ifndef HORA_BASE_TEXT_H
#define HORA_BASE_TEXT_H
/* Small text tools: UTF-8, numbers, nearest names. Locale-independent throughout. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

/* snprintf in the C locale, whatever the program around us has set: "0.5", never "0,5". */
int hora_vsnprintf(char *buf, size_t n, const char *fmt, va_list ap);
int hora_snprintf(char *buf, size_t n, const char *fmt, ...) HORA_PRINTF(3, 4);

/* Decodes one code point at s[0..n). Returns bytes used (1-4), or 0 for invalid UTF-8 or n == 0. */
int hora_utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Encodes cp into out[4]; returns bytes written. What is no code point becomes U+FFFD. */
int hora_utf8_encode(uint32_t cp, char out[4]);
/* True if the whole span is valid UTF-8; otherwise *bad (may be NULL) is the offset of the first
 * bad byte. */
bool hora_utf8_valid(const char *s, size_t n, size_t *bad);
/* Adds s with every byte that is not UTF-8 replaced by U+FFFD, as readers of the text would do. */
void hora_utf8_mend(hora_str *out, const char *s, size_t n);

/* Strict: the whole string must be the number, *out stays untouched otherwise. hora_parse_int takes
 * suffixes k, M, G (powers of 1000). hora_parse_double takes inf and nan, refuses what overflows.
 */
bool hora_parse_int(const char *s, int64_t *out);
bool hora_parse_double(const char *s, double *out);
bool hora_parse_bool(const char *s, bool *out); /* true false yes no on off 1 0 */
/* Shortest of 15, 16 or 17 digits that reads back to the same double; "2", "0.0002", "1e-30",
 * "inf". Returns buf. */
char *hora_format_real(char buf[32], double v);

/* Text that may have come from a file, for a terminal: control characters, bytes that are no UTF-8
 * and marks that turn the direction of text become \n, \t, \x1b or \u202e. What is escaped already
 * stays as it is. At most cap - 1 bytes and a NUL; returns how many. */
size_t hora_escape(char *out, size_t cap, const char *s, size_t n);
/* The same for Markdown, on one line, with what would be markup escaped; code: for a `span`. */
void hora_markdown(hora_str *out, const char *s, bool code);
/* Bytes of the byte order mark that the text begins with: 3, or 0. It is no part of a text. */
size_t hora_byte_order_mark(const void *s, size_t n);
/* The next word of a list: words stand between signs of `separators`, empty ones are passed over.
 * *p moves behind it (NULL: an empty list). False: there is none. */
bool hora_list_next(const char **p, const char *separators, const char **word, size_t *n);
/* The same as a new string; NULL: there is none. */
char *hora_list_word(const char **p, const char *separators);
#define HORA_LIST "+, " /* between the values of an option: q+v, and what people write instead */
bool hora_starts(const char *s, const char *prefix);
bool hora_ends(const char *s, const char *suffix);
bool hora_eq(const char *a, const char *b); /* NULL-safe equality */
/* `word`, which is not empty, is one of those that blanks separate in `list` (NULL: none). */
bool hora_has_word(const char *list, const char *word);
/* Edit distance (insert, delete, replace, swap of neighbours). */
int hora_edit_distance(const char *a, const char *b);
/* The candidate nearest to `word`, or NULL if none is near enough to be a plausible typo. */
const char *hora_nearest(const char *word, const char *const *candidates, int n);
/* "1.5 GiB", "12 MiB", "3 KiB" into buf; "1.23 M", "260 k" for counts. Return buf. */
char *hora_human_bytes(char buf[32], double bytes);
char *hora_human_count(char buf[32], double n);
#endif
