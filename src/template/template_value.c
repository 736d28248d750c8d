/*
 * Values and what operators do with them, as Python does: truth, equality, order, membership,
 * arithmetic, attributes, items and slices. Strings are counted in code points. What Python would
 * compute with big integers is refused when it leaves 64 bits. Text forms are in template_text.c.
 */
#include <math.h>
#include <stdlib.h>

#include "base/text.h"
#include "template/template_impl.h"

/* ---- making ---- */
hora_tv hora_tv_undefined(const char *name) {
    return (hora_tv){.type = HORA_TV_UNDEFINED, .s = name};
}
hora_tv hora_tv_none(void) {
    return (hora_tv){.type = HORA_TV_NONE};
}
hora_tv hora_tv_bool(bool v) {
    return (hora_tv){.type = HORA_TV_BOOL, .i = v};
}
hora_tv hora_tv_int(int64_t v) {
    return (hora_tv){.type = HORA_TV_INT, .i = v};
}
hora_tv hora_tv_digits(const char *s, size_t n) {
    return (hora_tv){.type = HORA_TV_BIG, .s = s, .n = n};
}
hora_tv hora_tv_real(double v) {
    return (hora_tv){.type = HORA_TV_REAL, .r = v};
}
hora_tv hora_tv_borrow(const char *s, size_t n) {
    return (hora_tv){.type = HORA_TV_STRING, .s = s, .n = n};
}
hora_tv hora_tv_seq(hora_tv_type type, const hora_tv *list, size_t n) {
    return (hora_tv){.type = type, .list = list, .n = n};
}

/* Room for n things of `each` bytes in the pool, charged before it is taken. */
hora_status hora_tv_room(hora_ts *st, size_t n, size_t each, hora_tv **out) {
    *out = NULL;
    if (n > HORA_TPL_MEMORY / each || n * each > HORA_TPL_MEMORY - st->pool.total)
        return hora_ts_fail(st, "rendering needs too much memory; simplify the template");
    HORA_TRY(hora_ts_step(st, n * each / 64));
    *out = hora_pool_get(&st->pool, n * each + 1);
    return HORA_OK;
}

hora_status hora_tv_string(hora_ts *st, const char *s, size_t n, hora_tv *out) {
    hora_tv *room;
    HORA_TRY(hora_tv_room(st, n, 1, &room));
    if (n)
        memcpy(room, s, n);
    *out = hora_tv_borrow((const char *)room, n);
    return HORA_OK;
}

/* Turns collected text into a value, or drops it when `s` is a failure. */
hora_status hora_tv_take(hora_ts *st, hora_str *own, hora_status s, hora_tv *out) {
    if (!s)
        s = hora_tv_string(st, own->s ? own->s : "", own->n, out);
    hora_str_release(own);
    return s;
}

hora_status hora_tv_json(hora_ts *st, const hora_json *j, hora_tv *out) {
    size_t n = hora_json_len(j);
    hora_tv *at;
    int64_t i = 0;
    double r = 0;
    bool b = false;
    HORA_TRY(hora_ts_enter(st));
    switch (hora_json_type(j)) {
    case HORA_JBOOL:
        hora_json_bool(j, &b);
        *out = hora_tv_bool(b);
        break;
    case HORA_JINT:
        hora_json_int(j, &i);
        *out = hora_tv_int(i);
        break;
    case HORA_JREAL: {
        const char *digits = hora_json_digits(j, &n);
        hora_json_real(j, &r);
        *out = digits ? hora_tv_digits(digits, n) : hora_tv_real(r);
        break;
    }
    case HORA_JSTRING: {
        const char *s = hora_json_string(j, &n);
        *out = hora_tv_borrow(s, n);
        break;
    }
    case HORA_JARRAY:
        HORA_TRY(hora_tv_room(st, n, sizeof *at, &at));
        for (size_t k = 0; k < n; k++)
            HORA_TRY(hora_tv_json(st, hora_json_at(j, k), &at[k]));
        *out = hora_tv_seq(HORA_TV_LIST, at, n);
        break;
    case HORA_JOBJECT: {
        size_t k = 0;
        HORA_TRY(hora_tv_room(st, n, 2 * sizeof *at, &at));
        for (void *it = hora_json_iter(j); it && k < n; it = hora_json_next(j, it), k++) {
            const char *key = hora_json_iter_key(it);
            at[2 * k] = hora_tv_borrow(key, strlen(key));
            HORA_TRY(hora_tv_json(st, hora_json_iter_value(it), &at[2 * k + 1]));
        }
        *out = hora_tv_seq(HORA_TV_DICT, at, n);
        break;
    }
    default:
        *out = hora_tv_none();
    }
    st->depth--;
    return HORA_OK;
}

