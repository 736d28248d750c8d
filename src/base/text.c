/*
 * Text tools. Owns nothing; every function is pure but for hora_edit_distance's scratch. Numbers
 * are read and written in the C locale by switching the calling thread for the length of one call,
 * so a host program with another locale neither disturbs us nor is disturbed. UTF-8 as in RFC 3629:
 * no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* newlocale, uselocale */
#endif
#include "base/text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "base/mem.h"

int hora_vsnprintf(char *buf, size_t n, const char *fmt, va_list ap) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    int used = vsnprintf(buf, n, fmt, ap);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    return used;
}

int hora_snprintf(char *buf, size_t n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int used = hora_vsnprintf(buf, n, fmt, ap);
    va_end(ap);
    return used;
}

int hora_utf8_decode(const char *s, size_t n, uint32_t *cp) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (!n)
        return 0;
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    int len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || (size_t)len > n)
        return 0;
    uint32_t c = u[0] & (0xffu >> (len + 1));
    for (int i = 1; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *cp = c;
    return len;
}

int hora_utf8_encode(uint32_t cp, char out[4]) {
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        cp = 0xfffd;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)((0xf00u >> len & 0xf0u) | cp);
    return len;
}

bool hora_utf8_valid(const char *s, size_t n, size_t *bad) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int used = hora_utf8_decode(s + i, n - i, &cp);
        if (!used) {
            if (bad)
                *bad = i;
            return false;
        }
        i += (size_t)used;
    }
    return true;
}

void hora_utf8_mend(hora_str *out, const char *s, size_t n) {
    for (size_t bad; !hora_utf8_valid(s, n, &bad); s += bad + 1, n -= bad + 1) {
        hora_str_add(out, s, bad);
        hora_str_puts(out, "\xef\xbf\xbd");
    }
    hora_str_add(out, s, n);
}

