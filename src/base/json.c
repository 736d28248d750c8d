/*
 * JSON trees over jansson; the only file that sees its header (json_write.c is their text). A
 * hora_json is a json_t under another name. Owns the policy: repeated keys refused, bytes after the
 * value refused, integers beyond 64 bits keep their digits (model files and tool calls have them),
 * text in file order, reals as short as they read back. RFC 8259.
 */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

static json_t *in(const hora_json *v) {
    return (json_t *)v;
}

static hora_json *out_of(json_t *v) {
    return (hora_json *)v;
}

/*
 * jansson's allocations. It swallows some refusals (a string comes out shorter) and gives others no
 * name, so every refusal is noted here, per thread, and a call during which there was one has
 * failed for want of memory, whatever it returned. The memory is the C library's either way, so a
 * program around us that uses jansson too can mix; when the library is unloaded its own functions
 * come back.
 */
static _Thread_local size_t refused; /* bytes of the last request that was not met */
static pthread_once_t hooked = PTHREAD_ONCE_INIT;
static json_malloc_t their_malloc;
static json_free_t their_free;

/* What jansson 2.14 could not get it now and then uses all the same. A reserve takes the place of
 * what was refused until the call returns, which then fails; it is never given back. */
static _Alignas(max_align_t) char reserve[64 << 10];
static atomic_size_t reserve_used;

static void *take(size_t bytes) {
    void *p = hora_malloc_or_null(bytes);
    if (p)
        return p;
    refused = bytes ? bytes : 1;
    const size_t need = (refused + sizeof(max_align_t) - 1) / sizeof(max_align_t);
    if (refused > sizeof reserve)
        return NULL;
    const size_t at = atomic_fetch_add(&reserve_used, need * sizeof(max_align_t));
    if (at + need * sizeof(max_align_t) > sizeof reserve)
        hora_out_of_memory(bytes);
    return reserve + at;
}

static void give(void *p) {
    if (!((char *)p >= reserve && (char *)p < reserve + sizeof reserve))
        hora_free(p);
}

static void hook(void) {
    json_get_alloc_funcs(&their_malloc, &their_free);
    json_set_alloc_funcs(take, give);
}

__attribute__((destructor)) static void unhook(void) {
    json_malloc_t m;
    json_free_t f;
    json_get_alloc_funcs(&m, &f);
    if (m == take)
        json_set_alloc_funcs(their_malloc, their_free);
}

/* In front of every call that allocates. */
static void begin(void) {
    pthread_once(&hooked, hook);
    refused = 0;
}

/* jansson returns NULL for a new value only when memory ran out. */
static json_t *fresh(json_t *v) {
    if (refused)
        hora_out_of_memory(refused);
    if (!v)
        HORA_BUG("a JSON value could not be made");
    return v;
}

static void done(int failed, const char *what) {
    if (refused)
        hora_out_of_memory(refused);
    if (failed)
        HORA_BUG("a JSON %s could not be added", what);
}

/*
 * Integers beyond 64 bits, which jansson has no type for. Where a text holds some, each becomes a
 * string behind a mark that no other string of the text begins with; when the text was read, those
 * strings are exchanged for nodes that begin with BIG. That is no UTF-8, so no text makes such a
 * node.
 */
static const char BIG[] = "\xff";

static bool fits(const char *s, size_t n) {
    char b[24] = {0};
    int64_t v;
    if (n > 20)
        return false;
    memcpy(b, s, n);
    return hora_parse_int(b, &v);
}

/* Copies the text with every integer that does not fit as a string behind `mark`; zeros in front
 * are for the parser to refuse. */
