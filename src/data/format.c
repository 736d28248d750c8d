/* What a file of training data is: by its name, or by how it begins. */
#include "base/text.h"
#include "data/data_impl.h"
#include "data/files_impl.h"

static hora_data_format by_name(const char *path) {
    static const struct {
        const char *ending;
        hora_data_format f;
    } rows[] = {{".csv", HORA_FORMAT_CSV},    {".tsv", HORA_FORMAT_TSV},
                {".tab", HORA_FORMAT_TSV},    {".jsonl", HORA_FORMAT_JSONL},
                {".json", HORA_FORMAT_JSONL}, {".ndjson", HORA_FORMAT_JSONL},
                {".txt", HORA_FORMAT_TEXT}};
    static const char *const packed[] = {".gz", ".zst", ".zstd"};
    char *name = hora_strdup(path);
    for (char *p = name; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    for (size_t i = 0; i < HORA_COUNT(packed); i++)
        if (hora_ends(name, packed[i])) {
            name[strlen(name) - strlen(packed[i])] = 0;
            break;
        }
    hora_data_format f = HORA_FORMAT_AUTO;
    for (size_t i = 0; i < HORA_COUNT(rows) && !f; i++)
        f = hora_ends(name, rows[i].ending) ? rows[i].f : HORA_FORMAT_AUTO;
    hora_free(name);
    return f;
}

/* The first line names columns that some kind of record has. */
static hora_data_format table_format(const hora_columns *columns, const char *s, size_t n) {
    for (int tabs = 0; tabs < 2; tabs++) {
        hora_json *names = hora_read_header(s, n, tabs), *record = NULL;
        const bool fits = names && hora_columns_apply(columns, names, &record) == HORA_OK &&
                          hora_source_names(record);
        hora_json_free(record);
        hora_json_free(names);
        if (fits)
            return tabs ? HORA_FORMAT_TSV : HORA_FORMAT_CSV;
    }
    return HORA_FORMAT_AUTO;
}

/* It begins as records do: with an object, or with an array of objects. */
static bool begins_as_records(const char *s, size_t n) {
    char first[3] = {0};
    for (size_t i = 0, k = 0; i < n && k < HORA_COUNT(first); i++)
        if (!strchr(" \t\r\n", s[i]))
            first[k++] = s[i];
    return first[0] == '{' || (first[0] == '[' && (first[1] == '{' || !memcmp(first, "[[{", 3)));
}

/* The first line is a record of some kind: a file called .txt that holds JSON Lines. */
static bool is_record_line(const char *s, size_t n) {
    const char *end = memchr(s, '\n', n);
    hora_json *record = NULL;
    if (!begins_as_records(s, n) ||
        hora_json_parse(&record, s, end ? (size_t)(end - s) : n, "") != HORA_OK)
        return false;
    const bool is = hora_source_names(record);
    hora_json_free(record);
    return is;
}

static hora_data_format by_content(const hora_columns *columns, const char *s, size_t n) {
    if (begins_as_records(s, n))
        return HORA_FORMAT_JSONL;
    const hora_data_format f = table_format(columns, s, n);
    return f ? f : HORA_FORMAT_TEXT;
}

static const char *const format_names[] = {"auto", "text", "jsonl", "csv", "tsv"};

hora_status hora_data_format_given(const hora_data_config *c, hora_data_format *out) {
    const char *given = c->format ? c->format : "auto";
    size_t k = 0;
    while (k < HORA_COUNT(format_names) && !hora_eq(given, format_names[k]))
        k++;
    *out = (hora_data_format)k;
    return k < HORA_COUNT(format_names)
               ? HORA_OK
               : hora_fail(HORA_EUSAGE,
                           "format `%s` is not known; choose auto, text, jsonl, csv or tsv", given);
}

hora_status hora_data_format_of(const hora_data_config *c, const char *path,
                                const hora_columns *columns, const char *s, size_t n,
                                hora_data_format *out) {
    HORA_TRY(hora_data_format_given(c, out));
    if (*out != HORA_FORMAT_AUTO)
        return HORA_OK;
    *out = by_name(path);
    if (*out == HORA_FORMAT_TEXT && table_format(columns, s, n))
        return hora_fail(HORA_EUSAGE,
                         "%s: the first line is that of a table; give format=%s, or "
                         "format=text if it is meant to be learned as it stands",
                         path, format_names[table_format(columns, s, n)]);
    if (*out == HORA_FORMAT_TEXT && is_record_line(s, n))
        return hora_fail(HORA_EUSAGE,
                         "%s: the first line is a record in JSON; give format=jsonl, or "
                         "format=text if it is meant to be learned as it stands",
                         path);
    *out = *out ? *out : by_content(columns, s, n);
    return HORA_OK;
}
