#ifndef HORA_RUN_UNUSED_H
#define HORA_RUN_UNUSED_H
#include "run/run_impl.h"

/* HORA_EUSAGE for an option that was given and has no effect on the task and the data of this run
 * (what needs another option of its own table is told by hora_option.with); a recipe, which may be
 * another trainer's, gets a warning. The task is known, no data are read. */
hora_status hora_run_unused(const run *r);
#endif
