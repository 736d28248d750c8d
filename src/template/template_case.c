/*
 * The case of letters and kinds of characters, as Python's str has them: upper, lower, title and
 * their like with the letters that become two (Unicode's SpecialCasing), isalpha and its like. What
 * depends on the letters around (a final sigma) or on tables that are not here is refused: a wrong
 * letter would be silent.
 */
#include "base/text.h"
#include "template/template_list_impl.h"
#include "token/unicode.h"

/* Letters whose upper case is longer: all of it, and only its first letter. */
static const struct {
    uint32_t cp;
    const char *upper, *title;
} longer[] = {{0xDF, "SS", "Ss"},
              {0x149, "\xca\xbcN", "\xca\xbcN"},
              {0x1F0, "J\xcc\x8c", "J\xcc\x8c"},
              {0x587, "\xd4\xb5\xd5\x92", "\xd4\xb5\xd6\x82"},
              {0x1E96, "H\xcc\xb1", "H\xcc\xb1"},
              {0x1E97, "T\xcc\x88", "T\xcc\x88"},
              {0x1E98, "W\xcc\x8a", "W\xcc\x8a"},
              {0x1E99, "Y\xcc\x8a", "Y\xcc\x8a"},
              {0x1E9A, "A\xca\xbe", "A\xca\xbe"},
              {0xFB00, "FF", "Ff"},
              {0xFB01, "FI", "Fi"},
              {0xFB02, "FL", "Fl"},
              {0xFB03, "FFI", "Ffi"},
              {0xFB04, "FFL", "Ffl"},
              {0xFB05, "ST", "St"},
              {0xFB06, "ST", "St"}};

static bool is_upper(uint32_t cp) {
    return hora_unicode_class(cp) == HORA_UC_UPPER;
}
static bool is_lower(uint32_t cp) {
    return hora_unicode_class(cp) == HORA_UC_LOWER;
}
static bool is_cased(uint32_t cp) {
    hora_uc_class c = hora_unicode_class(cp);
    return c >= HORA_UC_UPPER && c <= HORA_UC_TITLE;
}
static bool is_alpha(uint32_t cp) {
    hora_uc_class c = hora_unicode_class(cp);
    return c >= HORA_UC_UPPER && c <= HORA_UC_LETTER;
}

static hora_status not_known(hora_ts *st, uint32_t cp) {
    return hora_ts_fail(
        st,
        "the case of U+%04X depends on its neighbours or is not known here; correct "
        "the template or the data",
        (unsigned)cp);
}

static bool between(uint32_t cp, uint32_t from, uint32_t to) {
    return cp >= from && cp <= to;
}

/* way: 'u' upper, 'l' lower, 't' the first letter of a word */
static hora_status put(hora_ts *st, uint32_t cp, char way, hora_str *out) {
    char b[4];
    uint32_t to = cp;
    if (cp < 0x80) {
        bool letter = between(cp | 0x20, 'a', 'z');
        to = !letter ? cp : way == 'l' ? cp | 0x20 : cp & ~0x20u;
    } else if (way == 'l') {
        if (cp == 0x3A3)
            return not_known(st, cp);
        if (cp == 0x130)
            hora_str_puts(out, "i\xcc\x87");
        to = hora_unicode_lower(cp);
        if (cp == 0x130)
            return HORA_OK;
    } else {
        for (size_t i = 0; i < HORA_COUNT(longer); i++)
            if (longer[i].cp == cp) {
                hora_str_puts(out, way == 'u' ? longer[i].upper : longer[i].title);
                return HORA_OK;
            }
        if (cp == 0x390 || cp == 0x3B0 || between(cp, 0x1F50, 0x1FFC) ||
            between(cp, 0xFB13, 0xFB17))
            return not_known(st, cp);
        to = way == 'u' ? hora_unicode_upper(cp) : hora_unicode_title(cp);
    }
    hora_str_add(out, b, (size_t)hora_utf8_encode(to, b));
    return HORA_OK;
}

