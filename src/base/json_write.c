/*
 * The text of JSON trees: members in file order or sorted, reals as short as they read back,
 * integers beyond 64 bits digit by digit, bytes that are no UTF-8 as U+FFFD. RFC 8259.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

void hora_json_quote(hora_str *out, const char *s, size_t n) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    hora_str clean = {0};
    if (!hora_utf8_valid(s, n, NULL)) {
        hora_utf8_mend(&clean, s, n);
        s = clean.s;
        n = clean.n;
    }
    hora_str_putc(out, '"');
    for (size_t i = 0, from = 0; i <= n; i++) {
        bool end = i == n, special = !end && ((unsigned char)s[i] < 0x20 || strchr("\"\\", s[i]));
        if (!end && !special)
            continue;
        hora_str_add(out, s + from, i - from);
        from = i + 1;
        if (end)
            break;
        const char *at = s[i] ? strchr(plain, s[i]) : NULL;
        if (at)
            hora_str_printf(out, "\\%c", letters[at - plain]);
        else
            hora_str_printf(out, "\\u%04x", (unsigned char)s[i]);
    }
    hora_str_putc(out, '"');
    hora_str_release(&clean);
}

static void dump(const hora_json *v, int indent, bool sort, int depth, hora_str *out);

static void new_line(hora_str *out, int indent, int depth) {
    if (indent > 0)
        hora_str_printf(out, "\n%*s", indent * depth, "");
}

static void comma(hora_str *out, int indent, size_t i) {
    if (i)
        hora_str_puts(out, indent > 0 ? "," : ", ");
}

static int by_key(const void *a, const void *b) {
    return strcmp(hora_json_iter_key(*(void *const *)a), hora_json_iter_key(*(void *const *)b));
}

static void dump_object(const hora_json *v, int indent, bool sort, int depth, hora_str *out) {
    size_t n = hora_json_len(v), i = 0;
    void **members = hora_calloc(n, sizeof *members);
    for (void *it = hora_json_iter(v); it; it = hora_json_next(v, it))
        members[i++] = it;
    if (sort && n)
        qsort(members, n, sizeof *members, by_key);
    hora_str_putc(out, '{');
    for (i = 0; i < n; i++) {
        const char *key = hora_json_iter_key(members[i]);
        comma(out, indent, i);
        new_line(out, indent, depth + 1);
        hora_json_quote(out, key, strlen(key));
        hora_str_puts(out, ": ");
        dump(hora_json_iter_value(members[i]), indent, sort, depth + 1, out);
    }
    if (n)
        new_line(out, indent, depth);
    hora_str_putc(out, '}');
    hora_free(members);
}

static void dump_array(const hora_json *v, int indent, bool sort, int depth, hora_str *out) {
    size_t n = hora_json_len(v);
    hora_str_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        comma(out, indent, i);
        new_line(out, indent, depth + 1);
        dump(hora_json_at(v, i), indent, sort, depth + 1, out);
    }
    if (n)
        new_line(out, indent, depth);
    hora_str_putc(out, ']');
}

static void dump(const hora_json *v, int indent, bool sort, int depth, hora_str *out) {
    char buf[32];
    size_t n;
    const char *s = hora_json_digits(v, &n);
    int64_t i = 0;
    double r = 0;
    bool yes = false;
    if (s) {
        hora_str_add(out, s, n);
        return;
    }
    switch (hora_json_type(v)) {
    case HORA_JOBJECT:
        dump_object(v, indent, sort, depth, out);
        break;
    case HORA_JARRAY:
        dump_array(v, indent, sort, depth, out);
        break;
    case HORA_JSTRING:
        s = hora_json_string(v, &n);
        hora_json_quote(out, s, n);
        break;
    case HORA_JINT:
        hora_json_int(v, &i);
        hora_str_printf(out, "%" PRId64, i);
        break;
    case HORA_JREAL: /* a real stays one when read again */
        hora_json_real(v, &r);
        hora_str_puts(out, hora_format_real(buf, r));
        if (!strpbrk(buf, ".e"))
            hora_str_puts(out, ".0");
        break;
    case HORA_JBOOL:
        hora_json_bool(v, &yes);
        hora_str_puts(out, yes ? "true" : "false");
        break;
    default:
        hora_str_puts(out, "null");
    }
}

void hora_json_dump(const hora_json *v, int indent, bool sort, hora_str *out) {
    dump(v, indent, sort, 0, out);
}
