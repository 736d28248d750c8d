/*
 * One value in one place of a text. Python's rules: text to the left and numbers to the right,
 * truth values count as integers where a number is asked for, rounding is to the nearest of the
 * exact value (as printf does it).
 */
#include "template/template_place.h"

#include <math.h>
#include <stdio.h>

#include "base/text.h"

bool hora_place_number(const char *s, size_t n, size_t *i, int64_t *out) {
    size_t from = *i;
    *out = 0;
    for (; *i < n && s[*i] >= '0' && s[*i] <= '9' && *out < 10000; ++*i)
        *out = *out * 10 + (s[*i] - '0');
    return *i > from;
}

static bool is_align(char c) {
    return c == '<' || c == '>' || c == '^' || c == '=';
}

bool hora_place_read(hora_place *p, const char *s, size_t n) {
    size_t i = 0;
    uint32_t cp;
    const int first = n ? hora_utf8_decode(s, n, &cp) : 0;
    if (first > 0 && (size_t)first < n && is_align(s[first])) {
        p->fill = s;
        p->nfill = (size_t)first;
        p->align = s[first];
        i = (size_t)first + 1;
    } else if (n && is_align(s[0])) {
        p->align = s[i++];
    }
    if (i < n && (s[i] == '+' || s[i] == '-' || s[i] == ' '))
        p->sign = s[i++];
    if (i < n && s[i] == '#')
        p->alternate = ++i;
    if (i < n && s[i] == '0')
        p->zero = ++i;
    hora_place_number(s, n, &i, &p->width);
    if (i < n && (s[i] == ',' || s[i] == '_'))
        p->group = s[i++];
    if (i < n && s[i] == '.') {
        i++;
        if (!hora_place_number(s, n, &i, &p->precision))
            return false;
    }
    if (i < n)
        p->kind = s[i++];
    return i == n && p->width < 10000 && p->precision < 100 &&
           (!p->kind || strchr("sdbcoxXeEfFgGn%", p->kind));
}

/* ---- padding ---- */
static void fill(hora_str *out, const hora_place *p, size_t n, bool zero) {
    for (; n; n--)
        if (zero)
            hora_str_putc(out, '0');
        else
            hora_str_add(out, p->fill, p->nfill);
}

/* `s` in the place; `number`: its sign stands in front of what fills an `=` place. */
static void pad(hora_str *out, const hora_place *p, const char *s, size_t n, bool number) {
    const size_t chars = hora_utf8_length(s, n);
    const size_t gap = (size_t)p->width > chars ? (size_t)p->width - chars : 0;
    const bool zero = p->zero && (p->percent ? number && p->align != '<' : p->fill[0] == ' ');
    const char own = !number && !p->percent ? '<' : zero ? '=' : '>';
    const char align = p->align ? p->align : own;
    size_t head = 0;
    if (align == '=') {
        head = n && strchr("+- ", *s) ? 1 : 0;
        if (n > head + 1 && s[head] == '0' && strchr("xXob", s[head + 1]))
            head += 2;
    }
    const size_t left = align == '<' ? 0 : align == '^' ? gap / 2 : gap;
    hora_str_add(out, s, head);
    fill(out, p, left, zero);
    hora_str_add(out, s + head, n - head);
    fill(out, p, gap - left, zero);
}

/* ---- numbers ---- */
/* A number with the sign between its groups, and zeros in front until all of it has `least`. */
static void grouped(hora_str *out, const hora_place *p, const char *s, size_t n, size_t least) {
    size_t digits = 0;
    const size_t each = p->kind && strchr("bxXo", p->kind) ? 4 : 3;
    while (digits < n && ((s[digits] >= '0' && s[digits] <= '9') ||
                          (each == 4 && strchr("abcdefABCDEF", s[digits]))))
        digits++;
    size_t all = digits;
    while (p->group && digits && all + (all - 1) / each + n - digits < least)
        all++;
    for (size_t i = 0; i < all; i++) {
        if (p->group && i && (all - i) % each == 0)
            hora_str_putc(out, p->group);
        hora_str_putc(out, i < all - digits ? '0' : s[i - (all - digits)]);
    }
    hora_str_add(out, s + digits, n - digits);
}

