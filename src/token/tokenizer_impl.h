#ifndef HORA_TOKENIZER_IMPL_H
#define HORA_TOKENIZER_IMPL_H
/*
 * What the tokenizer's files share. A tokenizer is a vocabulary, two matchers of added tokens and
 * four chains of parts (normalizers, pre-tokenizers, post-processors, decoders) around one model.
 * Each kind of part is a row of a table: its name in tokenizer.json, how its options are read, how
 * it runs. To add one write the row and its two functions.
 * Invariant: nothing in hora_tokenizer changes after open; all scratch lives in hora_tok_work,
 * which belongs to one call.
 */
#include "base/text.h"
#include "token/tokenizer.h"

typedef struct hora_tok_part hora_tok_part;
typedef struct hora_tok_work hora_tok_work;
typedef struct hora_tok_regex hora_tok_regex;
typedef struct hora_tok_scan hora_tok_scan;

/* --- text in pieces --------------------------------------------------------------------------- */
/* A list of spans of one buffer. Pre-tokenizers and decoders turn one list into the next. */
typedef struct hora_tok_piece {
    size_t off, n;
    bool first; /* begins where the caller's text begins (Metaspace's prepend_scheme "first") */
} hora_tok_piece;
typedef struct hora_tok_pieces {
    hora_str text;
    hora_offsets from; /* when tracked: where each byte of text comes from, text.n entries */
    bool tracked;
    hora_tok_piece *at;
    size_t n, cap;
} hora_tok_pieces;
void hora_tok_pieces_clear(hora_tok_pieces *p); /* keeps the memory */
void hora_tok_pieces_release(hora_tok_pieces *p);
/* Adds the span [off, off + n) of p->text; an empty span is dropped. */
void hora_tok_pieces_span(hora_tok_pieces *p, size_t off, size_t n, bool first);
/* The same, but an empty span stays: decoders count tokens. */
void hora_tok_pieces_keep(hora_tok_pieces *p, size_t off, size_t n);
/* Adds in->text[off, off + n) with what is known of it; puts s[0..n) in front of in->text[off]. */
void hora_tok_pieces_copy(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, size_t n);
void hora_tok_pieces_put(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, const char *s,
                         size_t n);
/* Adds s[0..n), written for the bytes in->text[off, off + len). */
void hora_tok_pieces_rewrite(hora_tok_pieces *p, const hora_tok_pieces *in, size_t off, size_t len,
                             const char *s, size_t n);
/* p takes over the text of `in`, which gets p's. */
void hora_tok_pieces_swap_text(hora_tok_pieces *p, hora_tok_pieces *in);
/* Adds s[0..n) where n may be 0. */
static inline void hora_tok_str_add(hora_str *to, const char *s, size_t n) {
    if (n)
        hora_str_add(to, s, n);
}

/* --- characters (tokenizer_text.c) ------------------------------------------------------------ */
bool hora_tok_is_space(uint32_t cp);  /* Unicode White_Space */
bool hora_tok_is_word(uint32_t cp);   /* \w: Alphabetic, M, Nd, Pc */
bool hora_tok_is_number(uint32_t cp); /* general category N */
bool hora_tok_is_mark(uint32_t cp);   /* general category M */
/* As of Unicode 8, which the library has for these: ASCII punctuation or general category P; C but
 * what is not assigned; Mn. */
bool hora_tok_is_punct(uint32_t cp);
bool hora_tok_is_format(uint32_t cp);
bool hora_tok_is_thin_mark(uint32_t cp);
/* GPT-2's alphabet: a printable character for each of the 256 bytes, and back (-1: none). */
uint32_t hora_tok_byte_char(unsigned char b);
int hora_tok_char_byte(uint32_t cp);
void hora_tok_add_byte_chars(hora_str *to, const char *s, size_t n);
/* Adds bytes as UTF-8; each maximal broken part becomes U+FFFD (Unicode 3.9, as browsers and Rust
 * do). `hold`: a broken part at the very end that more bytes could still complete is left out. */
void hora_tok_add_lossy(hora_str *to, const char *s, size_t n, bool hold);
/* Value of a byte token "<0xNN>", else -1. */
int hora_tok_byte_token(const char *s, size_t n);

