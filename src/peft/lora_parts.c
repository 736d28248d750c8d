/* Parts of a module: their parameters are of each site, the files are the module's. */
#include "peft/lora_parts.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

#define FILE_NAME "adapter_model.safetensors"

static const hora_peft_part kinds[] = {HORA_PEFT_LORA_A, HORA_PEFT_LORA_B, HORA_PEFT_LORA_BIAS,
                                       HORA_PEFT_MAGNITUDE};

static bool is_key(const char *name, const char *module, hora_peft_part part) {
    char *key = hora_peft_key(module, part);
    const bool yes = hora_eq(name, key);
    hora_free(key);
    return yes;
}

typedef enum { PARTS = 1, MODULES = 2 } whose;

/* Is the parameter of low rank, and of a part, or of a module with parts? */
static bool of(const hora_adapter *a, const hora_param *p, unsigned whose_) {
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        for (size_t k = 0; s->fused && k < HORA_COUNT(kinds); k++)
            if ((whose_ & PARTS && is_key(p->name, s->module, kinds[k])) ||
                (whose_ & MODULES && is_key(p->name, s->fused, kinds[k])))
                return true;
    }
    return false;
}

static bool any(const hora_adapter *a, unsigned whose_) {
    for (int i = 0; i < a->nparams; i++)
        if (of(a, a->params[i], whose_))
            return true;
    return false;
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool written(const hora_factor_tensor *all, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (hora_eq(all[i].name, name))
            return true;
    return false;
}

static hora_status write_tensors(hora_adapter *a, const char *dir) {
    int n, count, most;
    hora_factor_tensor *all = hora_factor_tensors(a, &n);
    most = n + a->nparams;
    for (int i = 0; i < a->nparams; i++)
        most += a->params[i]->ncopies;
    hora_st_entry *e = hora_calloc((size_t)most + 1, sizeof *e);
    for (count = 0; count < n; count++)
        e[count] = (hora_st_entry){all[count].name, all[count].view, HORA_F32};
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        if (p->aside || written(all, n, p->name) || of(a, p, PARTS | MODULES))
            continue;
        e[count++] = (hora_st_entry){p->name, {p->value, a->dtype, p->shape}, HORA_F32};
        for (int k = 0; k < p->ncopies; k++, count++) {
            e[count] = e[count - 1];
            e[count].name = p->copies[k];
        }
    }
    char *path = hora_path_join(dir, FILE_NAME);
    const hora_status s = hora_st_write(path, e, count, NULL, 0);
    hora_free(path);
    hora_free(e);
    hora_factor_tensors_free(all, n);
    return s;
}

hora_status hora_parts_save(hora_adapter *a, const char *dir) {
    if (!any(a, PARTS))
        return hora_peft_files_save(a, a->method->peft_config(a), dir);
    HORA_TRY(write_tensors(a, dir));
    hora_peft_config c = {0};
    hora_peft_config_copy(&c, a->method->peft_config(a));
    hora_factor_config(a, &c);
    const hora_status s = hora_peft_config_write(a, &c, dir);
    hora_peft_config_release(&c);
    return s;
}

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct reading {
    hora_adapter *a;
    const hora_st *st;
    const char *path;
    const hora_site *s;
    int64_t at, rank; /* of the site in its module: ranks before it, the rank of all */
    bool whole;       /* A and B are the module's here too */
    double by;        /* B of the file has this times the site's */
} reading;

/* The site's factors, and where they stand in the module's. */
static hora_factors place(reading *r, int site) {
    const hora_base *b = r->a->base;
    hora_factors own, f;
    double first = 0;
    r->a->method->factors(r->a, site, &own);
    r->s = &b->sites[site];
    r->at = r->rank = 0;
    for (int k = 0; k < b->nsites; k++) {
        if (!b->sites[k].fused || !hora_eq(b->sites[k].fused, r->s->fused))
            continue;
        r->a->method->factors(r->a, k, &f);
        if (!f.rank)
            continue;
        first = first != 0 ? first : f.scale;
        r->at += k < site ? f.rank : 0;
        r->rank += f.rank;
    }
    char *key = hora_peft_key(r->s->fused, HORA_PEFT_LORA_A);
    r->whole = hora_adapter_find(r->a, key) != NULL;
    r->by = own.rank && !r->whole ? own.scale / first : 1;
    hora_free(key);
    return own;
}

static hora_status misfit(const reading *r, const char *what) {
    return hora_fail(HORA_ESHAPE,
                     "%s: the adapter of %s %s; take it as a whole (target the module itself, with "
                     "its rank), or start from one of the same targets and ranks",
                     r->path, r->s->fused, what);
}

static hora_status tensor_of(const reading *r, hora_peft_part part, hora_shape shape,
                             const hora_st_tensor **out) {
    char *key = hora_peft_key(r->s->fused, part), have[128], want[128];
    const hora_st_tensor *t = *out = hora_store_find(r->a, r->st, key);
    hora_status s = HORA_OK;
    if (!t)
        s = hora_fail(HORA_ESHAPE,
                      "%s lacks %s; is it of another base or other options (DoRA, lora_bias)?",
                      r->path, key);
    else if (!hora_shape_equal(&t->view.shape, &shape) || !hora_dtype_is_float(t->view.dtype))
        s = hora_fail(HORA_ESHAPE,
                      "%s: %s is %s %s, should be %s in floats; is it of another base, rank or "
                      "other options?",
                      r->path, key, t->dtype_name, hora_shape_text(have, &t->view.shape),
                      hora_shape_text(want, &shape));
    for (int64_t i = 0; !s && i < hora_elems(&t->view); i++)
        if (!isfinite(hora_value_at(t->view.data, t->view.dtype, i)))
            s = hora_fail(HORA_ENUMERIC,
                          "%s: %s holds a number that is not finite (element %lld); fetch the file "
                          "again, or take an earlier checkpoint",
                          r->path, key, (long long)i);
    hora_free(key);
    return s;
}

