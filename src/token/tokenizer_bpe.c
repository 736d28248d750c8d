/*
 * Byte-pair encoding. A piece becomes one symbol per character (or its bytes, or unk), then the
 * adjacent pair of lowest rank is joined, leftmost first, until no pair has a rank.
 *
 * Speed: (left, right) -> (rank, result) is one hash look-up. Before merging a piece is cut where
 * no merge can ever reach across: at a boundary (x, y) of first symbols such that no merge joins a
 * token ending in x to a token beginning with y. Short chunks then scan for the lowest rank; long
 * ones use a heap with a linked list, O(n log n) for any text.
 *
 * Source: Sennrich et al. 2016, arXiv 1508.07909; details (unk, fallback, affixes) are those of
 * Hugging Face's tokenizers.
 */
#include <stdio.h>

#include "token/tokenizer_impl.h"

enum { SHORT_CHUNK = 32, DIRECT = 0x3000 };
#define NO_RANK UINT32_MAX

typedef struct bpe {
    hora_tok_table merge;   /* left << 32 | right -> rank << 32 | result */
    hora_tok_table joint;   /* left << 32 | right of first symbols that some merge can join */
    int32_t direct[DIRECT]; /* id of the character below U+3000, -1 for none */
    int32_t byte[256];      /* id of "<0xNN>" */
    hora_tok_bpe_options o;
    char *prefix, *suffix; /* NULL: none */
    bool cut;              /* `joint` is filled in */
} bpe;

typedef struct node {
    int32_t id, prev, next; /* id -1: merged away */
    uint32_t rank;          /* of the pair that begins here */
} node;
struct hora_tok_bpe_scratch {
    node *node;
    uint64_t *heap; /* rank << 32 | position */
    size_t capnode, nheap, capheap;
    hora_str spelling;
};

void hora_tok_bpe_scratch_free(struct hora_tok_bpe_scratch *s) {
    if (!s)
        return;
    hora_free(s->node);
    hora_free(s->heap);
    hora_str_release(&s->spelling);
    hora_free(s);
}

static uint64_t pair(int32_t a, int32_t b) {
    return (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
}

static uint32_t rank_of(const bpe *m, int32_t a, int32_t b) {
    return (uint32_t)(hora_tok_table_get(&m->merge, pair(a, b)) >> 32);
}

/* --- merging ---------------------------------------------------------------------------------- */
/* In place; returns the new length. `at`: where each symbol begins, kept beside. n <=
 * SHORT_CHUNK. */
static size_t merge_short(const bpe *m, int32_t *id, int32_t *at, size_t n) {
    uint32_t rank[SHORT_CHUNK];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(m, id[i], id[i + 1]);
    while (n > 1) {
        size_t k = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[k])
                k = i;
        if (rank[k] == NO_RANK)
            break;
        id[k] = (int32_t)(uint32_t)hora_tok_table_get(&m->merge, pair(id[k], id[k + 1]));
        n--;
        for (size_t i = k + 1; i < n; i++) {
            id[i] = id[i + 1];
            at[i] = at[i + 1];
            rank[i - 1] = rank[i];
        }
        if (k > 0)
            rank[k - 1] = rank_of(m, id[k - 1], id[k]);
        if (k + 1 < n)
            rank[k] = rank_of(m, id[k], id[k + 1]);
    }
    return n;
}

