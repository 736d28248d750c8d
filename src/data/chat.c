/*
 * Conversations: which of the text that the model's chat template makes of them is supervised, and
 * in which sequences. The authorities, in this order:
 *
 *   1. {% generation %} blocks of the template say it.
 *   2. The common part. P is the rendering of what stands before a turn of the assistant, with the
 *      generation prompt; C the rendering up to and with the turn. What of C stands behind their
 *      longest common prefix is what the model has to write: P may go further than C begins (an
 *      opened block of thinking). In the whole conversation W it counts if C is a prefix of W but
 *      for an end mark that the template writes behind the last message only.
 *   3. A turn that W writes in another way (thinking that is dropped once the next question comes)
 *      is a sequence of its own: C, as the model sees it when it answers.
 *   4. A turn whose P or C the template cannot render (the assistant speaks first) is context.
 *
 * What is not certain is refused with its reason (chat_common.c).
 */
#include "base/log.h"
#include "base/text.h"
#include "data/chat_impl.h"

static void release(hora_talk *t) {
    for (int i = 0; i < t->ncuts; i++)
        hora_cut_release(&t->cuts[i]);
    hora_free(t->cuts);
    hora_free(t->turns);
    hora_free(t->spoken.at);
    hora_str_release(&t->whole);
    hora_str_release(&t->ending);
    hora_json_free(t->vars);
}

static bool is_assistant(const hora_json *message) {
    return hora_eq(hora_json_string(hora_json_get(message, "role"), NULL), "assistant");
}

/* OpenAI and Mistral; axolotl, twice; ms-swift; axolotl for parts of a message, never a number. */
static const char *const weights[] = {"weight", "train", "training", "loss", "train_detail"};

static hora_status weight_of(const hora_json *message, size_t i, bool *off) {
    *off = false;
    for (size_t k = 0; k < HORA_COUNT(weights); k++) {
        const hora_json *w = hora_json_get(message, weights[k]);
        double v = 1;
        bool yes = true;
        if (hora_json_type(w) == HORA_JNULL)
            continue;
        if (!hora_json_bool(w, &yes) && (!hora_json_real(w, &v) || (v != 0 && v != 1)))
            return hora_fail(HORA_EUNSUPPORTED,
                             "`%s` of message %zu is neither 0 (not to be learned) nor 1; correct "
                             "the record",
                             weights[k], i + 1);
        *off = *off || !yes || v == 0;
    }
    return HORA_OK;
}

static hora_status find_turns(hora_talk *t) {
    for (size_t i = 0; i < t->messages; i++) {
        const hora_json *m = hora_json_at(t->chat->messages, i);
        hora_turn k = {.message = i, .after = -1};
        HORA_TRY(weight_of(m, i, &k.off));
        k.off = k.off || (i < t->chat->given && t->r->train_on != HORA_TRAIN_ON_ALL);
        if (is_assistant(m))
            HORA_PUSH(t->turns, t->nturns, t->cturns, k);
    }
    if (!t->nturns && t->r->train_on != HORA_TRAIN_ON_ALL)
        return hora_fail(HORA_EFORMAT, "no message of the role `assistant`, so there is nothing to "
                                       "learn; add one or remove the record");
    return HORA_OK;
}

static int add_cut(hora_talk *t, size_t turns, bool prompt) {
    HORA_PUSH(t->cuts, t->ncuts, t->ccuts, ((hora_cut){.turns = (int64_t)turns, .prompt = prompt}));
    return t->ncuts - 1;
}

/* The whole text and, unless blocks say what counts, the cuts around every turn. */
static hora_status render(hora_talk *t, bool need_cuts) {
    for (size_t i = 0; i < t->nturns && need_cuts; i++) {
        hora_turn *k = &t->turns[i];
        k->before = add_cut(t, k->message, true);
        if (k->message + 1 < t->messages)
            k->after = add_cut(t, k->message + 1, false);
    }
    const hora_status s =
        hora_template_render_cuts(t->r->tmpl, t->vars, &t->whole, &t->spoken, t->cuts, t->ncuts);
    return s ? hora_chat_explain(t->r->tmpl, t->vars, s) : HORA_OK;
}

/* ---- sequences ---- */
static hora_sample *sequence(hora_talk *t, const hora_seen *text) {
    hora_sample *s = hora_samples_add(t->out);
    if (text->shared)
        hora_str_add(&s->text, text->w, text->shared);
    if (text->n > text->shared)
        hora_str_add(&s->text, text->tail, text->n - text->shared);
    return s;
}

