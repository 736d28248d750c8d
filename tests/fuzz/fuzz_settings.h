#ifndef HORA_FUZZ_SETTINGS_H
#define HORA_FUZZ_SETTINGS_H
/* Settings through all the tables of a run, for the targets whose texts become settings. */
#include "base/options.h"

/* Takes what the tables of a run and of the method have, writes it as a recipe and reads that back.
 * Returns whether all was taken. */
bool hora_fuzz_take(hora_settings *s);
#endif
