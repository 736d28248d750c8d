/*
 * Pre-tokenizers: they cut the normalized text into pieces that the model then encodes one by one.
 * Each is a way to find matches (a pattern or a class of characters) and a behaviour, which says
 * what becomes of matches and gaps. A piece is never empty.
 */
#include "token/tokenizer_impl.h"

enum { REMOVED, ISOLATED, WITH_PREVIOUS, WITH_NEXT, CONTIGUOUS };
static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
enum { ALWAYS, FIRST, NEVER };
static const char *const schemes[] = {"always", "first", "never"};

static hora_status choose(const hora_tok_part *p, const hora_json *o, const char *key,
                          const char *const *names, int n, int def, int *out) {
    const char *s;
    HORA_TRY(hora_json_get_string(o, key, NULL, &s));
    *out = def;
    if (!s)
        return HORA_OK;
    for (*out = 0; *out < n; ++*out)
        if (hora_eq(s, names[*out]))
            return HORA_OK;
    return hora_fail(HORA_EUNSUPPORTED, "%s: %s \"%s\" is not known; use a tokenizer without it",
                     p->row->type, key, s);
}

static size_t group_end(const hora_tok_work *w, int mode, size_t i) {
    /* A group begins at match i; where does it end? */
    size_t k = i + 1;
    const hora_tok_match *m = w->match;
    if (mode == CONTIGUOUS)
        while (k < w->nmatch && m[k].hit == m[i].hit)
            k++;
    else if (mode == WITH_PREVIOUS && !m[i].hit && k < w->nmatch && m[k].hit)
        k++;
    else if (mode == WITH_NEXT && m[i].hit && k < w->nmatch && !m[k].hit)
        k++;
    return k;
}

/* Hands out the pieces of in->at[k], whose matches are in w->match, relative to its start. The text
 * stays where it is. */
static void emit(hora_tok_work *w, int mode, bool invert, const hora_tok_piece *from,
                 hora_tok_pieces *out) {
    for (size_t i = 0; i < w->nmatch; i++)
        w->match[i].hit ^= invert;
    for (size_t i = 0; i < w->nmatch;) {
        size_t k = group_end(w, mode, i), b = w->match[i].b, e = w->match[k - 1].e;
        if (mode != REMOVED || !w->match[i].hit)
            hora_tok_pieces_span(out, from->off + b, e - b, from->first && b == 0);
        i = k;
    }
}

typedef hora_status (*finder)(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n);

static hora_status split_by(finder find, int mode, bool invert, const hora_tok_part *p,
                            hora_tok_work *w, hora_tok_pieces *in, hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        HORA_TRY(find(p, w, in->text.s + in->at[i].off, in->at[i].n));
        emit(w, mode, invert, &in->at[i], out);
    }
    hora_tok_pieces_swap_text(out, in);
    return HORA_OK;
}

/* One match for each character of a class. */
static hora_status by_class(bool (*is)(uint32_t, uint32_t), uint32_t arg, hora_tok_work *w,
                            const char *s, size_t n) {
    w->nmatch = 0;
    size_t prev = 0;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        if (is(cp, arg)) {
            if (prev < i)
                hora_tok_match_add(w, prev, i, false);
            prev = i + (size_t)len;
            hora_tok_match_add(w, i, prev, true);
        }
        i += (size_t)len;
    }
    if (prev < n)
        hora_tok_match_add(w, prev, n, false);
    return HORA_OK;
}

/* --- Split ------------------------------------------------------------------------------------ */
static hora_status split_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_tok_pattern_load(p, o, "pattern"));
    HORA_TRY(hora_json_get_bool(o, "invert", false, &p->invert));
    return choose(p, o, "behavior", behaviors, 5, ISOLATED, &p->mode);
}

static hora_status split(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                         hora_tok_pieces *out) {
    return split_by(hora_tok_matches, p->mode, p->invert, p, w, in, out);
}

