/*
 * Runs a parsed template: scopes, statements, expressions, calls. The invariants: every evaluation
 * costs a step, every nesting costs depth, so that a rendering ends; what an operator or built-in
 * does with values is not decided here (template_value.c and its neighbours).
 *
 * Scopes follow Jinja: `if` has none of its own, each iteration of `for` has one, and so have a
 * macro's body (inside the scope of its definition), `set` with a body, and `generation`.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "template/template_impl.h"

enum { GO, BREAK, CONTINUE }; /* signals of a body */

hora_status hora_ts_fail(hora_ts *st, const char *fmt, ...) {
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return hora_fail(HORA_EFORMAT, "%s, line %d, column %d: %s", st->t->what, st->at->line,
                     st->at->col, text);
}

hora_status hora_ts_step(hora_ts *st, size_t cost) {
    st->steps += (int64_t)(cost < (size_t)HORA_TPL_STEPS ? cost : (size_t)HORA_TPL_STEPS);
    if (st->steps > HORA_TPL_STEPS)
        return hora_ts_fail(st, "rendering does not come to an end; simplify the template");
    if (st->pool.total > HORA_TPL_MEMORY)
        return hora_ts_fail(st, "rendering needs too much memory; simplify the template");
    if (st->out->n > HORA_TPL_OUTPUT)
        return hora_ts_fail(st, "the text gets too long; cut the conversation or the template");
    return HORA_OK;
}

hora_status hora_ts_enter(hora_ts *st) {
    if (++st->depth > HORA_TPL_DEPTH)
        return hora_ts_fail(st, "evaluation is nested too deeply; simplify the template");
    return hora_ts_step(st, 1);
}

/* ---- scopes ---- */
hora_space *hora_space_new(hora_ts *st, hora_space *outer) {
    hora_space *s = hora_pool_get(&st->pool, sizeof *s);
    s->outer = outer;
    return s;
}

bool hora_space_get(const hora_space *s, int name, hora_tv *out) {
    for (int i = 0; i < s->n; i++)
        if (s->names[i] == name) {
            *out = s->values[i];
            return true;
        }
    return false;
}

void hora_space_set(hora_ts *st, hora_space *s, int name, hora_tv v) {
    for (int i = 0; i < s->n; i++)
        if (s->names[i] == name) {
            s->values[i] = v;
            return;
        }
    if (s->n == s->cap) {
        int cap = s->cap ? s->cap * 2 : 4;
        int *names = hora_pool_get(&st->pool, (size_t)cap * sizeof *names);
        hora_tv *values = hora_pool_get(&st->pool, (size_t)cap * sizeof *values);
        if (s->n) {
            memcpy(names, s->names, (size_t)s->n * sizeof *names);
            memcpy(values, s->values, (size_t)s->n * sizeof *values);
        }
        s->names = names;
        s->values = values;
        s->cap = cap;
    }
    s->names[s->n] = name;
    s->values[s->n++] = v;
}

/* A variable of the caller: turned into a value once, on first use, and kept in the outermost
 * scope. */
static hora_status outer_variable(hora_ts *st, hora_space *root, int name, hora_tv *out) {
    const char *s = st->t->names[name];
    const hora_json *j = hora_json_get(st->vars, s);
    const hora_builtin *fn;
    if (st->prompt >= 0 && hora_eq(s, "add_generation_prompt"))
        *out = hora_tv_bool(st->prompt != 0);
    else if (j)
        HORA_TRY(hora_tv_json(st, j, out));
    else if ((fn = hora_tpl_function(s, strlen(s))) != NULL)
        *out = (hora_tv){.type = HORA_TV_FUNCTION, .fn = fn};
    else
        *out = hora_tv_undefined(s);
    if (j && st->turns >= 0 && hora_eq(s, "messages") && out->type == HORA_TV_LIST &&
        (size_t)st->turns < out->n)
        out->n = (size_t)st->turns;
    if (out->type != HORA_TV_UNDEFINED)
        hora_space_set(st, root, name, *out);
    return HORA_OK;
}

static hora_status variable(hora_ts *st, int name, hora_tv *out) {
    hora_space *s = st->scope;
    for (;; s = s->outer) {
        if (hora_space_get(s, name, out))
            return HORA_OK;
        if (!s->outer)
            return outer_variable(st, s, name, out);
    }
}

