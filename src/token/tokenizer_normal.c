/*
 * Normalizers: text in, text out, before anything is split. Normal forms use utf8proc's
 * decomposition and composition, but order the marks here: utf8proc sorts by exchanging neighbours,
 * quadratic in the length of a run of marks, and text may be hostile.
 */
#include <stdlib.h>
#include <utf8proc.h>

#include "token/tokenizer_impl.h"

static hora_status prepend_load(hora_tok_part *p, const hora_json *o) {
    return hora_tok_text_load(p, o, "prepend");
}

static hora_status prepend(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                           hora_str *out) {
    (void)w;
    hora_tok_str_add(out, p->text.s, p->text.n);
    hora_str_add(out, s, n);
    return HORA_OK;
}

static hora_status replace(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                           hora_str *out) {
    HORA_TRY(hora_tok_replace(p, w, s, n, out));
    /* One character may be replaced by another; a longer match takes its beginning along. */
    uint32_t cp;
    if (w->nmatch && w->match[0].hit && w->match[0].e > 0)
        w->front_cut |= !p->text.n || w->match[0].e > (size_t)hora_utf8_decode(s, n, &cp);
    return HORA_OK;
}

/* Rust's char::to_lowercase: simple mappings, and the one letter whose lower case is two. */
static hora_status lowercase(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                             hora_str *out) {
    (void)p, (void)w;
    uint32_t cp;
    for (int len; n; s += len, n -= (size_t)len) {
        len = hora_utf8_decode(s, n, &cp);
        HORA_ASSERT(len > 0);
        if (cp < 0x80)
            hora_str_putc(out, (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp));
        else if (cp == 0x130)
            hora_str_puts(out, "i\xcc\x87");
        else
            hora_tok_str_cp(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
    }
    return HORA_OK;
}

static hora_status strip_accents(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                                 hora_str *out) {
    (void)p;
    uint32_t cp;
    hora_utf8_decode(s, n, &cp);
    w->front_cut |= hora_tok_is_mark(cp);
    for (int len; n; s += len, n -= (size_t)len) {
        len = hora_utf8_decode(s, n, &cp);
        HORA_ASSERT(len > 0);
        if (!hora_tok_is_mark(cp))
            hora_str_add(out, s, (size_t)len);
    }
    return HORA_OK;
}

static hora_status strip_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_json_get_bool(o, "strip_left", true, &p->left));
    return hora_json_get_bool(o, "strip_right", true, &p->right);
}

static hora_status strip(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                         hora_str *out) {
    size_t b = 0, e = 0; /* [b, e): up to the last character that is no space */
    bool seen = false;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        bool space = hora_tok_is_space(cp);
        if (!space && !seen)
            b = i;
        seen |= !space;
        i += (size_t)len;
        if (!space)
            e = i;
    }
    if (!seen)
        b = p->left ? n : 0, e = p->right ? b : n;
    b = p->left ? b : 0;
    e = p->right ? e : n;
    w->front_cut |= b > 0;
    if (b < e)
        hora_str_add(out, s + b, e - b);
    return HORA_OK;
}

static hora_status byte_level(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out) {
    (void)p, (void)w;
    hora_tok_add_byte_chars(out, s, n);
    return HORA_OK;
}

