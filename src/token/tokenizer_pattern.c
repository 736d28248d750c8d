/*
 * From Oniguruma's patterns (Ruby's syntax, Unicode classes) to PCRE2's. The two agree but for a
 * few constructs: those are translated (\s \w \b \h \v \u, (?m), {,n}, classes in classes, &&,
 * names of properties and scripts) or refused by name (possessive intervals, options in mid-pattern
 * ..), never guessed. References: doc/RE of Oniguruma 6.9; pcre2pattern(3).
 */
#include "token/tokenizer_impl.h"

/* White_Space; PCRE2's own \s has U+180E besides. */
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"        \
    "\\x{205f}\\x{3000}"
/* Oniguruma's Word: Alphabetic, M, Nd, Pc. PCRE2's own \w differs between its versions. Outside a
 * class Oniguruma looks characters below U+0100 up in an older table, which also has these six. */
#define WORDS                                                                                      \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{"     \
    "1f169}"                                                                                       \
    "\\x{1f170}-\\x{1f189}"
#define WORD     "[" WORDS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}]"
#define NOT_WORD "[^" WORDS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}]"

/* A grapheme cluster. PCRE2's own (10.42) takes two pictures in a row for one. */
#define EXTEND "\\p{Grapheme_Extend}\\p{Emoji_Modifier}"
#define CLUSTER                                                                                    \
    "(?>\\p{Extended_Pictographic}(?:[" EXTEND "]*\\x{200d}\\p{Extended_Pictographic})*"           \
    "[" EXTEND "\\x{200d}\\p{Mc}]*|\\X)"

static const struct {
    char letter;
    const char *outside, *inside; /* of a class; NULL: refused there */
} escapes[] = {
    {'s', "[" SPACES "]", SPACES},
    {'S', "[^" SPACES "]", "\\S\\x{180e}"},
    {'w', WORD, WORDS},
    {'W', NOT_WORD, ""}, /* "": one of two, see member() */
    {'b', "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))", "\\x08"},
    {'B', "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))", NULL},
    {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
    {'H', "[^0-9a-fA-F]", ""},
    {'v', "\\x0b", "\\x0b"},
    {'d', "\\d", "\\d"},
    {'D', "\\D", "\\D"},
    {'n', "\\n", "\\n"},
    {'r', "\\r", "\\r"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'a', "\\x07", "\\x07"},
    {'e', "\\x1b", "\\x1b"},
    {'X', CLUSTER, NULL},
    {'A', "\\A", NULL},
    {'z', "\\z", NULL},
    {'Z', "\\Z", NULL},
};

typedef struct reader {
    const char *s;
    size_t n, i;
    bool in_class;
    hora_str out;
} reader;

static hora_status refuse(const reader *r, const char *what) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "regex \"%.*s\": %s at byte %zu is not supported; write the pattern without "
                     "it or see docs/formats/tokenizer.md",
                     (int)(r->n < 80 ? r->n : 80), r->s, what, r->i);
}

static bool digits_hex(const char *s, size_t n, uint32_t *v) {
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0 || *v > 0x10ffff)
            return false;
        *v = *v * 16 + (uint32_t)d;
    }
    return n > 0 && *v <= 0x10ffff;
}

/* \xHH \x{H..} \uHHHH; r->i is at the backslash. */
static hora_status code_point(reader *r) {
    const char *p = r->s + r->i + 2;
    size_t left = r->n - r->i - 2, n, used;
    uint32_t v;
    if (r->s[r->i + 1] == 'u') {
        n = 4;
        used = 6;
    } else if (left && *p == '{') {
        const char *end = memchr(p, '}', left);
        if (!end)
            return refuse(r, "an unfinished \\x{..}");
        p++;
        n = (size_t)(end - p);
        used = n + 4;
    } else {
        n = 2;
        used = 4;
    }
    if (r->n - r->i < used || !digits_hex(p, n, &v))
        return refuse(r, "a number that is no code point");
    if (used == 4 && n == 2 && v >= 0x80)
        return refuse(r, "a raw byte (\\x80 and above)");
    hora_str_printf(&r->out, "\\x{%x}", (unsigned)v);
    r->i += used;
    return HORA_OK;
}

