/*
 * {"conversations": [{"from": .., "value": ..}, ..], "system"?, "tools"?}, the form of ShareGPT:
 * the names of the speakers become roles, the rest is a conversation like any other (chat.c). Turns
 * with role and content are taken as they are.
 */
#include "data/data_impl.h"

static hora_status messages_of(const hora_json *record, hora_json *messages) {
    const hora_json *turns = hora_json_get(record, "conversations");
    turns = turns ? turns : hora_json_get(record, "conversation");
    const char *system;
    size_t n;
    HORA_TRY(hora_source_string(record, "system", false, &system, &n));
    if (n) {
        hora_json *m = hora_json_push(messages, hora_json_new_object());
        hora_json_set(m, "role", hora_json_new_string("system"));
        hora_json_set(m, "content", hora_json_new_string_n(system, n));
    }
    for (size_t i = 0; i < hora_json_len(turns); i++) {
        hora_json *m;
        HORA_TRY(hora_chat_message(hora_json_at(turns, i), i, &m));
        hora_json_push(messages, m);
    }
    return HORA_OK;
}

static hora_status read_sharegpt(const hora_reader *r, const hora_json *record, hora_samples *out) {
    hora_json *messages = hora_json_new_array();
    hora_chat chat = {.messages = messages};
    hora_status s;
    HORA_TRY_OUT(s, messages_of(record, messages));
    HORA_TRY_OUT(s, hora_chat_extras(record, &chat));
    s = hora_chat_samples(r, &chat, out);
out:
    hora_chat_release(&chat);
    hora_json_free(messages);
    return s;
}

const hora_source hora_source_sharegpt = {
    .name = "sharegpt",
    .keys = "conversations|conversation",
    .shape = "{\"conversations\": [{\"from\": .., \"value\": ..}]}",
    .read = read_sharegpt};
