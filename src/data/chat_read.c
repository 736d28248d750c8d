/*
 * Conversations as people write them: messages with role and content, or turns with from and value
 * (ShareGPT); tools as a list, as an object, or as JSON text, which data sets in Arrow need; the
 * template of a tokenizer with its date.
 */
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "data/data_impl.h"

/* ---- turns ---- */
/* Who speaks. `spelling`: as `role` too it is only another word for what all templates know. */
static const struct {
    const char *name, *role;
    bool spelling;
} roles[] = {{"human", "user", true},          {"user", "user", true},
             {"gpt", "assistant", true},       {"chatgpt", "assistant", true},
             {"bing", "assistant", true},      {"bard", "assistant", true},
             {"bot", "assistant", true},       {"chatbot", "assistant", true},
             {"ai", "assistant", true},        {"assistant", "assistant", true},
             {"model", "assistant", true},     {"system", "system", true},
             {"function_call", "call", false}, {"tool", "tool", false},
             {"function", "tool", false},      {"function_response", "tool", false},
             {"tool_response", "tool", false}, {"observation", "tool", false}};

static bool same_word(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if ((*a >= 'A' && *a <= 'Z' ? *a + 32 : *a) != *b)
            return false;
    return !*a && !*b;
}

/* The role of that name; NULL: not known. */
static const char *role_of(const char *name, bool spellings_only) {
    for (size_t k = 0; k < HORA_COUNT(roles) && name; k++)
        if (same_word(name, roles[k].name) && (roles[k].spelling || !spellings_only))
            return roles[k].role;
    return NULL;
}

/* The calls that the value of a function_call turn holds as JSON: one, or a list of them. */
static hora_status tool_calls(const char *s, size_t n, size_t i, hora_json *message) {
    hora_json *tree = NULL;
    hora_status st = hora_json_parse(&tree, s, n, "function_call");
    if (st)
        return hora_context(st, "turn %zu", i + 1);
    bool list = hora_json_type(tree) == HORA_JARRAY;
    hora_json *calls = hora_json_set(message, "tool_calls", hora_json_new_array());
    for (size_t k = 0; k < (list ? hora_json_len(tree) : 1) && !st; k++) {
        const hora_json *one = list ? hora_json_at(tree, k) : tree;
        if (!hora_json_string(hora_json_get(one, "name"), NULL)) {
            st =
                hora_fail(HORA_EFORMAT,
                          "turn %zu: a function_call is {\"name\": .., \"arguments\": ..} as JSON; "
                          "correct the record",
                          i + 1);
            break;
        }
        hora_json *call = hora_json_push(calls, hora_json_new_object());
        hora_json_set(call, "type", hora_json_new_string("function"));
        hora_json_set(call, "function", hora_json_copy(one));
    }
    hora_json_free(tree);
    return st;
}

/* What it says: content, or as data sets call it elsewhere. */
static const hora_json *said(const hora_json *turn, const char **key) {
    static const char *const keys[] = {"content", "value", "text"};
    for (size_t k = 0; k < HORA_COUNT(keys); k++)
        if (hora_json_get(turn, keys[k])) {
            *key = keys[k];
            return hora_json_get(turn, keys[k]);
        }
    *key = keys[0];
    return NULL;
}

void hora_chat_say(hora_json *messages, const char *role, hora_json *own_content) {
    hora_json *m = hora_json_push(messages, hora_json_new_object());
    hora_json_set(m, "role", hora_json_new_string(role));
    hora_json_set(m, "content", own_content);
}

/* The turn under the names that templates know; everything else in it stays. */
static hora_json *renamed(const hora_json *turn, const char *role, const hora_json *content,
                          const char *key) {
    hora_json *m = hora_json_new_object();
    hora_json_set(m, "role", hora_json_new_string(role));
    if (content)
        hora_json_set(m, "content", hora_json_share(content));
    for (void *it = hora_json_iter(turn); it; it = hora_json_next(turn, it)) {
        const char *name = hora_json_iter_key(it);
        if (!hora_eq(name, "role") && !hora_eq(name, "from") && !hora_eq(name, key))
            hora_json_set(m, name, hora_json_share(hora_json_iter_value(it)));
    }
    return m;
}

static hora_status nobody(const hora_json *turn, size_t i) {
    hora_jtype type = hora_json_type(turn);
    if (type != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "message %zu is a JSON %s, and who speaks is not said; write {\"role\": "
                         "\"user\", \"content\": ..}",
                         i + 1, hora_json_type_name(type));
    return hora_fail(HORA_EFORMAT,
                     "message %zu has no string `role` (or `from`); correct the record", i + 1);
}

