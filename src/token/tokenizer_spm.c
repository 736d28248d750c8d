/*
 * tokenizer.model: SentencePiece's ModelProto, a protocol buffer, read by hand. Only what a BPE
 * model of the LLaMA kind needs; anything that would change ids and is not handled is refused.
 *
 *   ModelProto     1 pieces*  2 trainer_spec  3 normalizer_spec
 *   SentencePiece  1 piece (string)  2 score (float)  3 type (1 normal 2 unknown 3 control
 *                  4 user-defined 5 unused 6 byte)
 *   TrainerSpec    3 model_type (1 unigram 2 BPE)  24 treat_whitespace_as_suffix
 *                  35 byte_fallback  40 unk_id 41 bos_id 42 eos_id 43 pad_id
 *   NormalizerSpec 2 precompiled_charsmap  3 add_dummy_prefix  4 remove_extra_whitespaces
 *                  5 escape_whitespaces
 *
 * Merges follow from the scores: two neighbours join when the result is a piece, the highest score
 * first, equal scores from left to right (sentencepiece/src/bpe_model.cc,
 * sentencepiece_model.proto). Control symbols and unk spelled out in the text become their ids, as
 * Hugging Face's converted tokenizers have it. Every length is checked against the bytes that are
 * left.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "token/tokenizer_impl.h"

typedef struct field {
    uint32_t number;
    int wire; /* 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t value;
    const unsigned char *data; /* wire 2 */
    size_t n;
} field;
typedef struct stream {
    const unsigned char *p, *end;
} stream;

typedef hora_tok_spm spec;

static hora_status damaged(const char *what) {
    return hora_fail(HORA_EFORMAT,
                     "not a whole SentencePiece model (%s); fetch tokenizer.model again or use "
                     "tokenizer.json",
                     what);
}

static bool varint(stream *s, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && s->p < s->end; shift += 7) {
        unsigned char b = *s->p++;
        *out |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

/* HORA_DONE at the end of the message. */
static hora_status next_field(stream *s, field *f) {
    uint64_t key;
    memset(f, 0, sizeof *f);
    if (s->p == s->end)
        return HORA_DONE;
    if (!varint(s, &key) || key >> 3 == 0 || key >> 3 > 1u << 29)
        return damaged("a broken field number");
    f->number = (uint32_t)(key >> 3);
    f->wire = (int)(key & 7);
    size_t left = (size_t)(s->end - s->p);
    if (f->wire == 0)
        return varint(s, &f->value) ? HORA_OK : damaged("a broken integer");
    if (f->wire == 2) {
        if (!varint(s, &f->value) || f->value > (uint64_t)(s->end - s->p))
            return damaged("a length beyond the end");
        f->n = (size_t)f->value;
    } else if (f->wire == 1 || f->wire == 5) {
        f->n = f->wire == 1 ? 8 : 4;
        if (left < f->n)
            return damaged("it ends too early");
        for (size_t i = 0; i < f->n; i++)
            f->value |= (uint64_t)s->p[i] << (8 * i);
    } else {
        return damaged("an unknown wire type");
    }
    f->data = s->p;
    s->p += f->n;
    return HORA_OK;
}

static hora_status read_piece(hora_tokenizer *t, spec *sp, const field *message) {
    stream s = {message->data, message->data + message->n};
    const char *text = "";
    size_t n = 0, bad;
    hora_tok_spm_piece k = {.type = HORA_SPM_NORMAL};
    field f;
    hora_status st;
    while ((st = next_field(&s, &f)) == HORA_OK) {
        if (f.number == 1 && f.wire == 2) {
            text = (const char *)f.data;
            n = f.n;
        } else if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&k.score, &bits, sizeof bits);
        } else if (f.number == 3 && f.wire == 0) {
            k.type = f.value <= HORA_SPM_BYTE ? (int)f.value : 0;
        }
    }
    if (st != HORA_DONE)
        return st;
    if (n == 0 || !hora_utf8_valid(text, n, &bad) || isnan(k.score) || k.type < HORA_SPM_NORMAL ||
        k.type > HORA_SPM_BYTE)
        return damaged("a piece without text, score or type");
    if (k.type == HORA_SPM_BYTE && hora_tok_byte_token(text, n) < 0)
        return damaged("a byte piece that is not spelled <0xNN>");
    int64_t id = (int64_t)sp->n;
    HORA_PUSH(sp->piece, sp->n, sp->cap, k);
    return hora_tok_add(t, text, n, id, INT32_MAX, HORA_TOK_MODEL);
}

