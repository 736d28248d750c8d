/*
 * Tokens to values and what follows them: names, literals, calls, items, filters and tests
 * (operators are in template_expr.c). Owns the helpers that the parser's files share. Unknown
 * filters, tests, methods and functions are refused before any text is rendered, unless they stand
 * inside of an if: then when they are reached.
 */
#include <stdarg.h>
#include <stdio.h>

#include "template/template_impl.h"

const char *hora_tk_text(const hora_token *k, char buf[40]) {
    int n = (int)(k->n > 24 ? 24 : k->n);
    switch (k->type) {
    case HORA_TK_EOF:
        return "the end of the template";
    case HORA_TK_TEXT:
        return "text";
    case HORA_TK_VAR:
        return "`{{`";
    case HORA_TK_VAR_END:
        return "`}}`";
    case HORA_TK_BLOCK:
        return "`{%`";
    case HORA_TK_BLOCK_END:
        return "`%}`";
    case HORA_TK_NAME:
        snprintf(buf, 40, "`%.*s`", n, k->s);
        return buf;
    case HORA_TK_STRING:
        return "a string";
    case HORA_TK_INT:
    case HORA_TK_REAL:
        return "a number";
    default:
        snprintf(buf, 40, "`%c%c", (char)(k->i & 0xFF), k->i >> 8 ? (char)(k->i >> 8) : '`');
        return k->i >> 8 ? strcat(buf, "`") : buf;
    }
}

hora_status hora_tp_fail(hora_tp *p, hora_status code, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return hora_fail(code, "%s, line %d, column %d: %s", p->t->what, p->tok->line, p->tok->col,
                     text);
}

hora_tn *hora_tp_node(hora_tp *p, hora_tn_kind kind) {
    hora_tn *e = hora_pool_get(&p->t->pool, sizeof *e);
    e->kind = kind;
    e->line = p->tok->line;
    e->col = p->tok->col;
    e->name = -1;
    return e;
}

hora_tn **hora_tp_list(hora_tp *p, hora_tn *const *at, int n) {
    hora_tn **copy = hora_pool_get(&p->t->pool, ((size_t)n + 1) * sizeof *copy);
    if (n)
        memcpy(copy, at, (size_t)n * sizeof *copy);
    return copy;
}

bool hora_tp_is_op(const hora_tp *p, int64_t op) {
    return p->tok->type == HORA_TK_OP && p->tok->i == op;
}
bool hora_tk_is(const hora_token *k, const char *name) {
    return k->type == HORA_TK_NAME && k->n == strlen(name) && !memcmp(k->s, name, k->n);
}
bool hora_tp_is_name(const hora_tp *p, const char *name) {
    return hora_tk_is(p->tok, name);
}
bool hora_tp_take_op(hora_tp *p, int64_t op) {
    bool yes = hora_tp_is_op(p, op);
    p->tok += yes;
    return yes;
}
bool hora_tp_take_name(hora_tp *p, const char *name) {
    bool yes = hora_tp_is_name(p, name);
    p->tok += yes;
    return yes;
}
hora_status hora_tp_expect_op(hora_tp *p, int64_t op, const char *what) {
    char b[40];
    if (!hora_tp_is_op(p, op))
        return hora_tp_fail(p, HORA_EFORMAT, "%s is expected, not %s; correct the template", what,
                            hora_tk_text(p->tok, b));
    p->tok++;
    return HORA_OK;
}
hora_status hora_tp_expect(hora_tp *p, hora_tk type, const char *what) {
    char b[40];
    if (p->tok->type != type)
        return hora_tp_fail(p, HORA_EFORMAT, "%s is expected, not %s; correct the template", what,
                            hora_tk_text(p->tok, b));
    p->tok++;
    return HORA_OK;
}

/* Jinja minds what it does not know only outside of an if; whether this is one shows later. */
static void unknown(hora_tp *p, const char *kind, const hora_token *at) {
    hora_strange k = {kind, at};
    if (!p->soft)
        HORA_PUSH(p->strange, p->nstrange, p->cstrange, k);
}

static hora_status intern(hora_tp *p, const char *s, size_t n, int *out) {
    *out = hora_tpl_intern(p->t, s, n);
    if (*out < 0)
        return hora_tp_fail(p, HORA_EUNSUPPORTED, "more than %d names; simplify the template",
                            HORA_TPL_NAMES);
    return HORA_OK;
}

