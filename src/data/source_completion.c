/*
 * {"prompt": .., "completion": ..}: the completion counts, EOS behind it included. Nothing is put
 * between the two; a completion that should start with a blank has it.
 */
#include "data/data_impl.h"

static hora_status read_completion(const hora_reader *r, const hora_json *record,
                                   hora_sample *out) {
    const char *prompt, *completion;
    size_t np, nc;
    HORA_TRY(hora_source_string(record, "prompt", true, &prompt, &np));
    HORA_TRY(hora_source_string(record, "completion", true, &completion, &nc));
    hora_source_pair(r, prompt, np, completion, nc, out);
    return HORA_OK;
}

const hora_source hora_source_completion = {
    "prompt completion", "{\"prompt\": .., \"completion\": ..}", read_completion, 0};
