#ifndef HORA_DATA_LABELLED_H
#define HORA_DATA_LABELLED_H
/* Labelled records to ids; see labelled.c. Both append; a caller whose record fails cuts back. */
#include "data/data_impl.h"

/* What the tokenizer's post-processor puts around a text. */
typedef struct hora_frame {
    hora_ids prefix, suffix;
} hora_frame;
hora_status hora_frame_open(hora_frame *f, const hora_tokenizer *tok);
void hora_frame_release(hora_frame *f);
/* At most seq_len ids of text and pair; *cut: how many more there were. */
hora_status hora_labelled_text(const hora_reader *r, const hora_sample *s, int64_t seq_len,
                               hora_masked *out, int64_t *cut);
/* At most seq_len ids of the words, and a tag per id into l. Words that become nothing or are cut
 * off are counted as lost. */
hora_status hora_labelled_words(const hora_reader *r, const hora_frame *f, const hora_sample *s,
                                int64_t line, int64_t seq_len, hora_masked *out,
                                hora_label_store *l, int64_t *cut);
#endif
