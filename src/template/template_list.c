/*
 * Filters over lists: selection, mapping, order. Attributes are paths ("function.name", "0"), each
 * part taken as item[part], as Jinja does. Order ignores the case of letters unless told otherwise.
 */
#include "base/text.h"
#include "template/template_list_impl.h"

#define HAS(a, k) ((a)->set >> (k)&1)

/* item.path, path a string of parts between dots or an integer */
static hora_status attribute(hora_ts *st, const hora_tv *item, const hora_tv *path, hora_tv *out) {
    *out = *item;
    if (path->type != HORA_TV_STRING)
        return hora_tv_item(st, item, path, out);
    for (size_t i = 0; i <= path->n;) {
        const char *dot = i < path->n ? memchr(path->s + i, '.', path->n - i) : NULL;
        size_t end = dot ? (size_t)(dot - path->s) : path->n;
        hora_tv part = hora_tv_borrow(path->s + i, end - i), box = *out;
        int64_t k = 0;
        bool number = end > i && end - i < 10;
        for (size_t j = i; j < end && number; j++) {
            number = path->s[j] >= '0' && path->s[j] <= '9';
            k = number ? k * 10 + (path->s[j] - '0') : 0;
        }
        if (number)
            part = hora_tv_int(k);
        HORA_TRY(hora_tv_item(st, &box, &part, out));
        i = end + 1;
    }
    return HORA_OK;
}

/* A copy of the elements, so that they can be moved. */
static hora_status copy(hora_ts *st, const hora_tv *v, hora_tv **at, size_t *n) {
    const hora_tv *items;
    HORA_TRY(hora_tv_elements(st, v, &items, n));
    HORA_TRY(hora_tv_room(st, *n, sizeof **at, at));
    if (*n)
        memcpy(*at, items, *n * sizeof **at);
    return HORA_OK;
}

hora_status hora_tpl_list(hora_ts *st, const hora_args *a, hora_tv *out) {
    const hora_tv *items;
    size_t n;
    HORA_TRY(hora_tv_elements(st, &a->in, &items, &n));
    *out = hora_tv_seq(HORA_TV_LIST, items, n);
    return HORA_OK;
}

static hora_status end_of(hora_ts *st, const hora_tv *v, bool last, hora_tv *out) {
    const hora_tv *items;
    size_t n;
    HORA_TRY(hora_tv_elements(st, v, &items, &n));
    *out = n ? items[last ? n - 1 : 0] : hora_tv_undefined("an element of an empty list");
    return HORA_OK;
}
hora_status hora_tpl_first(hora_ts *st, const hora_args *a, hora_tv *out) {
    return end_of(st, &a->in, false, out);
}
hora_status hora_tpl_last(hora_ts *st, const hora_args *a, hora_tv *out) {
    return end_of(st, &a->in, true, out);
}

hora_status hora_tpl_reverse(hora_ts *st, const hora_args *a, hora_tv *out) {
    const hora_tv part[3] = {hora_tv_none(), hora_tv_none(), hora_tv_int(-1)};
    hora_tv v = a->in;
    if (v.type != HORA_TV_STRING)
        HORA_TRY(hora_tpl_list(st, a, &v));
    HORA_TRY(hora_tv_slice(st, &v, part, out));
    return v.type == HORA_TV_STRING ? HORA_OK : hora_tv_generator(st, out);
}

hora_status hora_tpl_join(hora_ts *st, const hora_args *a, hora_tv *out) {
    const hora_tv *items;
    size_t n;
    hora_str b = {0};
    hora_tv v, d = hora_tv_borrow("", 0);
    hora_status s = HORA_OK;
    HORA_TRY(hora_tv_elements(st, &a->in, &items, &n));
    if (HAS(a, 0))
        HORA_TRY(hora_tv_text(st, &a->at[0], &d));
    for (size_t i = 0; i < n && !s; i++) {
        v = items[i];
        if (HAS(a, 1) && a->at[1].type != HORA_TV_NONE)
            s = attribute(st, &items[i], &a->at[1], &v);
        if (!s && v.type == HORA_TV_STRING && v.safe)
            s = hora_ts_fail(st,
                             "text out of `safe` next to other text is escaped by Jinja; remove "
                             "`safe` from the template");
        if (!s && i)
            s = hora_tv_print(st, &d, &b);
        if (!s)
            s = hora_tv_print(st, &v, &b);
    }
    return hora_tv_take(st, &b, s, out);
}

/* What elements are ordered by: an attribute (path, or NULL), letters in lower case unless
 * `sensitive`. */
static hora_status order_key(hora_ts *st, const hora_tv *item, const hora_tv *path, bool sensitive,
                             hora_tv *out) {
    *out = *item;
    if (path && path->type != HORA_TV_NONE)
        HORA_TRY(attribute(st, item, path, out));
    if (!sensitive && out->type == HORA_TV_STRING)
        return hora_tpl_case(st, out, 'l', out);
    return HORA_OK;
}

