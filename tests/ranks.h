#ifndef HORA_TEST_RANKS_H
#define HORA_TEST_RANKS_H
/* Running the tool as several ranks under mpirun. */
#include "hora_test.h"

/* Skips the test loudly where this build has no MPI or there is no mpirun. */
void ranks_needed(void);
/* `hora ARGS` in so many ranks; 0: without mpirun, as one alone. Exit code of mpirun. err may be
 * NULL. env: assignments in front of mpirun, or "". */
int ranks_try(int ranks, const char *env, hora_str *err, const char *fmt, ...) HORA_PRINTF(4, 5);
/* The same, which must succeed. */
void ranks_run(int ranks, const char *fmt, ...) HORA_PRINTF(2, 3);
/* Checkpoints A and B (folders), and what the logs of their runs say of losses, norms, rates and
 * counts, are equal to the bit. */
void ranks_same(const char *a, const char *b, int step);
/* Of the last step in a run's log. */
double ranks_last_loss(const char *run);
/* A tiny encoder's model, a set of pictures with their model, in the test's folder. */
const char *ranks_pictures(const char **data);
#endif
