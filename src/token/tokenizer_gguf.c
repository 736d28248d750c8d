/*
 * The vocabulary of a GGUF file, as the tokenizer.json or tokenizer.model it was made from:
 * `llama` is SentencePiece's BPE with scores, `gpt2` byte-level BPE with merges, whose
 * pre-tokenizer is known by name alone. Names and what they stand for: llama.cpp,
 * src/llama-vocab.cpp; the pipelines are those of the models' own tokenizer.json.
 */
#include "token/gguf_vocab.h"

#include "base/text.h"
#include "format/gguf_hf.h"
#include "token/tokenizer_impl.h"

/* --- pre-tokenizers --------------------------------------------------------------------------- */
#define BYTES(regex)                                                                               \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, "             \
    "\"use_regex\": " regex "}"
#define SPLIT(pattern)                                                                             \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " \
    "\"" pattern "\"}, \"behavior\": \"Isolated\", \"invert\": false}, " BYTES("false") "]}"
#define WORDS(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                 \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
/* Words by case, as the tokenizers of Mistral's newer models have them. */
#define TEKKEN                                                                                     \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*"                \
    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+|"                                                      \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"                \
    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*|"                                                      \
    "\\\\p{N}| "                                                                                   \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define DIGITS                                                                                     \
    "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": "  \
    "true}, " BYTES("true") "]}"

static const struct {
    const char *name, *also; /* of tokenizer.ggml.pre; blanks between */
    const char *pre_tokenizer;
    const char *normalizer; /* NULL: none */
    bool ignore_merges;     /* a whole word of the vocabulary is one token, merges or not */
    bool bos;               /* added where the file does not say */
} pipelines[] = {
    {"llama-bpe", "llama3 llama-v3 smaug-bpe", SPLIT(WORDS("\\\\p{N}{1,3}")), NULL, true, true},
    {"qwen2", "deepseek-r1-qwen", SPLIT(WORDS("\\\\p{N}")), "NFC", false, false},
    {"tekken", "", SPLIT(TEKKEN), NULL, true, true},
    {"gpt-2", "gpt2", BYTES("true"), NULL, false, false},
    {"smollm", "starcoder refact command-r", DIGITS, NULL, false, false},
};

/* A pipeline's parts in one text, what does not change pieces left out. */
static void sign(const hora_json *o, hora_str *out) {
    const char *type = hora_json_string(hora_json_get(o, "type"), NULL);
    const hora_json *parts = hora_json_get(o, "pretokenizers"),
                    *pattern = hora_json_get(o, "pattern");
    bool regex = true;
    for (size_t i = 0; i < hora_json_len(parts); i++)
        sign(hora_json_at(parts, i), out);
    if (!type || hora_eq(type, "Sequence"))
        return;
    hora_json_bool(hora_json_get(o, "use_regex"), &regex);
    hora_str_printf(out, "%s", type);
    if (hora_eq(type, "ByteLevel"))
        hora_str_printf(out, " %d", regex);
    if (hora_eq(type, "Split"))
        hora_str_printf(out, " %s %s", hora_json_string(hora_json_get(pattern, "Regex"), NULL),
                        hora_json_string(hora_json_get(o, "behavior"), NULL));
    hora_str_puts(out, ";");
}

static hora_status same_parts(const hora_json *file, const char *ours, bool *same) {
    hora_json *o;
    hora_str a = {0}, b = {0};
    HORA_TRY(hora_json_parse(&o, ours, strlen(ours), "built-in pre-tokenizer"));
    sign(file, &a);
    sign(o, &b);
    *same = hora_eq(a.s, b.s);
    hora_json_free(o);
    hora_str_release(&a);
    hora_str_release(&b);
    return HORA_OK;
}

