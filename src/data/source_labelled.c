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

static hora_status read_labelled(const hora_reader *r, const hora_json *record, hora_samples *all) {
    hora_sample *out = hora_samples_add(all);
    const char *s, *first = NULL, *second = NULL;
    size_t n;
    (void)r;
    for (size_t i = 0; i < HORA_COUNT(columns) && !first; i++)
        if (hora_json_get(record, columns[i][0])) {
            first = columns[i][0];
            second = columns[i][1];
        }
    HORA_TRY(hora_source_string(record, first, true, &s, &n));
    hora_str_add(&out->text, s, n);
    if (second && hora_json_type(hora_json_get(record, second)) != HORA_JNULL)
        HORA_TRY(hora_source_string(record, second, true, &out->pair, &out->pair_n));
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
