/*
 * What templates call: methods of strings, mappings, lists and loops, and the functions
 * raise_exception, namespace, range and dict. Methods behave as Python's; a method that stands in
 * no row is refused when the template is opened. strftime_now is left out on purpose: a prompt that
 * contains today's date makes every run another one.
 */
#include "base/text.h"
#include "template/template_list_impl.h"

#define HAS(a, k)  ((a)->set >> (k)&1)
#define METHOD(fn) static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out)

static hora_status need_string(hora_ts *st, const hora_tv *v) {
    if (v->type == HORA_TV_STRING)
        return HORA_OK;
    return hora_ts_fail(st, "this method takes a string, not %s; correct the template or the data",
                        hora_tv_name(v));
}

/* ---- strings ---- */
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
        HORA_TRY(need_string(st, part));
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
    HORA_TRY(need_string(st, &a->at[0]));
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
    HORA_TRY(need_string(st, &a->at[0]));
    HORA_TRY(need_string(st, &a->at[1]));
    if (HAS(a, 2) && !hora_tv_integer(&a->at[2], &count))
        return hora_ts_fail(st, "the count of `replace` is an integer; correct the template");
    return hora_tpl_replace(st, &a->in, &a->at[0], &a->at[1], count, out);
}

/* Offset of the first (or last) `part` in v[from..], or -1. */
static int64_t find_at(const hora_tv *v, const hora_tv *part, size_t from, bool last) {
    int64_t found = -1;
    for (size_t i = from; i + part->n <= v->n && (last || found < 0); i++)
        if (!part->n || !memcmp(v->s + i, part->s, part->n))
            found = (int64_t)i;
    return found;
}

static hora_status find(hora_ts *st, const hora_args *a, bool last, hora_tv *out) {
    HORA_TRY(need_string(st, &a->at[0]));
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
    HORA_TRY(need_string(st, &a->at[0]));
    HORA_TRY(hora_ts_step(st, a->in.n / 16 * (a->at[0].n / 64 + 1)));
    if (!a->at[0].n)
        n = (int64_t)hora_utf8_length(a->in.s, a->in.n) + 1;
    else
        for (int64_t i = 0; (i = find_at(&a->in, &a->at[0], (size_t)i, false)) >= 0; n++)
            i += (int64_t)a->at[0].n;
    *out = hora_tv_int(n);
    return HORA_OK;
}

