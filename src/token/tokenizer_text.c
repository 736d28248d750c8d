/*
 * Characters as tokenizers see them: the classes that Rust's and Oniguruma's libraries use (which
 * are Unicode's), GPT-2's byte alphabet, repair of broken UTF-8, and lists of text pieces.
 * Categories come from utf8proc.
 */
#include <utf8proc.h>

#include "token/tokenizer_impl.h"
#include "token/unicode.h"

void hora_tok_pieces_clear(hora_tok_pieces *p) {
    p->text.n = p->from.n = 0;
    p->n = 0;
}

void hora_tok_pieces_release(hora_tok_pieces *p) {
    hora_str_release(&p->text);
    hora_free(p->from.at);
    hora_free(p->at);
    memset(p, 0, sizeof *p);
}

void hora_tok_pieces_span(hora_tok_pieces *p, size_t off, size_t n, bool first) {
    hora_tok_piece piece = {off, n, first};
    if (n)
        HORA_PUSH(p->at, p->n, p->cap, piece);
}

void hora_tok_pieces_copy(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, size_t n) {
    hora_tok_str_add(&p->text, in->text.s + off, n);
    for (size_t i = 0; p->tracked && i < n; i++)
        HORA_PUSH(p->from.at, p->from.n, p->from.cap, in->from.at[off + i]);
}

static void put(hora_tok_pieces *p, const char *s, size_t n, hora_offset o) {
    hora_tok_str_add(&p->text, s, n);
    for (size_t i = 0; p->tracked && i < n; i++)
        HORA_PUSH(p->from.at, p->from.n, p->from.cap, o);
}

void hora_tok_pieces_put(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, const char *s,
                         size_t n) {
    uint32_t at = p->tracked ? in->from.at[off].from : 0;
    put(p, s, n, (hora_offset){at, at});
}

void hora_tok_pieces_rewrite(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, size_t len,
                             const char *s, size_t n) {
    hora_offset o = {0, 0};
    if (p->tracked)
        o = (hora_offset){in->from.at[off].from, in->from.at[off + len - 1].to};
    put(p, s, n, o);
}

void hora_tok_pieces_swap_text(hora_tok_pieces *p, hora_tok_pieces *in) {
    hora_str text = p->text;
    hora_offsets from = p->from;
    p->text = in->text;
    p->from = in->from;
    in->text = text;
    in->from = from;
}

void hora_tok_pieces_keep(hora_tok_pieces *p, size_t off, size_t n) {
    hora_tok_piece piece = {off, n, false};
    if (!p->text.s) /* so that a piece has an address, if it is empty */
        hora_str_add(&p->text, "", 0);
    HORA_PUSH(p->at, p->n, p->cap, piece);
}

/* Adds one code point as UTF-8. */
static void add_code_point(hora_str *to, uint32_t cp) {
    char buf[4];
    hora_str_add(to, buf, (size_t)hora_utf8_encode(cp, buf));
}

bool hora_tok_is_space(uint32_t cp) {
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f ||
           cp == 0x205f || cp == 0x3000;
}

bool hora_tok_is_number(uint32_t cp) {
    const hora_uc_class c = hora_unicode_class(cp);
    return c == HORA_UC_DECIMAL || c == HORA_UC_NUMBER;
}

bool hora_tok_is_mark(uint32_t cp) {
    return hora_unicode_class(cp) == HORA_UC_MARK;
}

bool hora_tok_is_word(uint32_t cp) {
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default: /* letters in circles and squares: category So, but Alphabetic */
        return (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) ||
               (cp >= 0x1f150 && cp <= 0x1f169) || (cp >= 0x1f170 && cp <= 0x1f189);
    }
}

/* Hugging Face's library knows punctuation, marks without width and formats as Unicode 8 has them.
 * The characters of these kinds that were assigned since; what lies between two of them is of
 * another kind. */
