/*
 * Filters on single values (tests: template_test.c). A row names its parameters; the binding of
 * arguments and the check of names happened elsewhere (hora_ts_bind, template_parse.c). Filters
 * over lists are in template_list.c, which this table refers to, the case of letters in
 * template_case.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "template/template_list_impl.h"

#define HAS(a, k) ((a)->set >> (k)&1)

/* Texts that filters take may be anything; they work on str(value). */
static hora_status as_text(hora_ts *st, const hora_tv *v, hora_tv *out) {
    return hora_tv_text(st, v, out);
}

/* ---- text filters ---- */
#define CASE(fn, mode)                                                                             \
    static hora_status fn(hora_ts *st, const hora_args *a, hora_tv *out) {                         \
        return hora_tpl_case(st, &a->in, mode, out);                                               \
    }
CASE(f_upper, 'u')
CASE(f_lower, 'l')
CASE(f_capitalize, 'c')
CASE(f_title, 't')

/* Ends of text: sides 1 left, 2 right, 3 both; chars NULL: white space. */
hora_status hora_tpl_strip(hora_ts *st, const hora_tv *in, const hora_tv *chars, int sides,
                           hora_tv *out) {
    hora_tv v;
    HORA_TRY(as_text(st, in, &v));
    if (chars && chars->type == HORA_TV_NONE)
        chars = NULL;
    if (chars && chars->type != HORA_TV_STRING)
        return hora_ts_fail(st, "characters to strip are a string, not %s; correct the template",
                            hora_tv_name(chars));
    const char *s = v.s;
    size_t n = v.n, k;
    for (int side = 1; side <= 2; side++)
        while ((sides & side) && n) {
            if (!chars) {
                k = side == 1 ? hora_utf8_space(s, n) : hora_utf8_space_back(s, n);
            } else {
                size_t at = side == 1 ? 0 : n - 1;
                while (at && side == 2 && ((unsigned char)s[at] & 0xC0) == 0x80)
                    at--;
                uint32_t c;
                k = (size_t)hora_utf8_decode(s + at, n - at, &c);
                bool in_set = false;
                hora_tv one = hora_tv_borrow(s + at, k);
                HORA_TRY(hora_tv_contains(st, chars, &one, &in_set));
                k = in_set ? k : 0;
            }
            if (!k)
                break;
            s += side == 1 ? k : 0;
            n -= k;
        }
    *out = hora_tv_borrow(s, n);
    return hora_ts_step(st, v.n / 64);
}

static hora_status f_trim(hora_ts *st, const hora_args *a, hora_tv *out) {
    return hora_tpl_strip(st, &a->in, HAS(a, 0) ? &a->at[0] : NULL, 3, out);
}

/* str.replace: `count` below 0 is all. An empty `old` stands between all characters. */
hora_status hora_tpl_replace(hora_ts *st, const hora_tv *in, const hora_tv *from, const hora_tv *to,
                             int64_t count, hora_tv *out) {
    hora_tv v;
    hora_str b = {0};
    hora_status s = HORA_OK;
    HORA_TRY(as_text(st, in, &v));
    HORA_TRY(hora_ts_step(st, v.n / 16 * (from->n / 64 + 1))); /* it may agree for long */
    for (size_t i = 0; i <= v.n && !s;) {
        uint32_t c;
        bool hit = count && i + from->n <= v.n && !memcmp(v.s + i, from->n ? from->s : "", from->n);
        if (hit) {
            hora_str_add(&b, to->s, to->n);
            count--;
            s = b.n > HORA_TPL_OUTPUT ? hora_ts_fail(st, "the text gets too long; cut the data")
                                      : hora_ts_step(st, 1 + to->n / 64);
        }
        if (i == v.n)
            break;
        size_t k = hit && from->n ? from->n : (size_t)hora_utf8_decode(v.s + i, v.n - i, &c);
        if (!(hit && from->n))
            hora_str_add(&b, v.s + i, k);
        i += k;
    }
    return hora_tv_take(st, &b, s ? s : hora_ts_step(st, v.n / 8), out);
}