static hora_status read_trainer(spec *sp, const field *message) {
    stream s = {message->data, message->data + message->n};
    field f;
    hora_status st;
    while ((st = next_field(&s, &f)) == HORA_OK) {
        if (f.wire != 0)
            continue;
        /* negative ids (-1: none) come as ten-byte varints; only the low 32 bits count */
        int32_t v = (int32_t)(uint32_t)f.value;
        switch (f.number) {
        case 3:
            sp->model_type = v;
            break;
        case 24:
            sp->suffix = v != 0;
            break;
        case 35:
            sp->byte_fallback = v != 0;
            break;
        case 40:
            sp->unk = v;
            break;
        case 41:
            sp->bos = v;
            break;
        case 42:
            sp->eos = v;
            break;
        case 43:
            sp->pad = v;
            break;
        default:
            break;
        }
    }
    return st == HORA_DONE ? HORA_OK : st;
}

static hora_status read_normalizer(spec *sp, const field *message) {
    stream s = {message->data, message->data + message->n};
    field f;
    hora_status st;
    while ((st = next_field(&s, &f)) == HORA_OK) {
        if (f.number == 2 && f.wire == 2)
            sp->charsmap = f.n;
        else if (f.number == 3 && f.wire == 0)
            sp->dummy_prefix = f.value != 0;
        else if (f.number == 4 && f.wire == 0)
            sp->extra_spaces = f.value != 0;
        else if (f.number == 5 && f.wire == 0)
            sp->escape = f.value != 0;
    }
    return st == HORA_DONE ? HORA_OK : st;
}

static hora_status read_model(hora_tokenizer *t, spec *sp, const char *data, size_t n) {
    stream s = {(const unsigned char *)data, (const unsigned char *)data + n};
    field f;
    hora_status st;
    while ((st = next_field(&s, &f)) == HORA_OK) {
        if (f.wire != 2)
            continue;
        if (f.number == 1)
            HORA_TRY(read_piece(t, sp, &f));
        else if (f.number == 2)
            HORA_TRY(read_trainer(sp, &f));
        else if (f.number == 3)
            HORA_TRY(read_normalizer(sp, &f));
    }
    return st == HORA_DONE ? HORA_OK : st;
}

static hora_status check(const spec *sp) {
    const char *no = NULL;
    if (!sp->n)
        return damaged("it has no pieces");
    if (sp->model_type != 2)
        no = sp->model_type == 1 ? "a Unigram model" : "a model that is not BPE";
    else if (sp->charsmap)
        no = "a character map (precompiled_charsmap)";
    else if (sp->extra_spaces)
        no = "remove_extra_whitespaces";
    else if (sp->suffix)
        no = "treat_whitespace_as_suffix";
    else if (!sp->escape)
        no = "escape_whitespaces off";
    if (no)
        return hora_fail(HORA_EUNSUPPORTED,
                         "SentencePiece with %s is not read from tokenizer.model; convert it to "
                         "tokenizer.json",
                         no);
    if (sp->unk < 0 || sp->unk >= (int64_t)sp->n || sp->piece[sp->unk].type != HORA_SPM_UNKNOWN)
        return damaged("unk_id is not the unknown piece");
    if (sp->bos >= (int64_t)sp->n || sp->eos >= (int64_t)sp->n || sp->pad >= (int64_t)sp->n)
        return damaged("bos_id, eos_id or pad_id is beyond the pieces");
    return HORA_OK;
}

