/* A random pair that all sites share. */
#include "peft/random_pair.h"

#include "base/text.h"
#include "peft/typed.h"

void hora_random_pair_sides(const hora_adapter *a, const bool *on, int64_t *in, int64_t *out) {
    *in = *out = 1;
    for (int i = 0; i < a->base->nsites; i++)
        if (on[i]) {
            const hora_site s = hora_typed_whole(a, i);
            *in = hora_max(*in, s.in);
            *out = hora_max(*out, s.out);
        }
}

void hora_random_pair_declare(hora_random_pair *pair, hora_adapter *a, const char *name,
                              hora_shape shape_a, hora_shape shape_b, int64_t longest,
                              hora_status (*draw)(const hora_adapter *, const hora_param *,
                                                  double *),
                              bool saved) {
    const hora_init init = {.kind = HORA_INIT_COMPUTED, .compute = draw};
    char *name_a = hora_format("base_model.%s_A", name),
         *name_b = hora_format("base_model.%s_B", name);
    pair->a = hora_adapter_param(a, name_a, shape_a, init);
    pair->b = hora_adapter_param(a, name_b, shape_b, init);
    pair->a->fixed = pair->b->fixed = true;
    pair->a->aside = pair->b->aside = !saved;
    pair->first = hora_malloc((size_t)longest * sizeof *pair->first);
    for (int32_t i = 0; i < longest; i++)
        pair->first[i] = i;
    hora_free(name_a);
    hora_free(name_b);
}

void hora_random_pair_draw(const hora_random_pair *pair, const hora_adapter *a, int64_t seed,
                           const hora_param *p, double *out,
                           void (*one)(const hora_adapter *, hora_torch_rng *, const hora_param *,
                                       double *)) {
    hora_torch_rng r;
    hora_torch_seed(&r, (uint64_t)seed);
    for (int k = 0; k < 2; k++) {
        const hora_param *q = k ? pair->b : pair->a;
        double *to = q == p ? out : hora_malloc((size_t)q->elems * sizeof *to);
        one(a, &r, q, to);
        if (to != out)
            hora_free(to);
    }
}
