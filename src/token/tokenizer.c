/*
 * The tokenizer as its users see it: opening a folder, encoding, decoding. Encoding cuts out added
 * tokens, normalizes, cuts again, splits into pieces, lets the model encode each, and puts the
 * post-processor's ids around the whole. Decoding runs the decoders over the spellings.
 */
#include "token/tokenizer.h"

#include "base/file.h"
#include "format/gguf.h"
#include "token/tokenizer_impl.h"

void hora_ids_release(hora_ids *v) {
    hora_free(v->at);
    memset(v, 0, sizeof *v);
}

void hora_tok_work_release(hora_tok_work *w) {
    hora_str_release(&w->norm);
    hora_str_release(&w->other);
    hora_free(w->norm_from.at);
    hora_free(w->step.at);
    hora_ids_release(&w->start);
    hora_tok_pieces_release(&w->a);
    hora_tok_pieces_release(&w->b);
    hora_free(w->match);
    hora_tok_scan_free(w->scan);
    hora_ids_release(&w->sym);
    hora_ids_release(&w->sym_at);
    hora_tok_bpe_scratch_free(w->bpe);
    hora_tok_lattice_free(w->lattice);
    hora_str_release(&w->spelling);
}

/* --- opening ---------------------------------------------------------------------------------- */
typedef hora_status (*loader)(hora_tokenizer *t, const char *data, size_t n,
                              const hora_json *config, const char *what);

static hora_status load_json(hora_tokenizer *t, const char *data, size_t n, const hora_json *config,
                             const char *what) {
    (void)config;
    t->said_twice = true;
    return hora_tok_load_json(t, data, n, what);
}

/* The first file that is there counts. */
static const struct {
    const char *name;
    loader load;
} vocabularies[] = {{"tokenizer.json", load_json},
                    {"tokenizer.model", hora_tok_load_sentencepiece},
                    {"vocab.txt", hora_tok_load_vocab_txt}};

static hora_status open_vocabulary(hora_tokenizer *t, const char *dir, const hora_json *config) {
    for (size_t i = 0; i < HORA_COUNT(vocabularies); i++) {
        char *path = hora_path_join(dir, vocabularies[i].name);
        hora_map map = {0};
        const bool there = hora_path_exists(path);
        hora_status st = HORA_OK;
        if (there)
            st = hora_map_open(&map, path);
        if (there && st == HORA_OK)
            st = hora_refuse_pointer(path, map.data, map.n);
        if (there && st == HORA_OK)
            st = vocabularies[i].load(t, (const char *)map.data, map.n, config, path);
        hora_map_release(&map);
        hora_free(path);
        if (there)
            return st;
    }
    return hora_fail(HORA_ENOTFOUND,
                     "%s has neither tokenizer.json nor tokenizer.model nor vocab.txt; copy one of "
                     "them from the model's page",
                     dir);
}

static hora_status open_all(hora_tokenizer *t, const char *dir) {
    hora_json *config = NULL, *model = NULL;
    const char *side;
    hora_status st;
    HORA_TRY_OUT(st, hora_json_load_beside(&config, dir, "tokenizer_config.json"));
    HORA_TRY_OUT(st, hora_json_load_beside(&model, dir, "config.json"));
    HORA_TRY_OUT(st, open_vocabulary(t, dir, config));
    if (!t->said_twice || hora_tok_is_bert(config, model))
        HORA_TRY_OUT(st, hora_tok_bert_config(t, config));
    HORA_TRY_OUT(st, hora_json_get_string(config, "truncation_side", "right", &side));
    t->cut_left = hora_eq(side, "left");
    st = hora_tok_load_beside(t, dir, config);
out:
    hora_json_free(config);
    hora_json_free(model);
    return st;
}

static hora_status open_from(hora_tokenizer **out, const char *dir) {
    hora_tokenizer *t = hora_calloc(1, sizeof *t);
    t->special_map = hora_json_new_object();
    t->bos = t->eos = t->pad = -1;
    hora_status st = !dir                ? hora_tok_load_bytes(t)
                     : hora_gguf_is(dir) ? hora_tok_load_gguf(t, dir)
                                         : open_all(t, dir);
    if (st != HORA_OK) {
        hora_tokenizer_close(t);
        return st;
    }
    *out = t;
    return HORA_OK;
}