/* The interned name of the current token, for e->name. */
static hora_status parse_id(hora_tp *p, hora_tn *e) {
    return intern(p, p->tok->s, p->tok->n, &e->name);
}

/* ---- arguments ---- */
static hora_status parse_keyword(hora_tp *p, hora_tn *const *at, int n, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_KEYWORD);
    e->s = p->tok->s;
    e->n = p->tok->n;
    HORA_TRY(parse_id(p, e));
    for (int i = 0; i < n; i++)
        if (at[i]->kind == HORA_TN_KEYWORD && at[i]->n == e->n && !memcmp(at[i]->s, e->s, e->n))
            return hora_tp_fail(p, HORA_EFORMAT, "this argument is given twice; remove one");
    p->tok += 2;
    *out = e;
    return hora_tp_expr(p, &e->a);
}

static hora_status parse_spread(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_SPREAD);
    e->op = hora_tp_is_op(p, HORA_OP2('*', '*'));
    p->tok++;
    *out = e;
    return hora_tp_expr(p, &e->a);
}

/* (..), the arguments of a call */
static hora_status parse_args(hora_tp *p, hora_tn *call) {
    hora_tn *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    bool named = false;
    HORA_TRY(hora_tp_expect_op(p, '(', "`(`"));
    while (!hora_tp_is_op(p, ')')) {
        if (n)
            HORA_TRY(hora_tp_expect_op(p, ',', "`,` or `)`"));
        if (hora_tp_is_op(p, ')'))
            break;
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED,
                                "more than %d arguments are not supported; use a list",
                                HORA_TPL_MAX_ARGS);
        const hora_token *next = p->tok + 1;
        bool keyword = p->tok->type == HORA_TK_NAME && next->type == HORA_TK_OP && next->i == '=';
        bool twice = hora_tp_is_op(p, HORA_OP2('*', '*')), spread = twice || hora_tp_is_op(p, '*');
        if (named && !keyword && !spread)
            return hora_tp_fail(p, HORA_EFORMAT,
                                "an argument without a name follows one with a name; reorder them");
        named = named || keyword || twice;
        if (keyword)
            HORA_TRY(parse_keyword(p, at, n, &at[n]));
        else
            HORA_TRY(spread ? parse_spread(p, &at[n]) : hora_tp_expr(p, &at[n]));
        n++;
    }
    p->tok++;
    call->list = hora_tp_list(p, at, n);
    call->nlist = n;
    return HORA_OK;
}

/* Checks number and names of arguments against the built-in, and names of filters and tests that
 * stand in arguments as strings (select, map ..). */
static hora_status check_args(hora_tp *p, const hora_tn *e) {
    const hora_builtin *fn = e->fn;
    bool known = fn != NULL; /* and so are the arguments, unless * hides some */
    for (int i = 0; i < e->nlist; i++)
        known = known && e->list[i]->kind != HORA_TN_SPREAD;
    if (!known)
        return HORA_OK;
    if (fn->params[0] != '*') {
        int most = hora_tpl_params(fn), have = e->nlist;
        for (int i = 0; i < e->nlist; i++) {
            const hora_tn *a = e->list[i];
            if (a->kind == HORA_TN_KEYWORD && hora_tpl_param(fn, a->s, a->n) < 0)
                return hora_tp_fail(p, HORA_EUNSUPPORTED,
                                    "`%s` has no argument `%.*s`; it has (%s)", fn->name,
                                    (int)(a->n > 40 ? 40 : a->n), a->s, fn->params);
        }
        if (have > most || have < fn->need)
            return hora_tp_fail(p, HORA_EFORMAT, "`%s` takes %d to %d arguments (%s), not %d",
                                fn->name, fn->need, most, fn->params, have);
        return HORA_OK;
    }
    const char *c = fn->params + 1;
    int at = *c == 'a';
    c += at;
    if (e->nlist <= at || !*c || e->list[at]->kind != HORA_TN_CONST ||
        e->list[at]->value.type != HORA_TV_STRING)
        return HORA_OK;
    const hora_tv *v = &e->list[at]->value;
    if (!p->soft && !(*c == 'f' ? hora_tpl_filter(v->s, v->n) : hora_tpl_test(v->s, v->n)))
        return hora_tp_fail(p, HORA_EUNSUPPORTED,
                            "the %s `%.*s` is not supported; write the template without it",
                            *c == 'f' ? "filter" : "test", (int)(v->n > 40 ? 40 : v->n), v->s);
    return HORA_OK;
}

