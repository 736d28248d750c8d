/*
 * Filters that cut and wrap text, and that write it for other places: truncate, wordwrap as
 * Python's textwrap does it, urlencode, striptags, xmlattr, filesizeformat, pprint. Lengths are in
 * code points.
 */
#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "template/template_list_impl.h"
#include "token/unicode.h"

#define HAS(a, k)    ((a)->set >> (k)&1)
#define FILTER(name) hora_status hora_tpl_##name(hora_ts *st, const hora_args *a, hora_tv *out)

/* ---- characters ---- */
typedef struct chars {
    const char *s;
    size_t bytes, n;
    uint32_t *cp;
    size_t *at; /* of each; at[n]: the end */
} chars;

static void split_chars(chars *c, const char *s, size_t n) {
    *c = (chars){.s = s, .bytes = n};
    c->cp = hora_malloc((n + 1) * sizeof *c->cp);
    c->at = hora_malloc((n + 1) * sizeof *c->at);
    for (size_t i = 0; i < n; c->n++) {
        const int len = hora_utf8_decode(s + i, n - i, &c->cp[c->n]);
        c->at[c->n] = i;
        i += len > 0 ? (size_t)len : 1;
    }
    c->at[c->n] = n;
}

static void release_chars(chars *c) {
    hora_free(c->cp);
    hora_free(c->at);
}

static void add_chars(hora_str *to, const chars *c, size_t from, size_t end) {
    hora_str_add(to, c->s + c->at[from], c->at[end] - c->at[from]);
}

static hora_status integer(hora_ts *st, const hora_args *a, int k, int64_t or, int64_t *out) {
    *out = or ;
    if (!HAS(a, k) || hora_tv_integer(&a->at[k], out))
        return HORA_OK;
    return hora_ts_fail(st, "a number is expected, not %s; correct the template",
                        hora_tv_name(&a->at[k]));
}

/* ---- truncate ---- */
FILTER(truncate) {
    int64_t length, leeway;
    hora_tv end = HAS(a, 2) ? a->at[2] : hora_tv_borrow("...", 3);
    HORA_TRY(integer(st, a, 0, 255, &length));
    leeway = 5;
    if (HAS(a, 3) && a->at[3].type != HORA_TV_NONE)
        HORA_TRY(integer(st, a, 3, 5, &leeway));
    *out = a->in;
    if (a->in.type == HORA_TV_UNDEFINED)
        return HORA_OK;
    HORA_TRY(hora_tpl_need_string(st, &a->in));
    HORA_TRY(hora_tpl_need_string(st, &end));
    const int64_t tail = (int64_t)hora_utf8_length(end.s, end.n);
    if (length < tail || leeway < 0)
        return hora_ts_fail(st, "`truncate` cuts to a length of at least that of what it appends, "
                                "and its leeway is 0 or more; correct the template");
    chars c;
    split_chars(&c, a->in.s, a->in.n);
    hora_str b = {0};
    if ((int64_t)c.n > length + leeway) {
        size_t keep = (size_t)(length - tail), blank = keep;
        while (blank > 0 && c.cp[blank - 1] != ' ')
            blank--;
        if (!(HAS(a, 1) && hora_tv_truth(&a->at[1])) && blank)
            keep = blank - 1;
        add_chars(&b, &c, 0, keep);
        hora_str_add(&b, end.s, end.n);
    }
    const bool same = (int64_t)c.n <= length + leeway;
    release_chars(&c);
    HORA_TRY(hora_ts_step(st, a->in.n / 16));
    return same ? HORA_OK : hora_tv_take(st, &b, HORA_OK, out);
}