/* --- hash tables (tokenizer_vocab.c) ---------------------------------------------------------- */
/* uint64 -> uint64, open addressing; key UINT64_MAX is reserved. Zero-initialise. */
typedef struct hora_tok_table {
    struct hora_tok_slot {
        uint64_t key, value;
    } * slot;
    size_t n, mask;
} hora_tok_table;
void hora_tok_table_put(hora_tok_table *h, uint64_t key, uint64_t value); /* last one wins */
void hora_tok_table_release(hora_tok_table *h);
static inline uint64_t hora_tok_hash(uint64_t k) {
    k *= 0x9e3779b97f4a7c15u;
    return k ^ (k >> 32);
}
/* UINT64_MAX when absent. */
static inline uint64_t hora_tok_table_get(const hora_tok_table *h, uint64_t key) {
    if (!h->slot)
        return UINT64_MAX;
    for (size_t i = hora_tok_hash(key) & h->mask;; i = (i + 1) & h->mask) {
        if (h->slot[i].key == key)
            return h->slot[i].value;
        if (h->slot[i].key == UINT64_MAX)
            return UINT64_MAX;
    }
}

/* Spelling -> id over hora_tokenizer.token. */
typedef struct hora_tok_dict {
    int32_t *slot; /* id + 1; 0 = free */
    size_t n, mask;
} hora_tok_dict;

enum { HORA_TOK_MODEL = 1, HORA_TOK_ADDED = 2, HORA_TOK_SPECIAL = 4 };
typedef struct hora_tok_token {
    size_t off;    /* spelling: arena.s + off, NUL-terminated */
    uint32_t n;    /* bytes of the spelling */
    int32_t bytes; /* bytes of text it stands for */
    uint8_t flags; /* 0: this id does not exist */
} hora_tok_token;

/* --- parts ------------------------------------------------------------------------------------ */
typedef struct hora_tok_row {
    const char *type; /* "type" in tokenizer.json */
    /* Reads the options; NULL: it has none. */
    hora_status (*load)(hora_tok_part *p, const hora_json *o);
    /* Normalizer: adds the normal form of s[0..n), n > 0, to `out`, by hora_tok_emit alone. */
    hora_status (*normal)(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                          hora_str *out);
    /* The steps behind it, of a normalizer that is several passes. */
    hora_status (*then[3])(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                           hora_str *out);
    /* Pre-tokenizer or decoder: `out` is empty; the row may take over in->text by a swap. */
    hora_status (*pieces)(const hora_tok_part *p, hora_tok_work *w, hora_tok_pieces *in,
                          hora_tok_pieces *out);
    /* Decoder: what becomes of a token's bytes, in place, for hora_tokenizer_bytes(). Returns true
     * when `s` is final (no later row may touch it). NULL: nothing happens. */
    bool (*bytes)(const hora_tok_part *p, hora_str *s);
} hora_tok_row;

/* One configured part. Which fields mean something is the row's affair. */
struct hora_tok_part {
    const hora_tok_row *row;
    hora_tok_regex *regex; /* Split, Replace, ByteLevel; NULL: `pattern` is plain text */
    hora_str pattern;
    hora_str text; /* what is put in: content, prefix, suffix, replacement */
    uint32_t cp;
    int mode; /* behaviour of a split, prepend scheme */
    bool invert, prefix_space, left, right, individual, split;
    bool clean, han, accents, lower; /* BertNormalizer; clean also its decoder */
    int64_t start, stop;
    /* Post-processor: ids around a text and around a pair, HORA_TOK_SEQUENCE where the text goes,
     * HORA_TOK_SECOND where the second one does; and the type of each. */
    hora_ids ids, types, pair, pair_types;
    unsigned char *charsmap; /* Precompiled */
    size_t ncharsmap;
};
enum { HORA_TOK_SEQUENCE = -1, HORA_TOK_SECOND = -2 };
typedef struct hora_tok_chain {
    hora_tok_part *at;
    size_t n, cap;
} hora_tok_chain;
void hora_tok_chain_release(hora_tok_chain *c);