/* ---- primary ---- */
static hora_status parse_items(hora_tp *p, hora_tn *e, char close, bool pairs) {
    hora_tn **at = NULL;
    int n = 0, cap = 0;
    hora_status s = HORA_OK;
    p->tok++;
    while (!s && !hora_tp_is_op(p, close)) {
        if (n)
            s = hora_tp_expect_op(p, ',', close == ']' ? "`,` or `]`" : "`,` or `}`");
        if (s || hora_tp_is_op(p, close))
            break;
        hora_tn *v = NULL;
        if (!(s = hora_tp_expr(p, &v)))
            HORA_PUSH(at, n, cap, v);
        if (!s && pairs && !(s = hora_tp_expect_op(p, ':', "`:`")) && !(s = hora_tp_expr(p, &v)))
            HORA_PUSH(at, n, cap, v);
    }
    if (!s) {
        p->tok++;
        e->list = hora_tp_list(p, at, n);
        e->nlist = n;
    }
    hora_free(at);
    return s;
}

static hora_tn *constant(hora_tp *p, hora_tv v) {
    hora_tn *e = hora_tp_node(p, HORA_TN_CONST);
    e->value = v;
    return e;
}

static hora_status parse_strings(hora_tp *p, hora_tn **out) {
    hora_str b = {0};
    hora_tn *e = constant(p, hora_tv_none());
    for (; p->tok->type == HORA_TK_STRING; p->tok++)
        hora_str_add(&b, p->tok->s, p->tok->n);
    char *s = hora_pool_get(&p->t->pool, b.n + 1);
    if (b.n)
        memcpy(s, b.s, b.n);
    e->value = hora_tv_borrow(s, b.n);
    hora_str_release(&b);
    *out = e;
    return HORA_OK;
}

static hora_status parse_name(hora_tp *p, hora_tn **out) {
    static const struct {
        const char *name;
        hora_tv_type type;
        int64_t i;
    } constants[] = {{"true", HORA_TV_BOOL, 1},  {"True", HORA_TV_BOOL, 1},
                     {"false", HORA_TV_BOOL, 0}, {"False", HORA_TV_BOOL, 0},
                     {"none", HORA_TV_NONE, 0},  {"None", HORA_TV_NONE, 0}};
    static const char *const reserved[] = {"and", "or", "not", "if", "else", "in", "is"};
    char b[40];
    for (size_t i = 0; i < HORA_COUNT(constants); i++)
        if (hora_tp_is_name(p, constants[i].name)) {
            *out = constant(p, (hora_tv){.type = constants[i].type, .i = constants[i].i});
            p->tok++;
            return HORA_OK;
        }
    for (size_t i = 0; i < HORA_COUNT(reserved); i++)
        if (hora_tp_is_name(p, reserved[i]))
            return hora_tp_fail(p, HORA_EFORMAT,
                                "a value is expected, not %s; correct the template",
                                hora_tk_text(p->tok, b));
    if (p->macro)
        p->macro->op |= hora_tp_is_name(p, "varargs")  ? HORA_TPL_VARARGS
                        : hora_tp_is_name(p, "kwargs") ? HORA_TPL_KWARGS
                                                       : 0;
    p->t->dated = p->t->dated || hora_tp_is_name(p, "strftime_now");
    p->t->remembers =
        p->t->remembers || hora_tp_is_name(p, "cycler") || hora_tp_is_name(p, "joiner");
    hora_tn *e = hora_tp_node(p, HORA_TN_NAME);
    HORA_TRY(parse_id(p, e));
    p->tok++;
    *out = e;
    return HORA_OK;
}

