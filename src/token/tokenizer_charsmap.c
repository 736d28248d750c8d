/*
 * SentencePiece's precompiled character map, as tokenizer.json carries it in base64: u32 bytes of a
 * double-array trie (little endian, units of 32 bits), the trie, then the replacements, each ended
 * by NUL. A character cluster of less than six bytes that the trie has is replaced whole, else each
 * of its characters alone. The trie gives the shortest entry that the bytes begin with, and what it
 * replaces is all of them, as in the library.
 *
 * Source: sentencepiece/src/normalizer.cc and darts.h (unit layout); spm_precompiled.
 */
#include <utf8proc.h>

#include "token/tokenizer_impl.h"

static int digit(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Returns the bytes written, or SIZE_MAX for text that is no base64. */
static size_t from_base64(const char *s, size_t n, unsigned char *out) {
    size_t made = 0;
    uint32_t bits = 0;
    int have = 0;
    while (n && s[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int d = digit(s[i]);
        if (d < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8)
            out[made++] = (unsigned char)(bits >> (have -= 8));
    }
    return made;
}

static uint32_t u32(const unsigned char *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

hora_status hora_tok_charsmap_load(hora_tok_part *p, const hora_json *o) {
    size_t n;
    const char *s = hora_json_string(hora_json_get(o, "precompiled_charsmap"), &n);
    if (!s)
        return hora_json_type(hora_json_get(o, "precompiled_charsmap")) == HORA_JNULL
                   ? HORA_OK
                   : hora_fail(HORA_EFORMAT, "Precompiled: \"precompiled_charsmap\" is no string; "
                                             "fetch the file again");
    p->charsmap = hora_malloc(n + 1);
    p->ncharsmap = from_base64(s, n, p->charsmap);
    if (n && (p->ncharsmap == SIZE_MAX || p->ncharsmap < 4 || u32(p->charsmap) % 4 ||
              u32(p->charsmap) > p->ncharsmap - 4))
        return hora_fail(HORA_EFORMAT, "Precompiled: \"precompiled_charsmap\" is no character map; "
                                       "fetch the file again");
    return HORA_OK;
}

/* The replacement of s[0..n), NULL: none. Every index is checked: the trie comes from a file. */
static const char *look_up(const hora_tok_part *p, const char *s, size_t n, size_t *len) {
    const size_t bytes = p->ncharsmap < 4 ? 0 : u32(p->charsmap), units = bytes / 4;
    if (!units)
        return NULL;
    const unsigned char *trie = p->charsmap + 4, *blob = trie + bytes, *end;
    const size_t nblob = p->ncharsmap - 4 - bytes;
    uint32_t unit = u32(trie);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        at ^= (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
        at ^= c;
        if (!c || at >= units)
            return NULL;
        unit = u32(trie + 4 * at);
        if ((unit & 0x800000ffu) != c)
            return NULL;
        const size_t child = at ^ ((size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6));
        if (!(unit >> 8 & 1))
            continue;
        if (child >= units)
            return NULL;
        const size_t off = u32(trie + 4 * child) & 0x7fffffffu;
        end = off < nblob ? memchr(blob + off, 0, nblob - off) : NULL;
        *len = end ? (size_t)(end - (blob + off)) : 0;
        return end ? (const char *)blob + off : NULL;
    }
    return NULL;
}

/* One character cluster s[b, e). */
static void one(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t b, size_t e,
                hora_str *out) {
    size_t len;
    uint32_t cp;
    const char *to = e - b < 6 ? look_up(p, s + b, e - b, &len) : NULL;
    if (to) {
        hora_tok_emit(w, out, to, len, b, e);
        return;
    }
    for (size_t i = b, n; i < e; i += n) {
        n = (size_t)hora_utf8_decode(s + i, e - i, &cp);
        to = look_up(p, s + i, n, &len);
        if (to)
            hora_tok_emit(w, out, to, len, i, i + n);
        else
            hora_tok_emit_each(w, out, s + i, n, i);
    }
}

hora_status hora_tok_charsmap(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out) {
    uint32_t cp, next;
    utf8proc_int32_t state = 0;
    size_t b = 0, i = n ? (size_t)hora_utf8_decode(s, n, &cp) : 0;
    for (size_t len; i < n; i += len, cp = next) {
        len = (size_t)hora_utf8_decode(s + i, n - i, &next);
        if (!utf8proc_grapheme_break_stateful((utf8proc_int32_t)cp, (utf8proc_int32_t)next, &state))
            continue;
        one(p, w, s, b, i, out);
        b = i;
    }
    if (n)
        one(p, w, s, b, n, out);
    return HORA_OK;
}