/* Names of properties that PCRE2 spells in another way. */
static const struct {
    const char *name, *to;
} properties[] = {{"alpha", "Alphabetic"},
                  {"digit", "Nd"},
                  {"upper", "Uppercase"},
                  {"lower", "Lowercase"},
                  {"cntrl", "Cc"},
                  {"space", "White_Space"},
                  {"letter", "L"},
                  {"mark", "M"},
                  {"number", "N"},
                  {"punctuation", "P"},
                  {"symbol", "S"},
                  {"separator", "Z"},
                  {"other", "C"},
                  {"cased_letter", "L&"},
                  {"uppercase_letter", "Lu"},
                  {"lowercase_letter", "Ll"},
                  {"titlecase_letter", "Lt"},
                  {"modifier_letter", "Lm"},
                  {"other_letter", "Lo"},
                  {"nonspacing_mark", "Mn"},
                  {"spacing_mark", "Mc"},
                  {"enclosing_mark", "Me"},
                  {"decimal_number", "Nd"},
                  {"letter_number", "Nl"},
                  {"other_number", "No"},
                  {"any", "Any"},
                  {"alphabetic", "Alphabetic"},
                  {"uppercase", "Uppercase"},
                  {"lowercase", "Lowercase"},
                  {"white_space", "White_Space"},
                  {"emoji", "Emoji"},
                  {"ideographic", "Ideographic"},
                  {"extended_pictographic", "Extended_Pictographic"}};

/* \p{..}: categories of one or two letters are the same in both. Of other names those in the table
 * are properties, the rest scripts; a bare script would be its extensions in PCRE2. */
static hora_status property(reader *r) {
    const char *p = r->s + r->i, *end = memchr(p, '}', r->n - r->i);
    char name[40], low[40];
    if (r->i + 3 >= r->n || p[2] != '{' || !end)
        return refuse(r, "\\p without {..}");
    bool not_ = p[3] == '^';
    size_t n = (size_t)(end - p) - 3 - not_;
    if (!n || n >= sizeof name)
        return refuse(r, "a property without a name that is known");
    memcpy(name, p + 3 + not_, n);
    name[n] = 0;
    for (size_t i = 0; i <= n; i++)
        low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32
                        : name[i] == ' '                 ? '_'
                                                         : name[i]);
    const char *to = n <= 2 ? name : NULL;
    for (size_t k = 0; k < HORA_COUNT(properties); k++)
        to = !strcmp(properties[k].name, low) ? properties[k].to : to;
    hora_str_printf(&r->out, "\\%c{%s%s%s}", p[1], not_ ? "^" : "",
                    to ? "" : "sc:", to ? to : name);
    r->i += (size_t)(end - p) + 1;
    return HORA_OK;
}

static hora_status escape(reader *r) {
    if (r->i + 1 >= r->n)
        return refuse(r, "a backslash at the end");
    char c = r->s[r->i + 1];
    for (size_t k = 0; k < HORA_COUNT(escapes); k++)
        if (escapes[k].letter == c) {
            const char *to = r->in_class ? escapes[k].inside : escapes[k].outside;
            if (!to)
                return refuse(r, "this escape inside a class");
            hora_str_puts(&r->out, to);
            r->i += 2;
            return HORA_OK;
        }
    if (c == 'x' || c == 'u')
        return code_point(r);
    if (c == 'p' || c == 'P')
        return property(r);
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alnum && (r->in_class || c < '1' || c > '9'))
        return refuse(r, "this escape");
    hora_str_add(&r->out, r->s + r->i, 2);
    r->i += 2;
    return HORA_OK;
}

/* "(?" with r->i at the parenthesis: groups and look-around are the same in both; options are not
 * all. */
