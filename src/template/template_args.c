/*
 * Arguments of calls: evaluated in order, with * and ** taken apart, then bound to the parameters
 * of a built-in or of a macro as Python binds them. A macro's body may speak of varargs, kwargs and
 * caller; it takes further arguments only if it does.
 */
#include "template/template_impl.h"

static bool same_name(const hora_arg *a, const char *s, size_t n) {
    return a->s && a->n == n && !memcmp(a->s, s, n);
}

static hora_status add(hora_ts *st, hora_arg *out, int *n, hora_arg a) {
    if (*n == HORA_TPL_MAX_ARGS)
        return hora_ts_fail(st, "more than %d arguments; correct the template", HORA_TPL_MAX_ARGS);
    for (int i = 0; a.s && i < *n; i++)
        if (same_name(&out[i], a.s, a.n))
            return hora_ts_fail(st, "the argument `%.*s` is given twice; correct the template",
                                (int)(a.n > 40 ? 40 : a.n), a.s);
    out[(*n)++] = a;
    return HORA_OK;
}

static hora_status spread(hora_ts *st, const hora_tn *e, hora_arg *out, int *n) {
    const hora_tv *items;
    hora_tv v;
    size_t count;
    HORA_TRY(hora_ts_eval(st, e->a, &v));
    st->at = e;
    if (!e->op) {
        HORA_TRY(hora_tv_elements(st, &v, &items, &count));
        for (size_t i = 0; i < count; i++)
            HORA_TRY(add(st, out, n, (hora_arg){.v = items[i]}));
        return HORA_OK;
    }
    if (v.type != HORA_TV_DICT)
        return hora_ts_fail(st, "`**` takes a mapping, not %s; correct the template",
                            hora_tv_name(&v));
    for (size_t i = 0; i < v.n; i++) {
        const hora_tv *key = &v.list[2 * i];
        if (key->type != HORA_TV_STRING)
            return hora_ts_fail(st,
                                "`**` takes a mapping of names, not of %s; correct the template",
                                hora_tv_name(key));
        HORA_TRY(add(st, out, n, (hora_arg){key->s, key->n, v.list[2 * i + 1]}));
    }
    return HORA_OK;
}

hora_status hora_ts_args(hora_ts *st, hora_tn *const *list, int n, hora_arg **out, int *count) {
    bool some = false;
    hora_tv *room;
    *count = 0;
    for (int i = 0; i < n; i++)
        some = some || list[i]->kind == HORA_TN_SPREAD;
    HORA_TRY(hora_tv_room(st, some ? HORA_TPL_MAX_ARGS : (size_t)n, sizeof **out, &room));
    *out = (hora_arg *)room;
    for (int i = 0; i < n; i++) {
        const hora_tn *e = list[i];
        hora_arg a = {0};
        if (e->kind == HORA_TN_SPREAD) {
            HORA_TRY(spread(st, e, *out, count));
            continue;
        }
        if (e->kind == HORA_TN_KEYWORD) {
            a.s = e->s;
            a.n = e->n;
            e = e->a;
        }
        HORA_TRY(hora_ts_eval(st, e, &a.v));
        HORA_TRY(add(st, *out, count, a));
    }
    return HORA_OK;
}

hora_status hora_ts_bind(hora_ts *st, const hora_builtin *fn, const hora_arg *given, int n,
                         hora_args *a) {
    bool any = fn->params[0] == '*';
    hora_tv *room;
    HORA_TRY(hora_tv_room(st, any ? (size_t)n : (size_t)hora_tpl_params(fn), sizeof *room, &room));
    a->at = room;
    a->given = given;
    a->n = n;
    a->set = 0;
    for (int i = 0; i < n; i++) {
        int k = given[i].s && !any ? hora_tpl_param(fn, given[i].s, given[i].n) : i;
        if (k < 0 || (!any && k >= hora_tpl_params(fn)) || (k < 32 && (a->set >> k & 1)))
            return hora_ts_fail(st,
                                "`%s` does not take these arguments (it takes: %s); correct "
                                "the template",
                                fn->name, any ? "any" : fn->params);
        a->at[k] = given[i].v;
        a->set |= k < 32 ? 1u << k : 0;
    }
    for (int k = 0; k < fn->need; k++)
        if (!(a->set >> k & 1))
            return hora_ts_fail(st, "`%s` lacks an argument (it takes: %s); correct the template",
                                fn->name, fn->params);
    return HORA_OK;
}

