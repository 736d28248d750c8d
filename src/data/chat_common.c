/*
 * The common part of two renderings: where what the model has to write begins, and what of it the
 * whole conversation has (chat.c says why). Places where two renderings part are moved back to the
 * beginning of a mark like <|end|> or [INST] that one of them has there: two marks that begin alike
 * are not the same mark.
 */
#include "base/text.h"
#include "data/chat_impl.h"

static size_t common(const hora_seen *a, const hora_seen *b) {
    size_t i = a->shared < b->shared ? a->shared : b->shared, n = a->n < b->n ? a->n : b->n;
    while (i < n && hora_seen_at(a, i) == hora_seen_at(b, i))
        i++;
    return i;
}

/* ---- where two renderings part ---- */
enum { MARK = 80 }; /* the longest mark, in bytes */

static bool opens(char c) {
    return c == '<' || c == '[';
}
static bool closes(char c) {
    return c == '>' || c == ']';
}
static bool blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Where a mark begins that reaches from before `i` beyond it, or i. */
static size_t mark_at(const hora_seen *v, size_t i) {
    size_t from = i, to = i;
    while (from > 0 && i - from < MARK && !opens(hora_seen_at(v, from - 1))) {
        char c = hora_seen_at(v, --from);
        if (blank(c) || closes(c))
            return i;
    }
    if (!from || i - from >= MARK)
        return i;
    char close = hora_seen_at(v, from - 1) == '<' ? '>' : ']';
    while (to < v->n && to - i < MARK && hora_seen_at(v, to) != close) {
        char c = hora_seen_at(v, to++);
        if (blank(c) || opens(c))
            return i;
    }
    return to < v->n && to - i < MARK ? from - 1 : i;
}

/* The same for the tokenizer's special tokens, which need not look like marks. */
static size_t special_at(const hora_json *specials, const hora_seen *v, size_t i) {
    size_t best = i;
    for (void *it = hora_json_iter(specials); it; it = hora_json_next(specials, it)) {
        size_t n = 0;
        const char *s = hora_json_string(hora_json_iter_value(it), &n);
        for (size_t back = 1; s && back < n && back <= i; back++) {
            size_t k = 0;
            while (k < n && i - back + k < v->n && hora_seen_at(v, i - back + k) == s[k])
                k++;
            if (k == n && i - back < best)
                best = i - back;
        }
    }
    return best;
}

/* The place `i` where a and b part, moved back to the beginning of what it cuts in two. */
static size_t settle(const hora_json *specials, const hora_seen *a, const hora_seen *b, size_t i) {
    if (i == a->n || i == b->n) /* one goes on where the other ends: nothing is cut */
        return i;
    while (i > 0 && (((unsigned char)hora_seen_at(a, i) & 0xC0) == 0x80 ||
                     ((unsigned char)hora_seen_at(b, i) & 0xC0) == 0x80))
        i--;
    for (int k = 0; k < 2; k++) {
        const hora_seen *v = k ? b : a;
        size_t m = mark_at(v, i), s = special_at(specials, v, i);
        i = m < i ? m : i;
        i = s < i ? s : i;
    }
    return i;
}

/* The text of a message, blanks around it taken away; of a list of parts the last text. */
static void content_of(const hora_json *message, const char **s, size_t *n) {
    const hora_json *v = hora_json_get(message, "content");
    *s = hora_json_string(v, n);
    for (size_t i = hora_json_type(v) == HORA_JARRAY ? hora_json_len(v) : 0; i > 0 && !*s; i--)
        *s = hora_json_string(hora_json_get(hora_json_at(v, i - 1), "text"), n);
    while (*s && *n && blank(**s)) {
        ++*s;
        --*n;
    }
    while (*s && *n && blank((*s)[*n - 1]))
        --*n;
}

/* Whether p[0, from) holds all of the messages before the turn: p and c part at `from`, before p
 * ends, and what p goes on with must be the generation prompt, not a message. */
enum { NEAR = 4096 }; /* how far in front of `from` the last message is looked for */
static bool behind_messages(hora_talk *t, const hora_turn *k, const hora_seen *p, size_t from) {
    const char *s = NULL;
    size_t n = 0;
    if (!k->message)
        return true;
    content_of(hora_json_at(t->chat->messages, k->message - 1), &s, &n);
    for (size_t end = p->n; s && n && end >= n && end + n + NEAR > from; end--) {
        size_t i = 0;
        while (i < n && hora_seen_at(p, end - n + i) == s[i])
            i++;
        if (i == n && end <= from)
            return true;
        if (i == n)
            break;
    }
    hora_str bare = {0}; /* p without the generation prompt */
    bool yes = hora_template_render_turns(t->r->tmpl, t->vars, (int64_t)k->message, 0, &bare,
                                          NULL) == HORA_OK;
    if (yes) {
        hora_seen u = hora_seen_all(&bare);
        size_t i = 0; /* bare is no hora_seen of W */
        while (i < u.n && i < p->n && hora_seen_at(p, i) == bare.s[i])
            i++;
        yes = settle(t->specials, p, &u, i) <= from;
    }
    hora_str_release(&bare);
    return yes;
}

