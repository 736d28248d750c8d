#include "peft/store.h"

#include <math.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"

hora_status hora_params_write(const hora_adapter *a, const char *dir, const char *file,
                              const char *prefix, const hora_pair *meta, int nmeta) {
    int n = 0, most = a->nparams;
    for (int i = 0; i < a->nparams; i++)
        most += a->params[i]->ncopies;
    hora_st_entry *e = hora_calloc((size_t)most + 1, sizeof *e);
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        if (!hora_starts(p->name, prefix) || p->aside)
            continue;
        e[n++] = (hora_st_entry){p->name, {p->value, a->dtype, p->shape}, HORA_F32};
        for (int k = 0; k < p->ncopies; k++, n++) {
            e[n] = e[n - 1];
            e[n].name = p->copies[k];
        }
    }
    char *path = hora_path_join(dir, file);
    hora_status s = hora_st_write(path, e, n, meta, nmeta);
    hora_free(path);
    hora_free(e);
    return s;
}

/* The base weight that a tensor of adapter_model.safetensors is, by its key; -1: none. */
static int weight_of(const hora_base *b, const char *key) {
    char *module = NULL;
    hora_peft_part part;
    int found = -1;
    if (hora_peft_parse_key(key, &module, &part))
        return -1;
    const bool bias = part == HORA_PEFT_BIAS || part == HORA_PEFT_BASE_BIAS;
    for (int w = 0; w < b->nweights && found < 0; w++) {
        char *path = hora_base_module(b, w);
        if (hora_eq(path, module) && bias == hora_ends(b->weights[w].name, ".bias") &&
            (bias || hora_peft_is_whole(part)))
            found = w;
        hora_free(path);
    }
    hora_free(module);
    return found;
}

/* Is the tensor what the base has already (or, of headers alone, of that shape)? PEFT writes the
 * embedding and the head beside an adapter that targets them, or whose vocabulary grew. */
static bool of_base(const hora_st_tensor *t, const hora_base *b) {
    const int w = weight_of(b, t->name);
    const hora_view *v = w < 0 ? NULL : &b->weights[w].view;
    if (!v || !hora_shape_equal(&v->shape, &t->view.shape) || !hora_dtype_is_float(t->view.dtype))
        return false;
    for (int64_t i = 0; v->data && i < hora_elems(v); i++) {
        const double ours = hora_value_at(v->data, v->dtype, i),
                     theirs = hora_value_at(t->view.data, t->view.dtype, i);
        if (ours != theirs && (v->dtype != HORA_BF16 ||
                               hora_f32_to_bf16((float)theirs) != hora_f32_to_bf16((float)ours)))
            return false;
    }
    return true;
}

/* Another name under which a file may have parameter `p`: that of the weight it replaces. */
static const char *weight_name(const hora_adapter *a, const hora_param *p) {
    if (p->weight < 0)
        return NULL;
    const hora_spelling s = hora_weight_spelling(&a->base->weights[p->weight]);
    return s.rows ? NULL : s.name;
}

const hora_st_tensor *hora_store_find(const hora_adapter *a, const hora_st *st, const char *name) {
    const hora_st_tensor *t = hora_st_find(st, name);
    for (int i = 0; i < hora_st_count(st) && !t; i++) {
        char *own = hora_base_canonical(a->base, hora_st_at(st, i)->name);
        if (own && hora_eq(own, name))
            t = hora_st_at(st, i);
        hora_free(own);
    }
    return t;
}

/* A head beside prompts: before 0.2 it had the names that it has beside other types. */
static const hora_st_tensor *find_longer(const hora_adapter *a, const hora_st *st,
                                         const hora_param *p) {
    static const char root[] = "base_model.";
    if (p->weight < 0 || !hora_starts(p->name, root))
        return NULL;
    char *name = hora_format("%smodel.%s", root, p->name + sizeof root - 1);
    const hora_st_tensor *t = hora_store_find(a, st, name);
    hora_free(name);
    return t;
}

static const hora_st_tensor *find_param(const hora_adapter *a, const hora_st *st,
                                        const hora_param *p) {
    const hora_st_tensor *t = hora_store_find(a, st, p->name);
    t = t || !weight_name(a, p) ? t : hora_st_find(st, weight_name(a, p));
    return t ? t : find_longer(a, st, p);
}

/* The file's tensor has its shape, or that which its weight has on disk. */
static bool shape_fits(const hora_adapter *a, const hora_param *p, const hora_st_tensor *t) {
    const hora_shape disk =
        p->weight < 0 ? p->shape : hora_weight_disk(&a->base->weights[p->weight]);
    return hora_shape_equal(&t->view.shape, &p->shape) || hora_shape_equal(&t->view.shape, &disk);
}

