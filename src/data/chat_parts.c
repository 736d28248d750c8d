/*
 * What not every template has words for: content that is a list of parts, calls of tools. A
 * template that treats content as a string would write a list as Python prints it, or drop it;
 * there the texts of the parts are joined, as templates that read parts write them. Calls that a
 * template leaves out are what the template says, so they stay and are counted, for people to see.
 */
#include "base/text.h"
#include "data/chat_impl.h"

static const hora_json *content(const hora_json *message) {
    return hora_json_get(message, "content");
}

static bool is_list(const hora_json *message) {
    return hora_json_type(content(message)) == HORA_JARRAY && hora_json_len(content(message));
}

/* ---- parts ---- */
static bool holds(const hora_str *text, const char *s, size_t n) {
    return !n || (text->n && memmem(text->s, text->n, s, n) != NULL);
}

/* A part that names a type which is no text. */
static bool is_other(const hora_json *part) {
    const char *type = hora_json_string(hora_json_get(part, "type"), NULL);
    return type && !hora_eq(type, "text") && !hora_eq(type, "input_text") &&
           !hora_eq(type, "output_text");
}

/* The text of a part: {"type": "text", "text": ..} or a string; NULL: it has none. */
static const char *text_of(const hora_json *part, size_t *n) {
    const char *s = hora_json_string(part, n);
    return s || is_other(part) ? s : hora_json_string(hora_json_get(part, "text"), n);
}

/* Parts that say they are texts are. */
static hora_status check_texts(const hora_json *messages) {
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *parts = content(hora_json_at(messages, i));
        for (size_t k = 0; hora_json_type(parts) == HORA_JARRAY && k < hora_json_len(parts); k++) {
            const hora_json *part = hora_json_at(parts, k), *text = hora_json_get(part, "text");
            size_t n;
            if (is_other(part) || text_of(part, &n) || (!hora_json_get(part, "type") && !text))
                continue;
            return hora_fail(HORA_EFORMAT,
                             "part %zu of message %zu is a text whose `text` is %s; write a text "
                             "there, or leave the part out",
                             k + 1, i + 1,
                             !text                                ? "missing"
                             : hora_json_type(text) == HORA_JNULL ? "null"
                                                                  : "no string");
        }
    }
    return HORA_OK;
}

/* The text shows the part as Python or JSON print an object. */
static bool printed(const hora_str *text, const hora_json *part) {
    void *first = hora_json_iter(part);
    if (!first)
        return hora_json_string(part, NULL) != NULL; /* no template reads strings as parts */
    static const char quotes[] = "'\"";
    bool yes = false;
    for (size_t i = 0; quotes[i]; i++) {
        char *begin = hora_format("{%c%s%c: ", quotes[i], hora_json_iter_key(first), quotes[i]);
        yes = yes || holds(text, begin, strlen(begin));
        hora_free(begin);
    }
    return yes;
}

/* The blanks around what is said do not count: templates trim. */
static bool said(const hora_str *text, const hora_json *part) {
    size_t n = 0;
    const char *s = text_of(part, &n);
    while (s && n && strchr(" \n\t\r", *s)) {
        s++;
        n--;
    }
    while (s && n && strchr(" \n\t\r", s[n - 1]))
        n--;
    return !s || holds(text, s, n);
}

typedef bool part_fn(const hora_str *text, const hora_json *part);
static bool any_part(const hora_json *messages, const hora_str *text, part_fn *is, bool want) {
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *m = hora_json_at(messages, i);
        for (size_t k = 0; is_list(m) && k < hora_json_len(content(m)); k++)
            if (is(text, hora_json_at(content(m), k)) == want)
                return true;
    }
    return false;
}

static hora_status no_place(size_t i, const hora_json *part, bool string) {
    const char *type = hora_json_string(hora_json_get(part, "type"), NULL);
    return hora_fail(HORA_EUNSUPPORTED,
                     "message %zu has a part of type %.40s, and the chat template %s; give text "
                     "alone",
                     i + 1, type ? type : "unknown",
                     string ? "writes content as a string, so it has no place for it"
                            : "leaves it out");
}

static hora_json *texts_of(const hora_json *parts) {
    hora_json *texts = hora_json_new_array();
    for (size_t k = 0; k < hora_json_len(parts); k++) {
        size_t n;
        if (text_of(hora_json_at(parts, k), &n))
            hora_json_push(texts, hora_json_share(hora_json_at(parts, k)));
    }
    return texts;
}

