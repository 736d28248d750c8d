#ifndef HORA_LAB_LOWDATA_MODEL_H
#define HORA_LAB_LOWDATA_MODEL_H
/*
 * `hora theory lowdata --model`: does sharing over heads help where data are few, on a real model,
 * at equal parameters? Trains LoRA and HoRA on nested subsets through the ordinary training, rates
 * tuned for each method and size. Specification and limits: docs/theory.md, "Low data on a real
 * model".
 */
#include "base/options.h"

typedef struct hora_lowdata_model_config { /* filled from hora_lowdata_model_options */
    char *model, *data, *eval, *fractions, *n, *rates, *student, *out;
    int64_t seeds, rank, epochs, min_steps, batch_size, seq_len;
} hora_lowdata_model_config;
extern const hora_options hora_lowdata_model_options;

/* Everything from files to report. Finished trainings are kept in OUT/lowdata_runs.csv, one row
 * each, and are not done again when the same command is given again. *out is owned by the caller;
 * `table` gets the report for people. */
hora_status hora_lowdata_model(const hora_lowdata_model_config *c, hora_json **out,
                               hora_str *table);
#endif
