/*
 * {"messages": [{"role": .., "content": ..}, ..], "tools"?, "documents"?, "chat_template_kwargs"?}:
 * a conversation in the model's own chat template; what the assistant says counts (chat.c).
 */
#include "data/data_impl.h"

static hora_status read_messages(const hora_reader *r, const hora_json *record, hora_samples *out) {
    hora_chat chat;
    hora_status s = hora_chat_read(&chat, record);
    if (!s)
        s = hora_chat_samples(r, &chat, out);
    hora_chat_release(&chat);
    return s;
}

const hora_source hora_source_messages = {.name = "messages",
                                          .keys = "messages",
                                          .shape =
                                              "{\"messages\": [{\"role\": .., \"content\": ..}]}",
                                          .read = read_messages};
