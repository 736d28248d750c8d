#ifndef HORA_LAB_RATES_IMPL_H
#define HORA_LAB_RATES_IMPL_H
/*
 * The simulated layer of `hora theory rates` and `hora theory lowdata`: teachers, students, data,
 * least squares. One query token x_1 of N, H heads,
 *
 *     f(X) = (1/H) sum_h sum_j softmax_j(q_h' k_j / sqrt(dh)) (P_V x_j + B_V,h A_V' x_j)
 *     q_h  = P_Q x_1 + B_Q,h A_Q' x_1        k_j = P_K x_j        y = f(X) + sigma N(0, I)
 *
 * LoRA coordinates c of a layer: A_Q, A_V (one of each, or one per head with own_a), then B_Q,h of
 * all heads, then B_V,h of all heads. Every student maps its parameters theta into them. Index 0 is
 * Q, 1 is V throughout. All draws are functions of (seed, purpose, index).
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/status.h"

enum { RATES_Q, RATES_V };
enum { /* at most; arrays below are of these sizes */
       RATES_D = 8,
       RATES_DH = 8,
       RATES_N = 6,
       RATES_H = 6,
       RATES_M = 6,        /* width of a generator or of its input */
       RATES_COORDS = 112, /* LoRA coordinates */
       RATES_PARAMS = 128, /* parameters of a student */
       RATES_BLOCKS = 6
};

/* --- the layer (rates_model.c) ---------------------------------------------------------------- */
typedef struct rates_shape {
    int d, dh, tokens, heads;
    bool labelled; /* every head has its own frozen base; else all share one */
    bool own_a;    /* every head has its own A */
} rates_shape;

int hora_rates_coords(const rates_shape *s);             /* how many LoRA coordinates */
int hora_rates_at_a(const rates_shape *s, int p, int h); /* where A_P of head h begins, d long */
int hora_rates_at_b(const rates_shape *s, int p, int h); /* where B_P,h begins, dh long */

typedef struct rates_base { /* frozen P_Q, P_K, P_V [dh, d]; bases: 1, or one per head */
    int bases;
    double q[RATES_H][RATES_DH * RATES_D], k[RATES_H][RATES_DH * RATES_D],
        v[RATES_H][RATES_DH * RATES_D];
} rates_base;
void hora_rates_base_draw(rates_base *b, const rates_shape *s, uint64_t seed);

/* n inputs with what the frozen base makes of them, and targets. */
typedef struct rates_data {
    int64_t n;
    double *x; /* [n, tokens, d] */
    double *q; /* [n, bases, dh]: P_Q x_1 */
    double *k; /* [n, bases, tokens, dh]: P_K x_j */
    double *v; /* [n, bases, tokens, dh]: P_V x_j */
    double *y; /* [n, dh] */
} rates_data;
/* Inputs of stream `purpose`; y is what the layer with coordinates `truth` gives, plus noise. A
 * larger n extends a smaller one. Released with hora_rates_data_release. */
void hora_rates_data_draw(rates_data *t, const rates_shape *s, const rates_base *b,
                          const double *truth, const rates_shape *truth_shape, double sigma,
                          int64_t n, uint64_t seed, const char *purpose);
void hora_rates_data_release(rates_data *t);

/* Mean over the data of |f(c) - y|^2. */
double hora_rates_error(const rates_shape *s, const double *c, const rates_data *t);
/* The same; m (P, P; symmetric, full) gets the mean of J'J and g (P) the mean of J'(f - y), where J
 * = df/dc. */
double hora_rates_normal(const rates_shape *s, const double *c, const rates_data *t, double *m,
                         double *g);
/* f (dh) of input i and, where not NULL, jac (dh, P). */
void hora_rates_sample(const rates_shape *s, const double *c, const rates_data *t, int64_t i,
                       double *f, double *jac);

