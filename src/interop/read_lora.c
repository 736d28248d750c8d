/* What other programs' adapter files hold, read back: llama.cpp's GGUF LoRA and MLX-LM's folder. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "interop/interop.h"

/* --- one site --------------------------------------------------------------------------------- */
static float *floats(const hora_view *v) {
    float *to = hora_malloc((size_t)hora_elems(v) * sizeof *to);
    if (hora_convert(to, HORA_F32, v->data, v->dtype, hora_elems(v))) {
        hora_free(to);
        return NULL;
    }
    return to;
}

/* to (columns, rows) of from (rows, columns) */
static float *turned(float *own_from, int64_t rows, int64_t columns) {
    float *to = hora_malloc((size_t)(rows * columns) * sizeof *to);
    for (int64_t r = 0; own_from && r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            to[c * rows + r] = own_from[r * columns + c];
    hora_free(own_from);
    return to;
}

static hora_status misshapen(const char *path, const char *name) {
    return hora_fail(HORA_ESHAPE, "%s: the pair of %s does not fit this model", path, name);
}

/* a, b as stored; `across`: both lie the other way round (MLX). */
static hora_status put(hora_flat *f, const hora_site *s, const hora_view *a, const hora_view *b,
                       bool across, const char *path) {
    const int64_t rank = a->shape.d[across ? 1 : 0];
    const hora_shape wa = across ? HORA_SHAPE2(s->in, rank) : HORA_SHAPE2(rank, s->in),
                     wb = across ? HORA_SHAPE2(rank, s->out) : HORA_SHAPE2(s->out, rank);
    if (a->shape.n != 2 || rank < 1 || !hora_shape_equal(&a->shape, &wa) ||
        !hora_shape_equal(&b->shape, &wb))
        return misshapen(path, s->module);
    f->rank = rank;
    f->a = floats(a);
    f->b = floats(b);
    if (across) {
        f->a = turned(f->a, s->in, rank);
        f->b = turned(f->b, rank, s->out);
    }
    return f->a && f->b
               ? HORA_OK
               : hora_fail(HORA_EUNSUPPORTED, "%s: factors in that dtype are not read", path);
}

static void scale(hora_flat *f, const hora_site *s, double by) {
    for (int64_t i = 0; i < s->out * f->rank; i++)
        f->b[i] = (float)(by * (double)f->b[i]);
}

/* --- llama.cpp -------------------------------------------------------------------------------- */
/* Rows of q and k back where the model has them. */
static void order_rows(hora_flat *f, const hora_site *s) {
    float *to = hora_malloc((size_t)(s->out * f->rank) * sizeof *to);
    for (int64_t r = 0; r < s->out; r++)
        memcpy(to + r * f->rank, f->b + hora_gguf_row(r, s->head_dim) * f->rank,
               (size_t)f->rank * sizeof *to);
    hora_free(f->b);
    f->b = to;
}

/* The embedding's A is a table: (V, rank). */
static hora_status gguf_pair(hora_flat *f, const hora_site *s, const hora_gguf_tensor *a,
                             const hora_gguf_tensor *b, const char *path) {
    if (s->kind != HORA_SITE_EMBED)
        return put(f, s, &a->view, &b->view, false, path);
    const int64_t rank = a->view.shape.d[a->view.shape.n - 1];
    if (a->view.shape.n != 2 || a->view.shape.d[0] != s->in)
        return misshapen(path, s->module);
    float *across = turned(floats(&a->view), s->in, rank);
    const hora_view v = {across, HORA_F32, HORA_SHAPE2(rank, s->in)};
    const hora_status st = put(f, s, &v, &b->view, false, path);
    hora_free(across);
    return st;
}

static hora_status gguf_sites(hora_flat *f, const hora_base *b, const hora_gguf *g, double alpha) {
    const hora_gguf_arch *arch = hora_gguf_arch_of(b->model_type);
    int used = 0;
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        char *name = hora_gguf_name(b->weights[s->weight].name);
        char *na = hora_format("%s.lora_a", name ? name : ""),
             *nb = hora_format("%s.lora_b", name ? name : "");
        const hora_gguf_tensor *a = hora_gguf_find(g, na), *bb = hora_gguf_find(g, nb);
        hora_free(name);
        hora_free(na);
        hora_free(nb);
        f[i].site = i;
        if (!a || !bb)
            continue;
        HORA_TRY(gguf_pair(&f[i], s, a, bb, hora_gguf_path(g)));
        if (arch->permuted && (s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K))
            order_rows(&f[i], s);
        if (alpha != 0)
            scale(&f[i], s, alpha / (double)f[i].rank);
        used += 2;
    }
    return used == hora_gguf_count(g)
               ? HORA_OK
               : hora_fail(HORA_EMISMATCH, "%s holds %d tensors, %d of them for this model",
                           hora_gguf_path(g), hora_gguf_count(g), used);
}