hora_status hora_tokenizer_open(hora_tokenizer **out, const char *dir) {
    return open_from(out, dir);
}

hora_status hora_tokenizer_open_bytes(hora_tokenizer **out) {
    return open_from(out, NULL);
}

void hora_tokenizer_close(hora_tokenizer *t) {
    if (!t)
        return;
    if (t->model)
        t->model->free(t->state);
    hora_tok_chain_release(&t->normalizers);
    hora_tok_chain_release(&t->pretokenizers);
    hora_tok_chain_release(&t->postprocessors);
    hora_tok_chain_release(&t->decoders);
    hora_tok_matcher_release(&t->raw);
    hora_tok_matcher_release(&t->normal);
    hora_json_free(t->special_map);
    hora_str_release(&t->arena);
    hora_free(t->chat_template);
    hora_free(t->token);
    hora_free(t->vocab.slot);
    hora_free(t->extra.slot);
    hora_free(t->added);
    hora_free(t);
}

/* --- encoding --------------------------------------------------------------------------------- */
/* Runs a chain of piece rows over w->a; the result is in w->a. */
static hora_status run_pieces(const hora_tok_chain *c, hora_tok_work *w) {
    for (size_t i = 0; i < c->n; i++) {
        hora_tok_pieces_clear(&w->b);
        HORA_TRY(c->at[i].row->pieces(&c->at[i], w, &w->a, &w->b));
        hora_tok_pieces swap = w->a;
        w->a = w->b;
        w->b = swap;
    }
    return HORA_OK;
}

/* The ids out[had..) are those of piece `k`; w->start says where in it each begins. */
static void note_piece(hora_tok_work *w, const hora_tok_piece *k, size_t had, const hora_ids *out) {
    HORA_ASSERT(w->start.n == out->n - had);
    const hora_offset *from = w->a.from.at + k->off;
    for (size_t i = 0; i < w->start.n; i++) {
        size_t b = (size_t)w->start.at[i],
               e = i + 1 < w->start.n ? (size_t)w->start.at[i + 1] : k->n;
        hora_offset o = {from[b].from, e > b ? from[e - 1].to : from[b].to};
        HORA_PUSH(w->offsets->at, w->offsets->n, w->offsets->cap, o);
    }
}

/* An added token that stands at [from, to) of the caller's text. */
static void push_added(hora_tok_work *w, int32_t id, size_t from, size_t to, hora_ids *out) {
    hora_ids_push(out, id);
    if (w->track) {
        hora_offset o = {(uint32_t)from, (uint32_t)to};
        HORA_PUSH(w->offsets->at, w->offsets->n, w->offsets->cap, o);
    }
}

/* Normalized text w->norm[b..e) without added tokens; its stretch begins at byte `base` of the
 * caller's text. `first`: the caller's text begins with it. */
static hora_status encode_plain(hora_tok_work *w, size_t b, size_t e, size_t base, bool first,
                                hora_ids *out) {
    const hora_tokenizer *t = w->t;
    hora_tok_pieces_clear(&w->a);
    w->a.tracked = w->b.tracked = w->track;
    if (b < e)
        hora_str_add(&w->a.text, w->norm.s + b, e - b);
    for (size_t i = b; w->track && i < e; i++) {
        hora_offset o = w->norm_from.at[i];
        o.from += (uint32_t)base;
        o.to += (uint32_t)base;
        HORA_PUSH(w->a.from.at, w->a.from.n, w->a.from.cap, o);
    }
    hora_tok_pieces_span(&w->a, 0, e - b, first);
    HORA_TRY(run_pieces(&t->pretokenizers, w));
    for (size_t i = 0; i < w->a.n; i++) {
        size_t had = out->n;
        w->start.n = 0;
        if (w->a.at[i].n > INT32_MAX) /* models count its bytes in 32 bits */
            return hora_fail(HORA_EUNSUPPORTED,
                             "%zu bytes of text without a place to cut; give it in smaller texts",
                             w->a.at[i].n);
        HORA_TRY(t->model->encode(t, w, w->a.text.s + w->a.at[i].off, w->a.at[i].n, out));
        if (w->track)
            note_piece(w, &w->a.at[i], had, out);
    }
    return HORA_OK;
}

