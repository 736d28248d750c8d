/*
 * YAML for recipes over libyaml; the only file that sees its header. One document becomes a
 * hora_json tree by the core schema of YAML 1.2.2 (section 10.3), so `no` is a string. Refuses what
 * recipes have no use for and hostile files do: anchors and aliases, tags, several documents, keys
 * that are not scalars, repeated keys, deep nesting. Every refusal has line and column.
 */
#include "base/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/file.h"
#include "base/text.h"

#define DEPTH_MOST   64
#define KEY_MOST     1000 /* libyaml takes simple keys up to 1024 bytes */
#define FLOW_COLUMNS 72

typedef struct reader {
    yaml_parser_t parser;
    const char *what;
    int depth;
} reader;

static hora_status refuse(const reader *r, const yaml_event_t *e, const char *text) {
    return hora_fail(HORA_EFORMAT, "%s: line %zu, column %zu: %s", r->what, e->start_mark.line + 1,
                     e->start_mark.column + 1, text);
}

static hora_status next(reader *r, yaml_event_t *e) {
    if (yaml_parser_parse(&r->parser, e))
        return HORA_OK;
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "cannot be read";
    if (p->error == YAML_MEMORY_ERROR)
        return hora_fail(HORA_ENOMEM, "%s: out of memory; close other programs and try again",
                         r->what);
    if (p->error == YAML_READER_ERROR)
        return hora_fail(HORA_EFORMAT, "%s: byte %zu: %s; save the file as plain UTF-8 text",
                         r->what, p->problem_offset, problem);
    return hora_fail(HORA_EFORMAT, "%s: line %zu, column %zu: %s; correct the YAML there", r->what,
                     p->problem_mark.line + 1, p->problem_mark.column + 1, problem);
}

static bool one_of(const char *s, const char *const *words) {
    for (; *words; words++)
        if (!strcmp(s, *words))
            return true;
    return false;
}

