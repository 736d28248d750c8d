/*
 * Finds the records of a JSON file: one per line (JSON Lines), the elements of one array, or of the
 * one list in an object that is the whole file. An array is cut into elements here, by brackets and
 * strings alone, so that each has its line and column, and one that does not parse can be skipped.
 * Knows nothing of what records mean, but that it asks of an object whether it is one.
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
    if (s)
        s = hora_read_hint(c->s + from, to - from, c->what, at, s);
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

/* Moves behind the bracket that closes the one at the cursor; false: there is none. */
static bool skip_brackets(cursor *c) {
    int64_t depth = 0;
    while (c->at < c->n) {
        const char k = c->s[c->at];
        if (k == '"')
            for (advance(c); c->at < c->n && c->s[c->at] != '"'; advance(c))
                if (c->s[c->at] == '\\' && c->at + 1 < c->n)
                    advance(c);
        if (c->at == c->n)
            return false;
        advance(c);
        depth += (k == '[' || k == '{') - (k == ']' || k == '}');
        if (!depth)
            return true;
    }
    return false;
}

/* ---- one object that is the whole file ---- */
/* The name of the member at the cursor, which moves to its value; owned, NULL: it is none. */
static char *member_name(cursor *c) {
    hora_json *name = NULL;
    char *out = NULL;
    skip_blanks(c);
    const size_t from = c->at;
    if (c->at == c->n || c->s[c->at] != '"')
        return NULL;
    for (advance(c); c->at < c->n && c->s[c->at] != '"'; advance(c))
        if (c->s[c->at] == '\\' && c->at + 1 < c->n)
            advance(c);
    if (c->at == c->n)
        return NULL;
    advance(c);
    if (hora_json_parse(&name, c->s + from, c->at - from, c->what) == HORA_OK)
        out = hora_strdup(hora_json_string(name, NULL));
    hora_json_free(name);
    skip_blanks(c);
    if (c->at < c->n && c->s[c->at] == ':')
        advance(c);
    skip_blanks(c);
    return out;
}

/* The list at the cursor holds records: objects that are no turns of a conversation, or lists.
 * `turns`: its name says that it holds turns, if the records in it do not. */
static bool holds_records(cursor c, bool turns) {
    hora_json *first;
    advance(&c);
    skip_blanks(&c);
    const size_t from = c.at;
    if (c.at == c.n || (c.s[c.at] != '{' && c.s[c.at] != '[') || !skip_brackets(&c))
        return false;
    if (hora_json_parse(&first, c.s + from, c.at - from, c.what))
        return false;
    const hora_json *turn = hora_json_type(first) == HORA_JARRAY ? hora_json_at(first, 0) : first;
    const bool is_turn = hora_json_get(turn, "role") || hora_json_get(turn, "from");
    const bool inner = turn != first || !turns || hora_json_get(turn, "messages") ||
                       hora_json_get(turn, "conversations") || hora_json_get(turn, "conversation");
    const bool yes = hora_json_type(turn) == HORA_JOBJECT && (turn == first) != is_turn && inner;
    hora_json_free(first);
    return yes;
}

/* The object at the cursor is all of the file. */
static bool is_all(cursor c) {
    if (c.at == c.n || c.s[c.at] != '{' || !skip_brackets(&c))
        return false;
    skip_blanks(&c);
    return c.at == c.n;
}

typedef struct wrapped {
    char *name;
    cursor list;
    bool several, turns; /* more lists of records; its name is that of the turns of one */
    bool record;         /* the object is a record itself */
} wrapped;

static hora_status unwrap(cursor c, wrapped *w) {
    *w = (wrapped){0};
    if (!is_all(c))
        return HORA_OK;
    hora_json *names = hora_json_new_object();
    for (advance(&c); c.at < c.n && c.s[c.at] != '}';) {
        char *name = member_name(&c);
        if (!name)
            break;
        const bool turns = hora_eq(name, "messages") || hora_eq(name, "conversations") ||
                           hora_eq(name, "conversation");
        const bool list = c.at < c.n && c.s[c.at] == '[' && holds_records(c, turns);
        hora_json_set(names, name, hora_json_new_string(""));
        w->several |= list && w->name;
        if (list && !w->name) {
            w->name = name;
            w->list = c;
            w->turns = turns;
            name = NULL;
        }
        hora_free(name);
        skip_element(&c);
        if (c.at < c.n && c.s[c.at] == ',')
            advance(&c);
    }
    w->record = hora_source_names(names) && !w->turns;
    hora_json_free(names);
    if (!w->name || w->record || !w->several)
        return HORA_OK;
    return hora_fail(HORA_EFORMAT,
                     "%s: an object with several lists of records (`%.40s` and others); write the "
                     "one that is meant to a file of its own (`jq '.\"%.40s\"' FILE`)",
                     c.what, w->name, w->name);
}

static hora_status structure(cursor *c, const char *expected) {
    hora_place at = place(c);
    return hora_fail(HORA_EFORMAT, "%s: line %lld, column %lld: %s is expected; correct the array",
                     c->what, (long long)at.line, (long long)at.column, expected);
}

/* `behind`: what may follow the array. */
static hora_status read_array(cursor *c, const char *behind) {
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
    return c->at == c->n || strchr(behind, c->s[c->at]) ? HORA_OK
                                                        : structure(c, "the end of the file");
}

/* Several arrays, one behind the other: each is a record. */
static bool arrays_in_lines(cursor c) {
    if (!skip_brackets(&c))
        return false;
    const int64_t line = c.line;
    skip_blanks(&c);
    return c.at < c.n && c.s[c.at] == '[' && c.line > line;
}

hora_status hora_read_records(const char *text, size_t n, const char *what, hora_record_fn fn,
                              hora_status (*bad)(void *arg, hora_status s), void *arg) {
    cursor c = {.s = text, .n = n, .line = 1, .what = what, .fn = fn, .bad = bad, .arg = arg};
    hora_status s;
    wrapped w;
    skip_blanks(&c);
    if (c.at < c.n && c.s[c.at] == '[' && !arrays_in_lines(c))
        return read_array(&c, "");
    HORA_TRY_OUT(s, unwrap(c, &w));
    if (w.name && !w.record) {
        s = read_array(&w.list, ",}");
        goto out;
    }
    if (is_all(c)) { /* one record, on however many lines */
        const size_t from = c.at;
        const hora_place at = place(&c);
        skip_brackets(&c);
        s = one_record(&c, from, c.at, at);
        goto out;
    }
    c.at = c.line_at; /* a line starts with its blanks */
    c.lines = true;
    s = read_lines(&c);
out:
    hora_free(w.name);
    return s;
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
