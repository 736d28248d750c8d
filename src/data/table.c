/*
 * Tables: a header, then a record per line; each becomes an object of strings. CSV follows RFC
 * 4180: fields in double quotes may hold delimiters, line breaks and doubled quotes; the delimiter
 * is the comma, or where the header has none outside of quotes the semicolon, or the tab. TSV has
 * no quoting. Words like None or NA are text.
 */
#include "base/text.h"
#include "data/files_impl.h"

typedef struct table {
    const char *s;
    size_t n, at;
    int64_t line;
    char delimiter;
    bool quotes;
    bool returns;     /* lines end in carriage returns alone, as they once did on the Macintosh */
    hora_str *fields; /* of the present record */
    size_t nfields, cfields;
} table;

static bool at_end(const table *t) {
    return t->at == t->n;
}

/* A field in quotes; the cursor stands behind the first. False: it never ends. */
static bool quoted(table *t, hora_str *out) {
    while (!at_end(t)) {
        char c = t->s[t->at++];
        t->line += c == '\n';
        if (c == '"' && (at_end(t) || t->s[t->at] != '"'))
            return true;
        t->at += c == '"';
        hora_str_putc(out, c);
    }
    return false;
}

static bool line_ends(const table *t) {
    return at_end(t) || t->s[t->at] == '\n' ||
           (t->s[t->at] == '\r' && (t->returns || t->at + 1 == t->n || t->s[t->at + 1] == '\n'));
}

static void skip_line_end(table *t) {
    t->at += !t->returns && !at_end(t) && t->s[t->at] == '\r';
    if (!at_end(t)) {
        t->at++;
        t->line++;
    }
}

static void clear(table *t) {
    for (size_t i = 0; i < t->nfields; i++)
        hora_str_release(&t->fields[i]);
    t->nfields = 0;
}

static hora_status read_fields(table *t) {
    const int64_t line = t->line;
    clear(t);
    for (;;) {
        hora_str f = {0};
        bool whole = true;
        if (t->quotes && !at_end(t) && t->s[t->at] == '"') {
            t->at++;
            whole = quoted(t, &f);
        }
        while (whole && !line_ends(t) && t->s[t->at] != t->delimiter)
            hora_str_putc(&f, t->s[t->at++]);
        HORA_PUSH(t->fields, t->nfields, t->cfields, f);
        if (!whole)
            return hora_fail(HORA_EFORMAT,
                             "the quotation mark that opens field %zu of line %lld is never "
                             "closed; double quotation marks inside of fields",
                             t->nfields, (long long)line);
        if (line_ends(t))
            break;
        t->at++;
    }
    skip_line_end(t);
    return HORA_OK;
}

/* The delimiter of the header's line. Spreadsheets may say it in a line of its own: sep=; */
static char delimiter_of(table *t) {
    if (t->n - t->at > 6 && !strncmp(t->s + t->at, "sep=", 4) &&
        (t->s[t->at + 5] == '\n' || t->s[t->at + 5] == '\r')) {
        const char c = t->s[t->at + 4];
        t->at += 5;
        skip_line_end(t);
        return c;
    }
    bool inside = false, comma = false, semicolon = false, tab = false;
    for (size_t i = t->at; i < t->n && (inside || t->s[i] != '\n'); i++) {
        inside ^= t->s[i] == '"';
        comma |= !inside && t->s[i] == ',';
        semicolon |= !inside && t->s[i] == ';';
        tab |= !inside && t->s[i] == '\t';
    }
    return comma ? ',' : semicolon ? ';' : tab ? '\t' : ',';
}

static const char *text(const hora_str *s) {
    return s->s ? s->s : "";
}

static hora_status header(table *t, char ***names, size_t *n) {
    HORA_TRY(read_fields(t));
    *n = t->nfields;
    *names = hora_calloc(*n, sizeof **names);
    for (size_t i = 0; i < *n; i++) {
        size_t bad;
        if (!hora_utf8_valid(text(&t->fields[i]), t->fields[i].n, &bad))
            return hora_fail(HORA_EFORMAT, "the name of column %zu is not UTF-8; convert the file",
                             i + 1);
        (*names)[i] = hora_strdup(text(&t->fields[i]));
        for (size_t k = 0; k < i; k++)
            if (hora_eq((*names)[k], (*names)[i]))
                return hora_fail(HORA_EFORMAT,
                                 "two columns are called `%.60s`; a table needs a header with a "
                                 "name for each column",
                                 (*names)[i]);
    }
    return HORA_OK;
}