/* --- ByteLevel -------------------------------------------------------------------------------- */
/* GPT-2's own pattern. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static hora_status byte_level_load(hora_tok_part *p, const hora_json *o) {
    bool use_regex;
    HORA_TRY(hora_json_get_bool(o, "use_regex", true, &use_regex));
    HORA_TRY(hora_json_get_bool(o, "add_prefix_space", true, &p->prefix_space));
    return use_regex ? hora_tok_regex_new(&p->regex, gpt2_pattern, sizeof gpt2_pattern - 1)
                     : HORA_OK;
}

/* Copies the pieces with `text` in front of those that do not begin with it. */
static void prefix(const hora_str *text, bool only_first, const hora_tok_pieces *in,
                   hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        const hora_tok_piece *k = &in->at[i];
        const char *s = in->text.s + k->off;
        size_t off = out->text.n;
        bool has = k->n >= text->n && memcmp(s, text->s, text->n) == 0;
        if (!has && (!only_first || k->first))
            hora_tok_pieces_put(out, in, k->off, text->s, text->n);
        hora_tok_pieces_copy(out, in, k->off, k->n);
        hora_tok_pieces_span(out, off, out->text.n - off, k->first);
    }
}

static void take(hora_tok_pieces *in, hora_tok_pieces *out) {
    hora_tok_pieces swap = *in;
    *in = *out;
    *out = swap;
    hora_tok_pieces_clear(out);
}

static hora_status byte_level(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                              hora_tok_pieces *out) {
    if (p->prefix_space) {
        const hora_str space = {.s = (char[]){' ', '\0'}, .n = 1};
        prefix(&space, false, in, out);
        take(in, out);
    }
    if (p->regex) {
        HORA_TRY(split_by(hora_tok_matches, ISOLATED, false, p, w, in, out));
        take(in, out);
    }
    for (size_t i = 0; i < in->n; i++) {
        size_t off = out->text.n, from = in->at[i].off;
        if (!in->tracked)
            hora_tok_add_byte_chars(&out->text, in->text.s + from, in->at[i].n);
        for (size_t k = 0; in->tracked && k < in->at[i].n; k++) {
            char b[4];
            uint32_t cp = hora_tok_byte_char((unsigned char)in->text.s[from + k]);
            hora_tok_pieces_rewrite(out, in, from + k, 1, b, (size_t)hora_utf8_encode(cp, b));
        }
        hora_tok_pieces_span(out, off, out->text.n - off, in->at[i].first);
    }
    return HORA_OK;
}

/* --- Metaspace -------------------------------------------------------------------------------- */
static hora_status metaspace_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_tok_char_load(p, o, "replacement", "\xe2\x96\x81"));
    bool legacy; /* before prepend_scheme there was add_prefix_space */
    HORA_TRY(hora_json_get_bool(o, "add_prefix_space", true, &legacy));
    HORA_TRY(hora_json_get_bool(o, "split", true, &p->split));
    return choose(p, o, "prepend_scheme", schemes, 3, legacy ? ALWAYS : NEVER, &p->mode);
}

static hora_status metaspace(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                             hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        size_t from = in->at[i].off, end = from + in->at[i].n, off = out->text.n;
        for (const char *sp; from < end && (sp = memchr(in->text.s + from, ' ', end - from));) {
            size_t k = (size_t)(sp - in->text.s);
            hora_tok_pieces_copy(out, in, from, k - from);
            hora_tok_pieces_rewrite(out, in, k, 1, p->pattern.s, p->pattern.n);
            from = k + 1;
        }
        hora_tok_pieces_copy(out, in, from, end - from);
        hora_tok_pieces_span(out, off, out->text.n - off, in->at[i].first);
    }
    if (p->mode != NEVER) {
        take(in, out);
        prefix(&p->pattern, p->mode == FIRST, in, out);
    }
    if (!p->split)
        return HORA_OK;
    take(in, out);
    return split_by(hora_tok_matches, WITH_NEXT, false, p, w, in, out);
}

/* --- classes of characters -------------------------------------------------------------------- */
static bool is_number(uint32_t cp, uint32_t arg) {
    (void)arg;
    return hora_tok_is_number(cp);
}
static bool is_space(uint32_t cp, uint32_t arg) {
    (void)arg;
    return hora_tok_is_space(cp);
}
static bool is_punct(uint32_t cp, uint32_t arg) {
    (void)arg;
    return hora_tok_is_punct(cp);
}
static bool is_equal(uint32_t cp, uint32_t arg) {
    return cp == arg;
}
#define FINDER(name, is, arg)                                                                      \
    static hora_status name(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n) {   \
        (void)p;                                                                                   \
        return by_class(is, arg, w, s, n);                                                         \
    }
