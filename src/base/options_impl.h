#ifndef HORA_BASE_OPTIONS_IMPL_H
#define HORA_BASE_OPTIONS_IMPL_H
/* Shared by options.c and settings.c. */
#include "base/options.h"

bool hora_option_same(const char *a, const char *b); /* equal names, where '-' is '_' */
/* HORA_EUSAGE: unknown option, with the nearest name of the tables. */
hora_status hora_option_unknown(const char *key, const char *origin,
                                const hora_options *const *tables, int n);
#endif
