#ifndef HORA_RUN_OPEN_H
#define HORA_RUN_OPEN_H
/*
 * The one way to open what a command works on: model, tokenizer with chat template, data; each
 * once, when it is first asked for. A model may be opened from headers, planned on, and completed
 * in place.
 */
#include "data/data.h"
#include "data/image_processor.h"
#include "model/family.h"
#include "task/task.h"

typedef struct hora_open_options {
    hora_dtype dtype;
    bool headers_only;   /* for plans and inspection; hora_base_complete gives it its data */
    bool config_alone;   /* as in hora_base_options */
    hora_dtype quantize; /* as in hora_base_options */
    bool double_quant, quantize_cache;
    const char *task;    /* NULL: what the model, or the adapter, is made for */
    int64_t frames;      /* of clips for a model of pictures: hora_objective_clips */
    int frame_attention; /* HORA_FRAMES_AUTO .. */
    const char *adapter; /* folder that will be loaded onto it: may bring task and classes; NULL */
    const hora_sharing *sharing; /* as in hora_base_options */
} hora_open_options;

typedef struct hora_opened { /* zeroed before the first call; must not move after it */
    hora_base *base;
    hora_objective objective;
    hora_tokenizer *tokenizer; /* NULL: not asked for yet */
    hora_template *chat;       /* NULL: the model has none, or it is refused */
    char *date;                /* today's, where the template asked and nobody gave one */
    bool chat_refused, headers_only;
    hora_comm *comm;                 /* ranks that open data together, borrowed; NULL: one alone */
    hora_image_processor *processor; /* how pictures are prepared; NULL: not asked for yet */
} hora_opened;

/* The model, and its objective. A task whose classes are not known yet (they come with the data)
 * leaves the base without head and data: hora_open_settle finishes both. */
hora_status hora_open_model(hora_opened *o, const char *dir, const hora_open_options *options);
/* The tokenizer beside the model. */
hora_status hora_open_tokenizer(hora_opened *o);
/* The same and the chat template, with the date *date (NULL, or NULL there: as hora_chat_open
 * says). One that cannot be read is said once; conversations are then refused by name. */
hora_status hora_open_chat(hora_opened *o, char **date);
/* For a model of pictures: how they are prepared, which the folder says (or, where it does not, the
 * usual way of that model type), and rows of that size. Nothing for others. *seq_len (may be NULL)
 * becomes the rows of a picture. */
hora_status hora_open_pictures(hora_opened *o, int64_t *seq_len);
/* A length that nobody gave: at most the model's context behind `front` positions
 * (hora_adapters_front), and of the task embedding what the folder says of texts. */
void hora_open_length(const hora_opened *o, int64_t front, int64_t *seq_len);
/* The data set in the file `path`, read as the task wants it; the caller closes it first.
 * config->date is filled in where the template asks for it. */
hora_status hora_open_data(hora_opened *o, hora_dataset **out, const char *path,
                           hora_data_config *config);
/* Fixes the classes by the training data, evaluation data (either may be NULL) and gives the base
 * the task's head. Nothing to do where that is settled. train: see hora_objective_settle. */
hora_status hora_open_settle(hora_opened *o, hora_dataset *data, hora_dataset *eval, bool train,
                             uint64_t seed);
/* The same for whoever reads no logits: where nobody knows the classes, a head stands in. */
hora_status hora_open_features(hora_opened *o);
/* Refuses to compute with a head that nobody trained. */
hora_status hora_open_trained(const hora_opened *o, hora_adapter *const *adapters, int n);
void hora_open_close(hora_opened *o); /* leaves it zeroed */
#endif