/* The turn as a sequence of its own: C. */
static void own_sequence(hora_talk *t, const hora_turn *k) {
    hora_seen c =
        k->after >= 0 ? hora_seen_of(&t->whole, &t->cuts[k->after]) : hora_seen_all(&t->whole);
    bool all = t->r->train_on == HORA_TRAIN_ON_ALL;
    if (k->joined) {
        hora_seen p = hora_seen_of(&t->whole, &t->cuts[k->before]);
        hora_sample *s = sequence(t, &p);
        for (size_t i = k->from; i < k->to; i++)
            hora_str_putc(&s->text, hora_seen_at(&c, i));
        hora_sample_span(s, all ? 0 : p.n, s->text.n);
        return;
    }
    hora_sample_span(sequence(t, &c), all ? 0 : k->from, all ? c.n : k->to);
}

/* The last turn that can be learned. */
static const hora_turn *last_turn(const hora_talk *t) {
    const hora_turn *last = NULL;
    for (size_t i = 0; i < t->nturns; i++)
        if (!t->turns[i].off && !t->turns[i].context)
            last = &t->turns[i];
    return last;
}

static bool wanted(const hora_talk *t, const hora_turn *k, const hora_turn *last) {
    return !k->off && !k->context && (t->r->train_on != HORA_TRAIN_ON_LAST || k == last);
}

/* Sequence W with the turns that it has. */
static void whole_sequence(hora_talk *t, const hora_turn *last) {
    hora_seen w = hora_seen_all(&t->whole);
    bool some = false;
    for (size_t i = 0; i < t->nturns; i++)
        some = some || (t->turns[i].fits && wanted(t, &t->turns[i], last));
    if (!some)
        return;
    hora_sample *s = sequence(t, &w);
    for (size_t i = 0; i < t->nturns; i++)
        if (t->turns[i].fits && wanted(t, &t->turns[i], last))
            hora_sample_span(s, t->turns[i].from, t->turns[i].to);
}

/* Everything but the turns of weight 0. */
static hora_status everything(hora_talk *t) {
    hora_seen w = hora_seen_all(&t->whole);
    hora_sample *s = sequence(t, &w);
    size_t from = 0;
    for (size_t i = 0; i < t->nturns; i++) {
        const hora_turn *k = &t->turns[i];
        if (!k->off)
            continue;
        if (!k->fits || k->context)
            return hora_fail(HORA_EUNSUPPORTED,
                             "where message %zu, of weight 0, stands in the text is not certain; "
                             "remove it or train on the assistant only",
                             k->message + 1);
        hora_sample_span(s, from, k->from);
        from = k->to;
    }
    hora_sample_span(s, from, w.n);
    return HORA_OK;
}

static hora_status nothing_left(const hora_talk *t) {
    for (size_t i = 0; i < t->nturns; i++) {
        const hora_turn *k = &t->turns[i];
        const char *why = k->off || !t->cuts ? NULL : t->cuts[k->before].failed;
        if (!why && !k->off && k->after >= 0)
            why = t->cuts[k->after].failed;
        if (why)
            return hora_fail(
                HORA_EFORMAT,
                "the prompt before message %zu cannot be rendered, so there is nothing "
                "to learn: %s",
                k->message + 1, why);
    }
    for (size_t i = 0; i < t->nturns; i++)
        if (!t->turns[i].off && !t->turns[i].message)
            return hora_fail(HORA_EFORMAT,
                             "the assistant speaks first, and what the chat template writes in "
                             "front of that is not certain, so there is nothing to learn; begin "
                             "with a question");
    return hora_fail(HORA_EFORMAT, "no message of the assistant counts, so there is nothing to "
                                   "learn; give one a weight other than 0, or remove the record");
}

static hora_status sequences_of_turns(hora_talk *t) {
    for (size_t i = 0; i < t->nturns; i++)
        HORA_TRY(hora_chat_measure(t, &t->turns[i]));
    const hora_turn *last = last_turn(t);
    if (t->r->train_on == HORA_TRAIN_ON_ALL && t->r->turns != HORA_TURNS_SPLIT)
        return everything(t);
    bool split = t->r->turns == HORA_TURNS_SPLIT, only_last = t->r->turns == HORA_TURNS_LAST;
    /* `last` is the sequence that ends with the last turn; where more follows it, that is not W */
    if (only_last && last && !last->fits) {
        own_sequence(t, last);
        t->out->told.dropped += (int64_t)t->nturns - 1;
        return HORA_OK;
    }
    for (size_t i = 0; i < t->nturns; i++) {
        const hora_turn *k = &t->turns[i];
        t->out->told.context += k->context && !k->off;
        if (!wanted(t, k, last) || (k->fits && !split))
            continue;
        if (only_last) {
            t->out->told.dropped++;
            continue;
        }
        own_sequence(t, k);
        t->out->told.split++;
    }
    if (!split)
        whole_sequence(t, last);
    return t->out->n ? HORA_OK : nothing_left(t);
}

