#ifndef HORA_BASE_FILE_IMPL_H
#define HORA_BASE_FILE_IMPL_H
/* Shared by file.c and folder.c: a system error as a status with path, reason and advice. */
#include <dirent.h>

#include "base/file.h"

/* Sets "path: doing: reason; advice". ENOENT is HORA_ENOTFOUND, the rest HORA_EIO. */
hora_status hora_file_error(int error, const char *doing, const char *path);
/* The two errors of stat that mean: nothing is there. All others mean: not known. */
bool hora_means_absent(int error);
/* openat that goes on after an interruption; what it makes has mode 0666. */
int hora_open_at(int dir, const char *path, int flags);
/* The next entry but for "." and ".."; NULL with *error 0 at the end, or with what went wrong. */
struct dirent *hora_next_entry(DIR *d, int *error);
/* Bytes of NAME in "NAME.hora-0123456789abcdef.tmp", the name of a file that is being written; 0
 * for any other name. */
size_t hora_temporary_stem(const char *name);
/* Another number each time, the system's where it gives one. */
uint64_t hora_unguessable(void);
/* Such a name, another one each time; owned by the caller. */
char *hora_temporary_name(const char *path);
#endif
