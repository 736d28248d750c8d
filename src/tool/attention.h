#ifndef HORA_TOOL_ATTENTION_H
#define HORA_TOOL_ATTENTION_H
/* hora inspect --attention: the heads of the last layer and the rollout over a picture; a line for
 * the base and, with an adapter, one for it adapted. */
#include "tool/tool.h"

typedef struct hora_cli_attention_config {
    const char *model, *adapter; /* adapter NULL: none */
    const char *picture, *out;
} hora_cli_attention_config;
/* *result says what was drawn, the caller's. */
hora_status hora_cli_attention(hora_settings *s, const hora_cli_attention_config *c,
                               hora_json **result);
#endif
