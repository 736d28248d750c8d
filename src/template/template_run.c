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
    s->born = st->epoch;
    s->made = ++st->made;
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

static void note(hora_ts *st, hora_space *s, int i) {
    hora_undo u = {.space = s, .before = *s, .i = i};
    if (i < s->n)
        u.value = s->values[i];
    HORA_PUSH(st->undo, st->nundo, st->cundo, u);
}

void hora_space_set(hora_ts *st, hora_space *s, int name, hora_tv v) {
    for (int i = 0; i < s->n; i++)
        if (s->names[i] == name) {
            /* what a unit leaves to others is noted, though it was the same before */
            if (s->made < st->oldest &&
                ((st->noting && s->born != st->epoch) || !hora_tv_same(&s->values[i], &v)))
                st->oldest = s->made;
            if (st->journal)
                note(st, s, i);
            s->values[i] = v;
            return;
        }
    if (s->made < st->oldest)
        st->oldest = s->made;
    if (st->journal)
        note(st, s, s->n);
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
    bool prompt = name == st->t->prompt;  /* not kept: a cut has another */
    if (hora_tape_given(st, name, out)) { /* no loop asks what was written to: it is played */
        hora_space_set(st, root, name, *out);
        return HORA_OK;
    }
    if (st->prompt >= 0 && prompt)
        *out = hora_tv_bool(st->prompt != 0);
    else if (j)
        HORA_TRY(hora_tv_json(st, j, out));
    else if ((fn = hora_tpl_function(s, strlen(s))) != NULL)
        *out = (hora_tv){.type = HORA_TV_FUNCTION, .fn = fn};
    else
        *out = hora_tv_undefined(s);
    if (j && hora_eq(s, "messages") && out->type == HORA_TV_LIST) {
        out->part = HORA_TPL_PART;
        st->messages = out->list;
        st->nmessages = out->n;
    }
    if (out->type == HORA_TV_UNDEFINED || prompt)
        return HORA_OK;
    const int64_t oldest = st->oldest;
    hora_space_set(st, root, name, *out);
    st->oldest = oldest; /* it is what it was */
    hora_tape_give(st, name, *out);
    return HORA_OK;
}

/* Cuts a list of messages to those that this rendering has. */
static void cut(const hora_ts *st, hora_tv *v) {
    if (v->part != HORA_TPL_PART || v->type != HORA_TV_LIST || st->turns < 0)
        return;
    size_t first = (size_t)(v->list - st->messages), all = (size_t)st->turns;
    size_t left = all > first ? all - first : 0;
    v->n = left < v->n ? left : v->n;
}

hora_status hora_ts_name(hora_ts *st, int name, hora_tv *out) {
    hora_space *s = st->scope;
    for (;; s = s->outer) {
        bool here = hora_space_get(s, name, out);
        if (!here && s->outer)
            continue;
        if (!here)
            HORA_TRY(outer_variable(st, s, name, out));
        if (st->noting)
            hora_note_read(st, s, name, out, here);
        cut(st, out);
        return HORA_OK;
    }
}

