#ifndef HORA_PEFT_MADE_H
#define HORA_PEFT_MADE_H
/*
 * Methods whose low-rank factors are made of their parameters, once a step: the prelude records A
 * and B of every site, the rest is here. Their state begins with a hora_made *, an entry per site
 * of the base, zeroed; their configuration begins with a hora_typed.
 */
#include "peft/lowrank.h"
#include "peft/typed.h"

typedef struct hora_made { /* of one site; rank 0: not adapted */
    int64_t rank;
    double scale, alpha, dropout;
    hora_t a, f;             /* (rank, in), (out, rank) of the recording in progress */
    void *value_a, *value_f; /* of the last materialise, in the adapter's dtype */
} hora_made;

/* Allocates the state (`size` bytes, a hora_made * first) and its entries. */
void *hora_made_state(hora_adapter *a, size_t size);
void hora_made_release(hora_adapter *a); /* of the entries; accepts a state that is not there */
/* The method's callbacks. */
#define HORA_MADE_FACTORS                                                                          \
    .materialise = hora_made_materialise, .factors = hora_made_factors,                            \
    .peft_config = hora_typed_peft_config
hora_t hora_made_linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                        hora_t b);
hora_status hora_made_materialise(hora_adapter *a);
void hora_made_factors(hora_adapter *a, int site, hora_factors *f);
#endif
