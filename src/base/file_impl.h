#ifndef HORA_BASE_FILE_IMPL_H
#define HORA_BASE_FILE_IMPL_H
/* Shared by file.c and folder.c: a system error as a status with path, reason and advice. */
#include "base/file.h"

/* Sets "path: doing: reason; advice". ENOENT is HORA_ENOTFOUND, the rest HORA_EIO. */
hora_status hora_file_error(int error, const char *doing, const char *path);
#endif