static hora_status make_record(const table *t, char *const *names, size_t n, hora_json **out) {
    size_t bad;
    *out = NULL;
    if (t->nfields != n && !t->quotes)
        return hora_fail(HORA_EFORMAT,
                         "the line has %zu fields, the header %zu; in TSV no field holds tabs or "
                         "line breaks, where they stand in quotes give format=csv",
                         t->nfields, n);
    if (t->nfields != n)
        return hora_fail(HORA_EFORMAT,
                         "the line has %zu fields, the header %zu; put fields that hold `%c` or "
                         "line breaks in double quotes",
                         t->nfields, n, t->delimiter);
    for (size_t i = 0; i < n; i++)
        if (!hora_utf8_valid(text(&t->fields[i]), t->fields[i].n, &bad))
            return hora_fail(HORA_EFORMAT, "field %zu is not UTF-8; convert the file", i + 1);
    *out = hora_json_new_object();
    for (size_t i = 0; i < n; i++)
        hora_json_set(*out, names[i], hora_json_new_string_n(text(&t->fields[i]), t->fields[i].n));
    return HORA_OK;
}

static hora_json *named(char *const *names, size_t n) {
    hora_json *o = hora_json_new_object();
    for (size_t i = 0; i < n; i++)
        hora_json_set(o, names[i], hora_json_new_string(""));
    return o;
}

static hora_status check_header(char *const *names, size_t n,
                                hora_status (*header)(void *arg, const hora_json *names),
                                void *arg) {
    hora_json *record = named(names, n);
    const hora_status s = header(arg, record);
    hora_json_free(record);
    return s;
}

static void release(table *t, char **names, size_t columns) {
    clear(t);
    hora_free(t->fields);
    for (size_t i = 0; i < columns; i++)
        hora_free(names[i]);
    hora_free(names);
}

hora_json *hora_read_header(const char *s, size_t n, bool tabs) {
    const char *end = memchr(s, '\n', n);
    table t = {.s = s, .n = end ? (size_t)(end - s) + 1 : n, .line = 1, .quotes = !tabs};
    char **names = NULL;
    size_t columns = 0;
    bool good = t.n < 4096;
    if (good) {
        t.delimiter = tabs ? '\t' : delimiter_of(&t);
        good = header(&t, &names, &columns) == HORA_OK && columns > 1;
    }
    hora_json *record = good ? named(names, columns) : NULL;
    release(&t, names, columns);
    return record;
}

hora_status hora_read_table(const char *s, size_t n, const char *what, bool tabs,
                            hora_status (*check)(void *arg, const hora_json *names),
                            hora_record_fn fn, hora_status (*bad)(void *arg, hora_status s),
                            void *arg) {
    table t = {.s = s, .n = n, .line = 1, .quotes = !tabs};
    char **names = NULL;
    size_t columns = 0;
    t.returns = n && !memchr(s, '\n', n) && memchr(s, '\r', n);
    t.delimiter = tabs ? '\t' : delimiter_of(&t);
    hora_status st = header(&t, &names, &columns);
    if (st)
        hora_context(st, "%s", what);
    else if (check)
        st = check_header(names, columns, check, arg);
    while (!st && !at_end(&t)) {
        const hora_place at = {t.line, 1};
        hora_json *record = NULL;
        if (line_ends(&t)) { /* an empty line is no record */
            skip_line_end(&t);
            continue;
        }
        st = read_fields(&t);
        if (st) {
            hora_context(st, "%s", what);
            break;
        }
        st = make_record(&t, names, columns, &record);
        st = st ? bad(arg, hora_context(st, "%s: line %lld", what, (long long)at.line))
                : fn(arg, record, at);
        hora_json_free(record);
    }
    release(&t, names, columns);
    return st;
}
