#ifndef HORA_PEFT_RANDOM_PAIR_H
#define HORA_PEFT_RANDOM_PAIR_H
/*
 * One pair of random matrices for the whole model, which never trains: as large as the largest site
 * asks, each site takes its first rows and columns. Drawn as PyTorch draws it, A and then B from
 * one generator, so that a seed alone makes PEFT's numbers again.
 */
#include "peft/peft.h"
#include "peft/torch_rng.h"

typedef struct hora_random_pair {
    hora_param *a, *b; /* borrowed */
    int32_t *first;    /* 0 1 2 .., as many as the longest side; owned */
} hora_random_pair;

/* The widest input and output of the sites that are on, 1 at least; of an adapter of typed.h. */
void hora_random_pair_sides(const hora_adapter *a, const bool *on, int64_t *in, int64_t *out);
/* Declares both under "base_model.NAME_A" and _B, fixed, with values from `draw`; `longest`: of
 * their sides. Not `saved`: a folder has the seed alone. */
void hora_random_pair_declare(hora_random_pair *pair, hora_adapter *a, const char *name,
                              hora_shape shape_a, hora_shape shape_b, int64_t longest,
                              hora_status (*draw)(const hora_adapter *, const hora_param *,
                                                  double *),
                              bool saved);
/* The values of `p`, one of the two: `one` draws a matrix. */
void hora_random_pair_draw(const hora_random_pair *pair, const hora_adapter *a, int64_t seed,
                           const hora_param *p, double *out,
                           void (*one)(const hora_adapter *, hora_torch_rng *, const hora_param *,
                                       double *));
#endif
