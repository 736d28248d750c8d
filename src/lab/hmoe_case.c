/* One layer from a file: every tensor is checked against x and the metadata before it is used. */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "lab/hmoe_source.h"

double *hora_hmoe_source_new(hora_hmoe_source *s, int64_t n) {
    double *v = hora_calloc((size_t)n + 1, sizeof *v);
    HORA_PUSH(s->own, s->n, s->cap, v);
    return v;
}

void hora_hmoe_source_release(hora_hmoe_source *s) {
    for (int i = 0; i < s->n; i++)
        hora_free(s->own[i]);
    hora_free(s->own);
    hora_free(s->lengths);
    *s = (hora_hmoe_source){0};
}

/* --- tensors and metadata --------------------------------------------------------------------- */
typedef struct reader {
    hora_st *file;
    const char *path;
    hora_hmoe_source *out;
    int64_t r;
    double alpha;
    char kind[8]; /* lora hora none */
    int taken;    /* tensors that were read */
} reader;

/* -1 in a shape: any extent, which is put there. */
static hora_status take(reader *r, const char *name, int n, int64_t *want, double **out) {
    char have[128], should[128];
    const hora_st_tensor *t = hora_st_find(r->file, name);
    if (!t)
        return hora_fail(HORA_EFORMAT,
                         "%s has no tensor `%s`; docs/theory.md lists what a case needs", r->path,
                         name);
    bool fits = t->view.shape.n == n;
    for (int i = 0; i < n && fits; i++)
        fits = want[i] < 0 ? t->view.shape.d[i] > 0 : want[i] == t->view.shape.d[i];
    hora_shape shape = {.n = n};
    for (int i = 0; i < n; i++)
        shape.d[i] = want[i];
    if (!fits)
        return hora_fail(HORA_EFORMAT,
                         "%s: tensor `%s` is %s, but should be %s (-1: any size above 0), from x "
                         "and the metadata H, G, dh and r",
                         r->path, name, hora_shape_text(have, &t->view.shape),
                         hora_shape_text(should, &shape));
    if (t->view.dtype != HORA_F64 && t->view.dtype != HORA_F32)
        return hora_fail(HORA_EFORMAT, "%s: tensor `%s` is %s; write it as F64 or F32", r->path,
                         name, t->dtype_name);
    const int64_t count = hora_elems(&t->view);
    *out = hora_hmoe_source_new(r->out, count);
    HORA_TRY(hora_convert(*out, HORA_F64, t->view.data, t->view.dtype, count));
    for (int64_t i = 0; i < count; i++)
        if (!isfinite((*out)[i]))
            return hora_fail(HORA_EFORMAT, "%s: element %lld of tensor `%s` is not finite; mend it",
                             r->path, (long long)i, name);
    for (int i = 0; i < n; i++)
        want[i] = t->view.shape.d[i];
    r->taken++;
    return HORA_OK;
}

static hora_status take_2(reader *r, const char *name, int64_t a, int64_t b, const double **out) {
    double *v = NULL;
    HORA_TRY(take(r, name, 2, (int64_t[]){a, b}, &v));
    *out = v;
    return HORA_OK;
}

static hora_status number(reader *r, const char *key, double min, double def, double *out) {
    const char *text = hora_st_meta(r->file, key);
    *out = def;
    if (!text && isnan(def))
        return hora_fail(HORA_EFORMAT,
                         "%s: the metadata have no `%s`; a case needs H G dh causal rope_theta "
                         "kind, and r alpha for an adapter",
                         r->path, key);
    if (text && (!hora_parse_double(text, out) || !(*out >= min) || !isfinite(*out)))
        return hora_fail(HORA_EFORMAT, "%s: metadata `%s` is `%s`; it should be a number from %g",
                         r->path, key, text, min);
    return HORA_OK;
}

static hora_status whole(reader *r, const char *key, int64_t *out) {
    double v;
    HORA_TRY(number(r, key, 1, NAN, &v));
    if (v != floor(v) || v > 1e6)
        return hora_fail(HORA_EFORMAT, "%s: metadata `%s` is %g; it should be a whole number",
                         r->path, key, v);
    *out = (int64_t)v;
    return HORA_OK;
}

static hora_status choice(reader *r, const char *key, const char *const *names, int n,
                          const char *def, int *out) {
    const char *text = hora_st_meta(r->file, key);
    for (*out = 0; *out < n; ++*out)
        if (hora_eq(text ? text : def, names[*out]))
            return HORA_OK;
    hora_str all = {0};
    for (int i = 0; i < n; i++)
        hora_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    hora_status s = hora_fail(HORA_EFORMAT, "%s: metadata `%s` is `%s`; choose among %s", r->path,
                              key, text ? text : "missing", all.s);
    hora_str_release(&all);
    return s;
}

