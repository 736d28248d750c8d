/*
 * {"instruction": .., "input"?, "output": .., "system"?, "history"?} in the layout that the Alpaca
 * data set fixed, with and without input. `system` stands in place of its first sentences;
 * `history` holds earlier exchanges, [[instruction, output], ..], in front in the same layout. The
 * outputs count, EOS behind each included. `context` is another word for the input, `response` and
 * `answer` for the output, where that is missing. Other keys (id) are not read.
 */
#include "data/data_impl.h"

static const char with_input[] =
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.";
static const char without_input[] =
    "Below is an instruction that describes a task. Write a response "
    "that appropriately completes the request.";

static const char *const inputs[] = {"input", "context"};
static const char *const outputs[] = {"output", "response", "answer"};

static void ask(hora_str *to, const char *instruction, size_t n, const char *input, size_t ni) {
    hora_str_puts(to, "\n\n### Instruction:\n");
    hora_str_add(to, instruction, n);
    if (ni) {
        hora_str_puts(to, "\n\n### Input:\n");
        hora_str_add(to, input, ni);
    }
    hora_str_puts(to, "\n\n### Response:\n");
}

/* Answers end in EOS, spelled out where something follows. */
static hora_status earlier(const hora_reader *r, const hora_json *history, hora_sample *s) {
    int32_t eos = hora_tokenizer_eos(r->tok);
    for (size_t i = 0; i < hora_json_len(history); i++) {
        const char *said[2];
        size_t n[2];
        HORA_TRY(hora_source_said(history, i, "[instruction, output]", said, n));
        ask(&s->text, said[0], n[0], "", 0);
        size_t from = s->text.n;
        hora_str_add(&s->text, said[1], n[1]);
        hora_str_puts(&s->text, eos >= 0 ? hora_tokenizer_token(r->tok, eos) : "");
        if (r->train_on == HORA_TRAIN_ON_ASSISTANT)
            hora_sample_span(s, from, s->text.n);
    }
    return HORA_OK;
}

static hora_status read_alpaca(const hora_reader *r, const hora_json *record, hora_samples *out) {
    const char *instruction, *input, *output, *system, *in_key, *out_key;
    size_t n, ni, no, ns;
    const hora_json *history;
    HORA_TRY(hora_source_either(record, inputs, HORA_COUNT(inputs), &in_key));
    HORA_TRY(hora_source_either(record, outputs, HORA_COUNT(outputs), &out_key));
    HORA_TRY(hora_source_string(record, "instruction", true, &instruction, &n));
    HORA_TRY(hora_source_string(record, in_key ? in_key : "input", false, &input, &ni));
    HORA_TRY(hora_source_string(record, out_key, true, &output, &no));
    HORA_TRY(hora_source_string(record, "system", false, &system, &ns));
    HORA_TRY(hora_source_history(record, &history));
    hora_sample *s = hora_samples_add(out);
    if (ns)
        hora_str_add(&s->text, system, ns);
    else
        hora_str_puts(&s->text, ni ? with_input : without_input);
    HORA_TRY(earlier(r, history, s));
    ask(&s->text, instruction, n, input, ni);
    size_t from = s->text.n;
    hora_str_add(&s->text, output, no);
    s->special = s->eos = true;
    hora_sample_span(s, r->train_on == HORA_TRAIN_ON_ALL ? 0 : from, s->text.n);
    return HORA_OK;
}

const hora_source hora_source_alpaca = {.name = "alpaca",
                                        .keys = "instruction output|response|answer",
                                        .more = "input context system history",
                                        .shape =
                                            "{\"instruction\": .., \"input\": .., \"output\": ..}",
                                        .read = read_alpaca};
