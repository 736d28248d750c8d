/*
 * {"messages": [{"role": .., "content": ..}, ..], "tools": [..]}: a conversation in the model's own
 * chat template; what the assistant says counts (source.c).
 */
#include "data/data_impl.h"

static hora_status read_messages(const hora_reader *r, const hora_json *record, hora_sample *out) {
    return hora_source_chat(r, hora_json_get(record, "messages"), hora_json_get(record, "tools"),
                            out);
}

const hora_source hora_source_messages = {
    "messages", "{\"messages\": [{\"role\": .., \"content\": ..}]}", read_messages, 0};
