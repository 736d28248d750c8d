/*
 * Tokens to statements: if, for, set, macro, call, filter, with, break, continue and generation.
 * Every other tag is refused with its position. A body ends at one of the tags that its owner
 * names.
 */
#include "base/text.h"
#include "template/template_impl.h"

typedef struct nodes {
    hora_tn **at;
    int n, cap;
} nodes;

static hora_status name_id(hora_tp *p, const char *what, int *id) {
    const hora_token *k = p->tok;
    HORA_TRY(hora_tp_expect(p, HORA_TK_NAME, what));
    *id = hora_tpl_intern(p->t, k->s, k->n);
    if (*id < 0)
        return hora_tp_fail(p, HORA_EUNSUPPORTED, "more than %d names; simplify the template",
                            HORA_TPL_NAMES);
    p->bound[*id] = true;
    return HORA_OK;
}

static hora_status parse_body(hora_tp *p, const char *ends, const char **end, hora_tn **out);

/* a name to assign */
static hora_status parse_target(hora_tp *p, hora_tn **out) {
    static const char *const fixed[] = {"true", "True", "false", "False", "none", "None", "and",
                                        "or",   "not",  "if",    "else",  "in",   "is",   "loop"};
    char b[40];
    for (size_t i = 0; i < HORA_COUNT(fixed); i++)
        if (hora_tp_is_name(p, fixed[i]))
            return hora_tp_fail(p, HORA_EFORMAT, "%s cannot be assigned; choose another name",
                                hora_tk_text(p->tok, b));
    hora_tn *e = hora_tp_node(p, HORA_TN_NAME);
    *out = e;
    return name_id(p, "a name to assign", &e->name);
}

/* a, b  or  (a, b): no deeper nesting, which no template needs. */
static hora_status parse_targets(hora_tp *p, hora_tn *owner) {
    hora_tn *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    bool paren = hora_tp_is_op(p, '(');
    p->tok += paren;
    for (;;) {
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many names to assign; use a list");
        HORA_TRY(parse_target(p, &at[n]));
        n++;
        if (!hora_tp_is_op(p, ','))
            break;
        p->tok++;
    }
    if (paren)
        HORA_TRY(hora_tp_expect_op(p, ')', "`)`"));
    owner->targets = hora_tp_list(p, at, n);
    owner->ntargets = n;
    return HORA_OK;
}

static hora_status end_tag(hora_tp *p) {
    return hora_tp_expect(p, HORA_TK_BLOCK_END, "`%}`");
}

static void adopt(hora_tn *e, const hora_tn *body) {
    e->list = body->list;
    e->nlist = body->nlist;
}

/* `%}`, a body that loop controls cannot leave, and the name of the tag that ends it. */
static hora_status parse_block(hora_tp *p, const char *ends, hora_tn *e) {
    const char *end;
    hora_tn *body;
    int loops = p->loops;
    HORA_TRY(end_tag(p));
    p->loops = 0;
    hora_status s = parse_body(p, ends, &end, &body);
    p->loops = loops;
    HORA_TRY(s);
    adopt(e, body);
    p->tok++;
    return HORA_OK;
}

static hora_status parse_if(hora_tp *p, hora_tn **out) {
    hora_tn *first = hora_tp_node(p, HORA_TN_IF), *e = first, *body;
    const char *end;
    p->soft++;
    for (;;) {
        p->tok++; /* if, elif */
        HORA_TRY(hora_tp_tuple(p, false, &e->a));
        if (hora_tp_is_name(p, "if"))
            return hora_tp_fail(p, HORA_EUNSUPPORTED,
                                "an if-else expression as a condition needs parentheses; add them");
        HORA_TRY(end_tag(p));
        HORA_TRY(parse_body(p, "elif else endif", &end, &body));
        adopt(e, body);
        if (!hora_eq(end, "elif"))
            break;
        e->b = hora_tp_node(p, HORA_TN_IF);
        e = e->b;
    }
    if (hora_eq(end, "else")) {
        p->tok++;
        HORA_TRY(end_tag(p));
        HORA_TRY(parse_body(p, "endif", &end, &e->b));
    }
    p->soft--;
    p->tok++;
    *out = first;
    return end_tag(p);
}

