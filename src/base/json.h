#ifndef HORA_BASE_JSON_H
#define HORA_BASE_JSON_H
/*
 * JSON over jansson. Strict: UTF-8, no trailing text, repeated keys refused, depth limited; errors
 * carry file, line and column. Objects keep the order of the file. A hora_json is a tree node; the
 * root is owned by whoever parsed or made it, children are borrowed from their parent.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"

typedef struct hora_json hora_json;
typedef enum {
    HORA_JNULL,
    HORA_JBOOL,
    HORA_JINT,
    HORA_JREAL,
    HORA_JSTRING,
    HORA_JARRAY,
    HORA_JOBJECT
} hora_jtype;

/* `what` names the source in messages (a path, "header of x.safetensors"). Any JSON value is
 * accepted at the root. */
hora_status hora_json_parse(hora_json **out, const char *text, size_t n, const char *what);
/* The same for text that is part of a file and begins at that line and column (1-based) of it. */
hora_status hora_json_parse_at(hora_json **out, const char *text, size_t n, const char *what,
                               int64_t line, int64_t column);
hora_status hora_json_load(hora_json **out, const char *path);
/* Writes DIR/NAME whole or not at all: the value as hora_json_dump lays it out, and a line break.
 * */
hora_status hora_json_save(const hora_json *v, int indent, bool sort, const char *dir,
                           const char *name);
/* DIR/NAME; NULL in *out where there is no such file. */
hora_status hora_json_load_beside(hora_json **out, const char *dir, const char *name);
void hora_json_free(hora_json *root); /* accepts NULL */

hora_jtype hora_json_type(const hora_json *v); /* HORA_JNULL for NULL */
const char *
hora_json_type_name(hora_jtype t); /* "null", "boolean", "integer", "number", "string", .. */
/* Member of an object; NULL when absent or when `obj` is no object. A JSON null is returned as a
 * node. */
const hora_json *hora_json_get(const hora_json *obj, const char *key);
size_t hora_json_len(const hora_json *v); /* members or elements; 0 otherwise */
const hora_json *hora_json_at(const hora_json *array, size_t i);
/* Iterates members in file order: for (void *it = hora_json_iter(o); it; it = hora_json_next(o,
 * it)). */
void *hora_json_iter(const hora_json *obj);
void *hora_json_next(const hora_json *obj, void *it);
const char *hora_json_iter_key(void *it);
const hora_json *hora_json_iter_value(void *it);
/* Values. NULL / false when the node has another type. hora_json_real takes integers too. */
const char *hora_json_string(const hora_json *v, size_t *n); /* n may be NULL; may hold NUL bytes */
bool hora_json_int(const hora_json *v, int64_t *out);
/* The digits (sign in front) of an integer that 64 bits cannot hold, whose type is HORA_JREAL; NULL
 * for anything else. */
const char *hora_json_digits(const hora_json *v, size_t *n);
bool hora_json_real(const hora_json *v, double *out);
bool hora_json_bool(const hora_json *v, bool *out);
/*
 * Typed members with a default for absent (or null) keys. A wrong type is HORA_EFORMAT: "key `x`
 * should be an integer, is a string".
 */
hora_status hora_json_get_int(const hora_json *obj, const char *key, int64_t def, int64_t *out);
hora_status hora_json_get_real(const hora_json *obj, const char *key, double def, double *out);
hora_status hora_json_get_bool(const hora_json *obj, const char *key, bool def, bool *out);
hora_status hora_json_get_string(const hora_json *obj, const char *key, const char *def,
                                 const char **out);

/* Builders. _set and _push take ownership of `own_v` and return it, borrowed. In strings
 * and keys every byte that is not UTF-8 becomes U+FFFD. */
hora_json *hora_json_new_object(void);
hora_json *hora_json_new_array(void);
hora_json *hora_json_new_null(void);
hora_json *hora_json_new_bool(bool v);
hora_json *hora_json_new_int(int64_t v);
hora_json *hora_json_new_real(double v); /* not finite: null */
hora_json *hora_json_new_string(const char *s);
hora_json *hora_json_new_string_n(const char *s, size_t n);
hora_json *hora_json_copy(const hora_json *v);    /* deep */
hora_json *hora_json_share(const hora_json *v);   /* the same value with one owner more */
hora_json *hora_json_members(const hora_json *o); /* a new object with its members, shared */
hora_json *hora_json_set(hora_json *obj, const char *key, hora_json *own_v);
hora_json *hora_json_push(hora_json *array, hora_json *own_v);
void hora_json_remove(hora_json *obj, const char *key); /* nothing where there is no such member */
bool hora_json_equal(const hora_json *a, const hora_json *b);

/* Serialises into `out`. indent 0 = one line, separators ", " and ": "; sort = keys in byte order.
 * Non-ASCII stays UTF-8. */
void hora_json_dump(const hora_json *v, int indent, bool sort, hora_str *out);
/* Adds `s` as a quoted JSON string. */
void hora_json_quote(hora_str *out, const char *s, size_t n);
#endif
