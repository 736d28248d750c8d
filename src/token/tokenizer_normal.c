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
    hora_tok_emit(w, out, p->text.s, p->text.n, 0, 0);
    hora_tok_emit_each(w, out, s, n, 0);
    return HORA_OK;
}

static hora_status replace(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                           hora_str *out) {
    HORA_TRY(hora_tok_matches(p, w, s, n));
    HORA_TRY(hora_tok_bounded(p, w, out->n));
    for (size_t i = 0; i < w->nmatch; i++) {
        const hora_tok_match *m = &w->match[i];
        if (m->hit)
            hora_tok_emit(w, out, p->text.s, p->text.n, m->b, m->e);
        else
            hora_tok_emit_each(w, out, s + m->b, m->e - m->b, m->b);
    }
    /* One character may be replaced by another; a longer match takes its beginning along. */
    uint32_t cp;
    if (w->nmatch && w->match[0].hit && w->match[0].e > 0)
        w->front_cut |= !p->text.n || w->match[0].e > (size_t)hora_utf8_decode(s, n, &cp);
    return HORA_OK;
}

static void emit_cp(hora_tok_work *w, hora_str *out, uint32_t cp, size_t from, size_t to) {
    char buf[4];
    hora_tok_emit(w, out, buf, (size_t)hora_utf8_encode(cp, buf), from, to);
}

/* Rust's char::to_lowercase: simple mappings, and the one letter whose lower case is two. */
static hora_status lowercase(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                             hora_str *out) {
    (void)p;
    uint32_t cp;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        size_t end;
        len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        end = i + (size_t)len;
        if (cp == 0x130)
            hora_tok_emit(w, out, "i\xcc\x87", 3, i, end);
        else
            emit_cp(w, out,
                    cp < 0x80 ? cp + (cp >= 'A' && cp <= 'Z' ? 32 : 0)
                              : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp),
                    i, end);
    }
    return HORA_OK;
}

static hora_status strip_accents(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                                 hora_str *out) {
    (void)p;
    uint32_t cp;
    int len;
    hora_utf8_decode(s, n, &cp);
    w->front_cut |= hora_tok_is_mark(cp);
    for (size_t i = 0; i < n; i += (size_t)len) {
        len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        if (!hora_tok_is_mark(cp))
            hora_tok_emit_each(w, out, s + i, (size_t)len, i);
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
        hora_tok_emit_each(w, out, s + b, e - b, b);
    return HORA_OK;
}

/* Nmt: controls go, all kinds of white space and invisible marks become a space. */
static hora_status nmt(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                       hora_str *out) {
    (void)p;
    uint32_t cp;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        const size_t end = i + (size_t)len;
        const bool control = (cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) ||
                             cp == 0x7f || cp == 0x8f || cp == 0x9f;
        const bool space = cp == 9 || cp == 0xa || cp == 0xc || cp == 0xd || cp == 0x1680 ||
                           (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 || cp == 0x2029 ||
                           cp == 0x2581 || cp == 0xfeff || cp == 0xfffd;
        if (control)
            continue;
        if (space)
            hora_tok_emit(w, out, " ", 1, i, end);
        else
            hora_tok_emit_each(w, out, s + i, (size_t)len, i);
    }
    return HORA_OK;
}

static hora_status byte_level(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out) {
    (void)p;
    for (size_t i = 0; i < n; i++)
        emit_cp(w, out, hora_tok_byte_char((unsigned char)s[i]), i, i + 1);
    return HORA_OK;
}

/* --- normal forms ----------------------------------------------------------------------------- */
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

/* True where a normal form may be cut: before a character that stands for itself and joins nothing
 * before it. All that composes with its predecessor are marks and Hangul vowels and finals. */
static bool begins(uint32_t cp, utf8proc_option_t options) {
    utf8proc_int32_t part[32];
    utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)cp, part, 32, options, NULL);
    if (k < 1 || k > 32)
        return true;
    return !hora_tok_is_mark((uint32_t)part[0]) && !(part[0] >= 0x1160 && part[0] <= 0x11ff);
}

