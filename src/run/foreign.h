#ifndef HORA_RUN_FOREIGN_H
#define HORA_RUN_FOREIGN_H
/* Keys of other trainers' recipes, in ours; foreign.def is the table. */
#include "base/json.h"

/* *own: the recipe (an object) with our keys; owned. `known`: the key is an option of ours, by any
 * of its names. HORA_EUSAGE for a value that has no counterpart, and for two keys that say
 * different things of one option. What is passed over is said. */
hora_status hora_run_foreign(const hora_json *recipe, bool (*known)(const char *key),
                             hora_json **own);
#endif
