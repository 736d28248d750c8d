/* Values of GGUF keys: numbers of any width, strings, and what is asked of a key by name. */
#include "base/text.h"
#include "format/gguf_impl.h"

#define DAMAGED "; the file is damaged or is no GGUF: fetch or convert it again"

size_t hora_gguf_value_size(hora_gguf_type t) {
    static const size_t sizes[HORA_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return t < HORA_GGUF_TYPES ? sizes[t] : 0;
}

static uint64_t element(const hora_gguf_value *v, int64_t i) {
    const size_t size = hora_gguf_value_size(v->type);
    return hora_gguf_number(v->bytes + (size_t)i * size, size);
}

bool hora_gguf_int(const hora_gguf_value *v, int64_t i, int64_t *out) {
    const uint64_t bits = v->type == HORA_GGUF_STRING ? 0 : element(v, i);
    switch (v->type) {
    case HORA_GGUF_I8:
        *out = (int8_t)bits;
        return true;
    case HORA_GGUF_I16:
        *out = (int16_t)bits;
        return true;
    case HORA_GGUF_I32:
        *out = (int32_t)bits;
        return true;
    case HORA_GGUF_U8:
    case HORA_GGUF_U16:
    case HORA_GGUF_U32:
    case HORA_GGUF_U64:
    case HORA_GGUF_I64:
    case HORA_GGUF_BOOL:
        *out = (int64_t)bits;
        return v->type != HORA_GGUF_U64 || bits <= INT64_MAX;
    default:
        return false;
    }
}

bool hora_gguf_float(const hora_gguf_value *v, int64_t i, double *out) {
    const uint64_t bits = v->type == HORA_GGUF_STRING ? 0 : element(v, i);
    const uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, 4);
    if (v->type == HORA_GGUF_F32)
        *out = (double)f;
    else if (v->type == HORA_GGUF_F64)
        memcpy(out, &bits, 8);
    else
        return false;
    return true;
}

const char *hora_gguf_text(const hora_gguf_value *v, int64_t i, size_t *n) {
    if (v->type != HORA_GGUF_STRING)
        return NULL;
    const unsigned char *p = v->bytes + v->at[i];
    *n = (size_t)hora_gguf_number(p, 8);
    return (const char *)p + 8;
}

static hora_status wrong(const hora_gguf *g, const char *key, const char *what, bool there) {
    return hora_fail(HORA_EFORMAT, "%s: key `%s` %s%s" DAMAGED, hora_gguf_path(g), key,
                     there ? "should be " : "is missing: it holds ", what);
}

hora_status hora_gguf_get_int(const hora_gguf *g, const char *key, bool required, int64_t fallback,
                              int64_t *out) {
    const hora_gguf_value *v = hora_gguf_get(g, key);
    *out = fallback;
    if (!v && !required)
        return HORA_OK;
    return v && !v->array && hora_gguf_int(v, 0, out) ? HORA_OK
                                                      : wrong(g, key, "an integer", v != NULL);
}

hora_status hora_gguf_get_float(const hora_gguf *g, const char *key, bool required, double fallback,
                                double *out) {
    const hora_gguf_value *v = hora_gguf_get(g, key);
    *out = fallback;
    if (!v && !required)
        return HORA_OK;
    return v && !v->array && hora_gguf_float(v, 0, out) ? HORA_OK
                                                        : wrong(g, key, "a float", v != NULL);
}

hora_status hora_gguf_get_text(const hora_gguf *g, const char *key, bool required, char **out) {
    const hora_gguf_value *v = hora_gguf_get(g, key);
    size_t n = 0;
    const char *text = v && !v->array ? hora_gguf_text(v, 0, &n) : NULL;
    *out = NULL;
    if (!v && !required)
        return HORA_OK;
    if (!text || memchr(text, 0, n))
        return wrong(g, key, "a string", v != NULL);
    *out = hora_strndup(text, (size_t)n);
    return HORA_OK;
}
