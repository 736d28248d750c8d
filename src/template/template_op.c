/*
 * Binary operators of the template language, as Python defines them: + - * / // % ** on numbers,
 * + and * on text and lists, ~ (text of both sides), comparisons and membership. Whatever Python
 * refuses is refused; so is what leaves 64 bits.
 */
#include <math.h>

#include "base/text.h"
#include "template/template_impl.h"

static const char *op_name(int64_t op, char b[3]) {
    b[0] = (char)(op & 0xFF);
    b[1] = (char)(op >> 8);
    b[2] = 0;
    return b;
}

static hora_status mismatch(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b) {
    char name[3];
    const char *an = a->type == HORA_TV_UNDEFINED ? a->s : "", *bn = "";
    if (b->type == HORA_TV_UNDEFINED)
        bn = b->s;
    return hora_ts_fail(st,
                        "`%s` does not work between %s%s%.60s and %s%s%.60s; correct the template "
                        "or the data",
                        op_name(op, name), hora_tv_name(a), *an ? " " : "", an, hora_tv_name(b),
                        *bn ? " " : "", bn);
}

static hora_status overflow(hora_ts *st) {
    return hora_ts_fail(st, "an integer leaves 64 bits; correct the template or the data");
}

static hora_status power(hora_ts *st, int64_t a, int64_t b, int64_t *out) {
    *out = 1;
    for (; b > 0; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(*out, a, out))
            return overflow(st);
        if (b > 1 && __builtin_mul_overflow(a, a, &a))
            return overflow(st);
    }
    return HORA_OK;
}

static hora_status divide(hora_ts *st, int64_t op, int64_t a, int64_t b, int64_t *out) {
    if (b == -1) { /* INT64_MIN / -1 */
        *out = 0;
        return op == '%' || !__builtin_sub_overflow((int64_t)0, a, out) ? HORA_OK : overflow(st);
    }
    int64_t q = a / b, r = a % b;
    if (r && (r < 0) != (b < 0)) {
        q--;
        r += b;
    }
    *out = op == '%' ? r : q;
    return HORA_OK;
}

static hora_status integers(hora_ts *st, int64_t op, int64_t a, int64_t b, hora_tv *out) {
    int64_t v = 0;
    if (!b && (op == '/' || op == '%' || op == HORA_OP2('/', '/')))
        return hora_ts_fail(st, "division by zero; correct the template or the data");
    switch (op) {
    case '+':
        if (__builtin_add_overflow(a, b, &v))
            return overflow(st);
        break;
    case '-':
        if (__builtin_sub_overflow(a, b, &v))
            return overflow(st);
        break;
    case '*':
        if (__builtin_mul_overflow(a, b, &v))
            return overflow(st);
        break;
    case '/':
        *out = hora_tv_real((double)a / (double)b);
        return HORA_OK;
    case HORA_OP2('*', '*'):
        if (b < 0) {
            if (!a)
                return hora_ts_fail(st, "0 to a negative power; correct the template or the data");
            *out = hora_tv_real(pow((double)a, (double)b));
            return HORA_OK;
        }
        HORA_TRY(power(st, a, b, &v));
        break;
    default:
        HORA_TRY(divide(st, op, a, b, &v));
    }
    *out = hora_tv_int(v);
    return HORA_OK;
}

static hora_status reals(hora_ts *st, int64_t op, double a, double b, hora_tv *out) {
    double v, m;
    if (b == 0 && (op == '/' || op == '%' || op == HORA_OP2('/', '/')))
        return hora_ts_fail(st, "division by zero; correct the template or the data");
    switch (op) {
    case '+':
        v = a + b;
        break;
    case '-':
        v = a - b;
        break;
    case '*':
        v = a * b;
        break;
    case '/':
        v = a / b;
        break;
    case HORA_OP2('*', '*'):
        v = pow(a, b);
        if (!isfinite(v) && isfinite(a) && isfinite(b))
            return hora_ts_fail(st, "this power is not a finite number; correct the template");
        break;
    default:
        m = fmod(a, b);
        if (m != 0 && (m < 0) != (b < 0))
            m += b;
        v = op == '%' ? m : floor((a - m) / b + 0.5);
    }
    *out = hora_tv_real(v);
    return HORA_OK;
}