static hora_status read_metadata(reader *r) {
    static const char *const kinds[] = {"none", "lora", "hora"};
    hora_hmoe_layer *l = &r->out->layer;
    double theta;
    int kind, act = 0;
    HORA_TRY(whole(r, "H", &l->heads));
    HORA_TRY(whole(r, "G", &l->groups));
    HORA_TRY(whole(r, "dh", &l->dh));
    if (!hora_parse_bool(hora_st_meta(r->file, "causal") ? hora_st_meta(r->file, "causal") : "",
                         &l->causal))
        return hora_fail(HORA_EFORMAT, "%s: metadata `causal` should be 0 or 1", r->path);
    HORA_TRY(number(r, "rope_theta", 0, NAN, &theta));
    HORA_TRY(choice(r, "kind", kinds, 3, NULL, &kind));
    if (hora_eq(kinds[kind], "hora"))
        HORA_TRY(choice(r, "act", hora_hmoe_act_names, HORA_HMOE_ACTS, "relu", &act));
    hora_snprintf(r->kind, sizeof r->kind, "%s", kinds[kind]);
    r->out->gen.act = (hora_hmoe_act)act;
    if (kind) {
        HORA_TRY(whole(r, "r", &r->r));
        HORA_TRY(number(r, "alpha", 0, NAN, &r->alpha));
    }
    if (l->heads % l->groups)
        return hora_fail(HORA_EFORMAT, "%s: H %lld is no multiple of G %lld", r->path,
                         (long long)l->heads, (long long)l->groups);
    if (theta > 0 && l->dh % 2)
        return hora_fail(HORA_EFORMAT,
                         "%s: dh %lld is odd, which cannot be rotated; set rope_theta to 0",
                         r->path, (long long)l->dh);
    l->scale = 1 / sqrt((double)l->dh);
    if (theta > 0) {
        double *freq = hora_hmoe_source_new(r->out, l->dh / 2);
        for (int64_t c = 0; c < l->dh / 2; c++)
            freq[c] = pow(theta, -2 * (double)c / (double)l->dh);
        l->freq = freq;
    }
    return HORA_OK;
}

static hora_status read_lengths(reader *r) {
    const hora_st_tensor *t = hora_st_find(r->file, "lengths");
    hora_hmoe_layer *l = &r->out->layer;
    if (!t)
        return HORA_OK;
    r->taken++;
    if (t->view.dtype != HORA_I32 || t->view.shape.n != 1 || t->view.shape.d[0] != l->seqs)
        return hora_fail(HORA_EFORMAT,
                         "%s: `lengths` should be I32 of %lld elements, one per "
                         "sequence of x",
                         r->path, (long long)l->seqs);
    r->out->lengths = hora_calloc((size_t)l->seqs, sizeof *r->out->lengths);
    memcpy(r->out->lengths, t->view.data, (size_t)l->seqs * sizeof *r->out->lengths);
    l->lengths = r->out->lengths;
    for (int64_t s = 0; s < l->seqs; s++)
        if (l->lengths[s] < 1 || l->lengths[s] > l->n)
            return hora_fail(HORA_EFORMAT, "%s: length %d of sequence %lld; choose 1 to %lld",
                             r->path, l->lengths[s], (long long)s, (long long)l->n);
    return HORA_OK;
}

static hora_status read_frozen(reader *r) {
    static const char *const weights[] = {"wq", "wk", "wv", "wo"};
    static const char *const biases[] = {"bias_q", "bias_k", "bias_v", "bias_o"};
    hora_hmoe_layer *l = &r->out->layer;
    int64_t shape[3] = {-1, -1, -1};
    double *v = NULL;
    HORA_TRY(take(r, "x", 3, shape, &v));
    l->x = v;
    l->seqs = shape[0];
    l->n = shape[1];
    l->d = shape[2];
    for (int i = 0; i < HORA_HMOE_MAPS; i++) {
        HORA_TRY(take_2(r, weights[i], hora_hmoe_out(l, i), hora_hmoe_in(l, i), &l->w[i]));
        if (!hora_st_find(r->file, biases[i]))
            continue;
        HORA_TRY(take(r, biases[i], 1, (int64_t[]){hora_hmoe_out(l, i)}, &v));
        l->bias[i] = v;
    }
    return read_lengths(r);
}

