/*
 * The loop of generation: feed, draw, stop, stream. Text is decoded from a short window of tokens,
 * so that its cost per token does not grow; what may still change (half a character, the beginning
 * of the stop text) is held back.
 */
#include "infer/generate.h"

#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "format/hf_config.h"
#include "template/template.h"

/* --- what ends an answer ---------------------------------------------------------------------- */
static void add_once(hora_ids *v, int32_t id) {
    for (size_t i = 0; i < v->n; i++)
        if (v->at[i] == id)
            return;
    if (id >= 0)
        hora_ids_push(v, id);
}

/* The token behind an assistant's answer in the rendered template, or -1: rendered once with a
 * mark as the answer, what follows the mark ends the turn. */
static hora_status turn_end(const hora_tokenizer *t, int32_t *id) {
    static const char mark[] = "ANSWER";
    static const char talk[] = "[{\"role\":\"user\",\"content\":\"QUESTION\"},"
                               "{\"role\":\"assistant\",\"content\":\"ANSWER\"}]";
    const char *source = hora_tokenizer_chat_template(t);
    hora_template *tmpl = NULL;
    hora_json *vars = NULL, *messages = NULL;
    hora_str text = {0};
    hora_ids tail = {0};
    *id = -1;
    if (!source)
        return HORA_OK;
    hora_status s = hora_template_open(&tmpl, source, strlen(source), "chat template");
    if (s == HORA_OK)
        s = hora_json_parse(&messages, talk, sizeof talk - 1, "turn end");
    if (s != HORA_OK)
        goto out;
    vars = hora_json_copy(hora_tokenizer_special_map(t));
    hora_json_set(vars, "messages", messages);
    hora_json_set(vars, "add_generation_prompt", hora_json_new_bool(false));
    s = hora_template_render(tmpl, vars, &text);
    const char *found = s == HORA_OK && text.s ? strstr(text.s, mark) : NULL;
    if (!found)
        goto out;
    found += sizeof mark - 1;
    s = hora_tokenizer_encode(t, found, strlen(found), false, &tail);
    for (size_t i = 0; i < tail.n && *id < 0; i++)
        if (hora_tokenizer_is_special(t, tail.at[i]))
            *id = tail.at[i];
out:
    hora_template_close(tmpl);
    hora_json_free(vars);
    hora_str_release(&text);
    hora_ids_release(&tail);
    return s;
}

hora_status hora_stop_ids(const hora_tokenizer *t, const char *dir, bool chat, hora_ids *out) {
    int32_t eos[32], id = -1;
    int n = 0;
    HORA_TRY(hora_hf_eos_ids(dir, eos, HORA_COUNT(eos), &n));
    for (int i = 0; i < n; i++)
        add_once(out, eos[i]);
    if (t)
        add_once(out, hora_tokenizer_eos(t));
    if (t && chat)
        HORA_TRY(turn_end(t, &id));
    add_once(out, id);
    return HORA_OK;
}

/* --- text ------------------------------------------------------------------------------------- */
typedef struct stream {
    const hora_tokenizer *t;
    hora_ids all;        /* prompt's tail and everything new */
    size_t prefix, read; /* text of all[prefix..read) has been taken */
    size_t sent;         /* bytes of g->text that `piece` has seen */
} stream;

enum { WINDOW = 16 }; /* tokens of the prompt that decide how the first new one is spelled */

static void stream_start(stream *s, const hora_tokenizer *t, const int32_t *prompt, size_t n) {
    *s = (stream){.t = t};
    for (size_t i = n > WINDOW ? n - WINDOW : 0; i < n; i++)
        hora_ids_push(&s->all, prompt[i]);
    s->read = s->all.n;
}

/* Appends the text that became certain with the tokens so far; with `end`, all of it. */
static hora_status stream_take(stream *s, bool end, hora_str *out) {
    hora_str before = {0}, now = {0};
    const int32_t *ids = s->all.at + s->prefix;
    hora_status st = hora_tokenizer_decode_stable(s->t, ids, s->read - s->prefix, true, &before);
    if (st == HORA_OK)
        st = (end ? hora_tokenizer_decode
                  : hora_tokenizer_decode_stable)(s->t, ids, s->all.n - s->prefix, true, &now);
    if (st == HORA_OK && now.n > before.n) {
        hora_str_add(out, now.s + before.n, now.n - before.n);
        s->prefix = s->read;
        s->read = s->all.n;
    }
    hora_str_release(&before);
    hora_str_release(&now);
    return st;
}

