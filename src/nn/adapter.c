/*
 * Parameters of an adapter: one list, one span of values. Initial draws depend on (seed, method,
 * name, index) alone, so neither the order of declaration nor the number of threads changes them.
 */
#include "nn/adapter.h"

#include <math.h>

#include "base/rng.h"
#include "base/threads.h"

hora_param *hora_adapter_param(hora_adapter *a, const char *name, hora_shape shape,
                               hora_init init) {
    HORA_ASSERT(!a->values);
    hora_param *p = hora_calloc(1, sizeof *p);
    p->name = hora_strdup(name);
    p->shape = shape;
    p->init = init;
    p->lr_factor = 1;
    p->least = -INFINITY;
    p->decay = true;
    p->weight = p->layer = -1;
    p->adapter = a;
    p->elems = hora_shape_elems(&shape);
    p->offset = a->elems;
    /* each tensor starts on a cache line */
    a->elems = hora_min(a->elems + hora_round_up(p->elems, 16), HORA_ELEMS_MOST);
    HORA_PUSH(a->params, a->nparams, a->cparams, p);
    return p;
}

hora_param *hora_adapter_find(const hora_adapter *a, const char *name) {
    for (int i = 0; i < a->nparams; i++)
        if (strcmp(a->params[i]->name, name) == 0)
            return a->params[i];
    return NULL;
}

hora_param *hora_adapter_replace(hora_adapter *a, int w, const char *name) {
    const hora_weight *base = &a->base->weights[w];
    hora_init init = {.kind = HORA_INIT_COPY, .from = &base->view};
    hora_param *p = hora_adapter_param(a, name, base->view.shape, init);
    p->decay = base->role != HORA_ROLE_BIAS && base->role != HORA_ROLE_NORM;
    p->weight = w;
    p->layer = base->layer;
    if (!a->replaces)
        a->replaces = hora_calloc((size_t)a->base->nweights, sizeof *a->replaces);
    a->replaces[w] = p;
    return p;
}

hora_param *hora_adapter_replacement(hora_adapter *a, int w) {
    return a->replaces ? a->replaces[w] : NULL;
}

typedef struct fill {
    const hora_param *p;
    hora_dtype dtype;
    hora_rng rng;
} fill;

enum { CHUNK = 1 << 14 };

static void fill_chunk(void *arg, int64_t tile, int thread) {
    (void)thread;
    const fill *f = arg;
    int64_t end = hora_min(f->p->elems, (tile + 1) * CHUNK);
    for (int64_t i = tile * CHUNK; i < end; i++) {
        hora_rng r = f->rng;
        r.counter = (uint64_t)i << 8;
        double v = f->p->init.value;
        if (f->p->init.kind == HORA_INIT_NORMAL)
            v *= hora_rng_normal(&r);
        else if (f->p->init.kind == HORA_INIT_UNIFORM)
            v *= 2 * hora_rng_uniform(&r) - 1;
        else if (f->p->init.kind == HORA_INIT_ZERO)
            v = 0;
        hora_value_put(f->p->value, f->dtype, i, v);
    }
}

static hora_status compute(const hora_adapter *a, const hora_param *p) {
    double *v = hora_malloc((size_t)p->elems * sizeof *v);
    hora_status s = p->init.compute(a, p, v);
    if (!s)
        s = hora_convert(p->value, a->dtype, v, HORA_F64, p->elems);
    hora_free(v);
    return s;
}

/* Opened from headers, a base has no values to start from; what is read from a file comes next. */
static bool has_values(const hora_base *b) {
    return b->nweights > 0 && b->weights[0].view.data;
}

hora_status hora_adapter_allocate(hora_adapter *a) {
    HORA_ASSERT(!a->values);
    size_t size = hora_dtype_size(a->dtype);
    a->value_bytes = (size_t)a->elems * size;
    HORA_TRY(
        hora_block_new(&a->values, a->value_bytes ? a->value_bytes : size, "adapter parameters"));
    for (int i = 0; i < a->nparams; i++) {
        hora_param *p = a->params[i];
        p->value = (char *)a->values + (size_t)p->offset * size;
        const bool from_base = p->init.kind == HORA_INIT_COPY || p->init.kind == HORA_INIT_COMPUTED;
        if (from_base && !has_values(a->base))
            continue;
        if (from_base) {
            HORA_TRY(p->init.kind == HORA_INIT_COMPUTED
                         ? compute(a, p)
                         : hora_convert(p->value, a->dtype, p->init.from->data, p->init.from->dtype,
                                        p->elems));
            continue;
        }
        fill f = {p, a->dtype, hora_rng_new(a->seed, p->name)};
        hora_parallel(hora_ceil_div(p->elems, CHUNK), fill_chunk, &f);
    }
    return HORA_OK;
}

void hora_adapter_refresh(hora_adapter *a) {
    if (a->refresh)
        a->refresh(a->refresh_of);
}

void hora_adapter_release_params(hora_adapter *a) {
    if (a->base && a->base->head_owner && *a->base->head_owner == a)
        *a->base->head_owner = NULL;
    for (int i = 0; i < a->nparams; i++) {
        hora_free(a->params[i]->name);
        hora_free(a->params[i]);
    }
    hora_free(a->params);
    hora_free(a->replaces);
    hora_free(a->kept);
    hora_block_free(a->values, a->value_bytes ? a->value_bytes : hora_dtype_size(a->dtype));
    a->params = NULL;
    a->replaces = NULL;
    a->values = a->kept = NULL;
    a->nparams = a->cparams = 0;
}

int64_t hora_param_not_finite(const hora_param *p, const void *span) {
    const hora_dtype t = p->adapter->dtype;
    for (int64_t i = 0; i < p->elems; i++)
        if (!isfinite(hora_value_at(span, t, i)))
            return i;
    return -1;
}

hora_status hora_adapter_finite(const hora_adapter *a, bool gradients) {
    for (int k = 0; k < a->nparams; k++) {
        const hora_param *p = a->params[k];
        const void *span = gradients ? p->grad : p->value;
        const int64_t bad = span ? hora_param_not_finite(p, span) : -1;
        if (bad >= 0)
            return hora_fail(HORA_ENUMERIC,
                             "%s%s holds a number that is not finite (element %lld); %s",
                             gradients ? "the gradient of " : "", p->name, (long long)bad,
                             gradients ? "look at the model and the batch"
                                       : "take an earlier checkpoint, or train again with a lower "
                                         "lr");
    }
    return HORA_OK;
}

const char *hora_param_file_name(const hora_param *p) {
    const hora_weight *w = p->weight < 0 ? NULL : &p->adapter->base->weights[p->weight];
    const hora_spelling s = w ? hora_weight_spelling(w) : (hora_spelling){p->name, 0, 0};
    return w && !s.rows && strcmp(p->name, w->name) == 0 ? s.name : p->name;
}
