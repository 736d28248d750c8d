/*
 * {"messages": [{"role": .., "content": ..}, ..], "system"?, "tools"?, "documents"?, "chat_template_kwargs"?}:
 * a conversation in the model's own chat template; what the assistant says counts (chat.c).
 */
#include "data/data_impl.h"

const hora_source hora_source_messages = {.name = "messages",
                                          .keys = "messages",
                                          .more = "system tools documents chat_template_kwargs",
                                          .shape =
                                              "{\"messages\": [{\"role\": .., \"content\": ..}]}",
                                          .read = hora_chat_source};
