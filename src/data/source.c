/*
 * The kinds of records (sources.def) and what they share: finding the kind of a record, strings
 * with clear errors, a prompt with its completion.
 */
#include "base/text.h"
#include "data/data_impl.h"
#include "data/files_impl.h"

#define SOURCE(name) extern const hora_source hora_source_##name;
#include "data/sources.def"
#undef SOURCE

const hora_source *const hora_sources[] = {
#define SOURCE(name) &hora_source_##name,
#include "data/sources.def"
#undef SOURCE
};

const int hora_nsources = (int)HORA_COUNT(hora_sources);

hora_sample *hora_samples_add(hora_samples *s) {
    HORA_PUSH(s->at, s->n, s->cap, (hora_sample){0});
    return &s->at[s->n - 1];
}

static void release(hora_sample *s) {
    hora_str_release(&s->text);
    hora_free(s->spans);
    *s = (hora_sample){0};
}

void hora_samples_release(hora_samples *s) {
    for (int i = 0; i < s->n; i++)
        release(&s->at[i]);
    hora_free(s->at);
    *s = (hora_samples){0};
}

void hora_sample_span(hora_sample *s, size_t from, size_t to) {
    if (to > from)
        HORA_PUSH(s->spans, s->nspans, s->cspans, ((hora_span){from, to}));
}

/* Words with blanks between them, of which a record has all; a|b: one of the two. *named: `columns`
 * gives one of them. */
static bool has_keys(const hora_json *record, const char *keys, const hora_columns *columns,
                     bool *named) {
    *named = false;
    for (char *group; (group = hora_list_word(&keys, " ")); hora_free(group)) {
        const char *rest = group;
        bool has = false;
        for (char *key; (key = hora_list_word(&rest, "|")); hora_free(key)) {
            has = has || hora_json_get(record, key) != NULL;
            *named |= columns && hora_columns_has(columns, key);
        }
        if (!has) {
            hora_free(group);
            return false;
        }
    }
    return true;
}

static bool is_for(const hora_source *s, hora_label_kind k) {
    return k == HORA_LABELS_NONE ? !s->labels : (s->labels & 1u << k) != 0;
}

const hora_source *hora_source_of(const hora_json *record, hora_label_kind k,
                                  const hora_columns *columns) {
    const hora_source *first = NULL;
    bool named;
    for (size_t i = 0; i < HORA_COUNT(hora_sources); i++) {
        if (!is_for(hora_sources[i], k) ||
            !has_keys(record, hora_sources[i]->keys, columns, &named))
            continue;
        if (named)
            return hora_sources[i];
        first = first ? first : hora_sources[i];
    }
    return first;
}

bool hora_source_names(const hora_json *record) {
    for (int k = HORA_LABELS_NONE; k < HORA_LABEL_KINDS; k++)
        if (hora_source_of(record, (hora_label_kind)k, NULL))
            return true;
    return false;
}

/* What people bring that is near to a record. */
static const char *looks_like(const hora_json *record) {
    static const struct {
        const char *keys, *hint;
    } rows[] = {
        {"prompt chosen rejected",
         "these are preferences; to learn the chosen answers give columns: "
         "completion=chosen"},
        {"chosen rejected", "these are preferences; to learn the chosen answers give columns: "
                            "text=chosen, or messages=chosen where they are lists"},
        {"input_ids", "these are tokens already; give the text that they were made of"},
        {"content", "one text: give columns: text=content"},
        {"role content", "one message; a record is a conversation: {\"messages\": [..]}"},
        {"from value", "one turn; a record is a conversation: {\"conversations\": [..]}"},
    };
    size_t best = 0;
    const char *hint = NULL;
    bool named;
    for (size_t i = 0; i < HORA_COUNT(rows); i++)
        if (strlen(rows[i].keys) > best && has_keys(record, rows[i].keys, NULL, &named)) {
            best = strlen(rows[i].keys);
            hint = rows[i].hint;
        }
    return hint;
}

/* A string that holds JSON: a record that was written twice. */
static bool written_twice(const hora_json *record) {
    size_t n;
    const char *s = hora_json_string(record, &n);
    hora_json *inner = NULL;
    const bool yes = s && n && strchr("{[", *s) && hora_json_parse(&inner, s, n, "") == HORA_OK;
    hora_json_free(inner);
    return yes;
}

