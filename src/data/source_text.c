/*
 * {"text": ..}: a document. All of it counts, EOS behind it included. BOS comes from the
 * tokenizer's post-processor, as in pre-training; not again where the text begins with it.
 */
#include "data/data_impl.h"

static hora_status read_text(const hora_reader *r, const hora_json *record, hora_samples *out) {
    const char *s;
    size_t n;
    (void)r;
    HORA_TRY(hora_source_string(record, "text", true, &s, &n));
    if (!n)
        return hora_fail(HORA_EFORMAT, "`text` is empty; fill it or remove the record");
    hora_sample *sequence = hora_samples_add(out);
    hora_str_add(&sequence->text, s, n);
    sequence->special = sequence->eos = true;
    hora_sample_span(sequence, 0, n);
    return HORA_OK;
}

const hora_source hora_source_text = {
    .name = "text", .keys = "text", .shape = "{\"text\": ..}", .read = read_text};
