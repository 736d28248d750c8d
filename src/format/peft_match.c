/*
 * PEFT's rules for which modules an adapter touches. Patterns are Python regular expressions; they
 * are brought to PCRE2's spelling where the two differ and refused where Python would refuse them.
 * A pattern comes from a file, so matching has a budget: running over it is an error, not a hang.
 * The composed expressions below are PEFT's own, word for word, because alternations inside a
 * pattern leak into them exactly as they do there.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/text.h"
#include "format/peft_config.h"

#define MATCH_STEPS 1000000u /* far more than any honest pattern takes on a module path */
#define ALL_LINEAR  "all-linear"

/* --- Python's spelling to PCRE2's ------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* An escape at p[0] == '\\'. Returns the characters taken, 0 when Python refuses it. */
static size_t put_escape(const char *p, hora_str *out) {
    char c = p[1];
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (!c)
        return 0;
    if (digits) {
        for (int i = 0; i < digits; i++)
            if (!is_hex(p[2 + i]))
                return 0;
        hora_str_printf(out, "\\x{%.*s}", digits, p + 2);
        return 2 + (size_t)digits;
    }
    if (c == 'Z' || c == 'v') {
        hora_str_puts(out, c == 'Z' ? "\\z" : "\\x0b"); /* PCRE2: before a newline; any vertical */
        return 2;
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter && !strchr("abBdDfnrsStwWAz", c))
        return 0;
    hora_str_add(out, p, 2);
    return 2;
}

/* Python reads {,n} as {0,n} and {,} as *; PCRE2 reads both as text. */
static size_t put_brace(const char *p, hora_str *out) {
    size_t n = 2;
    if (p[1] == ',')
        while (is_digit(p[n]))
            n++;
    if (p[1] != ',' || p[n] != '}') {
        hora_str_putc(out, '{');
        return 1;
    }
    hora_str_puts(out, "{0");
    hora_str_add(out, p + 1, n);
    return n + 1;
}

static bool to_pcre2(const char *p, hora_str *out) {
    bool in_class = false;
    while (*p) {
        size_t taken = 1;
        if (*p == '\\') {
            taken = put_escape(p, out);
            if (!taken)
                return false;
        } else if (in_class) {
            if (*p == '[')
                hora_str_putc(out, '\\'); /* PCRE2 would see [:alpha:] there */
            hora_str_putc(out, *p);
            in_class = *p != ']';
        } else if (*p == '[') {
            taken += p[1] == '^';
            taken += p[taken] == ']'; /* a first ] is text */
            hora_str_add(out, p, taken);
            in_class = true;
        } else if (*p == '(' && p[1] == '*') {
            return false; /* a verb in PCRE2, nothing to repeat in Python */
        } else if (*p == '{') {
            taken = put_brace(p, out);
        } else {
            hora_str_putc(out, *p);
        }
        p += taken;
    }
    return true;
}

/* --- one match -------------------------------------------------------------------------------- */

/* Number in the group `idx`; -1 when it did not take part. */
static int64_t group_idx(const pcre2_code *code, pcre2_match_data *md, const char *subject) {
    int group = pcre2_substring_number_from_name(code, (PCRE2_SPTR) "idx");
    PCRE2_SIZE *at = pcre2_get_ovector_pointer(md);
    int64_t v = 0;
    if (group < 0 || at[2 * group] == PCRE2_UNSET)
        return -1;
    for (size_t i = at[2 * group]; i < at[2 * group + 1]; i++) {
        if (!is_digit(subject[i]) || v > INT64_MAX / 16)
            return -1;
        v = v * 10 + (subject[i] - '0');
    }
    return v;
}

static hora_status refuse(const char *pattern, const char *why) {
    return hora_fail(HORA_EFORMAT,
                     "regular expression `%.120s`: %s; correct it or list the modules by name",
                     pattern, why);
}

/* re.match, or re.fullmatch when `full`. `idx` (may be NULL): the number in the group of that name.
 * `shown` is the part of the expression that the user wrote. */
