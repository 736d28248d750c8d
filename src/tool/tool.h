#ifndef HORA_TOOL_TOOL_H
#define HORA_TOOL_TOOL_H
/*
 * What the command line tool needs and hora.h does not promise yet. One function per subcommand:
 * settings in, a JSON result out (owned by the caller), so that the tool only parses and prints.
 * `hora_tool_tables` says which option tables a subcommand has; each function refuses settings
 * that are in none of them.
 */
#include "base/json.h"
#include "base/options.h"

typedef struct hora_tool_tables {
    const hora_options *at[24];
    int n;
} hora_tool_tables;
/* The tables of a subcommand, for flags and --help; n = 0 when it has none. */
void hora_tool_tables_of(const char *command, hora_tool_tables *t);

/* Text that streams: false stops. */
typedef bool (*hora_tool_text)(void *user, const char *text, size_t n);

/* Trains; progress goes to stderr. *stop set by a signal handler ends it with a checkpoint and
 * HORA_EINTERRUPTED. */
hora_status hora_tool_train(hora_settings *s, volatile int *stop, hora_json **out);
/* The plan; `table` gets it for people, with option dump the schedule behind it. HORA_ENOMEM, with
 * both set, when it cannot fit. */
hora_status hora_tool_plan(hora_settings *s, hora_json **out, hora_str *table);
/* Speed and memory of a training step, or the machine's yardsticks (option peak); `text` gets them
 * for people. *stop as above; nothing is left on the disk. */
hora_status hora_tool_bench(hora_settings *s, volatile int *stop, hora_json **out, hora_str *text);
/* loss, perplexity, tokens, bits_per_byte, seconds. */
hora_status hora_tool_eval(hora_settings *s, hora_json **out);
/* text, ids, prompt_tokens, tokens, finish, seconds. `piece` gets the text as it comes. */
hora_status hora_tool_generate(hora_settings *s, hora_tool_text piece, void *user, hora_json **out);
/* Writes logits, loss and gradients; samples, tokens, loss. */
hora_status hora_tool_forward(hora_settings *s, hora_json **out);
/* One call of `line` per line of output. quoted: decoded text as JSON strings. */
hora_status hora_tool_tokenize(hora_settings *s, bool quoted, hora_tool_text line, void *user);
/* What is in a file or directory; heads: the diagnostics of an adapter's heads. */
hora_status hora_tool_inspect(hora_settings *s, const char *path, hora_json **out);
/* Writes a randomly initialised model directory. */
hora_status hora_tool_new(hora_settings *s, hora_json **out);
/* The registries with their options and defaults. */
void hora_tool_methods(hora_json **out);
void hora_tool_models(hora_json **out);
/* The experiments behind `hora theory`; `text` is the report for people. HORA_ENUMERIC with both
 * set: a check of the computation failed. */
hora_status hora_tool_theory_hmoe(hora_settings *s, hora_json **out, hora_str *text);
hora_status hora_tool_theory_rates(hora_settings *s, hora_json **out, hora_str *text);
hora_status hora_tool_theory_lowdata(hora_settings *s, hora_json **out, hora_str *text);
/* name, version, commit, compiler, backends, cpu, cpu_features, threads. */
void hora_tool_version(hora_json **out);
#endif
