/* hora theory: the group of commands that check the method's theory; each is a row of theory.def.
 */
#include "tool/tool.h"

static const hora_command *const group[] = {
#define THEORY(x) &hora_theory_##x,
#include "tool/theory.def"
#undef THEORY
    NULL,
};

const hora_command hora_command_theory = {
    .name = "theory",
    .summary = "Check the theory behind the method, and measure what it claims",
    .usage = "COMMAND [options]",
    .more = "Each reports what it measures, whoever wins, and prints its own limits.",
    .group = group};