static hora_status match(const char *python, const char *shown, const char *subject, bool full,
                         bool *yes, int64_t *idx) {
    hora_str text = {0};
    int code_error;
    PCRE2_SIZE at;
    *yes = false;
    if (!to_pcre2(python, &text)) {
        hora_str_release(&text);
        return refuse(shown, "bad escape, or nothing to repeat");
    }
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | (full ? PCRE2_ENDANCHORED : 0u);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)(text.s ? text.s : ""), text.n, options, &code_error, &at, NULL);
    hora_str_release(&text);
    if (!code) {
        char why[128];
        pcre2_get_error_message(code_error, (PCRE2_UCHAR *)why, sizeof why);
        return refuse(shown, why);
    }
    pcre2_match_data *md = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *mc = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(mc, MATCH_STEPS);
    pcre2_set_heap_limit(mc, 64 * 1024); /* KiB */
    int rc = pcre2_match(code, (PCRE2_SPTR)subject, strlen(subject), 0, 0, md, mc);
    hora_status s = HORA_OK;
    *yes = rc >= 0;
    if (*yes && idx)
        *idx = group_idx(code, md, subject);
    if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT)
        s = refuse(shown, "it backtracks without end");
    else if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        s = refuse(shown, "it cannot be matched against the module names");
    pcre2_match_context_free(mc);
    pcre2_match_data_free(md);
    pcre2_code_free(code);
    return s;
}

/* As match(), for an expression put together around a pattern. Takes the expression. */
static hora_status match_own(char *own_python, const char *shown, const char *subject, bool *yes,
                             int64_t *idx) {
    hora_status s = match(own_python, shown, subject, false, yes, idx);
    hora_free(own_python);
    return s;
}

/* --- PEFT's rules ----------------------------------------------------------------------------- */

/* key in names; `exact` says whether it was the whole path. */
static bool in_names(char *const *names, int n, const char *module, bool *exact) {
    size_t len = strlen(module);
    bool suffix = false;
    *exact = false;
    for (int i = 0; i < n; i++) {
        size_t k = strlen(names[i]);
        *exact |= hora_eq(names[i], module);
        suffix |= k < len && module[len - k - 1] == '.' && hora_eq(module + len - k, names[i]);
    }
    return *exact || suffix;
}

static hora_status excluded(const hora_peft_config *c, const char *module, bool *yes) {
    bool exact;
    *yes = in_names(c->exclude_modules, c->n_exclude, module, &exact);
    if (c->exclude_regex && *c->exclude_regex)
        HORA_TRY(match(c->exclude_regex, c->exclude_regex, module, true, yes, NULL));
    for (int i = 0; i < c->n_save && !*yes; i++) {
        const char *m = c->modules_to_save[i];
        HORA_TRY(match_own(hora_format("(^|.*\\.)%s($|\\..*)", m), m, module, yes, NULL));
    }
    return HORA_OK;
}

static hora_status layer_taken(const hora_peft_config *c, const char *module, bool *yes) {
    int64_t layer = -1;
    if (!c->n_layers_pattern)
        /* lazily: the first number is the layer, a later one may be an expert */
        HORA_TRY(match(".*?\\.[^.]*\\.(?P<idx>\\d+)\\.", "(layer)", module, false, yes, &layer));
    for (int i = 0; i < c->n_layers_pattern; i++) {
        const char *p = c->layers_pattern[i];
        HORA_TRY(
            match_own(hora_format("(?:^|.*?\\.)%s\\.(?P<idx>\\d+)\\.", p), p, module, yes, &layer));
        if (*yes)
            break;
    }
    *yes = false;
    for (int i = 0; i < c->n_layers && layer >= 0; i++)
        *yes |= c->layers[i] == layer;
    return HORA_OK;
}

bool hora_peft_all_linear(const hora_peft_config *c) {
    const char *want = ALL_LINEAR, *s = c->target_regex;
    if (!s || strlen(s) != strlen(want))
        return false;
    for (; *want; s++, want++)
        if ((*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s) != *want)
            return false;
    return true;
}

hora_status hora_peft_targets(const hora_peft_config *c, const char *module, bool *yes) {
    bool out, exact;
    *yes = false;
    HORA_TRY(excluded(c, module, &out));
    if (out)
        return HORA_OK;
    if (c->target_regex) {
        *yes = hora_peft_all_linear(c);
        return *yes ? HORA_OK : match(c->target_regex, c->target_regex, module, true, yes, NULL);
    }
    *yes = in_names(c->target_modules, c->n_targets, module, &exact);
    if (*yes && !exact && c->n_layers)
        return layer_taken(c, module, yes);
    return HORA_OK;
}

hora_status hora_peft_pattern_value(const hora_peft_pattern *p, int n, const char *module,
                                    double def, double *out) {
    bool yes = false;
    *out = def;
    for (int i = 0; i < n && !yes; i++) {
        const char *pattern = p[i].pattern;
        HORA_TRY(match_own(hora_format("(.*\\.)?(%s)$", pattern), pattern, module, &yes, NULL));
        if (yes)
            *out = p[i].value;
    }
    /* PEFT looks the path itself up when no pattern matched: `a.b[0]` is not its own regex */
    for (int i = 0; i < n && !yes; i++)
        if (hora_eq(p[i].pattern, module)) {
            *out = p[i].value;
            yes = true;
        }
    return HORA_OK;
}