/* --- adapters --------------------------------------------------------------------------------- */
static void put_update(reader *r, int map, const double *a, const double *b) {
    r->out->layer.update[map] = (hora_hmoe_update){r->r, r->alpha / (double)r->r, a, b};
}

static hora_status read_lora(reader *r) {
    static const struct {
        const char *a, *b;
        int map;
    } rows[] = {{"lora_a_q", "lora_b_q", HORA_HMOE_Q}, {"lora_a_v", "lora_b_v", HORA_HMOE_V}};
    for (int i = 0; i < 2; i++) {
        const double *a, *b;
        HORA_TRY(take_2(r, rows[i].a, r->r, r->out->layer.d, &a));
        HORA_TRY(take_2(r, rows[i].b, hora_hmoe_out(&r->out->layer, rows[i].map), r->r, &b));
        put_update(r, rows[i].map, a, b);
        if (hora_st_find(r->file, rows[i].b)->view.dtype == HORA_F32)
            r->out->layer.rounding = 0x1p-24;
    }
    return HORA_OK;
}

static hora_status read_hora(reader *r) {
    static const char *const names_a[] = {"w2_a_q", "w2_a_v"};
    static const char *const names_b[] = {"w2_b_q", "w2_b_v"};
    static const int maps[] = {HORA_HMOE_Q, HORA_HMOE_V};
    hora_hmoe_layer *l = &r->out->layer;
    hora_hmoe_generator *g = &r->out->gen;
    int64_t x[] = {-1, r->r}, w1[] = {-1, -1};
    double *v;
    HORA_TRY(take(r, "input_a", 2, x, &v));
    g->input_a = v;
    g->e = w1[1] = x[0];
    HORA_TRY(take(r, "w1_a", 2, w1, &v));
    g->w1_a = v;
    HORA_TRY(take(r, "input_b", 3, (int64_t[]){l->heads, g->e, r->r}, &v));
    g->input_b = v;
    HORA_TRY(take_2(r, "w1_b", w1[0], g->e, &g->w1_b));
    g->r = r->r;
    g->m = w1[0];
    g->heads = l->heads;
    for (int i = 0; i < 2; i++) {
        const double *w2_a, *w2_b;
        double *a = hora_hmoe_source_new(r->out, g->r * l->d);
        double *b = hora_hmoe_source_new(r->out, hora_hmoe_out(l, maps[i]) * g->r);
        HORA_TRY(take_2(r, names_a[i], l->d, g->m, &w2_a));
        HORA_TRY(take_2(r, names_b[i], l->dh, g->m, &w2_b));
        hora_hmoe_generate(g, l, maps[i], w2_a, w2_b, a, b);
        put_update(r, maps[i], a, b);
        if (i == 0)
            g->w2_b_q = w2_b;
    }
    r->out->shared = true;
    return HORA_OK;
}

/* A tensor that nobody read is refused where it looks misspelt, else passed over aloud: files may
 * bring results to compare with. */
static hora_status others(const reader *r) {
    static const char *const known[] = {"bias_q",   "bias_k",   "bias_v",   "bias_o",   "lengths",
                                        "lora_a_q", "lora_b_q", "lora_a_v", "lora_b_v", "input_a",
                                        "input_b",  "w1_a",     "w1_b",     "w2_a_q",   "w2_a_v",
                                        "w2_b_q",   "w2_b_v"};
    const int n = hora_st_count(r->file);
    for (int i = 0; i < n; i++) {
        const char *name = hora_st_at(r->file, i)->name, *near;
        near = strlen(name) > 3 ? hora_nearest(name, known, HORA_COUNT(known)) : NULL;
        if (near && !hora_st_find(r->file, near))
            return hora_fail(HORA_EFORMAT, "%s: tensor `%s` belongs to no case; did you mean `%s`?",
                             r->path, name, near);
    }
    if (r->taken < n)
        hora_warn("%s: %d of its %d tensors are not read for a case of kind %s", r->path,
                  n - r->taken, n, r->kind);
    return HORA_OK;
}

hora_status hora_hmoe_case_open(hora_hmoe_source *s, const char *path) {
    reader r = {.path = path, .out = s};
    HORA_TRY(hora_st_open(&r.file, path));
    hora_status st;
    HORA_TRY_OUT(st, read_metadata(&r));
    HORA_TRY_OUT(st, read_frozen(&r));
    if (hora_eq(r.kind, "lora"))
        HORA_TRY_OUT(st, read_lora(&r));
    else if (hora_eq(r.kind, "hora"))
        HORA_TRY_OUT(st, read_hora(&r));
    HORA_TRY_OUT(st, others(&r));
out:
    hora_st_close(r.file);
    return st;
}
