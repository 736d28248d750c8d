/*
 * A conversation as transformers hands it to a template (utils/chat_template_utils.py, 5.24): keys
 * whose value is null are not there (APIs write "content": null beside calls, and templates would
 * write `None` or fail), and what was thought is found under each of its names. Content that is an
 * empty list is an empty text, as templates that read parts write it.
 */
#include "base/text.h"
#include "data/chat_impl.h"

/* The first is what templates read; gpt-oss reads the second. */
static const char *const thoughts[] = {"reasoning_content", "thinking", "reasoning"};

const hora_json *hora_chat_thought(const hora_json *message) {
    for (size_t k = 0; k < HORA_COUNT(thoughts); k++) {
        const hora_json *v = hora_json_get(message, thoughts[k]);
        if (hora_json_type(v) != HORA_JNULL)
            return v;
    }
    return NULL;
}

static bool is_empty_list(const hora_json *v) {
    return hora_json_type(v) == HORA_JARRAY && !hora_json_len(v);
}

bool hora_chat_has_null(const hora_json *message) {
    for (void *it = hora_json_iter(message); it; it = hora_json_next(message, it))
        if (hora_json_type(hora_json_iter_value(it)) == HORA_JNULL)
            return true;
    return false;
}

static bool is_normal(const hora_json *message) {
    return !hora_chat_has_null(message) && !hora_chat_thought(message) &&
           !is_empty_list(hora_json_get(message, "content"));
}

static hora_json *normal(const hora_json *message) {
    const hora_json *thought_ = hora_chat_thought(message);
    hora_json *m = hora_json_new_object();
    if (thought_) /* in front, also of its own */
        hora_json_set(m, "thinking", hora_json_share(thought_));
    for (void *it = hora_json_iter(message); it; it = hora_json_next(message, it)) {
        const char *key = hora_json_iter_key(it);
        const hora_json *v = hora_json_iter_value(it);
        if (hora_json_type(v) == HORA_JNULL)
            continue;
        hora_json_set(m, key,
                      hora_eq(key, "content") && is_empty_list(v) ? hora_json_new_string("")
                                                                  : hora_json_share(v));
    }
    if (thought_)
        hora_json_set(m, thoughts[0], hora_json_share(thought_));
    return m;
}

void hora_chat_normal(hora_json *vars) {
    const hora_json *given = hora_json_get(vars, "messages");
    size_t odd = 0;
    for (size_t i = 0; i < hora_json_len(given); i++)
        odd += !is_normal(hora_json_at(given, i));
    if (!odd)
        return;
    hora_json *own = hora_json_new_array();
    for (size_t i = 0; i < hora_json_len(given); i++) {
        const hora_json *m = hora_json_at(given, i);
        hora_json_push(own, is_normal(m) ? hora_json_share(m) : normal(m));
    }
    hora_json_set(vars, "messages", own);
}

hora_json *hora_chat_thoughtless(const hora_json *message) {
    hora_json *m = hora_json_members(message);
    for (size_t k = 0; k < HORA_COUNT(thoughts); k++)
        hora_json_remove(m, thoughts[k]);
    return m;
}

int64_t hora_chat_nulls(const hora_template *tmpl, const hora_json *vars, const hora_json *given,
                        int prompt, const hora_str *text) {
    const hora_json *messages = hora_json_get(vars, "messages");
    int64_t n = 0;
    for (size_t i = 0; i < hora_json_len(given); i++)
        n += hora_chat_has_null(hora_json_at(given, i));
    if (!n)
        return 0;
    hora_json *with = hora_json_members(vars), *all = hora_json_new_array();
    for (size_t i = 0; i < hora_json_len(messages); i++) {
        const hora_json *was = hora_json_at(given, i), *now = hora_json_at(messages, i);
        hora_json *m = hora_json_push(all, hora_json_new_object());
        for (void *it = hora_json_iter(was); it; it = hora_json_next(was, it))
            hora_json_set(m, hora_json_iter_key(it), hora_json_new_null());
        for (void *it = hora_json_iter(now); it; it = hora_json_next(now, it))
            hora_json_set(m, hora_json_iter_key(it), hora_json_share(hora_json_iter_value(it)));
    }
    hora_json_set(with, "messages", all);
    return hora_chat_same(tmpl, with, prompt, text) ? 0 : n;
}
