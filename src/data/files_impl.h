#ifndef HORA_DATA_FILES_IMPL_H
#define HORA_DATA_FILES_IMPL_H
/*
 * From what a user named to bytes and fields: files.c takes lists of files and folders apart,
 * bytes.c reads one of them, whatever it comes in, read.c and table.c find its records, columns.c
 * gives fields other names, format.c says what a file is.
 */
#include "base/file.h"
#include "base/json.h"
#include "data/data.h"

/* ---- files.c ---- */
typedef struct hora_data_file {
    char *path;   /* "-": standard input */
    double times; /* an epoch; below 1: a subset */
} hora_data_file;
typedef struct hora_data_files {
    hora_data_file *at;
    int n, cap;
} hora_data_files;
/* Of a list as hora_data_resolve writes and takes it. Release either way. */
hora_status hora_data_files_parse(hora_data_files *f, const char *list);
void hora_data_files_release(hora_data_files *f);

/* ---- bytes.c ---- */
typedef struct hora_bytes {
    const char *s; /* unpacked, without byte order mark */
    size_t n;
    hora_map map;
    hora_str own;
} hora_bytes;
/* A regular file is mapped; standard input ("-") and <(..) of a shell are read whole; gzip and
 * Zstandard are unpacked; what is no text is refused with the line that converts it. Release either
 * way. */
hora_status hora_bytes_open(hora_bytes *b, const char *path);
void hora_bytes_release(hora_bytes *b);
/* Appends what the n bytes of `path` hold, which hora_unpack_kind knows; at most half of the free
 * memory, and no bombs. */
hora_status hora_bytes_unpack(const char *path, const void *data, size_t n, hora_str *out);
const char *hora_data_shown(const char *path); /* "standard input" for "-" */

/* ---- read.c, table.c: records of a file ---- */
typedef struct hora_place {
    int64_t line, column; /* 1-based */
} hora_place;
typedef hora_status (*hora_record_fn)(void *arg, const hora_json *record, hora_place at);
/* JSON records, one per line, as an array, or in an object that is the file. A record that does not
 * parse goes to `bad` with the failure; what `bad` returns ends the reading or lets it go on. */
hora_status hora_read_records(const char *text, size_t n, const char *what, hora_record_fn fn,
                              hora_status (*bad)(void *arg, hora_status s), void *arg);
/* Some kind of record has these keys; source.c. */
bool hora_source_names(const hora_json *record);
/* The failure `s` of a record that does not parse, with what it looks like and what would be right;
 * `s` itself where nothing is recognised. read_hint.c */
hora_status hora_read_hint(const char *record, size_t n, const char *what, hora_place at,
                           hora_status s);
/* A table with a header; each record is an object of strings. Comma or semicolon, RFC 4180; with
 * `tabs` no quoting. `header` (or NULL) gets the names first, each with an empty string. */
hora_status hora_read_table(const char *text, size_t n, const char *what, bool tabs,
                            hora_status (*header)(void *arg, const hora_json *names),
                            hora_record_fn fn, hora_status (*bad)(void *arg, hora_status s),
                            void *arg);
/* The names in the first line, as `header` gets them; NULL: it is none of a table of two columns or
 * more. Owned. */
hora_json *hora_read_header(const char *text, size_t n, bool tabs);

/* ---- columns.c ---- */
typedef struct hora_columns { /* of records */
    char **ours, **theirs;    /* fields of records, and the keys that hold them in the data */
    int n;
} hora_columns;
/* "prompt=question,completion=answer", or a JSON object of the same; NULL: none. HORA_EUSAGE names
 * what no record has. Release either way. */
hora_status hora_columns_parse(hora_columns *c, const char *text);
void hora_columns_release(hora_columns *c);
/* The record under our names; owned. A field that its kind needs must be there. */
hora_status hora_columns_apply(const hora_columns *c, const hora_json *record, hora_json **own);
bool hora_columns_has(const hora_columns *c, const char *ours);

/* ---- format.c ---- */
typedef enum {
    HORA_FORMAT_AUTO,
    HORA_FORMAT_TEXT,
    HORA_FORMAT_JSONL,
    HORA_FORMAT_CSV,
    HORA_FORMAT_TSV
} hora_data_format;
/* What the option says. HORA_EUSAGE: it names no format. */
hora_status hora_data_format_given(const hora_data_config *c, hora_data_format *out);
/* What the file is: as the option says, by its name, or by how its n bytes begin. HORA_EUSAGE for a
 * .txt that begins as something else. */
hora_status hora_data_format_of(const hora_data_config *c, const char *path,
                                const hora_columns *columns, const char *s, size_t n,
                                hora_data_format *out);
#endif