/* ---- generation blocks ---- */
/* How many blocks the rendering of the first `messages` messages has. */
static hora_status blocks(const hora_talk *t, size_t messages, hora_str *text, hora_spans *at_,
                          int *n) {
    text->n = 0;
    HORA_TRY(hora_template_render_turns(t->r->tmpl, t->vars, (int64_t)messages, 0, text, at_));
    *n = at_->n;
    return HORA_OK;
}

/* Which blocks of W are those of turn i: [first[i], first[i + 1]). One each where the numbers
 * agree; else they are counted as the conversation grows. */
static hora_status owners(const hora_talk *t, int *first) {
    hora_str text = {0};
    hora_spans at_ = {0};
    hora_status s = HORA_OK;
    size_t n = t->nturns;
    bool one = (size_t)t->spoken.n == n;
    for (size_t i = 0; i <= n; i++)
        first[i] = one ? (int)i : 0;
    for (size_t i = 0; i < n && !one && !s; i++)
        s = blocks(t, t->turns[i].message + 1, &text, &at_, &first[i + 1]);
    for (size_t i = 0; i < n && !s; i++)
        if (first[i + 1] < first[i] || first[n] != t->spoken.n)
            s = hora_fail(HORA_EUNSUPPORTED,
                          "which generation blocks of the template belong to which message is not "
                          "certain; leave `weight` and train_on=last out");
    hora_str_release(&text);
    hora_free(at_.at);
    return s;
}

/* A sequence per turn: the conversation up to it, with the blocks that it adds. */
static hora_status split_blocks(hora_talk *t, const hora_turn *last) {
    hora_spans at_ = {0};
    hora_status s = HORA_OK;
    for (size_t i = 0; i < t->nturns && !s; i++) {
        const hora_turn *k = &t->turns[i];
        hora_str text = {0};
        int before = 0, n = 0;
        if (!wanted(t, k, last))
            continue;
        if (k->message)
            s = blocks(t, k->message, &text, &at_, &before);
        if (!s)
            s = blocks(t, k->message + 1, &text, &at_, &n);
        if (!s && n > before) {
            hora_seen v = hora_seen_all(&text);
            hora_sample *r = sequence(t, &v);
            for (int b = before; b < n; b++)
                hora_sample_span(r, at_.at[b].from, at_.at[b].to);
            t->out->told.split++;
        }
        hora_str_release(&text);
    }
    hora_free(at_.at);
    return s;
}

static hora_status sequences_of_blocks(hora_talk *t) {
    const hora_turn *last = last_turn(t);
    bool some = t->r->train_on == HORA_TRAIN_ON_LAST;
    for (size_t i = 0; i < t->nturns; i++)
        some = some || t->turns[i].off;
    if (t->r->turns == HORA_TURNS_SPLIT) {
        HORA_TRY(split_blocks(t, last));
    } else if (t->spoken.n) {
        int *first = hora_calloc(t->nturns + 1, sizeof *first);
        hora_status s = some ? owners(t, first) : HORA_OK;
        hora_seen w = hora_seen_all(&t->whole);
        hora_sample *r = sequence(t, &w);
        for (int b = 0; b < t->spoken.n && !s && !some; b++)
            hora_sample_span(r, t->spoken.at[b].from, t->spoken.at[b].to);
        for (size_t i = 0; i < t->nturns && !s && some; i++)
            for (int b = first[i]; b < first[i + 1] && wanted(t, &t->turns[i], last); b++)
                hora_sample_span(r, t->spoken.at[b].from, t->spoken.at[b].to);
        hora_free(first);
        HORA_TRY(s);
        if (!r->nspans)
            return nothing_left(t);
    }
    if (!t->out->n)
        return hora_fail(HORA_EFORMAT, "the template's generation blocks hold nothing of this "
                                       "conversation, so there is nothing to learn");
    return HORA_OK;
}

