/*
 * Template source to tokens. Owns white-space control: `-` next to a tag takes all white space on
 * that side; trim_blocks drops the line break after a block tag or comment; lstrip_blocks drops
 * blanks between the start of the line and a block tag or comment; `+` switches either off. Line
 * breaks count as \n and the last one of the source is dropped. The rules are those of Jinja 3.1
 * with the settings of transformers' apply_chat_template; nothing outside of tags is ever escaped.
 */
#include "base/text.h"
#include "template/template_impl.h"

typedef struct lexer {
    hora_template *t;
    const char *s;
    size_t n, at;
    bool line_start; /* nothing but a line break stands before `at` */
    size_t mark;     /* offset of the last position that was turned into line and column */
    int line, col;
    char open[HORA_TPL_NEST]; /* brackets waiting to be closed */
    int nopen;
    hora_token *out;
    int nout, cout;
} lexer;

static void locate(lexer *x, size_t at) {
    if (at < x->mark) {
        x->mark = 0;
        x->line = x->col = 1;
    }
    for (; x->mark < at; x->mark++) {
        if (x->s[x->mark] == '\n') {
            x->line++;
            x->col = 1;
        } else if (((unsigned char)x->s[x->mark] & 0xC0) != 0x80) {
            x->col++;
        }
    }
}

static hora_status lex_fail(lexer *x, size_t at, hora_status code, const char *msg) {
    locate(x, at);
    return hora_fail(code, "%s, line %d, column %d: %s", x->t->what, x->line, x->col, msg);
}

static hora_token *push(lexer *x, hora_tk type, size_t at) {
    locate(x, at);
    hora_token k = {.type = type, .line = x->line, .col = x->col};
    HORA_PUSH(x->out, x->nout, x->cout, k);
    return &x->out[x->nout - 1];
}

static void push_text(lexer *x, size_t from, size_t to) {
    if (to > from) {
        hora_token *k = push(x, HORA_TK_TEXT, from);
        k->s = x->s + from;
        k->n = to - from;
    }
}

static bool here(const lexer *x, const char *what) {
    size_t n = strlen(what);
    return x->n - x->at >= n && !memcmp(x->s + x->at, what, n);
}

static void eat_space(lexer *x) {
    for (size_t k; (k = hora_utf8_space(x->s + x->at, x->n - x->at)) != 0;)
        x->at += k;
}

/* The end of a tag: an optional sign, then the two characters `close`. False when it is not here.
 */
static bool eat_end(lexer *x, const char *close, bool trim) {
    char sign = x->at < x->n ? x->s[x->at] : 0;
    size_t skip = sign == '-' || (sign == '+' && trim);
    if (x->n - x->at < skip + 2 || memcmp(x->s + x->at + skip, close, 2) != 0)
        return false;
    x->at += skip + 2;
    if (skip && sign == '-')
        eat_space(x);
    else if (!skip && trim && x->at < x->n && x->s[x->at] == '\n')
        x->at++;
    x->line_start = x->s[x->at - 1] == '\n';
    return true;
}

/* One escape of a string literal, as Python reads them; `i` stands behind the backslash. */
static hora_status escape(lexer *x, size_t *i, size_t end, hora_str *out) {
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    char c = x->s[*i];
    const char *p = strchr(from, c);
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : c >= '0' && c <= '7' ? 3 : 0;
    if (c == 'N')
        return lex_fail(x, *i - 1, HORA_EUNSUPPORTED,
                        "characters by name (\\N{..}) are not supported; write \\u and the number");
    if (p && c) {
        hora_str_putc(out, to[p - from]);
        ++*i;
    } else if (c == '\n') {
        ++*i;
    } else if (!digits) {
        hora_str_putc(out, '\\');
    } else {
        bool octal = digits == 3;
        uint32_t v = 0;
        int k = 0;
        for (*i += !octal; k < digits && *i < end; k++, ++*i) {
            char d = x->s[*i];
            int h = d >= '0' && d <= '9'   ? d - '0'
                    : d >= 'a' && d <= 'f' ? d - 'a' + 10
                    : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                           : 99;
            if (h >= (octal ? 8 : 16))
                break;
            v = v * (octal ? 8 : 16) + (uint32_t)h;
        }
        if ((!octal && k < digits) || v > 0x10FFFF || (v >= 0xD800 && v < 0xE000))
            return lex_fail(x, *i, HORA_EFORMAT,
                            "the escape in this string is no character; write it out");
        char b[4];
        hora_str_add(out, b, (size_t)hora_utf8_encode(v, b));
    }
    return HORA_OK;
}

