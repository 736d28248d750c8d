#ifndef HORA_PEFT_DORA_H
#define HORA_PEFT_DORA_H
/*
 * A learned magnitude over a low-rank update, whatever makes the factors: an option of lora
 * (use_dora) and of hora (magnitude).
 *
 *   W' = c * (W + s B A)     c = m / (n + tau)     n = row norms of W + s B A, a constant
 *
 * DoRA [dora eq.5, arXiv 2402.09353] has tau = 0; DoRAN's form has a learned tau. m starts at the
 * row norms of W (plus tau), so that training starts at the base.
 */
#include "peft/lowrank.h"

typedef enum { HORA_DORA_OFF, HORA_DORA_ON, HORA_DORA_TAU } hora_dora_kind; /* off dora doran */

typedef struct hora_dora { /* of one site; zeroed: off */
    hora_param *m, *tau;   /* (out), (1); tau NULL: 0 */
    hora_t c, rest;        /* (out) of the recording in progress: c and (1 - c) bias */
} hora_dora;

/* Declares m under `name` and, for HORA_DORA_TAU, tau under `tau`. */
void hora_dora_declare(hora_dora *d, hora_adapter *a, const hora_site *s, hora_dora_kind kind,
                       const char *name, const char *tau);
/* In the method's prelude of the site's layer: c, once per step. Nothing when off. */
void hora_dora_prelude(hora_dora *d, hora_net *n, const hora_site *s, hora_t a, hora_t b,
                       double scale);
/* In its hook `linear`, in the place of hora_net_update; the same when off. Dropout of xd touches
 * the low-rank term alone [ours: PEFT drops the base's input too, which costs a second product]. */
hora_t hora_dora_lowrank(const hora_dora *d, hora_net *n, const hora_adapter *ad,
                         const hora_site *s, hora_t x, hora_t w, hora_t b, hora_t xd, hora_t a,
                         hora_t f, double scale);
/* The magnitude of the DoRA that it is: m n / (n + tau), (out) in the adapter's dtype. f: rank,
 * scale, a and b. */
void hora_dora_magnitude(const hora_dora *d, const hora_adapter *a, const hora_site *s,
                         const hora_factors *f, void *out);
/* Norm of row `o` of W + s B A; `row` has s->in numbers and gets that row. */
double hora_dora_norm(hora_dtype dtype, const hora_view *w, const hora_site *s,
                      const hora_factors *f, int64_t o, double *row);
#endif
