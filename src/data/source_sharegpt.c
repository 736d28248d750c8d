/*
 * {"conversations": [{"from": .., "value": ..}, ..], "system"?, "tools"?}, the form of ShareGPT:
 * the names of the speakers become roles, the rest is a conversation like any other (chat.c). Turns
 * with role and content are taken as they are.
 */
#include "data/data_impl.h"

const hora_source hora_source_sharegpt = {
    .name = "sharegpt",
    .keys = "conversations|conversation",
    .more = "system tools documents chat_template_kwargs",
    .shape = "{\"conversations\": [{\"from\": .., \"value\": ..}]}",
    .read = hora_chat_source};
