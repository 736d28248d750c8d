/*
 * What templates call: methods of mappings, lists and loops, and functions (those of strings:
 * template_string.c). Methods behave as Python's; one that stands in no row is refused by name.
 * strftime_now gives the date that the template was opened with (hora_template_date), so that a run
 * can be repeated.
 */
#include "base/text.h"
#include "template/template_list_impl.h"

#define HAS(a, k)  ((a)->set >> (k)&1)
#define METHOD(fn) static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out)

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
METHOD(d_copy) {
    (void)st;
    *out = a->in; /* nothing changes a mapping */
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
    hora_note_lost(st); /* it remembers */
    bool same = l->changed && l->nchanged == a->n;
    for (int i = 0; i < a->n && same; i++)
        HORA_TRY(hora_tv_equal(st, &l->changed[i], &a->at[i], &same));
    if (!same) {
        HORA_TRY(hora_tv_room(st, (size_t)a->n, sizeof *l->changed, &l->changed));
        memcpy(l->changed, a->at, (size_t)a->n * sizeof *l->changed);
        l->nchanged = a->n;
        st->oldest = 0;
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

/* Name and value of the arguments, a mapping in front taken apart: pairs of a dict. */
static hora_status pairs(hora_ts *st, const hora_args *a, const char *what, hora_tv *out) {
    hora_tv *at;
    size_t n = 0;
    bool base = a->n && !a->given[0].s;
    if (base && a->at[0].type != HORA_TV_DICT)
        return hora_ts_fail(st, "`%s` takes a mapping and name=value here; correct the template",
                            what);
    size_t from = base ? a->at[0].n : 0;
    HORA_TRY(hora_tv_room(st, from + (size_t)a->n, 2 * sizeof *at, &at));
    for (; n < from; n++) {
        at[2 * n] = a->at[0].list[2 * n];
        at[2 * n + 1] = a->at[0].list[2 * n + 1];
    }
    for (int i = base; i < a->n; i++) {
        const hora_tv *old;
        hora_tv so_far = hora_tv_seq(HORA_TV_DICT, at, n);
        if (!a->given[i].s)
            return hora_ts_fail(st, "`%s` takes a mapping and name=value; correct the template",
                                what);
        hora_tv key = hora_tv_borrow(a->given[i].s, a->given[i].n);
        HORA_TRY(hora_tv_dict_get(st, &so_far, &key, &old));
        if (old) {
            at[old - at] = a->at[i];
            continue;
        }
        at[2 * n] = key;
        at[2 * n++ + 1] = a->at[i];
    }
    *out = hora_tv_seq(HORA_TV_DICT, at, n);
    return HORA_OK;
}

METHOD(g_namespace) {
    hora_space *space = hora_space_new(st, NULL);
    hora_tv v;
    HORA_TRY(pairs(st, a, "namespace", &v));
    for (size_t i = 0; i < v.n; i++) {
        const hora_tv *key = &v.list[2 * i];
        int id = key->type == HORA_TV_STRING ? hora_tpl_name(st->t, key->s, key->n) : -1;
        if (id >= 0) /* a name that the template does not spell is never asked for */
            hora_space_set(st, space, id, v.list[2 * i + 1]);
    }
    *out = (hora_tv){.type = HORA_TV_SPACE, .space = space};
    return HORA_OK;
}

METHOD(g_dict) {
    return pairs(st, a, "dict", out);
}

/* Python's strftime in the C locale; %f has no part of a second here. */
METHOD(g_strftime) {
    char b[512];
    HORA_TRY(hora_tpl_need_string(st, &a->at[0]));
    hora_str format = {0};
    for (size_t i = 0; i < a->at[0].n; i++) {
        const char *s = a->at[0].s + i;
        bool two = *s == '%' && i + 1 < a->at[0].n;
        if (two && (s[1] == 'z' || s[1] == 'Z')) /* a date without a zone has none to name */
            i++;
        else if (two && s[1] == 'f')
            hora_str_puts(&format, i++ ? "000000" : "000000");
        else if (two)
            hora_str_add(&format, s, (size_t)(++i > 0) + 1);
        else
            hora_str_putc(&format, *s);
    }
    hora_str_putc(&format, '.'); /* so that nothing is not an error */
    size_t n = strftime(b, sizeof b, format.s, &st->t->date);
    hora_str_release(&format);
    if (!n)
        return hora_ts_fail(st, "this date is too long; correct the template");
    return hora_tv_string(st, b, n - 1, out);
}

/* cycler(a, b): .current, .next(), .reset() */
METHOD(g_cycler) {
    hora_loop *l = hora_pool_get(&st->pool, sizeof *l);
    hora_tv *items;
    if (!a->n)
        return hora_ts_fail(st, "`cycler` needs values; correct the template");
    HORA_TRY(hora_tv_room(st, (size_t)a->n, sizeof *items, &items));
    for (int i = 0; i < a->n; i++) {
        if (a->given[i].s)
            return hora_ts_fail(st, "`cycler` takes no names; correct the template");
        items[i] = a->at[i];
    }
    *l = (hora_loop){.items = items, .n = (size_t)a->n, .cycler = true};
    *out = (hora_tv){.type = HORA_TV_LOOP, .loop = l};
    return HORA_OK;
}
METHOD(c_next) {
    hora_loop *l = a->in.loop;
    *out = l->items[l->i];
    l->i = (l->i + 1) % l->n;
    (void)st;
    return HORA_OK;
}
METHOD(c_reset) {
    a->in.loop->i = 0;
    *out = hora_tv_none();
    (void)st;
    return HORA_OK;
}

/* joiner(sep): nothing when it is called first, sep from then on */
static hora_status j_call(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_loop *l = a->in.loop;
    *out = l->i++ ? l->items[0] : hora_tv_borrow("", 0);
    (void)st;
    return HORA_OK;
}
METHOD(g_joiner) {
    static const hora_builtin fn = {"joiner", "", 0, j_call, 0};
    hora_loop *l = hora_pool_get(&st->pool, sizeof *l);
    hora_tv *self, *sep;
    HORA_TRY(hora_tv_room(st, 1, sizeof *self, &self));
    HORA_TRY(hora_tv_room(st, 1, sizeof *sep, &sep));
    *sep = a->set & 1 ? a->at[0] : hora_tv_borrow(", ", 2);
    *l = (hora_loop){.items = sep, .n = 1, .cycler = true};
    *self = (hora_tv){.type = HORA_TV_LOOP, .loop = l};
    *out = (hora_tv){.type = HORA_TV_METHOD, .fn = &fn, .list = self};
    return HORA_OK;
}

METHOD(g_range) {
    int64_t v[3] = {0, 0, 1}, n = 0;
    hora_tv *at;
    for (int i = 0; i < a->n && i < 3; i++)
        if (a->given[i].s || !hora_tv_integer(&a->at[i], &v[i]))
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
#define DICT HORA_ON(HORA_TV_DICT)
#define ROWS (HORA_ON(HORA_TV_LIST) | HORA_ON(HORA_TV_TUPLE))
#define LOOP HORA_ON(HORA_TV_LOOP)
static const hora_builtin methods[] = {
    {"get", "key default", 1, d_get, DICT}, {"items", "", 0, d_items, DICT},
    {"copy", "", 0, d_copy, DICT},          {"keys", "", 0, d_keys, DICT},
    {"values", "", 0, d_values, DICT},      {"index", "value", 1, l_index, ROWS},
    {"count", "value", 1, l_count, ROWS},   {"cycle", "*", 0, o_cycle, LOOP},
    {"changed", "*", 0, o_changed, LOOP}};

static const hora_builtin functions[] = {{"raise_exception", "message", 1, g_raise, 0},
                                         {"namespace", "*", 0, g_namespace, 0},
                                         {"dict", "*", 0, g_dict, 0},
                                         {"range", "*", 0, g_range, 0},
                                         {"cycler", "*", 0, g_cycler, 0},
                                         {"joiner", "sep", 0, g_joiner, 0},
                                         {"strftime_now", "format", 1, g_strftime, 0}};

const hora_builtin *hora_tpl_method(int type, const char *s, size_t n) {
    /* mappings have many attributes and none of the methods of texts */
    const size_t first = type < 0 || type == HORA_TV_STRING ? 0 : hora_tpl_n_text_methods;
    for (size_t i = first; i < hora_tpl_n_text_methods + HORA_COUNT(methods); i++) {
        const hora_builtin *m = i < hora_tpl_n_text_methods ? &hora_tpl_text_methods[i]
                                                            : &methods[i - hora_tpl_n_text_methods];
        if (*m->name == *s && (type < 0 || (m->on >> type & 1)) && strlen(m->name) == n &&
            !memcmp(m->name, s, n))
            return m;
    }
    return NULL;
}

const hora_builtin *hora_tpl_cycler(const char *s, size_t n) {
    static const hora_builtin rows[] = {{"next", "", 0, c_next, 0}, {"reset", "", 0, c_reset, 0}};
    return hora_tpl_find(rows, HORA_COUNT(rows), s, n);
}

const hora_builtin *hora_tpl_function(const char *s, size_t n) {
    return hora_tpl_find(functions, HORA_COUNT(functions), s, n);
}