/* ---- wordwrap: textwrap.wrap of each line ---- */
static bool is_blank(uint32_t c) { /* of textwrap: those of ASCII alone */
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static bool is_word(uint32_t c) { /* \w */
    return c == '_' || hora_tpl_is_alnum(c);
}
static bool is_letter(uint32_t c) { /* [^\d\W] */
    return is_word(c) && hora_unicode_class(c) != HORA_UC_DECIMAL;
}
static bool is_word_or_mark(uint32_t c) {
    return is_word(c) || (c < 128 && c && strchr("!\"'&.,?", (int)c));
}

/* Two hyphens or more at i, then a word: where they end; 0: no. */
static size_t dashes(const chars *c, size_t i, size_t n) {
    size_t k = i;
    while (k < n && c->cp[k] == '-')
        k++;
    return k >= i + 2 && k < n && is_word(c->cp[k]) ? k : 0;
}

/* A hyphen at j - 1 of the text that begins at `from` may end a piece. */
static bool hyphen(const chars *c, size_t from, size_t j, size_t n) {
    const uint32_t *t = c->cp;
    if (t[j - 1] != '-')
        return false;
    const bool behind =
        (j >= from + 3 && is_letter(t[j - 2]) && is_letter(t[j - 3])) ||
        (j >= from + 4 && is_word_or_mark(t[j - 2]) && t[j - 3] == '-' && is_letter(t[j - 4]));
    const size_t second = j + 1 < n && t[j + 1] == '-' ? j + 2 : j + 1;
    return behind && j < n && is_letter(t[j]) && second < n && is_letter(t[second]);
}

/* End of the piece that begins at i, in the line [from, n). */
static size_t piece(const chars *c, size_t from, size_t i, size_t n, bool hyphens) {
    size_t j = i;
    if (is_blank(c->cp[i]) || !hyphens) {
        const bool blank = is_blank(c->cp[i]);
        while (j < n && is_blank(c->cp[j]) == blank)
            j++;
        return j;
    }
    if (i > from && is_word_or_mark(c->cp[i - 1]) && dashes(c, i, n))
        return dashes(c, i, n);
    for (j = i + 1; j < n && !is_blank(c->cp[j]); j++)
        if (hyphen(c, from, j, n) || (is_word_or_mark(c->cp[j - 1]) && dashes(c, j, n)))
            return j;
    return j;
}

static bool is_space(const chars *c, size_t from, size_t end) {
    for (size_t i = from; i < end; i++)
        if (!hora_utf8_space(c->s + c->at[i], c->at[i + 1] - c->at[i]))
            return false;
    return true;
}

typedef struct wrapping {
    const chars *c;
    size_t width;
    bool long_words, hyphens;
    const hora_tv *between;
    hora_str *out;
    bool some; /* a line of this text stands already */
} wrapping;

/* How much of a piece that is longer than a line goes into what is left of it. */
static size_t broken(const wrapping *w, size_t from, size_t end, size_t left) {
    size_t take = left < end - from ? left : end - from;
    for (size_t k = take; w->hyphens && end - from > left && k-- > 1;)
        if (w->c->cp[from + k] == '-') {
            for (size_t i = 0; i < k; i++)
                if (w->c->cp[from + i] != '-')
                    return k + 1;
            break;
        }
    return take;
}

static void put_line(wrapping *w, size_t from, size_t end) {
    if (w->some)
        hora_str_add(w->out, w->between->s, w->between->n);
    add_chars(w->out, w->c, from, end);
    w->some = true;
}

/* The pieces of [from, n) on lines; what a line holds stands in one stretch of the text. */
static void wrap_line(wrapping *w, size_t from, size_t n) {
    bool first = true;
    for (size_t at = from, rest = from; at < n;) {
        /* `rest`: end of the piece that begins at `at`, which may be the rest of a broken one */
        rest = rest > at ? rest : piece(w->c, from, at, n, w->hyphens);
        if (!first && is_space(w->c, at, rest)) {
            at = rest;
            if (at == n)
                break;
            rest = piece(w->c, from, at, n, w->hyphens);
        }
        size_t end = at, last = at;
        while (end < n && rest - at <= w->width) {
            last = end;
            end = rest;
            rest = end < n ? piece(w->c, from, end, n, w->hyphens) : end;
        }
        if (end < n && rest - end > w->width) {
            const size_t left = w->width - (end - at);
            if (w->long_words) { /* nothing of it, where nothing is left, ends the line too */
                last = end;
                end += left ? broken(w, end, rest, left) : 0;
            } else if (!w->long_words && end == at) {
                end = rest;
            }
        }
        const size_t shown = end > at && is_space(w->c, last, end) ? last : end;
        if (shown > at) {
            put_line(w, at, shown);
            first = false;
        }
        at = end;
    }
}

FILTER(wordwrap) {
    int64_t width;
    hora_str b = {0};
    hora_tv between = hora_tv_borrow("\n", 1);
    HORA_TRY(integer(st, a, 0, 79, &width));
    HORA_TRY(hora_tpl_need_string(st, &a->in));
    if (HAS(a, 2) && a->at[2].type != HORA_TV_NONE)
        between = a->at[2];
    HORA_TRY(hora_tpl_need_string(st, &between));
    if (width <= 0 && a->in.n)
        return hora_ts_fail(st, "the width of `wordwrap` is 1 or more; correct the template");
    HORA_TRY(hora_ts_step(st, a->in.n / 4));
    chars c;
    split_chars(&c, a->in.s, a->in.n);
    wrapping w = {.c = &c,
                  .width = width > (int64_t)c.n ? c.n + 1 : (size_t)width,
                  .long_words = !HAS(a, 1) || hora_tv_truth(&a->at[1]),
                  .hyphens = !HAS(a, 3) || hora_tv_truth(&a->at[3]),
                  .between = &between,
                  .out = &b};
    for (size_t i = 0, line = 0; i < c.n; line++) {
        size_t end = i, skip = 0;
        while (end < c.n && !(skip = hora_tpl_break(c.s + c.at[end], c.bytes - c.at[end])))
            end++;
        if (line)
            hora_str_add(&b, between.s, between.n);
        w.some = false;
        wrap_line(&w, i, end);
        for (i = end; i < c.n && c.at[i] < c.at[end] + skip;)
            i++;
    }
    release_chars(&c);
    return hora_tv_take(st, &b,
                        b.n > HORA_TPL_OUTPUT ? hora_ts_fail(st, "the text gets too long; cut the "
                                                                 "data")
                                              : HORA_OK,
                        out);
}

/* ---- urlencode ---- */
static hora_status quote(hora_ts *st, const hora_tv *v, bool query, hora_str *to) {
    hora_tv text;
    HORA_TRY(hora_tv_text(st, v, &text));
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.s[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("_.-~", c)) || (c == '/' && !query))
            hora_str_putc(to, c);
        else if (c == ' ' && query)
            hora_str_putc(to, '+');
        else
            hora_str_printf(to, "%%%02X", (unsigned)(unsigned char)c);
    }
    return hora_ts_step(st, text.n / 16);
}

