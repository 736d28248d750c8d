/*
 * Tests: what stands behind `is`. A row names the parameters; the binding of arguments and the
 * check of names happened elsewhere (hora_ts_bind, template_parse.c).
 */
#include "base/text.h"
#include "template/template_list_impl.h"

#define TEST(fn, cond)                                                                             \
    static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out) {                         \
        const hora_tv *v = &a->in;                                                                 \
        (void)st;                                                                                  \
        *out = hora_tv_bool(cond);                                                                 \
        return HORA_OK;                                                                            \
    }
TEST(t_defined, v->type != HORA_TV_UNDEFINED)
TEST(t_undefined, v->type == HORA_TV_UNDEFINED)
TEST(t_none, v->type == HORA_TV_NONE)
TEST(t_boolean, v->type == HORA_TV_BOOL)
TEST(t_true, v->type == HORA_TV_BOOL && v->i)
TEST(t_false, v->type == HORA_TV_BOOL && !v->i)
TEST(t_integer, v->type == HORA_TV_INT || v->type == HORA_TV_BIG)
TEST(t_float, v->type == HORA_TV_REAL)
TEST(t_number, v->type >= HORA_TV_BOOL && v->type <= HORA_TV_REAL)
TEST(t_string, v->type == HORA_TV_STRING)
TEST(t_mapping, v->type == HORA_TV_DICT)
TEST(t_iterable, v->type == HORA_TV_UNDEFINED || v->type == HORA_TV_LOOP ||
                     (v->type >= HORA_TV_STRING && v->type <= HORA_TV_DICT))
TEST(t_sequence,
     v->type == HORA_TV_UNDEFINED || (v->type >= HORA_TV_STRING && v->type <= HORA_TV_DICT &&
                                      !(v->type == HORA_TV_LIST && (v->once || v->safe))))
TEST(t_callable, v->type == HORA_TV_UNDEFINED || v->type >= HORA_TV_MACRO)
TEST(t_escaped, v->type == HORA_TV_STRING && v->safe)

static hora_status t_case(hora_ts *st, const hora_args *a, bool upper, hora_tv *out) {
    hora_tv v;
    bool yes;
    HORA_TRY(hora_tv_text(st, &a->in, &v));
    HORA_TRY(hora_tpl_is_case(st, &v, upper, &yes));
    *out = hora_tv_bool(yes);
    return HORA_OK;
}
static hora_status t_upper(hora_ts *st, const hora_args *a, hora_tv *out) {
    return t_case(st, a, true, out);
}
static hora_status t_lower(hora_ts *st, const hora_args *a, hora_tv *out) {
    return t_case(st, a, false, out);
}

static hora_status modulo(hora_ts *st, const hora_tv *v, const hora_tv *by, int64_t want,
                          hora_tv *out) {
    hora_tv rest, w = hora_tv_int(want);
    double r;
    if (!hora_tv_number(v, &r)) /* text % something would format it */
        return hora_ts_fail(st, "%s is not divided; correct the template or the data",
                            hora_tv_name(v));
    HORA_TRY(hora_tv_binary(st, '%', v, by, &rest));
    return hora_tv_binary(st, HORA_OP2('=', '='), &rest, &w, out);
}
static hora_status t_divisible(hora_ts *st, const hora_args *a, hora_tv *out) {
    return modulo(st, &a->in, &a->at[0], 0, out);
}
static hora_status t_even(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv two = hora_tv_int(2);
    return modulo(st, &a->in, &two, 0, out);
}
static hora_status t_odd(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv two = hora_tv_int(2);
    return modulo(st, &a->in, &two, 1, out);
}

#define COMPARE(fn, op)                                                                            \
    static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out) {                         \
        return hora_tv_binary(st, op, &a->in, &a->at[0], out);                                     \
    }
COMPARE(t_eq, HORA_OP2('=', '='))
COMPARE(t_ne, HORA_OP2('!', '='))
COMPARE(t_lt, '<')
COMPARE(t_le, HORA_OP2('<', '='))
COMPARE(t_gt, '>')
COMPARE(t_ge, HORA_OP2('>', '='))
COMPARE(t_in, 'i')

static hora_status t_sameas(hora_ts *st, const hora_args *a, hora_tv *out) {
    const hora_tv *x = &a->in, *y = &a->at[0];
    if (x->type != HORA_TV_BOOL && x->type != HORA_TV_NONE && y->type != HORA_TV_BOOL &&
        y->type != HORA_TV_NONE)
        return hora_ts_fail(st, "`sameas` is for true, false and none here; write ==");
    *out = hora_tv_bool(x->type == y->type && (x->type == HORA_TV_NONE || x->i == y->i));
    return HORA_OK;
}

static hora_status t_filter(hora_ts *st, const hora_args *a, hora_tv *out) {
    (void)st;
    *out = hora_tv_bool(a->in.type == HORA_TV_STRING && hora_tpl_filter(a->in.s, a->in.n));
    return HORA_OK;
}
static hora_status t_test(hora_ts *st, const hora_args *a, hora_tv *out) {
    (void)st;
    *out = hora_tv_bool(a->in.type == HORA_TV_STRING && hora_tpl_test(a->in.s, a->in.n));
    return HORA_OK;
}

/* ---- the table ---- */
static const hora_builtin tests[] = {
    {"defined", "", 0, t_defined, 0},    {"undefined", "", 0, t_undefined, 0},
    {"none", "", 0, t_none, 0},          {"boolean", "", 0, t_boolean, 0},
    {"true", "", 0, t_true, 0},          {"false", "", 0, t_false, 0},
    {"integer", "", 0, t_integer, 0},    {"float", "", 0, t_float, 0},
    {"number", "", 0, t_number, 0},      {"string", "", 0, t_string, 0},
    {"mapping", "", 0, t_mapping, 0},    {"iterable", "", 0, t_iterable, 0},
    {"sequence", "", 0, t_sequence, 0},  {"callable", "", 0, t_callable, 0},
    {"escaped", "", 0, t_escaped, 0},    {"upper", "", 0, t_upper, 0},
    {"lower", "", 0, t_lower, 0},        {"divisibleby", "num", 1, t_divisible, 0},
    {"even", "", 0, t_even, 0},          {"odd", "", 0, t_odd, 0},
    {"eq", "other", 1, t_eq, 0},         {"equalto", "other", 1, t_eq, 0},
    {"ne", "other", 1, t_ne, 0},         {"lt", "other", 1, t_lt, 0},
    {"lessthan", "other", 1, t_lt, 0},   {"le", "other", 1, t_le, 0},
    {"gt", "other", 1, t_gt, 0},         {"greaterthan", "other", 1, t_gt, 0},
    {"ge", "other", 1, t_ge, 0},         {"in", "seq", 1, t_in, 0},
    {"filter", "", 0, t_filter, 0},      {"test", "", 0, t_test, 0},
    {"sameas", "other", 1, t_sameas, 0}, {"==", "other", 1, t_eq, 0},
    {"!=", "other", 1, t_ne, 0},         {"<", "other", 1, t_lt, 0},
    {"<=", "other", 1, t_le, 0},         {">", "other", 1, t_gt, 0},
    {">=", "other", 1, t_ge, 0}};

const hora_builtin *hora_tpl_test(const char *s, size_t n) {
    return hora_tpl_find(tests, HORA_COUNT(tests), s, n);
}