/* A stretch of the caller's text between two unnormalized added tokens; it begins at byte
 * `base`. */
static hora_status encode_stretch(hora_tok_work *w, const char *s, size_t n, size_t base,
                                  hora_ids *out) {
    HORA_TRY(hora_tok_normalize(w->t, w, s, n));
    bool first = base == 0 && !w->front_cut;
    hora_tok_cut c = {0};
    while (hora_tok_matcher_next(w->t, &w->t->normal, w->norm.s, w->norm.n, &c)) {
        if (c.b < c.e)
            HORA_TRY(encode_plain(w, c.b, c.e, base, first && c.b == 0, out));
        if (c.id < 0)
            continue;
        const hora_offset *from = w->norm_from.at;
        bool some = w->track && c.done > c.e;
        push_added(w, c.id, base + (some ? from[c.e].from : 0),
                   base + (some ? from[c.done - 1].to : 0), out);
    }
    return HORA_OK;
}

static hora_status encode_text(hora_tok_work *w, const char *s, size_t n, hora_ids *out) {
    hora_tok_cut c = {0};
    while (hora_tok_matcher_next(w->t, &w->t->raw, s, n, &c)) {
        if (c.b < c.e)
            HORA_TRY(encode_stretch(w, s + c.b, c.e - c.b, c.b, out));
        if (c.id >= 0)
            push_added(w, c.id, c.e, c.done, out);
    }
    return HORA_OK;
}

/* Ids that a post-processor puts in front of the text. */
static size_t in_front(const hora_ids *around) {
    size_t n = 0;
    while (around->at[n] != HORA_TOK_SEQUENCE)
        n++;
    return n;
}

/* Puts each post-processor's ids around out[base..). */
static void post_process(const hora_tokenizer *t, size_t base, hora_ids *out) {
    for (size_t i = 0; i < t->postprocessors.n; i++) {
        const hora_ids *around = &t->postprocessors.at[i].ids;
        if (!around->n)
            continue;
        const size_t before = in_front(around);
        for (size_t k = 0; k < before; k++)
            hora_ids_push(out, 0);
        if (before) {
            memmove(out->at + base + before, out->at + base,
                    (out->n - base - before) * sizeof *out->at);
            memcpy(out->at + base, around->at, before * sizeof *out->at);
        }
        for (size_t k = before + 1; k < around->n; k++)
            hora_ids_push(out, around->at[k]);
    }
}

/* The same for the offsets, which stand for the `n` bytes of the text. */
static void post_process_offsets(const hora_tokenizer *t, size_t base, size_t n,
                                 hora_offsets *offsets) {
    for (size_t i = 0; i < t->postprocessors.n; i++) {
        const hora_ids *around = &t->postprocessors.at[i].ids;
        if (!around->n)
            continue;
        const size_t before = in_front(around);
        size_t have = offsets->n - base;
        for (size_t k = 0; k + 1 < around->n; k++)
            HORA_PUSH(offsets->at, offsets->n, offsets->cap,
                      ((hora_offset){(uint32_t)n, (uint32_t)n}));
        memmove(offsets->at + base + before, offsets->at + base, have * sizeof *offsets->at);
        memset(offsets->at + base, 0, before * sizeof *offsets->at);
        for (size_t k = base + before + have; k < offsets->n; k++)
            offsets->at[k] = (hora_offset){(uint32_t)n, (uint32_t)n};
    }
}

static hora_status encode(const hora_tokenizer *t, const char *text, size_t n, bool special,
                          hora_ids *out, hora_offsets *offsets) {
    size_t bad, base = out->n, obase = offsets ? offsets->n : 0;
    if (!hora_utf8_valid(text, n, &bad))
        return hora_fail(HORA_EFORMAT,
                         "the text is not UTF-8 at byte %zu; convert it (for instance with iconv)",
                         bad);
    hora_tok_work w = {.t = t, .track = offsets != NULL, .offsets = offsets};
    hora_status st = encode_text(&w, text, n, out);
    hora_tok_work_release(&w);
    if (st != HORA_OK) {
        out->n = base;
        if (offsets)
            offsets->n = obase;
        return st;
    }
    if (special && offsets)
        post_process_offsets(t, obase, n, offsets);
    if (special)
        post_process(t, base, out);
    return HORA_OK;
}