static hora_status assign(hora_ts *st, hora_space *scope, hora_tn *const *targets, int n,
                          const hora_tv *v) {
    const hora_tv *items;
    size_t count;
    if (n == 1) {
        hora_space_set(st, scope, targets[0]->name, *v);
        return HORA_OK;
    }
    HORA_TRY(hora_tv_elements(st, v, &items, &count));
    if (count != (size_t)n)
        return hora_ts_fail(st, "%zu values for %d names; correct the template or the data", count,
                            n);
    for (int i = 0; i < n; i++)
        hora_space_set(st, scope, targets[i]->name, items[i]);
    return HORA_OK;
}

/* ---- expressions ---- */
static hora_status eval_list(hora_ts *st, const hora_tn *e, hora_tv_type type, hora_tv *out) {
    hora_tv *at;
    HORA_TRY(hora_tv_room(st, (size_t)e->nlist, sizeof *at, &at));
    for (int i = 0; i < e->nlist; i++)
        HORA_TRY(hora_ts_eval(st, e->list[i], &at[i]));
    if (type != HORA_TV_DICT) {
        *out = hora_tv_seq(type, at, (size_t)e->nlist);
        return HORA_OK;
    }
    size_t n = 0;
    for (int i = 0; i < e->nlist; i += 2) {
        hora_tv d = hora_tv_seq(HORA_TV_DICT, at, n);
        const hora_tv *old;
        st->at = e;
        HORA_TRY(hora_tv_dict_get(st, &d, &at[i], &old));
        if (old) {
            at[old - at] = at[i + 1];
            continue;
        }
        at[2 * n] = at[i];
        at[2 * n++ + 1] = at[i + 1];
    }
    *out = hora_tv_seq(HORA_TV_DICT, at, n);
    return HORA_OK;
}

static hora_status eval_compare(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv left, right;
    HORA_TRY(hora_ts_eval(st, e->a, &left));
    for (int i = 0; i < e->nlist; i++) {
        const hora_tn *c = e->list[i];
        HORA_TRY(hora_ts_eval(st, c->b, &right));
        st->at = c;
        HORA_TRY(hora_tv_binary(st, c->op, &left, &right, out));
        if (!hora_tv_truth(out))
            return HORA_OK;
        left = right;
    }
    return HORA_OK;
}

static hora_status eval_sign(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv zero = hora_tv_int(0), v;
    double r;
    HORA_TRY(hora_ts_eval(st, e->a, &v));
    st->at = e;
    if (!hora_tv_number(&v, &r))
        return hora_ts_fail(st, "%s has no sign; correct the template", hora_tv_name(&v));
    if (e->kind == HORA_TN_NEG && v.type == HORA_TV_REAL) {
        *out = hora_tv_real(-v.r); /* 0 - 0.0 would lose the sign */
        return HORA_OK;
    }
    return hora_tv_binary(st, e->kind == HORA_TN_NEG ? '-' : '+', &zero, &v, out);
}

/* Filters and methods keep the mark that `safe` sets. */
static void keep_safe(const hora_tv *in, hora_tv *out) {
    if (in->type == HORA_TV_STRING && in->safe && out->type == HORA_TV_STRING)
        out->safe = true;
}

static hora_status eval_builtin(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv at[HORA_TPL_MAX_ARGS];
    hora_args a = {.at = at};
    HORA_TRY(hora_ts_eval(st, e->a, &a.in));
    st->at = e;
    HORA_TRY(hora_ts_bind(st, e->fn, e->list, e->nlist, &a));
    st->at = e;
    HORA_TRY(e->fn->call(st, &a, out));
    if (e->kind == HORA_TN_TEST)
        *out = hora_tv_bool(hora_tv_truth(out) != (e->op != 0));
    else if (strcmp(e->fn->name, "tojson") != 0)
        keep_safe(&a.in, out);
    return HORA_OK;
}