/* It stands in the file again, with the same bytes. */
static bool is_copy(const hora_adapter *a, const hora_st *st, const hora_param *p,
                    const hora_st_tensor *t) {
    const hora_st_tensor *own = p->ncopies ? find_param(a, st, p) : NULL;
    bool yes = false;
    for (int k = 0; own && k < p->ncopies && !yes; k++)
        yes = hora_store_find(a, st, p->copies[k]) == t &&
              hora_shape_equal(&t->view.shape, &own->view.shape) &&
              t->view.dtype == own->view.dtype &&
              !memcmp(t->view.data, own->view.data, hora_view_bytes(&t->view));
    return yes;
}

/* The parameter's tensor stands in the file under this name. */
static bool is_half_of(const hora_adapter *a, const hora_st *st, const hora_st_tensor *t,
                       const char *plain, bool same) {
    const hora_st_tensor *p = hora_st_find(st, plain);
    const hora_param *own = hora_adapter_find(a, plain);
    return p && own && own->weight >= 0 && hora_shape_equal(&p->view.shape, &t->view.shape) &&
           (!same || (p->bytes == t->bytes && !memcmp(p->view.data, t->view.data, t->bytes)));
}

/* Beside a module of modules_to_save PEFT (0.21, where the vocabulary was resized, and of biases
 * where all train) writes both halves of its wrapper: the values again, sometimes under the
 * adapter's name, and those that they replace. It reads neither. */
static bool is_wrapper(const hora_adapter *a, const hora_st *st, const hora_st_tensor *t) {
    static const char *const halves[] = {".modules_to_save.", ".original_module."};
    bool yes = false;
    for (size_t i = 0; i < HORA_COUNT(halves); i++) {
        const char *at = strstr(t->name, halves[i]);
        if (!at)
            continue;
        const char *rest = at + strlen(halves[i]), *named = strchr(rest, '.');
        const int stem = (int)(at - t->name);
        char *plain = hora_format("%.*s.%s", stem, t->name, rest);
        char *shorter = named ? hora_format("%.*s%s", stem, t->name, named) : NULL;
        yes |= is_half_of(a, st, t, plain, !i);
        yes |= shorter && !i && is_half_of(a, st, t, shorter, true);
        hora_free(plain);
        hora_free(shorter);
    }
    return yes;
}

/* Trained tokens of a tied model: PEFT writes them under the head's name too where it writes the
 * whole tables (a resized vocabulary). They are the embedding's. */
static bool is_tied_tokens(const hora_adapter *a, const hora_st *st, const hora_st_tensor *t) {
    const hora_base *b = a->base;
    char *head = NULL, *embed = NULL;
    hora_peft_part part = HORA_PEFT_PARTS;
    bool yes = false;
    if (b->tied && b->embed >= 0 && !hora_peft_parse_key(t->name, &head, &part) &&
        part == HORA_PEFT_TOKENS && hora_eq(head, "lm_head")) {
        char *module = hora_base_module(b, b->embed);
        embed = hora_peft_key(module, HORA_PEFT_TOKENS);
        const hora_st_tensor *own = hora_store_find(a, st, embed);
        yes = own && own != t && hora_shape_equal(&own->view.shape, &t->view.shape) &&
              own->bytes == t->bytes && !memcmp(own->view.data, t->view.data, t->bytes);
        hora_free(module);
    }
    hora_free(embed);
    hora_free(head);
    return yes;
}

static bool is_param(const hora_adapter *a, const hora_st *st, const hora_st_tensor *t) {
    bool yes =
        hora_adapter_find(a, t->name) != NULL || is_wrapper(a, st, t) || is_tied_tokens(a, st, t);
    for (int i = 0; i < a->nparams && !yes; i++)
        yes = is_copy(a, st, a->params[i], t);
    for (int i = 0; i < a->nparams && !yes; i++)
        yes = find_param(a, st, a->params[i]) == t;
    return yes;
}

static hora_status read_params(hora_adapter *a, const hora_st *st, const char *path,
                               const char *prefix) {
    hora_str bad = {0};
    int count = 0, expected = 0, there = 0;
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        if (!hora_starts(p->name, prefix) || p->aside)
            continue;
        expected++;
        const hora_st_tensor *t = find_param(a, st, p);
        char have[128], want[128];
        if (!t && count++ < 4)
            hora_str_printf(&bad, "; missing %s", p->name);
        else if (t && !shape_fits(a, p, t) && count++ < 4)
            hora_str_printf(&bad, "; %s is %s, should be %s", p->name,
                            hora_shape_text(have, &t->view.shape),
                            hora_shape_text(want, &p->shape));
        else if (t && !hora_dtype_is_float(t->view.dtype) && count++ < 4)
            hora_str_printf(&bad, "; %s has dtype %s", p->name, t->dtype_name);
    }
    for (int i = 0; i < hora_st_count(st); i++) {
        const char *name = hora_st_at(st, i)->name;
        if (!hora_starts(name, prefix))
            continue;
        there++;
        if (!is_param(a, st, hora_st_at(st, i)) && !of_base(hora_st_at(st, i), a->base) &&
            count++ < 4)
            hora_str_printf(&bad, "; %s is not part of it", name);
    }
    hora_status s = HORA_OK;
    if (count)
        s = hora_fail(HORA_ESHAPE,
                      "%s does not fit method %s on this model (%d of %d tensors)%s; is it of "
                      "another base or other options?",
                      path, a->method->name, count, (int)hora_max(expected, there), bad.s);
    for (int i = 0; i < a->nparams && !s; i++) {
        const hora_param *p = a->params[i];
        const hora_st_tensor *t = hora_starts(p->name, prefix) ? find_param(a, st, p) : NULL;
        if (t)
            s = hora_convert(p->value, a->dtype, t->view.data, t->view.dtype, p->elems);
        const int64_t bad = t && !s ? hora_param_not_finite(p, p->value) : -1;
        if (bad >= 0)
            s = hora_fail(HORA_ENUMERIC,
                          "%s: %s holds a number that is not finite (element %lld); fetch the file "
                          "again, or take an earlier checkpoint",
                          path, p->name, (long long)bad);
    }
    hora_str_release(&bad);
    return s;
}