hora_status hora_tokenizer_encode(const hora_tokenizer *t, const char *text, size_t n, bool special,
                                  hora_ids *out) {
    return encode(t, text, n, special, out, NULL);
}

hora_status hora_tokenizer_encode_offsets(const hora_tokenizer *t, const char *text, size_t n,
                                          bool special, hora_ids *out, hora_offsets *offsets) {
    if (n > UINT32_MAX)
        return hora_fail(HORA_EUNSUPPORTED,
                         "a record of %zu bytes is too long to know where its tokens come from; "
                         "cut it into several",
                         n);
    return encode(t, text, n, special, out, offsets);
}

/* --- decoding --------------------------------------------------------------------------------- */
static hora_status decode(const hora_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                          bool stable, hora_str *out) {
    hora_tok_work w = {.t = t, .stable = stable};
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= t->size || !t->token[ids[i]].flags)
            continue; /* rows that a model has beyond its vocabulary */
        const hora_tok_token *k = &t->token[ids[i]];
        if (skip_special && (k->flags & HORA_TOK_SPECIAL))
            continue;
        size_t off = w.a.text.n;
        if (!t->joined && w.a.n)
            hora_str_putc(&w.a.text, ' ');
        hora_tok_str_add(&w.a.text, hora_tok_spelling(t, ids[i]), k->n);
        hora_tok_pieces_keep(&w.a, off, w.a.text.n - off);
    }
    hora_status st = run_pieces(&t->decoders, &w);
    for (size_t i = 0; st == HORA_OK && i < w.a.n; i++)
        hora_tok_str_add(out, w.a.text.s + w.a.at[i].off, w.a.at[i].n);
    hora_tok_work_release(&w);
    return st;
}

hora_status hora_tokenizer_decode(const hora_tokenizer *t, const int32_t *ids, size_t n,
                                  bool skip_special, hora_str *out) {
    return decode(t, ids, n, skip_special, false, out);
}

hora_status hora_tokenizer_decode_stable(const hora_tokenizer *t, const int32_t *ids, size_t n,
                                         bool skip_special, hora_str *out) {
    return decode(t, ids, n, skip_special, true, out);
}

/* --- questions -------------------------------------------------------------------------------- */
int32_t hora_tokenizer_size(const hora_tokenizer *t) {
    return (int32_t)t->size;
}

int32_t hora_tokenizer_id(const hora_tokenizer *t, const char *token) {
    int32_t id = hora_tok_find(t, &t->extra, token, strlen(token));
    return id >= 0 ? id : hora_tok_find(t, &t->vocab, token, strlen(token));
}

static const hora_tok_token *token_at(const hora_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->size && t->token[id].flags ? &t->token[id] : NULL;
}

const char *hora_tokenizer_token(const hora_tokenizer *t, int32_t id) {
    return token_at(t, id) ? hora_tok_spelling(t, id) : NULL;
}

bool hora_tokenizer_is_special(const hora_tokenizer *t, int32_t id) {
    const hora_tok_token *k = token_at(t, id);
    return k && (k->flags & HORA_TOK_SPECIAL);
}

int hora_tokenizer_bytes(const hora_tokenizer *t, int32_t id) {
    const hora_tok_token *k = token_at(t, id);
    return k ? k->bytes : 0;
}

int32_t hora_tokenizer_bos(const hora_tokenizer *t) {
    return t->bos;
}

int32_t hora_tokenizer_eos(const hora_tokenizer *t) {
    return t->eos;
}

int32_t hora_tokenizer_pad(const hora_tokenizer *t) {
    return t->pad;
}

const char *hora_tokenizer_chat_template(const hora_tokenizer *t) {
    return t->chat_template;
}

const hora_json *hora_tokenizer_special_map(const hora_tokenizer *t) {
    return t->special_map;
}
