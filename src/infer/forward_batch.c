/*
 * Reading a batch: safetensors (any integer dtype) or JSON lists, (B, T) or (T). Owns the rule that
 * nothing in the file is silently ignored.
 */
#include "base/text.h"
#include "format/safetensors.h"
#include "infer/forward.h"

static const char *const keys[] = {"input_ids", "attention_mask", "labels", "token_type_ids"};
enum { IDS, MASK, LABELS, TYPES, KEYS };
static const char pictures[] = "pixel_values";

typedef struct table {
    int32_t *at[KEYS]; /* but labels */
    double *labels;
    int64_t b[KEYS], t[KEYS];
    hora_pixels pixels;
    int64_t samples; /* of pictures */
} table;

static int key_of(const char *name) {
    for (int k = 0; k < KEYS; k++)
        if (hora_eq(name, keys[k]))
            return k;
    return -1;
}

static hora_status unknown(const char *name, const char *path) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "%s: `%s` is nothing that hora feeds to a model; remove it (known: "
                     "input_ids, attention_mask, labels, token_type_ids, pixel_values)",
                     path, name);
}

/* Labels may be numbers, and one for a whole sample: what they mean is the task's. */
static hora_status put(table *x, int k, double *v, int64_t b, int64_t t, const char *path) {
    x->b[k] = b;
    x->t[k] = t;
    if (k == LABELS) {
        x->labels = hora_malloc((size_t)hora_max(b * t, 1) * sizeof *v);
        memcpy(x->labels, v, (size_t)(b * t) * sizeof *v);
        return HORA_OK;
    }
    x->at[k] = hora_calloc((size_t)hora_max(b * t, 1), sizeof(int32_t));
    for (int64_t i = 0; i < b * t; i++) {
        if (v[i] < INT32_MIN || v[i] > INT32_MAX)
            return hora_fail(HORA_EFORMAT,
                             "%s: %s holds %.0f, which is no token id; check the file", path,
                             keys[k], v[i]);
        x->at[k][i] = (int32_t)v[i];
    }
    return HORA_OK;
}

static hora_status take_tensor(table *x, int k, const hora_view *v, const char *path) {
    char shape[128];
    if (v->dtype == HORA_DTYPE_OTHER || (hora_dtype_is_float(v->dtype) && k != LABELS) ||
        v->shape.n < 1 || v->shape.n > 2)
        return hora_fail(HORA_EFORMAT, "%s: %s is %s %s, but should be integers [B, T]; convert it",
                         path, keys[k], hora_dtype_name(v->dtype),
                         hora_shape_text(shape, &v->shape));
    const int64_t n = hora_elems(v), t = v->shape.d[v->shape.n - 1];
    double *wide = hora_calloc((size_t)hora_max(n, 1), sizeof *wide);
    hora_status s = hora_convert(wide, HORA_F64, v->data, v->dtype, n);
    if (s == HORA_OK)
        s = put(x, k, wide, t ? n / t : 0, t, path);
    hora_free(wide);
    return s;
}

/* (n, channels, height, width), or (n, frames, channels, height, width). */
static hora_status take_pixels(table *x, const hora_view *v, const char *path) {
    char shape[128];
    const int64_t *d = v->shape.d;
    const int n = v->shape.n;
    if (!hora_dtype_is_float(v->dtype) || n < 4 || n > 5 || hora_elems(v) < 1)
        return hora_fail(HORA_EFORMAT,
                         "%s: pixel_values are %s %s, but should be numbers [N, C, H, W] or "
                         "[N, T, C, H, W]; convert them",
                         path, hora_dtype_name(v->dtype), hora_shape_text(shape, &v->shape));
    x->samples = d[0];
    x->pixels = (hora_pixels){NULL, n == 5 ? d[1] : 1, d[n - 3], d[n - 2], d[n - 1]};
    x->pixels.at = hora_malloc((size_t)hora_elems(v) * sizeof(float));
    return hora_convert(x->pixels.at, HORA_F32, v->data, v->dtype, hora_elems(v));
}

static hora_status from_safetensors(table *x, const char *path) {
    hora_st *st;
    HORA_TRY(hora_st_open(&st, path));
    hora_status s = HORA_OK;
    for (int i = 0; i < hora_st_count(st) && s == HORA_OK; i++) {
        const hora_st_tensor *e = hora_st_at(st, i);
        const int k = key_of(e->name);
        s = hora_eq(e->name, pictures) ? take_pixels(x, &e->view, path)
            : k < 0                    ? unknown(e->name, path)
                                       : take_tensor(x, k, &e->view, path);
    }
    hora_st_close(st);
    return s;
}

static bool number(const hora_json *v, int k, double *out) {
    int64_t whole;
    if (k == LABELS)
        return hora_json_real(v, out);
    const bool ok = hora_json_int(v, &whole);
    *out = ok ? (double)whole : 0;
    return ok;
}