static void widen_integers(hora_str *to, const char *text, size_t n, const char *mark) {
    for (size_t i = 0; i < n;) {
        size_t start = i;
        if (text[i] == '"') {
            for (i++; i < n && text[i] != '"'; i++)
                if (text[i] == '\\')
                    i++;
            i = i < n ? i + 1 : n;
            hora_str_add(to, text + start, i - start);
            continue;
        }
        i += text[i] == '-';
        size_t digits = i;
        while (i < n && text[i] >= '0' && text[i] <= '9')
            i++;
        bool number = i > digits && text[digits] != '0',
             whole = i == n || !strchr(".eE", text[i]) || !text[i];
        bool alone = !start || !strchr(".eE+", text[start - 1]) || !text[start - 1];
        if (number && whole && alone && !fits(text + start, i - start)) {
            hora_str_printf(to, "\"%s", mark);
            hora_str_add(to, text + start, i - start);
            hora_str_putc(to, '"');
        } else {
            i += i == start;
            hora_str_add(to, text + start, i - start);
        }
    }
}

/* The node for `v` when it is a marked string, else NULL. `skip`: bytes of the mark as it
 * is read. */
static json_t *unmarked(json_t *v, size_t skip) {
    const char *s = json_string_value(v);
    if (!s || json_string_length(v) <= skip || s[0] || strspn(s + 1, "#") + 1 < skip)
        return NULL;
    hora_str b = {0};
    hora_str_puts(&b, BIG);
    hora_str_add(&b, s + skip, json_string_length(v) - skip);
    json_t *big = fresh(json_stringn_nocheck(b.s, b.n));
    hora_str_release(&b);
    return big;
}

static json_t *unmark(json_t *v, size_t skip) {
    json_t *big = unmarked(v, skip);
    if (big) {
        json_decref(v);
        return big;
    }
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++)
        if ((big = unmarked(json_array_get(v, i), skip)) != NULL)
            json_array_set_new(v, i, big);
        else
            unmark(json_array_get(v, i), skip);
    for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it))
        if ((big = unmarked(json_object_iter_value(it), skip)) != NULL)
            json_object_iter_set_new(v, it, big);
        else
            unmark(json_object_iter_value(it), skip);
    return v;
}

static json_t *parse_wide(const char *text, size_t n, size_t flags, json_error_t *e) {
    hora_str mark = {0}, wide = {0};
    hora_str_puts(&mark, "\\u0000#");
    while (memmem(text, n, mark.s, mark.n))
        hora_str_putc(&mark, '#');
    widen_integers(&wide, text, n, mark.s);
    json_t *v = json_loadb(wide.s, wide.n, flags, e);
    v = v ? unmark(v, mark.n - 5) : NULL; /* six letters are one NUL */
    hora_str_release(&wide);
    hora_str_release(&mark);
    return v;
}

static const char *digits_of(const json_t *v, size_t *n) {
    const char *s = json_string_value(v);
    if (!s || s[0] != BIG[0])
        return NULL;
    *n = json_string_length(v) - 1;
    return s + 1;
}

hora_status hora_json_parse(hora_json **out, const char *text, size_t n, const char *what) {
    const size_t mark = hora_byte_order_mark(text, n); /* of a file that somebody read whole */
    return hora_json_parse_at(out, text + mark, n - mark, what, 1, 1);
}

hora_status hora_json_parse_at(hora_json **out, const char *text, size_t n, const char *what,
                               int64_t line, int64_t column) {
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_error_t e;
    *out = NULL;
    begin();
    json_t *v = json_loadb(text, n, flags, &e);
    if (!v && !refused && json_error_code(&e) == json_error_numeric_overflow)
        v = parse_wide(text, n, flags, &e);
    if (refused) {
        json_decref(v);
        return hora_fail(HORA_ENOMEM,
                         "%s: out of memory: %zu bytes were refused; close other programs or give "
                         "fewer data",
                         what, refused);
    }
    if (!v)
        return hora_fail(
            HORA_EFORMAT,
            "%s: line %lld, column %lld: %s; correct the JSON there (a truncated file has "
            "to be fetched or written again)",
            what, (long long)(e.line + line - 1),
            (long long)(e.column + (e.line == 1 ? column - 1 : 0)), e.text);
    *out = out_of(v);
    return HORA_OK;
}

