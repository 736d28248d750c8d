/*
 * The bytes of one file of data: mapped, or read from a pipe, unpacked where they are compressed.
 * Data are text: what other tools write in binary is refused by its name, with the one line that
 * makes text of it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "data/files_impl.h"
#include "format/unpack.h"

#define LARGE ((uint64_t)1 << 30)

const char *hora_data_shown(const char *path) {
    return hora_eq(path, "-") ? "standard input" : path;
}

/* Half of what is free: tokens need room too. */
static uint64_t memory_for_text(void) {
    const uint64_t free = hora_memory_available();
    return free ? free / 2 : 8 * LARGE;
}

/* ---- what is no text ---- */
#define PANDAS(read)                                                                               \
    "python -c 'import pandas; pandas." read "(\"%s\").to_json(\"data.jsonl\", "                   \
    "orient=\"records\", lines=True)'"
static const struct binary {
    const char *magic;
    size_t n;
    const char *suffix; /* of the file's name; NULL: any */
    const char *what, *how;
} binaries[] = {
    {"PAR1", 4, NULL, "Parquet", PANDAS("read_parquet")},
    {"ARROW1\0\0", 8, NULL, "Arrow", PANDAS("read_feather")},
    {"\xff\xff\xff\xff", 4, NULL, "an Arrow stream",
     "python -c 'import datasets; datasets.Dataset.from_file(\"%s\").to_json(\"data.jsonl\")'"},
    {"ORC", 3, NULL, "ORC", PANDAS("read_orc")},
    {"PK\3\4", 4, ".xlsx", "a spreadsheet", PANDAS("read_excel")},
    {"PK\3\4", 4, NULL, "a ZIP archive", "unzip \"%s\""},
    {"BZh", 3, NULL, "bzip2", "bunzip2 -k \"%s\""},
    {"\xfd"
     "7zXZ",
     5, NULL, "xz", "unxz -k \"%s\""},
    {"\x04\x22\x4d\x18", 4, NULL, "LZ4", "unlz4 \"%s\""},
    {"7z\xbc\xaf", 4, NULL, "a 7z archive", "7z x \"%s\""},
    {"SQLite format 3\0", 16, NULL, "an SQLite database",
     "sqlite3 -csv -header \"%s\" \"select * from TABLE\" > data.csv"},
    {"\xd0\xcf\x11\xe0", 4, NULL, "a document of an older office program", PANDAS("read_excel")},
    {"{\\rtf", 5, NULL, "rich text (RTF)", "pandoc -t plain \"%s\" > data.txt"},
    {"\x80\x02", 2, NULL, "a pickle of Python", PANDAS("read_pickle")},
    {"\x80\x03", 2, NULL, "a pickle of Python", PANDAS("read_pickle")},
    {"\x80\x04", 2, NULL, "a pickle of Python", PANDAS("read_pickle")},
    {"\x80\x05", 2, NULL, "a pickle of Python", PANDAS("read_pickle")},
    {"\x89PNG", 4, NULL, "a picture (PNG)", NULL},
    {"\xff\xd8\xff", 3, NULL, "a picture (JPEG)", NULL},
    {"\x89HDF", 4, NULL, "HDF5", PANDAS("read_hdf")},
    {"\x93NUMPY", 6, NULL, "a NumPy array", NULL},
    {"Obj\1", 4, NULL, "Avro", NULL},
    {"GGUF", 4, NULL, "a model in GGUF", NULL},
    {"%PDF-", 5, NULL, "PDF", "pdftotext \"%s\" data.txt"},
    {"\xff\xfe\0\0", 4, NULL, "text in UTF-32", "iconv -f UTF-32 -t UTF-8 \"%s\" > data.utf8"},
    {"\xff\xfe", 2, NULL, "text in UTF-16", "iconv -f UTF-16 -t UTF-8 \"%s\" > data.utf8"},
    {"\xfe\xff", 2, NULL, "text in UTF-16", "iconv -f UTF-16 -t UTF-8 \"%s\" > data.utf8"},
};

static hora_status refuse(const char *path, const char *what, const char *how) {
    hora_str line = {0};
    const char *gap = how ? strstr(how, "%s") : NULL;
    if (gap) {
        hora_str_puts(&line, "convert it: ");
        hora_str_add(&line, how, (size_t)(gap - how));
        hora_str_puts(&line, path);
        hora_str_puts(&line, gap + 2);
    } else {
        hora_str_puts(&line, "give text, JSONL, CSV or TSV");
    }
    hora_status s = hora_fail(HORA_EUNSUPPORTED, "%s is %s, which is not read here; %s",
                              hora_data_shown(path), what, line.s);
    hora_str_release(&line);
    return s;
}

/* A text about ORC begins like an ORC file. */
static bool is_text(const char *s, size_t n) {
    size_t bad = n;
    for (size_t i = 0; i < n; i++)
        if (!s[i] || ((unsigned char)s[i] < ' ' && !strchr("\t\n\v\f\r\x1b", s[i])))
            return false;
    return hora_utf8_valid(s, n, &bad) || bad + 4 > n;
}

