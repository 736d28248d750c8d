#ifndef HORA_INTEROP_CONVERT_H
#define HORA_INTEROP_CONVERT_H
/*
 * Adapters and models in another form, for hora and for others. One file convert_x.c, one row
 * CONVERTER(x) in converters.def: `hora convert --to NAME[:N]` takes its choices from the rows.
 */
#include "base/json.h"
#include "base/options.h"
#include "interop/interop.h"

typedef enum {
    HORA_ROTARY_NORM,
    HORA_ROTARY_HIGH,
    HORA_ROTARY_LOW,
    HORA_ROTARY_UNIFORM
} hora_rotary;

typedef struct hora_convert_config { /* but for n, filled from hora_convert_options */
    int64_t n;                       /* behind the form's name; 0: none was given */
    int64_t rotary_pairs, calibrate_tokens;
    int rotary_by; /* hora_rotary */
    char *calibrate;
    /* What was measured on `calibrate`, borrowed; NULL: nothing. Mean norms of the pairs of q
     * (layers, H, head_dim / 2) and k (layers, G, head_dim / 2), before they are turned. */
    const double *q_norms, *k_norms;
} hora_convert_config;
extern const hora_options hora_convert_options;

typedef struct hora_converter {
    const char *name;    /* "lora" */
    const char *number;  /* what N is, "rank"; NULL: it takes none */
    const char *summary; /* one line */
    bool adapters;       /* it is an adapter that is converted: one must be given */
    bool rotary;         /* it heeds hora_convert_options */
    /* Refuses what `write` would, before anything is written. */
    hora_status (*check)(const hora_export *x, const hora_convert_config *c);
    /* Into an existing, empty folder. `report` is an object that gets what is to be said of it:
     * "tensors", a list of {name, rank, norm, left, error}, and the worst "error"; "cache" where the
     * cache of a decoder is another: {"numbers", "before"} of a token in all layers. */
    hora_status (*write)(const hora_export *x, const hora_convert_config *c, const char *dir,
                         hora_json *report);
} hora_converter;

/* "lora:8" -> its row and 8. HORA_EUSAGE lists the rows. */
hora_status hora_converter_parse(const hora_converter **c, int64_t *n, const char *text);
#endif
