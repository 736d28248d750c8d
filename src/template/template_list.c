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
        if (!s && i)
            s = hora_tv_print(st, &d, &b);
        if (!s)
            s = hora_tv_print(st, &v, &b);
    }
    return hora_tv_take(st, &b, s, out);
}

static hora_status order_key(hora_ts *st, const hora_tv *item, const hora_tv *path, bool sensitive,
                             hora_tv *out);

/* Several attributes with commas between: a list of keys. */
static hora_status order_by_several(hora_ts *st, const hora_tv *item, const hora_tv *paths,
                                    bool sensitive, hora_tv *out) {
    size_t n = 1, k = 0, from = 0;
    hora_tv *at;
    for (size_t i = 0; i < paths->n; i++)
        n += paths->s[i] == ',';
    HORA_TRY(hora_tv_room(st, n, sizeof *at, &at));
    for (size_t i = 0; i <= paths->n; i++)
        if (i == paths->n || paths->s[i] == ',') {
            hora_tv path = hora_tv_borrow(paths->s + from, i - from);
            HORA_TRY(order_key(st, item, &path, sensitive, &at[k++]));
            from = i + 1;
        }
    *out = hora_tv_seq(HORA_TV_LIST, at, n);
    return HORA_OK;
}

/* What elements are ordered by: an attribute (path, or NULL), letters in lower case unless
 * `sensitive`. */
static hora_status order_key(hora_ts *st, const hora_tv *item, const hora_tv *path, bool sensitive,
                             hora_tv *out) {
    *out = *item;
    if (path && path->type == HORA_TV_STRING && memchr(path->s, ',', path->n))
        return order_by_several(st, item, path, sensitive, out);
    if (path && path->type != HORA_TV_NONE)
        HORA_TRY(attribute(st, item, path, out));
    if (!sensitive && out->type == HORA_TV_STRING)
        return hora_tpl_case(st, out, 'l', out);
    return HORA_OK;
}

static hora_status order_keys(hora_ts *st, const hora_tv *items, size_t n, const hora_tv *path,
                              bool sensitive, hora_tv **keys) {
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
        if (a->given[i].s && a->given[i].n == strlen(name) &&
            !memcmp(a->given[i].s, name, a->given[i].n))
            return i;
    return -1;
}

/* Arguments from number `from` on, as those of the filter or test `fn`. */
static hora_status pass_on(hora_ts *st, const hora_args *a, int from, const hora_builtin *fn,
                           hora_args *inner) {
    *inner = (hora_args){0};
    return hora_ts_bind(st, fn, a->given + from, a->n > from ? a->n - from : 0, inner);
}

/* Jinja's lazy filters give nothing for whatever is false. */
static hora_status lazy_copy(hora_ts *st, const hora_tv *v, hora_tv **at, size_t *n) {
    hora_tv none = hora_tv_undefined("");
    bool empty = !hora_tv_truth(v) && !(v->type == HORA_TV_LIST && v->once);
    return copy(st, empty ? &none : v, at, n);
}

hora_status hora_tpl_map(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at;
    size_t n;
    hora_args inner;
    const hora_builtin *fn = NULL;
    int attr = keyword(a, "attribute"), def = keyword(a, "default");
    HORA_TRY(lazy_copy(st, &a->in, &at, &n));
    if (attr < 0) {
        if (a->at[0].type != HORA_TV_STRING || a->given[0].s ||
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
    HORA_TRY(lazy_copy(st, &a->in, &at, &n));
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

/* ---- parts ---- */
/* Lists of `size` elements; the last one may be shorter, or is filled up. */
hora_status hora_tpl_batch(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at, *rows;
    size_t n, k = 0;
    int64_t size;
    HORA_TRY(copy(st, &a->in, &at, &n));
    if (!hora_tv_integer(&a->at[0], &size) || size < 1)
        return hora_ts_fail(st, "`batch` takes a number of elements; correct the template");
    bool fill = HAS(a, 1) && a->at[1].type != HORA_TV_NONE;
    HORA_TRY(hora_tv_room(st, n / (size_t)size + 1, sizeof *rows, &rows));
    for (size_t i = 0; i < n; i += (size_t)size) {
        size_t left = n - i < (size_t)size ? n - i : (size_t)size;
        rows[k] = hora_tv_seq(HORA_TV_LIST, at + i, left);
        if (fill && left < (size_t)size) {
            hora_tv *full;
            HORA_TRY(hora_tv_room(st, (size_t)size, sizeof *full, &full));
            for (size_t j = 0; j < (size_t)size; j++)
                full[j] = j < left ? at[i + j] : a->at[1];
            rows[k] = hora_tv_seq(HORA_TV_LIST, full, (size_t)size);
        }
        k++;
    }
    *out = hora_tv_seq(HORA_TV_LIST, rows, k);
    return hora_tv_generator(st, out);
}

/* That many lists, the first ones longer by one where it does not come out even. */
hora_status hora_tpl_slice(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at, *rows;
    size_t n, from = 0;
    int64_t count;
    HORA_TRY(copy(st, &a->in, &at, &n));
    if (!hora_tv_integer(&a->at[0], &count) || count < 1 || count > 100000)
        return hora_ts_fail(st, "`slice` takes a number of lists; correct the template");
    if (HAS(a, 1) && a->at[1].type != HORA_TV_NONE)
        return hora_ts_fail(st, "`slice` does not fill up here; correct the template");
    HORA_TRY(hora_tv_room(st, (size_t)count, sizeof *rows, &rows));
    for (size_t k = 0; k < (size_t)count; k++) {
        size_t size = n / (size_t)count + (k < n % (size_t)count);
        rows[k] = hora_tv_seq(HORA_TV_LIST, at + from, size);
        from += size;
    }
    *out = hora_tv_seq(HORA_TV_LIST, rows, (size_t)count);
    return hora_tv_generator(st, out);
}

/* Pairs (value of the attribute, list of the elements that have it), in the order of the values. */
hora_status hora_tpl_groupby(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv *at, *keys, *rows;
    size_t n, count = 0;
    bool sensitive = HAS(a, 2) && hora_tv_truth(&a->at[2]);
    HORA_TRY(copy(st, &a->in, &at, &n));
    HORA_TRY(order_keys(st, at, n, &a->at[0], sensitive, &keys));
    for (size_t i = 0; i < n && HAS(a, 1); i++)
        keys[i] = keys[i].type == HORA_TV_UNDEFINED ? a->at[1] : keys[i];
    HORA_TRY(hora_tv_sort(st, keys, at, n, false));
    HORA_TRY(hora_tv_room(st, n, sizeof *rows, &rows));
    for (size_t i = 0, end; i < n; i = end) {
        bool same = true;
        for (end = i + 1; end < n; end++) {
            HORA_TRY(hora_tv_equal(st, &keys[i], &keys[end], &same));
            if (!same)
                break;
        }
        hora_tv *pair;
        HORA_TRY(hora_tv_room(st, 2, sizeof *pair, &pair));
        HORA_TRY(attribute(st, &at[i], &a->at[0], &pair[0])); /* as the first of them spells it */
        if (pair[0].type == HORA_TV_UNDEFINED && HAS(a, 1))
            pair[0] = a->at[1];
        pair[1] = hora_tv_seq(HORA_TV_LIST, at + i, end - i);
        rows[count++] = hora_tv_seq(HORA_TV_TUPLE, pair, 2);
    }
    *out = hora_tv_seq(HORA_TV_LIST, rows, count);
    return HORA_OK;
}
