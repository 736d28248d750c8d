/*
 * Writing GGUF: keys and the table are laid out in memory, the tensors follow one by one, converted
 * row by row, so that no copy of the model is made.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/outdir.h"
#include "base/text.h"
#include "format/gguf_impl.h"
#include "format/gguf_names.h"
#include "tensor/blocks.h"

typedef struct out_tensor {
    char *name;
    hora_view view;
    hora_dtype dtype;
    int64_t head_dim; /* rows are written pair by pair in such heads; 0: as they are */
} out_tensor;

struct hora_gguf_out {
    hora_str keys; /* as they lie in the file */
    char **names;  /* of the keys */
    int nkeys, capkeys;
    out_tensor *tensors;
    int n, cap;
};

hora_gguf_out *hora_gguf_out_new(void) {
    return hora_calloc(1, sizeof(hora_gguf_out));
}

void hora_gguf_out_free(hora_gguf_out *o) {
    if (!o)
        return;
    for (int i = 0; i < o->nkeys; i++)
        hora_free(o->names[i]);
    for (int i = 0; i < o->n; i++)
        hora_free(o->tensors[i].name);
    hora_free(o->names);
    hora_free(o->tensors);
    hora_str_release(&o->keys);
    hora_free(o);
}

/* --- pieces ----------------------------------------------------------------------------------- */
static void put_number(hora_str *s, uint64_t v, size_t size) {
    char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(v >> (8 * i));
    hora_str_add(s, bytes, size);
}

static void put_string(hora_str *s, const char *text, size_t n) {
    put_number(s, n, 8);
    hora_str_add(s, text, n);
}

static void put_key(hora_gguf_out *o, const char *key, hora_gguf_type type) {
    HORA_PUSH(o->names, o->nkeys, o->capkeys, hora_strdup(key));
    put_string(&o->keys, key, strlen(key));
    put_number(&o->keys, type, 4);
}

static void put_array(hora_gguf_out *o, const char *key, hora_gguf_type type, int64_t n) {
    put_key(o, key, HORA_GGUF_ARRAY);
    put_number(&o->keys, type, 4);
    put_number(&o->keys, (uint64_t)n, 8);
}

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

void hora_gguf_put_int(hora_gguf_out *o, const char *key, hora_gguf_type type, int64_t value) {
    put_key(o, key, type);
    put_number(&o->keys, (uint64_t)value, hora_gguf_value_size(type));
}

void hora_gguf_put_float(hora_gguf_out *o, const char *key, double value) {
    put_key(o, key, HORA_GGUF_F32);
    put_number(&o->keys, bits_of((float)value), 4);
}

void hora_gguf_put_bool(hora_gguf_out *o, const char *key, bool value) {
    hora_gguf_put_int(o, key, HORA_GGUF_BOOL, value);
}

void hora_gguf_put_text(hora_gguf_out *o, const char *key, const char *text) {
    put_key(o, key, HORA_GGUF_STRING);
    put_string(&o->keys, text, strlen(text));
}

void hora_gguf_put_texts(hora_gguf_out *o, const char *key, const hora_str *texts, int64_t n) {
    put_array(o, key, HORA_GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++)
        put_string(&o->keys, texts[i].s ? texts[i].s : "", texts[i].n);
}

static size_t bytes_of(const hora_gguf_value *v) {
    size_t n = 0;
    if (v->type != HORA_GGUF_STRING)
        return (size_t)v->n * hora_gguf_value_size(v->type);
    if (v->n)
        (void)hora_gguf_text(v, v->n - 1, &n);
    return v->n ? (size_t)v->at[v->n - 1] + 8 + n : 0;
}

void hora_gguf_put_value(hora_gguf_out *o, const hora_gguf_value *v) {
    if (v->array)
        put_array(o, v->key, v->type, v->n);
    else
        put_key(o, v->key, v->type);
    hora_str_add(&o->keys, (const char *)v->bytes, bytes_of(v));
}

void hora_gguf_put_ints(hora_gguf_out *o, const char *key, const int32_t *values, int64_t n) {
    put_array(o, key, HORA_GGUF_I32, n);
    for (int64_t i = 0; i < n; i++)
        put_number(&o->keys, (uint32_t)values[i], 4);
}

