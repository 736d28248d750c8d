/*
 * The vocabulary: ids, spellings, and the two hash tables of the tokenizer. Spellings lie in one
 * arena; the dictionaries hold ids and compare through it. Invariant: an id has one spelling, and a
 * spelling one id within the model and within the added tokens.
 */
#include "token/tokenizer_impl.h"

/* Room for one more at a load of at most one half. */
static void table_grow(hora_tok_table *h) {
    if (h->slot && h->n * 2 < h->mask)
        return;
    hora_tok_table old = *h;
    size_t cap = old.slot ? (old.mask + 1) * 2 : 64;
    h->slot = hora_malloc(cap * sizeof *h->slot);
    h->mask = cap - 1;
    h->n = 0;
    for (size_t i = 0; i < cap; i++)
        h->slot[i].key = UINT64_MAX;
    for (size_t i = 0; old.slot && i <= old.mask; i++)
        if (old.slot[i].key != UINT64_MAX)
            hora_tok_table_put(h, old.slot[i].key, old.slot[i].value);
    hora_free(old.slot);
}

void hora_tok_table_put(hora_tok_table *h, uint64_t key, uint64_t value) {
    HORA_ASSERT(key != UINT64_MAX);
    table_grow(h);
    size_t i = hora_tok_hash(key) & h->mask;
    while (h->slot[i].key != UINT64_MAX && h->slot[i].key != key)
        i = (i + 1) & h->mask;
    h->n += h->slot[i].key == UINT64_MAX;
    h->slot[i].key = key;
    h->slot[i].value = value;
}

void hora_tok_table_release(hora_tok_table *h) {
    hora_free(h->slot);
    memset(h, 0, sizeof *h);
}

static uint64_t hash_text(const char *s, size_t n) {
    uint64_t h = n;
    while (n) {
        uint64_t k = 0;
        size_t take = n < 8 ? n : 8;
        memcpy(&k, s, take);
        h = hora_tok_hash(h ^ k) * 0xd6e8feb86659fd93u;
        s += take;
        n -= take;
    }
    return h ^ (h >> 32);
}

/* The slot of s, or the free slot where it would go. */
static size_t dict_slot(const hora_tokenizer *t, const hora_tok_dict *d, const char *s, size_t n) {
    for (size_t i = hash_text(s, n) & d->mask;; i = (i + 1) & d->mask) {
        if (!d->slot[i])
            return i;
        const hora_tok_token *k = &t->token[d->slot[i] - 1];
        if (k->n == n && (n == 0 || memcmp(t->arena.s + k->off, s, n) == 0))
            return i;
    }
}

int32_t hora_tok_find(const hora_tokenizer *t, const hora_tok_dict *d, const char *s, size_t n) {
    return d->slot ? d->slot[dict_slot(t, d, s, n)] - 1 : -1;
}

static void dict_put(const hora_tokenizer *t, hora_tok_dict *d, int32_t id) {
    if (!d->slot || d->n * 2 >= d->mask) {
        hora_tok_dict old = *d;
        size_t cap = old.slot ? (old.mask + 1) * 2 : 64;
        d->slot = hora_calloc(cap, sizeof *d->slot);
        d->mask = cap - 1;
        d->n = 0;
        for (size_t i = 0; old.slot && i <= old.mask; i++)
            if (old.slot[i])
                dict_put(t, d, old.slot[i] - 1);
        hora_free(old.slot);
    }
    const hora_tok_token *k = &t->token[id];
    d->slot[dict_slot(t, d, t->arena.s + k->off, k->n)] = id + 1;
    d->n++;
}

static void make_room(hora_tokenizer *t, size_t size) {
    if (size > t->cap) {
        t->cap = size > 2 * t->cap ? size : 2 * t->cap;
        t->token = hora_realloc(t->token, t->cap * sizeof *t->token);
    }
    if (size > t->size) {
        memset(t->token + t->size, 0, (size - t->size) * sizeof *t->token);
        t->size = size;
    }
}

/* Bytes of a spelling that a message shows; it need not end in NUL. */
static int shown(size_t n) {
    return n < 40 ? (int)n : 40;
}

hora_status hora_tok_add(hora_tokenizer *t, const char *s, size_t n, int64_t id, int64_t limit,
                         unsigned flags) {
    if (id < 0 || id >= limit)
        return hora_fail(HORA_EFORMAT,
                         "token \"%.*s\" has id %lld, allowed here are 0 to %lld; the file is "
                         "damaged or made for something else, fetch it again",
                         shown(n), s, (long long)id, (long long)limit - 1);
    if (n > 1u << 20)
        return hora_fail(HORA_EFORMAT,
                         "token %lld is %zu bytes long, at most 1 MiB is sensible; fetch the file "
                         "again",
                         (long long)id, n);
    hora_tok_dict *d = flags & HORA_TOK_MODEL ? &t->vocab : &t->extra;
    int32_t other = hora_tok_find(t, d, s, n);
    if (other >= 0)
        return hora_fail(HORA_EFORMAT,
                         "token \"%.*s\" has both id %d and id %lld; remove one of the entries",
                         shown(n), s, (int)other, (long long)id);
    make_room(t, (size_t)id + 1);
    hora_tok_token *k = &t->token[id];
    if (k->flags && (k->n != n || memcmp(t->arena.s + k->off, s, n) != 0))
        return hora_fail(HORA_EFORMAT,
                         "id %lld is given to \"%.40s\" and to \"%.*s\"; remove one of the entries",
                         (long long)id, t->arena.s + k->off, shown(n), s);
    if (!k->flags) {
        k->off = t->arena.n;
        k->n = (uint32_t)n;
        hora_tok_str_add(&t->arena, s, n);
        hora_str_putc(&t->arena, '\0');
    }
    k->flags |= (uint8_t)flags;
    dict_put(t, d, (int32_t)id);
    return HORA_OK;
}

hora_status hora_tok_vocab_load(hora_tokenizer *t, const hora_json *model) {
    const hora_json *vocab = hora_json_get(model, "vocab");
    if (hora_json_type(vocab) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "the %s model has no \"vocab\" object; fetch the file "
                         "again",
                         t->model->type);
    /* Ids may leave gaps, but a lone huge one must not make us reserve memory for it. */
    int64_t limit = 2 * (int64_t)hora_json_len(vocab) + 65536;
    for (void *it = hora_json_iter(vocab); it; it = hora_json_next(vocab, it)) {
        int64_t id;
        const char *s = hora_json_iter_key(it);
        if (!hora_json_int(hora_json_iter_value(it), &id))
            return hora_fail(HORA_EFORMAT,
                             "vocabulary: the id of \"%.40s\" is no integer; fetch "
                             "the file again",
                             s);
        HORA_TRY(hora_tok_add(t, s, strlen(s), id, limit, HORA_TOK_MODEL));
    }
    return HORA_OK;
}