static hora_status f_replace(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv from, to;
    int64_t count = -1;
    HORA_TRY(as_text(st, &a->at[0], &from));
    HORA_TRY(as_text(st, &a->at[1], &to));
    if (HAS(a, 2) && a->at[2].type != HORA_TV_NONE && !hora_tv_integer(&a->at[2], &count))
        return hora_ts_fail(st, "the count of `replace` is an integer; correct the template");
    return hora_tpl_replace(st, &a->in, &from, &to, count, out);
}

/* Lines but the first (unless `first`) get blanks in front; empty lines only with `blank`. */
static hora_status f_indent(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv v, pad = hora_tv_borrow("    ", 4), width = hora_tv_int(4),
               one = hora_tv_borrow(" ", 1);
    bool first = HAS(a, 1) && hora_tv_truth(&a->at[1]),
         blank = HAS(a, 2) && hora_tv_truth(&a->at[2]);
    hora_str b = {0};
    hora_status s = HORA_OK;
    HORA_TRY(as_text(st, &a->in, &v));
    for (size_t i = 0; i < v.n; i++)
        if (v.s[i] != '\n' && hora_tpl_break(v.s + i, v.n - i))
            return hora_ts_fail(st, "only \\n breaks lines in `indent` here; correct the data");
    if (HAS(a, 0))
        width = a->at[0];
    if (width.type == HORA_TV_STRING)
        pad = width;
    else
        HORA_TRY(hora_tv_binary(st, '*', &one, &width, &pad));
    for (size_t i = 0, line = 0; i <= v.n && !s; line++) {
        const char *nl = i < v.n ? memchr(v.s + i, '\n', v.n - i) : NULL;
        size_t end = nl ? (size_t)(nl - v.s) : v.n;
        if (line ? blank || end > i : first)
            hora_str_add(&b, pad.s, pad.n);
        hora_str_add(&b, v.s + i, end - i);
        if (nl)
            hora_str_putc(&b, '\n');
        s = b.n > HORA_TPL_OUTPUT ? hora_ts_fail(st, "the text gets too long; cut the data")
                                  : hora_ts_step(st, 1 + (end - i) / 64);
        i = end + 1;
    }
    return hora_tv_take(st, &b, s, out);
}

static hora_status f_string(hora_ts *st, const hora_args *a, hora_tv *out) {
    return as_text(st, &a->in, out);
}

static hora_status f_safe(hora_ts *st, const hora_args *a, hora_tv *out) {
    HORA_TRY(as_text(st, &a->in, out));
    out->safe = true;
    return HORA_OK;
}

static hora_status f_default(hora_ts *st, const hora_args *a, hora_tv *out) {
    bool use = a->in.type == HORA_TV_UNDEFINED;
    if (HAS(a, 1) && hora_tv_truth(&a->at[1]))
        use = !hora_tv_truth(&a->in);
    *out = !use ? a->in : HAS(a, 0) ? a->at[0] : hora_tv_borrow("", 0);
    (void)st;
    return HORA_OK;
}

static hora_status f_length(hora_ts *st, const hora_args *a, hora_tv *out) {
    switch (a->in.type) {
    case HORA_TV_UNDEFINED:
        *out = hora_tv_int(0);
        return HORA_OK;
    case HORA_TV_STRING:
        *out = hora_tv_int((int64_t)hora_utf8_length(a->in.s, a->in.n));
        return hora_ts_step(st, a->in.n / 64);
    case HORA_TV_LIST:
        if (a->in.once)
            return hora_tv_plain(st, &a->in);
        *out = hora_tv_int((int64_t)a->in.n);
        return HORA_OK;
    case HORA_TV_TUPLE:
    case HORA_TV_DICT:
        *out = hora_tv_int((int64_t)a->in.n);
        return HORA_OK;
    case HORA_TV_LOOP:
        *out = hora_tv_int((int64_t)a->in.loop->n);
        return HORA_OK;
    default:
        return hora_ts_fail(st, "%s has no length; correct the template or the data",
                            hora_tv_name(&a->in));
    }
}