/* What happens to a character in `mode`; `start`: a word begins with it. */
static char way_of(char mode, bool start, uint32_t cp) {
    switch (mode) {
    case 's':
        return is_upper(cp) ? 'l' : 'u';
    case 't':
        return start ? 'u' : 'l';
    case 'u':
    case 'l':
        return mode;
    default:
        return start ? 't' : 'l';
    }
}

hora_status hora_tpl_case(hora_ts *st, const hora_tv *in, char mode, hora_tv *out) {
    hora_tv v;
    hora_str b = {0};
    bool start = true;
    hora_status s = HORA_OK;
    HORA_TRY(hora_tv_text(st, in, &v));
    for (size_t i = 0; i < v.n && !s;) {
        uint32_t cp;
        int len = hora_utf8_decode(v.s + i, v.n - i, &cp);
        size_t k = len > 0 ? (size_t)len : 1;
        s = put(st, cp, way_of(mode, start, cp), &b);
        if (mode == 't')
            start = (cp && cp < 0x80 && strchr("-({[<", (int)cp)) || hora_utf8_space(v.s + i, k);
        else
            start = mode == 'T' && !is_cased(cp);
        i += k;
    }
    return hora_tv_take(st, &b, s ? s : hora_ts_step(st, v.n / 16), out);
}

hora_status hora_tpl_is_case(hora_ts *st, const hora_tv *v, bool upper, bool *yes) {
    bool some = false, ok = true;
    for (size_t i = 0; i < v->n;) {
        uint32_t cp;
        int len = hora_utf8_decode(v->s + i, v->n - i, &cp);
        some = some || is_cased(cp);
        ok = ok && (!is_cased(cp) || (upper ? is_upper(cp) : is_lower(cp)));
        i += len > 0 ? (size_t)len : 1;
    }
    *yes = some && ok;
    return hora_ts_step(st, v->n / 16);
}

bool hora_tpl_is_alnum(uint32_t cp) {
    hora_uc_class c = hora_unicode_class(cp);
    return is_alpha(cp) || c == HORA_UC_DECIMAL || c == HORA_UC_NUMBER;
}

/* 1 yes, 0 no, -1 not known here */
static int is_kind(const char *kind, uint32_t cp, const char *s, size_t n) {
    hora_uc_class c = hora_unicode_class(cp);
    bool odd = c == HORA_UC_NUMBER; /* digits in circles and fractions */
    if (hora_eq(kind, "isalpha"))
        return is_alpha(cp);
    if (hora_eq(kind, "isalnum"))
        return hora_tpl_is_alnum(cp);
    if (hora_eq(kind, "isspace"))
        return hora_utf8_space(s, n) != 0;
    if (hora_eq(kind, "isdecimal"))
        return c == HORA_UC_DECIMAL;
    bool numeric = hora_eq(kind, "isnumeric");
    if (odd)
        return numeric ? 1 : -1;
    if (numeric && hora_unicode_is_ideograph(cp))
        return -1; /* some ideographs are numbers */
    return c == HORA_UC_DECIMAL;
}

hora_status hora_tpl_is_kind(hora_ts *st, const hora_tv *v, const char *kind, bool *yes) {
    bool unknown = false;
    *yes = v->n > 0;
    for (size_t i = 0; i < v->n && *yes;) {
        uint32_t cp;
        int len = hora_utf8_decode(v->s + i, v->n - i, &cp), k;
        size_t n = len > 0 ? (size_t)len : 1;
        k = is_kind(kind, cp, v->s + i, n);
        unknown = unknown || k < 0;
        *yes = k != 0;
        i += n;
    }
    if (*yes && unknown)
        return hora_ts_fail(st,
                            "whether these characters are digits is not known here; correct the "
                            "data");
    return hora_ts_step(st, v->n / 16);
}