hora_status hora_gguf_pre_tokenizer(const hora_json *tokenizer, const char **out) {
    const hora_json *pre = hora_json_get(tokenizer, "pre_tokenizer");
    const hora_json *normalizer = hora_json_get(tokenizer, "normalizer");
    const char *type = hora_json_string(hora_json_get(normalizer, "type"), NULL);
    const bool plain = hora_json_type(normalizer) == HORA_JNULL;
    *out = NULL;
    for (size_t i = 0; i < HORA_COUNT(pipelines) && !*out; i++) {
        bool same = pipelines[i].normalizer ? hora_eq(type, pipelines[i].normalizer) : plain;
        if (same)
            HORA_TRY(same_parts(pre, pipelines[i].pre_tokenizer, &same));
        if (same)
            *out = pipelines[i].name;
    }
    return HORA_OK;
}

/* --- what a file says ------------------------------------------------------------------------- */
typedef struct vocabulary {
    const hora_gguf *g;
    const hora_gguf_value *tokens, *types, *scores; /* types, scores NULL: absent */
    int64_t n, bos, eos, pad, unk;
    bool add_bos, add_eos;
} vocabulary;

static hora_status flag(const hora_gguf *g, const char *key, bool fallback, bool *out) {
    int64_t v;
    HORA_TRY(hora_gguf_get_int(g, key, false, fallback, &v));
    *out = v != 0;
    return HORA_OK;
}

static hora_status read(vocabulary *v, const hora_gguf *g) {
    const struct {
        const char *key;
        int64_t *id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &v->bos},
               {"tokenizer.ggml.eos_token_id", &v->eos},
               {"tokenizer.ggml.padding_token_id", &v->pad},
               {"tokenizer.ggml.unknown_token_id", &v->unk}};
    v->g = g;
    HORA_TRY(hora_gguf_vocabulary(g, &v->n));
    v->tokens = hora_gguf_get(g, "tokenizer.ggml.tokens");
    v->types = hora_gguf_get(g, "tokenizer.ggml.token_type");
    v->scores = hora_gguf_get(g, "tokenizer.ggml.scores");
    for (size_t i = 0; i < HORA_COUNT(ids); i++)
        HORA_TRY(hora_gguf_get_int(g, ids[i].key, false, -1, ids[i].id));
    return HORA_OK;
}

static int type_of(const vocabulary *v, int64_t i) {
    int64_t type = HORA_SPM_NORMAL;
    if (v->types)
        (void)hora_gguf_int(v->types, i, &type);
    return (int)type;
}

static char *token_at(const vocabulary *v, int64_t i) {
    size_t n = 0;
    const char *s = i >= 0 ? hora_gguf_text(v->tokens, i, &n) : NULL;
    return s ? hora_strndup(s, n) : NULL;
}

/* --- SentencePiece ---------------------------------------------------------------------------- */
static hora_status add_piece(hora_tokenizer *t, hora_tok_spm *sp, const vocabulary *v, int64_t i) {
    size_t n = 0, bad;
    double score = 0;
    const char *s = hora_gguf_text(v->tokens, i, &n);
    if (!n || !hora_utf8_valid(s, n, &bad))
        return hora_fail(HORA_EFORMAT, "token %lld is empty or not UTF-8; the file is damaged",
                         (long long)i);
    (void)hora_gguf_float(v->scores, i, &score);
    const hora_tok_spm_piece k = {(float)score, type_of(v, i)};
    if (!(k.score == k.score) || k.type < HORA_SPM_NORMAL || k.type > HORA_SPM_BYTE ||
        (k.type == HORA_SPM_BYTE && hora_tok_byte_token(s, n) < 0))
        return hora_fail(HORA_EFORMAT,
                         "token %lld has no usable score or type; the file is damaged",
                         (long long)i);
    HORA_PUSH(sp->piece, sp->n, sp->cap, k);
    return hora_tok_add(t, s, n, i, INT32_MAX, HORA_TOK_MODEL);
}

