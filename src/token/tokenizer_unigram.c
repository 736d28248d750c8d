/*
 * Unigram: of all ways to cut a piece into spellings of the vocabulary the one whose scores add up
 * to the most (Viterbi). A character that no spelling covers alone costs the lowest score less ten;
 * neighbours of that kind are one unknown token, or its bytes.
 *
 * Source: Kudo 2018, arXiv 1804.10959; details are those of Hugging Face's tokenizers.
 */
#include <math.h>

#include "token/tokenizer_impl.h"

typedef struct unigram {
    hora_tok_matcher trie; /* leaf: id */
    double *score;         /* [size] */
    double unk_score;
    int32_t unk; /* -1: none */
    bool byte_fallback;
} unigram;

struct hora_tok_lattice {
    double *best;
    int32_t *id, *from; /* of the last spelling of the best path that ends here; from -1: none */
    size_t cap;
};

void hora_tok_lattice_free(struct hora_tok_lattice *l) {
    if (!l)
        return;
    hora_free(l->best);
    hora_free(l->id);
    hora_free(l->from);
    hora_free(l);
}

static struct hora_tok_lattice *lattice(hora_tok_work *w, size_t n) {
    if (!w->lattice)
        w->lattice = hora_calloc(1, sizeof *w->lattice);
    struct hora_tok_lattice *l = w->lattice;
    if (n + 1 > l->cap) {
        l->cap = n + 1;
        l->best = hora_realloc(l->best, l->cap * sizeof *l->best);
        l->id = hora_realloc(l->id, l->cap * sizeof *l->id);
        l->from = hora_realloc(l->from, l->cap * sizeof *l->from);
    }
    for (size_t i = 0; i <= n; i++)
        l->from[i] = -1;
    return l;
}

static void offer(struct hora_tok_lattice *l, size_t from, size_t to, int32_t id, double score) {
    const double sum = score + (from ? l->best[from] : 0);
    if (l->from[to] >= 0 && !(sum > l->best[to]))
        return;
    l->best[to] = sum;
    l->id[to] = id;
    l->from[to] = (int32_t)from;
}

/* All spellings that begin at `at`; a character without one of its own is unknown. */
static void step(const unigram *m, struct hora_tok_lattice *l, const char *s, size_t n, size_t at,
                 size_t len) {
    bool single = false;
    size_t node = 0;
    for (size_t i = at; i < n && m->trie.nodes; i++) {
        uint64_t to = hora_tok_table_get(&m->trie.edge, (uint64_t)node << 8 | (unsigned char)s[i]);
        if (to == UINT64_MAX)
            break;
        node = (size_t)to;
        const int32_t id = m->trie.leaf[node];
        if (id < 0)
            continue;
        offer(l, at, i + 1, id, m->score[id]);
        single |= i + 1 - at == len;
    }
    if (!single)
        offer(l, at, at + len, m->unk, m->unk_score);
}

static void put(hora_tok_work *w, hora_ids *out, int32_t id, size_t at) {
    hora_ids_push(out, id);
    if (w->track)
        hora_ids_push(&w->start, (int32_t)at);
}

/* What s[from, to) is, which the lattice has as unknown. */
static hora_status put_unknown(const hora_tokenizer *t, hora_tok_work *w, const char *s,
                               size_t from, size_t to, hora_ids *out) {
    static const char hex[] = "0123456789ABCDEF";
    const unigram *m = t->state;
    const int32_t whole = hora_tok_find(t, &t->vocab, s + from, to - from);
    const size_t had = out->n, starts = w->start.n;
    if (whole >= 0) {
        put(w, out, whole, from);
        return HORA_OK;
    }
    for (size_t i = from; m->byte_fallback && i < to; i++) {
        const unsigned char b = (unsigned char)s[i];
        const char name[] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        const int32_t id = hora_tok_find(t, &t->vocab, name, sizeof name);
        if (id < 0) {
            out->n = had;
            w->start.n = starts;
            break;
        }
        put(w, out, id, i);
    }
    if (out->n > had)
        return HORA_OK;
    if (m->unk < 0)
        return hora_fail(HORA_EFORMAT,
                         "\"%.*s\" has no token, and the tokenizer has none for what is unknown; "
                         "set \"unk_id\" in it, or leave the text out",
                         (int)hora_min(40, (int64_t)(to - from)), s + from);
    put(w, out, m->unk, from);
    return HORA_OK;
}