static hora_status order_keys(hora_ts *st, const hora_tv *items, size_t n, const hora_tv *path,
                              bool sensitive, hora_tv **keys) {
    if (path && path->type == HORA_TV_STRING && memchr(path->s, ',', path->n))
        return hora_ts_fail(st, "sorting by several attributes is not supported; sort twice");
    HORA_TRY(hora_tv_room(st, n, sizeof **keys, keys));
    for (size_t i = 0; i < n; i++)
        HORA_TRY(order_key(st, &items[i], path, sensitive, &(*keys)[i]));
    return HORA_OK;
}

hora_status hora_tpl_sort(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at, *keys;
    size_t n;
    HORA_TRY(copy(st, &a->in, &at, &n));
    HORA_TRY(order_keys(st, at, n, HAS(a, 2) ? &a->at[2] : NULL,
                        HAS(a, 1) && hora_tv_truth(&a->at[1]), &keys));
    HORA_TRY(hora_tv_sort(st, keys, at, n, HAS(a, 0) && hora_tv_truth(&a->at[0])));
    *out = hora_tv_seq(HORA_TV_LIST, at, n);
    return HORA_OK;
}

hora_status hora_tpl_items(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at;
    if (a->in.type == HORA_TV_UNDEFINED) {
        *out = hora_tv_seq(HORA_TV_LIST, NULL, 0);
        return hora_tv_generator(st, out);
    }
    if (a->in.type != HORA_TV_DICT)
        return hora_ts_fail(st, "%s has no items; correct the template or the data",
                            hora_tv_name(&a->in));
    HORA_TRY(hora_tv_room(st, a->in.n, sizeof *at, &at));
    for (size_t k = 0; k < a->in.n; k++)
        at[k] = hora_tv_seq(HORA_TV_TUPLE, a->in.list + 2 * k, 2);
    *out = hora_tv_seq(HORA_TV_LIST, at, a->in.n);
    return hora_tv_generator(st, out);
}

hora_status hora_tpl_dictsort(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv pairs, *keys, path = hora_tv_int(0);
    if (HAS(a, 1)) {
        const hora_tv *by = &a->at[1];
        if (by->type != HORA_TV_STRING || (by->n != 3 && by->n != 5) ||
            (memcmp(by->s, "value", by->n) != 0 && memcmp(by->s, "key", by->n) != 0))
            return hora_ts_fail(st, "`dictsort` is by key or by value; correct the template");
        path = hora_tv_int(by->n == 5);
    }
    if (a->in.type != HORA_TV_DICT)
        return hora_ts_fail(st, "%s has no items; correct the template or the data",
                            hora_tv_name(&a->in));
    HORA_TRY(hora_tpl_items(st, a, &pairs));
    HORA_TRY(
        order_keys(st, pairs.list, pairs.n, &path, HAS(a, 0) && hora_tv_truth(&a->at[0]), &keys));
    hora_tv *at;
    size_t n;
    HORA_TRY(copy(st, &pairs, &at, &n));
    HORA_TRY(hora_tv_sort(st, keys, at, n, HAS(a, 2) && hora_tv_truth(&a->at[2])));
    *out = hora_tv_seq(HORA_TV_LIST, at, n);
    return HORA_OK;
}

hora_status hora_tpl_unique(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at, *keys;
    size_t n, kept = 0;
    HORA_TRY(copy(st, &a->in, &at, &n));
    HORA_TRY(order_keys(st, at, n, HAS(a, 1) ? &a->at[1] : NULL,
                        HAS(a, 0) && hora_tv_truth(&a->at[0]), &keys));
    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t k = 0; k < kept && !seen; k++)
            HORA_TRY(hora_tv_equal(st, &keys[k], &keys[i], &seen));
        if (!seen) {
            keys[kept] = keys[i];
            at[kept++] = at[i];
        }
    }
    *out = hora_tv_seq(HORA_TV_LIST, at, kept);
    return hora_tv_generator(st, out);
}

static hora_status extreme(hora_ts *st, const hora_args *a, int sign, hora_tv *out) {
    hora_tv *keys;
    const hora_tv *items;
    size_t n, best = 0;
    HORA_TRY(hora_tv_elements(st, &a->in, &items, &n));
    HORA_TRY(order_keys(st, items, n, HAS(a, 1) ? &a->at[1] : NULL,
                        HAS(a, 0) && hora_tv_truth(&a->at[0]), &keys));
    for (size_t i = 1; i < n; i++) {
        int order;
        HORA_TRY(hora_tv_order(st, &keys[i], &keys[best], &order));
        best = order == sign ? i : best;
    }
    *out = n ? items[best] : hora_tv_undefined("an element of an empty list");
    return HORA_OK;
}
hora_status hora_tpl_min(hora_ts *st, const hora_args *a, hora_tv *out) {
    return extreme(st, a, -1, out);
}
hora_status hora_tpl_max(hora_ts *st, const hora_args *a, hora_tv *out) {
    return extreme(st, a, 1, out);
}