/* A turn in ShareGPT's spelling or with role and content, as a message; owned. */
static hora_status read_message(const hora_json *turn, size_t i, hora_json **own) {
    const char *given = hora_json_string(hora_json_get(turn, "role"), NULL),
               *from = hora_json_string(hora_json_get(turn, "from"), NULL), *key, *s;
    const char *role = given ? role_of(given, true) : role_of(from, false);
    const hora_json *content = said(turn, &key);
    size_t n;
    *own = NULL;
    if (!given && !from)
        return nobody(turn, i);
    role = role ? role : given;
    if (!role)
        return hora_fail(HORA_EFORMAT,
                         "`from` of turn %zu is %.40s; write human, gpt, system, tool or "
                         "function_call (or role and content)",
                         i + 1, from);
    bool call = hora_eq(role, "call");
    if (given && hora_eq(given, role) && hora_eq(key, "content")) {
        *own = hora_json_share(turn);
        return HORA_OK;
    }
    if (!given && !hora_eq(key, "content")) {
        hora_status st = hora_source_string(turn, content ? key : "value", true, &s, &n);
        if (st)
            return hora_context(st, "turn %zu", i + 1);
    }
    hora_json *m = renamed(turn, call ? "assistant" : role, call ? NULL : content, key);
    if (!call) {
        *own = m;
        return HORA_OK;
    }
    hora_json_set(m, "content", hora_json_new_string(""));
    s = hora_json_string(content, &n);
    hora_status st = s ? tool_calls(s, n, i, m) : hora_source_string(turn, key, true, &s, &n);
    if (st)
        hora_json_free(m);
    else
        *own = m;
    return st;
}

/* An exchange as one element of the list, as XTuner and Firefly have it. */
static const char *const exchanges[][2] = {
    {"input", "output"},    {"human", "assistant"}, {"human", "gpt"},      {"user", "assistant"},
    {"question", "answer"}, {"query", "response"},  {"prompt", "response"}};

static void add_said(hora_json *messages, const char *role, const hora_json *content) {
    size_t n = 0;
    if (!hora_json_string(content, &n) || !n)
        return;
    hora_chat_say(messages, role, hora_json_share(content));
}

/* False: it is none. */
static bool add_exchange(const hora_json *turn, hora_json *messages) {
    if (hora_json_get(turn, "role") || hora_json_get(turn, "from"))
        return false;
    for (size_t k = 0; k < HORA_COUNT(exchanges); k++) {
        const hora_json *q = hora_json_get(turn, exchanges[k][0]),
                        *a = hora_json_get(turn, exchanges[k][1]);
        if (!hora_json_string(q, NULL) || !hora_json_string(a, NULL))
            continue;
        add_said(messages, "system", hora_json_get(turn, "system"));
        add_said(messages, "user", q);
        add_said(messages, "assistant", a);
        return true;
    }
    return false;
}

hora_status hora_chat_turns(const hora_json *turns, hora_json *messages) {
    for (size_t i = 0; i < hora_json_len(turns); i++) {
        hora_json *m;
        if (add_exchange(hora_json_at(turns, i), messages))
            continue;
        HORA_TRY(read_message(hora_json_at(turns, i), i, &m));
        hora_json_push(messages, m);
    }
    return HORA_OK;
}

/* ---- what stands beside the messages ---- */
static hora_status bad_tools(const hora_json *v) {
    return hora_fail(HORA_EFORMAT,
                     "`tools` should be a list of descriptions of functions (objects), is %s %s; "
                     "correct the record",
                     hora_json_type(v) == HORA_JNULL ? "" : "of type",
                     hora_json_type_name(hora_json_type(v)));
}

/* Adds what v describes: an object, a list of them, or either as JSON text. */
static hora_status add_tools(hora_json *list, const hora_json *v, int depth) {
    size_t n;
    const char *s = hora_json_string(v, &n);
    hora_json *tree;
    if (s && depth < 3) {
        HORA_TRY(hora_json_parse(&tree, s, n, "tools"));
        hora_status st = add_tools(list, tree, depth + 1);
        hora_json_free(tree);
        return st;
    }
    if (hora_json_type(v) == HORA_JOBJECT) {
        hora_json_push(list, hora_json_copy(v));
        return HORA_OK;
    }
    if (hora_json_type(v) != HORA_JARRAY || depth > 2)
        return bad_tools(v);
    for (size_t i = 0; i < hora_json_len(v); i++)
        HORA_TRY(add_tools(list, hora_json_at(v, i), depth + 1));
    return HORA_OK;
}

