/*
 * Which message a template stumbles over. Jinja's own words (`+` does not work between a string and
 * none) name a place in the template, which people did not write; the conversation is rendered
 * again without what templates commonly have no words for, until it goes through.
 */
#include "base/text.h"
#include "data/chat_impl.h"

enum { MOST = 256 }; /* messages that are tried one after the other */

/* What is changed before the conversation is rendered again; NULL: the message stays. */
typedef hora_json *change_fn(const hora_json *message);

hora_json *hora_chat_without(const hora_json *m, const char *key) {
    hora_json *copy = hora_json_members(m);
    hora_json_remove(copy, key);
    return copy;
}

static bool is_odd(const hora_json *m) {
    const hora_json *c = hora_json_get(m, "content");
    return hora_json_type(c) != HORA_JSTRING && hora_json_type(c) != HORA_JARRAY;
}

/* Content that is no text: an empty one. */
static hora_json *with_content(const hora_json *m) {
    if (!is_odd(m))
        return NULL;
    hora_json *copy = hora_chat_without(m, "content");
    hora_json_set(copy, "content", hora_json_new_string(""));
    return copy;
}

static bool has_calls(const hora_json *m) {
    return hora_json_len(hora_json_get(m, "tool_calls")) > 0;
}

static hora_json *without_calls(const hora_json *m) {
    return has_calls(m) ? hora_chat_without(m, "tool_calls") : NULL;
}

/* {"function": {"name", "arguments"}} as {"name", "arguments"}. */
static hora_json *with_flat_calls(const hora_json *m) {
    const hora_json *calls = hora_json_get(m, "tool_calls");
    if (!has_calls(m))
        return NULL;
    hora_json *copy = hora_chat_without(m, "tool_calls");
    hora_json *flat = hora_json_set(copy, "tool_calls", hora_json_new_array());
    for (size_t i = 0; i < hora_json_len(calls); i++) {
        const hora_json *call = hora_json_at(calls, i), *inner = hora_json_get(call, "function");
        hora_json_push(flat, hora_json_share(inner ? inner : call));
    }
    return copy;
}

/* Renders the conversation with every message changed. */
static bool renders(const hora_template *tmpl, const hora_json *vars, change_fn *change,
                    change_fn *more) {
    const hora_json *messages = hora_json_get(vars, "messages");
    hora_json *with = hora_chat_without(vars, "messages");
    hora_json *all = hora_json_set(with, "messages", hora_json_new_array());
    hora_str text = {0};
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *m = hora_json_at(messages, i);
        hora_json *one = change(m), *two = more ? more(one ? one : m) : NULL;
        hora_json_push(all, two ? two : one ? one : hora_json_share(m));
        if (two)
            hora_json_free(one);
    }
    const bool yes = hora_template_render_turns(tmpl, with, -1, 0, &text, NULL) == HORA_OK;
    hora_str_release(&text);
    hora_json_free(with);
    return yes;
}

static size_t first(const hora_json *messages, bool (*is)(const hora_json *m)) {
    size_t i = 0;
    while (i < hora_json_len(messages) && !is(hora_json_at(messages, i)))
        i++;
    return i + 1;
}

static hora_status content_of(const hora_json *messages, size_t at, hora_status why,
                              const char *said) {
    const hora_json *m = hora_json_at(messages, at - 1), *c = hora_json_get(m, "content");
    const char *what = c ? "no text" : "missing or null";
    return hora_fail(why,
                     "content of message %zu is %s, and the chat template cannot write that (%s); "
                     "write a text there, \"content\": \"\" where nothing is said",
                     at, what, said);
}

static hora_status calls_of(const hora_json *messages, hora_status why, const char *said,
                            bool flat) {
    return hora_fail(why,
                     "message %zu calls tools in a form that the chat template does not read (%s); "
                     "%s",
                     first(messages, has_calls), said,
                     flat ? "write each call as {\"name\": .., \"arguments\": {..}}, without "
                            "`function` around it"
                          : "write them as the template reads them, or take another "
                            "(chat_template.jinja beside the model)");
}

/* How many messages the template takes before it fails; 0: not known. */
static size_t failing(const hora_template *tmpl, const hora_json *vars, size_t messages,
                      const char *said) {
    size_t at = 0;
    hora_str text = {0};
    for (size_t n = 1; n <= messages && n <= MOST && !at; n++) {
        text.n = 0;
        if (hora_template_render_turns(tmpl, vars, (int64_t)n, 0, &text, NULL) &&
            strstr(hora_errmsg(), said))
            at = n;
    }
    hora_str_release(&text);
    return at;
}

hora_status hora_chat_explain(const hora_template *tmpl, const hora_json *vars, hora_status why) {
    static const char tail[] = "; correct the template or the data";
    const hora_json *messages = hora_json_get(vars, "messages");
    if (why != HORA_EFORMAT && why != HORA_EUNSUPPORTED)
        return why;
    char *whole = hora_strdup(hora_errmsg()), *said = hora_strdup(whole);
    if (hora_ends(said, tail))
        said[strlen(said) - strlen(tail)] = '\0';
    const bool odd = first(messages, is_odd) <= hora_json_len(messages);
    const bool calls = first(messages, has_calls) <= hora_json_len(messages);
    hora_status s;
    size_t at;
    if (odd && (renders(tmpl, vars, with_content, NULL) ||
                (calls && !renders(tmpl, vars, without_calls, NULL) &&
                 renders(tmpl, vars, with_content, without_calls))))
        s = content_of(messages, first(messages, is_odd), why, said);
    else if (calls && renders(tmpl, vars, without_calls, NULL))
        s = calls_of(messages, why, said, renders(tmpl, vars, with_flat_calls, NULL));
    else if ((at = failing(tmpl, vars, hora_json_len(messages), said)) != 0)
        s = is_odd(hora_json_at(messages, at - 1)) ? content_of(messages, at, why, said)
                                                   : hora_fail(why, "message %zu: %s", at, whole);
    else
        s = hora_fail(why, "%s", whole);
    hora_free(said);
    hora_free(whole);
    return s;
}
