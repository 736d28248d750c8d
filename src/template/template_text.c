/*
 * Text forms of template values: Python's str() and repr(), json.dumps() as transformers' `tojson`
 * calls it, and Python's idea of white space (str.isspace), which tags and `trim` use. Numbers are
 * written with the fewest digits that read back to the same double.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "template/template_impl.h"

/* ---- white space ---- */
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t hora_utf8_space(const char *s, size_t n) {
    uint32_t c;
    int len = hora_utf8_decode(s, n, &c);
    return len > 0 && is_space(c) ? (size_t)len : 0;
}

size_t hora_utf8_space_back(const char *s, size_t n) {
    size_t at = n;
    while (at > 0 && n - at < 4 && ((unsigned char)s[--at] & 0xC0) == 0x80)
        ;
    return n && hora_utf8_space(s + at, n - at) == n - at ? n - at : 0;
}

size_t hora_utf8_length(const char *s, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

/* ---- numbers ---- */
/* repr of a float: fewest digits that come back, 1e16 and above and below 1e-4 with an exponent. */
static void put_real(hora_str *out, double v) {
    char b[64], digits[32];
    int precision = 1, exponent;
    if (!isfinite(v)) {
        hora_str_puts(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    for (; precision <= 17; precision++) {
        snprintf(b, sizeof b, "%.*e", precision - 1, v);
        if (strtod(b, NULL) == v)
            break;
    }
    exponent = atoi(strchr(b, 'e') + 1);
    size_t n = 0;
    for (const char *s = b; *s != 'e'; s++) /* whatever the locale puts between the digits */
        if (*s >= '0' && *s <= '9')
            digits[n++] = *s;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (signbit(v))
        hora_str_putc(out, '-');
    if (exponent < -4 || exponent >= 16) {
        hora_str_putc(out, digits[0]);
        if (n > 1) {
            hora_str_putc(out, '.');
            hora_str_add(out, digits + 1, n - 1);
        }
        hora_str_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    size_t whole = exponent < 0 ? 0 : (size_t)exponent + 1; /* digits before the point */
    for (size_t i = 0; i < whole; i++)
        hora_str_putc(out, i < n ? digits[i] : '0');
    hora_str_puts(out, whole ? "." : "0.");
    for (int i = exponent; i < -1; i++)
        hora_str_putc(out, '0');
    if (n > whole)
        hora_str_add(out, digits + whole, n - whole);
    else
        hora_str_putc(out, '0');
}

/* ---- repr ---- */
/* Characters that repr() writes as escapes: controls, separators, formats, private use. */
static bool hidden(uint32_t c) {
    static const uint32_t ranges[][2] = {
        {0x00, 0x1F},     {0x7F, 0xA0},     {0xAD, 0xAD},       {0x600, 0x605},   {0x61C, 0x61C},
        {0x6DD, 0x6DD},   {0x70F, 0x70F},   {0x1680, 0x1680},   {0x180E, 0x180E}, {0x2000, 0x200F},
        {0x2028, 0x202F}, {0x205F, 0x206F}, {0x3000, 0x3000},   {0xD800, 0xF8FF}, {0xFEFF, 0xFEFF},
        {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0x10FFFF}};
    for (size_t i = 0; i < HORA_COUNT(ranges); i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return !(c >= 0xE0100 && c <= 0xE01EF);
    return false;
}

static void put_repr_string(hora_str *out, const hora_tv *v) {
    bool single = memchr(v->s, '\'', v->n) && !memchr(v->s, '"', v->n);
    char q = v->n && single ? '"' : '\'';
    hora_str_putc(out, q);
    for (size_t i = 0; i < v->n;) {
        uint32_t c;
        int len = hora_utf8_decode(v->s + i, v->n - i, &c);
        if (len <= 0)
            break;
        if (c == '\n' || c == '\r' || c == '\t')
            hora_str_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c == (uint32_t)q || c == '\\')
            hora_str_printf(out, "\\%c", (char)c);
        else if (hidden(c))
            hora_str_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        else
            hora_str_add(out, v->s + i, (size_t)len);
        i += (size_t)len;
    }
    hora_str_putc(out, q);
}

static hora_status put_repr(hora_ts *st, const hora_tv *v, hora_str *out);

static hora_status put_rows(hora_ts *st, const hora_tv *v, hora_str *out) {
    bool dict = v->type == HORA_TV_DICT, tuple = v->type == HORA_TV_TUPLE;
    hora_str_putc(out, dict ? '{' : tuple ? '(' : '[');
    for (size_t k = 0; k < v->n; k++) {
        if (k)
            hora_str_puts(out, ", ");
        HORA_TRY(put_repr(st, &v->list[dict ? 2 * k : k], out));
        if (dict) {
            hora_str_puts(out, ": ");
            HORA_TRY(put_repr(st, &v->list[2 * k + 1], out));
        }
    }
    if (tuple && v->n == 1)
        hora_str_putc(out, ',');
    hora_str_putc(out, dict ? '}' : tuple ? ')' : ']');
    return HORA_OK;
}

static hora_status put_repr(hora_ts *st, const hora_tv *v, hora_str *out) {
    HORA_TRY(hora_ts_enter(st));
    if (out->n > HORA_TPL_OUTPUT)
        return hora_ts_fail(st, "the text gets too long; cut the conversation or the template");
    switch (v->type) {
    case HORA_TV_UNDEFINED:
        hora_str_puts(out, "Undefined");
        break;
    case HORA_TV_NONE:
        hora_str_puts(out, "None");
        break;
    case HORA_TV_BOOL:
        hora_str_puts(out, v->i ? "True" : "False");
        break;
    case HORA_TV_INT:
        hora_str_printf(out, "%lld", (long long)v->i);
        break;
    case HORA_TV_BIG:
        hora_str_add(out, v->s, v->n);
        break;
    case HORA_TV_REAL:
        put_real(out, v->r);
        break;
    case HORA_TV_STRING:
        if (v->safe)
            hora_str_puts(out, "Markup(");
        put_repr_string(out, v);
        if (v->safe)
            hora_str_putc(out, ')');
        break;
    case HORA_TV_LIST:
    case HORA_TV_TUPLE:
    case HORA_TV_DICT:
        HORA_TRY(hora_tv_plain(st, v));
        HORA_TRY(put_rows(st, v, out));
        break;
    default:
        return hora_ts_fail(st, "%s has no text; correct the template", hora_tv_name(v));
    }
    st->depth--;
    return HORA_OK;
}

hora_status hora_tv_print(hora_ts *st, const hora_tv *v, hora_str *out) {
    if (v->type == HORA_TV_UNDEFINED)
        return HORA_OK;
    if (v->type != HORA_TV_STRING)
        return put_repr(st, v, out);
    if (v->n > HORA_TPL_OUTPUT - (out->n < HORA_TPL_OUTPUT ? out->n : HORA_TPL_OUTPUT))
        return hora_ts_fail(st, "the text gets too long; cut the conversation or the template");
    hora_str_add(out, v->s, v->n);
    return hora_ts_step(st, v->n / 64);
}

hora_status hora_tv_text(hora_ts *st, const hora_tv *v, hora_tv *out) {
    hora_str b = {0};
    if (v->type == HORA_TV_STRING) {
        *out = *v;
        return HORA_OK;
    }
    hora_status s = hora_tv_print(st, v, &b);
    return hora_tv_take(st, &b, s, out);
}

hora_status hora_tv_escape(hora_ts *st, const hora_tv *v, hora_tv *out) {
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    hora_tv text;
    hora_str b = {0};
    HORA_TRY(hora_tv_text(st, v, &text));
    for (size_t i = 0; i < text.n && !text.safe; i++) {
        const char *p = text.s[i] ? strchr(from, text.s[i]) : NULL;
        if (p)
            hora_str_puts(&b, to[p - from]);
        else
            hora_str_putc(&b, text.s[i]);
    }
    if (text.safe) {
        *out = text;
        return HORA_OK;
    }
    HORA_TRY(hora_tv_take(st, &b, HORA_OK, out));
    out->safe = true;
    return hora_ts_step(st, text.n / 16);
}

/* ---- JSON ---- */
static void put_json_string(hora_str *out, const char *s, size_t n, bool ascii) {
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    hora_str_putc(out, '"');
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int len = hora_utf8_decode(s + i, n - i, &c);
        const char *p = c && c < 128 ? strchr(from, (int)c) : NULL;
        if (len <= 0)
            break;
        if (p)
            hora_str_printf(out, "\\%c", to[p - from]);
        else if (c < 0x20 || (ascii && c > 0x7F && c < 0x10000))
            hora_str_printf(out, "\\u%04x", c);
        else if (ascii && c >= 0x10000)
            hora_str_printf(out, "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                            0xDC00 + ((c - 0x10000) & 0x3FF));
        else
            hora_str_add(out, s + i, (size_t)len);
        i += (size_t)len;
    }
    hora_str_putc(out, '"');
}

static void new_line(const hora_dumps *how, int level, hora_str *out) {
    if (how->indent < 0)
        return;
    hora_str_putc(out, '\n');
    for (int64_t i = 0; i < how->indent * level; i++)
        hora_str_putc(out, ' ');
}

static hora_status put_json(hora_ts *st, const hora_tv *v, const hora_dumps *how, int level,
                            hora_str *out);

static hora_status put_json_key(hora_ts *st, const hora_tv *k, const hora_dumps *how,
                                hora_str *out) {
    if (k->type == HORA_TV_STRING) {
        put_json_string(out, k->s, k->n, how->ascii);
        return HORA_OK;
    }
    if (k->type < HORA_TV_NONE || k->type > HORA_TV_REAL)
        return hora_ts_fail(st, "%s is no key of a JSON object; correct the template",
                            hora_tv_name(k));
    hora_str_putc(out, '"');
    HORA_TRY(put_json(st, k, how, 0, out));
    hora_str_putc(out, '"');
    return HORA_OK;
}

static hora_status sorted_pairs(hora_ts *st, const hora_tv *v, const hora_tv **pairs) {
    hora_tv *keys, *values, *out;
    HORA_TRY(hora_tv_room(st, v->n, sizeof *keys, &keys));
    HORA_TRY(hora_tv_room(st, v->n, sizeof *values, &values));
    HORA_TRY(hora_tv_room(st, v->n, 2 * sizeof *out, &out));
    for (size_t k = 0; k < v->n; k++) {
        keys[k] = v->list[2 * k];
        values[k] = v->list[2 * k + 1];
    }
    HORA_TRY(hora_tv_sort(st, keys, values, v->n, false));
    for (size_t k = 0; k < v->n; k++) {
        out[2 * k] = keys[k];
        out[2 * k + 1] = values[k];
    }
    *pairs = out;
    return HORA_OK;
}

static hora_status put_json_rows(hora_ts *st, const hora_tv *v, const hora_dumps *how, int level,
                                 hora_str *out) {
    bool dict = v->type == HORA_TV_DICT;
    const hora_tv *list = v->list;
    if (dict && how->sort)
        HORA_TRY(sorted_pairs(st, v, &list));
    hora_str_putc(out, dict ? '{' : '[');
    for (size_t k = 0; k < v->n; k++) {
        if (k)
            hora_str_add(out, how->item, how->nitem);
        new_line(how, level + 1, out);
        if (dict) {
            HORA_TRY(put_json_key(st, &list[2 * k], how, out));
            hora_str_add(out, how->key, how->nkey);
        }
        HORA_TRY(put_json(st, &list[dict ? 2 * k + 1 : k], how, level + 1, out));
    }
    if (v->n)
        new_line(how, level, out);
    hora_str_putc(out, dict ? '}' : ']');
    return HORA_OK;
}

static hora_status put_json(hora_ts *st, const hora_tv *v, const hora_dumps *how, int level,
                            hora_str *out) {
    HORA_TRY(hora_ts_enter(st));
    if (out->n > HORA_TPL_OUTPUT)
        return hora_ts_fail(st, "the text gets too long; cut the conversation or the template");
    switch (v->type) {
    case HORA_TV_NONE:
        hora_str_puts(out, "null");
        break;
    case HORA_TV_BOOL:
        hora_str_puts(out, v->i ? "true" : "false");
        break;
    case HORA_TV_INT:
    case HORA_TV_BIG:
        HORA_TRY(put_repr(st, v, out));
        break;
    case HORA_TV_REAL:
        if (isfinite(v->r))
            put_real(out, v->r);
        else
            hora_str_puts(out, isnan(v->r) ? "NaN" : v->r < 0 ? "-Infinity" : "Infinity");
        break;
    case HORA_TV_STRING:
        HORA_TRY(hora_ts_step(st, v->n / 64));
        put_json_string(out, v->s, v->n, how->ascii);
        break;
    case HORA_TV_LIST:
    case HORA_TV_TUPLE:
    case HORA_TV_DICT:
        HORA_TRY(hora_tv_plain(st, v));
        HORA_TRY(put_json_rows(st, v, how, level, out));
        break;
    default:
        return hora_ts_fail(st,
                            "%s%s%.60s cannot be written as JSON; correct the template or the "
                            "data",
                            hora_tv_name(v), v->type == HORA_TV_UNDEFINED ? " " : "",
                            v->type == HORA_TV_UNDEFINED ? v->s : "");
    }
    st->depth--;
    return HORA_OK;
}

hora_status hora_tv_dumps(hora_ts *st, const hora_tv *v, const hora_dumps *how, hora_str *out) {
    return put_json(st, v, how, 0, out);
}

/* ---- order ---- */
/* Sorts items by keys, stable; merges runs of doubling length. Python's `reverse` keeps the order
 * of equal elements, so it turns the comparison around and not the result. */
hora_status hora_tv_sort(hora_ts *st, hora_tv *keys, hora_tv *items, size_t n, bool reverse) {
    hora_tv *k2, *i2;
    HORA_TRY(hora_tv_room(st, n, sizeof *k2, &k2));
    HORA_TRY(hora_tv_room(st, n, sizeof *i2, &i2));
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * run) {
            size_t mid = lo + run < n ? lo + run : n, hi = lo + 2 * run < n ? lo + 2 * run : n;
            for (size_t a = lo, b = mid, o = lo; o < hi; o++) {
                int order = -1;
                if (a < mid && b < hi)
                    HORA_TRY(hora_tv_order(st, &keys[a], &keys[b], &order));
                bool left = b >= hi || (a < mid && (reverse ? order >= 0 : order <= 0));
                if (a < mid && b < hi && order == 2)
                    left = true;
                size_t from = left ? a++ : b++;
                k2[o] = keys[from];
                i2[o] = items[from];
            }
        }
        memcpy(keys, k2, n * sizeof *keys);
        memcpy(items, i2, n * sizeof *items);
    }
    return HORA_OK;
}
