#ifndef HORA_INTEROP_CONVERT_H
#define HORA_INTEROP_CONVERT_H
/*
 * Adapters in another form, for hora itself and for others. One file convert_x.c, one row
 * CONVERTER(x) in converters.def: `hora convert --to NAME[:N]` takes its choices from the rows.
 */
#include "base/json.h"
#include "interop/interop.h"

typedef struct hora_converter {
    const char *name;    /* "lora" */
    const char *number;  /* what N is, "rank"; NULL: it takes none */
    const char *summary; /* one line */
    bool adapters;       /* it is an adapter that is converted: one must be given */
    /* Refuses what `write` would, before anything is written. n: N, 0 where none was given. */
    hora_status (*check)(const hora_export *x, int64_t n);
    /* Into an existing, empty folder. `report` is an object that gets what is to be said of it:
     * "tensors", a list of {name, rank, error, largest}, and the worst "error". */
    hora_status (*write)(const hora_export *x, int64_t n, const char *dir, hora_json *report);
} hora_converter;

/* "lora:8" -> its row and 8. HORA_EUSAGE lists the rows. */
hora_status hora_converter_parse(const hora_converter **c, int64_t *n, const char *text);
#endif