/* Digits in base 8 or 16 behind "0o" or "0x"; false when it is no such number or too large. */
static bool based_int(const char *s, int64_t *out) {
    int base = !strncmp(s, "0o", 2) ? 8 : !strncmp(s, "0x", 2) ? 16 : 0;
    const char *allowed = base == 8 ? "01234567" : "0123456789abcdefABCDEF";
    if (!base || !s[2] || s[2 + strspn(s + 2, allowed)])
        return false;
    unsigned long long v = strtoull(s + 2, NULL, base); /* too large: ULLONG_MAX */
    if (v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

/* What a plain scalar means; NULL with *infinite set for .inf and .nan, which JSON cannot hold. */
static hora_json *resolve(const char *s, size_t n, bool *infinite) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const others[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    int64_t i;
    double d;
    *infinite = false;
    if (strlen(s) != n)
        return hora_json_new_string_n(s, n);
    if (one_of(s, nulls))
        return hora_json_new_null();
    if (one_of(s, trues) || one_of(s, falses))
        return hora_json_new_bool(one_of(s, trues));
    if (one_of(s + strspn(s, "+-"), others) && strspn(s, "+-") <= 1) {
        *infinite = true;
        return NULL;
    }
    if (based_int(s, &i))
        return hora_json_new_int(i);
    bool number = n && strchr("0123456789", s[n - 1]);
    if (number && hora_parse_int(s, &i)) /* ends in a digit: no suffix */
        return hora_json_new_int(i);
    hora_json *long_int; /* digits that no number of 64 bits holds stay as they are */
    const size_t sign = *s == '-', digits = strspn(s + sign, "0123456789");
    if (digits && sign + digits == n && (s[sign] != '0') &&
        hora_json_parse(&long_int, s, n, "number") == HORA_OK)
        return long_int;
    if ((number || s[n - 1] == '.') && hora_parse_double(s, &d))
        return hora_json_new_real(d);
    return hora_json_new_string(s);
}

static hora_status read_scalar(reader *r, const yaml_event_t *e, hora_json **out) {
    const char *s = (const char *)e->data.scalar.value;
    const char *tag = (const char *)e->data.scalar.tag;
    bool infinite = false;
    if (e->data.scalar.anchor)
        return refuse(r, e, "anchors are not supported; write the value out");
    if (tag && strcmp(tag, YAML_STR_TAG) && strcmp(tag, "!"))
        return refuse(r, e, "tags are not supported; leave it out");
    if (tag || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        *out = hora_json_new_string_n(s, e->data.scalar.length);
    else
        *out = resolve(s, e->data.scalar.length, &infinite);
    return infinite ? refuse(r, e, "not a finite number; put it in quotes or leave the key out")
                    : HORA_OK;
}

static hora_status read_node(reader *r, const yaml_event_t *e, hora_json **out);

static hora_status read_sequence(reader *r, hora_json *array) {
    for (;;) {
        yaml_event_t e;
        hora_json *v = NULL;
        HORA_TRY(next(r, &e));
        bool end = e.type == YAML_SEQUENCE_END_EVENT;
        hora_status s = end ? HORA_OK : read_node(r, &e, &v);
        yaml_event_delete(&e);
        if (s != HORA_OK || end)
            return s;
        hora_json_push(array, v);
    }
}

static hora_status read_key(reader *r, const yaml_event_t *e, const hora_json *object) {
    if (e->type != YAML_SCALAR_EVENT || e->data.scalar.anchor || e->data.scalar.tag)
        return refuse(r, e, "a key should be plain text; write `key: value`");
    const char *key = (const char *)e->data.scalar.value;
    if (strlen(key) != e->data.scalar.length)
        return refuse(r, e, "a key may not hold a NUL byte; remove it");
    if (hora_json_get(object, key))
        return refuse(r, e, "this key is there twice; remove one");
    return HORA_OK;
}

static hora_status read_mapping(reader *r, hora_json *object) {
    for (;;) {
        yaml_event_t key, e;
        hora_json *v = NULL;
        HORA_TRY(next(r, &key));
        bool end = key.type == YAML_MAPPING_END_EVENT;
        hora_status s = end ? HORA_OK : read_key(r, &key, object);
        if (s == HORA_OK && !end && (s = next(r, &e)) == HORA_OK) {
            s = read_node(r, &e, &v);
            yaml_event_delete(&e);
        }
        if (s == HORA_OK && !end)
            hora_json_set(object, (const char *)key.data.scalar.value, v);
        yaml_event_delete(&key);
        if (s != HORA_OK || end)
            return s;
    }
}

static hora_status read_collection(reader *r, const yaml_event_t *e, hora_json **out) {
    bool mapping = e->type == YAML_MAPPING_START_EVENT;
    if (mapping ? !!e->data.mapping_start.anchor : !!e->data.sequence_start.anchor)
        return refuse(r, e, "anchors are not supported; write the value out");
    if (mapping ? !!e->data.mapping_start.tag : !!e->data.sequence_start.tag)
        return refuse(r, e, "tags are not supported; leave it out");
    if (r->depth >= DEPTH_MOST)
        return refuse(r, e, "nested too deep; a recipe needs two levels");
    hora_json *v = mapping ? hora_json_new_object() : hora_json_new_array();
    r->depth++;
    hora_status s = mapping ? read_mapping(r, v) : read_sequence(r, v);
    r->depth--;
    if (s == HORA_OK)
        *out = v;
    else
        hora_json_free(v);
    return s;
}

static hora_status read_node(reader *r, const yaml_event_t *e, hora_json **out) {
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(r, e, out);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return read_collection(r, e, out);
    case YAML_ALIAS_EVENT:
        return refuse(r, e, "aliases are not supported; write the value out");
    default:
        return refuse(r, e, "a value was expected; write `key: value`");
    }
}

/* stream start, document start, one node, document end, stream end. */
static hora_status read_stream(reader *r, hora_json **root) {
    bool seen = false;
    for (;;) {
        yaml_event_t e;
        hora_status s = next(r, &e);
        if (s != HORA_OK)
            return s;
        yaml_event_type_t type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT) {
            if (seen)
                s = refuse(r, &e, "a second document begins; keep one and remove `---`");
            seen = true;
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
                   type != YAML_STREAM_END_EVENT) {
            s = read_node(r, &e, root);
        }
        yaml_event_delete(&e);
        if (s != HORA_OK || type == YAML_STREAM_END_EVENT)
            return s;
    }
}

hora_status hora_yaml_parse(hora_json **out, const char *text, size_t n, const char *what) {
    reader r = {.what = what};
    hora_json *root = NULL;
    *out = NULL;
    if (!yaml_parser_initialize(&r.parser))
        return hora_fail(HORA_ENOMEM, "%s: no memory for reading YAML; close other programs", what);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    hora_status s = read_stream(&r, &root);
    yaml_parser_delete(&r.parser);
    if (s == HORA_OK)
        *out = root ? root : hora_json_new_null();
    else
        hora_json_free(root);
    return s;
}

hora_status hora_yaml_load(hora_json **out, const char *path) {
    hora_map m;
    hora_str text = {0};
    *out = NULL;
    HORA_TRY(hora_map_open(&m, path));
    const char *s = (const char *)m.data;
    hora_str_puts(&text, "");
    for (size_t i = 0, end; i < m.n; i = end) { /* marks stand also where files were put together */
        const char *stop = memchr(s + i, '\n', m.n - i);
        end = stop ? (size_t)(stop - s) + 1 : m.n;
        i += hora_byte_order_mark(s + i, end - i);
        hora_str_add(&text, s + i, end - i);
    }
    hora_status st = hora_yaml_parse(out, text.s, text.n, path);
    hora_str_release(&text);
    hora_map_release(&m);
    return st;
}

/* Words that need no quotes: a letter, then letters, digits and -_./ - and no word of a schema. */
static bool is_word(const char *s, size_t n) {
    static const char *const taken[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n",   NULL};
    char lower[8] = {0};
    if (!n || !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_", s[0]) || !s[0])
        return false;
    for (size_t i = 0; i < n; i++) {
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
        if (!letter && (!s[i] || !strchr("0123456789-_./", s[i])))
            return false;
        if (n < sizeof lower)
            lower[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    }
    return n >= sizeof lower || !one_of(lower, taken);
}

/* Characters that YAML does not take, or would fold, inside double quotes. */
static bool must_escape(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           c == 0xfffe || c == 0xffff;
}

static void dump_string(hora_str *out, const char *s, size_t n) {
    if (is_word(s, n)) {
        hora_str_add(out, s, n);
        return;
    }
    hora_str_putc(out, '"');
    for (size_t i = 0; i < n;) {
        uint32_t c = 0xfffd;
        int used = hora_utf8_decode(s + i, n - i, &c);
        if (c == '"' || c == '\\')
            hora_str_putc(out, '\\');
        if (c == '\n')
            hora_str_puts(out, "\\n");
        else if (must_escape(c))
            hora_str_printf(out, "\\u%04x", (unsigned)c);
        else if (used)
            hora_str_add(out, s + i, (size_t)used);
        else
            hora_str_puts(out, "\xef\xbf\xbd");
        i += used ? (size_t)used : 1;
    }
    hora_str_putc(out, '"');
}

static bool is_collection(const hora_json *v) {
    return hora_json_len(v) > 0;
}

static void dump_scalar(hora_str *out, const hora_json *v) {
    size_t n;
    const char *s = hora_json_string(v, &n);
    if (s)
        dump_string(out, s, n);
    else
        hora_json_dump(v, 0, false, out); /* "[]" and "{}" too */
}

/* "[q, v]" when every element is a scalar and the line stays short. */
static bool dump_flow(hora_str *out, const hora_json *array) {
    const size_t start = out->n;
    hora_str_putc(out, '[');
    for (size_t i = 0; i < hora_json_len(array); i++) {
        const hora_json *v = hora_json_at(array, i);
        if (is_collection(v) || out->n - start > FLOW_COLUMNS) {
            out->n = start;
            out->s[start] = 0;
            return false;
        }
        if (i)
            hora_str_puts(out, ", ");
        dump_scalar(out, v);
    }
    hora_str_putc(out, ']');
    return true;
}

static void dump_block(hora_str *out, const hora_json *v, int indent);

/* What follows "key:" or "-". */
static void dump_value(hora_str *out, const hora_json *v, int indent) {
    hora_str_putc(out, ' ');
    if (!is_collection(v)) {
        dump_scalar(out, v);
        hora_str_putc(out, '\n');
    } else if (hora_json_type(v) == HORA_JARRAY && dump_flow(out, v)) {
        hora_str_putc(out, '\n');
    } else {
        out->s[out->n - 1] = '\n';
        dump_block(out, v, indent + 2);
    }
}

static void dump_block(hora_str *out, const hora_json *v, int indent) {
    if (hora_json_type(v) == HORA_JARRAY) {
        for (size_t i = 0; i < hora_json_len(v); i++) {
            hora_str_printf(out, "%*s-", indent, "");
            dump_value(out, hora_json_at(v, i), indent);
        }
        return;
    }
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it)) {
        const char *key = hora_json_iter_key(it);
        size_t before = out->n, n = strlen(key);
        hora_str quoted = {0};
        dump_string(&quoted, key, n);
        if (quoted.n > KEY_MOST) /* an explicit key */
            hora_str_printf(out, "%*s? %s\n%*s:", indent, "", quoted.s, indent, "");
        else
            hora_str_printf(out, "%*s%s:", indent, "", quoted.s);
        hora_str_release(&quoted);
        HORA_ASSERT(out->n > before);
        dump_value(out, hora_json_iter_value(it), indent);
    }
}

void hora_yaml_dump(const hora_json *v, hora_str *out) {
    if (is_collection(v)) {
        dump_block(out, v, 0);
    } else {
        dump_scalar(out, v);
        hora_str_putc(out, '\n');
    }
}
