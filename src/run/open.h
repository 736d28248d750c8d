#ifndef HORA_RUN_OPEN_H
#define HORA_RUN_OPEN_H
/*
 * The one way to open what a command works on: model, tokenizer with chat template, data; each
 * once, when it is first asked for. A model may be opened from headers, planned on, and completed
 * in place.
 */
#include "data/data.h"
#include "model/family.h"

typedef struct hora_opened { /* zeroed before the first call */
    hora_base *base;
    hora_tokenizer *tokenizer; /* NULL: not asked for yet */
    hora_template *chat;       /* NULL: the model has none, or it is refused */
    bool chat_refused;
    char *date; /* today's, where the template asked and nobody gave one */
} hora_opened;

hora_status hora_open_model(hora_opened *o, const char *dir, const hora_base_options *options);
/* The tokenizer beside the model. */
hora_status hora_open_tokenizer(hora_opened *o);
/* The same and the chat template, with the date *date (NULL, or NULL there: as hora_chat_open
 * says). One that cannot be read is said once; conversations are then refused by name. */
hora_status hora_open_chat(hora_opened *o, char **date);
/* The data set in the file `path`, with the tokenizer; the caller closes it first. config->date is
 * filled in where the template asks for it. */
hora_status hora_open_data(hora_opened *o, hora_dataset **out, const char *path,
                           hora_data_config *config);
void hora_open_close(hora_opened *o); /* leaves it zeroed */
#endif