static hora_status f_tojson(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_dumps how = {.indent = -1, .item = ", ", .nitem = 2, .key = ": ", .nkey = 2};
    hora_str b = {0};
    how.ascii = HAS(a, 0) && hora_tv_truth(&a->at[0]);
    how.sort = HAS(a, 3) && hora_tv_truth(&a->at[3]);
    if (HAS(a, 1) && a->at[1].type != HORA_TV_NONE) {
        if (!hora_tv_integer(&a->at[1], &how.indent) || how.indent < 0 || how.indent > 64)
            return hora_ts_fail(st, "the indent of `tojson` is 0 to 64; correct the template");
        how.item = ",";
        how.nitem = 1;
    }
    if (HAS(a, 2) && a->at[2].type != HORA_TV_NONE) {
        const hora_tv *v = &a->at[2];
        if ((v->type != HORA_TV_TUPLE && v->type != HORA_TV_LIST) || v->n != 2 ||
            v->list[0].type != HORA_TV_STRING || v->list[1].type != HORA_TV_STRING)
            return hora_ts_fail(st, "the separators of `tojson` are two strings; correct the "
                                    "template");
        how.item = v->list[0].s;
        how.nitem = v->list[0].n;
        how.key = v->list[1].s;
        how.nkey = v->list[1].n;
    }
    hora_status s = hora_tv_dumps(st, &a->in, &how, &b);
    return hora_tv_take(st, &b, s, out);
}

/* The value that a text of JSON stands for; other values stay as they are. */
static hora_status f_from_json(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_json *tree;
    *out = a->in;
    if (a->in.type != HORA_TV_STRING)
        return HORA_OK;
    if (hora_json_parse(&tree, a->in.s, a->in.n, "from_json"))
        return hora_ts_fail(st, "%s", hora_errmsg());
    HORA_PUSH(st->trees, st->ntrees, st->ctrees, tree);
    return hora_tv_json(st, tree, out);
}

/* ---- numbers ---- */
/* The string without the blanks around it, *n bytes of it. */
static const char *without_blanks(const hora_tv *v, size_t *n) {
    const char *s = v->s;
    size_t left = v->n;
    for (size_t k; (k = hora_utf8_space(s, left)) != 0; left -= k)
        s += k;
    for (size_t k; (k = hora_utf8_space_back(s, left)) != 0;)
        left -= k;
    *n = left;
    return s;
}

/* The number that stands in a string, blanks around it allowed; false when it is none. */
static bool text_number(const hora_tv *v, bool integer, hora_tv *out) {
    char b[64];
    size_t n;
    const char *s = without_blanks(v, &n);
    if (!n || n >= sizeof b)
        return false;
    memcpy(b, s, n);
    b[n] = 0;
    size_t sign = b[0] == '-' || b[0] == '+';
    if (integer && strspn(b + sign, "0123456789") + sign != n)
        return false;
    *out = hora_tv_real(0);
    if (!integer)
        return hora_parse_double(b, &out->r);
    *out = hora_tv_int(0);
    return hora_parse_int(b[0] == '+' ? b + 1 : b, &out->i);
}

/* An integer of more than 64 bits that stands in a string. */
static hora_status text_digits(hora_ts *st, const hora_tv *v, bool *yes, hora_tv *out) {
    size_t n;
    const char *s = without_blanks(v, &n);
    bool minus = n && *s == '-';
    size_t k = n && (minus || *s == '+');
    while (k < n && s[k] == '0')
        k++;
    *yes = n - k >= 19;
    for (size_t i = k; i < n && *yes; i++)
        *yes = s[i] >= '0' && s[i] <= '9';
    if (!*yes)
        return HORA_OK;
    hora_str b = {0};
    hora_str_puts(&b, minus ? "-" : "");
    hora_str_add(&b, s + k, n - k);
    HORA_TRY(hora_tv_take(st, &b, HORA_OK, out));
    out->type = HORA_TV_BIG;
    return HORA_OK;
}