hora_status hora_chat_extras(const hora_json *record, hora_chat *c) {
    const hora_json *tools = hora_json_get(record, "tools");
    size_t n = 1;
    const char *text = hora_json_string(tools, &n);
    if (hora_json_len(hora_json_get(record, "functions")))
        return hora_fail(HORA_EFORMAT,
                         "`functions` is a name of old; give them as `tools`, a list of "
                         "{\"type\": \"function\", \"function\": ..}");
    c->documents = hora_json_get(record, "documents");
    c->kwargs = hora_json_get(record, "chat_template_kwargs");
    if (hora_json_type(c->kwargs) != HORA_JNULL && hora_json_type(c->kwargs) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "`chat_template_kwargs` should be an object, is of type %s; "
                         "correct the record",
                         hora_json_type_name(hora_json_type(c->kwargs)));
    if (hora_json_type(tools) == HORA_JNULL || (text && !n)) /* "": a column without a value */
        return HORA_OK;
    c->own[0] = hora_json_new_array();
    HORA_TRY(add_tools(c->own[0], tools, 0));
    c->tools = c->own[0];
    return HORA_OK;
}

static bool is_system(const hora_json *turn, const char *text) {
    const hora_json *role = hora_json_get(turn, "role"), *content = hora_json_get(turn, "content");
    return hora_eq(hora_json_string(role ? role : hora_json_get(turn, "from"), NULL), "system") &&
           hora_eq(hora_json_string(content ? content : hora_json_get(turn, "value"), NULL), text);
}

hora_status hora_chat_system(const hora_json *record, const hora_json *turns, hora_json *messages) {
    const char *system;
    size_t n;
    HORA_TRY(hora_source_string(record, "system", false, &system, &n));
    if (!n || is_system(hora_json_at(turns, 0), system))
        return HORA_OK;
    hora_chat_say(messages, "system", hora_json_new_string_n(system, n));
    return HORA_OK;
}

hora_status hora_chat_take(const hora_reader *r, const hora_json *record, hora_chat *own_c,
                           hora_samples *out) {
    hora_status s = hora_chat_extras(record, own_c);
    if (!s)
        s = hora_chat_samples(r, own_c, out);
    hora_chat_release(own_c);
    return s;
}

hora_status hora_chat_read(hora_chat *c, const hora_json *tree) {
    *c = (hora_chat){0};
    const hora_json *turns = tree;
    if (hora_json_type(tree) == HORA_JOBJECT) {
        HORA_TRY(hora_chat_extras(tree, c));
        turns = hora_json_get(tree, "messages");
        turns = turns ? turns : hora_json_get(tree, "conversations");
        turns = turns ? turns : hora_json_get(tree, "conversation");
    }
    c->messages = turns;
    if (hora_json_type(turns) != HORA_JARRAY || !hora_json_len(turns))
        return HORA_OK;
    c->messages = c->own[1] = hora_json_new_array();
    HORA_TRY(hora_chat_system(tree, turns, c->own[1]));
    return hora_chat_turns(turns, c->own[1]);
}

hora_status hora_chat_source(const hora_reader *r, const hora_json *record, hora_samples *out) {
    hora_chat chat;
    hora_status s = hora_chat_read(&chat, record);
    if (!s)
        s = hora_chat_samples(r, &chat, out);
    hora_chat_release(&chat);
    return s;
}

void hora_chat_release(hora_chat *c) {
    for (size_t i = 0; i < HORA_COUNT(c->own); i++)
        hora_json_free(c->own[i]);
    *c = (hora_chat){0};
}

/* ---- templates ---- */
hora_status hora_chat_object(hora_json **out, const char *text, const char *what) {
    *out = NULL;
    if (!text || !*text)
        return HORA_OK;
    HORA_TRY(hora_json_parse(out, text, strlen(text), what));
    if (hora_json_type(*out) == HORA_JOBJECT)
        return HORA_OK;
    hora_json_free(*out);
    *out = NULL;
    return hora_fail(HORA_EUSAGE, "%s should be a JSON object like {\"enable_thinking\": false}",
                     what);
}

static char *today(void) {
    char b[32];
    time_t now = time(NULL);
    struct tm local;
    size_t n = localtime_r(&now, &local) ? strftime(b, sizeof b, "%Y-%m-%d", &local) : 0;
    return hora_strdup(n ? b : "1970-01-01");
}

hora_status hora_chat_open(hora_template **out, const hora_tokenizer *tok, char **date) {
    const char *source = hora_tokenizer_chat_template(tok);
    *out = NULL;
    if (!source && *date && **date)
        hora_warn("there is no chat template, so date=%s decides nothing", *date);
    if (!source)
        return HORA_OK;
    HORA_TRY(hora_template_open(out, source, strlen(source), "chat template"));
    bool given = *date && **date, asked = hora_template_dated(*out);
    if (asked && !given) {
        hora_free(*date);
        *date = today();
        hora_info("the chat template writes the date: %s, today's; --date gives another", *date);
    }
    if (given && !asked)
        hora_warn("the chat template writes no date, so date=%s decides nothing", *date);
    hora_status s = asked || given ? hora_template_date(*out, *date) : HORA_OK;
    if (s) {
        hora_template_close(*out);
        *out = NULL;
    }
    return s;
}