METHOD(s_isdigit) {
    bool yes = a->in.n > 0;
    for (size_t i = 0; i < a->in.n; i++) {
        if ((unsigned char)a->in.s[i] >= 0x80)
            return hora_ts_fail(st, "digits beyond ASCII are not known here; correct the data");
        yes = yes && a->in.s[i] >= '0' && a->in.s[i] <= '9';
    }
    *out = hora_tv_bool(yes);
    return HORA_OK;
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

METHOD(s_split) {
    int64_t most = -1;
    pieces p = {0};
    bool space = !HAS(a, 0) || a->at[0].type == HORA_TV_NONE;
    if (!space)
        HORA_TRY(need_string(st, &a->at[0]));
    if ((!space && !a->at[0].n) || (HAS(a, 1) && !hora_tv_integer(&a->at[1], &most)))
        return hora_ts_fail(st,
                            "`split` takes a separator that is not empty and an integer; correct "
                            "the template");
    HORA_TRY(hora_ts_step(st, a->in.n / 4 + 1));
    if (space)
        split_space(&a->in, most, &p);
    else
        split_by(&a->in, &a->at[0], most, &p);
    return as_list(st, &p, out);
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
        HORA_TRY(need_string(st, &items[i]));
    hora_args inner = {.in = hora_tv_seq(HORA_TV_LIST, items, n), .at = at, .n = 1, .set = 1};
    return hora_tpl_join(st, &inner, out);
}

/* ---- mappings, lists ---- */
METHOD(d_get) {
    const hora_tv *found;
    HORA_TRY(hora_tv_dict_get(st, &a->in, &a->at[0], &found));
    *out = found ? *found : HAS(a, 1) ? a->at[1] : hora_tv_none();
    return HORA_OK;
}

METHOD(d_items) {
    HORA_TRY(hora_tpl_items(st, a, out));
    out->once = NULL;
    out->safe = true;
    return HORA_OK;
}

static hora_status column(hora_ts *st, const hora_tv *d, size_t which, hora_tv *out) {
    hora_tv *at;
    HORA_TRY(hora_tv_room(st, d->n, sizeof *at, &at));
    for (size_t k = 0; k < d->n; k++)
        at[k] = d->list[2 * k + which];
    *out = hora_tv_seq(HORA_TV_LIST, at, d->n);
    out->safe = true;
    return HORA_OK;
}
METHOD(d_keys) {
    return column(st, &a->in, 0, out);
}
METHOD(d_values) {
    return column(st, &a->in, 1, out);
}

METHOD(l_index) {
    bool same = false;
    for (size_t k = 0; k < a->in.n; k++) {
        HORA_TRY(hora_tv_equal(st, &a->in.list[k], &a->at[0], &same));
        if (same) {
            *out = hora_tv_int((int64_t)k);
            return HORA_OK;
        }
    }
    return hora_ts_fail(st, "the value is not in the list; correct the template or the data");
}

METHOD(l_count) {
    int64_t n = 0;
    bool same = false;
    for (size_t k = 0; k < a->in.n; k++) {
        HORA_TRY(hora_tv_equal(st, &a->in.list[k], &a->at[0], &same));
        n += same;
    }
    *out = hora_tv_int(n);
    return HORA_OK;
}

/* ---- loops ---- */
METHOD(o_cycle) {
    if (!a->n)
        return hora_ts_fail(st, "`loop.cycle` needs values; correct the template");
    *out = a->at[a->in.loop->i % (size_t)a->n];
    return HORA_OK;
}

METHOD(o_changed) {
    hora_loop *l = a->in.loop;
    bool same = l->changed && l->nchanged == a->n;
    for (int i = 0; i < a->n && same; i++)
        HORA_TRY(hora_tv_equal(st, &l->changed[i], &a->at[i], &same));
    if (!same) {
        HORA_TRY(hora_tv_room(st, (size_t)a->n, sizeof *l->changed, &l->changed));
        memcpy(l->changed, a->at, (size_t)a->n * sizeof *l->changed);
        l->nchanged = a->n;
    }
    *out = hora_tv_bool(!same);
    return HORA_OK;
}

/* ---- functions ---- */
METHOD(g_raise) {
    hora_tv v;
    (void)out;
    HORA_TRY(hora_tv_text(st, &a->at[0], &v));
    return hora_ts_fail(st, "the template refuses this conversation: %.*s",
                        (int)(v.n > 400 ? 400 : v.n), v.s);
}

METHOD(g_namespace) {
    hora_space *space = hora_space_new(st, NULL);
    for (int i = 0; i < a->n; i++) {
        if (a->list[i]->kind != HORA_TN_KEYWORD)
            return hora_ts_fail(st, "`namespace` takes name=value; correct the template");
        hora_space_set(st, space, a->list[i]->name, a->at[i]);
    }
    *out = (hora_tv){.type = HORA_TV_SPACE, .space = space};
    return HORA_OK;
}

METHOD(g_dict) {
    hora_tv *at;
    HORA_TRY(hora_tv_room(st, (size_t)a->n, 2 * sizeof *at, &at));
    for (int i = 0; i < a->n; i++) {
        if (a->list[i]->kind != HORA_TN_KEYWORD)
            return hora_ts_fail(st, "`dict` takes name=value; correct the template");
        at[2 * i] = hora_tv_borrow(a->list[i]->s, a->list[i]->n);
        at[2 * i + 1] = a->at[i];
    }
    *out = hora_tv_seq(HORA_TV_DICT, at, (size_t)a->n);
    return HORA_OK;
}

METHOD(g_range) {
    int64_t v[3] = {0, 0, 1}, n = 0;
    hora_tv *at;
    for (int i = 0; i < a->n && i < 3; i++)
        if (a->list[i]->kind == HORA_TN_KEYWORD || !hora_tv_integer(&a->at[i], &v[i]))
            return hora_ts_fail(st, "`range` takes integers; correct the template or the data");
    if (a->n == 1) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (a->n < 1 || a->n > 3 || !v[2])
        return hora_ts_fail(st, "`range` takes one to three integers, a step not 0; correct the "
                                "template");
    if (v[2] > 0 ? v[1] > v[0] : v[1] < v[0]) {
        uint64_t span =
            v[2] > 0 ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
        uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2];
        if ((span - 1) / step >= 100000)
            return hora_ts_fail(st, "a range of more than 100000; correct the template");
        n = (int64_t)((span - 1) / step) + 1;
    }
    HORA_TRY(hora_tv_room(st, (size_t)n, sizeof *at, &at));
    for (int64_t i = 0; i < n; i++)
        at[i] = hora_tv_int(v[0] + i * v[2]);
    *out = hora_tv_seq(HORA_TV_LIST, at, (size_t)n);
    return HORA_OK;
}

/* ---- tables ---- */
#define TEXT HORA_ON(HORA_TV_STRING)
#define DICT HORA_ON(HORA_TV_DICT)
#define ROWS (HORA_ON(HORA_TV_LIST) | HORA_ON(HORA_TV_TUPLE))
#define LOOP HORA_ON(HORA_TV_LOOP)
static const hora_builtin methods[] = {{"strip", "chars", 0, s_strip, TEXT},
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
                                       {"split", "sep maxsplit", 0, s_split, TEXT},
                                       {"splitlines", "keepends", 0, s_splitlines, TEXT},
                                       {"join", "iterable", 1, s_join, TEXT},
                                       {"get", "key default", 1, d_get, DICT},
                                       {"items", "", 0, d_items, DICT},
                                       {"keys", "", 0, d_keys, DICT},
                                       {"values", "", 0, d_values, DICT},
                                       {"index", "value", 1, l_index, ROWS},
                                       {"count", "value", 1, l_count, ROWS},
                                       {"cycle", "*", 0, o_cycle, LOOP},
                                       {"changed", "*", 0, o_changed, LOOP}};

static const hora_builtin functions[] = {{"raise_exception", "message", 1, g_raise, 0},
                                         {"namespace", "*", 0, g_namespace, 0},
                                         {"dict", "*", 0, g_dict, 0},
                                         {"range", "*", 0, g_range, 0}};

const hora_builtin *hora_tpl_method(int type, const char *s, size_t n) {
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        const hora_builtin *m = &methods[i];
        if ((type < 0 || (m->on >> type & 1)) && strlen(m->name) == n && !memcmp(m->name, s, n))
            return m;
    }
    return NULL;
}

const hora_builtin *hora_tpl_function(const char *s, size_t n) {
    return hora_tpl_find(functions, HORA_COUNT(functions), s, n);
}