hora_status hora_tpl_sum(hora_ts *st, const hora_args *a, hora_tv *out) {
    const hora_tv *items;
    size_t n;
    hora_tv v, total = HAS(a, 1) ? a->at[1] : hora_tv_int(0);
    HORA_TRY(hora_tv_elements(st, &a->in, &items, &n));
    for (size_t i = 0; i < n; i++) {
        hora_tv before = total;
        v = items[i];
        if (HAS(a, 0) && a->at[0].type != HORA_TV_NONE)
            HORA_TRY(attribute(st, &items[i], &a->at[0], &v));
        HORA_TRY(hora_tv_binary(st, '+', &before, &v, &total));
    }
    *out = total;
    return HORA_OK;
}

/* Number of the keyword argument `name` among the arguments, or -1. */
static int keyword(const hora_args *a, const char *name) {
    for (int i = 0; i < a->n; i++)
        if (a->list[i]->kind == HORA_TN_KEYWORD && a->list[i]->n == strlen(name) &&
            !memcmp(a->list[i]->s, name, a->list[i]->n))
            return i;
    return -1;
}

/* Arguments from number `from` on, as those of the filter or test `fn`. */
static hora_status pass_on(hora_ts *st, const hora_args *a, int from, const hora_builtin *fn,
                           hora_args *inner) {
    int n = a->n > from ? a->n - from : 0;
    if (fn->params[0] == '*' || n > hora_tpl_params(fn) || n < fn->need)
        return hora_ts_fail(st, "`%s` does not take %d arguments here; correct the template",
                            fn->name, n);
    for (int i = from; i < a->n; i++)
        if (a->list[i]->kind == HORA_TN_KEYWORD)
            return hora_ts_fail(st, "arguments by name are not supported here; give them in order");
    *inner = (hora_args){.at = a->at + from, .n = n, .set = (1u << n) - 1};
    return HORA_OK;
}

hora_status hora_tpl_map(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at;
    size_t n;
    hora_args inner;
    const hora_builtin *fn = NULL;
    int attr = keyword(a, "attribute"), def = keyword(a, "default");
    HORA_TRY(copy(st, &a->in, &at, &n));
    if (attr < 0) {
        if (a->at[0].type != HORA_TV_STRING || a->list[0]->kind == HORA_TN_KEYWORD ||
            !(fn = hora_tpl_filter(a->at[0].s, a->at[0].n)))
            return hora_ts_fail(st, "`map` takes attribute=.. or the name of a filter; correct the "
                                    "template");
        HORA_TRY(pass_on(st, a, 1, fn, &inner));
    } else if (a->n != 1 + (def >= 0)) {
        return hora_ts_fail(st, "`map` takes attribute and default only; correct the template");
    }
    for (size_t i = 0; i < n; i++) {
        hora_tv v;
        if (fn) {
            inner.in = at[i];
            HORA_TRY(fn->call(st, &inner, &v));
        } else {
            HORA_TRY(attribute(st, &at[i], &a->at[attr], &v));
            if (def >= 0 && v.type == HORA_TV_UNDEFINED)
                v = a->at[def];
        }
        at[i] = v;
    }
    *out = hora_tv_seq(HORA_TV_LIST, at, n);
    return hora_tv_generator(st, out);
}

/* Elements whose value (or attribute) passes the test; the value's truth when no test is named. */
static hora_status choose(hora_ts *st, const hora_args *a, bool by_attr, bool want, hora_tv *out) {
    hora_tv *at;
    size_t n, kept = 0;
    int from = by_attr;
    hora_args inner;
    const hora_builtin *fn = NULL;
    HORA_TRY(copy(st, &a->in, &at, &n));
    if (a->n > from) {
        if (a->at[from].type != HORA_TV_STRING ||
            !(fn = hora_tpl_test(a->at[from].s, a->at[from].n)))
            return hora_ts_fail(st, "this filter takes the name of a test; correct the template");
        HORA_TRY(pass_on(st, a, from + 1, fn, &inner));
    }
    for (size_t i = 0; i < n; i++) {
        hora_tv v = at[i], yes;
        if (by_attr)
            HORA_TRY(attribute(st, &at[i], &a->at[0], &v));
        yes = v;
        if (fn) {
            inner.in = v;
            HORA_TRY(fn->call(st, &inner, &yes));
        }
        if (hora_tv_truth(&yes) == want)
            at[kept++] = at[i];
    }
    *out = hora_tv_seq(HORA_TV_LIST, at, kept);
    return hora_tv_generator(st, out);
}
hora_status hora_tpl_select(hora_ts *st, const hora_args *a, hora_tv *out) {
    return choose(st, a, false, true, out);
}
hora_status hora_tpl_reject(hora_ts *st, const hora_args *a, hora_tv *out) {
    return choose(st, a, false, false, out);
}
hora_status hora_tpl_selectattr(hora_ts *st, const hora_args *a, hora_tv *out) {
    return choose(st, a, true, true, out);
}
hora_status hora_tpl_rejectattr(hora_ts *st, const hora_args *a, hora_tv *out) {
    return choose(st, a, true, false, out);
}