static hora_status repeat(hora_ts *st, const hora_tv *v, int64_t times, hora_tv *out) {
    size_t each = v->type == HORA_TV_STRING ? 1 : sizeof *v, n = times > 0 ? (size_t)times : 0;
    hora_tv *at;
    if (v->n && n > HORA_TPL_MEMORY / each / v->n)
        return hora_ts_fail(st, "this repetition is too long; correct the template");
    HORA_TRY(hora_tv_room(st, n * v->n, each, &at));
    for (size_t k = 0; v->n && k < n; k++)
        memcpy((char *)at + k * v->n * each, v->s, v->n * each);
    *out = *v;
    out->n = n * v->n;
    out->list = at;
    return HORA_OK;
}

static hora_status join_rows(hora_ts *st, const hora_tv *a, const hora_tv *b, hora_tv *out) {
    hora_tv *at;
    HORA_TRY(hora_tv_room(st, a->n + b->n, sizeof *at, &at));
    if (a->n)
        memcpy(at, a->list, a->n * sizeof *at);
    if (b->n)
        memcpy(at + a->n, b->list, b->n * sizeof *at);
    *out = hora_tv_seq(a->type, at, a->n + b->n);
    return HORA_OK;
}

/* Text of both sides, one after the other. */
static hora_status concat(hora_ts *st, const hora_tv *a, const hora_tv *b, hora_tv *out) {
    hora_str text = {0};
    hora_status s;
    HORA_TRY_OUT(s, hora_tv_print(st, a, &text));
    HORA_TRY_OUT(s, hora_tv_print(st, b, &text));
out:
    return hora_tv_take(st, &text, s, out);
}

/* `+`: next to text out of `safe` the other side is escaped, and the sum is safe. */
static hora_status add_texts(hora_ts *st, const hora_tv *a, const hora_tv *b, hora_tv *out) {
    hora_tv other;
    bool safe = a->safe || b->safe;
    if (safe && !(a->safe && b->safe))
        HORA_TRY(hora_tv_escape(st, a->safe ? b : a, &other));
    HORA_TRY(concat(st, safe && !a->safe ? &other : a, safe && !b->safe ? &other : b, out));
    out->safe = safe;
    return HORA_OK;
}

static hora_status arithmetic(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b,
                              hora_tv *out) {
    int64_t i, j;
    double x, y;
    bool row = a->type == HORA_TV_STRING || a->type == HORA_TV_LIST || a->type == HORA_TV_TUPLE;
    bool row2 = b->type == HORA_TV_STRING || b->type == HORA_TV_LIST || b->type == HORA_TV_TUPLE;
    if (hora_tv_integer(a, &i) && hora_tv_integer(b, &j))
        return integers(st, op, i, j, out);
    if ((a->type == HORA_TV_BIG && b->type != HORA_TV_REAL && hora_tv_number(b, &y)) ||
        (b->type == HORA_TV_BIG && a->type != HORA_TV_REAL && hora_tv_number(a, &x)))
        return overflow(st);
    if (hora_tv_number(a, &x) && hora_tv_number(b, &y))
        return reals(st, op, x, y, out);
    HORA_TRY(hora_tv_plain(st, a));
    HORA_TRY(hora_tv_plain(st, b));
    if (op == '+' && row && a->type == b->type)
        return a->type == HORA_TV_STRING ? add_texts(st, a, b, out) : join_rows(st, a, b, out);
    if (op == '*' && row && hora_tv_integer(b, &i))
        return repeat(st, a, i, out);
    if (op == '*' && row2 && hora_tv_integer(a, &i))
        return repeat(st, b, i, out);
    if (op == '%' && a->type == HORA_TV_STRING)
        return hora_tv_format(st, a, b, out);
    return mismatch(st, op, a, b);
}

hora_status hora_tv_binary(hora_ts *st, int64_t op, const hora_tv *a, const hora_tv *b,
                           hora_tv *out) {
    bool yes = false;
    int order;
    switch (op) {
    case HORA_OP2('=', '='):
    case HORA_OP2('!', '='):
        HORA_TRY(hora_tv_equal(st, a, b, &yes));
        *out = hora_tv_bool(yes == (op == HORA_OP2('=', '=')));
        return HORA_OK;
    case 'i':
    case 'n':
        HORA_TRY(hora_tv_contains(st, b, a, &yes));
        *out = hora_tv_bool(yes == (op == 'i'));
        return HORA_OK;
    case '<':
    case '>':
    case HORA_OP2('<', '='):
    case HORA_OP2('>', '='):
        HORA_TRY(hora_tv_order(st, a, b, &order));
        yes = (op & 0xFF) == '<' ? order == -1 : order == 1;
        *out = hora_tv_bool(yes || (op >> 8 && order == 0));
        return HORA_OK;
    case '~':
        return concat(st, a, b, out);
    default:
        return arithmetic(st, op, a, b, out);
    }
}