hora_status hora_source_unknown(const hora_json *record, hora_label_kind k) {
    hora_str have = {0}, want = {0};
    hora_jtype type = hora_json_type(record);
    if (type != HORA_JOBJECT)
        hora_str_printf(&have, "a JSON %s", hora_json_type_name(type));
    else
        hora_str_puts(&have, hora_json_len(record) ? "the keys" : "no keys");
    int shown = 0;
    for (void *it = hora_json_iter(record); it && shown < 8; it = hora_json_next(record, it))
        hora_str_printf(&have, "%s `%.40s`", shown++ ? "," : "", hora_json_iter_key(it));
    for (size_t i = 0; i < HORA_COUNT(hora_sources); i++)
        if (is_for(hora_sources[i], k))
            hora_str_printf(&want, "%s%s", want.n ? " or " : "", hora_sources[i]->shape);
    const char *hint = type == HORA_JOBJECT ? looks_like(record) : NULL;
    bool other = false;
    for (int i = HORA_LABELS_NONE; i < HORA_LABEL_KINDS; i++)
        other = other || hora_source_of(record, (hora_label_kind)i, NULL);
    hora_status s =
        written_twice(record)
            ? hora_fail(HORA_EFORMAT, "a record is a string that holds JSON itself: it was written "
                                      "twice; write each record with json.dumps once")
        : hint ? hora_fail(HORA_EFORMAT, "a record has %s: %s", have.s, hint)
               : hora_fail(HORA_EFORMAT,
                           "a record has %s; write it as %s, or say which fields they are "
                           "(columns: prompt=question,completion=answer)%s",
                           have.s, want.s,
                           other ? ", or name the task that such records are for (task=NAME)" : "");
    hora_str_release(&have);
    hora_str_release(&want);
    return s;
}

hora_status hora_source_string(const hora_json *record, const char *key, bool need, const char **s,
                               size_t *n) {
    const hora_json *v = hora_json_get(record, key);
    *s = "";
    *n = 0;
    if (!need && hora_json_type(v) == HORA_JNULL)
        return HORA_OK;
    if (hora_json_string(hora_json_at(v, 0), NULL))
        return hora_fail(HORA_EFORMAT,
                         "`%s` is a list of strings; write a record for each of them (pandas: "
                         "to_json(.., orient=\"records\", lines=True))",
                         key);
    if (!v)
        return hora_fail(HORA_EFORMAT, "the record lacks `%s`; add it, or call it so", key);
    if (hora_json_type(v) != HORA_JSTRING)
        return hora_fail(HORA_EFORMAT, "`%s` should be a string, is %s%s; correct the record", key,
                         hora_json_type(v) == HORA_JNULL ? "" : "of type ",
                         hora_json_type_name(hora_json_type(v)));
    *s = hora_json_string(v, n);
    return HORA_OK;
}

static bool filled(const hora_json *v) {
    size_t n = hora_json_len(v);
    if (hora_json_string(v, NULL))
        hora_json_string(v, &n);
    return n || (hora_json_type(v) != HORA_JNULL && hora_json_type(v) != HORA_JSTRING &&
                 hora_json_type(v) != HORA_JARRAY && hora_json_type(v) != HORA_JOBJECT);
}

hora_status hora_source_either(const hora_json *record, const char *const *names, size_t n,
                               const char **key) {
    const char *there = NULL;
    *key = NULL;
    for (size_t i = 0; i < n; i++) {
        const hora_json *v = hora_json_get(record, names[i]);
        there = there || !v ? there : names[i];
        if (!filled(v) || hora_eq(*key, names[0]))
            continue;
        if (*key)
            return hora_fail(HORA_EFORMAT,
                             "the record has both `%s` and `%s`; say which of them is meant "
                             "(columns: %s=%s)",
                             *key, names[i], names[0], *key);
        *key = names[i];
    }
    *key = *key ? *key : there;
    return HORA_OK;
}

hora_status hora_source_history(const hora_json *record, const hora_json **history) {
    *history = hora_json_get(record, "history");
    if (hora_json_type(*history) != HORA_JNULL && hora_json_type(*history) != HORA_JARRAY)
        return hora_fail(HORA_EFORMAT, "`history` should be a list of pairs; correct the record");
    return HORA_OK;
}

hora_status hora_source_said(const hora_json *history, size_t i, const char *pair,
                             const char *said[2], size_t n[2]) {
    for (size_t k = 0; k < 2; k++)
        if (!(said[k] = hora_json_string(hora_json_at(hora_json_at(history, i), k), &n[k])))
            return hora_fail(HORA_EFORMAT,
                             "`history` should hold pairs of strings, %s; correct pair %zu of the "
                             "record",
                             pair, i + 1);
    return HORA_OK;
}

void hora_source_pair(const hora_reader *r, const char *prompt, size_t np, const char *completion,
                      size_t nc, hora_samples *out) {
    hora_sample *s = hora_samples_add(out);
    hora_str_add(&s->text, prompt, np);
    hora_str_add(&s->text, completion, nc);
    s->special = s->eos = true;
    hora_sample_span(s, r->train_on == HORA_TRAIN_ON_ALL ? 0 : np, np + nc);
}