static hora_status load_spm(hora_tokenizer *t, const vocabulary *v, const hora_json *config) {
    hora_tok_spm sp = {.model_type = 2,
                       .unk = v->unk < 0 ? 0 : v->unk,
                       .bos = v->bos,
                       .eos = v->eos,
                       .pad = v->pad,
                       .byte_fallback = true,
                       .escape = true};
    hora_status s = HORA_OK;
    if (!v->scores)
        return hora_fail(HORA_EFORMAT, "tokenizer.ggml.scores is missing; convert the model again");
    t->model = &hora_tok_bpe;
    HORA_TRY(flag(v->g, "tokenizer.ggml.add_space_prefix", true, &sp.dummy_prefix));
    for (int64_t i = 0; i < v->n && s == HORA_OK; i++)
        s = add_piece(t, &sp, v, i);
    if (s == HORA_OK)
        s = hora_tok_spm_build(t, &sp, config);
    hora_free(sp.piece);
    if (s == HORA_OK)
        hora_tok_finish(t);
    return s;
}

/* --- byte-level BPE --------------------------------------------------------------------------- */
static hora_json *added_token(const char *content, int64_t id, bool special) {
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "id", hora_json_new_int(id));
    hora_json_set(o, "content", hora_json_new_string(content));
    hora_json_set(o, "special", hora_json_new_bool(special));
    hora_json_set(o, "normalized", hora_json_new_bool(false));
    return o;
}

/* Control and user-defined tokens stand beside the vocabulary, unused ones nowhere. */
static void put_tokens(const vocabulary *v, hora_json *root, hora_json *model) {
    hora_json *vocab = hora_json_set(model, "vocab", hora_json_new_object());
    hora_json *added = hora_json_set(root, "added_tokens", hora_json_new_array());
    for (int64_t i = 0; i < v->n; i++) {
        const int type = type_of(v, i);
        char *text = token_at(v, i);
        if (type == HORA_SPM_CONTROL || type == HORA_SPM_USER)
            hora_json_push(added, added_token(text, i, type == HORA_SPM_CONTROL));
        else if (type != HORA_SPM_UNUSED)
            hora_json_set(vocab, text, hora_json_new_int(i));
        hora_free(text);
    }
}

static hora_status put_merges(const vocabulary *v, hora_json *model) {
    const hora_gguf_value *m = hora_gguf_get(v->g, "tokenizer.ggml.merges");
    hora_json *list = hora_json_set(model, "merges", hora_json_new_array());
    if (!m || !m->array || m->type != HORA_GGUF_STRING)
        return hora_fail(HORA_EFORMAT, "tokenizer.ggml.merges is missing; convert the model again");
    for (int64_t i = 0; i < m->n; i++) {
        size_t n = 0;
        const char *s = hora_gguf_text(m, i, &n);
        char *text = hora_strndup(s, n);
        hora_json_push(list, hora_json_new_string(text));
        hora_free(text);
    }
    return HORA_OK;
}

static void put_template(const vocabulary *v, hora_json *root) {
    char *bos = v->add_bos ? token_at(v, v->bos) : NULL;
    char *eos = v->add_eos ? token_at(v, v->eos) : NULL;
    hora_json_set(root, "post_processor", hora_tok_template(bos, v->bos, eos, v->eos));
    hora_free(bos);
    hora_free(eos);
}

static hora_status put_pipeline(hora_json *root, size_t row) {
    hora_json *pre, *decoder;
    HORA_TRY(hora_json_parse(&pre, pipelines[row].pre_tokenizer,
                             strlen(pipelines[row].pre_tokenizer), "built-in pre-tokenizer"));
    hora_json_set(root, "pre_tokenizer", pre);
    HORA_TRY(hora_json_parse(&decoder, BYTES("true"), strlen(BYTES("true")), "built-in decoder"));
    hora_json_set(root, "decoder", decoder);
    if (pipelines[row].normalizer) {
        hora_json *o = hora_json_set(root, "normalizer", hora_json_new_object());
        hora_json_set(o, "type", hora_json_new_string(pipelines[row].normalizer));
    }
    return HORA_OK;
}