/* The normal form of s[from, to), which nothing outside can change. */
static hora_status form_of(hora_tok_work *w, const char *s, size_t from, size_t to,
                           unsigned options, points *v, hora_str *out) {
    v->n = 0;
    HORA_TRY(decompose(v, s + from, to - from, (utf8proc_option_t)options));
    order_marks(v);
    utf8proc_ssize_t m = (utf8proc_ssize_t)v->n;
    if (options & UTF8PROC_COMPOSE)
        m = utf8proc_normalize_utf32(v->at, m, (utf8proc_option_t)options);
    for (utf8proc_ssize_t k = 0; k < m; k++)
        emit_cp(w, out, (uint32_t)v->at[k], from, to);
    return HORA_OK;
}

/* Below `plain` (a lead byte) every character is its own normal form and takes part in no
 * composition but as its first part. The text is cut where no composition reaches across, so that
 * what comes out is known to come from there. */
static hora_status normal_form(hora_tok_work *w, const char *s, size_t n, unsigned options,
                               unsigned char plain, hora_str *out) {
    size_t i = 0, end;
    uint32_t cp;
    while (i < n && (unsigned char)s[i] < plain)
        i++;
    if (i == n) {
        hora_tok_emit_each(w, out, s, n, 0);
        return HORA_OK;
    }
    points v = {0};
    hora_status st = HORA_OK;
    for (i = 0; i < n && st == HORA_OK; i = end) {
        end = i + (size_t)hora_utf8_decode(s + i, n - i, &cp);
        bool alone = (unsigned char)s[i] < plain;
        for (int len; end < n; end += (size_t)len) {
            len = hora_utf8_decode(s + end, n - end, &cp);
            HORA_ASSERT(len > 0);
            if ((unsigned char)s[end] < plain || begins(cp, (utf8proc_option_t)options))
                break;
            alone = false;
        }
        if (alone)
            hora_tok_emit_each(w, out, s + i, end - i, i);
        else
            st = form_of(w, s, i, end, options, &v, out);
    }
    hora_free(v.at);
    return st;
}

/* All characters below U+0300 start with a byte below 0xCC. */
#define FORM(name, options, plain)                                                                 \
    static hora_status name(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,     \
                            hora_str *out) {                                                       \
        (void)p;                                                                                   \
        return normal_form(w, s, n, UTF8PROC_STABLE | (options), plain, out);                      \
    }
FORM(nfc, UTF8PROC_COMPOSE, 0xcc)
FORM(nfd, UTF8PROC_DECOMPOSE, 0x80)
FORM(nfkc, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0x80)
FORM(nfkd, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0x80)

/* --- BertNormalizer: clean text, Chinese characters apart, accents off, lower case ------------ */
static hora_status bert_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_json_get_bool(o, "clean_text", true, &p->clean));
    HORA_TRY(hora_json_get_bool(o, "handle_chinese_chars", true, &p->han));
    HORA_TRY(hora_json_get_bool(o, "lowercase", true, &p->lower));
    return hora_json_get_bool(o, "strip_accents", p->lower, &p->accents);
}

/* The blocks of CJK ideographs as the library lists them (which begins one a page late). */
static bool is_han(uint32_t cp) {
    static const uint32_t blocks[][2] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                         {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf},
                                         {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
    for (size_t i = 0; cp >= 0x3400 && i < HORA_COUNT(blocks); i++)
        if (cp >= blocks[i][0] && cp <= blocks[i][1])
            return true;
    return false;
}

/* Controls, formats, private use; tab and line breaks are white space. */
static bool is_dropped(uint32_t cp) {
    if (cp == '\t' || cp == '\n' || cp == '\r')
        return false;
    if (cp < 0x7f)
        return cp < 0x20;
    return cp == 0xfffd || hora_tok_is_format(cp);
}

static hora_status bert_clean(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out) {
    uint32_t cp;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        const size_t end = i + (size_t)len;
        if (p->clean && is_dropped(cp))
            continue;
        if (p->clean && hora_tok_is_space(cp)) {
            hora_tok_emit(w, out, " ", 1, i, end);
        } else if (p->han && is_han(cp)) {
            hora_tok_emit(w, out, " ", 1, i, i);
            hora_tok_emit_each(w, out, s + i, (size_t)len, i);
            hora_tok_emit(w, out, " ", 1, end, end);
        } else {
            hora_tok_emit_each(w, out, s + i, (size_t)len, i);
        }
    }
    return HORA_OK;
}