/* P and C write the last message before the turn with other words around it (a system text that
 * stands in the last question alone). What P has behind that message stands in C behind it too, at
 * one place only: what follows there is the turn, and with P in front it is what the model sees. */
static bool aligned(const hora_talk *t, const hora_turn *k, const hora_seen *p, const hora_seen *c,
                    size_t *from) {
    const char *s = NULL;
    size_t n = 0, end = p->n, found = 0;
    if (k->message)
        content_of(hora_json_at(t->chat->messages, k->message - 1), &s, &n);
    for (; s && n && end >= n; end--) {
        size_t i = 0;
        while (i < n && hora_seen_at(p, end - n + i) == s[i])
            i++;
        if (i == n)
            break;
    }
    size_t rest = p->n - end;
    if (!s || !n || end < n || !rest)
        return false;
    for (size_t e = n; e + rest <= c->n; e++) {
        size_t i = 0;
        while (i < n + rest && hora_seen_at(c, e - n + i) == hora_seen_at(p, end - n + i))
            i++;
        if (i < n + rest)
            continue;
        *from = e + rest;
        found++;
    }
    return found == 1 && *from < c->n;
}

/* What stands behind a turn that ends a conversation: the first turn rendered once more with a word
 * in place of what it says. Empty when the word does not come out. */
static void endings(hora_talk *t, const hora_turn *k) {
    static const char word[] = "qZvKoNwX";
    hora_json *vars, *messages, *message;
    hora_str text = {0};
    if (t->ending_known)
        return;
    t->ending_known = true;
    vars = hora_json_members(t->vars);
    messages = hora_json_set(vars, "messages", hora_json_new_array());
    for (size_t i = 0; i < k->message; i++)
        hora_json_push(messages, hora_json_share(hora_json_at(t->chat->messages, i)));
    message = hora_json_push(messages, hora_json_new_object());
    hora_json_set(
        message, "role",
        hora_json_share(hora_json_get(hora_json_at(t->chat->messages, k->message), "role")));
    hora_json_set(message, "content", hora_json_new_string(word));
    if (hora_template_render_turns(t->r->tmpl, vars, -1, 0, &text, NULL) == HORA_OK) {
        const char *last = NULL;
        for (char *s = text.s; s && (s = strstr(s, word)) != NULL; s += sizeof word - 1)
            last = s + sizeof word - 1;
        if (last)
            hora_str_add(&t->ending, last, text.n - (size_t)(last - text.s));
    }
    hora_str_release(&text);
    hora_json_free(vars);
}

/* Whether c[from..) is an end mark that stands behind the last message alone. */
static bool is_ending(hora_talk *t, const hora_turn *k, const hora_seen *c, size_t from) {
    size_t n = c->n - from;
    endings(t, k);
    if (!n || n > t->ending.n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (hora_seen_at(c, from + i) != t->ending.s[t->ending.n - n + i])
            return false;
    return true;
}

/* The assistant speaks first: P is the prompt of no conversation at all, which says nothing of what
 * a template puts in front of one (a system text of its own). Only what begins with what the turn
 * says is certain. */
static bool begins_with_turn(const hora_talk *t, const hora_turn *k, const hora_seen *c,
                             size_t from) {
    const char *s = NULL;
    size_t n = 0, i = 0;
    content_of(hora_json_at(t->chat->messages, k->message), &s, &n);
    while (from < c->n && blank(hora_seen_at(c, from)))
        from++;
    while (i < n && from + i < c->n && hora_seen_at(c, from + i) == s[i])
        i++;
    return s && n && i == n;
}

/* What of turn k counts, and whether W has it. */
hora_status hora_chat_measure(hora_talk *t, hora_turn *k) {
    const hora_cut *before = &t->cuts[k->before],
                   *after = k->after >= 0 ? &t->cuts[k->after] : NULL;
    if (before->failed || (after && after->failed)) {
        k->context = true;
        return HORA_OK;
    }
    hora_seen w = hora_seen_all(&t->whole), p = hora_seen_of(&t->whole, before),
              c = after ? hora_seen_of(&t->whole, after) : w;
    size_t from = common(&p, &c);
    if (from < p.n) {
        from = settle(t->specials, &p, &c, from);
        bool certain = behind_messages(t, k, &p, from);
        k->joined = !certain && aligned(t, k, &p, &c, &from);
        if (!certain && !k->joined)
            return hora_fail(HORA_EUNSUPPORTED,
                             "the chat template writes the messages before message %zu in another "
                             "way once it follows, so what to learn is not certain; write this "
                             "record as prompt and completion",
                             k->message + 1);
    }
    k->from = from;
    k->to = c.n;
    k->context = from >= c.n || (!k->message && !begins_with_turn(t, k, &c, from));
    if (k->context && !k->message)
        return HORA_OK;
    if (k->joined)
        return HORA_OK;
    size_t same = after ? common(&c, &w) : c.n;
    k->fits = same == c.n;
    if (k->fits)
        return HORA_OK;
    same = settle(t->specials, &c, &w, same);
    if (same >= from && is_ending(t, k, &c, same)) {
        k->fits = true;
        k->to = same;
    }
    return HORA_OK;
}