hora_status hora_params_read(hora_adapter *a, const char *dir, const char *file,
                             const char *prefix) {
    char *path = hora_path_join(dir, file);
    hora_st *st = NULL;
    hora_status s = hora_st_open(&st, path);
    if (!s)
        s = read_params(a, st, path, prefix);
    hora_st_close(st);
    hora_free(path);
    return s;
}

/* --- factors ---------------------------------------------------------------------------------- */

typedef hora_status (*visit)(const hora_adapter *a, const float *ours, const hora_st_tensor *theirs,
                             int64_t n, void *arg);

/* Calls `fn` for each of PEFT's tensors, in f32, with the file's tensor of the same name (or
 * none). */
static hora_status each_factor(hora_adapter *a, const hora_st *st, visit fn, void *arg) {
    int count;
    hora_factor_tensor *all = hora_factor_tensors(a, &count);
    hora_status s = HORA_OK;
    for (int i = 0; i < count && !s; i++) {
        const hora_view *f = &all[i].view;
        const int64_t n = hora_elems(f);
        float *v = hora_malloc((size_t)n * sizeof *v);
        const hora_st_tensor *t = st ? hora_store_find(a, st, all[i].name) : NULL;
        s = hora_convert(v, HORA_F32, f->data, f->dtype, n);
        if (!s && st && (!t || hora_elems(&t->view) != n))
            s = hora_fail(
                HORA_EMISMATCH,
                "adapter_model.safetensors has no %s of the size that hora_state.safetensors "
                "makes; choose one with prefer=native or prefer=materialised",
                all[i].name);
        if (!s)
            s = fn(a, v, t, n, arg);
        hora_free(v);
    }
    hora_factor_tensors_free(all, count);
    return s;
}

static hora_status hash_ours(const hora_adapter *a, const float *ours, const hora_st_tensor *t,
                             int64_t n, void *arg) {
    (void)a, (void)t;
    uint64_t *h = arg;
    *h = hora_hash64(ours, (size_t)n * sizeof *ours, *h);
    return HORA_OK;
}

uint64_t hora_factors_hash(hora_adapter *a) {
    uint64_t h = 0;
    each_factor(a, NULL, hash_ours, &h);
    return h;
}

static hora_status hash_theirs(const hora_adapter *a, const float *ours, const hora_st_tensor *t,
                               int64_t n, void *arg) {
    (void)ours;
    float *v = hora_malloc((size_t)n * sizeof *v);
    hora_status s = hora_convert(v, HORA_F32, t->view.data, t->view.dtype, n);
    if (!s)
        s = hash_ours(a, v, t, n, arg);
    hora_free(v);
    return s;
}

hora_status hora_file_factors_hash(hora_adapter *a, const hora_st *st, uint64_t *hash) {
    *hash = 0;
    return each_factor(a, st, hash_theirs, hash);
}

static hora_status distance(const hora_adapter *a, const float *ours, const hora_st_tensor *t,
                            int64_t n, void *arg) {
    (void)a;
    double *d = arg, worst = 0, largest = 1e-30;
    float *v = hora_malloc((size_t)n * sizeof *v);
    hora_status s = hora_convert(v, HORA_F32, t->view.data, t->view.dtype, n);
    for (int64_t i = 0; i < n && !s; i++) {
        worst = fmax(worst, fabs((double)ours[i] - (double)v[i]));
        largest = fmax(largest, fabs((double)v[i]));
        if (v[i] != v[i] || ours[i] != ours[i])
            worst = INFINITY;
    }
    *d = fmax(*d, worst < 1e-7 ? 0 : worst / largest);
    hora_free(v);
    return s;
}

hora_status hora_file_factors_distance(hora_adapter *a, const hora_st *st, double *out) {
    *out = 0;
    return each_factor(a, st, distance, out);
}
