#ifndef HORA_TEMPLATE_TEMPLATE_H
#define HORA_TEMPLATE_TEMPLATE_H
/*
 * Chat templates: an interpreter of the subset of Jinja that templates on the hub use, with the
 * settings of transformers' apply_chat_template (trim_blocks, lstrip_blocks, one trailing line
 * break dropped, loop controls). Anything else is refused when the template is opened, with line
 * and column. Rendering is bounded in steps, depth and output size.
 */
#include <time.h>

#include "base/json.h"

/* A stretch [from, to) of a text, in bytes. */
typedef struct hora_span {
    size_t from, to;
} hora_span;
typedef struct hora_spans { /* in order, disjoint; zero-initialise, release with hora_free(at) */
    hora_span *at;
    int n, cap;
} hora_spans;

typedef struct hora_template hora_template;
hora_status hora_template_open(hora_template **out, const char *source, size_t n, const char *what);
void hora_template_close(hora_template *t); /* accepts NULL */
/* `vars` is an object: messages, add_generation_prompt, bos_token, eos_token, tools .. Appends the
 * text. raise_exception('..') in the template is HORA_EFORMAT and the message ends in that text.
 * Thread-safe. */
hora_status hora_template_render(const hora_template *t, const hora_json *vars, hora_str *out);
/* The same with messages cut to the first `turns` (-1: all) and add_generation_prompt set to
 * `prompt` (-1: as in vars). `spoken` (may be NULL) gets the text of {% generation %} blocks, which
 * say what the assistant wrote; HORA_EUNSUPPORTED when the template rewrites such text
 * afterwards. */
hora_status hora_template_render_turns(const hora_template *t, const hora_json *vars, int64_t turns,
                                       int prompt, hora_str *out, hora_spans *spoken);
bool hora_template_generates(const hora_template *t); /* it has generation blocks */

/* A rendering of the first `turns` messages, as the loss mask needs one in front of and behind
 * every turn of the assistant. */
typedef struct hora_cut {
    int64_t turns;
    bool prompt; /* with the generation prompt */
    bool done;
    char *failed;  /* NULL, or why it cannot be rendered; owned */
    size_t shared; /* it begins with this many bytes of the whole .. */
    hora_str tail; /* .. and goes on with this */
} hora_cut;
void hora_cut_release(hora_cut *c);
/* Renders the whole conversation (without generation prompt) into the empty string `out`, and every
 * cut; they come in the order of their turns, which are 0 or more. A template that goes through the
 * messages in order, and looks no further than the next one, is run once: a cut branches off where
 * its last message begins. One that goes through them twice, backwards, or asks for their number is
 * run once more with notes, and a cut runs only what would read something else than was noted. The
 * texts are those of renderings of their own. */
hora_status hora_template_render_cuts(const hora_template *t, const hora_json *vars, hora_str *out,
                                      hora_spans *spoken, hora_cut *cuts, int n);

/* The date that strftime_now() gives: "2026-01-31", or with a time behind it,
 * "2026-01-31T18:30:00"; to be set before the first rendering (1970 otherwise). `dated`: the
 * template asks for it. */
hora_status hora_template_date(hora_template *t, const char *date);
bool hora_template_dated(const hora_template *t);
#endif
