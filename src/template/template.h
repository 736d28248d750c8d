#ifndef HORA_TEMPLATE_TEMPLATE_H
#define HORA_TEMPLATE_TEMPLATE_H
/*
 * Chat templates: an interpreter of the subset of Jinja that templates on the hub use, with the
 * settings of transformers' apply_chat_template (trim_blocks, lstrip_blocks, one trailing line
 * break dropped, loop controls). Anything else is refused when the template is opened, with line
 * and column. Rendering is bounded in steps, depth and output size.
 */
#include "base/json.h"

typedef struct hora_template hora_template;
hora_status hora_template_open(hora_template **out, const char *source, size_t n, const char *what);
void hora_template_close(hora_template *t); /* accepts NULL */
/* `vars` is an object: messages, add_generation_prompt, bos_token, eos_token, tools .. Appends the
 * text. raise_exception('..') in the template is HORA_EFORMAT and the message ends in that text.
 * Thread-safe. */
hora_status hora_template_render(const hora_template *t, const hora_json *vars, hora_str *out);
/* The same with messages cut to the first `turns` (-1: all) and add_generation_prompt set to
 * `prompt` (-1: as in vars). This is how the loss mask finds where a turn begins and ends. */
hora_status hora_template_render_turns(const hora_template *t, const hora_json *vars, int64_t turns,
                                       int prompt, hora_str *out);
#endif
