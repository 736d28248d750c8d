#ifndef HORA_TOKEN_TOKENIZER_H
#define HORA_TOKEN_TOKENIZER_H
/*
 * Tokenizers of Hugging Face's tokenizer.json (version 1.0), SentencePiece's tokenizer.model (BPE)
 * and BERT's vocab.txt. The pipeline: added tokens -> normalizer -> pre-tokenizer -> model ->
 * post-processor; decoders back. Unknown parts are refused by name. A tokenizer is immutable after
 * open and may be used by several threads at once.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/status.h"

/* hora_tokenizer, hora_ids and the functions that open, close, encode and decode are the front
 * door's (hora/hora.h); they are said again here so that this page is whole. */
static inline void hora_ids_push(hora_ids *v, int32_t id) {
    HORA_PUSH(v->at, v->n, v->cap, id);
}

/* Reads a GGUF file; or DIR/tokenizer.json, else DIR/tokenizer.model, else DIR/vocab.txt;
 * tokenizer_config.json and special_tokens_map.json beside it where they exist. */
hora_status hora_tokenizer_open(hora_tokenizer **out, const char *dir);
/* One for where there is no model to look at data with: a token is a byte, [SEP] ends each text. */
hora_status hora_tokenizer_open_bytes(hora_tokenizer **out);
void hora_tokenizer_close(hora_tokenizer *t); /* accepts NULL */
/* Appends the ids of text[0..n). `special`: run the post-processor (BOS and the like). Text that is
 * not UTF-8 is refused with its offset. Special tokens spelled out in the text become their ids, as
 * Hugging Face does. */
hora_status hora_tokenizer_encode(const hora_tokenizer *t, const char *text, size_t n, bool special,
                                  hora_ids *out);
/* The bytes text[from..to) that an id stands for. They follow each other; from == to: the tokenizer
 * put the id there (BOS before the text, EOS behind it, the space that it prepends). A part of a
 * character that several ids share gives each its own bytes where the tokenizer works on bytes; the
 * whole character where a normalizer rewrote it. */
typedef struct hora_offset {
    uint32_t from, to;
} hora_offset;
typedef struct hora_offsets { /* as hora_ids; zero-initialise, release with hora_free(at) */
    hora_offset *at;
    size_t n, cap;
} hora_offsets;
/* The same ids, and where each comes from: one entry of `offsets` per id appended. Text of 4 GiB
 * and more is refused. */
hora_status hora_tokenizer_encode_offsets(const hora_tokenizer *t, const char *text, size_t n,
                                          bool special, hora_ids *out, hora_offsets *offsets);
/* A text, or a pair of them: with the special tokens between and around them, at most `most` ids
 * (0: as many as there are). A second text that is empty is none, as in transformers. `types` (may
 * be NULL) gets the type of each id; *cut (may be NULL): how many ids did not fit. HORA_EUSAGE
 * where the length cannot be kept. */
typedef enum hora_truncation {
    HORA_TRUNCATE_LONGEST, /* the longer one down to the shorter, then both */
    HORA_TRUNCATE_FIRST,
    HORA_TRUNCATE_SECOND
} hora_truncation;
#define HORA_TRUNCATIONS "longest_first only_first only_second" /* for an option */
typedef struct hora_text_pair {
    const char *first;
    size_t nfirst;
    const char *second; /* NULL: none */
    size_t nsecond;
} hora_text_pair;
hora_status hora_tokenizer_encode_pair(const hora_tokenizer *t, const hora_text_pair *text,
                                       int64_t most, hora_truncation how, hora_ids *out,
                                       hora_ids *types, int64_t *cut);
/* How many special tokens a text, or a pair, gets. */
hora_status hora_tokenizer_specials(const hora_tokenizer *t, bool pair, int64_t *n);
hora_status hora_tokenizer_decode(const hora_tokenizer *t, const int32_t *ids, size_t n,
                                  bool skip_special, hora_str *out);

int32_t hora_tokenizer_size(const hora_tokenizer *t); /* largest id + 1, added tokens included */
int32_t hora_tokenizer_id(const hora_tokenizer *t, const char *token); /* -1 when absent */
/* as spelled in the vocabulary; NULL when absent */
const char *hora_tokenizer_token(const hora_tokenizer *t, int32_t id);
bool hora_tokenizer_is_special(const hora_tokenizer *t, int32_t id);
/* Bytes of text that the token stands for (0 for special tokens): "Ġthe" -> 4, "<0x0A>" -> 1,
 * "▁the" -> 4. */
int hora_tokenizer_bytes(const hora_tokenizer *t, int32_t id);
/* from tokenizer_config / special_tokens_map; -1 when none */
int32_t hora_tokenizer_bos(const hora_tokenizer *t);
int32_t hora_tokenizer_eos(const hora_tokenizer *t);
int32_t hora_tokenizer_pad(const hora_tokenizer *t);
/* The chat template: DIR/chat_template.jinja, else tokenizer_config.json's chat_template (string,
 * or the entry "default" of a list). NULL: none. */
const char *hora_tokenizer_chat_template(const hora_tokenizer *t);
/* Names and spellings for the template's variables: "bos_token" -> "<s>". Object, borrowed. */
const hora_json *hora_tokenizer_special_map(const hora_tokenizer *t);
/* Incremental decoding for streaming: text that is certain after `ids[0..n)`, i.e. without a
 * trailing incomplete character. */
hora_status hora_tokenizer_decode_stable(const hora_tokenizer *t, const int32_t *ids, size_t n,
                                         bool skip_special, hora_str *out);
#endif
