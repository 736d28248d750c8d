/*
 * The kinds of records (sources.def) and what they share: finding the kind of a record, strings
 * with clear errors, a prompt with its completion, a conversation through the model's template.
 *
 * The mask of a conversation comes from prefixes: the template is rendered up to a turn of the
 * assistant with the generation prompt (what the model is given) and including the turn (what it
 * should have said); the difference, end mark included, is supervised. This asks no template for
 * special tags. It needs renderings that continue each other, and refuses templates without that.
 */
#include "base/text.h"
#include "data/data_impl.h"

#define SOURCE(name) extern const hora_source hora_source_##name;
#include "data/sources.def"
#undef SOURCE

static const hora_source *const sources[] = {
#define SOURCE(name) &hora_source_##name,
#include "data/sources.def"
#undef SOURCE
};

void hora_sample_release(hora_sample *s) {
    hora_str_release(&s->text);
    hora_free(s->spans);
    *s = (hora_sample){0};
}

void hora_sample_span(hora_sample *s, size_t from, size_t to) {
    if (to > from)
        HORA_PUSH(s->spans, s->nspans, s->cspans, ((hora_span){from, to}));
}

/* "a b|c": a, and one of b and c. */
static bool has_keys(const hora_json *record, const char *keys) {
    bool all = true, one = false;
    while (*keys) {
        size_t n = strcspn(keys, " |");
        char *key = hora_strndup(keys, n);
        one |= hora_json_get(record, key) != NULL;
        hora_free(key);
        keys += n;
        if (*keys != '|') {
            all &= one;
            one = false;
        }
        keys += *keys != 0;
    }
    return all;
}

static bool is_for(const hora_source *s, hora_label_kind k) {
    return k == HORA_LABELS_NONE ? !s->labels : (s->labels & 1u << k) != 0;
}

const hora_source *hora_source_of(const hora_json *record, hora_label_kind k) {
    for (size_t i = 0; i < HORA_COUNT(sources); i++)
        if (is_for(sources[i], k) && has_keys(record, sources[i]->keys))
            return sources[i];
    return NULL;
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
    for (size_t i = 0; i < HORA_COUNT(sources); i++)
        if (is_for(sources[i], k))
            hora_str_printf(&want, "%s%s", want.n ? " or " : "", sources[i]->shape);
    hora_status s = hora_fail(HORA_EFORMAT, "a record has %s; write it as %s", have.s, want.s);
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
    if (hora_json_type(v) != HORA_JSTRING)
        return hora_fail(HORA_EFORMAT, "`%s` should be a string, is %s %s; correct the record", key,
                         hora_json_type(v) == HORA_JNULL ? "" : "of type",
                         hora_json_type_name(hora_json_type(v)));
    *s = hora_json_string(v, n);
    return HORA_OK;
}

void hora_source_pair(const hora_reader *r, const char *prompt, size_t np, const char *completion,
                      size_t nc, hora_sample *out) {
    hora_str_add(&out->text, prompt, np);
    hora_str_add(&out->text, completion, nc);
    out->special = out->eos = true;
    hora_sample_span(out, r->train_on_prompt ? 0 : np, np + nc);
}

/* ---- conversations ---- */
static hora_json *chat_variables(const hora_tokenizer *tok, const hora_json *messages,
                                 const hora_json *tools) {
    const hora_json *map = hora_tokenizer_special_map(tok);
    hora_json *vars = map ? hora_json_copy(map) : hora_json_new_object();
    hora_json_set(vars, "messages", hora_json_copy(messages));
    hora_json_set(vars, "add_generation_prompt", hora_json_new_bool(false));
    if (tools)
        hora_json_set(vars, "tools", hora_json_copy(tools));
    return vars;
}