FILTER(urlencode) {
    hora_str b = {0};
    const hora_tv *items;
    size_t n;
    hora_status s = HORA_OK;
    const bool box = a->in.type == HORA_TV_DICT || a->in.type == HORA_TV_LIST ||
                     a->in.type == HORA_TV_TUPLE || a->in.type == HORA_TV_UNDEFINED;
    if (!box) {
        s = quote(st, &a->in, false, &b);
        return hora_tv_take(st, &b, s, out);
    }
    HORA_TRY(hora_tv_elements(st, &a->in, &items, &n));
    for (size_t i = 0; i < n && !s; i++) {
        const hora_tv *pair = a->in.type == HORA_TV_DICT ? &a->in.list[2 * i] : items[i].list;
        if (a->in.type != HORA_TV_DICT &&
            ((items[i].type != HORA_TV_TUPLE && items[i].type != HORA_TV_LIST) ||
             items[i].n != 2)) {
            s = hora_ts_fail(st, "`urlencode` takes a text, a mapping or pairs; correct the "
                                 "template");
            break;
        }
        hora_str_puts(&b, i ? "&" : "");
        s = quote(st, &pair[0], true, &b);
        hora_str_putc(&b, '=');
        s = s ? s : quote(st, &pair[1], true, &b);
    }
    return hora_tv_take(st, &b, s, out);
}

/* ---- striptags ---- */
/* Takes everything from `open` to `close` out, again and again. */
static void strip_between(hora_str *b, const char *open, const char *close) {
    const size_t no = strlen(open), nc = strlen(close);
    size_t from = 0;
    for (;;) {
        /* what stands in front of `from` holds no whole `open`, but may hold its beginning */
        const char *s = b->n > from ? memmem(b->s + from, b->n - from, open, no) : NULL;
        const char *e = s ? memmem(s, b->n - (size_t)(s - b->s), close, nc) : NULL;
        if (!e)
            return;
        const size_t at = (size_t)(s - b->s), behind = (size_t)(e - b->s) + nc;
        memmove(b->s + at, b->s + behind, b->n - behind);
        b->n -= behind - at;
        from = at >= no ? at - no : 0;
    }
}

