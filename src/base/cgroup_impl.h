#ifndef HORA_BASE_CGROUP_IMPL_H
#define HORA_BASE_CGROUP_IMPL_H
/* Control groups of Linux, versions 1 and 2: limits that a container puts on this process. */
#include <stdbool.h>
#include <stdint.h>

/* Calls fn for each folder of the hierarchy of `controller` ("memory", "cpu"), from this process's
 * own group up to the root as far as it is visible. Never, where there are no control groups. */
void hora_cgroup_walk(const char *controller, void (*fn)(void *user, const char *dir, bool v2),
                      void *user);
/* First number of dir/name; false when it is not there or says "max". */
bool hora_cgroup_number(const char *dir, const char *name, int64_t *out);
/* The number after `key` in the file dir/name of "key number" lines; false when it is not there. */
bool hora_cgroup_field(const char *dir, const char *name, const char *key, int64_t *out);
#endif
