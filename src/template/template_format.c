/*
 * Text with places for values: text % values (%[(name)][flags][width][.precision]kind) and
 * text.format(..) ({}, {0}, {name}, with attributes, elements, !s or !r and Python's format
 * specification after a colon). Both read a `place`, then write the value into it
 * (template_place.c). What Python knows beyond that is refused by name.
 */
#include "base/text.h"
#include "template/template_place.h"

typedef struct filler {
    hora_ts *st;
    const hora_tv *values; /* a tuple, a mapping or one value */
    size_t used;
    bool numbered; /* format: places have said a number */
} filler;

static hora_status unknown(hora_ts *st, const char *s, size_t n) {
    return hora_ts_fail(st, "the place `%.*s` for a value is not supported; join the text with ~",
                        (int)(n > 20 ? 20 : n), s);
}

/* ---- text % values ---- */
/* The value that a place asks for: of that name, or the next. */
static hora_status next(filler *f, const char *key, size_t n, hora_tv *out) {
    const hora_tv *v = f->values, *found;
    if (key) {
        hora_tv k = hora_tv_borrow(key, n);
        if (v->type != HORA_TV_DICT)
            return hora_ts_fail(f->st, "%%(name) needs a mapping; correct the template");
        HORA_TRY(hora_tv_dict_get(f->st, v, &k, &found));
        if (!found)
            return hora_ts_fail(f->st, "no value is named `%.*s`; correct the template",
                                (int)(n > 40 ? 40 : n), key);
        *out = *found;
        return HORA_OK;
    }
    bool tuple = v->type == HORA_TV_TUPLE;
    if (f->used >= (tuple ? v->n : 1))
        return hora_ts_fail(f->st, "there are more places than values; correct the template");
    *out = tuple ? v->list[f->used] : *v;
    f->used++;
    return HORA_OK;
}

/* Reads %[(key)][flags][width][.precision]kind; `*i` behind the percent sign. */
static hora_status percent(filler *f, const char *s, size_t n, size_t *i, hora_str *out) {
    const char *key = NULL;
    size_t start = *i - 1, nkey = 0;
    hora_place p = {.precision = -1, .percent = true, .fill = " ", .nfill = 1};
    hora_tv v;
    if (*i < n && s[*i] == '(') {
        const char *end = memchr(s + *i, ')', n - *i);
        if (!end)
            return unknown(f->st, s + start, n - start);
        key = s + *i + 1;
        nkey = (size_t)(end - key);
        *i += nkey + 2;
    }
    for (; *i < n && s[*i] && strchr("-0+ #", s[*i]); ++*i) {
        p.align = s[*i] == '-' ? '<' : p.align;
        p.zero = p.zero || s[*i] == '0';
        p.sign = s[*i] == '+' || (s[*i] == ' ' && p.sign != '+') ? s[*i] : p.sign;
        p.alternate = p.alternate || s[*i] == '#';
    }
    hora_place_number(s, n, i, &p.width);
    if (*i < n && s[*i] == '.') {
        ++*i;
        hora_place_number(s, n, i, &p.precision);
    }
    p.kind = *i < n ? s[(*i)++] : 0;
    if (p.kind == 'i' || p.kind == 'u')
        p.kind = 'd';
    if (!p.kind || !strchr("srdxXofFeEgGc%", p.kind) || p.width >= 10000 || p.precision >= 100)
        return unknown(f->st, s + start, *i - start);
    if (p.kind == '%') {
        hora_str_putc(out, '%');
        return HORA_OK;
    }
    HORA_TRY(next(f, key, nkey, &v));
    return hora_place_put(f->st, &p, &v, out);
}

hora_status hora_tv_format(hora_ts *st, const hora_tv *text, const hora_tv *values, hora_tv *out) {
    filler f = {.st = st, .values = values};
    hora_str b = {0};
    hora_status s = HORA_OK;
    if (text->safe)
        return hora_ts_fail(st, "text out of `safe` escapes what is put into it; remove `safe`");
    for (size_t i = 0; i < text->n && !s;) {
        if (text->s[i] != '%') {
            hora_str_putc(&b, text->s[i++]);
            continue;
        }
        i++;
        s = percent(&f, text->s, text->n, &i, &b);
    }
    bool dict = values->type == HORA_TV_DICT, tuple = values->type == HORA_TV_TUPLE;
    if (!s && !dict && f.used < (tuple ? values->n : 1))
        s = hora_ts_fail(st, "there are more values than places; correct the template");
    return hora_tv_take(st, &b, s, out);
}