hora_status hora_flat_read_gguf(hora_flat **out, const hora_base *b, const char *path) {
    const hora_gguf_arch *arch = hora_gguf_arch_of(b->model_type);
    hora_gguf *g;
    char *of = NULL;
    double alpha = 0;
    *out = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_flat *f = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *f);
    hora_status s = hora_gguf_get_text(g, "general.architecture", true, &of);
    if (s == HORA_OK && (!arch || !hora_eq(of, arch->name)))
        s = hora_fail(HORA_EMISMATCH, "%s is for models of architecture %s, not for a %s", path, of,
                      b->model_type);
    if (s == HORA_OK)
        s = hora_gguf_get_float(g, "adapter.lora.alpha", true, 0, &alpha);
    if (s == HORA_OK)
        s = gguf_sites(f, b, g, alpha);
    hora_free(of);
    hora_gguf_close(g);
    if (s)
        hora_flat_free(f, b);
    else
        *out = f;
    return s;
}

/* --- MLX-LM ----------------------------------------------------------------------------------- */
static hora_status mlx_sites(hora_flat *f, const hora_base *b, const hora_st *st, double by,
                             const char *dir) {
    int used = 0;
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        char *na = hora_format("%s.lora_a", s->module), *nb = hora_format("%s.lora_b", s->module),
             *nm = hora_format("%s.m", s->module);
        const hora_st_tensor *a = hora_st_find(st, na), *bb = hora_st_find(st, nb),
                             *m = hora_st_find(st, nm);
        hora_free(na);
        hora_free(nb);
        hora_free(nm);
        f[i].site = i;
        if (!a || !bb)
            continue;
        HORA_TRY(put(&f[i], s, &a->view, &bb->view, true, dir));
        scale(&f[i], s, by);
        used += 2;
        if (m && hora_elems(&m->view) != s->out)
            return misshapen(dir, s->module);
        if (m)
            f[i].magnitude = floats(&m->view);
        used += m != NULL;
    }
    return used == hora_st_count(st)
               ? HORA_OK
               : hora_fail(HORA_EMISMATCH, "%s holds %d tensors, %d of them for this model", dir,
                           hora_st_count(st), used);
}

hora_status hora_flat_read_mlx(hora_flat **out, const hora_base *b, const char *dir) {
    hora_json *config = NULL;
    hora_st *st = NULL;
    double by = 1;
    char *path = hora_path_join(dir, "adapter_config.json"),
         *tensors = hora_path_join(dir, "adapters.safetensors");
    hora_flat *f = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *f);
    hora_status s = hora_json_load(&config, path);
    if (s == HORA_OK &&
        !hora_json_real(hora_json_get(hora_json_get(config, "lora_parameters"), "scale"), &by))
        s = hora_fail(HORA_EFORMAT, "%s has no scale under lora_parameters", path);
    if (s == HORA_OK)
        s = hora_st_open(&st, tensors);
    if (s == HORA_OK)
        s = mlx_sites(f, b, st, by, dir);
    hora_st_close(st);
    hora_json_free(config);
    hora_free(tensors);
    hora_free(path);
    *out = s ? NULL : f;
    if (s)
        hora_flat_free(f, b);
    return s;
}

/* --- as weights ------------------------------------------------------------------------------- */
static void add(const hora_flat *f, const hora_site *s, float *w) {
    const bool table = s->kind == HORA_SITE_EMBED;
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        double norm = 0;
        for (int64_t k = 0; k < s->in; k++) {
            row[k] = (double)w[table ? k * s->out + o : o * s->in + k];
            for (int64_t j = 0; j < f->rank; j++)
                row[k] += (double)f->b[o * f->rank + j] * (double)f->a[j * s->in + k];
            norm += row[k] * row[k];
        }
        const double by = f->magnitude ? (double)f->magnitude[o] / sqrt(norm) : 1;
        for (int64_t k = 0; k < s->in; k++)
            w[table ? k * s->out + o : o * s->in + k] = (float)(by * row[k]);
    }
    hora_free(row);
}

hora_status hora_flat_apply(const hora_flat *f, const hora_base *b, float **w) {
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        const int at = s->weight;
        if (!f[i].rank)
            continue;
        if (!w[at])
            w[at] = floats(&b->weights[at].view);
        if (!w[at])
            return hora_fail(HORA_EUNSUPPORTED, "%s is in a dtype that nothing is added to here",
                             b->weights[at].name);
        add(&f[i], s, w[at]);
        if (b->tied && at == b->embed && !w[b->head]) /* the head stays as it was */
            w[b->head] = floats(&b->weights[b->head].view);
    }
    return HORA_OK;
}
