/*
 * Methods of strings, as Python's str has them. Lengths and places are in code points.
 */
#include "base/text.h"
#include "template/template_list_impl.h"

#define HAS(a, k)  ((a)->set >> (k)&1)
#define METHOD(fn) static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out)

hora_status hora_tpl_need_string(hora_ts *st, const hora_tv *v) {
    if (v->type == HORA_TV_STRING)
        return HORA_OK;
    return hora_ts_fail(st, "this method takes a string, not %s; correct the template or the data",
                        hora_tv_name(v));
}

METHOD(s_strip) {
    return hora_tpl_strip(st, &a->in, HAS(a, 0) ? &a->at[0] : NULL, 3, out);
}
METHOD(s_lstrip) {
    return hora_tpl_strip(st, &a->in, HAS(a, 0) ? &a->at[0] : NULL, 1, out);
}
METHOD(s_rstrip) {
    return hora_tpl_strip(st, &a->in, HAS(a, 0) ? &a->at[0] : NULL, 2, out);
}
METHOD(s_upper) {
    return hora_tpl_case(st, &a->in, 'u', out);
}
METHOD(s_lower) {
    return hora_tpl_case(st, &a->in, 'l', out);
}
METHOD(s_capitalize) {
    return hora_tpl_case(st, &a->in, 'c', out);
}
METHOD(s_title) {
    return hora_tpl_case(st, &a->in, 'T', out);
}
METHOD(s_swapcase) {
    return hora_tpl_case(st, &a->in, 's', out);
}