hora_status hora_tp_primary(hora_tp *p, hora_tn **out) {
    const hora_token *k = p->tok;
    char b[40];
    hora_tn *e;
    switch (k->type) {
    case HORA_TK_NAME:
        return parse_name(p, out);
    case HORA_TK_STRING:
        return parse_strings(p, out);
    case HORA_TK_INT:
    case HORA_TK_REAL:
        *out = constant(p, k->type == HORA_TK_REAL ? hora_tv_real(k->r)
                           : k->n                  ? hora_tv_digits(k->s, k->n)
                                                   : hora_tv_int(k->i));
        p->tok++;
        return HORA_OK;
    default:
        break;
    }
    if (hora_tp_is_op(p, '(')) {
        p->tok++;
        if (hora_tp_is_op(p, ')')) {
            *out = hora_tp_node(p, HORA_TN_TUPLE);
            p->tok++;
            return HORA_OK;
        }
        HORA_TRY(hora_tp_tuple(p, true, out));
        return hora_tp_expect_op(p, ')', "`)`");
    }
    if (hora_tp_is_op(p, '[') || hora_tp_is_op(p, '{')) {
        bool list = k->i == '[';
        *out = e = hora_tp_node(p, list ? HORA_TN_LIST : HORA_TN_DICT);
        return parse_items(p, e, list ? ']' : '}', !list);
    }
    return hora_tp_fail(p, HORA_EFORMAT, "a value is expected, not %s; correct the template",
                        hora_tk_text(k, b));
}

/* ---- postfix ---- */
static hora_status parse_subscript(hora_tp *p, hora_tn **e) {
    hora_tn *x = hora_tp_node(p, HORA_TN_ITEM), *part[3] = {NULL, NULL, NULL};
    int n = 0;
    p->tok++;
    x->a = *e;
    while (!hora_tp_is_op(p, ']')) {
        if (hora_tp_take_op(p, ':')) {
            if (++n > 2)
                return hora_tp_fail(p, HORA_EFORMAT,
                                    "a slice has at most three parts; correct the template");
            continue;
        }
        if (part[n])
            HORA_TRY(hora_tp_expect_op(p, ']', "`]`"));
        HORA_TRY(hora_tp_expr(p, &part[n]));
    }
    p->tok++;
    if (n == 0 && part[0] && part[0]->kind == HORA_TN_CONST &&
        part[0]->value.type == HORA_TV_STRING)
        HORA_TRY(intern(p, part[0]->value.s, part[0]->value.n, &x->name));
    if (n == 0 && !part[0])
        return hora_tp_fail(p, HORA_EFORMAT, "an index is missing; correct the template");
    x->b = part[0];
    if (n) {
        x->kind = HORA_TN_SLICE;
        x->list = hora_tp_list(p, part, 3);
        x->nlist = 3;
    }
    *e = x;
    return HORA_OK;
}

static hora_status parse_attr(hora_tp *p, hora_tn **e) {
    hora_tn *x = hora_tp_node(p, HORA_TN_ATTR);
    p->tok++;
    x->a = *e;
    if (p->tok->type == HORA_TK_INT) { /* x.0 is x[0] */
        x->kind = HORA_TN_ITEM;
        x->b = constant(p, hora_tv_int(p->tok->i));
        p->tok++;
    } else {
        const hora_token *k = p->tok;
        HORA_TRY(hora_tp_expect(p, HORA_TK_NAME, "a name"));
        x->s = k->s;
        x->n = k->n;
        HORA_TRY(intern(p, k->s, k->n, &x->name));
        bool method = hora_tpl_method(-1, k->s, k->n) || hora_tpl_cycler(k->s, k->n) ||
                      hora_tv_foreign(-1, k->s, k->n);
        x->traits = method ? HORA_TPL_METHOD : 0;
    }
    *e = x;
    return HORA_OK;
}

static hora_status parse_call(hora_tp *p, hora_tn **e) {
    hora_tn *x = hora_tp_node(p, HORA_TN_CALL);
    x->a = *e;
    if (x->a->kind == HORA_TN_NAME && !p->soft)
        HORA_PUSH(p->free, p->nfree, p->cfree, x);
    if (x->a->kind == HORA_TN_ATTR && !hora_tpl_method(-1, x->a->s, x->a->n) &&
        !hora_tpl_cycler(x->a->s, x->a->n))
        unknown(p, "method", p->tok - 1);
    HORA_TRY(parse_args(p, x));
    *e = x;
    return HORA_OK;
}

hora_status hora_tp_postfix(hora_tp *p, hora_tn **e) {
    for (int n = 0;; n++) {
        if (n == HORA_TPL_NEST)
            return hora_tp_fail(p, HORA_EUNSUPPORTED,
                                "too long a chain of `.`, `[` and `(`; simplify this tag");
        if (hora_tp_is_op(p, '.'))
            HORA_TRY(parse_attr(p, e));
        else if (hora_tp_is_op(p, '['))
            HORA_TRY(parse_subscript(p, e));
        else if (hora_tp_is_op(p, '('))
            HORA_TRY(parse_call(p, e));
        else
            return HORA_OK;
    }
}

