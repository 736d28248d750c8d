/* Writing a vocabulary into a GGUF file. Tokens and special ids are those of the opened tokenizer;
 * merges, scores and the pre-tokenizer come from the files it was opened from. */
#include "token/gguf_vocab.h"

#include "base/file.h"
#include "token/tokenizer_impl.h"

typedef struct writer {
    hora_gguf_out *o;
    const hora_tokenizer *t;
    const char *model;
    int64_t rows;
    hora_json *json; /* tokenizer.json; NULL */
    bool spm;
} writer;

/* --- what kind it is -------------------------------------------------------------------------- */
static bool has_part(const hora_json *o, const char *list, const char *type) {
    if (hora_eq(hora_json_string(hora_json_get(o, "type"), NULL), type))
        return true;
    const hora_json *parts = hora_json_get(o, list);
    for (size_t i = 0; i < hora_json_len(parts); i++)
        if (has_part(hora_json_at(parts, i), list, type))
            return true;
    return false;
}

/* Pieces of bytes are told by the pre-tokenizer, pieces of text with bytes as a last resort by the
 * model. */
static hora_status find_kind(writer *w) {
    const hora_json *model = hora_json_get(w->json, "model");
    bool fallback = false;
    if (w->t->model != &hora_tok_bpe)
        return hora_fail(HORA_EUNSUPPORTED, "%s: a tokenizer of type %s is not written to GGUF",
                         w->model, w->t->model->type);
    hora_json_bool(hora_json_get(model, "byte_fallback"), &fallback);
    w->spm = !w->json || fallback;
    if (!w->spm && !has_part(hora_json_get(w->json, "pre_tokenizer"), "pretokenizers", "ByteLevel"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: a BPE tokenizer without byte fallback and bytes is not written to "
                         "GGUF",
                         w->model);
    return HORA_OK;
}

/* --- lists ------------------------------------------------------------------------------------ */
static int type_of(const writer *w, int32_t id) {
    const hora_tokenizer *t = w->t;
    const char *s = hora_tokenizer_token(t, id);
    const size_t n = s ? strlen(s) : 0;
    const char *unk = hora_json_string(hora_json_get(t->special_map, "unk_token"), NULL);
    if (!s)
        return HORA_SPM_UNUSED;
    if (w->spm && hora_eq(s, unk))
        return HORA_SPM_UNKNOWN;
    if (hora_tokenizer_is_special(t, id))
        return HORA_SPM_CONTROL;
    if (t->token[id].flags & HORA_TOK_ADDED) /* as the converter has it, whatever the file says */
        return n > 4 && !strncmp(s, "<|", 2) && !strcmp(s + n - 2, "|>") ? HORA_SPM_CONTROL
                                                                         : HORA_SPM_USER;
    return w->spm && hora_tok_byte_token(s, n) >= 0 ? HORA_SPM_BYTE : HORA_SPM_NORMAL;
}

static void put_tokens(const writer *w) {
    hora_str *text = hora_calloc((size_t)w->rows, sizeof *text);
    int32_t *type = hora_calloc((size_t)w->rows, sizeof *type);
    for (int32_t i = 0; i < (int32_t)w->rows; i++) {
        const char *s = i < hora_tokenizer_size(w->t) ? hora_tokenizer_token(w->t, i) : NULL;
        type[i] = s ? type_of(w, i) : HORA_SPM_UNUSED;
        if (s)
            hora_str_puts(&text[i], s);
        else
            hora_str_printf(&text[i], "[PAD%d]", (int)i);
    }
    hora_gguf_put_texts(w->o, "tokenizer.ggml.tokens", text, w->rows);
    hora_gguf_put_ints(w->o, "tokenizer.ggml.token_type", type, w->rows);
    for (int64_t i = 0; i < w->rows; i++)
        hora_str_release(&text[i]);
    hora_free(text);
    hora_free(type);
}

/* A merge is "a b" or ["a", "b"]; both written as the former. */
static void merge_text(const hora_json *m, hora_str *out, hora_str *joined) {
    size_t n = 0;
    const char *s = hora_json_string(m, &n);
    out->n = joined->n = 0;
    if (s) {
        const char *space = memchr(s, ' ', n);
        hora_str_add(out, s, n);
        hora_str_add(joined, s, space ? (size_t)(space - s) : n);
        if (space)
            hora_str_add(joined, space + 1, n - (size_t)(space + 1 - s));
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        s = hora_json_string(hora_json_at(m, i), &n);
        if (i)
            hora_str_putc(out, ' ');
        hora_str_add(out, s ? s : "", n);
        hora_str_add(joined, s ? s : "", n);
    }
}

static void put_merges(const writer *w) {
    const hora_json *list = hora_json_get(hora_json_get(w->json, "model"), "merges");
    const size_t n = hora_json_len(list);
    hora_str *text = hora_calloc(n + 1, sizeof *text), joined = {0};
    for (size_t i = 0; i < n; i++)
        merge_text(hora_json_at(list, i), &text[i], &joined);
    hora_gguf_put_texts(w->o, "tokenizer.ggml.merges", text, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        hora_str_release(&text[i]);
    hora_str_release(&joined);
    hora_free(text);
}

/* Minus the rank of the first merge that makes a piece; pieces that none makes come last. */
static void scores_of_merges(const writer *w, float *score) {
    const hora_json *list = hora_json_get(hora_json_get(w->json, "model"), "merges");
    const size_t n = hora_json_len(list);
    hora_str text = {0}, joined = {0};
    for (int32_t i = 0; i < (int32_t)w->rows; i++)
        score[i] = type_of(w, i) == HORA_SPM_NORMAL ? -(float)n : 0;
    for (size_t i = n; i-- > 0;) { /* the first one stays */
        merge_text(hora_json_at(list, i), &text, &joined);
        const int32_t id = hora_tok_find(w->t, &w->t->vocab, joined.s, joined.n);
        if (id >= 0 && id < w->rows && type_of(w, id) == HORA_SPM_NORMAL)
            score[id] = -(float)i;
    }
    hora_str_release(&text);
    hora_str_release(&joined);
}

static hora_status put_scores(const writer *w) {
    float *score = hora_calloc((size_t)w->rows, sizeof *score);
    char *path = hora_path_join(w->model, "tokenizer.model");
    hora_status s = HORA_OK;
    if (hora_path_exists(path))
        s = hora_tok_spm_scores(path, score, w->rows);
    else
        scores_of_merges(w, score);
    if (s == HORA_OK)
        hora_gguf_put_floats(w->o, "tokenizer.ggml.scores", score, w->rows);
    hora_free(score);
    hora_free(path);
    return s;
}

/* --- ids -------------------------------------------------------------------------------------- */
static void put_id(const writer *w, const char *key, const char *name) {
    const char *s = hora_json_string(hora_json_get(w->t->special_map, name), NULL);
    const int32_t id = s ? hora_tokenizer_id(w->t, s) : -1;
    if (id >= 0)
        hora_gguf_put_int(w->o, key, HORA_GGUF_U32, id);
}

static hora_status put_specials(const writer *w) {
    hora_ids around = {0};
    const int32_t bos = hora_tokenizer_bos(w->t), eos = hora_tokenizer_eos(w->t);
    HORA_TRY(hora_tokenizer_encode(w->t, "", 0, true, &around));
    const bool first = around.n && bos >= 0 && around.at[0] == bos;
    const bool last = around.n > (size_t)first && eos >= 0 && around.at[around.n - 1] == eos;
    const bool more = around.n > (size_t)first + (size_t)last;
    hora_ids_release(&around);
    if (more)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: the tokenizer puts more around a text than its bos and eos, which "
                         "GGUF cannot say",
                         w->model);
    put_id(w, "tokenizer.ggml.bos_token_id", "bos_token");
    put_id(w, "tokenizer.ggml.eos_token_id", "eos_token");
    if (w->spm)
        put_id(w, "tokenizer.ggml.unknown_token_id", "unk_token");
    put_id(w, "tokenizer.ggml.padding_token_id", "pad_token");
    hora_gguf_put_bool(w->o, "tokenizer.ggml.add_bos_token", first);
    if (w->spm || last)
        hora_gguf_put_bool(w->o, "tokenizer.ggml.add_eos_token", last);
    if (first)
        hora_gguf_put_bool(w->o, "tokenizer.ggml.add_sep_token", false);
    const char *chat = hora_tokenizer_chat_template(w->t);
    if (chat)
        hora_gguf_put_text(w->o, "tokenizer.chat_template", chat);
    return HORA_OK;
}

/* A space in front of the text: a normalizer that prepends one, or Metaspace that does. */
static hora_status adds_space(const writer *w, bool *yes) {
    hora_ids with = {0};
    *yes = true;
    if (!w->json)
        return HORA_OK;
    const hora_status s = hora_tokenizer_encode(w->t, "a", 1, false, &with);
    const char *first = with.n ? hora_tokenizer_token(w->t, with.at[0]) : NULL;
    if (with.n)
        *yes = first && !strncmp(first, "\xe2\x96\x81", 3);
    hora_ids_release(&with);
    return s;
}

static hora_status put_all(const writer *w) {
    const char *pre = "default";
    bool space = true;
    if (w->spm)
        HORA_TRY(adds_space(w, &space));
    else
        HORA_TRY(hora_gguf_pre_tokenizer(w->json, &pre));
    if (!pre)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: llama.cpp knows pre-tokenizers by name, and this tokenizer.json has "
                         "none that hora knows; write the adapter with --to gguf-lora for a GGUF "
                         "that llama.cpp's converter made",
                         w->model);
    hora_gguf_put_text(w->o, "tokenizer.ggml.model", w->spm ? "llama" : "gpt2");
    hora_gguf_put_text(w->o, "tokenizer.ggml.pre", pre);
    put_tokens(w);
    if (w->spm)
        HORA_TRY(put_scores(w));
    else
        put_merges(w);
    if (!space)
        hora_gguf_put_bool(w->o, "tokenizer.ggml.add_space_prefix", false);
    return put_specials(w);
}

/* The keys of a GGUF file as they are. */
static hora_status copy_keys(hora_gguf_out *o, const char *path) {
    hora_gguf *g = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    for (int i = 0; i < hora_gguf_keys(g); i++)
        if (!strncmp(hora_gguf_key_at(g, i)->key, "tokenizer.", 10))
            hora_gguf_put_value(o, hora_gguf_key_at(g, i));
    hora_gguf_close(g);
    return HORA_OK;
}

hora_status hora_gguf_put_vocabulary(hora_gguf_out *o, const hora_tokenizer *t, const char *model,
                                     int64_t rows) {
    writer w = {.o = o, .t = t, .model = model, .rows = rows};
    if (hora_gguf_is(model))
        return copy_keys(o, model);
    if (rows < hora_tokenizer_size(t))
        return hora_fail(HORA_EMISMATCH, "%s: the tokenizer has %d tokens, the embedding %lld rows",
                         model, (int)hora_tokenizer_size(t), (long long)rows);
    HORA_TRY(hora_json_load_beside(&w.json, model, "tokenizer.json"));
    hora_status s = find_kind(&w);
    if (s == HORA_OK)
        s = put_all(&w);
    hora_json_free(w.json);
    return s;
}