static hora_json *with_content(const hora_json *m, hora_json *own) {
    hora_json *copy = hora_json_members(m);
    hora_json_set(copy, "content", own);
    return copy;
}

/* The messages with the texts of their parts joined; owned. */
static hora_status join(const hora_json *messages, hora_json **own, int64_t *joined) {
    *own = hora_json_new_array();
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *m = hora_json_at(messages, i);
        hora_str text = {0};
        if (!is_list(m)) {
            hora_json_push(*own, hora_json_share(m));
            continue;
        }
        for (size_t k = 0; k < hora_json_len(content(m)); k++) {
            size_t n = 0;
            const char *s = text_of(hora_json_at(content(m), k), &n);
            if (!s) {
                hora_str_release(&text);
                hora_json_free(*own);
                *own = NULL;
                return no_place(i, hora_json_at(content(m), k), true);
            }
            hora_str_add(&text, s, n);
        }
        hora_json_push(*own, with_content(m, hora_json_new_string_n(text.s ? text.s : "", text.n)));
        hora_str_release(&text);
        ++*joined;
    }
    return HORA_OK;
}

bool hora_chat_same(const hora_template *tmpl, hora_json *own_vars, int prompt,
                    const hora_str *text) {
    hora_str other = {0};
    const bool same =
        hora_template_render_turns(tmpl, own_vars, -1, prompt, &other, NULL) == HORA_OK &&
        other.n == text->n && (!text->n || !memcmp(other.s, text->s, text->n));
    hora_str_release(&other);
    hora_json_free(own_vars);
    return same;
}

static hora_status render(const hora_template *tmpl, const hora_json *vars,
                          const hora_json *messages, hora_str *text) {
    hora_json *with = hora_json_members(vars);
    hora_json_set(with, "messages", hora_json_share(messages));
    text->n = 0;
    hora_status s = hora_template_render_turns(tmpl, with, -1, 0, text, NULL);
    hora_json_free(with);
    return s;
}

/* The template reads parts, and wrote `text`: those that are no text (pictures) are either
 * somewhere in it, which is counted, or were left out, which nobody should have to guess. */
static hora_status foreign(const hora_template *tmpl, const hora_json *vars, const hora_str *text,
                           int64_t *count) {
    const hora_json *messages = hora_json_get(vars, "messages");
    hora_status s = HORA_OK;
    for (size_t i = 0; i < hora_json_len(messages) && !s; i++) {
        const hora_json *m = hora_json_at(messages, i), *odd = NULL;
        for (size_t k = 0; is_list(m) && k < hora_json_len(content(m)) && !odd; k++) {
            size_t n;
            odd = text_of(hora_json_at(content(m), k), &n) ? NULL : hora_json_at(content(m), k);
        }
        if (!odd)
            continue;
        hora_json *with = hora_json_members(vars);
        hora_json *others = hora_json_set(with, "messages", hora_json_new_array());
        for (size_t k = 0; k < hora_json_len(messages); k++)
            hora_json_push(others, k == i ? with_content(m, texts_of(content(m)))
                                          : hora_json_share(hora_json_at(messages, k)));
        if (hora_chat_same(tmpl, with, 0, text))
            s = no_place(i, odd, false);
        ++*count;
    }
    return s;
}

hora_status hora_chat_fit(const hora_template *tmpl, hora_json *vars, hora_samples *out) {
    const hora_json *messages = hora_json_get(vars, "messages");
    hora_str text = {0};
    hora_json *own = NULL;
    int64_t n = 0;
    bool lists = false;
    for (size_t i = 0; i < hora_json_len(messages); i++)
        lists = lists || is_list(hora_json_at(messages, i));
    if (!lists)
        return HORA_OK;
    HORA_TRY(check_texts(messages));
    hora_status s = render(tmpl, vars, messages, &text);
    const bool failed = s != HORA_OK, shown = !s && any_part(messages, &text, printed, true),
               lost = !s && any_part(messages, &text, said, false);
    if (!failed && !shown && !lost) { /* it reads parts */
        s = foreign(tmpl, vars, &text, &out->told.foreign);
        goto out;
    }
    s = join(messages, &own, &n);
    if (!own)
        goto out;
    const bool better = render(tmpl, vars, own, &text) == HORA_OK &&
                        (failed || shown || !any_part(messages, &text, said, false));
    if (better) {
        hora_json_set(vars, "messages", hora_json_share(own));
        out->told.joined += n;
    }
out:
    hora_str_release(&text);
    hora_json_free(own);
    return s;
}

