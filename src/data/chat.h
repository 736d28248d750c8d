#ifndef HORA_DATA_CHAT_H
#define HORA_DATA_CHAT_H
/* Conversations as people write them, and the template that turns one into text; chat_read.c and
 * chat.c. Training and questions read them alike. */
#include "template/template.h"
#include "token/tokenizer.h"

/* A conversation. Zero-initialise, release. */
typedef struct hora_chat {
    const hora_json *messages;                   /* borrowed */
    const hora_json *tools, *documents, *kwargs; /* variables of the template; NULL: none */
    size_t given;                                /* that many messages are a prompt: not learned */
    hora_json *own[2];                           /* what was made of the record */
} hora_chat;
/* From a list of messages, or from an object with `messages` (or `conversations`, `conversation`)
 * and, where they are, `system`, `tools` (a list, an object, or either as JSON text),
 * `documents` and `chat_template_kwargs`; borrows from it. */
hora_status hora_chat_read(hora_chat *c, const hora_json *tree);
void hora_chat_release(hora_chat *c);
/* Appends {"role": role, "content": own_content}; the content's owner is the list now. */
void hora_chat_say(hora_json *messages, const char *role, hora_json *own_content);
/* Appends the conversation as the template writes it. `kwargs`: variables from outside, may be
 * NULL; the conversation's own win. */
hora_status hora_chat_text(const hora_tokenizer *tok, const hora_template *tmpl,
                           const hora_chat *chat, const hora_json *kwargs, bool prompt,
                           hora_str *text);
/* With the generation prompt (for generate --chat), tokenised without a second BOS. */
hora_status hora_chat_prompt(const hora_tokenizer *tok, const hora_template *tmpl,
                             const hora_chat *chat, const hora_json *kwargs, hora_ids *out,
                             hora_str *text);
/* The tokenizer's chat template, opened with the date; *out NULL: it has none. `date`: "" or NULL
 * there is today's, which is written into *date (owned) and said where the template asks for it. */
hora_status hora_chat_open(hora_template **out, const hora_tokenizer *tok, char **date);
/* A JSON object given as text (--chat-kwargs); NULL gives NULL. `what` names it in messages. */
hora_status hora_chat_object(hora_json **out, const char *text, const char *what);
#endif