extern const hora_tok_row hora_tok_normalizers[], hora_tok_pretokenizers[],
    hora_tok_postprocessors[], hora_tok_decoders[];
extern const size_t hora_tok_n_normalizers, hora_tok_n_pretokenizers, hora_tok_n_postprocessors,
    hora_tok_n_decoders;

/* --- patterns (tokenizer_regex.c) ------------------------------------------------------------- */
/* Compiles an Oniguruma pattern, as tokenizer.json has them; what PCRE2 would read otherwise is
 * translated or refused by name. */
hora_status hora_tok_regex_new(hora_tok_regex **out, const char *pattern, size_t n);
/* tokenizer_pattern.c: from Oniguruma to PCRE2; released by the caller also after a failure. */
hora_status hora_tok_pattern_translate(const char *pattern, size_t n, hora_str *out);
void hora_tok_regex_free(hora_tok_regex *r); /* accepts NULL */
/* Reads {"String": ..} or {"Regex": ..} (or a bare string) into p->pattern and p->regex. */
hora_status hora_tok_pattern_load(hora_tok_part *p, const hora_json *o, const char *key);

/* "pattern" and "content" of a Replace, into p->pattern/regex and p->text. */
hora_status hora_tok_replace_load(hora_tok_part *p, const hora_json *o);
/* HORA_EUNSUPPORTED when the matches in w would make more of the text than any tokenizer needs. */
hora_status hora_tok_bounded(const hora_tok_part *p, const hora_tok_work *w, size_t have);
/* Adds s[0..n) with each match of the pattern replaced by p->text. w->match stays. */
hora_status hora_tok_replace(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                             hora_str *out);
/* The string o[key] into p->text. */
hora_status hora_tok_text_load(hora_tok_part *p, const hora_json *o, const char *key);
/* One character o[key], `def` when absent (NULL: required), into p->cp and p->pattern. */
hora_status hora_tok_char_load(hora_tok_part *p, const hora_json *o, const char *key,
                               const char *def);

/* The text cut into matches and the gaps between them, in order, without holes; w->match. */
typedef struct hora_tok_match {
    size_t b, e;
    bool hit;
} hora_tok_match;
hora_status hora_tok_matches(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n);
void hora_tok_match_add(hora_tok_work *w, size_t b, size_t e, bool hit);
void hora_tok_scan_free(hora_tok_scan *s); /* accepts NULL */

/* --- added tokens (tokenizer_added.c) --------------------------------------------------------- */
/* A trie over the spellings; the leftmost, then longest, match wins. */
typedef struct hora_tok_added {
    int32_t id;
    bool single_word, lstrip, rstrip, normalized;
} hora_tok_added;
typedef struct hora_tok_matcher {
    hora_tok_table edge; /* node << 8 | byte -> node */
    int32_t *leaf;       /* per node: index of the added token, or -1 */
    size_t nodes, cap;
    bool first[256]; /* bytes that begin a token */
} hora_tok_matcher;
void hora_tok_matcher_put(hora_tok_matcher *m, const char *s, size_t n, int32_t index);
void hora_tok_matcher_release(hora_tok_matcher *m);
/* One step of a scan: the text before the next added token and that token's id (-1 at the end).
 * Zero-initialise pos and done; false when everything was handed out. */
typedef struct hora_tok_cut {
    size_t pos;  /* where the scan goes on */
    size_t done; /* everything before was handed out */
    size_t b, e; /* text before the token, may be empty */
    int32_t id;
} hora_tok_cut;
bool hora_tok_matcher_next(const hora_tokenizer *t, const hora_tok_matcher *m, const char *s,
                           size_t n, hora_tok_cut *c);

/* --- Precompiled: SentencePiece's character map (tokenizer_charsmap.c) ------------------------ */
hora_status hora_tok_charsmap_load(hora_tok_part *p, const hora_json *o);
hora_status hora_tok_charsmap(const hora_tok_part *p, hora_tok_work *w, const char *s, size_t n,
                              hora_str *out);