static hora_status check_messages(const hora_template *tmpl, const hora_json *messages) {
    if (!tmpl)
        return hora_fail(HORA_EUNSUPPORTED,
                         "a conversation needs the model's chat template, and this model has none; "
                         "put chat_template.jinja beside it, or write the records as prompt and "
                         "completion");
    if (hora_json_type(messages) != HORA_JARRAY || !hora_json_len(messages))
        return hora_fail(HORA_EFORMAT,
                         "a conversation should be a list of messages that is not empty; correct "
                         "the record");
    for (size_t i = 0; i < hora_json_len(messages); i++)
        if (!hora_json_string(hora_json_get(hora_json_at(messages, i), "role"), NULL))
            return hora_fail(HORA_EFORMAT,
                             "message %zu should be an object with a string `role`; correct the "
                             "record",
                             i + 1);
    return HORA_OK;
}

static bool is_prefix(const hora_str *a, const hora_str *b) {
    return a->n <= b->n && (!a->n || !memcmp(a->s, b->s, a->n));
}

/* The span of turn i: given[..] is what the model is given before it, said[..] what stands after
 * it. */
static hora_status turn_span(const hora_template *t, const hora_json *vars, int64_t i,
                             hora_sample *out) {
    hora_str given = {0}, said = {0};
    hora_status s = hora_template_render_turns(t, vars, i, 1, &given, NULL);
    if (s) {
        s = hora_context(s, "the prompt before message %lld cannot be rendered", (long long)i + 1);
        goto out;
    }
    s = hora_template_render_turns(t, vars, i + 1, 0, &said, NULL);
    if (s) {
        s = hora_context(s, "the first %lld messages cannot be rendered", (long long)i + 1);
        goto out;
    }
    if (!is_prefix(&given, &said))
        s = hora_fail(HORA_EUNSUPPORTED,
                      "the chat template writes message %lld in another way than its prompt leads "
                      "to, so what to learn is not certain; write this record as prompt and "
                      "completion",
                      (long long)i + 1);
    else if (!is_prefix(&said, &out->text))
        s = hora_fail(HORA_EUNSUPPORTED,
                      "the chat template writes message %lld in another way once messages follow "
                      "it, so what to learn is not certain; cut the conversation behind it, or "
                      "write this record as prompt and completion",
                      (long long)i + 1);
    else
        hora_sample_span(out, given.n, said.n);
out:
    hora_str_release(&given);
    hora_str_release(&said);
    return s;
}

hora_status hora_source_chat(const hora_reader *r, const hora_json *messages,
                             const hora_json *tools, hora_sample *out) {
    HORA_TRY(check_messages(r->tmpl, messages));
    hora_json *vars = chat_variables(r->tok, messages, tools);
    hora_status s = hora_template_render_turns(r->tmpl, vars, -1, 0, &out->text, NULL);
    if (!s && r->train_on_prompt)
        hora_sample_span(out, 0, out->text.n);
    for (size_t i = 0; i < hora_json_len(messages) && !s && !r->train_on_prompt; i++) {
        const char *role = hora_json_string(hora_json_get(hora_json_at(messages, i), "role"), NULL);
        if (hora_eq(role, "assistant") || hora_eq(role, "model"))
            s = turn_span(r->tmpl, vars, (int64_t)i, out);
    }
    hora_json_free(vars);
    if (!s && !out->nspans)
        s = hora_fail(HORA_EFORMAT,
                      "no message of the role `assistant`, so there is nothing to learn; "
                      "add one or remove the record");
    return s;
}

hora_status hora_chat_prompt(const hora_tokenizer *tok, const hora_template *tmpl,
                             const hora_json *messages, hora_ids *out, hora_str *text) {
    HORA_TRY(check_messages(tmpl, messages));
    size_t before = text->n;
    hora_json *vars = chat_variables(tok, messages, NULL);
    hora_status s = hora_template_render_turns(tmpl, vars, -1, 1, text, NULL);
    hora_json_free(vars);
    if (!s && text->n > before)
        s = hora_tokenizer_encode(tok, text->s + before, text->n - before, false, out);
    return s;
}