static hora_status group(reader *r) {
    const char *p = r->s + r->i;
    size_t left = r->n - r->i;
    if (left >= 2 && p[1] == '*')
        return refuse(r, "a verb");
    if (left < 3 || p[1] != '?') {
        hora_str_putc(&r->out, '(');
        r->i++;
        return HORA_OK;
    }
    if (strchr(":=!>#", p[2]) || (p[2] == '<' && left > 3 && p[3] != '\0')) {
        hora_str_add(&r->out, p, 3);
        r->i += 3;
        return HORA_OK;
    }
    size_t k = 2;
    while (k < left && strchr("imx-", p[k]) && p[k])
        k++;
    if (k == 2 || k >= left || (p[k] != ':' && p[k] != ')'))
        return refuse(r, "this kind of group");
    if (p[k] == ')' && r->i != 0)
        return refuse(r, "an option in mid-pattern"); /* its reach differs at the next | */
    hora_str_puts(&r->out, "(?");
    for (size_t i = 2; i < k; i++)
        hora_str_putc(&r->out, p[i] == 'm' ? 's' : p[i]); /* Ruby's m: the dot takes line ends */
    hora_str_putc(&r->out, p[k]);
    r->i += k + 1;
    return HORA_OK;
}

/* {,n} means {0,n}; {n,m}+ is an interval repeated, where PCRE2 would make it possessive. */
static hora_status interval(reader *r) {
    size_t k = r->i + 1;
    bool digit = false, comma_first = k < r->n && r->s[k] == ',';
    for (; k < r->n && ((r->s[k] >= '0' && r->s[k] <= '9') || r->s[k] == ','); k++)
        digit |= r->s[k] != ',';
    if (k >= r->n || r->s[k] != '}' || !digit) { /* a plain brace */
        hora_str_puts(&r->out, "\\{");
        r->i++;
        return HORA_OK;
    }
    if (k + 1 < r->n && r->s[k + 1] == '+')
        return refuse(r, "a + after {..}");
    hora_str_puts(&r->out, comma_first ? "{0" : "{");
    hora_str_add(&r->out, r->s + r->i + 1, k - r->i);
    r->i = k + 1;
    return HORA_OK;
}

/* ---- classes ---- */
/* Oniguruma's classes hold classes and intersections, PCRE2's do not. A class is written as
 * something that takes one character: the plain members as [..], others as alternatives beside it;
 * && as looks ahead that must all hold. */
typedef struct operand {
    hora_str plain, others; /* "|A|B" */
} operand;

static hora_status class_expr(reader *r, int depth);

/* What was written to r->out since `from`, moved to the end of `to`. */
static void move_from(reader *r, size_t from, hora_str *to) {
    if (r->out.n == from)
        return;
    hora_tok_str_add(to, r->out.s + from, r->out.n - from);
    r->out.n = from;
}

/* [:alpha:] and its like. */
static hora_status posix(reader *r) {
    static const struct {
        const char *name, *to;
    } rows[] = {{"[:alpha:]", "\\p{Alphabetic}"},
                {"[:digit:]", "\\p{Nd}"},
                {"[:alnum:]", "\\p{Alphabetic}\\p{Nd}"},
                {"[:upper:]", "\\p{Uppercase}"},
                {"[:lower:]", "\\p{Lowercase}"},
                {"[:space:]", SPACES},
                {"[:cntrl:]", "\\p{Cc}"},
                {"[:xdigit:]", "0-9a-fA-F"},
                {"[:word:]", WORDS},
                {"[:blank:]", "\\p{Zs}\\x09"},
                {"[:punct:]", "\\p{P}\\p{S}"}};
    for (size_t i = 0; i < HORA_COUNT(rows); i++) {
        size_t n = strlen(rows[i].name);
        if (r->n - r->i >= n && !memcmp(r->s + r->i, rows[i].name, n)) {
            hora_str_puts(&r->out, rows[i].to);
            r->i += n;
            return HORA_OK;
        }
    }
    return refuse(r, "this [: :] class");
}