/* --- normal forms ---------------------------------------------------------------------------- */
typedef struct points {
    utf8proc_int32_t *at;
    size_t n, cap;
} points;

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Orders a run of marks by combining class; marks of one class keep their order. */
static void order_run(utf8proc_int32_t *at, size_t n) {
    if (n < 2)
        return;
    uint64_t *key = hora_malloc(n * sizeof *key);
    utf8proc_int32_t *copy = hora_malloc(n * sizeof *copy);
    memcpy(copy, at, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        key[i] = (uint64_t)utf8proc_get_property(at[i])->combining_class << 40 | i;
    qsort(key, n, sizeof *key, by_value);
    for (size_t i = 0; i < n; i++)
        at[i] = copy[key[i] & ((1ull << 40) - 1)];
    hora_free(key);
    hora_free(copy);
}

static void order_marks(points *v) {
    for (size_t i = 0; i < v->n;) {
        size_t b = i;
        while (i < v->n && utf8proc_get_property(v->at[i])->combining_class)
            i++;
        order_run(v->at + b, i - b);
        i += i == b;
    }
}

static hora_status decompose(points *v, const char *s, size_t n, utf8proc_option_t options) {
    uint32_t cp;
    for (int len; n; s += len, n -= (size_t)len) {
        len = hora_utf8_decode(s, n, &cp);
        HORA_ASSERT(len > 0);
        utf8proc_int32_t part[32]; /* the longest decomposition has 18 */
        utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)cp, part, 32, options, NULL);
        if (k < 0 || k > 32)
            return hora_fail(HORA_EFORMAT, "U+%04X cannot be normalized (%s); remove it",
                             (unsigned)cp, k < 0 ? utf8proc_errmsg(k) : "too long");
        for (utf8proc_ssize_t i = 0; i < k; i++)
            HORA_PUSH(v->at, v->n, v->cap, part[i]);
    }
    return HORA_OK;
}

/* Below `plain` every character is its own normal form and takes part in no composition. */
static hora_status normal_form(const char *s, size_t n, unsigned options, unsigned char plain,
                               hora_str *out) {
    size_t i = 0;
    while (i < n && (unsigned char)s[i] < plain)
        i++;
    if (i == n) {
        hora_str_add(out, s, n);
        return HORA_OK;
    }
    points v = {0};
    hora_status st = decompose(&v, s, n, (utf8proc_option_t)options);
    if (st == HORA_OK) {
        order_marks(&v);
        utf8proc_ssize_t m = (utf8proc_ssize_t)v.n;
        if (options & UTF8PROC_COMPOSE)
            m = utf8proc_normalize_utf32(v.at, m, (utf8proc_option_t)options);
        for (utf8proc_ssize_t k = 0; k < m; k++)
            hora_tok_str_cp(out, (uint32_t)v.at[k]);
    }
    hora_free(v.at);
    return st;
}

/* All characters below U+0300 start with a byte below 0xCC. */
#define FORM(name, options, plain)                                                                 \
    static hora_status name(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,     \
                            hora_str *out) {                                                       \
        (void)p, (void)w;                                                                          \
        return normal_form(s, n, UTF8PROC_STABLE | (options), plain, out);                         \
    }
FORM(nfc, UTF8PROC_COMPOSE, 0xcc)
FORM(nfd, UTF8PROC_DECOMPOSE, 0x80)
FORM(nfkc, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0x80)
FORM(nfkd, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0x80)

const hora_tok_row hora_tok_normalizers[] = {
    {.type = "Prepend", .load = prepend_load, .normal = prepend},
    {.type = "Replace", .load = hora_tok_replace_load, .normal = replace},
    {.type = "NFC", .normal = nfc},
    {.type = "NFD", .normal = nfd},
    {.type = "NFKC", .normal = nfkc},
    {.type = "NFKD", .normal = nfkd},
    {.type = "Lowercase", .normal = lowercase},
    {.type = "Strip", .load = strip_load, .normal = strip},
    {.type = "StripAccents", .normal = strip_accents},
    {.type = "ByteLevel", .normal = byte_level},
};
const size_t hora_tok_n_normalizers = HORA_COUNT(hora_tok_normalizers);

hora_status hora_tok_normalize(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n) {
    w->norm.n = 0;
    w->front_cut = false;
    hora_tok_str_add(&w->norm, s, n);
    for (size_t i = 0; i < t->normalizers.n && w->norm.n; i++) {
        const hora_tok_part *p = &t->normalizers.at[i];
        w->other.n = 0;
        HORA_TRY(p->row->normal(p, w, w->norm.s, w->norm.n, &w->other));
        hora_str swap = w->norm;
        w->norm = w->other;
        w->other = swap;
    }
    return HORA_OK;
}
