/*
 * Decoders: from the spellings of tokens back to text. Each row turns one list of pieces into the
 * next; at the end the pieces are joined. When decoding a stream (w->stable) a row leaves out what
 * later tokens could still change, so that the text so far is always a prefix of the final one.
 */
#include "token/tokenizer_impl.h"

static void copy_piece(const hora_tok_pieces *in, size_t i, hora_tok_pieces *out) {
    size_t off = out->text.n;
    hora_tok_str_add(&out->text, in->text.s + in->at[i].off, in->at[i].n);
    hora_tok_pieces_keep(out, off, in->at[i].n);
}

/* --- ByteLevel -------------------------------------------------------------------------------- */
/* The bytes that a spelling in the byte alphabet stands for; any other spelling is itself. */
static void add_bytes(hora_str *to, const char *s, size_t n) {
    size_t start = to->n;
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = hora_utf8_decode(s + i, n - i, &cp), b = len ? hora_tok_char_byte(cp) : -1;
        if (b < 0) {
            to->n = start;
            hora_str_add(to, s, n);
            return;
        }
        hora_str_putc(to, (char)b);
        i += (size_t)len;
    }
}

static hora_status byte_level(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                              hora_tok_pieces *out) {
    (void)p;
    w->other.n = 0;
    for (size_t i = 0; i < in->n; i++)
        add_bytes(&w->other, in->text.s + in->at[i].off, in->at[i].n);
    if (w->other.n)
        hora_tok_add_lossy(&out->text, w->other.s, w->other.n, w->stable);
    hora_tok_pieces_keep(out, 0, out->text.n);
    return HORA_OK;
}

static bool byte_level_bytes(const hora_tok_part *p, hora_str *s) {
    (void)p;
    hora_str to = {0};
    add_bytes(&to, s->s, s->n);
    s->n = 0;
    hora_tok_str_add(s, to.s, to.n);
    hora_str_release(&to);
    return true;
}

/* --- ByteFallback: "<0xNN>" ------------------------------------------------------------------- */
/* A run of byte tokens is text when all of it is UTF-8, else one U+FFFD for each byte. */
static void flush_bytes(hora_str *run, hora_tok_pieces *out) {
    size_t off = out->text.n, bad;
    if (!run->n)
        return;
    if (hora_utf8_valid(run->s, run->n, &bad))
        hora_str_add(&out->text, run->s, run->n);
    else
        for (size_t i = 0; i < run->n; i++)
            hora_str_puts(&out->text, "\xef\xbf\xbd");
    hora_tok_pieces_keep(out, off, out->text.n - off);
    run->n = 0;
}

static hora_status byte_fallback(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                                 hora_tok_pieces *out) {
    (void)p;
    hora_str *run = &w->other;
    run->n = 0;
    for (size_t i = 0; i < in->n; i++) {
        int b = hora_tok_byte_token(in->text.s + in->at[i].off, in->at[i].n);
        if (b >= 0) {
            hora_str_putc(run, (char)b);
            continue;
        }
        flush_bytes(run, out);
        copy_piece(in, i, out);
    }
    if (!w->stable) /* one more byte could spoil the whole run */
        flush_bytes(run, out);
    return HORA_OK;
}

static bool byte_fallback_bytes(const hora_tok_part *p, hora_str *s) {
    (void)p;
    int b = hora_tok_byte_token(s->s, s->n);
    if (b < 0)
        return false;
    s->n = 0;
    hora_str_putc(s, (char)b);
    return true;
}

/* --- Replace ---------------------------------------------------------------------------------- */
static hora_status replace(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                           hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        size_t off = out->text.n;
        HORA_TRY(hora_tok_replace(p, w, in->text.s + in->at[i].off, in->at[i].n, &out->text));
        hora_tok_pieces_keep(out, off, out->text.n - off);
    }
    return HORA_OK;
}

static bool replace_bytes(const hora_tok_part *p, hora_str *s) {
    hora_tok_work w = {.limit = (size_t)64 << 10};
    hora_str to = {0};
    if (hora_tok_replace(p, &w, s->s, s->n, &to) == HORA_OK) {
        s->n = 0;
        hora_tok_str_add(s, to.s, to.n);
    }
    hora_str_release(&to);
    hora_tok_work_release(&w);
    return false;
}

/* --- Fuse, Strip ------------------------------------------------------------------------------ */
static hora_status fuse(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                        hora_tok_pieces *out) {
    (void)p, (void)w;
    for (size_t i = 0; i < in->n; i++)
        hora_tok_str_add(&out->text, in->text.s + in->at[i].off, in->at[i].n);
    hora_tok_pieces_keep(out, 0, out->text.n);
    return HORA_OK;
}

static hora_status strip_load(hora_tok_part *p, const hora_json *o) {
    HORA_TRY(hora_tok_char_load(p, o, "content", NULL));
    HORA_TRY(hora_json_get_int(o, "start", 0, &p->start));
    return hora_json_get_int(o, "stop", 0, &p->stop);
}

static hora_status strip(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                         hora_tok_pieces *out) {
    size_t k = p->pattern.n;
    for (size_t i = 0; i < in->n; i++) {
        size_t b = in->at[i].off, e = b + in->at[i].n;
        const char *s = in->text.s;
        for (int64_t c = 0; c < p->start && e - b >= k && !memcmp(s + b, p->pattern.s, k); c++)
            b += k;
        for (int64_t c = 0; c < p->stop && e - b >= k && !memcmp(s + e - k, p->pattern.s, k); c++)
            e -= k;
        hora_tok_pieces_keep(out, b, e - b);
    }
    (void)w;
    hora_str swap = out->text;
    out->text = in->text;
    in->text = swap;
    return HORA_OK;
}

