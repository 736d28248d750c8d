/*
 * Operators, by recursive descent with Jinja's precedences: if-else, or, and, not, comparisons
 * (chained), + -, ~, * / // %, **, sign, then postfix and filters. A filter binds closer than ~ and
 * +, and to the signed value: -1 | abs is 1.
 */
#include "template/template_impl.h"

static hora_status parse_unary(hora_tp *p, bool filters, hora_tn **out) {
    hora_status s;
    if (++p->depth > HORA_TPL_NEST)
        return hora_tp_fail(p, HORA_EUNSUPPORTED,
                            "expressions are nested too deeply; simplify this tag");
    if (hora_tp_is_op(p, '-') || hora_tp_is_op(p, '+')) {
        hora_tn *e = hora_tp_node(p, hora_tp_is_op(p, '-') ? HORA_TN_NEG : HORA_TN_POS);
        p->tok++;
        s = parse_unary(p, false, &e->a);
        *out = e;
    } else {
        s = hora_tp_primary(p, out);
    }
    if (!s)
        s = hora_tp_postfix(p, out);
    if (!s && filters)
        s = hora_tp_filters(p, out);
    p->depth--;
    return s;
}

/* Left-associative operators, loosest first. */
static const int64_t levels[][5] = {
    {'+', '-'}, {'~'}, {'*', '/', '%', HORA_OP2('/', '/')}, {HORA_OP2('*', '*')}};

static hora_status parse_level(hora_tp *p, int level, hora_tn **out) {
    if (level == (int)HORA_COUNT(levels))
        return parse_unary(p, true, out);
    HORA_TRY(parse_level(p, level + 1, out));
    for (int n = 0;; n++) {
        bool found = false;
        for (int i = 0; levels[level][i]; i++)
            found = found || hora_tp_is_op(p, levels[level][i]);
        if (!found)
            return HORA_OK;
        if (n == HORA_TPL_NEST)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many operators; split this tag");
        hora_tn *e = hora_tp_node(p, HORA_TN_BINARY);
        e->op = p->tok++->i;
        e->a = *out;
        HORA_TRY(parse_level(p, level + 1, &e->b));
        *out = e;
    }
}

/* Comparison operators: the two-character codes; `in` is 'i', `not in` is 'n'. */
static int64_t take_comparison(hora_tp *p) {
    static const int64_t ops[] = {
        HORA_OP2('=', '='), HORA_OP2('!', '='), HORA_OP2('<', '='), HORA_OP2('>', '='), '<', '>'};
    for (size_t i = 0; i < HORA_COUNT(ops); i++)
        if (hora_tp_take_op(p, ops[i]))
            return ops[i];
    if (hora_tp_take_name(p, "in"))
        return 'i';
    if (hora_tp_is_name(p, "not") && hora_tk_is(p->tok + 1, "in")) {
        p->tok += 2;
        return 'n';
    }
    return 0;
}

static hora_status parse_compare(hora_tp *p, hora_tn **out) {
    hora_tn *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    HORA_TRY(parse_level(p, 0, out));
    for (;;) {
        const hora_token *k = p->tok;
        int64_t op = take_comparison(p);
        if (!op)
            break;
        hora_tn *e = hora_tp_node(p, HORA_TN_BINARY);
        e->op = op;
        e->line = k->line;
        e->col = k->col;
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many comparisons; split this tag");
        HORA_TRY(parse_level(p, 0, &e->b));
        at[n++] = e;
    }
    if (n) {
        hora_tn *e = hora_tp_node(p, HORA_TN_COMPARE);
        e->a = *out;
        e->list = hora_tp_list(p, at, n);
        e->nlist = n;
        *out = e;
    }
    return HORA_OK;
}

static hora_status parse_not(hora_tp *p, hora_tn **out) {
    if (!hora_tp_is_name(p, "not"))
        return parse_compare(p, out);
    hora_tn *e = hora_tp_node(p, HORA_TN_NOT);
    if (++p->depth > HORA_TPL_NEST)
        return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many `not`; simplify this tag");
    p->tok++;
    hora_status s = parse_not(p, &e->a);
    p->depth--;
    *out = e;
    return s;
}

static hora_status parse_logic(hora_tp *p, bool is_or, hora_tn **out) {
    HORA_TRY(is_or ? parse_logic(p, false, out) : parse_not(p, out));
    for (int n = 0; hora_tp_take_name(p, is_or ? "or" : "and"); n++) {
        if (n == HORA_TPL_NEST)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many operators; split this tag");
        hora_tn *e = hora_tp_node(p, is_or ? HORA_TN_OR : HORA_TN_AND);
        e->a = *out;
        HORA_TRY(is_or ? parse_logic(p, false, &e->b) : parse_not(p, &e->b));
        *out = e;
    }
    return HORA_OK;
}

/* no tuple, no if-else */
static hora_status parse_or(hora_tp *p, hora_tn **out) {
    return parse_logic(p, true, out);
}

hora_status hora_tp_expr(hora_tp *p, hora_tn **out) {
    if (++p->depth > HORA_TPL_NEST)
        return hora_tp_fail(p, HORA_EUNSUPPORTED,
                            "expressions are nested too deeply; simplify this tag");
    int nfree = p->nfree, nstrange = p->nstrange;
    hora_status s = parse_or(p, out);
    for (int n = 0; !s && hora_tp_is_name(p, "if"); n++) {
        if (n == HORA_TPL_NEST)
            s = hora_tp_fail(p, HORA_EUNSUPPORTED, "too many `if`; split this tag");
        hora_tn *e = hora_tp_node(p, HORA_TN_IF_ELSE);
        p->tok++;
        e->b = *out;
        *out = e;
        p->nfree = nfree; /* what stands before this `if` is inside of it */
        p->nstrange = nstrange;
        p->soft++;
        if (!s)
            s = parse_or(p, &e->a);
        if (!s && hora_tp_take_name(p, "else"))
            s = hora_tp_expr(p, &e->c);
        p->soft--;
    }
    p->depth--;
    return s;
}

/* One expression, or several with commas between them: a tuple. */
hora_status hora_tp_tuple(hora_tp *p, bool if_else, hora_tn **out) {
    hora_tn *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    HORA_TRY(if_else ? hora_tp_expr(p, &at[0]) : parse_or(p, &at[0]));
    *out = at[0];
    if (!hora_tp_is_op(p, ','))
        return HORA_OK;
    hora_tn *e = hora_tp_node(p, HORA_TN_TUPLE);
    for (n = 1; hora_tp_take_op(p, ',');) {
        if (p->tok->type == HORA_TK_VAR_END || p->tok->type == HORA_TK_BLOCK_END ||
            hora_tp_is_op(p, ')'))
            break;
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "a tuple of more than %d; use a list",
                                HORA_TPL_MAX_ARGS);
        HORA_TRY(if_else ? hora_tp_expr(p, &at[n]) : parse_or(p, &at[n]));
        n++;
    }
    e->list = hora_tp_list(p, at, n);
    e->nlist = n;
    *out = e;
    return HORA_OK;
}