/* ---- macros ---- */
static int parameter(const hora_ts *st, const hora_tn *m, const hora_arg *a) {
    int id = hora_tpl_name(st->t, a->s, a->n);
    for (int k = 0; id >= 0 && k < m->ntargets; k++)
        if (m->targets[k]->name == id)
            return k;
    return -1;
}

/* Arguments that no parameter takes become varargs and kwargs. */
static hora_status rest(hora_ts *st, const hora_tn *m, const hora_arg *given, int n,
                        hora_space *scope) {
    hora_tv *more, *pairs;
    size_t nmore = 0, npairs = 0;
    HORA_TRY(hora_tv_room(st, (size_t)n, sizeof *more, &more));
    HORA_TRY(hora_tv_room(st, (size_t)n, 2 * sizeof *pairs, &pairs));
    for (int i = 0; i < n; i++) {
        if (!given[i].s && i >= m->ntargets) {
            more[nmore++] = given[i].v;
        } else if (given[i].s && parameter(st, m, &given[i]) < 0) {
            pairs[2 * npairs] = hora_tv_borrow(given[i].s, given[i].n);
            pairs[2 * npairs++ + 1] = given[i].v;
        }
    }
    bool caller = npairs == 1 && pairs[0].n == 6 && !memcmp(pairs[0].s, "caller", 6);
    if ((nmore && !(m->op & HORA_TPL_VARARGS)) || (npairs && !(m->op & HORA_TPL_KWARGS) && !caller))
        return hora_ts_fail(st, "the macro `%s` does not take these arguments; correct the call",
                            m->name < 0 ? "caller" : st->t->names[m->name]);
    int id = hora_tpl_name(st->t, "varargs", 7);
    if (m->op & HORA_TPL_VARARGS)
        hora_space_set(st, scope, id, hora_tv_seq(HORA_TV_TUPLE, more, nmore));
    id = hora_tpl_name(st->t, "kwargs", 6);
    if (m->op & HORA_TPL_KWARGS)
        hora_space_set(st, scope, id, hora_tv_seq(HORA_TV_DICT, pairs, npairs));
    return HORA_OK;
}

/* Arguments by position, then by name, then defaults, which are evaluated inside and may use the
 * parameters before them. */
hora_status hora_ts_macro(hora_ts *st, const hora_tv *f, const hora_arg *given, int n,
                          const hora_tv *caller, hora_tv *out) {
    const hora_tn *m = f->macro->node;
    hora_space *scope = hora_space_new(st, f->macro->scope), *saved = st->scope;
    hora_tv v;
    for (int i = 0; i < n; i++) {
        int k = given[i].s ? parameter(st, m, &given[i]) : i;
        if (k < 0 || k >= m->ntargets)
            continue;
        if (hora_space_get(scope, m->targets[k]->name, &v))
            return hora_ts_fail(st, "the macro `%s` gets the argument `%s` twice; correct the call",
                                m->name < 0 ? "caller" : st->t->names[m->name],
                                st->t->names[m->targets[k]->name]);
        hora_space_set(st, scope, m->targets[k]->name, given[i].v);
    }
    HORA_TRY(rest(st, m, given, n, scope));
    int id = hora_tpl_name(st->t, "caller", 6);
    if (caller && id >= 0)
        hora_space_set(st, scope, id, *caller);
    for (int k = 0; k < m->ntargets; k++) {
        v = hora_tv_undefined(st->t->names[m->targets[k]->name]);
        if (hora_space_get(scope, m->targets[k]->name, &v))
            continue;
        if (m->targets[k]->a) {
            st->scope = scope;
            hora_status s = hora_ts_eval(st, m->targets[k]->a, &v);
            st->scope = saved;
            HORA_TRY(s);
        }
        hora_space_set(st, scope, m->targets[k]->name, v);
    }
    return hora_ts_capture(st, scope, m, out);
}
