/*
 * What a record that is no JSON looks like, and what would be right: the ways in which people's
 * files go wrong have names. Only messages; nothing is mended here.
 */
#include <string.h>

#include "base/text.h"
#include "data/files_impl.h"

static const char *skip(const char *s, const char *end) {
    while (s < end && strchr(" \t\r\n", *s))
        s++;
    return s;
}

/* The first byte outside of strings that `is` takes; NULL: none. */
static const char *outside(const char *s, const char *end,
                           bool (*is)(const char *s, const char *end)) {
    for (; s < end; s++) {
        if (*s == '"')
            for (s++; s < end && *s != '"'; s++)
                s += *s == '\\';
        else if (is(s, end))
            return s;
    }
    return NULL;
}

static bool word_at(const char *s, const char *end, const char *word) {
    const size_t n = strlen(word);
    return (size_t)(end - s) >= n && !memcmp(s, word, n) &&
           (s + n == end || strchr(",]} \t\r\n", s[n]));
}

static bool is_python(const char *s, const char *end) {
    return word_at(s, end, "None") || word_at(s, end, "True") || word_at(s, end, "False");
}
static bool is_no_number(const char *s, const char *end) {
    return word_at(s, end, "NaN") || word_at(s, end, "Infinity");
}
static bool is_comment(const char *s, const char *end) {
    return s + 1 < end && *s == '/' && (s[1] == '/' || s[1] == '*');
}
static bool is_curly_quote(const char *s, const char *end) {
    return end - s >= 3 && (!memcmp(s, "\xe2\x80\x9c", 3) || !memcmp(s, "\xe2\x80\x9d", 3));
}
static bool is_spare_comma(const char *s, const char *end) {
    if (*s != ',')
        return false;
    s = skip(s + 1, end);
    return s < end && (*s == '}' || *s == ']');
}

/* Behind the brackets that the text begins with; NULL: they do not close. */
static const char *closed(const char *s, const char *end) {
    int64_t depth = 0;
    for (; s < end; s++) {
        if (*s == '"') {
            for (s++; s < end && *s != '"'; s++)
                s += *s == '\\';
            if (s >= end)
                return NULL;
        }
        depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
        if (depth <= 0)
            return s + 1;
    }
    return NULL;
}

/* A tab or a line break that is not written as \\t or \\n. */
static bool bare_control(const char *s, const char *end) {
    bool in = false;
    for (; s < end; s++) {
        in ^= *s == '"';
        if (in && *s == '\\')
            s++;
        else if (in && (*s == '\t' || *s == '\n' || *s == '\r'))
            return true;
    }
    return false;
}

static const char *name_it(const char *s, const char *end) {
    const char *behind = *s == '{' || *s == '[' ? closed(s, end) : NULL;
    behind = behind ? skip(behind, end) : NULL;
    const char *second = (*s == '{' || *s == '[') && s + 1 < end ? skip(s + 1, end) : end;
    if (*s == '<')
        return "this is HTML or XML, no record: a web page was saved in place of the file; fetch "
               "the file itself";
    if (*s == '#' || is_comment(s, end))
        return "this is a comment, which JSON does not have; remove the line";
    if (second < end && *second == '\'')
        return "strings stand in single quotes, as Python prints a dict; write records with "
               "json.dumps(record)";
    if (outside(s, end, is_python))
        return "None, True and False are Python's; in JSON they are null, true and false "
               "(json.dumps(record) writes them so)";
    if (outside(s, end, is_no_number))
        return "NaN and Infinity are no values of JSON; write null or leave the key out";
    if (outside(s, end, is_curly_quote))
        return "a typographic quotation mark stands where \" is meant; correct it";
    if (outside(s, end, is_comment))
        return "a comment stands in the record, which JSON does not have; remove it";
    if (outside(s, end, is_spare_comma))
        return "a comma stands before a closing bracket; remove it";
    if (behind && behind < end && *behind == ',')
        return "a comma stands behind the record; records on lines of their own have none "
               "between them (or write all of them as one array)";
    if (behind && behind < end && (*behind == '{' || *behind == '['))
        return "two records stand on one line; write each on a line of its own (`jq -c . FILE` "
               "does that)";
    if (bare_control(s, end))
        return "a tab or a line break stands in a string as it is; in JSON it is \\t or \\n "
               "(json.dumps(record) writes it so)";
    if (second < end && *s == '{' && *second != '"' && *second != '}')
        return "names of fields stand in double quotes; write {\"text\": ..} (json.dumps)";
    if (!strchr("{[\"", *s))
        return "a record begins with {; this line is text. Give format=text for plain text, or "
               "write {\"text\": ..} (json.dumps)";
    return NULL;
}

hora_status hora_read_hint(const char *record, size_t n, const char *what, hora_place at,
                           hora_status s) {
    const char *end = record + n, *from = skip(record, end);
    const char *hint = from < end ? name_it(from, end) : NULL;
    if (!hint)
        return s;
    return hora_fail(HORA_EFORMAT, "%s: line %lld, column %lld: %s", what, (long long)at.line,
                     (long long)at.column + (from - record), hint);
}