/* --- teachers (rates_teacher.c) --------------------------------------------------------------- */
typedef enum { RATES_LINEAR, RATES_TANH, RATES_FREE } rates_kind;
typedef struct rates_teacher {
    rates_kind kind;
    int d, dh, heads, m, e; /* m, e: widths of its generator and of the generator's input */
    double a[2][RATES_D], b[2][RATES_H][RATES_DH];
    double w[2][RATES_DH * RATES_M];                                         /* [dh, m]: b = w z */
    double z[RATES_H][RATES_M], w1[RATES_M * RATES_M], in[RATES_H][RATES_M]; /* z = tanh(w1 in) */
} rates_teacher;
/* `heads` heads whose B have root mean square norm 1.5. Latents are drawn until they keep their
 * distance. */
void hora_rates_teacher_draw(rates_teacher *t, rates_kind kind, int d, int dh, int heads, int m,
                             uint64_t seed);
/* b becomes sqrt(1 - g^2) b + g (free b), with the norm kept: heads that share in part. */
void hora_rates_teacher_mix(rates_teacher *t, double g, uint64_t seed);
/* Its LoRA coordinates for as many heads as `s` has, copied round robin. */
void hora_rates_teacher_coords(const rates_teacher *t, const rates_shape *s, double *c);

/* --- students (rates_student.c) --------------------------------------------------------------- */
typedef struct rates_model rates_model;
typedef struct rates_student { /* a row of the table of students */
    const char *name;
    bool own_a, ridge;
    int m; /* width of its generator; 0: as the teacher's, 2 where that has none */
    int e; /* width of the generator's input; 0: the latents are what it multiplies */
    /* Sizes of the parameter blocks into size[]; returns how many. */
    int (*blocks)(const rates_model *m, int *size);
    /* The teacher's own parameters, heads copied round robin; false: it has none of this kind. */
    bool (*truth)(const rates_model *m, const rates_teacher *t, double *theta);
    void (*coords)(const rates_model *m, const double *theta, double *c);
    /* g (P, p; zeroed by the caller) = dc/dtheta */
    void (*jacobian)(const rates_model *m, const double *theta, double *g);
    /* Shrinks what makes |B_P,h| |A_P| exceed the radius. */
    void (*bound)(const rates_model *m, double radius, double *theta);
} rates_student;
struct rates_model { /* a student in a setting */
    const rates_student *student;
    rates_shape shape;
    int m, e, count; /* widths; parameters */
};
extern const rates_student hora_rates_students[];
extern const int hora_rates_student_count;
const rates_student *hora_rates_student_find(const char *name); /* NULL: none */
/* m, e 0: the student's own for teachers of this kind. */
rates_model hora_rates_model_new(const rates_student *st, const rates_shape *s, rates_kind kind,
                                 int m, int e);
/* The truth, each block moved by 0.3 times its root mean square; false: the teacher is of no kind
 * that the student can start near to. */
bool hora_rates_start_near(const rates_model *m, const rates_teacher *t, uint64_t seed,
                           double *theta);
/* A ~ N(0, 1/d), B and W ~ N(0, 1/dh), the rest N(0, 1). zero: B (or W) is 0, as in practice. */
void hora_rates_start_random(const rates_model *m, bool zero, uint64_t seed, int64_t index,
                             double *theta);

/* --- least squares (rates_fit.c) -------------------------------------------------------------- */
typedef struct rates_fit_options {
    double ridge;   /* the loss has (ridge/2) sum |B|^2 besides mean |f - y|^2 / 2 */
    double damping; /* first value of lambda */
    double tolerance;
    int iterations;
} rates_fit_options;
#define RATES_RADIUS 6.0 /* of the parameter set: |B_P,h| |A_P| is at most this */
/* Levenberg-Marquardt from theta, which becomes the estimate. Returns the mean of |f - y|^2;
 * *iterations: how many steps were taken. */
double hora_rates_fit(const rates_model *m, const rates_data *t, const rates_fit_options *o,
                      double *theta, int *iterations);

/* --- distances (rates_measure.c) -------------------------------------------------------------- */
typedef struct rates_distances {
    double d, weight, q, v, raw; /* d and its part from weights; see docs/theory.md */
    int singletons;
} rates_distances;
/* Of the layer with coordinates c from the teacher. */
rates_distances hora_rates_measure(const rates_shape *s, const double *c, const rates_teacher *t);
#endif