/* --- models ----------------------------------------------------------------------------------- */
typedef struct hora_tok_model {
    const char *type;
    hora_status (*load)(hora_tokenizer *t, const hora_json *model);
    /* Appends the ids of one piece s[0..n), n > 0, and, when w->track, to w->start the offset in
     * the piece where each begins. */
    hora_status (*encode)(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                          hora_ids *out);
    void (*free)(void *state);
} hora_tok_model;
extern const hora_tok_model hora_tok_bpe, hora_tok_wordpiece, hora_tok_wordlevel, hora_tok_unigram;
/* model["vocab"], an object {spelling: id} (tokenizer_vocab.c). */
hora_status hora_tok_vocab_load(hora_tokenizer *t, const hora_json *model);

struct hora_tokenizer {
    hora_str arena;        /* all spellings, each NUL-terminated */
    hora_tok_token *token; /* [size] */
    size_t size, cap;
    hora_tok_dict vocab, extra; /* the model's spellings; the added tokens' spellings */
    hora_tok_added *added;      /* [nadded] */
    size_t nadded, capadded;
    hora_tok_matcher raw, normal; /* added tokens found before and after normalization */
    bool joined; /* there is a decoder; without one, tokens are decoded with spaces between */
    hora_tok_chain normalizers, pretokenizers, postprocessors, decoders;
    const hora_tok_model *model;
    void *state; /* the model's */
    hora_json *special_map;
    char *chat_template;
    int32_t bos, eos, pad;
    bool cut_left;   /* truncation_side: "left" */
    bool said_twice; /* there is a tokenizer.json which tokenizer_config.json may contradict */
};

static inline const char *hora_tok_spelling(const hora_tokenizer *t, int32_t id) {
    return t->arena.s + t->token[id].off;
}
/* Adds a token, or flags to one that is there (then s may be its own spelling); `limit` bounds the
 * id. HORA_EFORMAT when the id or the spelling is taken. */
hora_status hora_tok_add(hora_tokenizer *t, const char *s, size_t n, int64_t id, int64_t limit,
                         unsigned flags);
/* -1 when absent */
int32_t hora_tok_find(const hora_tokenizer *t, const hora_tok_dict *d, const char *s, size_t n);
/* Registers an added token that has its id already and puts it into its matcher; the normalizers
 * must be loaded. */
hora_status hora_tok_add_matcher(hora_tokenizer *t, hora_tok_added a);
hora_status hora_tok_added_load(hora_tokenizer *t, const hora_json *list, int64_t limit);

/* --- one call's scratch (tokenizer.c) --------------------------------------------------------- */
struct hora_tok_work {
    size_t limit; /* bytes that Replace rules may make; 0: the most of a decoder */
    const hora_tokenizer *t;
    bool front_cut; /* a normalizer took the beginning of the text away */
    bool stable;    /* decoding: hold back what later tokens may change */
    bool track;     /* offsets are wanted; the two maps below are filled in */
    hora_str norm, other;
    hora_offsets norm_from, step; /* per byte of norm: in the stretch; of other: in norm */
    hora_offsets *offsets;        /* of the ids, for the caller */
    hora_ids start;               /* of the ids of one piece */
    hora_tok_pieces a, b;
    hora_tok_match *match;
    size_t nmatch, capmatch;
    hora_tok_scan *scan;  /* PCRE2's per-thread data */
    hora_ids sym, sym_at; /* BPE: first symbols of a piece and where in it they begin */
    struct hora_tok_bpe_scratch *bpe;
    struct hora_tok_lattice *lattice; /* Unigram */
    hora_str spelling;                /* WordPiece */
};
void hora_tok_work_release(hora_tok_work *w);
/* Normalizers write through this: adds s[0..n) to `out`, made of the bytes [from, to) of the text
 * that the row was given; _each: byte i of byte from + i. */
void hora_tok_emit(hora_tok_work *w, hora_str *out, const char *s, size_t n, size_t from,
                   size_t to);
void hora_tok_emit_each(hora_tok_work *w, hora_str *out, const char *s, size_t n, size_t from);
/* Runs the normalizers over s[0..n); the result is in w->norm, w->front_cut is set. */
hora_status hora_tok_normalize(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n);
void hora_tok_bpe_scratch_free(struct hora_tok_bpe_scratch *s); /* accepts NULL */
void hora_tok_lattice_free(struct hora_tok_lattice *l);         /* accepts NULL */