hora_status hora_ts_assign(hora_ts *st, hora_space *scope, hora_tn *const *targets, int n,
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

static hora_status eval_sign(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv zero = hora_tv_int(0), v;
    double r;
    HORA_TRY(hora_ts_eval(st, e->a, &v));
    st->at = e;
    if (v.type == HORA_TV_BIG) {
        bool minus = v.s[0] == '-', turn = e->kind == HORA_TN_NEG;
        hora_str b = {0};
        hora_str_puts(&b, turn && !minus ? "-" : "");
        hora_str_add(&b, v.s + (turn && minus), v.n - (turn && minus));
        HORA_TRY(hora_tv_take(st, &b, HORA_OK, out));
        out->type = HORA_TV_BIG;
        return HORA_OK;
    }
    if (!hora_tv_number(&v, &r))
        return hora_ts_fail(st, "%s has no sign; correct the template", hora_tv_name(&v));
    if (e->kind == HORA_TN_NEG && v.type == HORA_TV_REAL) {
        *out = hora_tv_real(-v.r); /* 0 - 0.0 would lose the sign */
        return HORA_OK;
    }
    return hora_tv_binary(st, e->kind == HORA_TN_NEG ? '-' : '+', &zero, &v, out);
}

/* Methods keep the mark that `safe` sets; so do those filters that work on the text as it is. */
static void keep_safe(const hora_tv *in, hora_tv *out) {
    if (in->type == HORA_TV_STRING && in->safe && out->type == HORA_TV_STRING)
        out->safe = true;
}

static hora_status eval_builtin(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_args a = {0};
    hora_arg *given;
    int n;
    if (!e->fn)
        return hora_ts_fail(st, "the %s `%.*s` is not supported; write the template without it",
                            e->kind == HORA_TN_FILTER ? "filter" : "test",
                            (int)(e->n > 40 ? 40 : e->n), e->s);
    /* to be defined has nothing to do with the number of messages; a length has, which is known */
    bool defined = e->traits & HORA_TPL_DEFINED, length = e->traits & HORA_TPL_LENGTH;
    bool order = e->traits & HORA_TPL_ORDER, each = (e->traits & HORA_TPL_EACH) && st->tape;
    if (defined && e->a->kind == HORA_TN_NAME)
        HORA_TRY(hora_ts_name(st, e->a->name, &a.in));
    else
        HORA_TRY((length || order || each ? hora_ts_part : hora_ts_eval)(st, e->a, &a.in));
    each = each && a.in.part == HORA_TPL_PART && a.in.type == HORA_TV_LIST;
    if (each && hora_tape_picked(st, e, &a.in, out))
        return hora_tv_generator(st, out);
    HORA_TRY(hora_ts_args(st, e->list, e->nlist, &given, &n));
    st->at = e;
    HORA_TRY(hora_ts_bind(st, e->fn, given, n, &a));
    HORA_TRY(each ? hora_tape_pick(st, e, &a, out) : e->fn->call(st, &a, out));
    if (e->kind == HORA_TN_TEST)
        *out = hora_tv_bool(hora_tv_truth(out) != (e->op != 0));
    else if (e->traits & HORA_TPL_SAFE)
        keep_safe(&a.in, out);
    hora_ts_part_filter(st, e, &a.in, out);
    return HORA_OK;
}

/* `caller` may be NULL. */
static hora_status call(hora_ts *st, const hora_tn *e, const hora_tv *caller, hora_tv *out) {
    hora_tv f;
    hora_args a = {0};
    hora_arg *given;
    int n;
    HORA_TRY(hora_ts_eval(st, e->a, &f));
    HORA_TRY(hora_ts_args(st, e->list, e->nlist, &given, &n));
    st->at = e;
    if (f.type == HORA_TV_MACRO)
        return hora_ts_macro(st, &f, given, n, caller, out);
    if (f.type == HORA_TV_UNDEFINED)
        return hora_ts_fail(st,
                            "`%s` is not a function that templates have here; write the "
                            "template without it",
                            f.s);
    if ((f.type != HORA_TV_FUNCTION && f.type != HORA_TV_METHOD) || caller)
        return hora_ts_fail(st, "%s cannot be called%s; correct the template", hora_tv_name(&f),
                            caller ? " with a block" : "");
    a.in = f.type == HORA_TV_METHOD ? f.list[0] : hora_tv_none();
    HORA_TRY(hora_ts_bind(st, f.fn, given, n, &a));
    HORA_TRY(f.fn->call(st, &a, out));
    keep_safe(&a.in, out);
    return HORA_OK;
}

static hora_status eval_logic(hora_ts *st, const hora_tn *e, hora_tv *out) {
    bool t;
    HORA_TRY(hora_ts_truth(st, e->a, e->kind == HORA_TN_AND ? e->b : NULL, out, &t));
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
        return hora_ts_part(st, e, out);
    case HORA_TN_LIST:
        return eval_list(st, e, HORA_TV_LIST, out);
    case HORA_TN_TUPLE:
        return eval_list(st, e, HORA_TV_TUPLE, out);
    case HORA_TN_DICT:
        return eval_list(st, e, HORA_TV_DICT, out);
    case HORA_TN_ATTR:
    case HORA_TN_ITEM:
    case HORA_TN_SLICE:
        return hora_ts_access(st, e, out);
    case HORA_TN_CALL:
        return call(st, e, NULL, out);
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
        HORA_TRY(hora_ts_part(st, e->a, &a));
        HORA_TRY(hora_ts_part(st, e->b, &b));
        st->at = e;
        HORA_TRY(hora_tv_binary(st, e->op, &a, &b, out));
        hora_ts_part_sum(st, e->op, &a, &b, out);
        return HORA_OK;
    case HORA_TN_COMPARE:
        return hora_ts_compare(st, e, out);
    case HORA_TN_CAPTURED:
        *out = *st->captured;
        return HORA_OK;
    default:
        HORA_BUG("a statement stands where an expression should");
    }
}