static hora_status defined(hora_ts *st, const hora_tv *v) {
    if (v->type == HORA_TV_UNDEFINED)
        return hora_ts_fail(
            st, "`%.60s` is undefined and no number; correct the template or the data", v->s);
    return HORA_OK;
}

static hora_status f_int(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv v = a->in;
    int64_t i;
    HORA_TRY(defined(st, &v));
    if (HAS(a, 1) && !(hora_tv_integer(&a->at[1], &i) && i == 10))
        return hora_ts_fail(st, "`int` has base 10 only; correct the template");
    *out = HAS(a, 0) ? a->at[0] : hora_tv_int(0);
    if (v.type == HORA_TV_STRING && text_number(&v, true, out))
        return HORA_OK;
    bool big = v.type == HORA_TV_BIG;
    if (v.type == HORA_TV_STRING)
        HORA_TRY(text_digits(st, &v, &big, &v));
    if (big) {
        *out = v;
        return HORA_OK;
    }
    *out = HAS(a, 0) ? a->at[0] : hora_tv_int(0);
    if (v.type == HORA_TV_STRING && !text_number(&v, false, &v))
        return HORA_OK;
    if (hora_tv_integer(&v, &i))
        *out = hora_tv_int(i);
    else if (v.type == HORA_TV_REAL && fabs(v.r) < 9e18)
        *out = hora_tv_int((int64_t)v.r);
    else if (v.type == HORA_TV_REAL && isfinite(v.r))
        return hora_ts_fail(st, "an integer leaves 64 bits; correct the template or the data");
    return HORA_OK;
}

static hora_status f_float(hora_ts *st, const hora_args *a, hora_tv *out) {
    double r;
    HORA_TRY(defined(st, &a->in));
    *out = HAS(a, 0) ? a->at[0] : hora_tv_real(0);
    if (hora_tv_number(&a->in, &r))
        *out = hora_tv_real(r);
    else if (a->in.type == HORA_TV_STRING) {
        hora_tv v;
        if (text_number(&a->in, false, &v))
            *out = v;
    }
    return HORA_OK;
}

static hora_status f_abs(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv zero = hora_tv_int(0);
    double r;
    if (!hora_tv_number(&a->in, &r))
        return hora_ts_fail(st, "%s has no absolute value; correct the template",
                            hora_tv_name(&a->in));
    if (a->in.type == HORA_TV_REAL)
        *out = hora_tv_real(fabs(r));
    else if (a->in.type == HORA_TV_BIG)
        *out = a->in.s[0] == '-' ? hora_tv_digits(a->in.s + 1, a->in.n - 1) : a->in;
    else
        return hora_tv_binary(st, a->in.i < 0 ? '-' : '+', &zero, &a->in, out);
    return HORA_OK;
}

