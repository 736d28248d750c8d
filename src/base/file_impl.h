#ifndef HORA_BASE_FILE_IMPL_H
#define HORA_BASE_FILE_IMPL_H
/* Shared by file.c and folder.c: a system error as a status with path, reason and advice. */
#include "base/file.h"

/* Sets "path: doing: reason; advice". ENOENT is HORA_ENOTFOUND, the rest HORA_EIO. */
hora_status hora_file_error(int error, const char *doing, const char *path);
/* Bytes of NAME in "NAME.hora-0123456789abcdef.tmp", the name of a file that is being written; 0
 * for any other name. */
size_t hora_temporary_stem(const char *name);
/* Another number each time, the system's where it gives one. */
uint64_t hora_unguessable(void);
/* Such a name, another one each time; owned by the caller. */
char *hora_temporary_name(const char *path);
#endif
