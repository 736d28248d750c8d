#ifndef HORA_PEFT_LORA_START_H
#define HORA_PEFT_LORA_START_H
/*
 * Where LoRA's factors start. PEFT's names and definitions.
 *
 *   kaiming     A ~ U(-1/sqrt in, 1/sqrt in), B = 0
 *   gaussian    A ~ N(0, 1/r^2), B = 0
 *   orthogonal  A = X Q_odd' / 10, B = Y Q_even / 10, Q (r, r) orthonormal: B A = 0
 *   pissa       B A = (U_r S_r V_r') / s, the r largest singular values of W  [arXiv 2404.02948]
 *   olora       B = Q_r, A = R_r of W = Q R                                   [arXiv 2406.01775]
 *
 * PEFT takes s B A of the last two away from W, so that training starts at the base. Here W stays:
 * the start is kept as factors B0 A0 that never train, and W x - s B0 A0 x is computed beside. So
 * the adapter is a plain LoRA of rank 2 r, (A; A0) and (B, -B0), and fits the base as it is.
 */
#include "peft/lowrank.h"

typedef enum {
    HORA_START_KAIMING,
    HORA_START_GAUSSIAN,
    HORA_START_ORTHOGONAL,
    HORA_START_PISSA,
    HORA_START_OLORA
} hora_lora_kind;
#define HORA_START_NAMES "kaiming gaussian orthogonal pissa olora" /* of an option, in that order */

typedef struct hora_lora_start { /* of one site, zeroed; must not move */
    hora_lora_kind kind;
    double scale;
    hora_param *a, *b;   /* the trained factors */
    hora_param *a0, *b0; /* where they started, fixed; NULL: B A was zero */
    double *keep;        /* B, between the computation of A and that of B */
} hora_lora_start;

/* Changes how the declared a and b start, and declares a0 and b0 where there is a need. */
hora_status hora_lora_start_declare(hora_lora_start *t, hora_adapter *ad, const hora_site *s,
                                    hora_lora_kind kind, double scale, hora_param *a,
                                    hora_param *b);
void hora_lora_start_release(hora_lora_start *t);
/* y - s B0 A0 x, or y; s times the weight of the adapter. */
hora_t hora_lora_start_minus(const hora_lora_start *t, hora_net *n, const hora_adapter *a, hora_t x,
                             hora_t y);
/* (A; A0) (2 r, in) and (B, -B0) (out, 2 r) in the adapter's dtype; new. */
void hora_lora_start_double(const hora_lora_start *t, const hora_adapter *ad, void **a, void **b);
#endif