static hora_status f_round(hora_ts *st, const hora_args *a, hora_tv *out) {
    int64_t digits = 0;
    double r;
    char b[400];
    if (!hora_tv_number(&a->in, &r) || (HAS(a, 0) && !hora_tv_integer(&a->at[0], &digits)) ||
        digits < 0 || digits > 15)
        return hora_ts_fail(st, "`round` takes a number and 0 to 15 digits; correct the template");
    if (HAS(a, 1)) {
        const hora_tv *m = &a->at[1];
        double scale = pow(10, (double)digits);
        bool common = m->type == HORA_TV_STRING && m->n == 6 && !memcmp(m->s, "common", 6);
        bool ceil_ = m->type == HORA_TV_STRING && m->n == 4 && !memcmp(m->s, "ceil", 4);
        bool floor_ = m->type == HORA_TV_STRING && m->n == 5 && !memcmp(m->s, "floor", 5);
        if (!common && !ceil_ && !floor_)
            return hora_ts_fail(st, "`round` knows common, ceil and floor; correct the template");
        if (!common) {
            *out = hora_tv_real((ceil_ ? ceil(r * scale) : floor(r * scale)) / scale);
            return HORA_OK;
        }
    }
    if (a->in.type != HORA_TV_REAL || !isfinite(r)) {
        *out = a->in.type == HORA_TV_BOOL ? hora_tv_int(a->in.i) : a->in;
        return HORA_OK;
    }
    snprintf(b, sizeof b, "%.*f", (int)digits, r); /* exact, ties to even, as Python rounds */
    *out = hora_tv_real(strtod(b, NULL));
    return HORA_OK;
}

/* ---- more text ---- */
static hora_status f_escape(hora_ts *st, const hora_args *a, hora_tv *out) {
    return hora_tv_escape(st, &a->in, out);
}
static hora_status f_forceescape(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv v;
    HORA_TRY(as_text(st, &a->in, &v));
    v.safe = false;
    return hora_tv_escape(st, &v, out);
}

/* text | format(a, b) or format(name=..) */
static hora_status f_format(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv text, values, *at;
    bool named = a->n && a->given[0].s;
    HORA_TRY(as_text(st, &a->in, &text));
    HORA_TRY(hora_tv_room(st, 2 * (size_t)a->n, sizeof *at, &at));
    for (int i = 0; i < a->n; i++) {
        if ((a->given[i].s != NULL) != named)
            return hora_ts_fail(st, "`format` takes values in order or by name, not both; correct "
                                    "the template");
        if (named)
            at[2 * i] = hora_tv_borrow(a->given[i].s, a->given[i].n);
        at[named ? 2 * i + 1 : i] = a->at[i];
    }
    values = hora_tv_seq(named ? HORA_TV_DICT : HORA_TV_TUPLE, at, (size_t)a->n);
    return hora_tv_format(st, &text, &values, out);
}

static hora_status f_wordcount(hora_ts *st, const hora_args *a, hora_tv *out) {
    hora_tv v;
    int64_t words = 0;
    bool in = false;
    HORA_TRY(as_text(st, &a->in, &v));
    for (size_t i = 0; i < v.n;) { /* runs of \\w */
        uint32_t cp;
        int len = hora_utf8_decode(v.s + i, v.n - i, &cp);
        bool word = cp == '_' || hora_tpl_is_alnum(cp);
        words += word && !in;
        in = word;
        i += len > 0 ? (size_t)len : 1;
    }
    *out = hora_tv_int(words);
    return hora_ts_step(st, v.n / 16);
}

/* item[name], but attributes alone: keys of mappings are none */
static hora_status f_attr(hora_ts *st, const hora_args *a, hora_tv *out) {
    HORA_TRY(as_text(st, &a->at[0], out));
    hora_tv name = *out;
    if (a->in.type == HORA_TV_DICT && !hora_tpl_method(HORA_TV_DICT, name.s, name.n)) {
        *out = hora_tv_undefined("an attribute");
        return HORA_OK;
    }
    return hora_tv_attr(st, &a->in, name.s, name.n, out);
}

