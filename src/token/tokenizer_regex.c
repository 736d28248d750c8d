/*
 * Patterns of Split and Replace. Hugging Face's library runs them with Oniguruma (Ruby's syntax,
 * Unicode classes); here they run with PCRE2 (UTF, UCP, JIT). The two agree but for a few
 * constructs: those are translated (\s \w \b \h \v \u, (?m), {,n}) or refused by name (class
 * intersection and nesting, possessive intervals, options in mid-pattern ..), never guessed.
 * References: doc/RE of Oniguruma 6.9; pcre2pattern(3).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "token/tokenizer_impl.h"

struct hora_tok_regex {
    pcre2_code *code;
    char *pattern; /* as written, for messages */
};

/* What one thread needs to run any pattern. */
struct hora_tok_scan {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

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

static const struct {
    char letter;
    const char *outside, *inside; /* of a class; NULL: refused there */
} escapes[] = {
    {'s', "[" SPACES "]", SPACES},
    {'S', "[^" SPACES "]", "\\S\\x{180e}"},
    {'w', WORD, WORDS},
    {'W', NOT_WORD, NULL},
    {'b', "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))", "\\x08"},
    {'B', "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))", NULL},
    {'h', "[0-9a-fA-F]", "0-9a-fA-F"},
    {'H', "[^0-9a-fA-F]", NULL},
    {'v', "\\x0b", "\\x0b"},
    {'d', "\\d", "\\d"},
    {'D', "\\D", "\\D"},
    {'n', "\\n", "\\n"},
    {'r', "\\r", "\\r"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'a', "\\x07", "\\x07"},
    {'e', "\\x1b", "\\x1b"},
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
                     "regex \"%.80s\": %s at byte %zu is not supported; write the pattern without "
                     "it or see docs/formats/tokenizer.md",
                     r->s, what, r->i);
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
    if (c == 'p' || c == 'P') {
        const char *end = memchr(r->s + r->i, '}', r->n - r->i);
        if (r->i + 2 >= r->n || r->s[r->i + 2] != '{' || !end)
            return refuse(r, "\\p without {..}");
        size_t len = (size_t)(end - (r->s + r->i)) + 1;
        hora_str_add(&r->out, r->s + r->i, len);
        r->i += len;
        return HORA_OK;
    }
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

static hora_status class_char(reader *r) {
    char c = r->s[r->i];
    if (c == '[')
        return refuse(r, "a class inside a class");
    if (c == '&' && r->i + 1 < r->n && r->s[r->i + 1] == '&')
        return refuse(r, "class intersection (&&)");
    r->in_class = c != ']';
    hora_str_putc(&r->out, c);
    r->i++;
    return HORA_OK;
}

static hora_status translate(reader *r) {
    while (r->i < r->n) {
        char c = r->s[r->i];
        if (c == '\\') {
            HORA_TRY(escape(r));
        } else if (r->in_class) {
            HORA_TRY(class_char(r));
        } else if (c == '[') {
            r->in_class = true;
            hora_str_putc(&r->out, c);
            r->i++;
            if (r->i < r->n && r->s[r->i] == '^') {
                hora_str_putc(&r->out, '^');
                r->i++;
            }
            if (r->i < r->n && r->s[r->i] == ']') {
                hora_str_puts(&r->out, "\\]");
                r->i++;
            }
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

static hora_status compile(hora_tok_regex *re, const char *pattern, const hora_str *text) {
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    if (!cc)
        return hora_fail(HORA_ENOMEM, "no memory for a regex; close other programs");
    pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    int error;
    PCRE2_SIZE at;
    re->code = pcre2_compile((PCRE2_SPTR)(text->s ? text->s : ""), text->n,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &error, &at, cc);
    pcre2_compile_context_free(cc);
    if (!re->code) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(error, why, sizeof why);
        return hora_fail(HORA_EFORMAT, "regex \"%.80s\": %s; correct the pattern", pattern,
                         (char *)why);
    }
    /* Without JIT (a platform that lacks it) the interpreter does the same, slower. */
    (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    return HORA_OK;
}

hora_status hora_tok_regex_new(hora_tok_regex **out, const char *pattern, size_t n) {
    if (memchr(pattern, 0, n))
        return hora_fail(HORA_EUNSUPPORTED, "regex with a NUL character; write it as \\x{0}");
    reader r = {.s = pattern, .n = n};
    hora_tok_regex *re = hora_calloc(1, sizeof *re);
    hora_status st;
    HORA_TRY_OUT(st, translate(&r));
    HORA_TRY_OUT(st, compile(re, pattern, &r.out));
out:
    hora_str_release(&r.out);
    if (st != HORA_OK) {
        hora_tok_regex_free(re);
        return st;
    }
    re->pattern = hora_strndup(pattern, n);
    *out = re;
    return HORA_OK;
}

void hora_tok_regex_free(hora_tok_regex *r) {
    if (!r)
        return;
    pcre2_code_free(r->code);
    hora_free(r->pattern);
    hora_free(r);
}

void hora_tok_scan_free(hora_tok_scan *s) {
    if (!s)
        return;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    hora_free(s);
}

static hora_status scan_new(hora_tok_work *w) {
    w->scan = hora_calloc(1, sizeof *w->scan);
    w->scan->data = pcre2_match_data_create(1, NULL);
    w->scan->context = pcre2_match_context_create(NULL);
    if (!w->scan->data || !w->scan->context)
        return hora_fail(HORA_ENOMEM, "no memory for a regex match; close other programs");
    return HORA_OK;
}

/* First match in s[from..n); *b = n + 1 when there is none. */
static hora_status find(const hora_tok_regex *r, hora_tok_work *w, const char *s, size_t n,
                        size_t from, size_t *b, size_t *e) {
    if (!w->scan)
        HORA_TRY(scan_new(w));
    hora_tok_scan *k = w->scan;
    int rc = pcre2_match(r->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, k->data, k->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !k->stack) {
        /* rare: the pattern recurses on this text; from now on with a stack that can grow */
        k->stack = pcre2_jit_stack_create(64u << 10, 64u << 20, NULL);
        pcre2_jit_stack_assign(k->context, NULL, k->stack);
        rc = pcre2_match(r->code, (PCRE2_SPTR)s, n, from, PCRE2_NO_UTF_CHECK, k->data, k->context);
    }
    if (rc == PCRE2_ERROR_NOMATCH) {
        *b = n + 1;
        return HORA_OK;
    }
    if (rc < 0) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(rc, why, sizeof why);
        return hora_fail(HORA_EFORMAT,
                         "regex \"%.80s\" gave up at byte %zu of the text: %s; cut the text into "
                         "shorter pieces or simplify the pattern",
                         r->pattern, from, (char *)why);
    }
    PCRE2_SIZE *v = pcre2_get_ovector_pointer(k->data);
    *b = v[0];
    *e = v[1];
    if (*e < *b) /* \K in a look-ahead can do that, and \K was refused */
        HORA_BUG("a match ends before it begins");
    return HORA_OK;
}

void hora_tok_match_add(hora_tok_work *w, size_t b, size_t e, bool hit) {
    hora_tok_match m = {b, e, hit};
    HORA_PUSH(w->match, w->nmatch, w->capmatch, m);
}

static hora_status matches_regex(const hora_tok_regex *r, hora_tok_work *w, const char *s,
                                 size_t n) {
    size_t prev = 0, from = 0, last = SIZE_MAX, b = 0, e = 0;
    while (from <= n) {
        HORA_TRY(find(r, w, s, n, from, &b, &e));
        if (b > n)
            break;
        if (b == e && last == e) { /* no empty match right after a match */
            uint32_t cp;
            int len = from < n ? hora_utf8_decode(s + from, n - from, &cp) : 1;
            from += len ? (size_t)len : 1;
            continue;
        }
        if (prev != b)
            hora_tok_match_add(w, prev, b, false);
        hora_tok_match_add(w, b, e, true);
        prev = from = last = e;
    }
    if (prev != n)
        hora_tok_match_add(w, prev, n, false);
    return HORA_OK;
}

hora_status hora_tok_matches(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n) {
    w->nmatch = 0;
    if (!n) /* not even an empty pattern matches */
        return HORA_OK;
    if (p->regex)
        return matches_regex(p->regex, w, s, n);
    size_t prev = 0, k = p->pattern.n;
    for (const char *hit; k && prev < n && (hit = memmem(s + prev, n - prev, p->pattern.s, k));) {
        size_t b = (size_t)(hit - s);
        if (prev != b)
            hora_tok_match_add(w, prev, b, false);
        hora_tok_match_add(w, b, b + k, true);
        prev = b + k;
    }
    if (prev != n)
        hora_tok_match_add(w, prev, n, false);
    return HORA_OK;
}

hora_status hora_tok_pattern_load(hora_tok_part *p, const hora_json *o, const char *key) {
    const hora_json *v = hora_json_get(o, key);
    size_t n = 0;
    const char *s = hora_json_string(v, &n);
    if (!s)
        s = hora_json_string(hora_json_get(v, "String"), &n);
    if (s && n) {
        hora_tok_str_add(&p->pattern, s, n);
        return HORA_OK;
    }
    if (s) /* matches between any two characters */
        return hora_tok_regex_new(&p->regex, "", 0);
    s = hora_json_string(hora_json_get(v, "Regex"), &n);
    if (!s)
        return hora_fail(HORA_EFORMAT,
                         "%s needs a \"%s\" {\"String\": ..} or {\"Regex\": ..}; fetch the file "
                         "again",
                         p->row->type, key);
    return hora_tok_regex_new(&p->regex, s, n);
}

hora_status hora_tok_text_load(hora_tok_part *p, const hora_json *o, const char *key) {
    size_t n = 0;
    const char *s = hora_json_string(hora_json_get(o, key), &n);
    if (!s)
        return hora_fail(HORA_EFORMAT, "%s needs the string \"%s\"; fetch the file again",
                         p->row->type, key);
    hora_tok_str_add(&p->text, s, n);
    return HORA_OK;
}

hora_status hora_tok_char_load(hora_tok_part *p, const hora_json *o, const char *key,
                               const char *def) {
    const hora_json *v = hora_json_get(o, key);
    size_t n = def ? strlen(def) : 0;
    const char *s = hora_json_type(v) == HORA_JNULL ? def : hora_json_string(v, &n);
    if (!s || n == 0 || hora_utf8_decode(s, n, &p->cp) != (int)n)
        return hora_fail(HORA_EFORMAT,
                         "%s: \"%s\" must be one character; correct it or fetch the file again",
                         p->row->type, key);
    hora_str_add(&p->pattern, s, n);
    return HORA_OK;
}

hora_status hora_tok_replace_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_tok_pattern_load(p, o, "pattern"));
    return hora_tok_text_load(p, o, "content");
}

hora_status hora_tok_replace(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                             hora_str *out) {
    HORA_TRY(hora_tok_matches(p, w, s, n));
    for (size_t i = 0; i < w->nmatch; i++) {
        const hora_tok_match *m = &w->match[i];
        if (m->hit)
            hora_tok_str_add(out, p->text.s, p->text.n);
        else
            hora_tok_str_add(out, s + m->b, m->e - m->b);
    }
    return HORA_OK;
}
