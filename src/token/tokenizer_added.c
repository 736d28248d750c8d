/*
 * Added tokens: spellings that are cut out of the text before the model sees it, those with
 * "normalized": false before the normalizers run, the others after. A trie finds the leftmost, then
 * longest, match. Options as in Hugging Face's library: single_word drops a match that touches a
 * word character, lstrip and rstrip take the white space beside it.
 */
#include "token/tokenizer_impl.h"

static size_t new_node(hora_tok_matcher *m) {
    HORA_PUSH(m->leaf, m->nodes, m->cap, -1);
    return m->nodes - 1;
}

void hora_tok_matcher_put(hora_tok_matcher *m, const char *s, size_t n, int32_t index) {
    if (!n)
        return;
    if (!m->nodes)
        new_node(m);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)at << 8 | (unsigned char)s[i];
        uint64_t to = hora_tok_table_get(&m->edge, key);
        if (to == UINT64_MAX) {
            to = new_node(m);
            hora_tok_table_put(&m->edge, key, to);
        }
        at = (size_t)to;
    }
    if (m->leaf[at] < 0) /* of two equal spellings the first counts */
        m->leaf[at] = index;
    m->first[(unsigned char)s[0]] = true;
}

void hora_tok_matcher_release(hora_tok_matcher *m) {
    hora_tok_table_release(&m->edge);
    hora_free(m->leaf);
    memset(m, 0, sizeof *m);
}

/* Longest token that begins at s; its length, 0 for none. */
static size_t longest(const hora_tok_matcher *m, const char *s, size_t n, int32_t *index) {
    size_t at = 0, best = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t to = hora_tok_table_get(&m->edge, (uint64_t)at << 8 | (unsigned char)s[i]);
        if (to == UINT64_MAX)
            break;
        at = (size_t)to;
        if (m->leaf[at] >= 0) {
            best = i + 1;
            *index = m->leaf[at];
        }
    }
    return best;
}

/* Start of the character that ends at s + end. */
static size_t char_before(const char *s, size_t end, uint32_t *cp) {
    size_t b = end - 1;
    while (b > 0 && ((unsigned char)s[b] & 0xc0) == 0x80)
        b--;
    if (!hora_utf8_decode(s + b, end - b, cp))
        *cp = 0xfffd;
    return b;
}

/* Rust's \w, which also takes the two join controls. */
static bool word(uint32_t cp) {
    return hora_tok_is_word(cp) || cp == 0x200c || cp == 0x200d;
}

static bool touches_word(const char *s, size_t n, size_t b, size_t e) {
    uint32_t cp;
    if (b > 0) {
        char_before(s, b, &cp);
        if (word(cp))
            return true;
    }
    return e < n && hora_utf8_decode(s + e, n - e, &cp) && word(cp);
}

bool hora_tok_matcher_next(const hora_tokenizer *t, const hora_tok_matcher *m, const char *s,
                           size_t n, hora_tok_cut *c) {
    for (; m->nodes && c->pos < n; c->pos++) {
        if (!m->first[(unsigned char)s[c->pos]])
            continue;
        int32_t index = -1;
        size_t len = longest(m, s + c->pos, n - c->pos, &index);
        if (!len)
            continue;
        size_t b = c->pos, e = c->pos + len;
        const hora_tok_added *a = &t->added[index];
        if (a->single_word && touches_word(s, n, b, e)) {
            c->pos = e - 1; /* matches do not overlap, dropped ones neither */
            continue;
        }
        c->pos = e;
        uint32_t cp;
        while (a->lstrip && b > c->done) {
            size_t p = char_before(s, b, &cp);
            if (!hora_tok_is_space(cp))
                break;
            b = p;
        }
        if (b < c->done) /* the token is white space that an rstrip has taken already */
            b = c->done;
        for (int len1; a->rstrip && e < n; e += (size_t)len1) {
            len1 = hora_utf8_decode(s + e, n - e, &cp);
            if (!len1 || !hora_tok_is_space(cp))
                break;
        }
        c->b = c->done;
        c->e = b;
        c->done = e > c->done ? e : c->done;
        c->id = a->id;
        return true;
    }
    if (c->done >= n)
        return false;
    c->b = c->done;
    c->e = n;
    c->done = c->pos = n;
    c->id = -1;
    return true;
}

hora_status hora_tok_add_matcher(hora_tokenizer *t, hora_tok_added a) {
    HORA_PUSH(t->added, t->nadded, t->capadded, a);
    const hora_tok_token *k = &t->token[a.id];
    int32_t index = (int32_t)t->nadded - 1;
    if (!a.normalized) {
        hora_tok_matcher_put(&t->raw, hora_tok_spelling(t, a.id), k->n, index);
        return HORA_OK;
    }
    hora_tok_work w = {.t = t};
    hora_status st = hora_tok_normalize(t, &w, hora_tok_spelling(t, a.id), k->n);
    if (st == HORA_OK)
        hora_tok_matcher_put(&t->normal, w.norm.s, w.norm.n, index);
    hora_tok_work_release(&w);
    return st;
}

static hora_status load_one(hora_tokenizer *t, const hora_json *o, int64_t limit, bool special) {
    bool is_special;
    HORA_TRY(hora_json_get_bool(o, "special", false, &is_special));
    if (is_special != special)
        return HORA_OK;
    size_t n = 0;
    const char *s = hora_json_string(hora_json_get(o, "content"), &n);
    int64_t id;
    HORA_TRY(hora_json_get_int(o, "id", -1, &id));
    if (!s)
        return hora_fail(HORA_EFORMAT, "an added token has no \"content\"; add it to the entry "
                                       "or fetch the file again");
    if (!n)
        return HORA_OK; /* matches nothing */
    int32_t known = hora_tok_find(t, &t->vocab, s, n);
    if (known >= 0 && known != id)
        return hora_fail(HORA_EFORMAT,
                         "added token \"%.40s\" has id %lld but the vocabulary says %d; correct "
                         "one of them",
                         s, (long long)id, (int)known);
    HORA_TRY(hora_tok_add(t, s, n, id, limit,
                          HORA_TOK_ADDED | (special ? (unsigned)HORA_TOK_SPECIAL : 0u)));
    hora_tok_added a = {.id = (int32_t)id};
    HORA_TRY(hora_json_get_bool(o, "single_word", false, &a.single_word));
    HORA_TRY(hora_json_get_bool(o, "lstrip", false, &a.lstrip));
    HORA_TRY(hora_json_get_bool(o, "rstrip", false, &a.rstrip));
    HORA_TRY(hora_json_get_bool(o, "normalized", !special, &a.normalized));
    return hora_tok_add_matcher(t, a);
}

hora_status hora_tok_added_load(hora_tokenizer *t, const hora_json *list, int64_t limit) {
    if (hora_json_type(list) == HORA_JNULL)
        return HORA_OK;
    if (hora_json_type(list) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT,
                         "\"added_tokens\" should be an array, is a %s; fetch the "
                         "file again",
                         hora_json_type_name(hora_json_type(list)));
    /* Special tokens first: where two spellings become equal by normalization, they win. */
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < hora_json_len(list); i++)
            HORA_TRY(load_one(t, hora_json_at(list, i), limit, special));
    return HORA_OK;
}