/* --- merges from scores ----------------------------------------------------------------------- */
static int by_score(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y); /* highest first */
}

/* 0 for the highest score; equal scores have equal ranks. */
static uint32_t rank_of(const float *sorted, size_t n, float score) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (sorted[mid] > score)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)lo;
}

static bool mergeable(const spec *sp, int32_t id) {
    return id >= 0 && sp->piece[id].type == HORA_SPM_NORMAL;
}

/* Every cut of every piece into two pieces. */
static size_t find_merges(const hora_tokenizer *t, const spec *sp, hora_tok_merge **out) {
    hora_tok_merge *at = NULL;
    size_t n = 0, cap = 0;
    float *sorted = hora_malloc(sp->n * sizeof *sorted);
    for (size_t i = 0; i < sp->n; i++)
        sorted[i] = sp->piece[i].score;
    qsort(sorted, sp->n, sizeof *sorted, by_score);
    for (int32_t id = 0; id < (int32_t)sp->n; id++) {
        const char *s = hora_tok_spelling(t, id);
        size_t len = t->token[id].n;
        if (!mergeable(sp, id))
            continue;
        for (size_t cut = 1; cut < len; cut++) {
            if (((unsigned char)s[cut] & 0xc0) == 0x80)
                continue;
            int32_t a = hora_tok_find(t, &t->vocab, s, cut);
            int32_t b = mergeable(sp, a) ? hora_tok_find(t, &t->vocab, s + cut, len - cut) : -1;
            if (!mergeable(sp, b))
                continue;
            hora_tok_merge m = {a, b, id, rank_of(sorted, sp->n, sp->piece[id].score)};
            HORA_PUSH(at, n, cap, m);
        }
    }
    hora_free(sorted);
    *out = at;
    return n;
}

/* --- the parts around the model --------------------------------------------------------------- */
static void push_special(hora_json *single, hora_json *table, const char *name, int64_t id) {
    hora_json *item = hora_json_push(single, hora_json_new_object());
    item = hora_json_set(item, "SpecialToken", hora_json_new_object());
    hora_json_set(item, "id", hora_json_new_string(name));
    hora_json *entry = hora_json_set(table, name, hora_json_new_object());
    hora_json_push(hora_json_set(entry, "ids", hora_json_new_array()), hora_json_new_int(id));
}

hora_json *hora_tok_template(const char *bos, int64_t bos_id, const char *eos, int64_t eos_id) {
    hora_json *post = hora_json_new_object();
    hora_json_set(post, "type", hora_json_new_string("TemplateProcessing"));
    hora_json *single = hora_json_set(post, "single", hora_json_new_array());
    hora_json *table = hora_json_set(post, "special_tokens", hora_json_new_object());
    if (bos)
        push_special(single, table, bos, bos_id);
    hora_json *item = hora_json_push(single, hora_json_new_object());
    item = hora_json_set(item, "Sequence", hora_json_new_object());
    hora_json_set(item, "id", hora_json_new_string("A"));
    if (eos)
        push_special(single, table, eos, eos_id);
    return post;
}

#define REPLACE_SPACE                                                                              \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}"
#define REPLACE_BACK                                                                               \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\\u2581\"}, \"content\": \" \"}, "        \
    "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}"
static const char with_prefix[] =
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", "
    "\"prepend\": \"\\u2581\"}, " REPLACE_SPACE "]}, \"decoder\": {\"type\": \"Sequence\", "
    "\"decoders\": [" REPLACE_BACK
    ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}}";
static const char without_prefix[] =
    "{\"normalizer\": " REPLACE_SPACE
    ", \"decoder\": {\"type\": \"Sequence\", \"decoders\": [" REPLACE_BACK "]}}";

