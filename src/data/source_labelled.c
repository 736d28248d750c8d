/*
 * {"text": .., "text_pair": .., "label": ..}: a text, or a pair of them, and what it is: a class, a
 * list of classes, a number. The columns of GLUE are known by their own names too.
 */
#include "base/text.h"
#include "data/data_impl.h"

/* first text, second text */
static const char *const columns[][2] = {
    {"text", "text_pair"},     {"sentence", NULL},         {"sentence1", "sentence2"},
    {"premise", "hypothesis"}, {"question1", "question2"},
};

hora_status hora_record_texts(const hora_json *record, hora_text_pair *out) {
    const char *first = NULL, *second = NULL;
    *out = (hora_text_pair){0};
    for (size_t i = 0; i < HORA_COUNT(columns) && !first; i++)
        if (hora_json_get(record, columns[i][0])) {
            first = columns[i][0];
            second = columns[i][1];
        }
    HORA_TRY(hora_source_string(record, first ? first : "text", true, &out->first, &out->nfirst));
    return second && hora_json_type(hora_json_get(record, second)) != HORA_JNULL
               ? hora_source_string(record, second, true, &out->second, &out->nsecond)
               : HORA_OK;
}

static hora_status read_labelled(const hora_reader *r, const hora_json *record, hora_samples *all) {
    hora_sample *out = hora_samples_add(all);
    hora_text_pair text;
    (void)r;
    HORA_TRY(hora_record_texts(record, &text));
    hora_str_add(&out->text, text.first, text.nfirst);
    out->pair = text.second;
    out->pair_n = text.nsecond;
    out->label = hora_json_get(record, "label");
    if (!out->label)
        out->label = hora_json_get(record, "labels");
    return HORA_OK;
}

const hora_source hora_source_labelled = {
    .name = "labelled",
    .keys = "text|sentence|sentence1|premise|question1",
    .more = "text_pair sentence2 hypothesis question2 label labels",
    .shape = "{\"text\": .., \"label\": ..}, with \"text_pair\" for pairs",
    .read = read_labelled,
    .labels = 1u << HORA_LABELS_CLASS | 1u << HORA_LABELS_NUMBER};
