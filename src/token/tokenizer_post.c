/*
 * Post-processors: the ids put around a sequence (BOS, EOS, [CLS] ..). Each row becomes a list of
 * ids with HORA_TOK_SEQUENCE where the sequence goes; an empty list changes nothing. Only the form
 * for a single sequence is read.
 */
#include "token/tokenizer_impl.h"

static hora_status special_ids(hora_tok_part *p, const hora_json *table, const char *name) {
    const hora_json *ids = hora_json_get(hora_json_get(table, name), "ids");
    if (hora_json_type(ids) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT,
                         "TemplateProcessing: special token \"%.40s\" is not in "
                         "\"special_tokens\"; add it there",
                         name);
    for (size_t i = 0; i < hora_json_len(ids); i++) {
        int64_t id;
        if (!hora_json_int(hora_json_at(ids, i), &id) || id < 0 || id > INT32_MAX)
            return hora_fail(HORA_EFORMAT,
                             "TemplateProcessing: special token \"%.40s\" has an id that is no "
                             "id; correct \"special_tokens\"",
                             name);
        hora_ids_push(&p->ids, (int32_t)id);
    }
    return HORA_OK;
}

static hora_status template_load(hora_tok_part *p, const hora_json *o) {
    const hora_json *single = hora_json_get(o, "single"),
                    *table = hora_json_get(o, "special_tokens");
    if (hora_json_type(single) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT, "TemplateProcessing needs an array \"single\"; fetch the "
                                       "file again");
    int sequences = 0;
    for (size_t i = 0; i < hora_json_len(single); i++) {
        const hora_json *item = hora_json_at(single, i);
        const hora_json *special = hora_json_get(item, "SpecialToken");
        const char *name;
        if (special) {
            HORA_TRY(hora_json_get_string(special, "id", "", &name));
            HORA_TRY(special_ids(p, table, name));
            continue;
        }
        HORA_TRY(hora_json_get_string(hora_json_get(item, "Sequence"), "id", "", &name));
        if (!hora_eq(name, "A"))
            return hora_fail(HORA_EFORMAT,
                             "TemplateProcessing: item %zu of \"single\" is neither "
                             "a SpecialToken nor Sequence A; correct it",
                             i);
        sequences++;
        hora_ids_push(&p->ids, HORA_TOK_SEQUENCE);
    }
    if (sequences != 1)
        return hora_fail(HORA_EFORMAT,
                         "TemplateProcessing: \"single\" holds Sequence A %d times, "
                         "should be once; correct it",
                         sequences);
    return HORA_OK;
}

/* Roberta and Bert: cls $A sep, each given as [spelling, id]. */
static hora_status pair_load(hora_tok_part *p, const hora_json *o) {
    static const char *const keys[] = {"cls", "sep"};
    for (int i = 0; i < 2; i++) {
        int64_t id;
        if (!hora_json_int(hora_json_at(hora_json_get(o, keys[i]), 1), &id) || id < 0 ||
            id > INT32_MAX)
            return hora_fail(HORA_EFORMAT, "%s: \"%s\" should be [spelling, id]; correct it",
                             p->row->type, keys[i]);
        hora_ids_push(&p->ids, (int32_t)id);
        if (i == 0)
            hora_ids_push(&p->ids, HORA_TOK_SEQUENCE);
    }
    return HORA_OK;
}

const hora_tok_row hora_tok_postprocessors[] = {
    {.type = "TemplateProcessing", .load = template_load},
    {.type = "ByteLevel"}, /* moves offsets only */
    {.type = "RobertaProcessing", .load = pair_load},
    {.type = "BertProcessing", .load = pair_load},
};
const size_t hora_tok_n_postprocessors = HORA_COUNT(hora_tok_postprocessors);