static hora_status load_around(hora_tokenizer *t, const spec *sp, const hora_json *config) {
    bool bos, eos;
    HORA_TRY(hora_json_get_bool(config, "add_bos_token", true, &bos));
    HORA_TRY(hora_json_get_bool(config, "add_eos_token", false, &eos));
    const char *parts = sp->dummy_prefix ? with_prefix : without_prefix;
    hora_json *root;
    HORA_TRY(hora_json_parse(&root, parts, strlen(parts), "built-in SentencePiece pipeline"));
    hora_json_set(root, "post_processor",
                  hora_tok_template(
                      bos && sp->bos >= 0 ? hora_tok_spelling(t, (int32_t)sp->bos) : NULL, sp->bos,
                      eos && sp->eos >= 0 ? hora_tok_spelling(t, (int32_t)sp->eos) : NULL,
                      sp->eos));
    hora_status st = hora_tok_load_parts(t, root);
    hora_json_free(root);
    for (int32_t id = 0; st == HORA_OK && id < (int32_t)sp->n; id++) {
        int type = sp->piece[id].type;
        if (type != HORA_SPM_UNKNOWN && type != HORA_SPM_CONTROL && type != HORA_SPM_USER)
            continue;
        unsigned flags = type == HORA_SPM_USER ? HORA_TOK_ADDED : HORA_TOK_ADDED | HORA_TOK_SPECIAL;
        st = hora_tok_add(t, hora_tok_spelling(t, id), t->token[id].n, id, INT32_MAX, flags);
        if (st == HORA_OK)
            st = hora_tok_add_matcher(t, (hora_tok_added){.id = id});
    }
    return st;
}

static void name_special(hora_tokenizer *t, const char *key, int64_t id) {
    if (id >= 0 && id < (int64_t)t->size)
        hora_json_set(t->special_map, key, hora_json_new_string(hora_tok_spelling(t, (int32_t)id)));
}

hora_status hora_tok_spm_build(hora_tokenizer *t, const spec *sp, const hora_json *config) {
    HORA_TRY(check(sp));
    hora_tok_bpe_options o = {
        .unk = (int32_t)sp->unk, .fuse_unk = true, .byte_fallback = sp->byte_fallback};
    hora_tok_merge *merges;
    size_t n = find_merges(t, sp, &merges);
    hora_status st = hora_tok_bpe_init(t, &o, merges, n);
    hora_free(merges);
    if (st == HORA_OK)
        st = load_around(t, sp, config);
    name_special(t, "unk_token", sp->unk);
    name_special(t, "bos_token", sp->bos);
    name_special(t, "eos_token", sp->eos);
    name_special(t, "pad_token", sp->pad);
    return st;
}

hora_status hora_tok_load_sentencepiece(hora_tokenizer *t, const char *data, size_t n,
                                        const hora_json *config, const char *what) {
    spec sp = {.model_type = 1,
               .unk = 0,
               .bos = 1,
               .eos = 2,
               .pad = -1,
               .dummy_prefix = true,
               .extra_spaces = true,
               .escape = true};
    t->model = &hora_tok_bpe;
    hora_status st;
    HORA_TRY_OUT(st, read_model(t, &sp, data, n));
    HORA_TRY_OUT(st, hora_tok_spm_build(t, &sp, config));
    hora_tok_finish(t);
out:
    hora_free(sp.piece);
    return st == HORA_OK ? HORA_OK : hora_context(st, "%s", what);
}

hora_status hora_tok_spm_scores(const char *path, float *score, int64_t n) {
    hora_map map = {0};
    spec sp = {0};
    hora_status s;
    hora_tokenizer *t = hora_calloc(1, sizeof *t); /* pieces are added to it and let go */
    t->model = &hora_tok_bpe;
    HORA_TRY_OUT(s, hora_map_open(&map, path));
    HORA_TRY_OUT(s, read_model(t, &sp, (const char *)map.data, map.n));
    for (size_t i = 0; i < sp.n && (int64_t)i < n; i++)
        score[i] = sp.piece[i].score;
out:
    hora_map_release(&map);
    hora_free(sp.piece);
    hora_tokenizer_close(t);
    return s ? hora_context(s, "%s", path) : HORA_OK;
}