/* ---- variables ---- */
static void set_shared(hora_json *vars, const char *key, const hora_json *v) {
    hora_json_set(vars, key, v ? hora_json_share(v) : hora_json_new_null());
}

/* What transformers gives a template: the special tokens, messages, tools and documents (none where
 * there are none), then whatever chat_template_kwargs name. The record's win. */
static hora_json *variables(const hora_reader *r, const hora_chat *c) {
    const hora_json *map = hora_tokenizer_special_map(r->tok);
    hora_json *vars = map ? hora_json_copy(map) : hora_json_new_object();
    const hora_json *more[] = {r->kwargs, c->kwargs};
    set_shared(vars, "messages", c->messages);
    set_shared(vars, "tools", c->tools);
    set_shared(vars, "documents", c->documents);
    hora_json_set(vars, "add_generation_prompt", hora_json_new_bool(false));
    for (size_t i = 0; i < HORA_COUNT(more); i++)
        for (void *it = hora_json_iter(more[i]); it; it = hora_json_next(more[i], it))
            set_shared(vars, hora_json_iter_key(it), hora_json_iter_value(it));
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

hora_status hora_chat_samples(const hora_reader *r, const hora_chat *c, hora_samples *out) {
    HORA_TRY(check_messages(r->tmpl, c->messages));
    hora_chat fitted = *c;
    hora_talk t = {.r = r,
                   .chat = &fitted,
                   .specials = hora_tokenizer_special_map(r->tok),
                   .given = c->messages,
                   .messages = hora_json_len(c->messages),
                   .out = out};
    bool blocks_say = hora_template_generates(r->tmpl) && r->train_on != HORA_TRAIN_ON_ALL;
    t.vars = variables(r, c);
    bool off = false;
    hora_status s;
    hora_chat_normal(t.vars);
    HORA_TRY_OUT(s, hora_chat_fit(r->tmpl, t.vars, out));
    fitted.messages = hora_json_get(t.vars, "messages");
    HORA_TRY_OUT(s, find_turns(&t));
    for (size_t i = 0; i < t.nturns; i++)
        off = off || t.turns[i].off;
    bool plain = r->train_on == HORA_TRAIN_ON_ALL && r->turns != HORA_TURNS_SPLIT && !off;
    if (plain)
        t.nturns = 0; /* no turn has to be found */
    HORA_TRY_OUT(s, render(&t, !blocks_say));
    hora_chat_look(&t);
    s = blocks_say ? sequences_of_blocks(&t) : sequences_of_turns(&t);
out:
    release(&t);
    return s;
}

hora_status hora_chat_text(const hora_tokenizer *tok, const hora_template *tmpl,
                           const hora_chat *chat, const hora_json *kwargs, bool prompt,
                           hora_str *text) {
    const hora_reader r = {.tok = tok, .tmpl = tmpl, .kwargs = kwargs};
    HORA_TRY(check_messages(tmpl, chat->messages));
    hora_json *vars = variables(&r, chat);
    hora_samples counts = {0};
    hora_str own = {0};
    hora_chat_normal(vars);
    hora_status s = hora_chat_fit(tmpl, vars, &counts);
    if (!s && (s = hora_template_render_turns(tmpl, vars, -1, prompt, &own, NULL)) != HORA_OK)
        s = hora_chat_explain(tmpl, vars, s);
    const int64_t nulls = s ? 0 : hora_chat_nulls(tmpl, vars, chat->messages, prompt, &own);
    if (nulls)
        hora_info("%lld messages have keys that are null: the template does not see them (it would "
                  "have written them, or failed)",
                  (long long)nulls);
    static const char *const lists[] = {"tools", "documents"};
    for (size_t i = 0; i < HORA_COUNT(lists) && !s; i++)
        if (hora_chat_leaves_out(tmpl, vars, lists[i], prompt, &own))
            hora_info("the template does not write the %s of this conversation: the model does not "
                      "see them",
                      lists[i]);
    if (!s)
        hora_str_add(text, own.s, own.n);
    hora_str_release(&own);
    hora_json_free(vars);
    return s;
}

hora_status hora_chat_prompt(const hora_tokenizer *tok, const hora_template *tmpl,
                             const hora_chat *chat, const hora_json *kwargs, hora_ids *out,
                             hora_str *text) {
    size_t before = text->n;
    HORA_TRY(hora_chat_text(tok, tmpl, chat, kwargs, true, text));
    return text->n > before
               ? hora_tokenizer_encode(tok, text->s + before, text->n - before, false, out)
               : HORA_OK;
}