static hora_status take_list(table *x, int k, const hora_json *v, const char *path) {
    const bool flat = hora_json_type(hora_json_at(v, 0)) != HORA_JARRAY;
    const int64_t b = flat ? 1 : (int64_t)hora_json_len(v);
    const int64_t t = (int64_t)hora_json_len(flat ? v : hora_json_at(v, 0));
    double *wide = hora_calloc((size_t)hora_max(b * t, 1), sizeof *wide);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < b && s == HORA_OK; i++) {
        const hora_json *row = flat ? v : hora_json_at(v, (size_t)i);
        if ((int64_t)hora_json_len(row) != t)
            s = hora_fail(HORA_EFORMAT,
                          "%s: %s: list %lld has %zu elements, the first has %lld; pad them to one "
                          "length",
                          path, keys[k], (long long)i, hora_json_len(row), (long long)t);
        for (int64_t j = 0; j < t && s == HORA_OK; j++)
            if (!number(hora_json_at(row, (size_t)j), k, &wide[i * t + j]))
                s = hora_fail(HORA_EFORMAT,
                              "%s: %s: element %lld of list %lld is no integer; write token ids",
                              path, keys[k], (long long)j, (long long)i);
    }
    if (s == HORA_OK)
        s = put(x, k, wide, b, t, path);
    hora_free(wide);
    return s;
}

static hora_status from_json(table *x, const char *path) {
    hora_json *root;
    HORA_TRY(hora_json_load(&root, path));
    hora_status s = HORA_OK;
    if (hora_json_type(root) != HORA_JOBJECT)
        s = hora_fail(HORA_EFORMAT, "%s: should be an object with input_ids, is a %s", path,
                      hora_json_type_name(hora_json_type(root)));
    for (void *it = hora_json_iter(root); it && s == HORA_OK; it = hora_json_next(root, it)) {
        const int k = key_of(hora_json_iter_key(it));
        const hora_json *v = hora_json_iter_value(it);
        if (k < 0)
            s = unknown(hora_json_iter_key(it), path);
        else if (hora_json_type(v) != HORA_JARRAY)
            s = hora_fail(HORA_EFORMAT, "%s: %s should be a list of lists of integers", path,
                          keys[k]);
        else
            s = take_list(x, k, v, path);
    }
    hora_json_free(root);
    return s;
}

static int64_t samples_of(const table *x) {
    return x->pixels.at ? x->samples : x->b[IDS];
}

static hora_status check(const table *x, const char *path) {
    if (!x->at[IDS] && !x->pixels.at)
        return hora_fail(HORA_ENOTFOUND, "%s: has no input_ids and no pixel_values; add them",
                         path);
    if (x->pixels.at && (x->at[IDS] || x->at[MASK] || x->at[TYPES]))
        return hora_fail(HORA_EUNSUPPORTED, "%s: pixel_values stand alone; remove the others",
                         path);
    const int64_t all = x->b[LABELS] * x->t[LABELS], samples = samples_of(x);
    if (x->labels && (!samples || all % samples))
        return hora_fail(HORA_ESHAPE, "%s: %lld labels do not fit %lld samples", path,
                         (long long)all, (long long)samples);
    for (int k = 0; k < KEYS; k++) {
        if (!x->at[k])
            continue;
        if (x->b[k] != x->b[IDS] || x->t[k] != x->t[IDS])
            return hora_fail(
                HORA_ESHAPE,
                "%s: %s is [%lld, %lld], but input_ids is [%lld, %lld]; give both one shape", path,
                keys[k], (long long)x->b[k], (long long)x->t[k], (long long)x->b[IDS],
                (long long)x->t[IDS]);
        for (int64_t i = 0; i < x->b[k] * x->t[k]; i++) {
            if (k == MASK && x->at[k][i] != 0 && x->at[k][i] != 1)
                return hora_fail(HORA_EFORMAT, "%s: attention_mask holds %d; give 0 and 1", path,
                                 x->at[k][i]);
        }
    }
    return HORA_OK;
}

hora_status hora_forward_batch_load(hora_forward_batch *batch, const char *path) {
    table x = {0};
    hora_status s = hora_ends(path, ".json") ? from_json(&x, path) : from_safetensors(&x, path);
    if (s == HORA_OK)
        s = check(&x, path);
    const int64_t b = samples_of(&x), per = b > 0 ? x.b[LABELS] * x.t[LABELS] / b : 0;
    *batch = (hora_forward_batch){b,           x.t[IDS], x.at[IDS], x.at[MASK],
                                  x.at[TYPES], x.labels, per,       x.pixels};
    if (s != HORA_OK)
        hora_forward_batch_release(batch);
    return s;
}

void hora_forward_batch_release(hora_forward_batch *b) {
    hora_free(b->ids);
    hora_free(b->mask);
    hora_free(b->types);
    hora_free(b->labels);
    hora_free(b->pixels.at);
    *b = (hora_forward_batch){0};
}