static hora_status kind(hora_ts *st, const hora_args *a, const char *name, hora_tv *out) {
    bool yes;
    HORA_TRY(hora_tpl_is_kind(st, &a->in, name, &yes));
    *out = hora_tv_bool(yes);
    return HORA_OK;
}
#define KIND(name)                                                                                 \
    METHOD(s_##name) {                                                                             \
        return kind(st, a, #name, out);                                                            \
    }
KIND(isalpha)
KIND(isalnum)
KIND(isspace)
KIND(isdigit)
KIND(isdecimal)
KIND(isnumeric)

static hora_status in_case(hora_ts *st, const hora_args *a, bool upper, hora_tv *out) {
    bool yes;
    HORA_TRY(hora_tpl_is_case(st, &a->in, upper, &yes));
    *out = hora_tv_bool(yes);
    return HORA_OK;
}
METHOD(s_isupper) {
    return in_case(st, a, true, out);
}
METHOD(s_islower) {
    return in_case(st, a, false, out);
}

static bool has_end(const hora_tv *v, const hora_tv *part, bool end) {
    return part->n <= v->n &&
           (!part->n || !memcmp(v->s + (end ? v->n - part->n : 0), part->s, part->n));
}

static hora_status ends(hora_ts *st, const hora_args *a, bool end, hora_tv *out) {
    bool yes = false;
    const hora_tv *p = &a->at[0];
    size_t n = p->type == HORA_TV_TUPLE ? p->n : 1;
    for (size_t i = 0; i < n; i++) {
        const hora_tv *part = p->type == HORA_TV_TUPLE ? &p->list[i] : p;
        HORA_TRY(hora_tpl_need_string(st, part));
        yes = yes || has_end(&a->in, part, end);
    }
    *out = hora_tv_bool(yes);
    return HORA_OK;
}
METHOD(s_startswith) {
    return ends(st, a, false, out);
}
METHOD(s_endswith) {
    return ends(st, a, true, out);
}

static hora_status remove_end(hora_ts *st, const hora_args *a, bool end, hora_tv *out) {
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    size_t k = has_end(&a->in, &a->at[0], end) ? a->at[0].n : 0;
    *out = hora_tv_borrow(a->in.s + (end ? 0 : k), a->in.n - k);
    return HORA_OK;
}
METHOD(s_removeprefix) {
    return remove_end(st, a, false, out);
}
METHOD(s_removesuffix) {
    return remove_end(st, a, true, out);
}

METHOD(s_replace) {
    int64_t count = -1;
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    HORA_TRY(hora_tpl_need_string(st, &a->at[1]));
    if (HAS(a, 2) && !hora_tv_integer(&a->at[2], &count))
        return hora_ts_fail(st, "the count of `replace` is an integer; correct the template");
    return hora_tpl_replace(st, &a->in, &a->at[0], &a->at[1], count, out);
}

/* Offset of the first (or last) `part` in v[from..], or -1. */
static int64_t find_at(const hora_tv *v, const hora_tv *part, size_t from, bool last) {
    if (from + part->n > v->n)
        return -1;
    const size_t places = v->n - part->n - from + 1;
    for (size_t k = 0; k < places; k++) {
        const size_t i = last ? from + places - 1 - k : from + k;
        if (!part->n || !memcmp(v->s + i, part->s, part->n))
            return (int64_t)i;
    }
    return -1;
}

static hora_status find(hora_ts *st, const hora_args *a, bool last, hora_tv *out) {
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    HORA_TRY(hora_ts_step(st, a->in.n / 16 * (a->at[0].n / 64 + 1)));
    int64_t i = find_at(&a->in, &a->at[0], 0, last);
    *out = hora_tv_int(i < 0 ? -1 : (int64_t)hora_utf8_length(a->in.s, (size_t)i));
    return HORA_OK;
}
METHOD(s_find) {
    return find(st, a, false, out);
}
METHOD(s_rfind) {
    return find(st, a, true, out);
}

METHOD(s_count) {
    int64_t n = 0;
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    HORA_TRY(hora_ts_step(st, a->in.n / 16 * (a->at[0].n / 64 + 1)));
    if (!a->at[0].n)
        n = (int64_t)hora_utf8_length(a->in.s, a->in.n) + 1;
    else
        for (int64_t i = 0; (i = find_at(&a->in, &a->at[0], (size_t)i, false)) >= 0; n++)
            i += (int64_t)a->at[0].n;
    *out = hora_tv_int(n);
    return HORA_OK;
}

static hora_status need_found(hora_ts *st, hora_status s, const hora_tv *v) {
    if (!s && v->i < 0)
        return hora_ts_fail(st, "the text is not found; correct the template or the data");
    return s;
}
METHOD(s_index) {
    return need_found(st, find(st, a, false, out), out);
}
METHOD(s_rindex) {
    return need_found(st, find(st, a, true, out), out);
}

/* Blanks (or another character) around text up to a width in characters. `left`: how many of the
 * gap stand in front, in halves: 0 none, 2 all, 1 half as str.center has it. */
static hora_status justify(hora_ts *st, const hora_tv *v, const hora_tv *width, const hora_tv *fill,
                           int left, hora_tv *out) {
    int64_t w, n = (int64_t)hora_utf8_length(v->s, v->n);
    hora_str b = {0};
    if (!hora_tv_integer(width, &w) || w > 1 << 20 ||
        (fill && (fill->type != HORA_TV_STRING || hora_utf8_length(fill->s, fill->n) != 1)))
        return hora_ts_fail(st, "a width and one character are expected; correct the template");
    int64_t gap = w > n ? w - n : 0, front = gap / 2 + (gap & w & 1);
    front = left == 0 ? 0 : left == 2 ? gap : front;
    for (int64_t i = 0; i <= gap; i++) {
        if (i == front)
            hora_str_add(&b, v->s, v->n);
        if (i < gap)
            hora_str_add(&b, fill ? fill->s : " ", fill ? fill->n : 1);
    }
    return hora_tv_take(st, &b, HORA_OK, out);
}
METHOD(s_ljust) {
    return justify(st, &a->in, &a->at[0], HAS(a, 1) ? &a->at[1] : NULL, 0, out);
}
METHOD(s_rjust) {
    return justify(st, &a->in, &a->at[0], HAS(a, 1) ? &a->at[1] : NULL, 2, out);
}
METHOD(s_center) {
    return justify(st, &a->in, &a->at[0], HAS(a, 1) ? &a->at[1] : NULL, 1, out);
}
METHOD(s_zfill) {
    hora_tv zero = hora_tv_borrow("0", 1), body = a->in, width = a->at[0], sign = a->in;
    bool has = body.n && (body.s[0] == '-' || body.s[0] == '+');
    if (has) {
        body.s++;
        body.n--;
        width.i -= width.type == HORA_TV_INT;
    }
    HORA_TRY(justify(st, &body, &width, &zero, 2, out));
    hora_tv digits = *out;
    sign.n = 1;
    return has ? hora_tv_binary(st, '~', &sign, &digits, out) : HORA_OK;
}
hora_status hora_tpl_center(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv v, width = hora_tv_int(80);
    HORA_TRY(hora_tv_text(st, &a->in, &v));
    return justify(st, &v, HAS(a, 0) ? &a->at[0] : &width, NULL, 1, out);
}

METHOD(s_format) {
    return hora_tv_braces(st, &a->in, a->given, a->n, out);
}

/* (before, separator, after) */
static hora_status partition(hora_ts *st, const hora_args *a, bool last, hora_tv *out) {
    hora_tv *at, none = hora_tv_borrow("", 0);
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    if (!a->at[0].n)
        return hora_ts_fail(st, "an empty separator; correct the template");
    HORA_TRY(hora_ts_step(st, a->in.n / 16 * (a->at[0].n / 64 + 1)));
    HORA_TRY(hora_tv_room(st, 3, sizeof *at, &at));
    int64_t i = find_at(&a->in, &a->at[0], 0, last);
    at[0] = at[1] = at[2] = none;
    if (i < 0) {
        at[last ? 2 : 0] = a->in;
    } else {
        size_t k = (size_t)i + a->at[0].n;
        at[0] = hora_tv_borrow(a->in.s, (size_t)i);
        at[1] = a->at[0];
        at[2] = hora_tv_borrow(a->in.s + k, a->in.n - k);
    }
    *out = hora_tv_seq(HORA_TV_TUPLE, at, 3);
    return HORA_OK;
}
METHOD(s_partition) {
    return partition(st, a, false, out);
}
METHOD(s_rpartition) {
    return partition(st, a, true, out);
}

typedef struct pieces {
    hora_tv *at;
    size_t n, cap;
} pieces;

static void split_space(const hora_tv *v, int64_t most, pieces *out) {
    const char *s = v->s;
    size_t n = v->n, k;
    for (;;) {
        while ((k = hora_utf8_space(s, n)) != 0) {
            s += k;
            n -= k;
        }
        if (!n)
            return;
        size_t end = most >= 0 && (int64_t)out->n == most ? n : 0;
        while (end < n && !hora_utf8_space(s + end, n - end))
            end++;
        HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(s, end));
        s += end;
        n -= end;
    }
}