hora_status hora_ts_bind(hora_ts *st, const hora_builtin *fn, hora_tn *const *list, int n,
                         hora_args *a) {
    bool any = fn->params[0] == '*';
    a->list = list;
    a->n = n;
    a->set = 0;
    for (int i = 0; i < n; i++) {
        const hora_tn *arg = list[i];
        bool keyword = arg->kind == HORA_TN_KEYWORD;
        int k = keyword && !any ? hora_tpl_param(fn, arg->s, arg->n) : i;
        if (k < 0 || k >= HORA_TPL_MAX_ARGS || (!any && k >= hora_tpl_params(fn)) ||
            (k < 32 && (a->set >> k & 1)))
            return hora_ts_fail(st,
                                "`%s` does not take these arguments (it takes: %s); correct "
                                "the template",
                                fn->name, any ? "any" : fn->params);
        HORA_TRY(hora_ts_eval(st, keyword ? arg->a : arg, &a->at[k]));
        a->set |= k < 32 ? 1u << k : 0;
    }
    for (int k = 0; k < fn->need; k++)
        if (!(a->set >> k & 1))
            return hora_ts_fail(st, "`%s` lacks an argument (it takes: %s); correct the template",
                                fn->name, fn->params);
    return HORA_OK;
}

static hora_status eval_call(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv f, at[HORA_TPL_MAX_ARGS];
    hora_args a = {.at = at};
    HORA_TRY(hora_ts_eval(st, e->a, &f));
    st->at = e;
    if (f.type == HORA_TV_MACRO)
        return hora_ts_call(st, &f, e, out);
    if (f.type == HORA_TV_UNDEFINED)
        return hora_ts_fail(st,
                            "`%s` is not a function that templates have here; write the "
                            "template without it",
                            f.s);
    if (f.type != HORA_TV_FUNCTION && f.type != HORA_TV_METHOD)
        return hora_ts_fail(st, "%s cannot be called; correct the template", hora_tv_name(&f));
    if (f.type == HORA_TV_METHOD)
        a.in = f.list[0];
    else
        a.in = hora_tv_none();
    HORA_TRY(hora_ts_bind(st, f.fn, e->list, e->nlist, &a));
    st->at = e;
    HORA_TRY(f.fn->call(st, &a, out));
    keep_safe(&a.in, out);
    return HORA_OK;
}

static hora_status eval_access(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv box, key, part[3];
    HORA_TRY(hora_ts_eval(st, e->a, &box));
    if (e->kind == HORA_TN_ITEM) {
        HORA_TRY(hora_ts_eval(st, e->b, &key));
        st->at = e;
        return hora_tv_item(st, &box, &key, out);
    }
    if (e->kind == HORA_TN_ATTR) {
        st->at = e;
        return hora_tv_attr(st, &box, e->s, e->n, out);
    }
    for (int i = 0; i < 3; i++) {
        part[i] = hora_tv_none();
        if (e->list[i])
            HORA_TRY(hora_ts_eval(st, e->list[i], &part[i]));
    }
    st->at = e;
    return hora_tv_slice(st, &box, part, out);
}

static hora_status eval_logic(hora_ts *st, const hora_tn *e, hora_tv *out) {
    HORA_TRY(hora_ts_eval(st, e->a, out));
    bool t = hora_tv_truth(out);
    switch (e->kind) {
    case HORA_TN_NOT:
        *out = hora_tv_bool(!t);
        return HORA_OK;
    case HORA_TN_AND:
        return t ? hora_ts_eval(st, e->b, out) : HORA_OK;
    case HORA_TN_OR:
        return t ? HORA_OK : hora_ts_eval(st, e->b, out);
    default: /* IF_ELSE */
        if (t)
            return hora_ts_eval(st, e->b, out);
        *out = hora_tv_undefined("the value of an `if` without `else`");
        return e->c ? hora_ts_eval(st, e->c, out) : HORA_OK;
    }
}

