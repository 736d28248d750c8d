/*
 * Patterns of Split and Replace. Hugging Face's library runs them with Oniguruma; here they run
 * with PCRE2 (UTF, UCP, JIT), translated by tokenizer_pattern.c.
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

static hora_status compile(hora_tok_regex *re, const hora_str *text) {
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
        return hora_fail(HORA_EFORMAT, "regex \"%.80s\": %s; correct the pattern", re->pattern,
                         (char *)why);
    }
    /* Without JIT (a platform that lacks it) the interpreter does the same, slower. */
    (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    return HORA_OK;
}

hora_status hora_tok_regex_new(hora_tok_regex **out, const char *pattern, size_t n) {
    if (memchr(pattern, 0, n))
        return hora_fail(HORA_EUNSUPPORTED, "regex with a NUL character; write it as \\x{0}");
    hora_str text = {0};
    hora_tok_regex *re = hora_calloc(1, sizeof *re);
    re->pattern = hora_strndup(pattern, n);
    hora_status st = hora_tok_pattern_translate(pattern, n, &text);
    if (st == HORA_OK)
        st = compile(re, &text);
    hora_str_release(&text);
    if (st != HORA_OK) {
        hora_tok_regex_free(re);
        return st;
    }
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

#define DECODED_MOST ((size_t)64 << 20)

hora_status hora_tok_bounded(const hora_tok_part *p, const hora_tok_work *w, size_t have) {
    const size_t most = w->limit ? w->limit : DECODED_MOST;
    size_t sum = have;
    for (size_t i = 0; i < w->nmatch && sum <= most; i++)
        sum += w->match[i].hit ? p->text.n : w->match[i].e - w->match[i].b;
    return sum <= most
               ? HORA_OK
               : hora_fail(HORA_EUNSUPPORTED,
                           "the Replace rules of tokenizer.json make more than %zu bytes of "
                           "this text; correct them or fetch the file again",
                           most);
}

hora_status hora_tok_replace(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                             hora_str *out) {
    HORA_TRY(hora_tok_matches(p, w, s, n));
    HORA_TRY(hora_tok_bounded(p, w, out->n));
    for (size_t i = 0; i < w->nmatch; i++) {
        const hora_tok_match *m = &w->match[i];
        if (m->hit)
            hora_tok_str_add(out, p->text.s, p->text.n);
        else
            hora_tok_str_add(out, s + m->b, m->e - m->b);
    }
    return HORA_OK;
}