static unsigned filter_traits(const hora_builtin *fn) {
    static const struct {
        const char *name;
        unsigned traits;
    } rows[] = {{"length", HORA_TPL_LENGTH},   {"count", HORA_TPL_LENGTH},
                {"upper", HORA_TPL_SAFE},      {"lower", HORA_TPL_SAFE},
                {"trim", HORA_TPL_SAFE},       {"indent", HORA_TPL_SAFE},
                {"capitalize", HORA_TPL_SAFE}, {"string", HORA_TPL_SAFE},
                {"list", HORA_TPL_ORDER},      {"reverse", HORA_TPL_SAFE | HORA_TPL_ORDER},
                {"center", HORA_TPL_SAFE},     {"map", HORA_TPL_EACH},
                {"select", HORA_TPL_EACH},     {"reject", HORA_TPL_EACH},
                {"selectattr", HORA_TPL_EACH}, {"rejectattr", HORA_TPL_EACH}};
    for (size_t i = 0; i < HORA_COUNT(rows) && fn; i++)
        if (!strcmp(fn->name, rows[i].name))
            return rows[i].traits;
    return 0;
}

hora_status hora_tp_filter(hora_tp *p, hora_tn **e) {
    hora_tn *x = hora_tp_node(p, HORA_TN_FILTER);
    const hora_token *k = p->tok;
    HORA_TRY(hora_tp_expect(p, HORA_TK_NAME, "the name of a filter"));
    x->a = *e;
    x->fn = hora_tpl_filter(k->s, k->n);
    x->traits = filter_traits(x->fn);
    x->s = k->s;
    x->n = k->n;
    if (!x->fn)
        unknown(p, "filter", k);
    if (hora_tp_is_op(p, '('))
        HORA_TRY(parse_args(p, x));
    *e = x;
    return check_args(p, x);
}

static bool starts_argument(const hora_tp *p) {
    switch (p->tok->type) {
    case HORA_TK_NAME:
        return !hora_tp_is_name(p, "else") && !hora_tp_is_name(p, "or") &&
               !hora_tp_is_name(p, "and");
    case HORA_TK_STRING:
    case HORA_TK_INT:
    case HORA_TK_REAL:
        return true;
    default:
        return hora_tp_is_op(p, '[') || hora_tp_is_op(p, '{');
    }
}

/* x is [not] test, test(..) or test ARG */
static hora_status parse_test(hora_tp *p, hora_tn **e) {
    hora_tn *x = hora_tp_node(p, HORA_TN_TEST);
    p->tok++;
    x->op = hora_tp_take_name(p, "not");
    const hora_token *k = p->tok;
    HORA_TRY(hora_tp_expect(p, HORA_TK_NAME, "the name of a test"));
    x->a = *e;
    x->fn = hora_tpl_test(k->s, k->n);
    x->traits = x->fn && strstr(x->fn->name, "defined") ? HORA_TPL_DEFINED : 0;
    x->s = k->s;
    x->n = k->n;
    if (!x->fn)
        unknown(p, "test", k);
    if (hora_tp_is_op(p, '(')) {
        HORA_TRY(parse_args(p, x));
    } else if (starts_argument(p)) {
        if (hora_tp_is_name(p, "is"))
            return hora_tp_fail(p, HORA_EFORMAT,
                                "tests cannot be chained with `is`; put one in parentheses");
        hora_tn *arg;
        HORA_TRY(hora_tp_primary(p, &arg));
        HORA_TRY(hora_tp_postfix(p, &arg));
        x->list = hora_tp_list(p, &arg, 1);
        x->nlist = 1;
    }
    *e = x;
    return check_args(p, x);
}

hora_status hora_tp_filters(hora_tp *p, hora_tn **e) {
    for (int n = 0;; n++) {
        if (n == HORA_TPL_NEST)
            return hora_tp_fail(p, HORA_EUNSUPPORTED,
                                "too long a chain of filters; simplify this tag");
        if (hora_tp_take_op(p, '|'))
            HORA_TRY(hora_tp_filter(p, e));
        else if (hora_tp_is_name(p, "is"))
            HORA_TRY(parse_test(p, e));
        else if (hora_tp_is_op(p, '('))
            HORA_TRY(parse_call(p, e));
        else
            return HORA_OK;
    }
}