static void put_signed(const hora_place *p, bool minus, const char *prefix, const char *digits,
                       size_t n, hora_str *text) {
    if (minus)
        hora_str_putc(text, '-');
    else if (p->sign == '+' || p->sign == ' ')
        hora_str_putc(text, p->sign);
    hora_str_puts(text, prefix);
    const bool fills = p->zero && !p->align && (size_t)p->width > text->n;
    grouped(text, p, digits, n, fills ? (size_t)p->width - text->n : 0);
}

static hora_status cannot(hora_ts *st, const hora_place *p, const hora_tv *v) {
    return hora_ts_fail(st,
                        "a place of kind `%c` does not take %s; correct the template or the data",
                        p->kind ? p->kind : '?', hora_tv_name(v));
}

/* Digits of u in base 2, 8, 10 or 16. */
static size_t digits_of(uint64_t u, unsigned base, bool upper, char out[72]) {
    char back[72];
    size_t n = 0;
    do
        back[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while (u /= base);
    for (size_t i = 0; i < n; i++)
        out[i] = back[n - 1 - i];
    return n;
}

static hora_status put_integer(hora_ts *st, const hora_place *p, const hora_tv *v, hora_str *text) {
    static const char kinds[] = "xXob";
    static const unsigned bases[] = {16, 16, 8, 2};
    static const char *const prefixes[] = {"0x", "0X", "0o", "0b"};
    const char *other = p->kind ? strchr(kinds, p->kind) : NULL;
    char digits[72];
    int64_t i;
    double r;
    if (v->type == HORA_TV_BIG && !other) {
        const bool minus = v->n && v->s[0] == '-';
        put_signed(p, minus, "", v->s + minus, v->n - minus, text);
        return HORA_OK;
    }
    if (!hora_tv_integer(v, &i)) {
        const bool cut = p->percent && !other && hora_tv_number(v, &r) && r > -9e18 && r < 9e18;
        if (!cut)
            return cannot(st, p, v);
        i = (int64_t)r;
    }
    const uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const size_t n = digits_of(u, other ? bases[other - kinds] : 10, p->kind == 'X', digits);
    hora_str most = {0}; /* % reads a precision as the least number of digits */
    for (int64_t k = (int64_t)n; p->percent && k < p->precision; k++)
        hora_str_putc(&most, '0');
    hora_str_add(&most, digits, n);
    put_signed(p, i < 0, other && p->alternate ? prefixes[other - kinds] : "", most.s, most.n,
               text);
    hora_str_release(&most);
    return HORA_OK;
}

/* Without a kind: as %g, but with a digit behind the point, or Python's shortest text. */
static hora_status shortest(hora_ts *st, const hora_place *p, const hora_tv *v, double r,
                            hora_str *digits) {
    if (p->precision < 0) {
        const hora_tv plain = hora_tv_real(fabs(r));
        (void)v;
        return hora_tv_print(st, &plain, digits);
    }
    hora_str_printf(digits, "%.*g", p->precision ? (int)p->precision : 1, fabs(r));
    if (isfinite(r) && !strpbrk(digits->s, ".e"))
        hora_str_puts(digits, ".0");
    return HORA_OK;
}

static hora_status put_real(hora_ts *st, const hora_place *p, const hora_tv *v, hora_str *text) {
    double r;
    hora_str digits = {0};
    hora_status s = HORA_OK;
    if (!hora_tv_number(v, &r))
        return cannot(st, p, v);
    const char form[] = {'%', '.', '*', p->kind == '%' ? 'f' : p->kind == 'n' ? 'g' : p->kind, 0};
    const int precision = p->precision < 0 ? 6 : (int)p->precision;
    if (!p->kind) {
        s = shortest(st, p, v, r, &digits);
    } else {
        char buffer[512];
        const int n =
            snprintf(buffer, sizeof buffer, form, precision, fabs(p->kind == '%' ? 100 * r : r));
        if (n < 0 || (size_t)n >= sizeof buffer)
            s = cannot(st, p, v);
        else
            hora_str_add(&digits, buffer, (size_t)n);
    }
    if (!s && p->kind == '%')
        hora_str_putc(&digits, '%');
    if (!s)
        put_signed(p, signbit(r) && !isnan(r), "", digits.s, digits.n, text);
    hora_str_release(&digits);
    return s;
}

/* A character by its number, or the one that a text is. */
static hora_status put_character(hora_ts *st, const hora_place *p, const hora_tv *v,
                                 hora_str *text) {
    int64_t i;
    char bytes[4];
    if (v->type == HORA_TV_STRING && p->percent && hora_utf8_length(v->s, v->n) == 1) {
        hora_str_add(text, v->s, v->n);
        return HORA_OK;
    }
    if (!hora_tv_integer(v, &i) || i < 1 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
        return cannot(st, p, v);
    hora_str_add(text, bytes, (size_t)hora_utf8_encode((uint32_t)i, bytes));
    return HORA_OK;
}

/* ---- text ---- */
static hora_status put_text(hora_ts *st, const hora_place *p, const hora_tv *v, bool repr,
                            hora_str *out) {
    hora_str text = {0};
    hora_tv list = hora_tv_seq(HORA_TV_LIST, v, 1); /* [repr] */
    hora_status s = hora_tv_print(st, repr ? &list : v, &text);
    const size_t skip = repr;
    size_t n = s ? 0 : text.n - 2 * skip;
    const char *from = text.s ? text.s + skip : "";
    for (size_t chars = 0, i = 0; p->precision >= 0 && i < n; chars++) {
        uint32_t cp;
        const int step = hora_utf8_decode(from + i, n - i, &cp);
        if (chars == (size_t)p->precision)
            n = i;
        i += step > 0 ? (size_t)step : 1;
    }
    if (!s && p->align == '=')
        s = cannot(st, p, v);
    if (!s)
        pad(out, p, from, n, false);
    hora_str_release(&text);
    return s;
}

/* Nothing is asked for but the text of the value. */
static bool is_plain(const hora_place *p) {
    return !p->align && !p->sign && !p->group && !p->alternate && !p->zero && !p->width &&
           p->precision < 0 && !p->kind;
}

hora_status hora_place_put(hora_ts *st, const hora_place *p, const hora_tv *v, hora_str *out) {
    const bool text = p->convert || v->type == HORA_TV_STRING || is_plain(p);
    hora_str number = {0};
    hora_status s;
    if (p->percent && (p->kind == 's' || p->kind == 'r'))
        return put_text(st, p, v, p->kind == 'r', out);
    if (text && !(p->percent && p->kind)) {
        if (p->kind && p->kind != 's')
            return cannot(st, p, v);
        if (p->sign || p->group || p->alternate)
            return cannot(st, p, v);
        return put_text(st, p, v, p->convert == 'r', out);
    }
    if (v->type != HORA_TV_BOOL && v->type != HORA_TV_INT && v->type != HORA_TV_BIG &&
        v->type != HORA_TV_REAL && p->kind != 'c')
        return cannot(st, p, v);
    if (p->kind == 'c')
        s = put_character(st, p, v, &number);
    else if ((p->kind ? strchr("eEfFgG%", p->kind) != NULL : false) ||
             ((!p->kind || p->kind == 'n') && v->type == HORA_TV_REAL))
        s = put_real(st, p, v, &number);
    else if (p->kind == 's')
        s = cannot(st, p, v);
    else if (p->precision >= 0 && !p->percent)
        s = cannot(st, p, v);
    else
        s = put_integer(st, p, v, &number);
    if (!s)
        pad(out, p, number.s ? number.s : "", number.n, p->kind != 'c');
    hora_str_release(&number);
    return s;
}