/* --- files ------------------------------------------------------------------------------------ */
/* Both fill an empty tokenizer from a file's bytes; `what` names it in messages. */
hora_status hora_tok_load_json(hora_tokenizer *t, const char *text, size_t n, const char *what);
/* The same from a parsed file. */
hora_status hora_tok_load_root(hora_tokenizer *t, const hora_json *root, const char *what);

/* A SentencePiece BPE model, its pieces' texts being the tokenizer's tokens: types as
 * sentencepiece_model.proto numbers them. */
typedef enum {
    HORA_SPM_NORMAL = 1,
    HORA_SPM_UNKNOWN,
    HORA_SPM_CONTROL,
    HORA_SPM_USER,
    HORA_SPM_UNUSED,
    HORA_SPM_BYTE
} hora_tok_spm_type;
typedef struct hora_tok_spm_piece {
    float score;
    int type;
} hora_tok_spm_piece;
typedef struct hora_tok_spm {
    hora_tok_spm_piece *piece;
    size_t n, cap;
    int64_t model_type, unk, bos, eos, pad;
    bool byte_fallback, suffix, dummy_prefix, extra_spaces, escape;
    size_t charsmap;
} hora_tok_spm;
/* A post-processor that puts bos before and eos behind a text; NULL: not that one. New. */
hora_json *hora_tok_template(const char *bos, int64_t bos_id, const char *eos, int64_t eos_id);
/* Merges from the scores and the parts around the model; `config` as below. */
hora_status hora_tok_spm_build(hora_tokenizer *t, const hora_tok_spm *sp, const hora_json *config);
/* Scores of the pieces of a tokenizer.model, at most n. */
hora_status hora_tok_spm_scores(const char *path, float *score, int64_t n);
/* tokenizer_gguf.c: the vocabulary in a GGUF file's keys. */
hora_status hora_tok_load_gguf(hora_tokenizer *t, const char *path);
/* tokenizer_bytes.c: a token for each byte, and [SEP] behind each text. */
hora_status hora_tok_load_bytes(hora_tokenizer *t);
/* SentencePiece; `config` is tokenizer_config.json or NULL (add_bos_token, add_eos_token). */
hora_status hora_tok_load_sentencepiece(hora_tokenizer *t, const char *data, size_t n,
                                        const hora_json *config, const char *what);
/* BERT's vocab.txt, a spelling per line; `config` is tokenizer_config.json or NULL. */
hora_status hora_tok_load_vocab_txt(hora_tokenizer *t, const char *text, size_t n,
                                    const hora_json *config, const char *what);
/* Whether the folder's tokenizer is of a class of BERT's kind, whose constructor sets the
 * normalizer from tokenizer_config.json; `model` is config.json or NULL. The second does so. */
bool hora_tok_is_bert(const hora_json *config, const hora_json *model);
hora_status hora_tok_bert_config(hora_tokenizer *t, const hora_json *config);
/* tokenizer_beside.c: the tokens and names that the files beside the vocabulary add, and the chat
 * template; `config` is tokenizer_config.json or NULL. */
hora_status hora_tok_load_beside(hora_tokenizer *t, const char *dir, const hora_json *config);
/* The parts around the model, from an object in tokenizer.json's form. */
hora_status hora_tok_load_parts(hora_tokenizer *t, const hora_json *root);
/* Last steps of both: bytes per token. */
void hora_tok_finish(hora_tokenizer *t);

/* BPE model from parts, for the SentencePiece reader. Merge k joins left[k] and right[k] to
 * result[k]; a lower rank goes first, equal ranks from left to right. */
typedef struct hora_tok_merge {
    int32_t left, right, result;
    uint32_t rank;
} hora_tok_merge;
typedef struct hora_tok_bpe_options {
    int32_t unk; /* -1: none */
    bool fuse_unk, byte_fallback, ignore_merges;
    const char *prefix, *suffix; /* borrowed during the call; NULL or "" = none */
} hora_tok_bpe_options;
hora_status hora_tok_bpe_init(hora_tokenizer *t, const hora_tok_bpe_options *o,
                              const hora_tok_merge *merges, size_t n);
#endif