static void heap_push(struct hora_tok_bpe_scratch *s, uint64_t key) {
    HORA_PUSH(s->heap, s->nheap, s->capheap, key);
    size_t i = s->nheap - 1;
    for (; i > 0 && s->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = key;
}

static uint64_t heap_pop(struct hora_tok_bpe_scratch *s) {
    uint64_t top = s->heap[0], last = s->heap[--s->nheap];
    size_t i = 0, n = s->nheap;
    for (size_t k; (k = 2 * i + 1) < n; i = k) {
        k += k + 1 < n && s->heap[k + 1] < s->heap[k];
        if (s->heap[k] >= last)
            break;
        s->heap[i] = s->heap[k];
    }
    s->heap[i] = last; /* for n = 0 this rewrites the slot just emptied */
    return top;
}

/* Finds the rank of the pair at i anew and queues it. */
static void queue(const bpe *m, struct hora_tok_bpe_scratch *s, int32_t i) {
    node *a = &s->node[i];
    a->rank = a->next < 0 ? NO_RANK : rank_of(m, a->id, s->node[a->next].id);
    if (a->rank != NO_RANK)
        heap_push(s, (uint64_t)a->rank << 32 | (uint32_t)i);
}

static size_t merge_long(const bpe *m, struct hora_tok_bpe_scratch *s, int32_t *id, int32_t *at,
                         size_t n) {
    if (n > s->capnode) {
        s->node = hora_realloc(s->node, n * sizeof *s->node);
        s->capnode = n;
    }
    s->nheap = 0;
    for (size_t i = 0; i < n; i++)
        s->node[i] = (node){id[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1, NO_RANK};
    for (size_t i = 0; i + 1 < n; i++)
        queue(m, s, (int32_t)i);
    while (s->nheap) {
        uint64_t key = heap_pop(s);
        int32_t i = (int32_t)(uint32_t)key;
        node *a = &s->node[i];
        if (a->id < 0 || a->rank != (uint32_t)(key >> 32))
            continue; /* out of date */
        node *b = &s->node[a->next];
        a->id = (int32_t)(uint32_t)hora_tok_table_get(&m->merge, pair(a->id, b->id));
        b->id = -1;
        a->next = b->next;
        if (a->next >= 0)
            s->node[a->next].prev = i;
        queue(m, s, i);
        if (a->prev >= 0)
            queue(m, s, a->prev);
    }
    size_t out = 0;
    for (int32_t i = 0; i >= 0; i = s->node[i].next) {
        at[out] = at[i];
        id[out++] = s->node[i].id;
    }
    return out;
}

/* --- first symbols ---------------------------------------------------------------------------- */
/* Id of the character s[0..n) of the piece, with affixes where the model has them; -1: none. Sets
 * *text to what was looked up. */
static int32_t symbol(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                      bool first, bool last, const char **text, size_t *ntext) {
    const bpe *m = t->state;
    *text = s;
    *ntext = n;
    if ((m->prefix && !first) || (m->suffix && last)) {
        hora_str *b = &w->bpe->spelling;
        b->n = 0;
        if (m->prefix && !first)
            hora_str_puts(b, m->prefix);
        hora_str_add(b, s, n);
        if (m->suffix && last)
            hora_str_puts(b, m->suffix);
        *text = b->s;
        *ntext = b->n;
    } else {
        uint32_t cp = 0;
        hora_utf8_decode(s, n, &cp);
        if (cp < DIRECT)
            return m->direct[cp];
    }
    return hora_tok_find(t, &t->vocab, *text, *ntext);
}

static void add_symbol(hora_tok_work *w, int32_t id, size_t at) {
    hora_ids_push(&w->sym, id);
    hora_ids_push(&w->sym_at, (int32_t)at);
}

/* The bytes of one character that begins at `at` of the piece. An affix in `s` has no
 * bytes there. */
static bool add_bytes(const bpe *m, hora_tok_work *w, const char *s, size_t n, size_t at,
                      size_t len) {
    for (size_t i = 0; i < n; i++)
        if (m->byte[(unsigned char)s[i]] < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        add_symbol(w, m->byte[(unsigned char)s[i]], at + (i < len ? i : len - 1));
    return true;
}

/* Fills w->sym. A pending unk goes out before the next known character, not before bytes: so does
 * the library whose ids we must meet. */
static void first_symbols(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n) {
    const bpe *m = t->state;
    bool pending = false;
    size_t unk_at = 0;
    w->sym.n = w->sym_at.n = 0;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp;
        const char *text;
        size_t ntext;
        len = (size_t)hora_utf8_decode(s + i, n - i, &cp);
        HORA_ASSERT(len > 0);
        int32_t id = symbol(t, w, s + i, len, i == 0, i + len == n, &text, &ntext);
        if (id >= 0) {
            if (pending)
                add_symbol(w, m->o.unk, unk_at);
            pending = false;
            add_symbol(w, id, i);
        } else if (!(m->o.byte_fallback && add_bytes(m, w, text, ntext, i, len)) && m->o.unk >= 0) {
            if (pending && !m->o.fuse_unk)
                add_symbol(w, m->o.unk, unk_at);
            if (!pending || !m->o.fuse_unk)
                unk_at = i;
            pending = true;
        }
    }
    if (pending)
        add_symbol(w, m->o.unk, unk_at);
}

static hora_status encode(const hora_tokenizer *t, hora_tok_work *w, const char *s, size_t n,
                          hora_ids *out) {
    const bpe *m = t->state;
    if (m->o.ignore_merges) {
        int32_t id = hora_tok_find(t, &t->vocab, s, n);
        if (id >= 0) {
            hora_ids_push(out, id);
            if (w->track)
                hora_ids_push(&w->start, 0);
            return HORA_OK;
        }
    }
    if (n > INT32_MAX / 4)
        return hora_fail(HORA_EUNSUPPORTED,
                         "a piece of %zu bytes without a cut is too long; split "
                         "the text into lines or documents",
                         n);
    if (!w->bpe)
        w->bpe = hora_calloc(1, sizeof *w->bpe);
    first_symbols(t, w, s, n);
    int32_t *id = w->sym.at, *at = w->sym_at.at;
    for (size_t b = 0, e; b < w->sym.n; b = e) {
        for (e = b + 1; e < w->sym.n; e++)
            if (m->cut && hora_tok_table_get(&m->joint, pair(id[e - 1], id[e])) == UINT64_MAX)
                break;
        size_t k = e - b <= SHORT_CHUNK ? merge_short(m, id + b, at + b, e - b)
                                        : merge_long(m, w->bpe, id + b, at + b, e - b);
        for (size_t i = 0; i < k; i++)
            hora_ids_push(out, id[b + i]);
        for (size_t i = 0; w->track && i < k; i++)
            hora_ids_push(&w->start, at[b + i]);
    }
    return HORA_OK;
}

/* --- building --------------------------------------------------------------------------------- */
/* The first symbols with which token `id` can begin (end: with which it can end): itself, and the
 * first (last) character of its spelling. Writes one or two. */
static int ends(const hora_tokenizer *t, int32_t id, bool end, int32_t out[2]) {
    const char *s = hora_tok_spelling(t, id), *text;
    size_t n = t->token[id].n, b = 0, ntext;
    uint32_t cp;
    out[0] = id;
    if (n == 0)
        return 1;
    if (end)
        for (b = n - 1; b > 0 && ((unsigned char)s[b] & 0xc0) == 0x80;)
            b--;
    int len = hora_utf8_decode(s + b, n - b, &cp);
    if (len <= 0 || (size_t)len == n)
        return 1;
    out[1] = symbol(t, NULL, s + b, (size_t)len, true, true, &text, &ntext);
    return out[1] >= 0 ? 2 : 1;
}

static void build_joint(const hora_tokenizer *t, bpe *m, const hora_tok_merge *merges, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int32_t a[2], b[2];
        int na = ends(t, merges[i].left, true, a), nb = ends(t, merges[i].right, false, b);
        for (int k = 0; k < na * nb; k++)
            hora_tok_table_put(&m->joint, pair(a[k / nb], b[k % nb]), 1);
    }
}

hora_status hora_tok_bpe_init(hora_tokenizer *t, const hora_tok_bpe_options *o,
                              const hora_tok_merge *merges, size_t n) {
    bpe *m = hora_calloc(1, sizeof *m);
    t->state = m;
    m->o = *o;
    m->o.prefix = m->o.suffix = NULL;
    m->prefix = o->prefix && *o->prefix ? hora_strdup(o->prefix) : NULL;
    m->suffix = o->suffix && *o->suffix ? hora_strdup(o->suffix) : NULL;
    for (uint32_t cp = 0; cp < DIRECT; cp++) {
        char buf[4];
        m->direct[cp] = hora_tok_find(t, &t->vocab, buf, (size_t)hora_utf8_encode(cp, buf));
    }
    for (int b = 0; b < 256; b++) {
        char name[16];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        m->byte[b] = hora_tok_find(t, &t->vocab, name, 6);
    }
    for (size_t i = 0; i < n; i++)
        hora_tok_table_put(&m->merge, pair(merges[i].left, merges[i].right),
                           (uint64_t)merges[i].rank << 32 | (uint32_t)merges[i].result);
    m->cut = !m->prefix && !m->suffix; /* with affixes a spelling does not tell its first symbol */
    if (m->cut)
        build_joint(t, m, merges, n);
    return HORA_OK;
}

/* Reads merge i, "a b" or ["a", "b"], into m. */
static hora_status read_merge(const hora_tokenizer *t, const hora_json *v, size_t i,
                              const char *prefix, hora_str *joined, hora_tok_merge *m) {
    size_t na = 0, nb = 0, np = prefix ? strlen(prefix) : 0;
    const char *a = hora_json_string(v, &na), *b = NULL;
    if (a) {
        const char *sp = memchr(a, ' ', na);
        if (sp && !memchr(sp + 1, ' ', na - (size_t)(sp - a) - 1)) {
            b = sp + 1;
            nb = na - (size_t)(b - a);
            na = (size_t)(sp - a);
        }
    } else if (hora_json_len(v) == 2) {
        a = hora_json_string(hora_json_at(v, 0), &na);
        b = hora_json_string(hora_json_at(v, 1), &nb);
    }
    if (!a || !b || nb < np)
        return hora_fail(HORA_EFORMAT,
                         "merge %zu is neither \"left right\" nor [\"left\", "
                         "\"right\"]; fetch the file again",
                         i);
    joined->n = 0;
    hora_tok_str_add(joined, a, na);
    hora_tok_str_add(joined, b + np, nb - np);
    m->left = hora_tok_find(t, &t->vocab, a, na);
    m->right = hora_tok_find(t, &t->vocab, b, nb);
    m->result = hora_tok_find(t, &t->vocab, joined->s ? joined->s : "", joined->n);
    if (m->left < 0 || m->right < 0 || m->result < 0)
        return hora_fail(HORA_EFORMAT,
                         "merge %zu (\"%.40s\") names a token that is not in the vocabulary; fetch "
                         "the file again",
                         i, joined->s ? joined->s : "");
    m->rank = (uint32_t)i;
    return HORA_OK;
}

static hora_status load_options(const hora_tokenizer *t, const hora_json *o,
                                hora_tok_bpe_options *p) {
    double dropout;
    const char *unk;
    HORA_TRY(hora_json_get_real(o, "dropout", 0, &dropout));
    if (dropout != 0)
        return hora_fail(HORA_EUNSUPPORTED,
                         "BPE dropout %g makes ids random; set \"dropout\" to "
                         "null",
                         dropout);
    HORA_TRY(hora_json_get_string(o, "continuing_subword_prefix", NULL, &p->prefix));
    HORA_TRY(hora_json_get_string(o, "end_of_word_suffix", NULL, &p->suffix));
    HORA_TRY(hora_json_get_bool(o, "fuse_unk", false, &p->fuse_unk));
    HORA_TRY(hora_json_get_bool(o, "byte_fallback", false, &p->byte_fallback));
    HORA_TRY(hora_json_get_bool(o, "ignore_merges", false, &p->ignore_merges));
    HORA_TRY(hora_json_get_string(o, "unk_token", NULL, &unk));
    p->unk = unk ? hora_tok_find(t, &t->vocab, unk, strlen(unk)) : -1;
    if (unk && p->unk < 0)
        return hora_fail(HORA_EFORMAT,
                         "unk_token \"%.40s\" is not in the vocabulary; add it or "
                         "set it to null",
                         unk);
    return HORA_OK;
}

static hora_status load(hora_tokenizer *t, const hora_json *o) {
    hora_tok_bpe_options options = {0};
    HORA_TRY(hora_tok_vocab_load(t, o));
    HORA_TRY(load_options(t, o, &options));
    const hora_json *list = hora_json_get(o, "merges");
    size_t n = hora_json_len(list);
    if (hora_json_type(list) != HORA_JARRAY || n >= NO_RANK)
        return hora_fail(HORA_EFORMAT, "the BPE model has no \"merges\" array; fetch the file "
                                       "again");
    hora_tok_merge *merges = hora_calloc(n + 1, sizeof *merges);
    hora_str joined = {0};
    hora_status st = HORA_OK;
    for (size_t i = 0; i < n && st == HORA_OK; i++)
        st = read_merge(t, hora_json_at(list, i), i, options.prefix, &joined, &merges[i]);
    if (st == HORA_OK)
        st = hora_tok_bpe_init(t, &options, merges, n);
    hora_str_release(&joined);
    hora_free(merges);
    return st;
}

static void release(void *state) {
    bpe *m = state;
    if (!m)
        return;
    hora_tok_table_release(&m->merge);
    hora_tok_table_release(&m->joint);
    hora_free(m->prefix);
    hora_free(m->suffix);
    hora_free(m);
}

const hora_tok_model hora_tok_bpe = {
    .type = "BPE", .load = load, .encode = encode, .free = release};