void hora_gguf_put_floats(hora_gguf_out *o, const char *key, const float *values, int64_t n) {
    put_array(o, key, HORA_GGUF_F32, n);
    for (int64_t i = 0; i < n; i++)
        put_number(&o->keys, bits_of(values[i]), 4);
}

void hora_gguf_put_tensor(hora_gguf_out *o, const char *name, hora_view view, hora_dtype dtype) {
    hora_gguf_put_heads(o, name, view, dtype, 0);
}

void hora_gguf_put_heads(hora_gguf_out *o, const char *name, hora_view view, hora_dtype dtype,
                         int64_t head_dim) {
    const out_tensor t = {hora_strdup(name), view, dtype, head_dim};
    HORA_PUSH(o->tensors, o->n, o->cap, t);
}

/* --- checks ----------------------------------------------------------------------------------- */
static hora_view as_written(const out_tensor *t) {
    return (hora_view){NULL, t->dtype, t->view.shape};
}

static hora_status check_tensor(const out_tensor *t) {
    const hora_shape *s = &t->view.shape;
    const int64_t width = s->n ? s->d[s->n - 1] : 1;
    if (strlen(t->name) > HORA_GGUF_MAX_NAME)
        return hora_fail(HORA_EUSAGE, "tensor name `%s` is longer than the format's %d bytes",
                         t->name, HORA_GGUF_MAX_NAME);
    if (s->n > HORA_GGUF_MAX_DIMS)
        return hora_fail(HORA_EUSAGE, "tensor `%s` has %d dimensions, the format allows %d",
                         t->name, s->n, HORA_GGUF_MAX_DIMS);
    if (hora_gguf_type_of(t->dtype) < 0)
        return hora_fail(HORA_EUSAGE, "tensor `%s`: GGUF has no type %s", t->name,
                         hora_dtype_name(t->dtype));
    if (width % hora_dtype_block(t->dtype))
        return hora_fail(HORA_EUSAGE, "tensor `%s`: rows of %" PRId64 " are no whole blocks of %s",
                         t->name, width, hora_dtype_name(t->dtype));
    return HORA_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static hora_status check_names(const char *what, char **names, int n) {
    char **sorted = hora_calloc((size_t)n + 1, sizeof *sorted);
    hora_status s = HORA_OK;
    if (n)
        memcpy(sorted, names, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_text);
    for (int i = 1; i < n && s == HORA_OK; i++)
        if (hora_eq(sorted[i - 1], sorted[i]))
            s = hora_fail(HORA_EUSAGE, "%s `%s` would stand twice in the GGUF file", what,
                          sorted[i]);
    hora_free(sorted);
    return s;
}

static hora_status check(const hora_gguf_out *o) {
    char **names = hora_calloc((size_t)o->n + 1, sizeof *names);
    hora_status s = check_names("key", o->names, o->nkeys);
    for (int i = 0; i < o->n && s == HORA_OK; i++) {
        names[i] = o->tensors[i].name;
        s = check_tensor(&o->tensors[i]);
    }
    if (s == HORA_OK)
        s = check_names("tensor", names, o->n);
    hora_free(names);
    return s;
}

/* --- the file --------------------------------------------------------------------------------- */
static uint64_t padded(uint64_t n) {
    return (n + HORA_GGUF_ALIGNMENT - 1) / HORA_GGUF_ALIGNMENT * HORA_GGUF_ALIGNMENT;
}

static void put_header(const hora_gguf_out *o, hora_str *s) {
    uint64_t offset = 0;
    hora_str_add(s, "GGUF", 4);
    put_number(s, 3, 4);
    put_number(s, (uint64_t)o->n, 8);
    put_number(s, (uint64_t)o->nkeys, 8);
    hora_str_add(s, o->keys.s ? o->keys.s : "", o->keys.n);
    for (int i = 0; i < o->n; i++) {
        const out_tensor *t = &o->tensors[i];
        const hora_view v = as_written(t);
        put_string(s, t->name, strlen(t->name));
        put_number(s, (uint64_t)v.shape.n, 4);
        for (int d = v.shape.n; d-- > 0;)
            put_number(s, (uint64_t)v.shape.d[d], 8);
        put_number(s, (uint64_t)hora_gguf_type_of(t->dtype), 4);
        put_number(s, offset, 8);
        offset += padded(hora_view_bytes(&v));
    }
}

uint64_t hora_gguf_write_size(const hora_gguf_out *o) {
    hora_str head = {0};
    put_header(o, &head);
    uint64_t sum = padded(head.n);
    hora_str_release(&head);
    for (int i = 0; i < o->n; i++) {
        const hora_view v = as_written(&o->tensors[i]);
        sum += padded(hora_view_bytes(&v));
    }
    return sum;
}

void hora_gguf_put_mark(hora_gguf_out *o, const char *kind) {
    char mark[64];
    hora_outfile_mark(mark, kind, 0);
    hora_gguf_put_text(o, HORA_OUTFILE_KEY, mark);
    const size_t n = strlen(mark);
    hora_outfile_mark(mark, kind, hora_gguf_write_size(o));
    memcpy(o->keys.s + o->keys.n - n, mark, n);
}

hora_status hora_gguf_is_ours(const char *path, const char *kind, bool *yes) {
    hora_gguf *g;
    char mark[64];
    size_t n;
    *yes = false;
    const hora_status s = hora_gguf_open(&g, path);
    if (s)
        return s == HORA_EIO || s == HORA_ENOMEM ? s : HORA_OK;
    const hora_gguf_value *v = hora_gguf_get(g, HORA_OUTFILE_KEY);
    const char *text = v && !v->array ? hora_gguf_text(v, 0, &n) : NULL;
    hora_outfile_mark(mark, kind, hora_gguf_part(g, 0)->n);
    *yes = text && hora_gguf_parts(g) == 1 && n == strlen(mark) && !memcmp(text, mark, n);
    hora_gguf_close(g);
    return HORA_OK;
}

static void pad(hora_writer *w, uint64_t n) {
    static const char zeros[HORA_GGUF_ALIGNMENT];
    hora_writer_put(w, zeros, (size_t)(padded(n) - n));
}

/* `n` values of the source from element `at`, in the dtype of the file. */
static hora_status convert(void *out, const out_tensor *t, int64_t at, int64_t n, float *f32) {
    const hora_dtype from = t->view.dtype;
    const char *src = (const char *)t->view.data +
                      (size_t)(at / hora_dtype_block(from)) * hora_dtype_block_bytes(from);
    if (from == t->dtype) {
        memcpy(out, src, (size_t)(n / hora_dtype_block(from)) * hora_dtype_block_bytes(from));
        return HORA_OK;
    }
    if (hora_dtype_block(t->dtype) == 1)
        return hora_convert(out, t->dtype, src, from, n);
    HORA_TRY(hora_convert(f32, HORA_F32, src, from, n));
    return hora_quantize(out, t->dtype, f32, n);
}

static hora_status put_data(hora_writer *w, const out_tensor *t) {
    const int64_t n = hora_elems(&t->view), width = hora_row_elems(&t->view.shape);
    const int64_t step = t->head_dim ? width : 1 << 16;
    float *f32 = hora_calloc((size_t)step, sizeof *f32);
    char *out = hora_calloc((size_t)step, 8);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < n && s == HORA_OK; i += step) {
        const int64_t m = hora_min(step, n - i);
        const int64_t at = t->head_dim ? hora_gguf_row_back(i / width, t->head_dim) * width : i;
        s = convert(out, t, at, m, f32);
        if (s == HORA_OK)
            hora_writer_put(w, out,
                            (size_t)(m / hora_dtype_block(t->dtype)) *
                                hora_dtype_block_bytes(t->dtype));
    }
    hora_free(f32);
    hora_free(out);
    return s ? hora_context(s, "tensor `%s`", t->name) : HORA_OK;
}

hora_status hora_gguf_write(const hora_gguf_out *o, const char *path) {
    hora_writer *w;
    hora_str head = {0};
    HORA_TRY(check(o));
    HORA_TRY(hora_writer_open(&w, path));
    put_header(o, &head);
    hora_writer_put(w, head.s, head.n);
    pad(w, head.n);
    hora_str_release(&head);
    for (int i = 0; i < o->n; i++) {
        const hora_view v = as_written(&o->tensors[i]);
        hora_status s = put_data(w, &o->tensors[i]);
        if (s) {
            hora_writer_abort(w);
            return hora_context(s, "%s", path);
        }
        pad(w, hora_view_bytes(&v));
    }
    return hora_writer_commit(w);
}