hora_status hora_ts_eval(hora_ts *st, const hora_tn *e, hora_tv *out) {
    bool keep = st->keep; /* of this value alone */
    st->at = e;
    HORA_TRY(hora_ts_enter(st));
    st->keep = false;
    HORA_TRY(eval_inner(st, e, out));
    st->keep = keep;
    if (!st->keep && out->part) { /* whoever takes it may ask for its length */
        hora_ts_see(st, SIZE_MAX);
        out->part = 0;
    }
    st->depth--;
    return HORA_OK;
}

/* ---- statements ---- */
hora_status hora_ts_capture(hora_ts *st, hora_space *scope, const hora_tn *e, hora_tv *out) {
    hora_str text = {0}, *outer = st->out;
    hora_space *saved = st->scope;
    int signal = HORA_TPL_GO;
    st->out = &text;
    st->scope = scope;
    st->inner++;
    hora_status s = hora_ts_body(st, e->list, e->nlist, &signal);
    st->inner--;
    st->out = outer;
    st->scope = saved;
    return hora_tv_take(st, &text, s, out);
}

/* The text of a block, through the filters in b where there are any. */
static hora_status filtered(hora_ts *st, const hora_tn *e, hora_tv *out) {
    hora_tv text;
    const hora_tv *outer = st->captured;
    HORA_TRY(hora_ts_capture(st, hora_space_new(st, st->scope), e, &text));
    if (!e->b) {
        *out = text;
        return HORA_OK;
    }
    st->captured = &text;
    hora_status s = hora_ts_eval(st, e->b, out);
    st->captured = outer;
    return s;
}

static hora_status run_if(hora_ts *st, const hora_tn *e, int *signal) {
    for (; e && e->kind == HORA_TN_IF; e = e->b) {
        hora_tv v;
        bool yes;
        HORA_TRY(hora_ts_truth(st, e->a, NULL, &v, &yes));
        if (yes)
            return hora_ts_body(st, e->list, e->nlist, signal);
    }
    return e ? hora_ts_body(st, e->list, e->nlist, signal) : HORA_OK;
}

static void note_target(hora_ts *st, int name) {
    hora_tv v;
    if (hora_space_get(st->scope, name, &v))
        hora_note_write(st, name, -1, &v);
}