static hora_status parse_for(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_FOR), *body;
    const char *end;
    p->tok++;
    HORA_TRY(parse_targets(p, e));
    if (!hora_tp_is_name(p, "in"))
        return hora_tp_fail(p, HORA_EFORMAT, "`in` is expected after the names of `for`; add it");
    p->tok++;
    HORA_TRY(hora_tp_tuple(p, false, &e->a));
    if (hora_tp_is_name(p, "if")) {
        p->tok++;
        HORA_TRY(hora_tp_expr(p, &e->b));
    }
    if (hora_tp_is_name(p, "recursive"))
        return hora_tp_fail(p, HORA_EUNSUPPORTED,
                            "recursive loops are not supported; use a macro that calls itself");
    HORA_TRY(end_tag(p));
    p->loops++;
    hora_status s = parse_body(p, "else endfor", &end, &body);
    p->loops--;
    HORA_TRY(s);
    adopt(e, body);
    if (hora_eq(end, "else")) {
        p->tok++;
        HORA_TRY(end_tag(p));
        HORA_TRY(parse_body(p, "endfor", &end, &e->c));
    }
    p->tok++;
    *out = e;
    return end_tag(p);
}

/* Filters that the text of a block goes through: e->b, or NULL. */
static hora_status parse_through(hora_tp *p, hora_tn *e) {
    if (!hora_tp_is_op(p, '|'))
        return HORA_OK;
    e->b = hora_tp_node(p, HORA_TN_CAPTURED);
    return hora_tp_filters(p, &e->b);
}

static hora_status parse_set(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_SET);
    p->tok++;
    const hora_token *next = p->tok + 1;
    if (p->tok->type == HORA_TK_NAME && next->type == HORA_TK_OP && next->i == '.') {
        hora_tn *space = hora_tp_node(p, HORA_TN_NAME);
        HORA_TRY(name_id(p, "a namespace", &space->name));
        p->tok++;
        const hora_token *k = p->tok;
        HORA_TRY(hora_tp_expect(p, HORA_TK_NAME, "a name"));
        e->op = 1;
        e->targets = hora_tp_list(p, &space, 1);
        e->ntargets = 1;
        e->name = hora_tpl_intern(p->t, k->s, k->n);
        if (e->name < 0)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "more than %d names; simplify the template",
                                HORA_TPL_NAMES);
    } else {
        HORA_TRY(parse_targets(p, e));
    }
    *out = e;
    if (hora_tp_is_op(p, '=')) {
        p->tok++;
        HORA_TRY(hora_tp_tuple(p, true, &e->a));
        return end_tag(p);
    }
    if (e->ntargets != 1)
        return hora_tp_fail(p, HORA_EUNSUPPORTED, "`set` takes one name here; write name = value");
    e->kind = HORA_TN_SETBLOCK;
    HORA_TRY(parse_through(p, e));
    HORA_TRY(parse_block(p, "endset", e));
    return end_tag(p);
}

static hora_status parse_params(hora_tp *p, hora_tn *e) {
    hora_tn *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    HORA_TRY(hora_tp_expect_op(p, '(', "`(`"));
    while (!hora_tp_is_op(p, ')')) {
        if (n)
            HORA_TRY(hora_tp_expect_op(p, ',', "`,` or `)`"));
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many parameters; use a list");
        HORA_TRY(parse_target(p, &at[n]));
        for (int i = 0; i < n; i++)
            if (at[i]->name == at[n]->name)
                return hora_tp_fail(p, HORA_EFORMAT, "this parameter stands twice; rename one");
        if (hora_tp_is_op(p, '=')) {
            p->tok++;
            HORA_TRY(hora_tp_expr(p, &at[n]->a));
        } else if (n && at[n - 1]->a) {
            return hora_tp_fail(p, HORA_EFORMAT,
                                "a parameter without a default follows one with; reorder them");
        }
        n++;
    }
    p->tok++;
    e->targets = hora_tp_list(p, at, n);
    e->ntargets = n;
    return HORA_OK;
}