/* ---- calls ---- */
static bool has_calls(const hora_json *message) {
    const hora_json *calls = hora_json_get(message, "tool_calls");
    const char *text = hora_json_string(calls, NULL); /* which no template reads */
    return hora_json_len(calls) > 0 || (text && *text);
}

/* No name of a function that it calls stands in the text. */
static bool unnamed(const hora_json *message, const hora_str *text) {
    const hora_json *calls = hora_json_get(message, "tool_calls");
    for (size_t i = 0; i < hora_json_len(calls); i++) {
        const hora_json *call = hora_json_at(calls, i), *inner = hora_json_get(call, "function");
        size_t n = 0;
        const char *s = hora_json_string(hora_json_get(inner ? inner : call, "name"), &n);
        if (!s || holds(text, s, n))
            return false;
    }
    return true;
}

/* The variables with the first n messages, each changed. */
static hora_json *changed(const hora_talk *t, size_t n, hora_json *(*change)(const hora_json *m)) {
    const hora_json *messages = hora_json_get(t->vars, "messages");
    hora_json *with = hora_json_members(t->vars);
    hora_json *own = hora_json_set(with, "messages", hora_json_new_array());
    for (size_t i = 0; i < n; i++)
        hora_json_push(own, change(hora_json_at(messages, i)));
    return with;
}

static hora_json *without_calls(const hora_json *message) {
    return hora_chat_without(message, "tool_calls");
}

/* The template makes the same of the conversation without its calls. */
static bool leaves_out_calls(const hora_talk *t) {
    return hora_chat_same(t->r->tmpl, changed(t, t->messages, without_calls), 0, &t->whole);
}

bool hora_chat_leaves_out(const hora_template *tmpl, const hora_json *vars, const char *key,
                          int prompt, const hora_str *text) {
    if (!hora_json_len(hora_json_get(vars, key)))
        return false;
    hora_json *with = hora_json_members(vars);
    hora_json_set(with, key, hora_json_new_null()); /* as where there are none */
    return hora_chat_same(tmpl, with, prompt, text);
}

/* How many messages have thinking, if the template never writes any. Many drop that of earlier
 * turns, so the conversation up to the last message that has some decides. */
static int64_t thoughts_left_out(const hora_talk *t) {
    const hora_json *messages = hora_json_get(t->vars, "messages"), *last = NULL;
    int64_t count = 0;
    size_t upto = 0, n = 0;
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *v = hora_chat_thought(hora_json_at(messages, i));
        if (!v || (hora_json_string(v, &n) && !n))
            continue;
        last = v;
        upto = i + 1;
        count++;
    }
    const char *text_ = hora_json_string(last, &n); /* NULL: a thought that is no text */
    const bool telling = text_ && n >= 16; /* a shorter one may stand in what is said as well */
    if (!count || (telling && holds(&t->whole, text_, n)))
        return 0;
    hora_str text = {0};
    const bool fine =
        hora_template_render_turns(t->r->tmpl, t->vars, (int64_t)upto, 0, &text, NULL) == HORA_OK;
    const bool same = hora_chat_same(t->r->tmpl, changed(t, upto, hora_chat_thoughtless), 0, &text);
    hora_str_release(&text);
    return fine && same ? count : 0;
}

void hora_chat_look(hora_talk *t) {
    int64_t calls = 0, bare = 0;
    for (size_t i = 0; i < t->messages; i++) {
        const hora_json *m = hora_json_at(t->chat->messages, i);
        calls += has_calls(m);
        bare += has_calls(m) && unnamed(m, &t->whole);
    }
    /* a name may stand in a description of the tool, or in what somebody says */
    if (calls > bare && leaves_out_calls(t))
        bare = calls;
    t->out->told.no_calls += bare;
    t->out->told.no_thoughts += thoughts_left_out(t);
    t->out->told.no_tools += hora_chat_leaves_out(t->r->tmpl, t->vars, "tools", 0, &t->whole);
    t->out->told.no_documents +=
        hora_chat_leaves_out(t->r->tmpl, t->vars, "documents", 0, &t->whole);
    t->out->told.nulls += hora_chat_nulls(t->r->tmpl, t->vars, t->given, 0, &t->whole);
}
