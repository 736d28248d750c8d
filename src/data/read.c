/*
 * Finds the records of a JSON file: one per line (JSON Lines), or the elements of one array. An
 * array is cut into elements here, by brackets and strings alone, so that each has its line and
 * column, and one that does not parse can be skipped. Knows nothing of what records mean.
 */
#include "base/text.h"
#include "data/files_impl.h"

typedef struct cursor {
    const char *s;
    size_t n, at;
    int64_t line;
    size_t line_at; /* offset of the first byte of the line */
    const char *what;
    hora_record_fn fn;
    hora_status (*bad)(void *arg, hora_status s);
    void *arg;
    bool lines; /* one record per line */
} cursor;

static hora_place place(const cursor *c) {
    return (hora_place){c->line, (int64_t)(c->at - c->line_at) + 1};
}

static void advance(cursor *c) {
    if (c->s[c->at++] == '\n') {
        c->line++;
        c->line_at = c->at;
    }
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(cursor *c) {
    while (c->at < c->n && blank(c->s[c->at]))
        advance(c);
}

/* More brackets open than close: the record goes on in the next line. */
static bool unfinished(const char *s, size_t n) {
    int64_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"')
            for (i++; i < n && s[i] != '"'; i++)
                i += s[i] == '\\';
        else
            depth += (s[i] == '{' || s[i] == '[') - (s[i] == '}' || s[i] == ']');
    }
    return depth > 0;
}

static hora_status one_record(cursor *c, size_t from, size_t to, hora_place at) {
    hora_json *record;
    hora_status s =
        hora_json_parse_at(&record, c->s + from, to - from, c->what, at.line, at.column);
    bool more = c->n > to; /* in the file */
    if (s && c->lines && more && unfinished(c->s + from, to - from))
        s = hora_fail(
            HORA_EFORMAT,
            "%s: line %lld: this record goes on in the next line; write each record on one "
            "line (`jq -c . FILE` does that), or all of them as one array",
            c->what, (long long)at.line);
    if (s)
        return c->bad(c->arg, s);
    s = c->fn(c->arg, record, at);
    hora_json_free(record);
    return s;
}

static hora_status read_lines(cursor *c) {
    while (c->at < c->n) {
        const char *nl = memchr(c->s + c->at, '\n', c->n - c->at);
        size_t from = c->at, to = nl ? (size_t)(nl - c->s) : c->n;
        hora_place at = {c->line, 1};
        from += hora_byte_order_mark(c->s + from, to - from); /* files put together */
        c->at = from;
        while (c->at < to && blank(c->s[c->at]))
            c->at++;
        if (c->at < to)
            HORA_TRY(one_record(c, from, to, at));
        c->at = to;
        if (nl)
            advance(c);
    }
    return HORA_OK;
}

/* Moves behind the element at the cursor: up to a comma or bracket that does not belong to it. */
static void skip_element(cursor *c) {
    int64_t depth = 0;
    while (c->at < c->n) {
        char k = c->s[c->at];
        if (k == '"') {
            for (advance(c); c->at < c->n && c->s[c->at] != '"'; advance(c))
                if (c->s[c->at] == '\\' && c->at + 1 < c->n)
                    advance(c);
            if (c->at == c->n)
                return;
        } else if (k == '[' || k == '{') {
            depth++;
        } else if (k == ']' || k == '}' || k == ',') {
            if (!depth)
                return;
            depth -= k != ',';
        }
        advance(c);
    }
}

static hora_status structure(cursor *c, const char *expected) {
    hora_place at = place(c);
    return hora_fail(HORA_EFORMAT, "%s: line %lld, column %lld: %s is expected; correct the array",
                     c->what, (long long)at.line, (long long)at.column, expected);
}

static hora_status read_array(cursor *c) {
    advance(c); /* [ */
    skip_blanks(c);
    if (c->at < c->n && c->s[c->at] == ']')
        advance(c);
    else
        for (;;) {
            size_t from = c->at;
            hora_place at = place(c);
            skip_element(c);
            HORA_TRY(one_record(c, from, c->at, at));
            if (c->at == c->n || (c->s[c->at] != ',' && c->s[c->at] != ']'))
                return structure(c, "`,` or `]`");
            bool last = c->s[c->at] == ']';
            advance(c);
            skip_blanks(c);
            if (last)
                break;
        }
    skip_blanks(c);
    return c->at == c->n ? HORA_OK : structure(c, "the end of the file");
}

hora_status hora_read_records(const char *text, size_t n, const char *what, hora_record_fn fn,
                              hora_status (*bad)(void *arg, hora_status s), void *arg) {
    cursor c = {.s = text, .n = n, .line = 1, .what = what, .fn = fn, .bad = bad, .arg = arg};
    skip_blanks(&c);
    if (c.at < c.n && c.s[c.at] == '[')
        return read_array(&c);
    c.at = c.line_at; /* a line starts with its blanks */
    c.lines = true;
    return read_lines(&c);
}

typedef struct visit {
    const char *path;
    hora_status (*fn)(void *arg, const hora_json *record, int64_t line);
    void *arg;
} visit;

static hora_status visit_one(void *arg, const hora_json *record, hora_place at) {
    const visit *v = arg;
    hora_status s = v->fn(v->arg, record, at.line);
    return s ? hora_context(s, "%s: line %lld", v->path, (long long)at.line) : HORA_OK;
}

static hora_status visit_bad(void *arg, hora_status s) {
    (void)arg;
    return s;
}

hora_status hora_records_each(const char *path,
                              hora_status (*fn)(void *arg, const hora_json *record, int64_t line),
                              void *arg) {
    visit v = {path, fn, arg};
    hora_bytes b;
    const bool tabs = hora_ends(path, ".tsv");
    hora_status st = hora_bytes_open(&b, path);
    if (!st)
        st = tabs || hora_ends(path, ".csv")
                 ? hora_read_table(b.s, b.n, path, tabs, NULL, visit_one, visit_bad, &v)
                 : hora_read_records(b.s, b.n, path, visit_one, visit_bad, &v);
    hora_bytes_release(&b);
    return st;
}
