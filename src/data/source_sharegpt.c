/*
 * {"conversations": [{"from": .., "value": ..}, ..]}, the form of ShareGPT: the names of the
 * speakers become roles, the rest is a conversation like any other (source.c).
 */
#include "base/text.h"
#include "data/data_impl.h"

static const struct {
    const char *from, *role;
} roles[] = {{"human", "user"},        {"user", "user"},           {"gpt", "assistant"},
             {"chatgpt", "assistant"}, {"assistant", "assistant"}, {"model", "assistant"},
             {"system", "system"},     {"tool", "tool"},           {"observation", "tool"}};

static hora_status read_turn(const hora_json *turn, size_t i, hora_json *messages) {
    const char *from = hora_json_string(hora_json_get(turn, "from"), NULL), *role = NULL, *s;
    size_t n;
    for (size_t k = 0; k < HORA_COUNT(roles) && from; k++)
        role = hora_eq(roles[k].from, from) ? roles[k].role : role;
    if (!role)
        return hora_fail(HORA_EFORMAT,
                         "`from` of turn %zu is %.40s; write human, gpt, system or tool", i + 1,
                         from ? from : "missing");
    hora_status st = hora_source_string(turn, "value", true, &s, &n);
    if (st)
        return hora_context(st, "turn %zu", i + 1);
    hora_json *m = hora_json_push(messages, hora_json_new_object());
    hora_json_set(m, "role", hora_json_new_string(role));
    hora_json_set(m, "content", hora_json_new_string_n(s, n));
    return HORA_OK;
}

static hora_status read_sharegpt(const hora_reader *r, const hora_json *record, hora_sample *out) {
    const hora_json *turns = hora_json_get(record, "conversations");
    hora_json *messages = hora_json_new_array();
    hora_status s = HORA_OK;
    for (size_t i = 0; i < hora_json_len(turns) && !s; i++)
        s = read_turn(hora_json_at(turns, i), i, messages);
    if (!s)
        s = hora_source_chat(r, messages, hora_json_get(record, "tools"), out);
    hora_json_free(messages);
    return s;
}

const hora_source hora_source_sharegpt = {
    "conversations", "{\"conversations\": [{\"from\": .., \"value\": ..}]}", read_sharegpt, 0};
