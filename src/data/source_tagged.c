/* {"tokens": [..], "tags": [..]}: words, and the class of each of them. */
#include "data/data_impl.h"

static const char *const tag_keys[] = {"tags", "ner_tags", "labels"};

static hora_status read_tagged(const hora_reader *r, const hora_json *record, hora_samples *all) {
    hora_sample *out = hora_samples_add(all);
    (void)r;
    out->words = hora_json_get(record, "tokens");
    if (!out->words)
        out->words = hora_json_get(record, "words");
    for (size_t i = 0; i < HORA_COUNT(tag_keys) && !out->label; i++)
        out->label = hora_json_get(record, tag_keys[i]);
    if (hora_json_type(out->words) != HORA_JARRAY || !hora_json_len(out->words))
        return hora_fail(HORA_EFORMAT, "`tokens` should be a list of words; correct the record");
    if (hora_json_type(out->label) != HORA_JARRAY ||
        hora_json_len(out->label) != hora_json_len(out->words))
        return hora_fail(HORA_EFORMAT,
                         "%zu words have %zu tags; `tags` should be a list with one for each word",
                         hora_json_len(out->words), hora_json_len(out->label));
    for (size_t i = 0; i < hora_json_len(out->words); i++)
        if (!hora_json_string(hora_json_at(out->words, i), NULL))
            return hora_fail(HORA_EFORMAT, "word %zu is no string; correct the record", i + 1);
    return HORA_OK;
}

const hora_source hora_source_tagged = {.name = "tagged",
                                        .keys = "tokens|words",
                                        .more = "tags ner_tags labels",
                                        .shape = "{\"tokens\": [..], \"tags\": [..]}",
                                        .read = read_tagged,
                                        .labels = 1u << HORA_LABELS_TAG};
