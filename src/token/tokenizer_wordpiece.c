/*
 * WordPiece: the longest spelling of the vocabulary that a word begins with, then the longest that
 * goes on with it (with the prefix "##"), to the end; a word that cannot be finished, or is too
 * long, is the unknown token alone. Also vocab.txt by itself, as older BERTs come, and what
 * tokenizer_config.json says against tokenizer.json for the classes of BERT.
 *
 * Source: Schuster and Nakajima 2012; details are those of Hugging Face's tokenizers and of
 * transformers (tokenization_bert_fast.py).
 */
#include "base/file.h"
#include "base/log.h"
#include "token/tokenizer_impl.h"

typedef struct wordpiece {
    int32_t unk;
    int64_t most;   /* characters of a word */
    size_t longest; /* bytes of the longest spelling */
    hora_str prefix;
} wordpiece;

static void release(void *state) {
    wordpiece *m = state;
    if (!m)
        return;
    hora_str_release(&m->prefix);
    hora_free(m);
}

/* --- encoding --------------------------------------------------------------------------------- */
static bool too_long(const wordpiece *m, const char *s, size_t n) {
    int64_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += ((unsigned char)s[i] & 0xc0) != 0x80;
    return chars > m->most;
}

/* The longest piece that s[from..n) begins with; its end in *to. -1: none. */
static int32_t longest_from(const hora_tokenizer *t, const wordpiece *m, hora_str *spelling,
                            const char *s, size_t n, size_t from, size_t *to) {
    const size_t front = from ? m->prefix.n : 0;
    *to = n - from > m->longest ? from + m->longest : n;
    while (*to<n && * to> from && ((unsigned char)s[*to] & 0xc0) == 0x80)
        --*to;
    spelling->n = 0;
    hora_tok_str_add(spelling, m->prefix.s, front);
    hora_tok_str_add(spelling, s + from, *to - from);
    while (*to > from) {
        int32_t id = hora_tok_find(t, &t->vocab, spelling->s, front + *to - from);
        if (id >= 0)
            return id;
        do
            --*to;
        while (*to > from && ((unsigned char)s[*to] & 0xc0) == 0x80);
    }
    return -1;
}

