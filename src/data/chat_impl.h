#ifndef HORA_DATA_CHAT_IMPL_H
#define HORA_DATA_CHAT_IMPL_H
/*
 * A conversation at work: chat.c makes sequences of it, chat_common.c says what of a turn counts,
 * chat_normal.c what a template finds in a message, chat_parts.c what it has no words for,
 * chat_explain.c why it fails.
 */
#include "data/data_impl.h"

/* A rendering: W[0, shared), then a tail. */
typedef struct hora_seen {
    const char *w, *tail;
    size_t shared, n; /* n: of all of it */
} hora_seen;

static inline char hora_seen_at(const hora_seen *v, size_t i) {
    return i < v->shared ? v->w[i] : v->tail[i - v->shared];
}
static inline hora_seen hora_seen_of(const hora_str *whole, const hora_cut *c) {
    return (hora_seen){whole->s, c->tail.s, c->shared, c->shared + c->tail.n};
}
static inline hora_seen hora_seen_all(const hora_str *text) {
    return (hora_seen){text->s, NULL, text->n, text->n};
}

typedef struct hora_turn {
    size_t message;
    bool off;          /* weight 0: not to be learned */
    bool context;      /* cannot be rendered, or leaves nothing to write */
    bool fits;         /* W has it */
    bool joined;       /* its sequence is P and what of C counts */
    int before, after; /* its cuts P and C; after -1: C is W */
    size_t from, to;   /* what counts: of W when it fits, else of C */
} hora_turn;

typedef struct hora_talk {
    const hora_reader *r;
    const hora_chat *chat;
    hora_json *vars;
    const hora_json *specials; /* borrowed; may be NULL */
    const hora_json *given;    /* the messages as the record has them */
    size_t messages;
    hora_turn *turns;
    size_t nturns, cturns;
    hora_str whole;
    hora_spans spoken;
    hora_cut *cuts;
    int ncuts, ccuts;
    hora_str ending; /* what the template writes behind the last turn; see endings */
    bool ending_known;
    hora_samples *out;
} hora_talk;

/* What of turn k counts, and whether W has it; its cuts are rendered. */
hora_status hora_chat_measure(hora_talk *t, hora_turn *k);
/* Counts calls, thinking, tools and documents that the template does not write, and keys of null
 * that it would have. */
void hora_chat_look(hora_talk *t);
/* A new message without that key; the other members are shared. */
hora_json *hora_chat_without(const hora_json *message, const char *key);
/* The template makes exactly `text` of these variables, which are freed. */
bool hora_chat_same(const hora_template *tmpl, hora_json *own_vars, int prompt,
                    const hora_str *text);
/* vars have a list `key` (tools, documents), and the template makes the same `text` without it. */
bool hora_chat_leaves_out(const hora_template *tmpl, const hora_json *vars, const char *key,
                          int prompt, const hora_str *text);
/* `messages` of the variables as transformers hands them on: without keys of null, thinking under
 * each of its names, no empty list as content. */
void hora_chat_normal(hora_json *vars);
/* What the message says was thought, under any of its names (borrowed; NULL: nothing), and a new
 * message without that. */
const hora_json *hora_chat_thought(const hora_json *message);
hora_json *hora_chat_thoughtless(const hora_json *message);
bool hora_chat_has_null(const hora_json *message); /* a key of it is null */
/* How many messages of `given` have keys of null, if the template, which makes `text` of vars
 * (`prompt`: with the generation prompt), wrote something else with them, or failed; else 0. */
int64_t hora_chat_nulls(const hora_template *tmpl, const hora_json *vars, const hora_json *given,
                        int prompt, const hora_str *text);
/* Joins the texts of parts in `messages` of the variables where the template treats content as a
 * string; out->told.joined counts messages up, out->told.foreign those with parts that are no text
 * and that the template writes. Refuses such parts where it does not. */
hora_status hora_chat_fit(const hora_template *tmpl, hora_json *vars, hora_samples *out);
/* The template failed on these variables with `why`: the same status, with the message of the
 * conversation that it fails on and what to do about it, as far as that can be found out. */
hora_status hora_chat_explain(const hora_template *tmpl, const hora_json *vars, hora_status why);
#endif