hora_status hora_json_load(hora_json **out, const char *path) {
    hora_map m;
    *out = NULL;
    HORA_TRY(hora_map_open(&m, path));
    hora_status s = hora_refuse_pointer(path, m.data, m.n);
    const size_t mark = hora_byte_order_mark(m.data, m.n);
    if (s == HORA_OK)
        s = hora_json_parse(out, (const char *)m.data + mark, m.n - mark, path);
    hora_map_release(&m);
    return s;
}

hora_status hora_json_load_beside(hora_json **out, const char *dir, const char *name) {
    char *path = hora_path_join(dir, name);
    *out = NULL;
    hora_status s = hora_path_exists(path) ? hora_json_load(out, path) : HORA_OK;
    hora_free(path);
    return s;
}

hora_status hora_json_save(const hora_json *v, int indent, bool sort, const char *dir,
                           const char *name) {
    hora_str text = {0};
    char *path = hora_path_join(dir, name);
    hora_json_dump(v, indent, sort, &text);
    hora_str_putc(&text, '\n');
    hora_status s = hora_file_write(path, text.s, text.n);
    hora_free(path);
    hora_str_release(&text);
    return s;
}

void hora_json_free(hora_json *root) {
    json_decref(in(root));
}

hora_jtype hora_json_type(const hora_json *v) {
    size_t n;
    if (!v)
        return HORA_JNULL;
    switch (json_typeof(in(v))) {
    case JSON_OBJECT:
        return HORA_JOBJECT;
    case JSON_ARRAY:
        return HORA_JARRAY;
    case JSON_STRING:
        return digits_of(in(v), &n) ? HORA_JREAL : HORA_JSTRING;
    case JSON_INTEGER:
        return HORA_JINT;
    case JSON_REAL:
        return HORA_JREAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return HORA_JBOOL;
    default:
        return HORA_JNULL;
    }
}

const char *hora_json_type_name(hora_jtype t) {
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    return (size_t)t < HORA_COUNT(names) ? names[t] : "unknown";
}

const hora_json *hora_json_get(const hora_json *obj, const char *key) {
    return out_of(json_object_get(in(obj), key));
}

size_t hora_json_len(const hora_json *v) {
    return json_is_array(in(v)) ? json_array_size(in(v)) : json_object_size(in(v));
}

const hora_json *hora_json_at(const hora_json *array, size_t i) {
    return out_of(json_array_get(in(array), i));
}

void *hora_json_iter(const hora_json *obj) {
    return json_object_iter(in(obj));
}

void *hora_json_next(const hora_json *obj, void *it) {
    return json_object_iter_next(in(obj), it);
}

const char *hora_json_iter_key(void *it) {
    return json_object_iter_key(it);
}

const hora_json *hora_json_iter_value(void *it) {
    return out_of(json_object_iter_value(it));
}

const char *hora_json_string(const hora_json *v, size_t *n) {
    size_t digits;
    if (!json_is_string(in(v)) || digits_of(in(v), &digits))
        return NULL;
    if (n)
        *n = json_string_length(in(v));
    return json_string_value(in(v));
}

bool hora_json_int(const hora_json *v, int64_t *out) {
    if (!json_is_integer(in(v)))
        return false;
    *out = json_integer_value(in(v));
    return true;
}

const char *hora_json_digits(const hora_json *v, size_t *n) {
    return json_is_string(in(v)) ? digits_of(in(v), n) : NULL;
}

bool hora_json_real(const hora_json *v, double *out) {
    size_t n;
    const char *digits = hora_json_digits(v, &n);
    if (digits) {
        *out = strtod(digits, NULL);
        return true;
    }
    if (!json_is_number(in(v)))
        return false;
    *out = json_number_value(in(v));
    return true;
}

bool hora_json_bool(const hora_json *v, bool *out) {
    if (!json_is_boolean(in(v)))
        return false;
    *out = json_is_true(in(v));
    return true;
}

static hora_status wrong_type(const char *key, const char *wanted, const hora_json *v) {
    hora_jtype t = hora_json_type(v);
    const char *name = hora_json_type_name(t);
    return hora_fail(HORA_EFORMAT, "key `%s` should be %s, is %s%s; correct its value", key, wanted,
                     t == HORA_JNULL                                           ? ""
                     : t == HORA_JINT || t == HORA_JARRAY || t == HORA_JOBJECT ? "an "
                                                                               : "a ",
                     name);
}

