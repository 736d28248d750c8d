#ifndef HORA_TOOL_MANUAL_H
#define HORA_TOOL_MANUAL_H
/* What the build makes of the commands' own rows, so that it cannot differ from --help. */
#include "tool/tool.h"

/* A man page in roff; NULL: of the tool. */
void hora_manual_page(const hora_command *c, hora_str *out);
/* A script for bash or zsh that completes commands, options and choices. */
void hora_manual_completion(bool for_zsh, hora_str *out);
#endif