/* --- Metaspace -------------------------------------------------------------------------------- */
static hora_status metaspace_load(hora_tok_part *p, const hora_json *o) {
    const char *scheme;
    HORA_TRY(hora_tok_char_load(p, o, "replacement", "\xe2\x96\x81"));
    hora_str_puts(&p->text, " ");
    bool legacy;
    HORA_TRY(hora_json_get_bool(o, "add_prefix_space", true, &legacy));
    HORA_TRY(hora_json_get_string(o, "prepend_scheme", legacy ? "always" : "never", &scheme));
    p->prefix_space = !hora_eq(scheme, "never");
    return HORA_OK;
}

static hora_status metaspace(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                             hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        size_t off = out->text.n;
        const char *s = in->text.s + in->at[i].off;
        HORA_TRY(hora_tok_matches(p, w, s, in->at[i].n));
        for (size_t k = 0; k < w->nmatch; k++) {
            const hora_tok_match *m = &w->match[k];
            if (!m->hit)
                hora_str_add(&out->text, s + m->b, m->e - m->b);
            else if (i > 0 || !p->prefix_space)
                hora_str_puts(&out->text, " ");
        }
        hora_tok_pieces_keep(out, off, out->text.n - off);
    }
    return HORA_OK;
}

/* --- BPEDecoder: the end-of-word suffix becomes a space, but not at the end ------------------- */
static hora_status bpe_load(hora_tok_part *p, const hora_json *o) {
    const char *s;
    HORA_TRY(hora_json_get_string(o, "suffix", "</w>", &s));
    hora_str_puts(&p->pattern, s);
    hora_str_puts(&p->text, " ");
    return HORA_OK;
}

static hora_status bpe(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                       hora_tok_pieces *out) {
    hora_tok_part last = *p;
    last.text.n = 0;
    for (size_t i = 0; i < in->n; i++) {
        size_t off = out->text.n;
        HORA_TRY(hora_tok_replace(i + 1 == in->n ? &last : p, w, in->text.s + in->at[i].off,
                                  in->at[i].n, &out->text));
        hora_tok_pieces_keep(out, off, out->text.n - off);
    }
    return HORA_OK;
}

/* --- WordPiece: a space before every word but the first, and English punctuation drawn up ----- */
static hora_status wordpiece_load(hora_tok_part *p, const hora_json *o) {
    const char *s;
    HORA_TRY(hora_json_get_string(o, "prefix", "##", &s));
    hora_str_puts(&p->pattern, s);
    return hora_json_get_bool(o, "cleanup", true, &p->clean);
}

static void replace_all(hora_str *s, const char *from, const char *to) {
    const size_t n = strlen(from);
    hora_str out = {0};
    size_t done = 0;
    for (size_t i = 0; i + n <= s->n;) {
        if (memcmp(s->s + i, from, n) != 0) {
            i++;
            continue;
        }
        hora_tok_str_add(&out, s->s + done, i - done);
        hora_str_puts(&out, to);
        done = i += n;
    }
    if (done) {
        hora_tok_str_add(&out, s->s + done, s->n - done);
        hora_str swap = *s;
        *s = out;
        out = swap;
    }
    hora_str_release(&out);
}

static void clean_up(hora_str *s) {
    static const char *const rules[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < HORA_COUNT(rules); i++)
        replace_all(s, rules[i][0], rules[i][1]);
}

static hora_status wordpiece(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                             hora_tok_pieces *out) {
    for (size_t i = 0; i < in->n; i++) {
        const char *s = in->text.s + in->at[i].off;
        const size_t n = in->at[i].n, k = p->pattern.n, off = out->text.n;
        const bool goes_on = i && n >= k && (!k || memcmp(s, p->pattern.s, k) == 0);
        w->other.n = 0;
        if (i && !goes_on)
            hora_str_putc(&w->other, ' ');
        hora_tok_str_add(&w->other, s + (goes_on ? k : 0), n - (goes_on ? k : 0));
        if (p->clean)
            clean_up(&w->other);
        hora_tok_str_add(&out->text, w->other.s, w->other.n);
        hora_tok_pieces_keep(out, off, out->text.n - off);
    }
    return HORA_OK;
}

static bool wordpiece_bytes(const hora_tok_part *p, hora_str *s) {
    const size_t k = p->pattern.n;
    if (k && s->n > k && memcmp(s->s, p->pattern.s, k) == 0) {
        memmove(s->s, s->s + k, s->n - k);
        s->n -= k;
    }
    return true;
}

const hora_tok_row hora_tok_decoders[] = {
    {.type = "ByteLevel", .pieces = byte_level, .bytes = byte_level_bytes},
    {.type = "ByteFallback", .pieces = byte_fallback, .bytes = byte_fallback_bytes},
    {.type = "Replace", .load = hora_tok_replace_load, .pieces = replace, .bytes = replace_bytes},
    {.type = "Fuse", .pieces = fuse},
    {.type = "Strip", .load = strip_load, .pieces = strip},
    {.type = "Metaspace", .load = metaspace_load, .pieces = metaspace, .bytes = replace_bytes},
    {.type = "WordPiece", .load = wordpiece_load, .pieces = wordpiece, .bytes = wordpiece_bytes},
    {.type = "BPEDecoder", .load = bpe_load, .pieces = bpe, .bytes = replace_bytes},
};
const size_t hora_tok_n_decoders = HORA_COUNT(hora_tok_decoders);