/* ---- text.format(..) ---- */
/* The argument that a field begins with, its name or number in s[0..n). */
static hora_status argument(filler *f, const hora_arg *given, int n, const char *s, size_t len,
                            hora_tv *out) {
    size_t at = 0;
    int64_t k = -1;
    if (!len)
        k = (int64_t)f->used++;
    else if (!hora_place_number(s, len, &at, &k) || at != len)
        k = -1;
    f->numbered |= len && k >= 0;
    if (f->numbered && f->used)
        return hora_ts_fail(f->st, "places with and without a number are mixed; correct the "
                                   "template");
    for (int j = 0, position = 0; j < n; position += !given[j].s, j++) {
        bool named = k < 0 && given[j].s && given[j].n == len && !memcmp(given[j].s, s, len);
        if (named || (!given[j].s && k == position)) {
            *out = given[j].v;
            return HORA_OK;
        }
    }
    return hora_ts_fail(f->st, "format has no value for `{%.*s}`; correct the template",
                        (int)(len > 40 ? 40 : len), s);
}

/* NAME, then .ATTRIBUTE and [ELEMENT] as often as wanted. */
static hora_status field(filler *f, const hora_arg *given, int n, const char *s, size_t len,
                         hora_tv *out) {
    size_t i = 0;
    while (i < len && s[i] != '.' && s[i] != '[')
        i++;
    HORA_TRY(argument(f, given, n, s, i, out));
    while (i < len) {
        const hora_tv box = *out;
        size_t from = ++i, at;
        int64_t number;
        if (s[i - 1] == '.') {
            while (i < len && s[i] != '.' && s[i] != '[')
                i++;
            HORA_TRY(hora_tv_attr(f->st, &box, s + from, i - from, out));
            continue;
        }
        const char *end = memchr(s + i, ']', len - i);
        if (!end || s[from - 1] != '[')
            return unknown(f->st, s, len);
        const size_t k = (size_t)(end - (s + from));
        at = 0;
        hora_tv key = hora_place_number(s + from, k, &at, &number) && at == k
                          ? hora_tv_int(number)
                          : hora_tv_borrow(s + from, k);
        HORA_TRY(hora_tv_item(f->st, &box, &key, out));
        i = from + k + 1;
    }
    return HORA_OK;
}

/* A specification with the values of its own places, {} or {name}. */
static hora_status specification(filler *f, const hora_arg *given, int n, const char *s, size_t len,
                                 hora_str *out) {
    const hora_place plain = {.precision = -1, .fill = " ", .nfill = 1};
    for (size_t i = 0; i < len;) {
        if (s[i] != '{') {
            hora_str_putc(out, s[i++]);
            continue;
        }
        const char *end = memchr(s + i, '}', len - i);
        hora_tv v;
        if (!end || memchr(s + i, ':', (size_t)(end - (s + i))))
            return unknown(f->st, s, len);
        HORA_TRY(field(f, given, n, s + i + 1, (size_t)(end - (s + i)) - 1, &v));
        HORA_TRY(hora_place_put(f->st, &plain, &v, out));
        i = (size_t)(end - s) + 1;
    }
    return HORA_OK;
}

/* FIELD[!s|!r][:SPECIFICATION], all of s[0..len). */
static hora_status place(filler *f, const hora_arg *given, int n, const char *s, size_t len,
                         hora_str *out) {
    const char *colon = memchr(s, ':', len);
    size_t name = colon ? (size_t)(colon - s) : len;
    hora_place p = {.precision = -1, .fill = " ", .nfill = 1};
    hora_str text = {0};
    hora_tv v;
    if (name >= 2 && s[name - 2] == '!' && strchr("sr", s[name - 1])) {
        p.convert = s[name - 1];
        name -= 2;
    }
    hora_status st = field(f, given, n, s, name, &v);
    if (!st && colon)
        st = specification(f, given, n, colon + 1, len - (size_t)(colon + 1 - s), &text);
    if (!st && text.n && !hora_place_read(&p, text.s, text.n))
        st = unknown(f->st, s - 1, len + 2);
    if (!st)
        st = hora_place_put(f->st, &p, &v, out);
    hora_str_release(&text);
    return st;
}

/* The place whose `{` stands before `*i`. */
static hora_status brace(filler *f, const hora_arg *given, int n, const char *s, size_t size,
                         size_t *i, hora_str *out) {
    const size_t start = *i;
    size_t end = start;
    for (int depth = 0; end < size && (depth || s[end] != '}'); end++)
        depth += s[end] == '{' ? 1 : s[end] == '}' ? -1 : 0;
    if (end == size)
        return unknown(f->st, s + start - 1, size - start + 1);
    *i = end + 1;
    return place(f, given, n, s + start, end - start, out);
}

hora_status hora_tv_braces(hora_ts *st, const hora_tv *text, const hora_arg *given, int n,
                           hora_tv *out) {
    filler f = {.st = st};
    hora_str b = {0};
    hora_status s = HORA_OK;
    for (size_t i = 0; i < text->n && !s;) {
        char c = text->s[i++];
        bool twice = i < text->n && text->s[i] == c;
        if ((c != '{' && c != '}') || twice) {
            hora_str_putc(&b, c);
            i += c == '{' || c == '}';
        } else {
            s = c == '}' ? unknown(st, "}", 1) : brace(&f, given, n, text->s, text->n, &i, &b);
        }
    }
    return hora_tv_take(st, &b, s, out);
}