static hora_status run_set(hora_ts *st, const hora_tn *e) {
    hora_tv v, space;
    if (e->kind == HORA_TN_SETBLOCK)
        HORA_TRY(filtered(st, e, &v));
    else
        HORA_TRY(e->op ? hora_ts_eval(st, e->a, &v) : hora_ts_part(st, e->a, &v));
    st->at = e;
    if (v.part && (v.type == HORA_TV_INT || v.part == HORA_TPL_BACKWARDS)) {
        /* kept, it would not shrink with the list */
        hora_ts_see(st, SIZE_MAX);
        v.part = 0;
    }
    if (!e->op) {
        HORA_TRY(hora_ts_assign(st, st->scope, e->targets, e->ntargets, &v));
        for (int i = 0; i < e->ntargets && st->noting; i++)
            note_target(st, e->targets[i]->name);
        return HORA_OK;
    }
    st->path = true;
    HORA_TRY(hora_ts_name(st, e->targets[0]->name, &space));
    st->path = false;
    if (space.type != HORA_TV_SPACE)
        return hora_ts_fail(st,
                            "only attributes of a namespace can be set, not of %s; correct the "
                            "template",
                            hora_tv_name(&space));
    hora_space_set(st, space.space, e->name, v);
    if (st->noting)
        hora_note_write(st, e->targets[0]->name, e->name, &v);
    return HORA_OK;
}

static hora_tv macro_of(hora_ts *st, const hora_tn *e) {
    hora_macro *m = hora_pool_get(&st->pool, sizeof *m);
    *m = (hora_macro){.node = e, .scope = st->scope};
    return (hora_tv){.type = HORA_TV_MACRO, .macro = m};
}

static hora_status run_with(hora_ts *st, const hora_tn *e, int *signal) {
    hora_space *saved = st->scope, *scope = hora_space_new(st, saved);
    hora_tv v;
    for (int i = 0; i < e->ntargets; i++) { /* the values are those outside */
        HORA_TRY(hora_ts_eval(st, e->targets[i]->a, &v));
        hora_space_set(st, scope, e->targets[i]->name, v);
    }
    st->scope = scope;
    hora_status s = hora_ts_body(st, e->list, e->nlist, signal);
    st->scope = saved;
    return s;
}

static hora_status run_print(hora_ts *st, const hora_tn *e) {
    hora_tv v, caller;
    switch (e->kind) {
    case HORA_TN_CALLING:
        caller = macro_of(st, e);
        HORA_TRY(call(st, e->a, &caller, &v));
        break;
    case HORA_TN_FILTERED:
        HORA_TRY(filtered(st, e, &v));
        break;
    default:
        HORA_TRY(hora_ts_eval(st, e->a, &v));
    }
    st->at = e;
    return hora_tv_print(st, &v, st->out);
}

hora_status hora_ts_one(hora_ts *st, const hora_tn *e, int *signal) {
    st->at = e;
    switch (e->kind) {
    case HORA_TN_TEXT:
        hora_str_add(st->out, e->s, e->n);
        return hora_ts_step(st, 1 + e->n / 64);
    case HORA_TN_PRINT:
    case HORA_TN_CALLING:
    case HORA_TN_FILTERED:
        return run_print(st, e);
    case HORA_TN_IF:
        return run_if(st, e, signal);
    case HORA_TN_FOR:
        return hora_ts_for(st, e, signal);
    case HORA_TN_SET:
    case HORA_TN_SETBLOCK:
        return run_set(st, e);
    case HORA_TN_MACRO:
        hora_space_set(st, st->scope, e->name, macro_of(st, e));
        if (st->noting)
            note_target(st, e->name);
        return HORA_OK;
    case HORA_TN_WITH:
        return run_with(st, e, signal);
    case HORA_TN_GENERATION:
        return hora_ts_generation(st, e, signal);
    default:
        *signal = e->kind == HORA_TN_BREAK ? HORA_TPL_BREAK : HORA_TPL_CONTINUE;
        return HORA_OK;
    }
}

hora_status hora_ts_body(hora_ts *st, hora_tn *const *list, int n, int *signal) {
    hora_frame here = {st->frame, list, n, 0, st->scope};
    HORA_TRY(hora_ts_enter(st));
    st->frame = &here;
    for (; here.i < n && *signal == HORA_TPL_GO; here.i++)
        HORA_TRY(hora_ts_top(st) ? hora_ts_unit(st, list[here.i], NULL, signal)
                                 : hora_ts_one(st, list[here.i], signal));
    st->frame = here.outer;
    st->depth--;
    return HORA_OK;
}