static hora_status eval_inner(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv a, b;
    switch (e->kind) {
    case HORA_TN_CONST:
        *out = e->value;
        return HORA_OK;
    case HORA_TN_NAME:
        return variable(st, e->name, out);
    case HORA_TN_LIST:
        return eval_list(st, e, HORA_TV_LIST, out);
    case HORA_TN_TUPLE:
        return eval_list(st, e, HORA_TV_TUPLE, out);
    case HORA_TN_DICT:
        return eval_list(st, e, HORA_TV_DICT, out);
    case HORA_TN_ATTR:
    case HORA_TN_ITEM:
    case HORA_TN_SLICE:
        return eval_access(st, e, out);
    case HORA_TN_CALL:
        return eval_call(st, e, out);
    case HORA_TN_FILTER:
    case HORA_TN_TEST:
        return eval_builtin(st, e, out);
    case HORA_TN_NOT:
    case HORA_TN_AND:
    case HORA_TN_OR:
    case HORA_TN_IF_ELSE:
        return eval_logic(st, e, out);
    case HORA_TN_NEG:
    case HORA_TN_POS:
        return eval_sign(st, e, out);
    case HORA_TN_BINARY:
        HORA_TRY(hora_ts_eval(st, e->a, &a));
        HORA_TRY(hora_ts_eval(st, e->b, &b));
        st->at = e;
        return hora_tv_binary(st, e->op, &a, &b, out);
    case HORA_TN_COMPARE:
        return eval_compare(st, e, out);
    default:
        HORA_BUG("a statement stands where an expression should");
    }
}

hora_status hora_ts_eval(hora_ts *st, const hora_tn *e, hora_tv *out) {
    st->at = e;
    HORA_TRY(hora_ts_enter(st));
    HORA_TRY(eval_inner(st, e, out));
    st->depth--;
    return HORA_OK;
}

/* ---- statements ---- */
/* Runs a body whose text becomes a value instead of output. */
static hora_status capture(hora_ts *st, hora_space *scope, const hora_tn *e, hora_tv *out) {
    hora_str text = {0}, *outer = st->out;
    hora_space *saved = st->scope;
    int signal = GO;
    st->out = &text;
    st->scope = scope;
    hora_status s = hora_ts_body(st, e->list, e->nlist, &signal);
    st->out = outer;
    st->scope = saved;
    return hora_tv_take(st, &text, s, out);
}

/* A macro: arguments by position, then by name, then defaults, which are evaluated inside and may
 * use the parameters before them. */
