/*
 * Reads tokenizer.json and what stands beside it: the parts of each stage through their tables of
 * rows, the model, the added tokens, then bos/eos/pad and the chat template from
 * tokenizer_config.json, special_tokens_map.json and chat_template.jinja. Truncation and padding
 * settings are not part of ids and are ignored, as transformers does.
 */
#include "base/file.h"
#include "token/tokenizer_impl.h"

void hora_tok_chain_release(hora_tok_chain *c) {
    for (size_t i = 0; i < c->n; i++) {
        hora_tok_part *p = &c->at[i];
        hora_tok_regex_free(p->regex);
        hora_str_release(&p->pattern);
        hora_str_release(&p->text);
        hora_ids_release(&p->ids);
        hora_ids_release(&p->types);
        hora_ids_release(&p->pair);
        hora_ids_release(&p->pair_types);
        hora_free(p->charsmap);
    }
    hora_free(c->at);
    memset(c, 0, sizeof *c);
}

static hora_status load_part(hora_tok_chain *c, const hora_tok_row *rows, size_t nrows,
                             const char *what, const char *type, const hora_json *o) {
    for (size_t i = 0; i < nrows; i++)
        if (hora_eq(rows[i].type, type)) {
            hora_tok_part p = {.row = &rows[i]};
            HORA_PUSH(c->at, c->n, c->cap, p); /* first, so that a failure releases it */
            return rows[i].load ? rows[i].load(&c->at[c->n - 1], o) : HORA_OK;
        }
    hora_str known = {0};
    for (size_t i = 0; i < nrows; i++)
        hora_str_printf(&known, " %s", rows[i].type);
    hora_status st = hora_fail(HORA_EUNSUPPORTED,
                               "%s \"%.40s\" is not supported (known:%s); use a tokenizer that "
                               "does without it",
                               what, type, known.s);
    hora_str_release(&known);
    return st;
}

/* Reads a part or a "Sequence" of parts (nested ones are flattened). NULL or null: none. `what` is
 * the stage's name in messages, `list` the key of the Sequence's array. */
static hora_status chain_load(hora_tok_chain *c, const hora_tok_row *rows, size_t nrows,
                              const char *what, const char *list, const hora_json *o, int depth) {
    if (hora_json_type(o) == HORA_JNULL)
        return HORA_OK;
    const char *type;
    HORA_TRY(hora_json_get_string(o, "type", NULL, &type));
    if (hora_json_type(o) != HORA_JOBJECT || !type)
        return hora_fail(HORA_EFORMAT, "a %s without \"type\"; fetch the file again", what);
    if (!hora_eq(type, "Sequence"))
        return load_part(c, rows, nrows, what, type, o);
    const hora_json *parts = hora_json_get(o, list);
    if (hora_json_type(parts) != HORA_JARRAY || depth > 16)
        return hora_fail(HORA_EFORMAT,
                         "%s Sequence without an array \"%s\" (or nested too "
                         "deeply); fetch the file again",
                         what, list);
    for (size_t i = 0; i < hora_json_len(parts); i++) {
        const hora_json *part = hora_json_at(parts, i);
        if (hora_json_type(part) == HORA_JNULL)
            return hora_fail(HORA_EFORMAT, "%s Sequence holds null; remove it", what);
        HORA_TRY(chain_load(c, rows, nrows, what, list, part, depth + 1));
    }
    return HORA_OK;
}

hora_status hora_tok_load_parts(hora_tokenizer *t, const hora_json *root) {
    HORA_TRY(chain_load(&t->normalizers, hora_tok_normalizers, hora_tok_n_normalizers, "normalizer",
                        "normalizers", hora_json_get(root, "normalizer"), 0));
    HORA_TRY(chain_load(&t->pretokenizers, hora_tok_pretokenizers, hora_tok_n_pretokenizers,
                        "pre-tokenizer", "pretokenizers", hora_json_get(root, "pre_tokenizer"), 0));
    HORA_TRY(chain_load(&t->postprocessors, hora_tok_postprocessors, hora_tok_n_postprocessors,
                        "post-processor", "processors", hora_json_get(root, "post_processor"), 0));
    t->joined = hora_json_type(hora_json_get(root, "decoder")) != HORA_JNULL;
    return chain_load(&t->decoders, hora_tok_decoders, hora_tok_n_decoders, "decoder", "decoders",
                      hora_json_get(root, "decoder"), 0);
}