/* Bytes of the reference at s that `cp` stands for; 0: it is none, -1: not known here. */
static int reference(const char *s, size_t n, uint32_t *cp) {
    static const struct {
        const char *name;
        uint32_t cp;
    } rows[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
                {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xa0},
                {"&#39;", '\''}, {"&#34;", '"'},   {"&#x27;", '\''}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        if (n >= strlen(rows[i].name) && !memcmp(s, rows[i].name, strlen(rows[i].name))) {
            *cp = rows[i].cp;
            return (int)strlen(rows[i].name);
        }
    const char c = n > 1 ? s[1] : ' ';
    return c == '#' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? -1 : 0;
}

FILTER(striptags) {
    hora_tv v;
    hora_str b = {0}, words = {0};
    hora_status s = HORA_OK;
    HORA_TRY(hora_tv_text(st, &a->in, &v));
    HORA_TRY(hora_ts_step(st, v.n / 4 + v.n / 64 * (v.n / 64)));
    hora_str_add(&b, v.s, v.n);
    strip_between(&b, "<!--", "-->");
    strip_between(&b, "<", ">");
    for (size_t i = 0; i < b.n && !s;) {
        const size_t blank = hora_utf8_space(b.s + i, b.n - i);
        uint32_t cp;
        const int ref = b.s[i] == '&' ? reference(b.s + i, b.n - i, &cp) : 0;
        char utf8[4];
        if (blank) {
            size_t k = i;
            for (size_t more; k < b.n && (more = hora_utf8_space(b.s + k, b.n - k)) != 0;)
                k += more;
            if (words.n && k < b.n)
                hora_str_putc(&words, ' ');
            i = k;
        } else if (ref > 0) {
            hora_str_add(&words, utf8, (size_t)hora_utf8_encode(cp, utf8));
            i += (size_t)ref;
        } else if (ref < 0) {
            s = hora_ts_fail(st, "`striptags` knows &amp; &lt; &gt; &quot; &apos; &nbsp; alone; "
                                 "correct the data");
        } else {
            hora_str_putc(&words, b.s[i++]);
        }
    }
    hora_str_release(&b);
    HORA_TRY(hora_tv_take(st, &words, s, out));
    out->safe = true;
    return HORA_OK;
}

/* ---- xmlattr ---- */
FILTER(xmlattr) {
    hora_str b = {0};
    hora_status s = HORA_OK;
    if (a->in.type != HORA_TV_DICT)
        return hora_ts_fail(st, "`xmlattr` takes a mapping; correct the template");
    const bool blank = !HAS(a, 0) || hora_tv_truth(&a->at[0]);
    for (size_t i = 0; i < a->in.n && !s; i++) {
        const hora_tv *k = &a->in.list[2 * i], *v = k + 1;
        hora_tv key, text;
        if (v->type == HORA_TV_NONE || v->type == HORA_TV_UNDEFINED)
            continue;
        HORA_TRY_OUT(s, hora_tpl_need_string(st, k));
        if (k->n != strcspn(k->s, " \t\n\r\f\v/>=")) {
            s = hora_ts_fail(st, "a name of `xmlattr` holds a blank, / > or =; correct the data");
            break;
        }
        HORA_TRY_OUT(s, hora_tv_escape(st, k, &key));
        HORA_TRY_OUT(s, hora_tv_escape(st, v, &text));
        hora_str_puts(&b, b.n || blank ? " " : "");
        hora_str_add(&b, key.s, key.n);
        hora_str_puts(&b, "=\"");
        hora_str_add(&b, text.s, text.n);
        hora_str_puts(&b, "\"");
    }
out:
    return hora_tv_take(st, &b, s, out);
}

/* ---- filesizeformat ---- */
FILTER(filesizeformat) {
    static const double units[2][9] = {
        {1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21, 1e24, 1e27},
        {0x1p10, 0x1p20, 0x1p30, 0x1p40, 0x1p50, 0x1p60, 0x1p70, 0x1p80, 0x1p90}};
    static const char *const names[2][8] = {
        {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    char text[400], b[64];
    double v = 0;
    bool ok = hora_tv_number(&a->in, &v);
    if (a->in.type == HORA_TV_STRING && a->in.n < sizeof b) {
        memcpy(b, a->in.s, a->in.n);
        b[a->in.n] = 0;
        ok = hora_parse_double(b, &v);
    }
    if (!ok)
        return hora_ts_fail(st, "`filesizeformat` takes a number; correct the template or the "
                                "data");
    const int binary = HAS(a, 0) && hora_tv_truth(&a->at[0]);
    const double base = units[binary][0];
    if (v == 1)
        return hora_tv_string(st, "1 Byte", 6, out);
    if (v < base && isfinite(v)) {
        hora_snprintf(text, sizeof text, "%.0f Bytes", trunc(v) + 0.0);
        return hora_tv_string(st, text, strlen(text), out);
    }
    if (!isfinite(v) && v < 0)
        return hora_ts_fail(st, "`filesizeformat` takes a finite number; correct the data");
    int i = 0;
    while (i < 7 && !(v < units[binary][i + 1]))
        i++;
    hora_snprintf(text, sizeof text, "%.1f %s", base * v / units[binary][i + 1], names[binary][i]);
    const char *shown = isnan(v) && *text == '-' ? text + 1 : text;
    return hora_tv_string(st, shown, strlen(shown), out);
}

/* ---- pprint ---- */
enum { ONE_LINE = 80 };

/* Mappings in the order of their keys, as pprint writes them; what is not text there is refused. */
static hora_status sorted(hora_ts *st, const hora_tv *v, int depth, hora_tv *out) {
    const size_t each = v->type == HORA_TV_DICT ? 2 : 1;
    hora_tv *at, *keys, *order;
    *out = *v;
    if ((v->type != HORA_TV_LIST && v->type != HORA_TV_TUPLE && v->type != HORA_TV_DICT) || !v->n)
        return HORA_OK;
    HORA_TRY(hora_tv_plain(st, v));
    if (depth > 100)
        return hora_ts_fail(st, "`pprint` goes no deeper than 100 levels; correct the data");
    HORA_TRY(hora_tv_room(st, v->n * each, sizeof *at, &at));
    if (each == 1) {
        for (size_t i = 0; i < v->n; i++)
            HORA_TRY(sorted(st, &v->list[i], depth + 1, &at[i]));
        *out = hora_tv_seq(v->type, at, v->n);
        return HORA_OK;
    }
    HORA_TRY(hora_tv_room(st, v->n, sizeof *keys, &keys));
    HORA_TRY(hora_tv_room(st, v->n, sizeof *order, &order));
    for (size_t i = 0; i < v->n; i++) {
        HORA_TRY(hora_tpl_need_string(st, &v->list[2 * i]));
        keys[i] = v->list[2 * i];
        order[i] = hora_tv_int((int64_t)i);
    }
    HORA_TRY(hora_tv_sort(st, keys, order, v->n, false));
    for (size_t i = 0; i < v->n; i++) {
        at[2 * i] = v->list[2 * order[i].i];
        HORA_TRY(sorted(st, &v->list[2 * order[i].i + 1], depth + 1, &at[2 * i + 1]));
    }
    *out = hora_tv_seq(HORA_TV_DICT, at, v->n);
    return HORA_OK;
}

/* What fits one line is repr(value); how Python breaks what does not is another matter. */
FILTER(pprint) {
    hora_tv v, one;
    hora_str b = {0};
    HORA_TRY(sorted(st, &a->in, 0, &v));
    one = hora_tv_seq(HORA_TV_LIST, &v, 1); /* a list writes what it holds as repr does */
    hora_status s = hora_tv_print(st, &one, &b);
    if (!s && hora_utf8_length(b.s, b.n) > ONE_LINE + 2)
        s = hora_ts_fail(st,
                         "`pprint` of more than a line of %d characters is not done here; use "
                         "`tojson`",
                         ONE_LINE);
    if (!s) {
        memmove(b.s, b.s + 1, b.n - 2);
        b.n -= 2;
        b.s[b.n] = 0;
    }
    return hora_tv_take(st, &b, s, out);
}
