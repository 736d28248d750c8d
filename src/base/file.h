#ifndef HORA_BASE_FILE_H
#define HORA_BASE_FILE_H
/* Files: mapping, reading, writing so that nothing is ever half there, folders. Errors name the
 * path and say what to do. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

/* A read-only mapping. An empty file maps to data = "" and n = 0. */
typedef struct hora_map {
    const unsigned char *data;
    size_t n;
    char *path; /* owned */
    uint64_t device, inode;
    int64_t modified; /* nanoseconds */
} hora_map;
hora_status hora_map_open(hora_map *m, const char *path);
void hora_map_release(hora_map *m);
/* HORA_EIO when the file was written to or cut since it was mapped: what was read from it may be of
 * two versions. A file that was replaced or removed is still whole here. */
hora_status hora_map_unchanged(const hora_map *m);
/* Tells the system that the pages of [data+off, +n) are no longer needed (they are read again when
 * touched). */
void hora_map_forget(const hora_map *m, size_t off, size_t n);

hora_status hora_file_read(hora_str *out, const char *path); /* whole file */
/* Writes a temporary beside it, fsyncs, renames over path, fsyncs the folder. A link stays a link:
 * its target is replaced. What is there and no regular file is HORA_EEXISTS. */
hora_status hora_file_write(const char *path, const void *data, size_t n);

/* A file being written: buffered, counted, errors latched; _commit fsyncs and renames; _abort (or
 * failure) removes the temporary. */
typedef struct hora_writer hora_writer;
hora_status hora_writer_open(hora_writer **out, const char *path);
void hora_writer_put(hora_writer *w, const void *data, size_t n);
hora_status hora_writer_commit(hora_writer *own_w);
void hora_writer_abort(hora_writer *own_w); /* accepts NULL */
/* A log that grows: opened for appending, in the system's hands on return. What could be written
 * only in part is cut off again. */
hora_status hora_append(const char *path, const void *data, size_t n);
/* The same, with a newline behind it when there is none. */
hora_status hora_append_line(const char *path, const char *line, size_t n);

char *hora_path_join(const char *dir, const char *name); /* new string */
char *hora_path_dir(const char *path);                   /* new string; "." when there is none */
const char *hora_path_base(const char *path);            /* borrowed tail of path */
/* HORA_EFORMAT where the bytes are a git-LFS pointer, which stands for a file not fetched yet. */
hora_status hora_refuse_pointer(const char *path, const void *data, size_t n);
/* True unless the system says that nothing is there: what cannot be looked at is then opened, and
 * that says why. */
bool hora_path_exists(const char *path);
bool hora_path_has(const char *dir, const char *name); /* DIR/NAME is there */
bool hora_path_is_dir(const char *path);
/* The same for decisions that must not be wrong: what cannot be looked at is an error. */
hora_status hora_path_is_folder(const char *path, bool *yes);
hora_status hora_path_is_there(const char *path, bool *yes);
int64_t hora_file_size(const char *path); /* -1 when it cannot be read */
hora_status hora_mkdirs(const char *path);
/* *made: the folder itself was not there; told after a failure too */
hora_status hora_mkdirs_told(const char *path, bool *made);
/* Makes a new folder beside `path`, to be filled and renamed to it; *out is owned by the caller. */
hora_status hora_mkdir_temporary(const char *path, char **out);
hora_status hora_fsync_dir(const char *path);
hora_status hora_rename(const char *from, const char *to);
hora_status hora_remove_tree(const char *path); /* OK when it is not there; does not follow links */
hora_status hora_copy_file(const char *from, const char *to);
/* Names in a folder, sorted bytewise, without "." and ".."; free with hora_list_free. */
hora_status hora_list_dir(const char *path, char ***names, int *n);
void hora_list_free(char **names, int n);
/* Refuses before the work: the folder (or its nearest existing parent) must be writable and have
 * `need` bytes free. */
hora_status hora_check_writable(const char *dir, uint64_t need);
#endif