static void split_by(const hora_tv *v, const hora_tv *sep, int64_t most, pieces *out) {
    size_t from = 0;
    int64_t at;
    while ((most < 0 || (int64_t)out->n < most) && (at = find_at(v, sep, from, false)) >= 0) {
        HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(v->s + from, (size_t)at - from));
        from = (size_t)at + sep->n;
    }
    HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(v->s + from, v->n - from));
}

/* From the end; `out` gets them in their order in the text. */
static void rsplit_by(const hora_tv *v, const hora_tv *sep, int64_t most, pieces *out) {
    hora_tv rest = *v;
    int64_t at;
    while ((most < 0 || (int64_t)out->n < most) && (at = find_at(&rest, sep, 0, true)) >= 0) {
        size_t k = (size_t)at + sep->n;
        HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(rest.s + k, rest.n - k));
        rest.n = (size_t)at;
    }
    HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(rest.s, rest.n));
}

static void rsplit_space(const hora_tv *v, int64_t most, pieces *out) {
    size_t n = v->n, k;
    for (;;) {
        while ((k = hora_utf8_space_back(v->s, n)) != 0)
            n -= k;
        if (!n)
            return;
        size_t from = most >= 0 && (int64_t)out->n == most ? 0 : n;
        while (from > 0 && !hora_utf8_space_back(v->s, from))
            for (from--; from > 0 && ((unsigned char)v->s[from] & 0xC0) == 0x80;)
                from--;
        HORA_PUSH(out->at, out->n, out->cap, hora_tv_borrow(v->s + from, n - from));
        n = from;
    }
}

static void turn_around(pieces *p) {
    for (size_t i = 0; i < p->n / 2; i++) {
        hora_tv swap = p->at[i];
        p->at[i] = p->at[p->n - 1 - i];
        p->at[p->n - 1 - i] = swap;
    }
}

/* Moves collected pieces into the pool. */
static hora_status as_list(hora_ts *st, pieces *own, hora_tv *out) {
    hora_tv *at = NULL;
    hora_status s = hora_tv_room(st, own->n, sizeof *at, &at);
    if (!s && own->n)
        memcpy(at, own->at, own->n * sizeof *at);
    *out = hora_tv_seq(HORA_TV_LIST, at, own->n);
    hora_free(own->at);
    return s;
}

static hora_status split(hora_ts *st, const hora_args *a, bool back, hora_tv *out) {
    int64_t most = -1;
    pieces p = {0};
    bool space = !HAS(a, 0) || a->at[0].type == HORA_TV_NONE;
    if (!space)
        HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    if ((!space && !a->at[0].n) || (HAS(a, 1) && !hora_tv_integer(&a->at[1], &most)))
        return hora_ts_fail(st,
                            "`split` takes a separator that is not empty and an integer; correct "
                            "the template");
    HORA_TRY(hora_ts_step(st, a->in.n / 4 + 1));
    if (space)
        (back ? rsplit_space : split_space)(&a->in, most, &p);
    else
        (back ? rsplit_by : split_by)(&a->in, &a->at[0], most, &p);
    if (back)
        turn_around(&p);
    return as_list(st, &p, out);
}
METHOD(s_split) {
    return split(st, a, false, out);
}
METHOD(s_rsplit) {
    return split(st, a, true, out);
}