static const uint32_t since_unicode_8[][2] = {
    {0x61d, 0x61d},     {0x7fd, 0x7fd},     {0x890, 0x8e2},     {0x9fd, 0x9fe},
    {0xa76, 0xa76},     {0xafa, 0xaff},     {0xb55, 0xb55},     {0xc04, 0xc3c},
    {0xc77, 0xc77},     {0xc84, 0xc84},     {0xd00, 0xd00},     {0xd3b, 0xd3c},
    {0xd81, 0xd81},     {0xeba, 0xeba},     {0xece, 0xece},     {0x180f, 0x1886},
    {0x1abf, 0x1ace},   {0x1b7d, 0x1b7e},   {0x1df6, 0x1dfb},   {0x2e43, 0x2e5d},
    {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},   {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},
    {0x10d24, 0x10f89}, {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf},
    {0x1123e, 0x11241}, {0x1133b, 0x1133b}, {0x11438, 0x1145e}, {0x11660, 0x1166c},
    {0x116b9, 0x116b9}, {0x1182f, 0x11fff}, {0x12ff1, 0x13455}, {0x16e97, 0x16f4f},
    {0x16fe2, 0x16fe4}, {0x1cf00, 0x1cf46}, {0x1e000, 0x1e4ef}, {0x1e944, 0x1e95f}};

static bool is_young(uint32_t cp) {
    size_t lo = 0, hi = HORA_COUNT(since_unicode_8);
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (since_unicode_8[mid][1] < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < HORA_COUNT(since_unicode_8) && cp >= since_unicode_8[lo][0];
}

bool hora_tok_is_format(uint32_t cp) {
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
        return true;
    case UTF8PROC_CATEGORY_CF:
        return !is_young(cp);
    default:
        return false;
    }
}

bool hora_tok_is_thin_mark(uint32_t cp) {
    if (cp == 0x1734)
        return true;
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_MN && cp != 0x111c9 &&
           !is_young(cp);
}

bool hora_tok_is_punct(uint32_t cp) {
    if (cp < 0x80)
        return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') ||
               (cp >= '{' && cp <= '~');
    if (cp == 0x166d || cp == 0x111c9)
        return true;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return !is_young(cp);
    default:
        return false;
    }
}

/* The printable bytes stand for themselves; the other 68 (controls and space, 0x7f-0xa0, 0xad)
 * take U+0100 onwards in order. */
uint32_t hora_tok_byte_char(unsigned char b) {
    if (b <= 0x20)
        return 0x100u + b;
    if (b >= 0x7f && b <= 0xa0)
        return 0x121u + (b - 0x7fu);
    return b == 0xad ? 0x143u : b;
}

int hora_tok_char_byte(uint32_t cp) {
    if (cp > 0x143)
        return -1;
    if (cp >= 0x100) {
        uint32_t k = cp - 0x100;
        return k <= 0x20 ? (int)k : k <= 0x42 ? (int)(k - 0x21 + 0x7f) : 0xad;
    }
    return hora_tok_byte_char((unsigned char)cp) == cp ? (int)cp : -1;
}

void hora_tok_add_byte_chars(hora_str *to, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        unsigned char b = (unsigned char)s[i];
        if (b > 0x20 && b < 0x7f)
            hora_str_putc(to, (char)b);
        else
            add_code_point(to, hora_tok_byte_char(b));
    }
}

/* How many bytes must follow the lead byte b, and the range of the first of them. 0: b leads
 * nothing (ASCII is handled by the caller). */
static int follow(unsigned char b, unsigned char *lo, unsigned char *hi) {
    *lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    *hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (b >= 0xc2 && b <= 0xdf)
        return 1;
    if (b >= 0xe0 && b <= 0xef)
        return 2;
    return b >= 0xf0 && b <= 0xf4 ? 3 : 0;
}

void hora_tok_add_lossy(hora_str *to, const char *s, size_t n, bool hold) {
    const unsigned char *u = (const unsigned char *)s;
    size_t from = 0, i = 0; /* [from, i) is good and not yet added */
    while (i < n) {
        if (u[i] < 0x80) {
            i++;
            continue;
        }
        unsigned char lo, hi;
        size_t start = i;
        int need = follow(u[i++], &lo, &hi), got = 0;
        for (; got < need && i < n && u[i] >= lo && u[i] <= hi; got++, i++) {
            lo = 0x80;
            hi = 0xbf;
        }
        if (need && got == need)
            continue;
        hora_tok_str_add(to, s + from, start - from);
        if (!(hold && need && i == n))
            hora_str_puts(to, "\xef\xbf\xbd");
        from = i;
    }
    hora_tok_str_add(to, s + from, n - from);
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hora_tok_byte_token(const char *s, size_t n) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[3]) < 0 || hex(s[4]) < 0)
        return -1;
    return hex(s[3]) * 16 + hex(s[4]);
}
