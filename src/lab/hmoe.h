#ifndef HORA_LAB_HMOE_H
#define HORA_LAB_HMOE_H
/*
 * One attention layer, adapted by low-rank updates, evaluated twice in f64: as attention
 * (hmoe_plain.c) and as the hierarchical mixture of experts that it is (hmoe.c). The two share
 * nothing but the struct below, and neither shares code with the engine.
 *
 *   head h = outer expert, gate 1/H; token j = inner expert of head h
 *
 *   s_h(i,j)  = (Q'_h x_i + b_Q,h)' R_(j-i) (K'_g x_j + b_K,g) scale
 *   pi_h(.|i) = softmax of s_h(i,.) over j
 *   E_h(x)    = W'_O,h (V'_g x + b_V,g)                affine in one token
 *   F_h(i)    = H sum_j pi_h(j|i) E_h(x_j)
 *   y_i       = b_O + sum_h (1/H) F_h(i)
 *
 * P' = P + s B_P A_P is the adapted matrix, g = floor(h G / H) the group of head h, R_t turns the
 * pairs (c, c + dh/2) by t freq_c. Shapes are (rows, columns), row by row.
 */
#include <stdbool.h>
#include <stdint.h>

enum { HORA_HMOE_Q, HORA_HMOE_K, HORA_HMOE_V, HORA_HMOE_O, HORA_HMOE_MAPS };

typedef struct hora_hmoe_update { /* W' = W + scale B A; r = 0: not adapted */
    int64_t r;
    double scale;
    const double *a; /* (r, in) */
    const double *b; /* (out, r) */
} hora_hmoe_update;

typedef struct hora_hmoe_layer { /* everything borrowed */
    int64_t seqs, n, d;          /* sequences; tokens in each; width of a token */
    int64_t heads, groups, dh;   /* H query heads, G key and value heads, width of a head */
    const double *x;             /* (seqs, n, d): what the four maps read, after the layer's norm */
    const double *w[HORA_HMOE_MAPS];    /* q (H dh, d), k v (G dh, d), o (d, H dh) */
    const double *bias[HORA_HMOE_MAPS]; /* NULL: none */
    hora_hmoe_update update[HORA_HMOE_MAPS];
    const int32_t *lengths; /* (seqs): tokens at or beyond it are keys of nobody; NULL: all n */
    bool causal;
    int64_t window;        /* a query sees this many keys, itself the last; 0: all */
    const double *freq;    /* (dh/2) radians per position; NULL: no rotation */
    double scale;          /* of the scores: 1/sqrt(dh), times what a rotation multiplies */
    const double *norm[2]; /* weights (dh) of RMS norms over each head of q and k; NULL: none */
    double eps;            /* of those norms */
    double rounding; /* relative error that the factors were stored with: 2^-24 of f32, or 0 */
} hora_hmoe_layer;

/* The keys [*lo, *hi) that query i of sequence s sees; empty only for rows beyond the length. */
void hora_hmoe_keys(const hora_hmoe_layer *l, int64_t s, int64_t i, int64_t *lo, int64_t *hi);
/* Rows of a map: q H dh, k v G dh, o d; and columns. */
int64_t hora_hmoe_out(const hora_hmoe_layer *l, int map);
int64_t hora_hmoe_in(const hora_hmoe_layer *l, int map);

/* The mixture, literally: y (seqs, nq, d) at the nq queries `at` (the same in every sequence). A
 * query that sees no key gets b_O. adapted off: without the updates. */
void hora_hmoe_mixture(const hora_hmoe_layer *l, bool adapted, const int64_t *at, int64_t nq,
                       double *y);

/* The ordinary formula: q, k, v of all rows, rotation, softmax, output map. */
typedef struct hora_hmoe_plain { /* memory of hora_hmoe_attention, hora_hmoe_plain_release */
    double *y;                   /* (seqs, n, d) */
    double *gate;                /* (seqs, H, n, n); 0 where a key is not seen */
    double *head_out;            /* (seqs, n, H, dh): sum_j pi v_j */
} hora_hmoe_plain;
void hora_hmoe_attention(const hora_hmoe_layer *l, bool adapted, hora_hmoe_plain *out);
void hora_hmoe_plain_release(hora_hmoe_plain *p);
#endif