static hora_status parse_macro(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_MACRO), *name;
    p->tok++;
    HORA_TRY(parse_target(p, &name));
    e->name = name->name;
    HORA_TRY(parse_params(p, e));
    hora_tn *outer = p->macro;
    p->macro = e;
    hora_status s = parse_block(p, "endmacro", e);
    p->macro = outer;
    HORA_TRY(s);
    *out = e;
    return end_tag(p);
}

/* {% call(item) macro(..) %} .. {% endcall %}: the macro finds the body as caller(item). */
static hora_status parse_calling(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_CALLING);
    p->tok++;
    if (hora_tp_is_op(p, '('))
        HORA_TRY(parse_params(p, e));
    HORA_TRY(hora_tp_expr(p, &e->a));
    if (e->a->kind != HORA_TN_CALL)
        return hora_tp_fail(p, HORA_EFORMAT,
                            "`call` takes the call of a macro; correct the template");
    HORA_TRY(parse_block(p, "endcall", e));
    *out = e;
    return end_tag(p);
}

/* {% filter upper | trim %} .. {% endfilter %} */
static hora_status parse_filtered(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_FILTERED);
    p->tok++;
    e->b = hora_tp_node(p, HORA_TN_CAPTURED);
    HORA_TRY(hora_tp_filter(p, &e->b));
    HORA_TRY(hora_tp_filters(p, &e->b));
    HORA_TRY(parse_block(p, "endfilter", e));
    *out = e;
    return end_tag(p);
}

static hora_status parse_with(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_WITH), *at[HORA_TPL_MAX_ARGS];
    int n = 0;
    p->tok++;
    while (p->tok->type != HORA_TK_BLOCK_END) {
        if (n)
            HORA_TRY(hora_tp_expect_op(p, ',', "`,` or `%}`"));
        if (n == HORA_TPL_MAX_ARGS)
            return hora_tp_fail(p, HORA_EUNSUPPORTED, "too many names; use `set`");
        HORA_TRY(parse_target(p, &at[n]));
        HORA_TRY(hora_tp_expect_op(p, '=', "`=`"));
        HORA_TRY(hora_tp_expr(p, &at[n]->a));
        n++;
    }
    e->targets = hora_tp_list(p, at, n);
    e->ntargets = n;
    HORA_TRY(parse_block(p, "endwith", e));
    *out = e;
    return end_tag(p);
}

static hora_status parse_jump(hora_tp *p, hora_tn **out) {
    bool leave = hora_tp_is_name(p, "break");
    if (!p->loops)
        return hora_tp_fail(p, HORA_EFORMAT, "`%s` outside of a loop; remove it",
                            leave ? "break" : "continue");
    *out = hora_tp_node(p, leave ? HORA_TN_BREAK : HORA_TN_CONTINUE);
    p->tok++;
    return end_tag(p);
}

static hora_status parse_generation(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, HORA_TN_GENERATION);
    p->tok++;
    p->t->generates = true;
    HORA_TRY(parse_block(p, "endgeneration", e));
    *out = e;
    return end_tag(p);
}

static hora_status parse_tag(hora_tp *p, hora_tn **out) {
    static const struct {
        const char *name;
        hora_status (*parse)(hora_tp *, hora_tn **);
    } tags[] = {{"if", parse_if},         {"for", parse_for},
                {"set", parse_set},       {"macro", parse_macro},
                {"call", parse_calling},  {"filter", parse_filtered},
                {"with", parse_with},     {"break", parse_jump},
                {"continue", parse_jump}, {"generation", parse_generation}};
    char b[40];
    for (size_t i = 0; i < HORA_COUNT(tags); i++)
        if (hora_tp_is_name(p, tags[i].name))
            return tags[i].parse(p, out);
    return hora_tp_fail(p, HORA_EUNSUPPORTED,
                        "the tag %s is not supported here; write the template without it",
                        hora_tk_text(p->tok, b));
}

