/*
 * Text with places for values: text % values (%s %r %d %i %f %x with flags, width and precision,
 * %%) and text.format(..) ({} {0} {name}, no attributes and no format after a colon but a width).
 * What Python knows beyond that is refused by name.
 */
#include <stdio.h>

#include "base/text.h"
#include "template/template_impl.h"

typedef struct filler {
    hora_ts *st;
    const hora_tv *values; /* a tuple, a mapping or one value */
    size_t used;
    bool named;
} filler;

typedef struct place {
    bool left, zero, plus, blank;
    int64_t width, precision; /* precision -1: none */
    char kind;
} place;

static hora_status unknown(hora_ts *st, const char *s, size_t n) {
    return hora_ts_fail(st, "the place `%.*s` for a value is not supported; join the text with ~",
                        (int)(n > 20 ? 20 : n), s);
}

static bool number(const char *s, size_t n, size_t *i, int64_t *out) {
    size_t from = *i;
    *out = 0;
    for (; *i < n && s[*i] >= '0' && s[*i] <= '9' && *out < 10000; ++*i)
        *out = *out * 10 + (s[*i] - '0');
    return *i > from;
}

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
        f->named = true;
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

static void pad(hora_str *out, const place *p, const char *s, size_t n) {
    size_t chars = hora_utf8_length(s, n),
           gap = (size_t)p->width > chars ? (size_t)p->width - chars : 0;
    bool zero = p->zero && !p->left, sign = zero && n && (*s == '-' || *s == '+');
    if (sign)
        hora_str_putc(out, *s);
    for (size_t i = 0; i < gap && !p->left; i++)
        hora_str_putc(out, zero ? '0' : ' ');
    hora_str_add(out, s + sign, n - sign);
    for (size_t i = 0; i < gap && p->left; i++)
        hora_str_putc(out, ' ');
}

static hora_status put_number(filler *f, const place *p, const hora_tv *v, hora_str *text) {
    double r;
    int64_t i;
    bool whole = strchr("dix", p->kind) != NULL;
    if (!hora_tv_number(v, &r))
        return hora_ts_fail(f->st, "%%%c takes a number, not %s; correct the template or the data",
                            p->kind, hora_tv_name(v));
    if (whole && v->type == HORA_TV_BIG && p->kind != 'x') {
        hora_str_add(text, v->s, v->n);
    } else if (whole) {
        if (!hora_tv_integer(v, &i)) {
            if (p->kind == 'x' || !(r > -9e18 && r < 9e18))
                return hora_ts_fail(f->st, "%%%c takes an integer of 64 bits; correct the template",
                                    p->kind);
            i = (int64_t)r;
        }
        if (p->kind == 'x')
            hora_str_printf(text, i < 0 ? "-%llx" : "%llx",
                            i < 0 ? 0ULL - (unsigned long long)i : (unsigned long long)i);
        else
            hora_str_printf(text, "%lld", (long long)i);
    } else {
        hora_str_printf(text, "%.*f", p->precision < 0 ? 6 : (int)p->precision, r);
    }
    if (text->s[0] != '-' && (p->plus || p->blank)) {
        hora_str sign = {0};
        hora_str_putc(&sign, p->plus ? '+' : ' ');
        hora_str_add(&sign, text->s, text->n);
        hora_str_release(text);
        *text = sign;
    }
    return HORA_OK;
}

static hora_status put_value(filler *f, place p, const hora_tv *v, hora_str *out) {
    hora_str text = {0};
    hora_status s;
    if (p.kind == 's' || p.kind == 'r') {
        hora_tv list = hora_tv_seq(HORA_TV_LIST, v, 1); /* [repr] */
        s = hora_tv_print(f->st, p.kind == 's' ? v : &list, &text);
        size_t skip = p.kind == 'r', n = text.n - 2 * skip;
        p.zero = false;
        if (!s && p.precision >= 0 && (size_t)p.precision < hora_utf8_length(text.s + skip, n))
            s = hora_ts_fail(f->st, "a precision for text is not supported; cut the text yourself");
        if (!s)
            pad(out, &p, text.s ? text.s + skip : "", n);
    } else {
        s = put_number(f, &p, v, &text);
        if (!s)
            pad(out, &p, text.s, text.n);
    }
    hora_str_release(&text);
    return s;
}

/* Reads %[(key)][flags][width][.precision]kind; `*i` behind the percent sign. */
static hora_status percent(filler *f, const char *s, size_t n, size_t *i, hora_str *out) {
    const char *key = NULL;
    size_t start = *i - 1, nkey = 0;
    place p = {.precision = -1};
    hora_tv v;
    if (*i < n && s[*i] == '(') {
        const char *end = memchr(s + *i, ')', n - *i);
        if (!end)
            return unknown(f->st, s + start, n - start);
        key = s + *i + 1;
        nkey = (size_t)(end - key);
        *i += nkey + 2;
    }
    for (; *i < n && strchr("-0+ ", s[*i]) && s[*i]; ++*i) {
        p.left = p.left || s[*i] == '-';
        p.zero = p.zero || s[*i] == '0';
        p.plus = p.plus || s[*i] == '+';
        p.blank = p.blank || s[*i] == ' ';
    }
    number(s, n, i, &p.width);
    if (*i < n && s[*i] == '.') {
        ++*i;
        number(s, n, i, &p.precision);
    }
    p.kind = *i < n ? s[(*i)++] : 0;
    if (!p.kind || !strchr("srdixf%", p.kind) || p.width >= 10000 || p.precision >= 100)
        return unknown(f->st, s + start, *i - start);
    if (p.kind == '%') {
        hora_str_putc(out, '%');
        return HORA_OK;
    }
    HORA_TRY(next(f, key, nkey, &v));
    return put_value(f, p, &v, out);
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

/* {}, {2} or {name}, possibly !s or !r; `i` behind the brace. */
static hora_status brace(filler *f, const hora_arg *given, int n, const char *s, size_t size,
                         size_t *i, hora_str *out) {
    const char *end = memchr(s + *i, '}', size - *i);
    size_t start = *i, len = end ? (size_t)(end - (s + start)) : 0, at = start;
    place p = {.precision = -1, .kind = 's'};
    int64_t k = -1;
    if (!end)
        return unknown(f->st, s + start - 1, size - start + 1);
    *i = start + len + 1;
    if (len >= 2 && s[start + len - 2] == '!' && strchr("sr", s[start + len - 1])) {
        p.kind = s[start + len - 1];
        len -= 2;
    }
    if (!len)
        k = (int64_t)f->used++;
    else if (!number(s, start + len, &at, &k) || at != start + len)
        k = -1;
    for (int j = 0; j < n; j++) {
        bool named =
            k < 0 && given[j].s && given[j].n == len && !memcmp(given[j].s, s + start, len);
        if (named || (k == j && !given[j].s))
            return put_value(f, p, &given[j].v, out);
    }
    return unknown(f->st, s + start - 1, len + 2);
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