/* n values from `from` on, divided by `by`. */
static void take(const reading *r, void *out, int64_t to, const hora_st_tensor *t, int64_t from,
                 int64_t n, double by) {
    for (int64_t i = 0; i < n; i++)
        hora_value_put(out, r->a->dtype, to + i,
                       hora_value_at(t->view.data, t->view.dtype, from + i) / by);
}

static bool zeros(const hora_st_tensor *t, int64_t from, int64_t n) {
    for (int64_t i = from; i < from + n; i++)
        if (hora_value_at(t->view.data, t->view.dtype, i) != 0)
            return false;
    return true;
}

/* A and B of a site of its own, from the module's. */
static hora_status split(const reading *r, const hora_factors *f) {
    const hora_st_tensor *wa, *wb;
    const hora_site *s = r->s;
    HORA_TRY(tensor_of(r, HORA_PEFT_LORA_A, HORA_SHAPE2(r->rank, s->in), &wa));
    HORA_TRY(tensor_of(r, HORA_PEFT_LORA_B, HORA_SHAPE2(s->fused_out, r->rank), &wb));
    take(r, (void *)(uintptr_t)f->a, 0, wa, r->at * s->in, f->rank * s->in, 1);
    for (int64_t o = 0; o < s->out; o++) {
        const int64_t row = (s->row + o) * r->rank;
        if (!zeros(wb, row, r->at) || !zeros(wb, row + r->at + f->rank, r->rank - r->at - f->rank))
            return misfit(r, "is not made of separate parts");
        take(r, (void *)(uintptr_t)f->b, o * f->rank, wb, row + r->at, f->rank, r->by);
    }
    return HORA_OK;
}

static hora_status read_site(reading *r, int site) {
    const hora_factors f = place(r, site);
    const hora_st_tensor *t;
    const hora_shape rows = HORA_SHAPE1(r->s->fused_out);
    if (f.rank && !r->whole)
        HORA_TRY(split(r, &f));
    if (f.magnitude) {
        HORA_TRY(tensor_of(r, HORA_PEFT_MAGNITUDE, rows, &t));
        take(r, (void *)(uintptr_t)f.magnitude, 0, t, r->s->row, r->s->out, 1);
    }
    if (f.bias) {
        HORA_TRY(tensor_of(r, HORA_PEFT_LORA_BIAS, rows, &t));
        take(r, (void *)(uintptr_t)f.bias, 0, t, r->s->row, r->s->out, r->by);
    }
    return HORA_OK;
}

/* What the file has of low rank is of a site here. */
static hora_status check_extra(const reading *r) {
    int n;
    hora_status s = HORA_OK;
    hora_factor_tensor *all = hora_factor_tensors(r->a, &n);
    for (int i = 0; i < hora_st_count(r->st) && !s; i++) {
        const hora_st_tensor *t = hora_st_at(r->st, i);
        bool ours = hora_adapter_find(r->a, t->name) || !strstr(t->name, ".lora_");
        for (int k = 0; k < n && !ours; k++)
            ours = hora_store_find(r->a, r->st, all[k].name) == t;
        if (!ours)
            s = hora_fail(HORA_ESHAPE,
                          "%s does not fit method %s on this model; %s is not part of it; is it of "
                          "another base or other options?",
                          r->path, r->a->method->name, t->name);
    }
    hora_factor_tensors_free(all, n);
    return s;
}

static hora_status read_parts(reading *r, const hora_foreign *f) {
    const hora_base *b = r->a->base;
    hora_status s = check_extra(r);
    for (int i = 0; i < b->nsites && !s; i++)
        s = b->sites[i].fused ? read_site(r, i) : HORA_OK;
    for (int i = 0; i < r->a->nparams && !s; i++) {
        const hora_param *p = r->a->params[i];
        if (!p->aside && !of(r->a, p, PARTS))
            s = hora_params_read(r->a, f->dir, FILE_NAME, p->name);
    }
    return s;
}

/* Does the file name parts? Earlier releases wrote them so. */
static bool names_parts(const hora_adapter *a, const hora_st *st) {
    for (int i = 0; i < a->nparams; i++)
        if (of(a, a->params[i], PARTS) && hora_store_find(a, st, a->params[i]->name))
            return true;
    return false;
}

hora_status hora_parts_load(hora_adapter *a, const hora_foreign *f) {
    if (!any(a, PARTS))
        return hora_peft_files_load(a, f);
    char *path = hora_path_join(f->dir, FILE_NAME);
    hora_st *st = NULL;
    hora_status s = hora_st_open(&st, path);
    const bool as_it_is = !s && names_parts(a, st);
    if (!s && !as_it_is)
        s = read_parts(&(reading){.a = a, .st = st, .path = path}, f);
    hora_st_close(st);
    hora_free(path);
    return as_it_is ? hora_peft_files_load(a, f) : s;
}
