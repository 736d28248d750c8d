#ifndef HORA_LAB_HMOE_DIAG_H
#define HORA_LAB_HMOE_DIAG_H
/*
 * What adaptation did to the gates and experts of one layer: named arrays, defined in
 * docs/theory.md, in natural logarithms. "before" is the layer with its updates off, on the same x.
 * Rows beyond a sequence's length are left out. What has no value (the direction of a head whose
 * update is zero) is NaN.
 */
#include "lab/hmoe.h"
#include "tensor/tensor.h"

typedef struct hora_hmoe_value {
    char name[32];
    hora_shape shape;
    double *v;
} hora_hmoe_value;
typedef struct hora_hmoe_values {
    hora_hmoe_value *at;
    int n, cap;
} hora_hmoe_values;
const hora_hmoe_value *hora_hmoe_find(const hora_hmoe_values *l, const char *name); /* or NULL */
void hora_hmoe_values_release(hora_hmoe_values *l);

typedef enum { /* in the order of HoRA's option */
               HORA_HMOE_RELU,
               HORA_HMOE_IDENTITY,
               HORA_HMOE_TANH,
               HORA_HMOE_SIGMOID,
               HORA_HMOE_GELU,
               HORA_HMOE_ACTS
} hora_hmoe_act;
extern const char *const hora_hmoe_act_names[HORA_HMOE_ACTS];

/* HoRA's generator up to its hidden layer: Z_a = act(W1_a X_a), Z_b,h = act(W1_b X_b,h). */
typedef struct hora_hmoe_generator { /* borrowed */
    int64_t r, e, m, heads;
    hora_hmoe_act act;
    bool own_w1;                     /* a W1_b per head: (H, m, e) */
    const double *input_a, *input_b; /* (e, r), (H, e, r) */
    const double *w1_a, *w1_b;       /* (m, e) */
    const double *w2_b_q;            /* (dh, m), for `tied`; NULL when q is not generated */
} hora_hmoe_generator;
/* Z of the A side (head -1) or of a head, (m, r). */
void hora_hmoe_hidden(const hora_hmoe_generator *g, int64_t head, double *z);
/* Factors a (r, in), b (out, r) of a map of l from its second layers: q k v w2_a (d, m), w2_b (dh,
 * m); o w2_a (dh, m), w2_b (d, m). k and v take Z of the first query head of their group. */
void hora_hmoe_generate(const hora_hmoe_generator *g, const hora_hmoe_layer *l, int map,
                        const double *w2_a, const double *w2_b, double *a, double *b);

/* Everything about the layer; generator NULL: the update is not HoRA's. */
void hora_hmoe_diagnose(const hora_hmoe_layer *l, const hora_hmoe_plain *before,
                        const hora_hmoe_plain *after, const hora_hmoe_generator *gen,
                        hora_hmoe_values *out);
/* `tied`, in this order (booleans are 0 and 1). */
enum {
    HORA_TIED_SIGMA, /* sigma_min / sigma_max of W2_b,q */
    HORA_TIED_DEAD,  /* share of hidden units that are active for no head */
    HORA_TIED_WIDTH, /* latent width q per head and rank column: min(m, e) for identity, else e */
    HORA_TIED_RANK,  /* of W2_b,q */
    HORA_TIED_V,     /* V is tied to Q: q <= dh and the rank reaches q */
    HORA_TIED_FREE,  /* m >= min(2 dh, H r): every pair of B's is generated, LoRA in disguise */
    HORA_TIED_A,     /* m >= r: the A side constrains nothing */
    HORA_TIED_N
};
/* Largest value that coupling_rank can have: min(2 dh, G r), and m (identity: also e) of HoRA, for
 * a generator that q and v share (NULL: not so). */
int64_t hora_hmoe_coupling_bound(const hora_hmoe_layer *l, const hora_hmoe_generator *gen);
#endif