bool hora_parse_int(const char *s, int64_t *out) {
    if (!s)
        return false;
    bool minus = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (*s < '0' || *s > '9')
        return false;
    const uint64_t most = (uint64_t)INT64_MAX + (minus ? 1 : 0);
    uint64_t v = 0;
    for (; *s >= '0' && *s <= '9'; s++) {
        uint64_t digit = (uint64_t)(*s - '0');
        if (v > (most - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    uint64_t unit = 1;
    switch (*s) {
    case 'k':
    case 'K':
        unit = 1000;
        break;
    case 'M':
        unit = 1000000;
        break;
    case 'G':
        unit = 1000000000;
        break;
    default:
        break;
    }
    if (unit > 1)
        s++;
    if (*s || v > most / unit)
        return false;
    v *= unit;
    *out = !minus ? (int64_t)v : v ? -(int64_t)(v - 1) - 1 : 0;
    return true;
}

static const char *digits(const char *s) {
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

/* The grammar is checked here because strtod also takes blanks, hexadecimal and "infinity". */
static bool is_real(const char *s) {
    if (*s == '-' || *s == '+')
        s++;
    if (!strcmp(s, "inf") || !strcmp(s, "nan"))
        return true;
    const char *whole = s;
    s = digits(s);
    size_t seen = (size_t)(s - whole);
    if (*s == '.') {
        const char *fraction = ++s;
        s = digits(s);
        seen += (size_t)(s - fraction);
    }
    if (!seen)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '-' || *s == '+')
            s++;
        if (digits(s) == s)
            return false;
        s = digits(s);
    }
    return !*s;
}

bool hora_parse_double(const char *s, double *out) {
    if (!s || !is_real(s))
        return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    double v = strtod(s, NULL);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    if (isinf(v) && !strchr(s, 'i'))
        return false; /* a finite number too large for a double */
    *out = v;
    return true;
}

bool hora_parse_bool(const char *s, bool *out) {
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; s && i < HORA_COUNT(words); i++)
        if (!strcmp(s, words[i])) {
            *out = i & 1;
            return true;
        }
    return false;
}

char *hora_format_real(char buf[32], double v) {
    for (int precision = 15; precision <= 17; precision++) {
        double back = 0;
        hora_snprintf(buf, 32, "%.*g", precision, v);
        if (isnan(v)) {
            memcpy(buf, "nan", 4);
            break;
        }
        if (hora_parse_double(buf, &back) && back == v)
            break;
    }
    return buf;
}

size_t hora_byte_order_mark(const void *s, size_t n) {
    return n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

bool hora_list_next(const char **p, const char *separators, const char **word, size_t *n) {
    if (!*p)
        return false;
    *p += strspn(*p, separators);
    *word = *p;
    *n = strcspn(*p, separators);
    *p += *n;
    return *n > 0;
}

char *hora_list_word(const char **p, const char *separators) {
    const char *word;
    size_t n;
    return hora_list_next(p, separators, &word, &n) ? hora_strndup(word, n) : NULL;
}

bool hora_starts(const char *s, const char *prefix) {
    return !strncmp(s, prefix, strlen(prefix));
}

bool hora_ends(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return m <= n && !memcmp(s + n - m, suffix, m);
}

bool hora_eq(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

bool hora_has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = list; n && p && *p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

/* Optimal string alignment with three rows: two above for the swap of neighbours. */
int hora_edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b);
    int *rows = hora_calloc(3 * (m + 1), sizeof *rows);
    int *older = rows, *above = rows + m + 1, *here = rows + 2 * (m + 1);
    for (size_t j = 0; j <= m; j++)
        here[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *spare = older;
        older = above;
        above = here;
        here = spare;
        here[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int64_t best = hora_min(above[j] + 1, here[j - 1] + 1);
            best = hora_min(best, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = hora_min(best, older[j - 2] + 1);
            here[j] = (int)best;
        }
    }
    int distance = here[m];
    hora_free(rows);
    return distance;
}

const char *hora_nearest(const char *word, const char *const *candidates, int n) {
    const size_t len = strlen(word);
    const char *best = NULL;
    int least = (int)(len / 3) + 1; /* one slip in three letters, and at least one */
    if (len < 2 || len > 64)
        return NULL;
    for (int i = 0; i < n; i++) {
        int d = hora_edit_distance(word, candidates[i]);
        if (d < (int)len && (best ? d < least : d <= least)) {
            best = candidates[i];
            least = d;
        }
    }
    for (int i = 0; !best && len >= 3 && i < n; i++)
        if (hora_starts(candidates[i], word))
            best = candidates[i]; /* the beginning of a longer name */
    return best;
}

static char *human(char buf[32], double v, double step, const char *const *units, int decimals) {
    int u = 0;
    while (fabs(v) >= step - 0.5 && u < 6) {
        v /= step;
        u++;
    }
    int shown = !u || fabs(v) >= 99.5 ? 0 : fabs(v) >= 9.95 ? decimals - 1 : decimals;
    hora_snprintf(buf, 32, "%.*f", shown, v);
    if (strchr(buf, '.')) { /* 3.0 is 3 */
        char *end = buf + strlen(buf);
        while (end[-1] == '0')
            *--end = 0;
        if (end[-1] == '.')
            *--end = 0;
    }
    size_t used = strlen(buf);
    if (*units[u])
        hora_snprintf(buf + used, 32 - used, " %s", units[u]);
    return buf;
}

char *hora_human_bytes(char buf[32], double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return fabs(bytes) < 1e24 ? human(buf, bytes, 1024, units, 1)
                              : (hora_snprintf(buf, 32, "%g B", bytes), buf);
}

char *hora_human_count(char buf[32], double n) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    return fabs(n) < 1e22 ? human(buf, n, 1000, units, 2) : (hora_snprintf(buf, 32, "%g", n), buf);
}

/* --- terminals -------------------------------------------------------------------------------- */
static bool is_hidden(uint32_t cp) {
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

size_t hora_escape(char *out, size_t cap, const char *s, size_t n) {
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        char form[16];
        uint32_t cp = 0;
        const int len = hora_utf8_decode(s + i, n - i, &cp);
        if (!len)
            snprintf(form, sizeof form, "\\x%02x", (unsigned char)s[i]);
        else if (cp == '\n' || cp == '\t')
            snprintf(form, sizeof form, cp == '\n' ? "\\n" : "\\t");
        else if (is_hidden(cp))
            snprintf(form, sizeof form, cp < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)cp);
        else
            snprintf(form, sizeof form, "%.*s", len, s + i);
        const size_t more = strlen(form);
        if (used + more >= cap)
            break;
        memcpy(out + used, form, more);
        used += more;
        i += len ? (size_t)len : 1;
    }
    out[used] = 0;
    return used;
}

void hora_markdown(hora_str *out, const char *s, bool code) {
    const size_t cap = 6 * strlen(s) + 1;
    char *clean = hora_malloc(cap);
    hora_escape(clean, cap, s, strlen(s));
    for (const char *p = clean; *p; p++) {
        if (code && *p == '`')
            hora_str_puts(out, "\\x60");
        else if (!code && strchr("`<>[]|*&#", *p))
            hora_str_printf(out, "\\%c", *p);
        else
            hora_str_putc(out, *p);
    }
    hora_free(clean);
}