/* Bytes at the end of text[0..n) that may be the beginning of `stop`. */
static size_t overlap(const char *text, size_t n, const char *stop) {
    const size_t most = strlen(stop) - 1;
    for (size_t k = most < n ? most : n; k > 0; k--)
        if (memcmp(text + n - k, stop, k) == 0)
            return k;
    return 0;
}

/* Hands out what is certain. False: the caller or the stop text ends it. */
static bool hand_out(hora_generation *g, stream *s, size_t start, bool end) {
    const char *stop = g->sampling->stop;
    const bool stops = stop && *stop && g->text.n > start;
    char *hit = stops ? strstr(g->text.s + start, stop) : NULL;
    size_t upto = g->text.n;
    if (hit) {
        upto = g->text.n = (size_t)(hit - g->text.s);
        *hit = 0;
        g->finish = "stop";
    } else if (stops && !end) {
        upto -= overlap(g->text.s + start, g->text.n - start, stop);
    }
    if (upto > s->sent && g->piece && !g->piece(g->user, g->text.s + s->sent, upto - s->sent))
        g->finish = "caller";
    s->sent = upto > s->sent ? upto : s->sent;
    return !g->finish;
}

/* --- the loop --------------------------------------------------------------------------------- */
static bool is_stop(const hora_generation *g, int32_t id) {
    for (size_t i = 0; i < g->nstop; i++)
        if (g->stop_ids[i] == id)
            return true;
    return false;
}

/* A draw from logits with a NaN would still give a token. */
static hora_status check_logits(const float *logits, int64_t n, int64_t length) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return hora_fail(HORA_ENUMERIC,
                             "the logit of token %lld behind %lld tokens is %g; the model or the "
                             "adapter holds numbers that are not finite",
                             (long long)i, (long long)length, (double)logits[i]);
    return HORA_OK;
}

static hora_status loop(hora_decoder *d, hora_sampler *sampler, const float *logits, stream *s,
                        hora_generation *g) {
    const size_t start = g->text.n;
    s->sent = start;
    for (int64_t k = 0; !g->finish; k++) {
        if (k >= g->sampling->max_new_tokens) {
            g->finish = "length";
            break;
        }
        HORA_TRY(check_logits(logits, hora_decoder_vocab(d), hora_decoder_length(d)));
        const int32_t id = hora_sampler_draw(sampler, logits, (uint64_t)k);
        hora_ids_push(&g->ids, id);
        if (is_stop(g, id)) {
            g->finish = "eos";
            break;
        }
        if (g->tokenizer) {
            hora_ids_push(&s->all, id);
            HORA_TRY(stream_take(s, false, &g->text));
            if (!hand_out(g, s, start, false))
                return HORA_OK;
        }
        if (k + 1 >= g->sampling->max_new_tokens)
            continue;
        if (hora_decoder_length(d) >= hora_decoder_context(d)) {
            g->finish = "context";
            hora_warn("the context of %lld tokens is full; the answer ends here",
                      (long long)hora_decoder_context(d));
            break;
        }
        HORA_TRY(hora_decoder_feed(d, &id, 1, &logits));
    }
    if (g->tokenizer) {
        const char *why = g->finish;
        HORA_TRY(stream_take(s, true, &g->text));
        g->finish = NULL;
        if (hand_out(g, s, start, true))
            g->finish = why;
    }
    return HORA_OK;
}

hora_status hora_generate(hora_decoder *d, const int32_t *prompt, size_t n, hora_generation *g) {
    const float *logits;
    stream s = {0};
    g->finish = NULL;
    size_t there = 0;
    if (g->go_on)
        there = hora_decoder_rewind(d, prompt, n);
    else
        hora_decoder_reset(d);
    HORA_TRY(hora_decoder_feed(d, prompt + there, n - there, &logits));
    hora_sampler *sampler = hora_sampler_new(g->sampling, hora_decoder_vocab(d));
    stream_start(&s, g->tokenizer, prompt, n);
    hora_status bad = loop(d, sampler, logits, &s, g);
    hora_ids_release(&s.all);
    hora_sampler_free(sampler);
    return bad;
}
