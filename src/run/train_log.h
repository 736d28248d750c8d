#ifndef HORA_RUN_TRAIN_LOG_H
#define HORA_RUN_TRAIN_LOG_H
/*
 * The log files of a run: log.jsonl (a line per step and per evaluation), log.csv (the same as a
 * table) and TensorBoard events. Going on after a kill cuts what the files say about later steps,
 * so no step stands there twice.
 */
#include "train/train.h"

typedef struct hora_train_log hora_train_log;
/* Starts or continues the files in `dir`; lines beyond `steps_taken` are dropped. */
hora_status hora_train_log_open(hora_train_log **out, hora_outdir *dir, int64_t steps_taken);
hora_status hora_train_log_step(hora_train_log *l, const hora_step_info *i);
hora_status hora_train_log_eval(hora_train_log *l, const hora_eval_info *i, double epoch);
hora_status hora_train_log_close(hora_train_log *l); /* accepts NULL; frees in any case */
#endif
