/*
 * {"question": .., "answer": ..}: one question and its answer under the names that data sets have
 * for the two, with `system` and `history` ([[question, answer], ..], earlier ones) where they are.
 * They are a conversation in the model's chat template; a model without a template is asked in the
 * layout of Alpaca. What stands beside the question (a passage to read, choices) is refused: where
 * it belongs is not certain.
 */
#include "base/text.h"
#include "data/data_impl.h"

static const char *const questions[] = {"question", "query", "input"};
static const char *const answers[] = {"answer", "response", "output"};

/* What else the record has that could be part of question or answer. */
static hora_status check_beside(const hora_json *record, const char *question, const char *answer) {
    static const char *const keys[] = {"question", "query",    "input",   "context", "passage",
                                       "answer",   "response", "choices", "options", "output"};
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        const hora_json *v = hora_json_get(record, keys[i]);
        size_t n = hora_json_len(v);
        if (hora_json_string(v, NULL))
            hora_json_string(v, &n);
        if (n && !hora_eq(keys[i], question) && !hora_eq(keys[i], answer))
            return hora_fail(HORA_EFORMAT,
                             "`%s` stands beside `%s` and `%s`, and where it belongs is not "
                             "certain; write it into one of them, or say what is what (columns: "
                             "instruction=%s,input=%s,output=%s)",
                             keys[i], question, answer, question, keys[i], answer);
    }
    return HORA_OK;
}

static void add(hora_json *messages, const char *role, const char *s, size_t n) {
    hora_chat_say(messages, role, hora_json_new_string_n(s, n));
}

static hora_status earlier(const hora_json *record, hora_json *messages) {
    const hora_json *history;
    HORA_TRY(hora_source_history(record, &history));
    for (size_t i = 0; i < hora_json_len(history); i++) {
        const char *said[2];
        size_t n[2];
        HORA_TRY(hora_source_said(history, i, "[question, answer]", said, n));
        add(messages, "user", said[0], n[0]);
        add(messages, "assistant", said[1], n[1]);
    }
    return HORA_OK;
}

/* The record as the source `alpaca` reads it. */
static hora_status as_instruction(const hora_reader *r, const hora_json *record,
                                  const char *question, const char *answer, hora_samples *out) {
    static const char *const more[] = {"system", "history"};
    hora_json *o = hora_json_new_object();
    hora_json_set(o, "instruction", hora_json_share(hora_json_get(record, question)));
    hora_json_set(o, "output", hora_json_share(hora_json_get(record, answer)));
    for (size_t i = 0; i < HORA_COUNT(more); i++)
        if (hora_json_get(record, more[i]))
            hora_json_set(o, more[i], hora_json_share(hora_json_get(record, more[i])));
    hora_status s = hora_source_alpaca.read(r, o, out);
    hora_json_free(o);
    return s;
}

static hora_status read_exchange(const hora_reader *r, const hora_json *record, hora_samples *out) {
    const char *question, *answer, *q, *a;
    size_t nq, na;
    HORA_TRY(hora_source_either(record, questions, HORA_COUNT(questions), &question));
    HORA_TRY(hora_source_either(record, answers, HORA_COUNT(answers), &answer));
    HORA_TRY(hora_source_string(record, question, true, &q, &nq));
    HORA_TRY(hora_source_string(record, answer, true, &a, &na));
    HORA_TRY(check_beside(record, question, answer));
    if (!r->tmpl)
        return as_instruction(r, record, question, answer, out);
    hora_json *messages = hora_json_new_array();
    hora_chat chat = {.messages = messages};
    hora_status s = hora_chat_system(record, NULL, messages);
    if (!s)
        s = earlier(record, messages);
    add(messages, "user", q, nq);
    add(messages, "assistant", a, na);
    if (!s)
        s = hora_chat_take(r, record, &chat, out);
    hora_json_free(messages);
    return s;
}

const hora_source hora_source_exchange = {.name = "exchange",
                                          .keys = "question|query|input answer|response|output",
                                          .more = "system history tools documents "
                                                  "chat_template_kwargs",
                                          .shape = "{\"question\": .., \"answer\": ..}",
                                          .read = read_exchange};