/* ---- asking ---- */
const char *hora_tv_name(const hora_tv *v) {
    static const char *const names[] = {
        "an undefined value", "none",     "a boolean", "an integer", "an integer beyond 64 bits",
        "a number",           "a string", "a list",    "a tuple",    "a mapping",
        "a namespace",        "a loop",   "a macro",   "a function", "a method"};
    return names[v->type];
}

bool hora_tv_truth(const hora_tv *v) {
    switch (v->type) {
    case HORA_TV_UNDEFINED:
    case HORA_TV_NONE:
        return false;
    case HORA_TV_BOOL:
    case HORA_TV_INT:
        return v->i != 0;
    case HORA_TV_REAL:
        return v->r != 0;
    case HORA_TV_BIG:
    case HORA_TV_STRING:
    case HORA_TV_TUPLE:
    case HORA_TV_DICT:
        return v->n != 0;
    case HORA_TV_LIST:
        return v->n != 0 || v->once;
    default:
        return true;
    }
}

bool hora_tv_integer(const hora_tv *v, int64_t *out) {
    if (v->type != HORA_TV_BOOL && v->type != HORA_TV_INT)
        return false;
    *out = v->i;
    return true;
}
bool hora_tv_number(const hora_tv *v, double *out) {
    int64_t i = 0;
    if (v->type == HORA_TV_BIG) {
        char b[400] = {0};
        memcpy(b, v->s, v->n < sizeof b ? v->n : sizeof b - 1);
        *out = v->n < sizeof b ? strtod(b, NULL) : b[0] == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    if (v->type == HORA_TV_REAL) {
        *out = v->r;
        return true;
    }
    bool ok = hora_tv_integer(v, &i);
    *out = (double)i;
    return ok;
}

static int compare_bytes(const hora_tv *a, const hora_tv *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    int c = n ? memcmp(a->s, b->s, n) : 0; /* the order of UTF-8 is the order of code points */
    return c ? (c > 0) - (c < 0) : (a->n > b->n) - (a->n < b->n);
}

static bool is_row(const hora_tv *v) {
    return v->type == HORA_TV_LIST || v->type == HORA_TV_TUPLE;
}

/* Where Python sees a generator or a view, only reading its elements works. */
hora_status hora_tv_plain(hora_ts *st, const hora_tv *v) {
    if (v->type == HORA_TV_LIST && v->once)
        return hora_ts_fail(st,
                            "this filter gives a generator in Jinja; add `| list` to the template");
    if (v->type == HORA_TV_LIST && v->safe)
        return hora_ts_fail(st, "this is a view of a mapping; add `| list` to the template");
    return HORA_OK;
}

hora_status hora_tv_generator(hora_ts *st, hora_tv *v) {
    hora_tv *room;
    HORA_TRY(hora_tv_room(st, 1, sizeof(bool), &room));
    v->once = (bool *)room;
    return HORA_OK;
}

bool hora_tv_same(const hora_tv *a, const hora_tv *b) {
    if (a->type != b->type || a->safe != b->safe || a->part != b->part || a->n != b->n)
        return false;
    if (a->type == HORA_TV_STRING)
        return a->s == b->s || !a->n || !memcmp(a->s, b->s, a->n);
    return a->i == b->i && a->fn == b->fn; /* pointers, too */
}

static hora_status equal_inner(hora_ts *st, const hora_tv *a, const hora_tv *b, bool *out) {
    int64_t i, j;
    double x, y;
    *out = false;
    if (hora_tv_integer(a, &i) && hora_tv_integer(b, &j)) {
        *out = i == j;
    } else if (a->type == HORA_TV_BIG && b->type == HORA_TV_BIG) {
        *out = a->n == b->n && compare_bytes(a, b) == 0;
    } else if (hora_tv_number(a, &x) && hora_tv_number(b, &y)) {
        *out = x == y;
    } else if (a->type != b->type) {
        return HORA_OK;
    } else if (a->type == HORA_TV_STRING) {
        *out = a->n == b->n && compare_bytes(a, b) == 0;
        return hora_ts_step(st, a->n / 64);
    } else if (is_row(a)) {
        HORA_TRY(hora_tv_plain(st, a));
        HORA_TRY(hora_tv_plain(st, b));
        *out = a->n == b->n;
        for (size_t k = 0; *out && k < a->n; k++)
            HORA_TRY(hora_tv_equal(st, &a->list[k], &b->list[k], out));
    } else if (a->type == HORA_TV_DICT) {
        *out = a->n == b->n;
        for (size_t k = a->list == b->list ? a->n : 0; *out && k < a->n; k++) {
            const hora_tv *other;
            HORA_TRY(hora_tv_dict_get(st, b, &a->list[2 * k], &other));
            if (other)
                HORA_TRY(hora_tv_equal(st, &a->list[2 * k + 1], other, out));
            else
                *out = false;
        }
    } else {
        *out = a->type == HORA_TV_UNDEFINED || a->type == HORA_TV_NONE ||
               (a->space == b->space && (a->type < HORA_TV_FUNCTION || a->fn == b->fn));
    }
    return HORA_OK;
}

hora_status hora_tv_equal(hora_ts *st, const hora_tv *a, const hora_tv *b, bool *out) {
    HORA_TRY(hora_ts_enter(st));
    HORA_TRY(equal_inner(st, a, b, out));
    st->depth--;
    return HORA_OK;
}

hora_status hora_tv_order(hora_ts *st, const hora_tv *a, const hora_tv *b, int *out) {
    int64_t i, j;
    double x, y;
    HORA_TRY(hora_ts_enter(st));
    if (hora_tv_integer(a, &i) && hora_tv_integer(b, &j)) {
        *out = (i > j) - (i < j);
    } else if (a->type == HORA_TV_BIG && b->type == HORA_TV_BIG) {
        bool minus = a->s[0] == '-';
        int order = a->n != b->n ? (a->n > b->n ? 1 : -1) : compare_bytes(a, b);
        *out = minus != (b->s[0] == '-') ? (minus ? -1 : 1) : minus ? -order : order;
    } else if (hora_tv_number(a, &x) && hora_tv_number(b, &y)) {
        *out = x != x || y != y ? 2 : (x > y) - (x < y); /* 2: not a number, every order is false */
    } else if (a->type == HORA_TV_STRING && b->type == HORA_TV_STRING) {
        *out = compare_bytes(a, b);
        HORA_TRY(hora_ts_step(st, a->n / 64));
    } else if (is_row(a) && a->type == b->type) {
        size_t n = a->n < b->n ? a->n : b->n;
        *out = (a->n > b->n) - (a->n < b->n);
        for (size_t k = 0; k < n; k++) {
            bool same;
            HORA_TRY(hora_tv_equal(st, &a->list[k], &b->list[k], &same));
            if (!same) {
                HORA_TRY(hora_tv_order(st, &a->list[k], &b->list[k], out));
                break;
            }
        }
    } else {
        return hora_ts_fail(st, "%s and %s have no order; correct the template or the data",
                            hora_tv_name(a), hora_tv_name(b));
    }
    st->depth--;
    return HORA_OK;
}

hora_status hora_tv_dict_get(hora_ts *st, const hora_tv *d, const hora_tv *key,
                             const hora_tv **out) {
    bool same = false;
    *out = NULL;
    HORA_TRY(hora_ts_step(st, d->n / 8));
    for (size_t k = 0; k < d->n; k++) {
        const hora_tv *mine = &d->list[2 * k];
        if (key->type == HORA_TV_STRING && mine->type == HORA_TV_STRING)
            same = key->n == mine->n && compare_bytes(key, mine) == 0;
        else if (key->type == HORA_TV_STRING)
            same = false;
        else
            HORA_TRY(hora_tv_equal(st, mine, key, &same));
        if (same) {
            *out = &d->list[2 * k + 1];
            return HORA_OK;
        }
    }
    return HORA_OK;
}

static bool find_bytes(const hora_tv *box, const hora_tv *v) {
    for (size_t i = 0; i + v->n <= box->n; i++)
        if (!v->n || (box->s[i] == v->s[0] && !memcmp(box->s + i, v->s, v->n)))
            return true;
    return false;
}

hora_status hora_tv_contains(hora_ts *st, const hora_tv *box, const hora_tv *v, bool *out) {
    const hora_tv *found;
    *out = false;
    if (box->type == HORA_TV_STRING && v->type == HORA_TV_STRING) {
        *out = find_bytes(box, v);
        return hora_ts_step(st, box->n / 16 * (v->n / 64 + 1));
    }
    if (box->type == HORA_TV_DICT) {
        HORA_TRY(hora_tv_dict_get(st, box, v, &found));
        *out = found != NULL;
        return HORA_OK;
    }
    if (box->type == HORA_TV_UNDEFINED)
        return HORA_OK;
    if (box->type == HORA_TV_LIST && box->once)
        return hora_tv_plain(st, box);
    if (!is_row(box))
        return hora_ts_fail(st,
                            "`in` does not work with %s in %s; correct the template or the data",
                            hora_tv_name(v), hora_tv_name(box));
    for (size_t k = 0; k < box->n && !*out; k++)
        HORA_TRY(hora_tv_equal(st, &box->list[k], v, out));
    return HORA_OK;
}

/* ---- parts ---- */
hora_status hora_tv_elements(hora_ts *st, const hora_tv *v, const hora_tv **items, size_t *n) {
    hora_tv *at;
    *n = v->n;
    if (is_row(v)) {
        if (v->type == HORA_TV_LIST && v->once && *v->once)
            return hora_tv_plain(st, v);
        if (v->type == HORA_TV_LIST && v->once) {
            if (st->journal)
                HORA_PUSH(st->undo, st->nundo, st->cundo, ((hora_undo){.flag = v->once}));
            *v->once = true;
            st->oldest = 0;
        }
        *items = v->list;
        return HORA_OK;
    }
    if (v->type == HORA_TV_DICT) {
        HORA_TRY(hora_tv_room(st, v->n, sizeof *at, &at));
        for (size_t k = 0; k < v->n; k++)
            at[k] = v->list[2 * k];
    } else if (v->type == HORA_TV_STRING) {
        *n = hora_utf8_length(v->s, v->n);
        HORA_TRY(hora_tv_room(st, *n, sizeof *at, &at));
        const char *s = v->s;
        for (size_t k = 0; k < *n; k++) {
            uint32_t cp;
            int len = hora_utf8_decode(s, (size_t)(v->s + v->n - s), &cp);
            at[k] = hora_tv_borrow(s, len > 0 ? (size_t)len : 1);
            s += at[k].n;
        }
    } else if (v->type == HORA_TV_UNDEFINED) {
        at = NULL;
        *n = 0;
    } else {
        return hora_ts_fail(st, "%s has no elements; correct the template or the data",
                            hora_tv_name(v));
    }
    *items = at;
    return HORA_OK;
}

hora_status hora_tv_missing(hora_ts *st, const char *s, size_t n, hora_tv *out) {
    hora_tv name;
    HORA_TRY(hora_tv_string(st, s, n, &name));
    *out = hora_tv_undefined(name.s);
    return HORA_OK;
}

/* Attributes that Python's values have and ours have not: not undefined, as what nobody has is. */
bool hora_tv_foreign(int type, const char *s, size_t n) {
    static const struct {
        int type;
        const char *name;
    } rows[] = {{HORA_TV_STRING, "encode"},
                {HORA_TV_STRING, "expandtabs"},
                {HORA_TV_STRING, "format_map"},
                {HORA_TV_STRING, "isascii"},
                {HORA_TV_STRING, "isidentifier"},
                {HORA_TV_STRING, "isprintable"},
                {HORA_TV_STRING, "istitle"},
                {HORA_TV_STRING, "maketrans"},
                {HORA_TV_STRING, "translate"},
                {HORA_TV_STRING, "casefold"},
                {HORA_TV_DICT, "clear"},
                {HORA_TV_DICT, "fromkeys"},
                {HORA_TV_DICT, "pop"},
                {HORA_TV_DICT, "popitem"},
                {HORA_TV_DICT, "setdefault"},
                {HORA_TV_DICT, "update"},
                {HORA_TV_LIST, "append"},
                {HORA_TV_LIST, "clear"},
                {HORA_TV_LIST, "copy"},
                {HORA_TV_LIST, "extend"},
                {HORA_TV_LIST, "insert"},
                {HORA_TV_LIST, "pop"},
                {HORA_TV_LIST, "remove"},
                {HORA_TV_LIST, "reverse"},
                {HORA_TV_LIST, "sort"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        if ((type < 0 || rows[i].type == type) && strlen(rows[i].name) == n &&
            !memcmp(rows[i].name, s, n))
            return true;
    return false;
}

static hora_status bound_method(hora_ts *st, const hora_builtin *fn, const hora_tv *v,
                                hora_tv *out) {
    hora_tv *self;
    HORA_TRY(hora_tv_room(st, 1, sizeof *self, &self));
    *self = *v;
    *out = (hora_tv){.type = HORA_TV_METHOD, .fn = fn, .list = self};
    return HORA_OK;
}

hora_status hora_tv_attr(hora_ts *st, const hora_tv *v, const char *s, size_t n, hora_tv *out) {
    const hora_builtin *fn = v->type == HORA_TV_LOOP && v->loop->cycler
                                 ? hora_tpl_cycler(s, n)
                                 : hora_tpl_method((int)v->type, s, n);
    if (fn)
        return bound_method(st, fn, v, out);
    if (v->type == HORA_TV_UNDEFINED)
        return hora_ts_fail(
            st,
            "`%.60s` is undefined, so it has no `%.*s`; correct the template or the "
            "data",
            v->s, (int)(n > 60 ? 60 : n), s);
    if (v->type == HORA_TV_LOOP)
        return hora_loop_attr(st, v->loop, s, n, out);
    if (hora_tv_foreign((int)v->type, s, n))
        return hora_ts_fail(st,
                            "`.%.*s` is a method of %s in Python, which templates have not here "
                            "(a key is written ['%.*s'])",
                            (int)n, s, hora_tv_name(v), (int)n, s);
    if (v->type == HORA_TV_DICT) {
        hora_tv key = hora_tv_borrow(s, n);
        const hora_tv *found;
        HORA_TRY(hora_tv_dict_get(st, v, &key, &found));
        if (found) {
            *out = *found;
            return HORA_OK;
        }
    }
    if (v->type == HORA_TV_TUPLE && v->n == 2) { /* what groupby gives */
        bool grouper = n == 7 && !memcmp(s, "grouper", 7);
        if (grouper || (n == 4 && !memcmp(s, "list", 4))) {
            *out = v->list[!grouper];
            return HORA_OK;
        }
    }
    if (v->type == HORA_TV_SPACE) {
        int id = hora_tpl_name(st->t, s, n);
        if (id >= 0 && hora_space_get(v->space, id, out))
            return HORA_OK;
    }
    return hora_tv_missing(st, s, n, out);
}

/* Bytes of code point i of v (negative: from the end); false when there is none. */
static bool char_at(const hora_tv *v, int64_t i, hora_tv *out) {
    int64_t n = (int64_t)hora_utf8_length(v->s, v->n);
    size_t at = 0;
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n)
        return false;
    for (int64_t k = 0;; k++) {
        uint32_t cp;
        int len = hora_utf8_decode(v->s + at, v->n - at, &cp);
        if (k == i) {
            *out = hora_tv_borrow(v->s + at, len > 0 ? (size_t)len : 1);
            return true;
        }
        at += len > 0 ? (size_t)len : 1;
    }
}

hora_status hora_tv_item(hora_ts *st, const hora_tv *v, const hora_tv *key, hora_tv *out) {
    int64_t i;
    HORA_TRY(hora_tv_plain(st, v));
    if (v->type == HORA_TV_UNDEFINED)
        return hora_ts_fail(st,
                            "`%.60s` is undefined, so it has no items; correct the template or "
                            "the data",
                            v->s);
    if (v->type == HORA_TV_DICT) {
        const hora_tv *found;
        HORA_TRY(hora_tv_dict_get(st, v, key, &found));
        if (found) {
            *out = *found;
            return HORA_OK;
        }
    } else if (hora_tv_integer(key, &i)) {
        HORA_TRY(hora_ts_step(st, v->type == HORA_TV_STRING ? v->n / 16 : 0));
        if (is_row(v)) {
            i += i < 0 ? (int64_t)v->n : 0;
            if (i >= 0 && i < (int64_t)v->n) {
                *out = v->list[i];
                return HORA_OK;
            }
        } else if (v->type == HORA_TV_STRING && char_at(v, i, out)) {
            return HORA_OK;
        }
    }
    if (key->type == HORA_TV_STRING && v->type != HORA_TV_DICT)
        return hora_tv_attr(st, v, key->s, key->n, out);
    if (key->type == HORA_TV_STRING) {
        const hora_builtin *fn = hora_tpl_method((int)v->type, key->s, key->n);
        return fn ? bound_method(st, fn, v, out) : hora_tv_missing(st, key->s, key->n, out);
    }
    *out = hora_tv_undefined("an item that is not there");
    return HORA_OK;
}

static hora_status slice_bound(hora_ts *st, const hora_tv *v, int64_t n, int64_t def, int64_t low,
                               int64_t high, int64_t *out) {
    int64_t i = def;
    if (v->type != HORA_TV_NONE) {
        if (!hora_tv_integer(v, &i))
            return hora_ts_fail(st, "a slice takes integers, not %s; correct the template",
                                hora_tv_name(v));
        i += i < 0 ? n : 0;
        i = i < low ? low : i > high ? high : i;
    }
    *out = i;
    return HORA_OK;
}

hora_status hora_tv_slice(hora_ts *st, const hora_tv *v, const hora_tv part[3], hora_tv *out) {
    const hora_tv *items;
    hora_tv *at;
    size_t n, k = 0;
    int64_t from = 0, to = 0, step = 1;
    HORA_TRY(hora_tv_plain(st, v));
    if (v->type != HORA_TV_STRING && !is_row(v))
        return hora_ts_fail(st, "%s cannot be sliced; correct the template or the data",
                            hora_tv_name(v));
    HORA_TRY(hora_tv_elements(st, v, &items, &n));
    int64_t len = (int64_t)n;
    if (part[2].type != HORA_TV_NONE && (!hora_tv_integer(&part[2], &step) || step == 0))
        return hora_ts_fail(st, "the step of a slice is an integer, not 0; correct the template");
    bool up = step > 0;
    HORA_TRY(
        slice_bound(st, &part[0], len, up ? 0 : len - 1, up ? 0 : -1, up ? len : len - 1, &from));
    HORA_TRY(slice_bound(st, &part[1], len, up ? len : -1, up ? 0 : -1, up ? len : len - 1, &to));
    if (step == 1 && is_row(v)) {
        *out = hora_tv_seq(v->type, v->list + from, to > from ? (size_t)(to - from) : 0);
        return HORA_OK;
    }
    HORA_TRY(hora_tv_room(st, n, sizeof *at, &at));
    step = step > len ? len + 1 : step < -len ? -len - 1 : step; /* the same slice, no overflow */
    for (int64_t i = from; up ? i < to : i > to; i += step)
        at[k++] = items[i];
    if (is_row(v)) {
        *out = hora_tv_seq(v->type, at, k);
        return HORA_OK;
    }
    hora_str b = {0};
    for (size_t i = 0; i < k; i++)
        hora_str_add(&b, at[i].s, at[i].n);
    HORA_TRY(hora_tv_take(st, &b, HORA_OK, out));
    out->safe = v->safe;
    return HORA_OK;
}
