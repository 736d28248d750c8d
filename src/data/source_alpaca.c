/*
 * {"instruction": .., "input": .., "output": ..} in the layout that the Alpaca data set fixed, with
 * and without input. The output counts, EOS behind it included. Other keys (answer, id) are not
 * read.
 */
#include "data/data_impl.h"

static const char with_input[] =
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n";
static const char without_input[] =
    "Below is an instruction that describes a task. Write a response "
    "that appropriately completes the request.\n\n";

static hora_status read_alpaca(const hora_reader *r, const hora_json *record, hora_sample *out) {
    const char *instruction, *input, *output;
    size_t n, ni, no;
    HORA_TRY(hora_source_string(record, "instruction", true, &instruction, &n));
    HORA_TRY(hora_source_string(record, "input", false, &input, &ni));
    HORA_TRY(hora_source_string(record, "output", true, &output, &no));
    hora_str b = {0};
    hora_str_puts(&b, ni ? with_input : without_input);
    hora_str_puts(&b, "### Instruction:\n");
    hora_str_add(&b, instruction, n);
    if (ni) {
        hora_str_puts(&b, "\n\n### Input:\n");
        hora_str_add(&b, input, ni);
    }
    hora_str_puts(&b, "\n\n### Response:\n");
    hora_source_pair(r, b.s, b.n, output, no, out);
    hora_str_release(&b);
    return HORA_OK;
}

const hora_source hora_source_alpaca = {
    "instruction output", "{\"instruction\": .., \"input\": .., \"output\": ..}", read_alpaca, 0};
