#ifndef HORA_PEFT_ROTATION_H
#define HORA_PEFT_ROTATION_H
/*
 * Block-diagonal rotations of a projection's input, as oft and boft have them: recorded, and folded
 * into weights.
 */
#include "peft/typed.h"

enum { HORA_ROTATION_FACTORS = 16 };

typedef struct hora_rotation {       /* of one site; p NULL: none */
    hora_param *p;                   /* what op cayley reads, a row per block, factor by factor */
    int64_t block, blocks;           /* width of a block; blocks of one factor, 1 when shared */
    int64_t factors, terms;          /* butterfly factors; of the series, 0: exact */
    bool whole;                      /* p holds whole matrices, not triangles */
    int32_t *index;                  /* rows of every factor, one after another; NULL: one factor */
    hora_t r[HORA_ROTATION_FACTORS]; /* per factor, (blocks b, b) of the recording in progress */
} hora_rotation;

/* Allocates the state of a method: an entry per site, zeroed. And frees what they hold. */
hora_rotation *hora_rotations_new(hora_adapter *a);
void hora_rotations_release(hora_adapter *a);
/* *b: the width of a block of s, from a width or a number of blocks of which one is 0. HORA_EUSAGE:
 * both are given, or they do not cut the width of s into equal blocks of 2 or more. */
hora_status hora_rotation_block(const hora_site *s, int64_t block, int64_t blocks, int64_t *b);
/* Hook `prelude`. */
void hora_rotations_prelude(hora_net *n, hora_adapter *a, int layer);
/* x R_(m-1) .. R_0 */
hora_t hora_rotation_turn(const hora_rotation *t, hora_net *n, hora_t x);
/* W <- W M', x M being what the recording makes of a row x. */
hora_status hora_rotations_merge(hora_adapter *a, const hora_merging *m);
#endif