size_t hora_tpl_break(const char *s, size_t n) {
    static const char *const breaks[] = {"\r\n",     "\n",           "\r",          "\v",
                                         "\f",       "\x1c",         "\x1d",        "\x1e",
                                         "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t k = 0; k < HORA_COUNT(breaks); k++)
        if (n >= strlen(breaks[k]) && !memcmp(s, breaks[k], strlen(breaks[k])))
            return strlen(breaks[k]);
    return 0;
}

METHOD(s_splitlines) {
    bool keep = HAS(a, 0) && hora_tv_truth(&a->at[0]);
    pieces p = {0};
    const hora_tv *v = &a->in;
    size_t from = 0, i = 0;
    HORA_TRY(hora_ts_step(st, v->n + 1));
    while (i < v->n) {
        size_t len = hora_tpl_break(v->s + i, v->n - i);
        if (len) {
            HORA_PUSH(p.at, p.n, p.cap, hora_tv_borrow(v->s + from, i - from + (keep ? len : 0)));
            from = i + len;
        }
        i += len ? len : 1;
    }
    if (from < v->n)
        HORA_PUSH(p.at, p.n, p.cap, hora_tv_borrow(v->s + from, v->n - from));
    return as_list(st, &p, out);
}

METHOD(s_join) {
    hora_tv at[1] = {a->in};
    const hora_tv *items;
    size_t n;
    HORA_TRY(hora_tv_elements(st, &a->at[0], &items, &n));
    for (size_t i = 0; i < n; i++)
        HORA_TRY(hora_tpl_need_string(st, &items[i]));
    hora_args inner = {.in = hora_tv_seq(HORA_TV_LIST, items, n), .at = at, .n = 1, .set = 1};
    return hora_tpl_join(st, &inner, out);
}

/* ---- table ---- */
#define TEXT HORA_ON(HORA_TV_STRING)
const hora_builtin hora_tpl_text_methods[] = {{"strip", "chars", 0, s_strip, TEXT},
                                              {"lstrip", "chars", 0, s_lstrip, TEXT},
                                              {"rstrip", "chars", 0, s_rstrip, TEXT},
                                              {"upper", "", 0, s_upper, TEXT},
                                              {"lower", "", 0, s_lower, TEXT},
                                              {"capitalize", "", 0, s_capitalize, TEXT},
                                              {"title", "", 0, s_title, TEXT},
                                              {"startswith", "prefix", 1, s_startswith, TEXT},
                                              {"endswith", "suffix", 1, s_endswith, TEXT},
                                              {"removeprefix", "prefix", 1, s_removeprefix, TEXT},
                                              {"removesuffix", "suffix", 1, s_removesuffix, TEXT},
                                              {"replace", "old new count", 2, s_replace, TEXT},
                                              {"find", "sub", 1, s_find, TEXT},
                                              {"rfind", "sub", 1, s_rfind, TEXT},
                                              {"count", "sub", 1, s_count, TEXT},
                                              {"isdigit", "", 0, s_isdigit, TEXT},
                                              {"isalpha", "", 0, s_isalpha, TEXT},
                                              {"isalnum", "", 0, s_isalnum, TEXT},
                                              {"isspace", "", 0, s_isspace, TEXT},
                                              {"isdecimal", "", 0, s_isdecimal, TEXT},
                                              {"isnumeric", "", 0, s_isnumeric, TEXT},
                                              {"isupper", "", 0, s_isupper, TEXT},
                                              {"islower", "", 0, s_islower, TEXT},
                                              {"swapcase", "", 0, s_swapcase, TEXT},
                                              {"index", "sub", 1, s_index, TEXT},
                                              {"rindex", "sub", 1, s_rindex, TEXT},
                                              {"ljust", "width fillchar", 1, s_ljust, TEXT},
                                              {"rjust", "width fillchar", 1, s_rjust, TEXT},
                                              {"center", "width fillchar", 1, s_center, TEXT},
                                              {"zfill", "width", 1, s_zfill, TEXT},
                                              {"format", "*", 0, s_format, TEXT},
                                              {"partition", "sep", 1, s_partition, TEXT},
                                              {"rpartition", "sep", 1, s_rpartition, TEXT},
                                              {"rsplit", "sep maxsplit", 0, s_rsplit, TEXT},
                                              {"split", "sep maxsplit", 0, s_split, TEXT},
                                              {"splitlines", "keepends", 0, s_splitlines, TEXT},
                                              {"join", "iterable", 1, s_join, TEXT}};
const size_t hora_tpl_n_text_methods = HORA_COUNT(hora_tpl_text_methods);
