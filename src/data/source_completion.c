/*
 * {"prompt": .., "completion": ..}, or a response, output or answer to the prompt: the completion
 * counts, EOS behind it included. Nothing is put between the two; a completion that should start
 * with a blank has it. Both may be lists of messages: then they are one conversation, of which the
 * completion's part is learned.
 */
#include "data/data_impl.h"

static const char *const completions[] = {"completion", "response", "output", "answer"};

/* A list of messages; a string stands for one message of that role. */
static hora_status add_messages(const hora_json *record, const char *role, const char *key,
                                hora_json *messages) {
    const hora_json *v = hora_json_get(record, key);
    const char *s;
    size_t n;
    if (hora_json_string(v, NULL)) {
        hora_chat_say(messages, role, hora_json_share(v));
        return HORA_OK;
    }
    if (hora_json_string(hora_json_at(v, 0), NULL)) /* refused: a table by its columns */
        return hora_source_string(record, key, true, &s, &n);
    if (hora_json_type(v) != HORA_JARRAY)
        return hora_fail(
            HORA_EFORMAT,
            "`%s` should be a string or a list of messages, is of type %s; correct the "
            "record",
            key, hora_json_type_name(hora_json_type(v)));
    return hora_chat_turns(v, messages);
}

static hora_status read_conversation(const hora_reader *r, const hora_json *record, const char *key,
                                     hora_samples *out) {
    hora_json *messages = hora_json_new_array();
    hora_chat chat = {.messages = messages};
    hora_status s = hora_chat_system(record, hora_json_get(record, "prompt"), messages);
    if (!s)
        s = add_messages(record, "user", "prompt", messages);
    chat.given = hora_json_len(messages);
    if (!s)
        s = add_messages(record, "assistant", key, messages);
    if (!s)
        s = hora_chat_take(r, record, &chat, out);
    hora_json_free(messages);
    return s;
}

/* What only a template could place. Columns of tables may be there and empty. */
static hora_status refuse_extras(const hora_json *record) {
    static const char *const keys[] = {"system", "tools", "functions", "documents",
                                       "chat_template_kwargs"};
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        const hora_json *v = hora_json_get(record, keys[i]);
        size_t n = hora_json_len(v);
        if (hora_json_string(v, NULL))
            hora_json_string(v, &n);
        if (n)
            return hora_fail(HORA_EFORMAT,
                             "`%s` has no place beside a prompt of plain text; give prompt and "
                             "completion as lists of messages, or write it into the prompt",
                             keys[i]);
    }
    return HORA_OK;
}

static hora_status read_completion(const hora_reader *r, const hora_json *record,
                                   hora_samples *out) {
    const char *prompt, *completion, *key;
    size_t np, nc;
    HORA_TRY(hora_source_either(record, completions, HORA_COUNT(completions), &key));
    if (hora_json_type(hora_json_get(record, "prompt")) == HORA_JARRAY ||
        hora_json_type(hora_json_get(record, key)) == HORA_JARRAY)
        return read_conversation(r, record, key, out);
    HORA_TRY(refuse_extras(record));
    HORA_TRY(hora_source_string(record, "prompt", true, &prompt, &np));
    HORA_TRY(hora_source_string(record, key, true, &completion, &nc));
    hora_source_pair(r, prompt, np, completion, nc, out);
    return HORA_OK;
}

const hora_source hora_source_completion = {.name = "completion",
                                            .keys = "prompt completion|response|output|answer",
                                            .more = "tools documents chat_template_kwargs",
                                            .shape = "{\"prompt\": .., \"completion\": ..}",
                                            .read = read_completion};
