/* Reference kernel of op_act.c; glu shares its functions. */
#include "backend/ref/ref_impl.h"

#include <math.h>

#ifndef REAL

#define ROOT_2_PI 0.797884560802865355879892119869 /* sqrt(2 / pi) */
#define ROOT_HALF 0.707106781186547524400844362105
#define CUBIC     0.044715

static double logistic(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

double hora_ref_act(hora_act s, double x) {
    switch (s) {
    case HORA_ACT_RELU:
        return x > 0 ? x : 0;
    case HORA_ACT_TANH:
        return tanh(x);
    case HORA_ACT_SIGMOID:
        return logistic(x);
    case HORA_ACT_GELU:
        return 0.5 * x * erfc(-x * ROOT_HALF);
    case HORA_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(ROOT_2_PI * (x + CUBIC * x * x * x)));
    case HORA_ACT_SILU:
        return x * logistic(x);
    case HORA_ACT_QUICK_GELU:
        return x * logistic(1.702 * x);
    default:
        return x;
    }
}

double hora_ref_dact(hora_act s, double x) {
    double t;
    switch (s) {
    case HORA_ACT_RELU:
        return x > 0 ? 1 : 0;
    case HORA_ACT_TANH:
        t = tanh(x);
        return 1 - t * t;
    case HORA_ACT_SIGMOID:
        t = logistic(x);
        return t * (1 - t);
    case HORA_ACT_GELU:
        return 0.5 * erfc(-x * ROOT_HALF) + 0.5 * ROOT_2_PI * x * exp(-0.5 * x * x);
    case HORA_ACT_GELU_TANH:
        t = tanh(ROOT_2_PI * (x + CUBIC * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT_2_PI * (1 + 3 * CUBIC * x * x);
    case HORA_ACT_SILU:
        t = logistic(x);
        return t * (1 + x * (1 - t));
    case HORA_ACT_QUICK_GELU:
        t = logistic(1.702 * x);
        return t * (1 + 1.702 * x * (1 - t));
    default:
        return 1;
    }
}

#define REF_TEXT "backend/ref/ref_act.c"
#include "backend/ref/ref_each.h"
REF_KERNEL(act, NULL);

#else

static void T(forward)(const hora_call *c) {
    int64_t n = hora_elems(&c->out);
    for (int64_t i = 0; i < n; i++)
        OUT[i] = ST(hora_ref_act(c->attr.act, LD(IN(0)[i])));
}

static void T(backward)(const hora_call *c) {
    int64_t n = hora_elems(&c->dout);
    for (int64_t i = 0; i < n; i++)
        PUT(0, &DIN(0)[i], LD(DOUT[i]) * hora_ref_dact(c->attr.act, LD(IN(0)[i])));
}

#endif
