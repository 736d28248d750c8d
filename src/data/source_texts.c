/*
 * {"anchor": .., "positive": .., "negative": ..}: texts whose vectors are to lie close together, or
 * apart; or {"sentence1": .., "sentence2": .., "score": ..}: two and how alike they are. Each text
 * becomes a sample of its own. `positive` may be a list of one, `negative` a list; negative_1,
 * negative_2 .. are more of them.
 */
#include "base/text.h"
#include "data/data_impl.h"

static const char *const firsts[] = {"anchor",    "query",    "sentence1", "premise",
                                     "question1", "question", "text"};
static const char *const seconds[] = {"positive",  "pos",       "sentence2", "hypothesis",
                                      "question2", "text_pair", "answer"};
static const char *const others[] = {"negative", "neg", "negatives", "hard_negative"};
static const char *const scores[] = {"score", "similarity_score", "similarity", "label"};

static const hora_json *named(const hora_json *record, const char *const *keys, size_t n,
                              const char **key) {
    for (size_t i = 0; i < n; i++) {
        *key = keys[i];
        if (hora_json_type(hora_json_get(record, keys[i])) != HORA_JNULL)
            return hora_json_get(record, keys[i]);
    }
    *key = keys[0];
    return NULL;
}

static hora_status take(hora_text_set *t, const char *key, const hora_json *v) {
    size_t n;
    const char *s = hora_json_string(v, &n);
    if (!s)
        return hora_fail(HORA_EFORMAT, "`%s` should be a text, is of type %s; correct the record",
                         key, hora_json_type_name(hora_json_type(v)));
    if (t->n == HORA_MOST_TEXTS)
        return hora_fail(HORA_EFORMAT, "a record has more than %d texts; leave some out",
                         HORA_MOST_TEXTS);
    t->at[t->n] = s;
    t->len[t->n++] = n;
    return HORA_OK;
}

static hora_status take_all(hora_text_set *t, const char *key, const hora_json *v) {
    if (hora_json_type(v) != HORA_JARRAY) {
        const char *text = hora_json_string(v, NULL);
        return text && !*text && t->n == 2 ? HORA_OK /* an empty cell */ : take(t, key, v);
    }
    for (size_t i = 0; i < hora_json_len(v); i++)
        HORA_TRY(take(t, key, hora_json_at(v, i)));
    return HORA_OK;
}

static hora_status negatives(const hora_json *record, hora_text_set *t) {
    const char *key;
    char numbered[32];
    const hora_json *v = named(record, others, HORA_COUNT(others), &key);
    if (v)
        HORA_TRY(take_all(t, key, v));
    for (int i = 1; i < HORA_MOST_TEXTS; i++) {
        hora_snprintf(numbered, sizeof numbered, "negative_%d", i);
        v = hora_json_get(record, numbered);
        const char *text = hora_json_string(v, NULL);
        if (hora_json_type(v) != HORA_JNULL && !(text && !*text)) /* an empty cell of a table */
            HORA_TRY(take(t, numbered, v));
    }
    return HORA_OK;
}

hora_status hora_record_text_set(const hora_json *record, hora_text_set *out) {
    const char *key;
    *out = (hora_text_set){.n = 0};
    const hora_json *v = named(record, firsts, HORA_COUNT(firsts), &key);
    HORA_TRY(take(out, key, v));
    v = named(record, seconds, HORA_COUNT(seconds), &key);
    if (v)
        HORA_TRY(take_all(out, key, v));
    if (out->n > 2)
        return hora_fail(HORA_EFORMAT,
                         "`%s` lists %d texts; an anchor has one of its own, write a record for "
                         "each of them",
                         key, out->n - 1);
    if (out->n == 2)
        HORA_TRY(negatives(record, out));
    v = named(record, scores, HORA_COUNT(scores), &key);
    out->score = v;
    return HORA_OK;
}

static hora_status read_texts(const hora_reader *r, const hora_json *record, hora_samples *all) {
    hora_text_set t;
    (void)r;
    HORA_TRY(hora_record_text_set(record, &t));
    if (t.n < 2)
        return hora_fail(HORA_EFORMAT, "the record has one text alone; give `positive` (or "
                                       "sentence2) beside it");
    if (t.score && t.n > 2)
        return hora_fail(HORA_EFORMAT,
                         "the record has a score and negatives, which are two ways of "
                         "saying what is alike; leave one out");
    for (int i = 0; i < t.n; i++) {
        hora_sample *s = hora_samples_add(all);
        hora_str_add(&s->text, t.at[i], t.len[i]);
        s->label = t.score;
    }
    return HORA_OK;
}

const hora_source hora_source_texts = {
    .name = "texts",
    .keys = "anchor|query|sentence1|premise|question1|question|text "
            "positive|pos|sentence2|hypothesis|question2|text_pair|answer",
    .more = "negative neg negatives hard_negative score similarity_score similarity label",
    .shape = "{\"anchor\": .., \"positive\": ..}, with \"negative\", or {\"sentence1\": .., "
             "\"sentence2\": .., \"score\": ..}",
    .read = read_texts,
    .labels = 1u << HORA_LABELS_TEXTS};