/* What begins like this is no text, however much of it is: Parquet says its name at the end too. */
static bool is_sure(const struct binary *b, const char *s, size_t n) {
    if (hora_starts(b->magic, "PAR1"))
        return n >= 12 && !memcmp(s + n - 4, "PAR1", 4);
    return b->n >= 5 || (unsigned char)b->magic[0] >= 0x80;
}

static hora_status refuse_binary(const char *path, const char *s, size_t n) {
    const size_t head = n < 4096 ? n : 4096;
    const bool text = is_text(s, head);
    for (size_t i = 0; i < HORA_COUNT(binaries); i++) {
        const struct binary *b = &binaries[i];
        if (n >= b->n && !memcmp(s, b->magic, b->n) && (!b->suffix || hora_ends(path, b->suffix)) &&
            (!text || is_sure(b, s, n)))
            return refuse(path, b->what, b->how);
    }
    if (text)
        return HORA_OK;
    if (n > 262 && !memcmp(s + 257, "ustar", 5))
        return refuse(path, "a tar archive", "tar xf \"%s\"");
    return memchr(s, 0, head) ? refuse(path, "a binary file", NULL) : HORA_OK;
}

/* ---- reading ---- */
static hora_status read_failed(const char *path) {
    return hora_fail(HORA_EIO, "%s: cannot be read: %s; write the data to a file and give that",
                     hora_data_shown(path), strerror(errno));
}

/* All that comes out of a pipe. */
static hora_status read_stream(const char *path, int fd, hora_str *out) {
    const uint64_t most = memory_for_text();
    const size_t piece = (size_t)1 << 16;
    char *buffer = hora_malloc(piece);
    hora_status s = HORA_OK;
    hora_str_add(out, "", 0);
    for (ssize_t n; !s && (n = read(fd, buffer, piece)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            s = read_failed(path);
        else if (out->n + (size_t)n > most)
            s = hora_fail(HORA_ENOMEM,
                          "%s: more than half of the memory that is free; write it to a file and "
                          "give that, which is read from the disk",
                          hora_data_shown(path));
        else
            hora_str_add(out, buffer, (size_t)n);
    }
    hora_free(buffer);
    return s;
}

static hora_status read_pipe(hora_bytes *b, const char *path) {
    const bool input = hora_eq(path, "-");
    if (input && isatty(STDIN_FILENO))
        return hora_fail(HORA_EUSAGE, "data are to come from standard input, which is a terminal; "
                                      "pipe them in, or give a file");
    const int fd = input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return read_failed(path);
    const hora_status s = read_stream(path, fd, &b->own);
    if (!input)
        close(fd);
    b->s = b->own.s;
    b->n = b->own.n;
    return s;
}

hora_status hora_bytes_unpack(const char *path, const void *data, size_t n, hora_str *out) {
    const hora_unpack_limits limits = {memory_for_text(), LARGE, 1000};
    return hora_unpack(hora_data_shown(path), data, n, &limits, out);
}

static hora_status unpack(hora_bytes *b, const char *path) {
    hora_str text = {0};
    if (!hora_unpack_kind(b->s, b->n))
        return HORA_OK;
    const hora_status s = hora_bytes_unpack(path, b->s, b->n, &text);
    hora_map_release(&b->map);
    hora_str_release(&b->own);
    b->own = text;
    b->s = text.s;
    b->n = text.n;
    return s;
}

hora_status hora_bytes_open(hora_bytes *b, const char *path) {
    struct stat st;
    *b = (hora_bytes){.s = ""};
    /* what a shell makes of <(..) has its writer; of a pipe with a name that is never sure */
    const bool handed =
        hora_starts(path, "/dev/fd/") || hora_starts(path, "/proc/") || hora_eq(path, "/dev/stdin");
    if (hora_eq(path, "-") || (handed && !stat(path, &st) && S_ISFIFO(st.st_mode))) {
        HORA_TRY(read_pipe(b, path));
    } else {
        HORA_TRY(hora_map_open(&b->map, path));
        b->s = (const char *)b->map.data;
        b->n = b->map.n;
    }
    hora_status s = hora_refuse_pointer(path, b->s, b->n);
    if (s == HORA_OK)
        s = unpack(b, path);
    if (s == HORA_OK)
        s = refuse_binary(path, b->s, b->n);
    if (s != HORA_OK) {
        hora_bytes_release(b);
        return s;
    }
    const size_t mark = hora_byte_order_mark(b->s, b->n);
    b->s += mark;
    b->n -= mark;
    return HORA_OK;
}

void hora_bytes_release(hora_bytes *b) {
    hora_map_release(&b->map);
    hora_str_release(&b->own);
    *b = (hora_bytes){.s = ""};
}