static hora_status bert_decompose(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                                  hora_str *out) {
    if (p->accents)
        return nfd(p, w, s, n, out);
    hora_tok_emit_each(w, out, s, n, 0);
    return HORA_OK;
}

static hora_status bert_accents(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                                hora_str *out) {
    uint32_t cp;
    int len;
    for (size_t i = 0; i < n; i += (size_t)len) {
        len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        if (!p->accents || cp < 0x300 || !hora_tok_is_thin_mark(cp))
            hora_tok_emit_each(w, out, s + i, (size_t)len, i);
    }
    return HORA_OK;
}

static hora_status bert_lower(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out) {
    if (p->lower)
        return lowercase(p, w, s, n, out);
    hora_tok_emit_each(w, out, s, n, 0);
    return HORA_OK;
}

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
    {.type = "Nmt", .normal = nmt},
    {.type = "Precompiled", .load = hora_tok_charsmap_load, .normal = hora_tok_charsmap},
    {.type = "BertNormalizer",
     .load = bert_load,
     .normal = bert_clean,
     .then = {bert_decompose, bert_accents, bert_lower}},
};
const size_t hora_tok_n_normalizers = HORA_COUNT(hora_tok_normalizers);

/* --- running them ----------------------------------------------------------------------------- */
static void track(hora_offsets *to, size_t n, size_t from, size_t end, size_t step) {
    for (size_t i = 0; i < n; i++) {
        hora_offset o = {(uint32_t)(from + i * step), (uint32_t)(end + i * step)};
        HORA_PUSH(to->at, to->n, to->cap, o);
    }
}

void hora_tok_emit(hora_tok_work *w, hora_str *out, const char *s, size_t n, size_t from,
                   size_t to) {
    hora_tok_str_add(out, s, n);
    if (w->track)
        track(&w->step, n, from, to, 0);
}

void hora_tok_emit_each(hora_tok_work *w, hora_str *out, const char *s, size_t n, size_t from) {
    hora_tok_str_add(out, s, n);
    if (w->track)
        track(&w->step, n, from, from + 1, 1);
}

/* Turns w->step, which speaks of the text before this row, into w->norm_from. */
static void compose(hora_tok_work *w) {
    HORA_ASSERT(w->step.n == w->other.n);
    for (size_t i = 0; i < w->step.n; i++) {
        hora_offset *o = &w->step.at[i];
        size_t b = o->from, e = o->to;
        if (b < e) {
            o->from = w->norm_from.at[b].from;
            o->to = w->norm_from.at[e - 1].to;
        } else {
            o->from = o->to = b < w->norm_from.n ? w->norm_from.at[b].from
                              : b                ? w->norm_from.at[b - 1].to
                                                 : 0;
        }
    }
    hora_offsets swap = w->norm_from;
    w->norm_from = w->step;
    w->step = swap;
}

typedef hora_status (*normal_fn)(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                                 hora_str *out);

static hora_status pass(hora_tok_work *w, const hora_tok_part *p, normal_fn fn) {
    w->other.n = w->step.n = 0;
    if (!w->norm.n)
        return HORA_OK;
    HORA_TRY(fn(p, w, w->norm.s, w->norm.n, &w->other));
    if (w->track)
        compose(w);
    hora_str swap = w->norm;
    w->norm = w->other;
    w->other = swap;
    return HORA_OK;
}

hora_status hora_tok_normalize(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n) {
    w->norm.n = w->norm_from.n = 0;
    w->limit = 64 * n + ((size_t)64 << 10); /* a normal form makes at most 11 bytes of one */
    w->front_cut = false;
    hora_tok_str_add(&w->norm, s, n);
    if (w->track)
        track(&w->norm_from, n, 0, 1, 1);
    for (size_t i = 0; i < t->normalizers.n; i++) {
        const hora_tok_row *row = t->normalizers.at[i].row;
        HORA_TRY(pass(w, &t->normalizers.at[i], row->normal));
        for (size_t k = 0; k < HORA_COUNT(row->then) && row->then[k]; k++)
            HORA_TRY(pass(w, &t->normalizers.at[i], row->then[k]));
    }
    return HORA_OK;
}