/* ---- tables ---- */
static const hora_builtin filters[] = {
    {"upper", "", 0, f_upper, 0},
    {"lower", "", 0, f_lower, 0},
    {"capitalize", "", 0, f_capitalize, 0},
    {"title", "", 0, f_title, 0},
    {"trim", "chars", 0, f_trim, 0},
    {"replace", "old new count", 2, f_replace, 0},
    {"indent", "width first blank", 0, f_indent, 0},
    {"string", "", 0, f_string, 0},
    {"format", "*", 0, f_format, 0},
    {"escape", "", 0, f_escape, 0},
    {"e", "", 0, f_escape, 0},
    {"forceescape", "", 0, f_forceescape, 0},
    {"wordcount", "", 0, f_wordcount, 0},
    {"attr", "name", 1, f_attr, 0},
    {"center", "width", 0, hora_tpl_center, 0},
    {"batch", "linecount fill_with", 1, hora_tpl_batch, 0},
    {"slice", "slices fill_with", 1, hora_tpl_slice, 0},
    {"groupby", "attribute default case_sensitive", 1, hora_tpl_groupby, 0},
    {"safe", "", 0, f_safe, 0},
    {"default", "default_value boolean", 0, f_default, 0},
    {"d", "default_value boolean", 0, f_default, 0},
    {"length", "", 0, f_length, 0},
    {"count", "", 0, f_length, 0},
    {"from_json", "", 0, f_from_json, 0},
    {"fromjson", "", 0, f_from_json, 0},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, f_tojson, 0},
    {"int", "default base", 0, f_int, 0},
    {"float", "default", 0, f_float, 0},
    {"abs", "", 0, f_abs, 0},
    {"round", "precision method", 0, f_round, 0},
    {"list", "", 0, hora_tpl_list, 0},
    {"first", "", 0, hora_tpl_first, 0},
    {"last", "", 0, hora_tpl_last, 0},
    {"reverse", "", 0, hora_tpl_reverse, 0},
    {"join", "d attribute", 0, hora_tpl_join, 0},
    {"sort", "reverse case_sensitive attribute", 0, hora_tpl_sort, 0},
    {"dictsort", "case_sensitive by reverse", 0, hora_tpl_dictsort, 0},
    {"unique", "case_sensitive attribute", 0, hora_tpl_unique, 0},
    {"items", "", 0, hora_tpl_items, 0},
    {"min", "case_sensitive attribute", 0, hora_tpl_min, 0},
    {"max", "case_sensitive attribute", 0, hora_tpl_max, 0},
    {"sum", "attribute start", 0, hora_tpl_sum, 0},
    {"map", "*f", 1, hora_tpl_map, 0},
    {"select", "*t", 0, hora_tpl_select, 0},
    {"reject", "*t", 0, hora_tpl_reject, 0},
    {"selectattr", "*at", 1, hora_tpl_selectattr, 0},
    {"rejectattr", "*at", 1, hora_tpl_rejectattr, 0},
    {"truncate", "length killwords end leeway", 0, hora_tpl_truncate, 0},
    {"wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, hora_tpl_wordwrap, 0},
    {"urlencode", "", 0, hora_tpl_urlencode, 0},
    {"striptags", "", 0, hora_tpl_striptags, 0},
    {"xmlattr", "autospace", 0, hora_tpl_xmlattr, 0},
    {"filesizeformat", "binary", 0, hora_tpl_filesizeformat, 0},
    {"pprint", "", 0, hora_tpl_pprint, 0}};

const hora_builtin *hora_tpl_find(const hora_builtin *rows, size_t count, const char *s, size_t n) {
    for (size_t i = 0; i < count; i++)
        if (strlen(rows[i].name) == n && !memcmp(rows[i].name, s, n))
            return &rows[i];
    return NULL;
}
const hora_builtin *hora_tpl_filter(const char *s, size_t n) {
    return hora_tpl_find(filters, HORA_COUNT(filters), s, n);
}

int hora_tpl_params(const hora_builtin *fn) {
    int n = fn->params[0] != 0;
    for (const char *s = fn->params; *s; s++)
        n += *s == ' ';
    return n;
}

int hora_tpl_param(const hora_builtin *fn, const char *s, size_t n) {
    int k = 0;
    for (const char *p = fn->params; *p; k++) {
        size_t len = strcspn(p, " ");
        if (len == n && !memcmp(p, s, n))
            return k;
        p += len + (p[len] == ' ');
    }
    return -1;
}