hora_status hora_ts_call(hora_ts *st, const hora_tv *f, const hora_tn *call, hora_tv *out) {
    const hora_tn *m = f->macro->node;
    hora_space *scope = hora_space_new(st, f->macro->scope), *saved = st->scope;
    const char *name = st->t->names[m->name];
    for (int i = 0; i < call->nlist; i++) {
        const hora_tn *arg = call->list[i];
        hora_tv v;
        int k = i;
        if (arg->kind == HORA_TN_KEYWORD) {
            int id = hora_tpl_name(st->t, arg->s, arg->n);
            for (k = 0; k < m->ntargets && m->targets[k]->name != id;)
                k++;
            arg = arg->a;
        }
        if (k >= m->ntargets || hora_space_get(scope, m->targets[k]->name, &v))
            return hora_ts_fail(
                st, "the macro `%s` does not take these arguments; correct the call", name);
        HORA_TRY(hora_ts_eval(st, arg, &v));
        hora_space_set(st, scope, m->targets[k]->name, v);
    }
    for (int k = 0; k < m->ntargets; k++) {
        hora_tv v = hora_tv_undefined(st->t->names[m->targets[k]->name]);
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
    return capture(st, scope, m, out);
}

/* The elements that `for .. if` keeps. */
static hora_status select_items(hora_ts *st, const hora_tn *e, const hora_tv **items, size_t *n) {
    hora_tv *kept, v;
    size_t count = 0;
    hora_space *saved = st->scope;
    HORA_TRY(hora_tv_room(st, *n, sizeof *kept, &kept));
    for (size_t i = 0; i < *n; i++) {
        st->scope = hora_space_new(st, saved);
        hora_status s = assign(st, st->scope, e->targets, e->ntargets, &(*items)[i]);
        if (!s)
            s = hora_ts_eval(st, e->b, &v);
        st->scope = saved;
        HORA_TRY(s);
        if (hora_tv_truth(&v))
            kept[count++] = (*items)[i];
    }
    *items = kept;
    *n = count;
    return HORA_OK;
}

static hora_status run_for(hora_ts *st, const hora_tn *e, int *signal) {
    hora_tv all;
    hora_space *saved = st->scope;
    HORA_TRY(hora_ts_eval(st, e->a, &all));
    st->at = e;
    hora_loop *loop = hora_pool_get(&st->pool, sizeof *loop);
    HORA_TRY(hora_tv_elements(st, &all, &loop->items, &loop->n));
    if (e->b)
        HORA_TRY(select_items(st, e, &loop->items, &loop->n));
    int id = hora_tpl_name(st->t, "loop", 4);
    for (loop->i = 0; loop->i < loop->n; loop->i++) {
        int inner = GO;
        st->scope = hora_space_new(st, saved);
        if (id >= 0)
            hora_space_set(st, st->scope, id, (hora_tv){.type = HORA_TV_LOOP, .loop = loop});
        st->at = e;
        hora_status s = assign(st, st->scope, e->targets, e->ntargets, &loop->items[loop->i]);
        if (!s)
            s = hora_ts_body(st, e->list, e->nlist, &inner);
        st->scope = saved;
        HORA_TRY(s);
        if (inner == BREAK)
            break;
    }
    if (loop->n || !e->c)
        return HORA_OK;
    st->scope = hora_space_new(st, saved);
    hora_status s = hora_ts_body(st, e->c->list, e->c->nlist, signal);
    st->scope = saved;
    return s;
}

static hora_status run_if(hora_ts *st, const hora_tn *e, int *signal) {
    for (; e && e->kind == HORA_TN_IF; e = e->b) {
        hora_tv v;
        HORA_TRY(hora_ts_eval(st, e->a, &v));
        if (hora_tv_truth(&v))
            return hora_ts_body(st, e->list, e->nlist, signal);
    }
    return e ? hora_ts_body(st, e->list, e->nlist, signal) : HORA_OK;
}

static hora_status run_set(hora_ts *st, const hora_tn *e) {
    hora_tv v, space;
    if (e->kind == HORA_TN_SETBLOCK)
        HORA_TRY(capture(st, hora_space_new(st, st->scope), e, &v));
    else
        HORA_TRY(hora_ts_eval(st, e->a, &v));
    st->at = e;
    if (!e->op)
        return assign(st, st->scope, e->targets, e->ntargets, &v);
    HORA_TRY(variable(st, e->targets[0]->name, &space));
    if (space.type != HORA_TV_SPACE)
        return hora_ts_fail(st,
                            "only attributes of a namespace can be set, not of %s; correct the "
                            "template",
                            hora_tv_name(&space));
    hora_space_set(st, space.space, e->name, v);
    return HORA_OK;
}

static hora_status run_one(hora_ts *st, const hora_tn *e, int *signal) {
    hora_tv v;
    st->at = e;
    switch (e->kind) {
    case HORA_TN_TEXT:
        hora_str_add(st->out, e->s, e->n);
        return hora_ts_step(st, 1 + e->n / 64);
    case HORA_TN_PRINT:
        HORA_TRY(hora_ts_eval(st, e->a, &v));
        st->at = e;
        return hora_tv_print(st, &v, st->out);
    case HORA_TN_IF:
        return run_if(st, e, signal);
    case HORA_TN_FOR:
        return run_for(st, e, signal);
    case HORA_TN_SET:
    case HORA_TN_SETBLOCK:
        return run_set(st, e);
    case HORA_TN_MACRO: {
        hora_macro *m = hora_pool_get(&st->pool, sizeof *m);
        *m = (hora_macro){.node = e, .scope = st->scope};
        hora_space_set(st, st->scope, e->name, (hora_tv){.type = HORA_TV_MACRO, .macro = m});
        return HORA_OK;
    }
    case HORA_TN_SCOPE: {
        hora_space *saved = st->scope;
        st->scope = hora_space_new(st, saved);
        hora_status s = hora_ts_body(st, e->list, e->nlist, signal);
        st->scope = saved;
        return s;
    }
    default:
        *signal = e->kind == HORA_TN_BREAK ? BREAK : CONTINUE;
        return HORA_OK;
    }
}

hora_status hora_ts_body(hora_ts *st, hora_tn *const *list, int n, int *signal) {
    HORA_TRY(hora_ts_enter(st));
    for (int i = 0; i < n && *signal == GO; i++)
        HORA_TRY(run_one(st, list[i], signal));
    st->depth--;
    return HORA_OK;
}