static hora_status lex_string(lexer *x) {
    size_t start = x->at, end = start + 1;
    char q = x->s[start];
    while (end < x->n && x->s[end] != q)
        end += x->s[end] == '\\' && end + 1 < x->n ? 2 : 1;
    if (end >= x->n)
        return lex_fail(x, start, HORA_EFORMAT,
                        "this string does not end; add the closing quotation mark");
    hora_str b = {0};
    for (size_t i = start + 1; i < end;) {
        if (x->s[i] != '\\') {
            hora_str_putc(&b, x->s[i++]);
            continue;
        }
        i++;
        hora_status s = escape(x, &i, end, &b);
        if (s) {
            hora_str_release(&b);
            return s;
        }
    }
    hora_token *k = push(x, HORA_TK_STRING, start);
    char *copy = hora_pool_get(&x->t->pool, b.n + 1);
    if (b.n)
        memcpy(copy, b.s, b.n);
    k->s = copy;
    k->n = b.n;
    hora_str_release(&b);
    x->at = end + 1;
    return HORA_OK;
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Digits, `_` between them allowed, into `to`. */
static size_t eat_digits(const lexer *x, size_t i, hora_str *to) {
    while (i < x->n && (digit(x->s[i]) || (x->s[i] == '_' && i + 1 < x->n && digit(x->s[i + 1]) &&
                                           digit(x->s[i - 1]))))
        if (x->s[i++] != '_')
            hora_str_putc(to, x->s[i - 1]);
    return i;
}

/* Reads a number from x->at on: its text without `_`, whether it has a point or an exponent. */
static size_t number_text(const lexer *x, hora_str *to, bool *real) {
    size_t i = eat_digits(x, x->at, to);
    *real = false;
    if (i + 1 < x->n && x->s[i] == '.' && digit(x->s[i + 1])) {
        *real = true;
        hora_str_putc(to, '.');
        i = eat_digits(x, i + 1, to);
    }
    size_t e = i;
    if (e < x->n && (x->s[e] == 'e' || x->s[e] == 'E')) {
        e++;
        char sign = e < x->n ? x->s[e] : 0;
        e += sign == '+' || sign == '-';
        if (e < x->n && digit(x->s[e])) {
            *real = true;
            hora_str_puts(to, sign == '-' ? "e-" : "e");
            i = eat_digits(x, e, to);
        }
    }
    return i;
}

static hora_status lex_number(lexer *x) {
    hora_str b = {0};
    bool real;
    size_t start = x->at, i = number_text(x, &b, &real), zeros = strspn(b.s, "0");
    bool fits = !(i < x->n && letter(x->s[i])) && (real || !zeros || zeros == b.n);
    hora_token *k = push(x, real ? HORA_TK_REAL : HORA_TK_INT, start);
    if (fits && real) {
        fits = hora_parse_double(b.s, &k->r);
    } else if (fits && !hora_parse_int(b.s, &k->i)) { /* beyond 64 bits: its digits */
        char *copy = hora_pool_get(&x->t->pool, b.n + 1);
        memcpy(copy, b.s, b.n);
        k->s = copy;
        k->n = b.n;
    }
    hora_str_release(&b);
    if (!fits)
        return lex_fail(x, start, HORA_EUNSUPPORTED,
                        "this number is not supported; write a plain decimal number");
    x->at = i;
    return HORA_OK;
}

static hora_status lex_operator(lexer *x) {
    static const char two[][3] = {"//", "**", "==", "!=", ">=", "<="};
    char c = x->s[x->at];
    size_t n = 0;
    for (size_t i = 0; i < HORA_COUNT(two); i++)
        n = here(x, two[i]) ? 2 : n;
    if (!n && strchr("+-/*%~[](){}<>=.:|,", c) && c)
        n = 1;
    if (!n)
        return lex_fail(x, x->at, HORA_EFORMAT,
                        "this character means nothing here; correct the tag it stands in");
    if (strchr("([{", c)) {
        if (x->nopen == HORA_TPL_NEST)
            return lex_fail(x, x->at, HORA_EUNSUPPORTED,
                            "brackets are nested too deeply; simplify this tag");
        x->open[x->nopen++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!x->nopen || x->open[--x->nopen] != c)
            return lex_fail(x, x->at, HORA_EFORMAT,
                            "this bracket closes nothing; balance the brackets of the tag");
    }
    hora_token *k = push(x, HORA_TK_OP, x->at);
    k->i = n == 2 ? HORA_OP2(c, x->s[x->at + 1]) : c;
    x->at += n;
    return HORA_OK;
}

/* What stands between the begin and the end of a tag. */
static hora_status lex_tag(lexer *x, bool block) {
    size_t start = x->at;
    x->nopen = 0;
    for (;;) {
        eat_space(x);
        size_t at = x->at;
        if (at >= x->n)
            return lex_fail(x, start, HORA_EFORMAT,
                            "this tag does not end; close it with %} or }}");
        if (!x->nopen && eat_end(x, block ? "%}" : "}}", block)) {
            push(x, block ? HORA_TK_BLOCK_END : HORA_TK_VAR_END, at);
            return HORA_OK;
        }
        char c = x->s[at];
        if (digit(c)) {
            HORA_TRY(lex_number(x));
        } else if (c == '\'' || c == '"') {
            HORA_TRY(lex_string(x));
        } else if (letter(c)) {
            while (x->at < x->n && (letter(x->s[x->at]) || digit(x->s[x->at])))
                x->at++;
            hora_token *k = push(x, HORA_TK_NAME, at);
            k->s = x->s + at;
            k->n = x->at - at;
        } else {
            HORA_TRY(lex_operator(x));
        }
    }
}

/* End of the text that stands from `from` before a tag at `to`. */
static size_t strip_before(const lexer *x, size_t from, size_t to, char sign, bool variable) {
    if (sign == '-') {
        for (size_t k; (k = hora_utf8_space_back(x->s + from, to - from)) != 0;)
            to -= k;
        return to;
    }
    if (sign == '+' || variable)
        return to;
    size_t line = to;
    while (line > from && x->s[line - 1] != '\n')
        line--;
    if (line == from && !x->line_start)
        return to;
    for (size_t i = line; i < to;) {
        size_t k = hora_utf8_space(x->s + i, to - i);
        if (!k)
            return to;
        i += k;
    }
    return line;
}

/* Moves behind `word` and the blanks around it; false when it is not here. */
static bool eat_word(lexer *x, const char *word) {
    size_t n = strlen(word), at = x->at;
    eat_space(x);
    if (here(x, word) &&
        !(x->at + n < x->n && (letter(x->s[x->at + n]) || digit(x->s[x->at + n])))) {
        x->at += n;
        eat_space(x);
        return true;
    }
    x->at = at;
    return false;
}

/* {% raw %} .. {% endraw %}: text as it stands. `tag`: where it begins; x->at is behind
 * its sign. */
static hora_status lex_raw(lexer *x, char kind, size_t tag, bool *raw) {
    if (kind != '%' || !eat_word(x, "raw"))
        return HORA_OK;
    *raw = true;
    if (!eat_end(x, "%}", false)) /* the line break behind it stays */
        return lex_fail(x, tag, HORA_EFORMAT, "`raw` takes nothing; close the tag with %}");
    x->line_start = x->s[x->at - 1] == '\n';
    for (size_t from = x->at, end = from; end + 1 < x->n; end++) {
        if (x->s[end] != '{' || x->s[end + 1] != '%')
            continue;
        char sign = end + 2 < x->n ? x->s[end + 2] : 0;
        x->at = end + 2 + (sign == '-' || sign == '+');
        bool line_start = x->line_start;
        if (!eat_word(x, "endraw") || !eat_end(x, "%}", true))
            continue;
        bool after = x->line_start;
        x->line_start = line_start;
        push_text(x, from, strip_before(x, from, end, sign, false));
        x->line_start = after;
        return HORA_OK;
    }
    return lex_fail(x, tag, HORA_EFORMAT, "this tag does not end; add {% endraw %}");
}

static hora_status lex_all(lexer *x) {
    for (;;) {
        size_t from = x->at, tag = from;
        while (tag + 1 < x->n && !(x->s[tag] == '{' && strchr("{%#", x->s[tag + 1])))
            tag++;
        if (tag + 1 >= x->n) {
            push_text(x, from, x->n);
            push(x, HORA_TK_EOF, x->n);
            return HORA_OK;
        }
        char kind = x->s[tag + 1], sign = tag + 2 < x->n ? x->s[tag + 2] : 0;
        push_text(x, from, strip_before(x, from, tag, sign, kind == '{'));
        x->at = tag + 2 + (sign == '-' || sign == '+');
        if (kind == '#') {
            bool closed = false;
            while (x->at < x->n && !(closed = eat_end(x, "#}", true)))
                x->at++;
            if (!closed)
                return lex_fail(x, tag, HORA_EFORMAT,
                                "this comment does not end; close it with #}");
            continue;
        }
        bool raw = false;
        HORA_TRY(lex_raw(x, kind, tag, &raw));
        if (raw)
            continue;
        push(x, kind == '{' ? HORA_TK_VAR : HORA_TK_BLOCK, tag);
        HORA_TRY(lex_tag(x, kind == '%'));
    }
}

hora_status hora_tpl_lex(hora_template *t, hora_token **tokens, int *n) {
    lexer x = {.t = t, .s = t->src, .n = t->n, .line_start = true, .line = 1, .col = 1};
    hora_status s = lex_all(&x);
    *tokens = x.out;
    *n = x.nout;
    return s;
}