static hora_status encode(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                          hora_ids *out) {
    const unigram *m = t->state;
    if (n >= INT32_MAX)
        return hora_fail(HORA_EUNSUPPORTED, "a word of 2 GiB; cut the text");
    struct hora_tok_lattice *l = lattice(w, n);
    uint32_t cp;
    for (size_t at = 0, len; at < n; at += len) {
        len = (size_t)hora_utf8_decode(s + at, n - at, &cp);
        HORA_ASSERT(len > 0);
        step(m, l, s, n, at, len);
    }
    /* From the end to the beginning: from[] then says where the next one ends. */
    size_t next = n;
    for (size_t at = n; at > 0;) {
        const size_t from = (size_t)l->from[at];
        l->from[at] = (int32_t)next;
        next = at;
        at = from;
    }
    for (size_t b = 0, e = next; b < n;) {
        const int32_t id = l->id[e];
        while (id == m->unk && e < n && l->id[l->from[e]] == m->unk)
            e = (size_t)l->from[e]; /* unknown neighbours are one */
        if (id == m->unk)
            HORA_TRY(put_unknown(t, w, s, b, e, out));
        else
            put(w, out, id, b);
        b = e;
        e = b < n ? (size_t)l->from[b] : n;
    }
    return HORA_OK;
}

static hora_status load_piece(hora_tokenizer *t, unigram *m, const hora_json *pair, int64_t id) {
    size_t n;
    const char *s = hora_json_string(hora_json_at(pair, 0), &n);
    double score;
    if (!s || !hora_json_real(hora_json_at(pair, 1), &score) || !isfinite(score))
        return hora_fail(HORA_EFORMAT,
                         "piece %lld of the vocabulary is not [spelling, score]; fetch the file "
                         "again",
                         (long long)id);
    HORA_TRY(hora_tok_add(t, s, n, id, INT32_MAX, HORA_TOK_MODEL));
    hora_tok_matcher_put(&m->trie, s, n, (int32_t)id);
    m->score[id] = score;
    m->unk_score = id ? fmin(m->unk_score, score) : score;
    return HORA_OK;
}

static hora_status load(hora_tokenizer *t, const hora_json *o) {
    unigram *m = hora_calloc(1, sizeof *m);
    t->state = m; /* first, so that a failure releases it */
    int64_t unk;
    const hora_json *vocab = hora_json_get(o, "vocab");
    const int64_t n = (int64_t)hora_json_len(vocab);
    if (hora_json_type(vocab) != HORA_JARRAY || !n)
        return hora_fail(HORA_EFORMAT, "the Unigram model has no \"vocab\" list; fetch the file "
                                       "again");
    HORA_TRY(hora_json_get_bool(o, "byte_fallback", false, &m->byte_fallback));
    HORA_TRY(hora_json_get_int(o, "unk_id", -1, &unk));
    if (unk < -1 || unk >= n)
        return hora_fail(HORA_EFORMAT, "unk_id %lld is no piece (0 to %lld); correct it",
                         (long long)unk, (long long)n - 1);
    m->unk = (int32_t)unk;
    m->score = hora_malloc((size_t)n * sizeof *m->score);
    for (int64_t i = 0; i < n; i++)
        HORA_TRY(load_piece(t, m, hora_json_at(vocab, (size_t)i), i));
    m->unk_score -= 10;
    return HORA_OK;
}

static void release(void *state) {
    unigram *m = state;
    if (!m)
        return;
    hora_tok_matcher_release(&m->trie);
    hora_free(m->score);
    hora_free(m);
}

const hora_tok_model hora_tok_unigram = {
    .type = "Unigram", .load = load, .encode = encode, .free = release};