static const hora_json *present(const hora_json *obj, const char *key) {
    const hora_json *v = hora_json_get(obj, key);
    return json_is_null(in(v)) ? NULL : v;
}

hora_status hora_json_get_int(const hora_json *obj, const char *key, int64_t def, int64_t *out) {
    const hora_json *v = present(obj, key);
    *out = def;
    return !v || hora_json_int(v, out) ? HORA_OK : wrong_type(key, "an integer", v);
}

hora_status hora_json_get_real(const hora_json *obj, const char *key, double def, double *out) {
    const hora_json *v = present(obj, key);
    *out = def;
    return !v || hora_json_real(v, out) ? HORA_OK : wrong_type(key, "a number", v);
}

hora_status hora_json_get_bool(const hora_json *obj, const char *key, bool def, bool *out) {
    const hora_json *v = present(obj, key);
    *out = def;
    return !v || hora_json_bool(v, out) ? HORA_OK : wrong_type(key, "a boolean", v);
}

hora_status hora_json_get_string(const hora_json *obj, const char *key, const char *def,
                                 const char **out) {
    const hora_json *v = present(obj, key);
    *out = def;
    if (!v)
        return HORA_OK;
    const char *s = hora_json_string(v, NULL);
    if (!s)
        return wrong_type(key, "a string", v);
    *out = s;
    return HORA_OK;
}

hora_json *hora_json_new_object(void) {
    begin();
    return out_of(fresh(json_object()));
}

hora_json *hora_json_new_array(void) {
    begin();
    return out_of(fresh(json_array()));
}

hora_json *hora_json_new_null(void) {
    return out_of(json_null());
}

hora_json *hora_json_new_bool(bool v) {
    return out_of(json_boolean(v));
}

hora_json *hora_json_new_int(int64_t v) {
    begin();
    return out_of(fresh(json_integer(v)));
}

hora_json *hora_json_new_real(double v) {
    begin();
    return isfinite(v) ? out_of(fresh(json_real(v))) : hora_json_new_null();
}

hora_json *hora_json_new_string(const char *s) {
    return hora_json_new_string_n(s, strlen(s));
}

hora_json *hora_json_new_string_n(const char *s, size_t n) {
    begin();
    json_t *v = json_stringn(n ? s : "", n);
    if (v || refused)
        return out_of(fresh(v));
    hora_str clean = {0};
    hora_utf8_mend(&clean, s, n);
    v = fresh(json_stringn(clean.s, clean.n));
    hora_str_release(&clean);
    return out_of(v);
}

hora_json *hora_json_copy(const hora_json *v) {
    begin();
    return out_of(fresh(json_deep_copy(in(v))));
}

hora_json *hora_json_share(const hora_json *v) {
    return out_of(json_incref(in(v)));
}

/* Keys may come from outside too: names of files and of tokens are any bytes. */
hora_json *hora_json_set(hora_json *obj, const char *key, hora_json *own_v) {
    begin();
    int failed = json_object_set(in(obj), key, in(own_v));
    if (failed && !refused) {
        hora_str clean = {0};
        hora_utf8_mend(&clean, key, strlen(key));
        failed = json_object_set(in(obj), clean.s, in(own_v));
        hora_str_release(&clean);
    }
    done(failed, "member");
    json_decref(in(own_v));
    return own_v;
}

hora_json *hora_json_members(const hora_json *o) {
    hora_json *with = hora_json_new_object();
    for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it))
        hora_json_set(with, hora_json_iter_key(it), hora_json_share(hora_json_iter_value(it)));
    return with;
}

void hora_json_remove(hora_json *obj, const char *key) {
    (void)json_object_del(in(obj), key);
}

hora_json *hora_json_push(hora_json *array, hora_json *own_v) {
    begin();
    done(json_array_append_new(in(array), in(own_v)), "element");
    return own_v;
}

bool hora_json_equal(const hora_json *a, const hora_json *b) {
    return json_equal(in(a), in(b));
}