static hora_status encode(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                          hora_ids *out) {
    const wordpiece *m = t->state;
    const size_t had = out->n;
    bool known = !too_long(m, s, n);
    for (size_t from = 0, to; known && from < n; from = to) {
        int32_t id = longest_from(t, m, &w->spelling, s, n, from, &to);
        known = id >= 0;
        if (!known)
            break;
        hora_ids_push(out, id);
        if (w->track)
            hora_ids_push(&w->start, (int32_t)from);
    }
    if (known)
        return HORA_OK;
    out->n = had;
    hora_ids_push(out, m->unk);
    if (w->track) {
        w->start.n = 0;
        hora_ids_push(&w->start, 0);
    }
    return HORA_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */
static hora_status settle(hora_tokenizer *t, wordpiece *m, const char *unk) {
    m->unk = hora_tok_find(t, &t->vocab, unk, strlen(unk));
    if (m->unk < 0)
        return hora_fail(HORA_EFORMAT,
                         "the unknown token \"%.40s\" is not in the vocabulary; add it, or correct "
                         "\"unk_token\"",
                         unk);
    for (size_t i = 0; i < t->size; i++)
        m->longest = t->token[i].n > m->longest ? t->token[i].n : m->longest;
    return HORA_OK;
}

static hora_status load(hora_tokenizer *t, const hora_json *o) {
    const char *unk, *prefix;
    wordpiece *m = hora_calloc(1, sizeof *m);
    t->state = m; /* first, so that a failure releases it */
    HORA_TRY(hora_tok_vocab_load(t, o));
    HORA_TRY(hora_json_get_string(o, "unk_token", "[UNK]", &unk));
    HORA_TRY(hora_json_get_string(o, "continuing_subword_prefix", "##", &prefix));
    HORA_TRY(hora_json_get_int(o, "max_input_chars_per_word", 100, &m->most));
    hora_str_puts(&m->prefix, prefix);
    return settle(t, m, unk);
}

const hora_tok_model hora_tok_wordpiece = {
    .type = "WordPiece", .load = load, .encode = encode, .free = release};

/* --- words as a whole ------------------------------------------------------------------------- */
static hora_status encode_word(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                               hora_ids *out) {
    int32_t id = hora_tok_find(t, &t->vocab, s, n);
    hora_ids_push(out, id >= 0 ? id : ((const wordpiece *)t->state)->unk);
    if (w->track)
        hora_ids_push(&w->start, 0);
    return HORA_OK;
}

const hora_tok_model hora_tok_wordlevel = {
    .type = "WordLevel", .load = load, .encode = encode_word, .free = release};

/* --- vocab.txt -------------------------------------------------------------------------------- */
static const struct special {
    const char *key, *def;
    bool must;
} specials[] = {{"unk_token", "[UNK]", true},
                {"sep_token", "[SEP]", true},
                {"pad_token", "[PAD]", false},
                {"cls_token", "[CLS]", true},
                {"mask_token", "[MASK]", false}};
enum { UNK, SEP, PAD, CLS };

/* A token named in tokenizer_config.json, as a string or as an object. */
static const char *named(const hora_json *config, const struct special *k) {
    const hora_json *v = hora_json_get(config, k->key);
    const char *s = hora_json_string(v, NULL);
    s = s ? s : hora_json_string(hora_json_get(v, "content"), NULL);
    return s ? s : k->def;
}

/* A line each; of two equal lines the last counts, as in a dictionary that is filled in order. */
static hora_status read_lines(hora_tokenizer *t, const char *s, size_t n) {
    struct {
        size_t *at, n, cap;
    } line = {0};
    hora_status st = HORA_OK;
    for (size_t i = 0; i < n; i++) {
        HORA_PUSH(line.at, line.n, line.cap, i);
        const char *nl = memchr(s + i, '\n', n - i);
        i = nl ? (size_t)(nl - s) : n;
    }
    for (size_t k = line.n; k-- > 0 && !st;) {
        size_t b = line.at[k], e = k + 1 < line.n ? line.at[k + 1] - 1 : n, bad;
        while (e > b && (s[e - 1] == '\n' || s[e - 1] == '\r'))
            e--;
        if (!hora_utf8_valid(s + b, e - b, &bad))
            st = hora_fail(HORA_EFORMAT, "line %zu is not UTF-8; fetch the file again", k + 1);
        else if (hora_tok_find(t, &t->vocab, s + b, e - b) < 0)
            st = hora_tok_add(t, s + b, e - b, (int64_t)k, INT32_MAX, HORA_TOK_MODEL);
    }
    hora_free(line.at);
    return st;
}

static hora_status add_special(hora_tokenizer *t, const char *s, bool must, const char *key) {
    const size_t n = strlen(s);
    const int32_t id = hora_tok_find(t, &t->vocab, s, n);
    if (id < 0 && must)
        return hora_fail(HORA_EFORMAT,
                         "%s \"%.40s\" is no line of it; correct the name in "
                         "tokenizer_config.json, or fetch the vocabulary again",
                         key, s);
    if (id < 0 || hora_tok_find(t, &t->extra, s, n) >= 0)
        return HORA_OK;
    HORA_TRY(hora_tok_add(t, s, n, id, INT32_MAX, HORA_TOK_ADDED | HORA_TOK_SPECIAL));
    return hora_tok_add_matcher(t, (hora_tok_added){.id = id});
}

/* The parts around the model, in tokenizer.json's form. */
static hora_json *parts_of(const hora_tokenizer *t, const hora_json *config) {
    static const char text[] =
        "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": "
        "\"BertPreTokenizer\"}, \"post_processor\": {\"type\": \"BertProcessing\"}, \"decoder\": "
        "{\"type\": \"WordPiece\", \"prefix\": \"##\"}}";
    hora_json *root;
    if (hora_json_parse(&root, text, sizeof text - 1, "built-in pipeline of BERT"))
        HORA_BUG("the pipeline of BERT is no JSON");
    hora_json *post = (hora_json *)hora_json_get(root, "post_processor");
    for (int i = SEP; i <= CLS; i += CLS - SEP) {
        const char *s = named(config, &specials[i]);
        hora_json *pair = hora_json_set(post, i == SEP ? "sep" : "cls", hora_json_new_array());
        hora_json_push(pair, hora_json_new_string(s));
        hora_json_push(pair, hora_json_new_int(hora_tok_find(t, &t->vocab, s, strlen(s))));
    }
    return root;
}

static hora_status build(hora_tokenizer *t, const char *text, size_t n, const hora_json *config) {
    wordpiece *m = hora_calloc(1, sizeof *m);
    t->model = &hora_tok_wordpiece;
    t->state = m;
    m->most = 100;
    hora_str_puts(&m->prefix, "##");
    HORA_TRY(read_lines(t, text, n));
    HORA_TRY(settle(t, m, named(config, &specials[UNK])));
    for (size_t i = 0; i < HORA_COUNT(specials); i++) {
        const char *s = named(config, &specials[i]);
        if (specials[i].must && hora_tok_find(t, &t->vocab, s, strlen(s)) < 0)
            return add_special(t, s, true, specials[i].key);
    }
    hora_json *parts = parts_of(t, config);
    hora_status st = hora_tok_load_parts(t, parts);
    hora_json_free(parts);
    for (size_t i = 0; i < HORA_COUNT(specials) && !st; i++) {
        const char *s = named(config, &specials[i]);
        st = add_special(t, s, specials[i].must, specials[i].key);
        if (!st && hora_tok_find(t, &t->vocab, s, strlen(s)) >= 0)
            hora_json_set(t->special_map, specials[i].key, hora_json_new_string(s));
    }
    return st;
}

hora_status hora_tok_load_vocab_txt(hora_tokenizer *t, const char *text, size_t n,
                                    const hora_json *config, const char *what) {
    hora_status st =
        n ? build(t, text, n, config) : hora_fail(HORA_EFORMAT, "is empty; fetch the file again");
    if (st != HORA_OK)
        return hora_context(st, "%s", what);
    hora_tok_finish(t);
    return HORA_OK;
}

/* --- tokenizer_config.json against tokenizer.json --------------------------------------------- */
/* Classes of transformers whose constructor rewrites the normalizer, and the models that have them
 * where no class is named. */
static const char *const classes[] = {"Bert",     "DistilBert",  "Electra",   "MobileBert",
                                      "ConvBert", "SqueezeBert", "Funnel",    "Lxmert",
                                      "LayoutLM", "MPNet",       "RetriBert", "Splinter"};
static const char *const models[] = {"bert",     "distilbert",  "electra",   "mobilebert",
                                     "convbert", "squeezebert", "funnel",    "lxmert",
                                     "layoutlm", "mpnet",       "retribert", "visual_bert"};

static bool is_class(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(classes); i++) {
        const size_t n = strlen(classes[i]);
        if (hora_starts(name, classes[i]) &&
            (hora_eq(name + n, "Tokenizer") || hora_eq(name + n, "TokenizerFast")))
            return true;
    }
    return false;
}

