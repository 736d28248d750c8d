#ifndef HORA_TRAIN_WORLD_H
#define HORA_TRAIN_WORLD_H
/*
 * A world for laws of training, in the test's temporary folder: a random model of three layers, a
 * tokenizer of single letters, text with something to learn, and runs of ten steps over them.
 */
#include "hora_test.h"
#include "model/family.h"
#include "run/run.h"

enum { VOCAB = 32, LENGTH = 16 };

/* NAME in the temporary folder; the text lives through the next seven calls. */
const char *world_path(const char *name);
/* Makes model/ and text.txt; the seed is the model's. */
void world_make(uint64_t seed);
/* The alphabet over and over, with some noise. */
void world_text(const char *path, int rows, uint64_t seed);
/* The model alone, as it is made. */
hora_base *world_base(uint64_t seed, hora_dtype dtype);
/* A sink of the log: `user` is a hora_str that collects it, or NULL. */
void world_quiet(void *user, int level, const char *text);
/* Settings of a run of ten steps into OUT; `more` is added. */
void world_settings(hora_settings *s, const char *out, const char *more);
/* Such a run, and its resume by OUT alone; `result` may be NULL. */
hora_status world_train(const char *out, const char *more, const hora_run_hooks *hooks,
                        hora_run_result *result);
hora_status world_resume(const char *out, const char *more, const hora_run_hooks *hooks,
                         hora_run_result *result);
void world_same_file(const char *a, const char *b);
/* The files of two adapters in the temporary folder. */
void world_same_adapter(const char *a, const char *b);
/* Steps of log.jsonl, which must be 1, 2 .. n, each once. */
void world_log_counts(const char *path, int n);
#endif