FINDER(find_numbers, is_number, 0)
FINDER(find_spaces, is_space, 0)
FINDER(find_punct, is_punct, 0)
FINDER(find_delimiter, is_equal, p->cp)

static hora_status digits_load(hora_tok_part *p, const hora_json *o) {
    return hora_json_get_bool(o, "individual_digits", false, &p->individual);
}
static hora_status digits(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                          hora_tok_pieces *out) {
    return split_by(find_numbers, p->individual ? ISOLATED : CONTIGUOUS, false, p, w, in, out);
}

static hora_status punctuation_load(hora_tok_part *p, const hora_json *o) {
    return choose(p, o, "behavior", behaviors, 5, ISOLATED, &p->mode);
}
static hora_status punctuation(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                               hora_tok_pieces *out) {
    return split_by(find_punct, p->mode, false, p, w, in, out);
}

static hora_status whitespace_split(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                                    hora_tok_pieces *out) {
    return split_by(find_spaces, REMOVED, false, p, w, in, out);
}

static hora_status delimiter_load(hora_tok_part *p, const hora_json *o) {
    return hora_tok_char_load(p, o, "delimiter", NULL);
}
static hora_status delimiter(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                             hora_tok_pieces *out) {
    return split_by(find_delimiter, REMOVED, false, p, w, in, out);
}

/* \w+|[^\w\s]+ in Rust's regex, whose \w has the join controls too; the spaces between go. */
static hora_status find_words(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n) {
    (void)p;
    w->nmatch = 0;
    size_t b = 0;
    int now = -1;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        bool word = hora_tok_is_word(cp) || cp == 0x200c || cp == 0x200d;
        int kind = word ? 2 : hora_tok_is_space(cp) ? 0 : 1;
        if (kind != now && b < i)
            hora_tok_match_add(w, b, i, now == 0);
        if (kind != now)
            b = i;
        now = kind;
        i += (size_t)len;
    }
    if (b < n)
        hora_tok_match_add(w, b, n, now == 0);
    return HORA_OK;
}
static hora_status whitespace(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                              hora_tok_pieces *out) {
    return split_by(find_words, REMOVED, false, p, w, in, out);
}

/* White space goes, each character of punctuation stands alone. */
static hora_status bert(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                        hora_tok_pieces *out) {
    HORA_TRY(split_by(find_spaces, REMOVED, false, p, w, in, out));
    take(in, out);
    return split_by(find_punct, ISOLATED, false, p, w, in, out);
}

static hora_status fixed_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_json_get_int(o, "length", 5, &p->stop));
    if (p->stop < 1)
        return hora_fail(HORA_EFORMAT, "FixedLength: \"length\" must be at least 1; correct it");
    return HORA_OK;
}
static hora_status find_fixed(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n) {
    w->nmatch = 0;
    size_t b = 0, i = 0;
    uint32_t cp;
    for (int64_t k = 0; i < n;) {
        i += (size_t)hora_utf8_decode(s + i, n - i, &cp);
        if (++k == p->stop || i == n) {
            hora_tok_match_add(w, b, i, false);
            b = i;
            k = 0;
        }
    }
    return HORA_OK;
}
static hora_status fixed(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                         hora_tok_pieces *out) {
    return split_by(find_fixed, ISOLATED, false, p, w, in, out);
}

const hora_tok_row hora_tok_pretokenizers[] = {
    {.type = "ByteLevel", .load = byte_level_load, .pieces = byte_level},
    {.type = "Split", .load = split_load, .pieces = split},
    {.type = "Metaspace", .load = metaspace_load, .pieces = metaspace},
    {.type = "Digits", .load = digits_load, .pieces = digits},
    {.type = "Punctuation", .load = punctuation_load, .pieces = punctuation},
    {.type = "Whitespace", .pieces = whitespace},
    {.type = "WhitespaceSplit", .pieces = whitespace_split},
    {.type = "CharDelimiterSplit", .load = delimiter_load, .pieces = delimiter},
    {.type = "BertPreTokenizer", .pieces = bert},
    {.type = "FixedLength", .load = fixed_load, .pieces = fixed},
};
const size_t hora_tok_n_pretokenizers = HORA_COUNT(hora_tok_pretokenizers);
