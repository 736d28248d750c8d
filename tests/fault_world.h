#ifndef HORA_TEST_FAULT_WORLD_H
#define HORA_TEST_FAULT_WORLD_H
/* Small worlds of files in which the tool runs under a preloaded shim (tests/fault): folders made,
 * copied, compared, and the tool started without a shell. Everything lies in memory where the
 * system has /dev/shm, because thousands of runs are made. */
#include <stdbool.h>

#include "base/mem.h"

/* A fresh folder for the test, removed by world_free. */
char *world_new(void);
void world_free(char *own_dir);

typedef struct world_run {
    const char *dir;     /* working folder */
    const char *command; /* arguments of the tool, separated by blanks */
    const char *fault;   /* what is to fail, as HORA_FAULT has it; NULL: nothing */
    const char *preload; /* another shim; NULL: that of faults, which is loaded once for all runs */
    const char *env[4];  /* with preload: NAME=VALUE .., then NULL */
} world_run;
/* Exit code, or 128 + signal; 142 (SIGALRM) is a run that hangs. Output and messages are appended;
 * either may be NULL. */
int world_tool(const world_run *r, hora_str *out, hora_str *err);

void world_copy(const char *from, const char *to); /* `to` is made */
void world_remove(const char *dir);

/* A line per regular file below dir, "path hash", sorted; times, random numbers and names that are
 * meant to differ are left out. "" when dir is not there. */
void world_list(const char *dir, hora_str *out);
bool world_has_line(const char *list, const char *line, size_t n);

/* Calls fn(arg, i) for every i below n, in as many processes as there are processors; each has its
 * own folder below `dir`. fn returns a line of text about what is wrong (taken over), or NULL. The
 * lines are added to `out`, at most a few. Returns how many there were. */
int world_all(const char *dir, int n, char *(*fn)(void *arg, int i, const char *own_dir), void *arg,
              hora_str *out);

/* Fails the test, from a worker too. */
void world_fail(const char *fmt, ...) HORA_PRINTF(1, 2);

/* HORA_FAULTS=all: every case instead of a sample. */
bool world_exhaustive(void);
/* Skips the test where nothing can be preloaded. Path of the shim. */
const char *world_shim(const char *name);
#endif