static hora_status find_pipeline(const vocabulary *v, size_t *row) {
    char *pre = NULL;
    HORA_TRY(hora_gguf_get_text(v->g, "tokenizer.ggml.pre", true, &pre));
    for (*row = 0; *row < HORA_COUNT(pipelines); ++*row)
        if (hora_eq(pipelines[*row].name, pre) || hora_has_word(pipelines[*row].also, pre))
            break;
    hora_status s = HORA_OK;
    if (*row == HORA_COUNT(pipelines))
        s = hora_fail(HORA_EUNSUPPORTED,
                      "pre-tokenizer `%.40s` is not known here; put the model's tokenizer.json "
                      "into a folder and name it with the safetensors model",
                      pre);
    hora_free(pre);
    return s;
}

static hora_status load_bpe(hora_tokenizer *t, const vocabulary *v, size_t row, const char *what) {
    hora_json *root = hora_json_new_object();
    hora_json *model = hora_json_set(root, "model", hora_json_new_object());
    hora_json_set(model, "type", hora_json_new_string("BPE"));
    hora_json_set(model, "ignore_merges", hora_json_new_bool(pipelines[row].ignore_merges));
    put_tokens(v, root, model);
    put_template(v, root);
    hora_status s = put_merges(v, model);
    if (s == HORA_OK)
        s = put_pipeline(root, row);
    if (s == HORA_OK)
        s = hora_tok_load_root(t, root, what);
    hora_json_free(root);
    return s;
}

/* --- opening ---------------------------------------------------------------------------------- */
/* What tokenizer_config.json would say. */
static hora_status config_of(const vocabulary *v, hora_json **out) {
    const struct {
        const char *name;
        int64_t id;
    } ids[] = {
        {"bos_token", v->bos}, {"eos_token", v->eos}, {"pad_token", v->pad}, {"unk_token", v->unk}};
    char *chat = NULL;
    HORA_TRY(hora_gguf_get_text(v->g, "tokenizer.chat_template", false, &chat));
    *out = hora_json_new_object();
    for (size_t i = 0; i < HORA_COUNT(ids); i++) {
        char *text = token_at(v, ids[i].id);
        if (text)
            hora_json_set(*out, ids[i].name, hora_json_new_string(text));
        hora_free(text);
    }
    if (chat)
        hora_json_set(*out, "chat_template", hora_json_new_string(chat));
    hora_json_set(*out, "add_bos_token", hora_json_new_bool(v->add_bos));
    hora_json_set(*out, "add_eos_token", hora_json_new_bool(v->add_eos));
    hora_free(chat);
    return HORA_OK;
}

static hora_status load(hora_tokenizer *t, const hora_gguf *g, const char *path) {
    vocabulary v = {0};
    char *model = NULL;
    hora_json *config = NULL;
    size_t row = HORA_COUNT(pipelines);
    hora_status s;
    HORA_TRY(read(&v, g));
    HORA_TRY(hora_gguf_get_text(g, "tokenizer.ggml.model", true, &model));
    const bool spm = hora_eq(model, "llama");
    if (!spm && !hora_eq(model, "gpt2"))
        s = hora_fail(HORA_EUNSUPPORTED,
                      "tokenizer `%.40s` is not read from GGUF; llama and gpt2 "
                      "are",
                      model);
    else
        s = spm ? HORA_OK : find_pipeline(&v, &row);
    hora_free(model);
    HORA_TRY(s);
    HORA_TRY(flag(g, "tokenizer.ggml.add_bos_token", spm || pipelines[row].bos, &v.add_bos));
    HORA_TRY(flag(g, "tokenizer.ggml.add_eos_token", false, &v.add_eos));
    HORA_TRY(config_of(&v, &config));
    s = spm ? load_spm(t, &v, config) : load_bpe(t, &v, row, path);
    if (s == HORA_OK)
        s = hora_tok_load_beside(t, path, config);
    hora_json_free(config);
    return s;
}

hora_status hora_tok_load_gguf(hora_tokenizer *t, const char *path) {
    hora_gguf *g = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_status s = load(t, g, path);
    hora_gguf_close(g);
    return s ? hora_context(s, "%s", path) : HORA_OK;
}