/* One member of a class at r->i, into the operand. */
static hora_status member(reader *r, operand *o, int depth) {
    char c = r->s[r->i], next = r->i + 1 < r->n ? r->s[r->i + 1] : 0;
    size_t from = r->out.n;
    if (c == '[' && next != ':') {
        hora_str_putc(&o->others, '|');
        HORA_TRY(class_expr(r, depth + 1));
        move_from(r, from, &o->others);
        return HORA_OK;
    }
    if (c == '[') {
        HORA_TRY(posix(r));
    } else if (c == '\\' && (next == 'W' || next == 'H')) {
        hora_str_printf(&o->others, "|%s", next == 'W' ? "[^" WORDS "]" : "[^0-9a-fA-F]");
        r->i += 2;
    } else if (c == '\\') {
        r->in_class = true;
        HORA_TRY(escape(r));
        r->in_class = false;
    } else {
        hora_str_putc(&r->out, c);
        r->i++;
    }
    move_from(r, from, &o->plain);
    return HORA_OK;
}

/* Writes the operand; alone in its class it may be negated in place. */
static void put_operand(reader *r, const operand *o, bool not_) {
    bool one = !o->others.n;
    if (one && !o->plain.n) { /* [^] of nothing: anything */
        hora_str_puts(&r->out, not_ ? "(?s:.)" : "(?!)");
        return;
    }
    hora_str_puts(&r->out, one ? "" : not_ ? "(?:(?!" : "(?:");
    if (o->plain.n) {
        hora_str_puts(&r->out, one && not_ ? "[^" : "[");
        hora_str_add(&r->out, o->plain.s, o->plain.n);
        hora_str_putc(&r->out, ']');
    }
    if (!one)
        hora_str_add(&r->out, o->others.s + !o->plain.n, o->others.n - !o->plain.n);
    hora_str_puts(&r->out, one ? "" : not_ ? ")(?s:.))" : ")");
}

static hora_status operands(reader *r, bool not_, int depth) {
    operand o = {{0}, {0}};
    hora_str all = {0}; /* the operands before the last, as looks ahead */
    hora_status st = HORA_OK;
    bool first = true, closed = false;
    size_t from = r->out.n;
    while (!st && r->i < r->n && !closed) {
        char c = r->s[r->i];
        bool and_ = c == '&' && r->i + 1 < r->n && r->s[r->i + 1] == '&';
        if (c == ']' && first) {
            hora_str_puts(&o.plain, "\\]");
            r->i++;
        } else if (c == ']' || and_) {
            closed = !and_;
            r->i += 1 + and_;
            bool several = all.n || and_;
            if (several && !closed)
                hora_str_puts(&r->out, "(?=");
            put_operand(r, &o, not_ && !several);
            if (several && !closed)
                hora_str_putc(&r->out, ')');
            move_from(r, from, &all);
            o.plain.n = o.others.n = 0;
        } else {
            st = member(r, &o, depth);
        }
        first = false;
    }
    if (!st && !closed)
        st = refuse(r, "a class without its end");
    bool group = all.s && strncmp(all.s, "(?=", 3) == 0;
    hora_str_printf(&r->out, "%s%s%s",
                    group && not_ ? "(?:(?!"
                    : group       ? "(?:"
                                  : "",
                    all.s ? all.s : "",
                    group && not_ ? ")(?s:.))"
                    : group       ? ")"
                                  : "");
    hora_str_release(&o.plain);
    hora_str_release(&o.others);
    hora_str_release(&all);
    return st;
}

/* Writes the class that begins at r->i. */
static hora_status class_expr(reader *r, int depth) {
    if (depth > 8)
        return refuse(r, "classes nested more than eight times");
    r->i++;
    bool not_ = r->i < r->n && r->s[r->i] == '^';
    r->i += not_;
    return operands(r, not_, depth);
}

static hora_status translate(reader *r) {
    while (r->i < r->n) {
        char c = r->s[r->i];
        if (c == '\\') {
            HORA_TRY(escape(r));
        } else if (c == '[') {
            HORA_TRY(class_expr(r, 0));
        } else if (c == '(') {
            HORA_TRY(group(r));
        } else if (c == '{') {
            HORA_TRY(interval(r));
        } else {
            hora_str_putc(&r->out, c);
            r->i++;
        }
    }
    return HORA_OK;
}

hora_status hora_tok_pattern_translate(const char *pattern, size_t n, hora_str *out) {
    reader r = {.s = pattern, .n = n};
    hora_status st = translate(&r);
    *out = r.out;
    return st;
}