bool hora_tok_is_bert(const hora_json *config, const hora_json *model) {
    const char *name = hora_json_string(hora_json_get(config, "tokenizer_class"), NULL);
    const char *type = hora_json_string(hora_json_get(model, "model_type"), NULL);
    if (name)
        return is_class(name);
    for (size_t i = 0; type && i < HORA_COUNT(models); i++)
        if (hora_eq(type, models[i]))
            return true;
    return false;
}

hora_status hora_tok_bert_config(hora_tokenizer *t, const hora_json *config) {
    hora_tok_part said = {0}, *has = NULL;
    for (size_t i = 0; i < t->normalizers.n; i++)
        if (hora_eq(t->normalizers.at[i].row->type, "BertNormalizer"))
            has = &t->normalizers.at[i];
    if (!has || t->normalizers.n != 1)
        return HORA_OK;
    HORA_TRY(hora_json_get_bool(config, "do_lower_case", true, &said.lower));
    HORA_TRY(hora_json_get_bool(config, "tokenize_chinese_chars", true, &said.han));
    HORA_TRY(hora_json_get_bool(config, "strip_accents", said.lower, &said.accents));
    if (said.lower == has->lower && said.han == has->han && said.accents == has->accents)
        return HORA_OK;
    if (t->said_twice)
        hora_warn("tokenizer_config.json asks for do_lower_case=%s strip_accents=%s "
                  "tokenize_chinese_chars=%s, tokenizer.json for another normalization; the former "
                  "wins, as in transformers",
                  said.lower ? "true" : "false", said.accents ? "true" : "false",
                  said.han ? "true" : "false");
    has->lower = said.lower;
    has->accents = said.accents;
    has->han = said.han;
    return HORA_OK;
}
