#ifndef HORA_BACKEND_CPU_CPU_TEXTS_H
#define HORA_BACKEND_CPU_CPU_TEXTS_H
/*
 * Which rows of a batch hold texts, and their unit vectors, for ops contrast and cosine. All of it
 * lies in the scratch of the call.
 */
#include "backend/cpu/cpu_impl.h"

typedef struct hora_cpu_texts {
    const hora_call *c;
    int64_t d;
    int64_t n;       /* rows of the call */
    int32_t *number; /* (n): number of the text in a row; -1: none */
    int64_t count;   /* texts */
    /* (count), by number: its row, the number of its record's anchor (its own: it is one; -1: there
     * is none), of an anchor the number of its own text (-1: none) */
    int32_t *row, *anchor, *own;
    float *inverse; /* (count): 1 / |x| */
    float *u;       /* (count, d) */
    float *lse;     /* (count), free for the op */
    double *loss;   /* (count), likewise */
    float *du;      /* (threads, d) */
} hora_cpu_texts;

size_t hora_cpu_texts_scratch(hora_device *d, const hora_call *c);
/* Finds the texts and makes their unit vectors. */
void hora_cpu_texts_find(hora_cpu_texts *t, const hora_call *c);
float hora_cpu_texts_dot(const hora_cpu_texts *t, int64_t i, int64_t j);
/* Row `at` of dx from du of its text: (du - (du u') u) / |x|; du NULL: nothing. */
void hora_cpu_texts_put(const hora_cpu_texts *t, int64_t at, float *du);
static inline float *hora_cpu_texts_room(const hora_cpu_texts *t, int thread) {
    return t->du + thread * t->d;
}
#endif