/* Files of before 2021 have no "type"; the members tell. */
static const char *guess_model(const hora_json *model) {
    if (hora_json_get(model, "merges"))
        return "BPE";
    if (hora_json_type(hora_json_get(model, "vocab")) == HORA_JARRAY)
        return "Unigram";
    return hora_json_get(model, "max_input_chars_per_word") ? "WordPiece" : "WordLevel";
}

static const hora_tok_model *const models[] = {&hora_tok_bpe, &hora_tok_wordpiece,
                                               &hora_tok_wordlevel, &hora_tok_unigram};

static hora_status load_model(hora_tokenizer *t, const hora_json *o) {
    const char *type;
    if (hora_json_type(o) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT, "no \"model\" object; is this a tokenizer.json? Fetch it "
                                       "again");
    HORA_TRY(hora_json_get_string(o, "type", guess_model(o), &type));
    for (size_t i = 0; i < HORA_COUNT(models); i++)
        if (hora_eq(models[i]->type, type)) {
            t->model = models[i];
            return t->model->load(t, o);
        }
    return hora_fail(HORA_EUNSUPPORTED,
                     "tokenizer model \"%.40s\" is not supported (BPE, WordPiece, WordLevel and "
                     "Unigram are); use a model with one of them",
                     type);
}

static hora_status check_ids(const hora_tokenizer *t) {
    for (size_t i = 0; i < t->postprocessors.n; i++) {
        const hora_tok_part *p = &t->postprocessors.at[i];
        for (size_t k = 0; k < p->ids.n + p->pair.n; k++) {
            const int32_t id = k < p->ids.n ? p->ids.at[k] : p->pair.at[k - p->ids.n];
            if (id >= 0 && !hora_tokenizer_token(t, id))
                return hora_fail(HORA_EFORMAT,
                                 "the post-processor puts id %d, which no token "
                                 "has; correct \"special_tokens\"",
                                 (int)id);
        }
    }
    return HORA_OK;
}

static hora_status load_root(hora_tokenizer *t, const hora_json *root) {
    const char *version;
    HORA_TRY(hora_json_get_string(root, "version", "1.0", &version));
    if (!hora_eq(version, "1.0"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "tokenizer.json version \"%.20s\" is not 1.0; save it "
                         "with a current tokenizers library",
                         version);
    HORA_TRY(load_model(t, hora_json_get(root, "model")));
    HORA_TRY(hora_tok_load_parts(t, root));
    const hora_json *added = hora_json_get(root, "added_tokens");
    int64_t limit = 2 * ((int64_t)t->size + (int64_t)hora_json_len(added)) + 65536;
    HORA_TRY(hora_tok_added_load(t, added, limit));
    return check_ids(t);
}

hora_status hora_tok_load_root(hora_tokenizer *t, const hora_json *root, const char *what) {
    hora_status st = load_root(t, root);
    if (st != HORA_OK)
        return hora_context(st, "%s", what);
    hora_tok_finish(t);
    return HORA_OK;
}

hora_status hora_tok_load_json(hora_tokenizer *t, const char *text, size_t n, const char *what) {
    hora_json *root;
    HORA_TRY(hora_json_parse(&root, text, n, what));
    hora_status st = hora_tok_load_root(t, root, what);
    hora_json_free(root);
    return st;
}

/* --- bytes per token -------------------------------------------------------------------------- */
void hora_tok_finish(hora_tokenizer *t) {
    hora_str s = {0};
    for (size_t i = 0; i < t->size; i++) {
        hora_tok_token *k = &t->token[i];
        s.n = 0;
        if (!k->flags || (k->flags & HORA_TOK_SPECIAL))
            continue;
        hora_tok_str_add(&s, hora_tok_spelling(t, (int32_t)i), k->n);
        for (size_t d = 0; d < t->decoders.n; d++) {
            const hora_tok_part *p = &t->decoders.at[d];
            if (p->row->bytes && p->row->bytes(p, &s))
                break;
        }
        k->bytes = (int32_t)s.n;
    }
    hora_str_release(&s);
}
