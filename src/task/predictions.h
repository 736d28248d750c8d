#ifndef HORA_TASK_PREDICTIONS_H
#define HORA_TASK_PREDICTIONS_H
/*
 * Measures of predictions that stand in a file, without a model: JSONL, CSV or TSV, a record per
 * prediction. What a record holds decides the measures:
 *
 *   {"true": "pos", "pred": "neg", "score": 0.9}     classes: names, or whole numbers
 *   {"true": 2.5, "pred": 2.75}                      numbers
 *   {"true": ["B-PER", "O"], "pred": ["O", "O"]}     tags of the words of a sentence
 *   {"true": [[0, 1], [1, 1]], "pred": ..}           classes of pixels
 *   {"confidence": 0.9, "correct": 1}                how sure, and whether it was right
 *
 * A list of classes or numbers is that many predictions; a list of lists of tags that many
 * sentences. "truth" and "prediction" are other names of the two, "label" is the one that lacks. A
 * record may also say "classes" (how many there are), "ignore" (of pixels) and "bins".
 */
#include "base/json.h"

typedef struct hora_predictions_config {
    const char *task; /* NULL: what the records look like; "regression", .. */
    bool strict;      /* entities as the scheme writes them */
    int64_t bins;     /* of the calibration error */
    int64_t ignore;   /* class of pixels that do not count; -1: none */
} hora_predictions_config;
/* The measures by name, as `hora eval` gives them; not defined: null. *out is the caller's. */
hora_status hora_predictions_measure(hora_json **out, const char *path,
                                     const hora_predictions_config *c);
#endif