/* The word of `ends` that the current token is, or NULL. */
static const char *ends_here(const hora_tp *p, const char *ends) {
    static const char *const words[] = {"elif",    "else",         "endif",   "endfor",
                                        "endset",  "endmacro",     "endcall", "endfilter",
                                        "endwith", "endgeneration"};
    for (size_t i = 0; i < HORA_COUNT(words); i++)
        if (hora_tp_is_name(p, words[i]) && ends && strstr(ends, words[i]))
            return words[i];
    return NULL;
}

static hora_status parse_item(hora_tp *p, hora_tn **out) {
    hora_tn *e = hora_tp_node(p, p->tok->type == HORA_TK_TEXT ? HORA_TN_TEXT : HORA_TN_PRINT);
    *out = e;
    e->s = p->tok->s;
    e->n = p->tok->n;
    p->tok++;
    if (e->kind == HORA_TN_TEXT)
        return HORA_OK;
    HORA_TRY(hora_tp_tuple(p, true, &e->a));
    return hora_tp_expect(p, HORA_TK_VAR_END, "`}}`");
}

static hora_status parse_until(hora_tp *p, const char *ends, const char **end, nodes *v) {
    for (;;) {
        hora_tn *e;
        if (p->tok->type == HORA_TK_EOF && !ends)
            return HORA_OK;
        if (p->tok->type == HORA_TK_EOF)
            return hora_tp_fail(p, HORA_EFORMAT, "the template ends before `%s`; add it",
                                strrchr(ends, ' ') ? strrchr(ends, ' ') + 1 : ends);
        if (p->tok->type == HORA_TK_BLOCK) {
            p->tok++;
            if ((*end = ends_here(p, ends)) != NULL)
                return HORA_OK;
            HORA_TRY(parse_tag(p, &e));
        } else {
            HORA_TRY(parse_item(p, &e));
        }
        HORA_PUSH(v->at, v->n, v->cap, e);
    }
}

static hora_status parse_body(hora_tp *p, const char *ends, const char **end, hora_tn **out) {
    nodes v = {0};
    if (++p->depth > HORA_TPL_NEST)
        return hora_tp_fail(p, HORA_EUNSUPPORTED, "tags are nested too deeply; simplify them");
    hora_tn *e = hora_tp_node(p, HORA_TN_BODY);
    hora_status s = parse_until(p, ends, end, &v);
    e->list = hora_tp_list(p, v.at, v.n);
    e->nlist = v.n;
    hora_free(v.at);
    p->depth--;
    *out = e;
    return s;
}

/* A plain name that is called outside of any `if` must be a built-in or something that the template
 * assigns; inside of one it may be what `is defined` asks for. */
static hora_status check_names(hora_tp *p) {
    char b[40];
    if (p->nstrange) {
        p->tok = p->strange[0].at;
        return hora_tp_fail(p, HORA_EUNSUPPORTED,
                            "the %s %s is not supported; write the template without it",
                            p->strange[0].kind, hora_tk_text(p->tok, b));
    }
    for (int i = 0; i < p->nfree; i++) {
        const hora_tn *e = p->free[i];
        const char *name = p->t->names[e->a->name];
        if (p->bound[e->a->name] || hora_eq(name, "caller") ||
            hora_tpl_function(name, strlen(name)))
            continue;
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s, line %d, column %d: the function `%.40s` is not supported; write the "
                         "template without it",
                         p->t->what, e->line, e->col, name);
    }
    return HORA_OK;
}

hora_status hora_tpl_parse(hora_template *t, const hora_token *tokens, int n) {
    hora_tp p = {.t = t, .tok = tokens};
    const char *end = NULL;
    (void)n;
    p.bound = hora_calloc(HORA_TPL_NAMES, sizeof *p.bound);
    hora_status s = parse_body(&p, NULL, &end, &t->body);
    if (!s)
        s = check_names(&p);
    t->loop = hora_tpl_name(t, "loop", 4);
    t->prompt = hora_tpl_name(t, "add_generation_prompt", 21);
    hora_free(p.bound);
    hora_free(p.free);
    hora_free(p.strange);
    return s;
}
