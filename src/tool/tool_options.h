#ifndef HORA_TOOL_TOOL_OPTIONS_H
#define HORA_TOOL_TOOL_OPTIONS_H
/* Option tables of the subcommands and the structs they fill. Shared by hora_tool*.c. */
#include "tool/tool.h"

typedef struct hora_tool_source {
    char *model, *adapter;
    int prefer;
} hora_tool_source;
typedef struct hora_tool_plan_config {
    bool dump;
} hora_tool_plan_config;
extern const hora_options hora_tool_plan_options;

typedef struct hora_tool_eval_config {
    char *data;
    int64_t batch_size;
} hora_tool_eval_config;
typedef struct hora_tool_generate_config {
    char *prompt, *chat;
} hora_tool_generate_config;
typedef struct hora_tool_forward_config {
    char *batch, *out, *method;
    bool grads, overwrite;
    int64_t seed;
} hora_tool_forward_config;
typedef struct hora_tool_tokenize_config {
    char *model, *text, *file, *jsonl;
    bool decode, special, keep_special;
} hora_tool_tokenize_config;
typedef struct hora_tool_inspect_config {
    char *model;
    bool heads;
} hora_tool_inspect_config;
typedef struct hora_tool_new_config {
    char *config, *out, *tokenizer;
    int dtype;
    int64_t seed;
    bool overwrite;
} hora_tool_new_config;

extern const hora_options hora_tool_source_options;
extern const hora_options hora_tool_eval_options;
extern const hora_options hora_tool_generate_options;
extern const hora_options hora_tool_forward_options;
extern const hora_options hora_tool_tokenize_options;
extern const hora_options hora_tool_inspect_options;
extern const hora_options hora_tool_new_options;

/* Refuses settings that no table of the command has, before anything is opened. `method`: whose
 * options count besides; NULL: nobody's; "*": everybody's. */
hora_status hora_tool_check(const char *command, const char *method, hora_settings *s);
/* The model, with its adapter attached, that the source options name. */
hora_status hora_tool_open(struct hora_model **m, hora_settings *s);
/* HORA_EUSAGE naming the flag when `value` is NULL. */
hora_status hora_tool_required(const char *flag, const char *value, const char *what);
#endif
