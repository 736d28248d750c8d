#ifndef HORA_PEFT_GATES_H
#define HORA_PEFT_GATES_H
/*
 * Gates that are learned with a budget: what dyt and adavit share.
 *
 *   s = g((W x + b + e) / tau)       e: Gumbel noise, in training; W = 0 and b = `start` at first
 *   m = 1 where s > 1/2, else 0      with the slope of s: straight through
 *   loss + weight (mean of all m - budget)^2       the first rows of a sample left out
 */
#include "peft/peft.h"

typedef struct hora_gates_config {
    double tau, budget, weight, start;
    bool noise;
} hora_gates_config;
#define HORA_GATES_OPTIONS(of, share)                                                              \
    OPT_REAL(of.tau, "tau", NULL, "5", 1e-6, 1e6, "temperature of the choice in training"),        \
        OPT_REAL(of.budget, "budget", "rho", share, 0, 1, "share of gates that are to be open"),   \
        OPT_REAL(of.weight, "budget_weight", NULL, "2", 0, 1e6, "of the budget's loss"),           \
        OPT_REAL(of.start, "gate_start", NULL, "2", -1e3, 1e3, "b at the start: above 0 is open"), \
        OPT_BOOL(of.noise, "noise", NULL, "true", "Gumbel noise in training")

typedef struct hora_gate_params { /* of k gates */
    hora_param *w, *b;            /* (k, d), (k) */
} hora_gate_params;
void hora_gates_declare(hora_gate_params *p, hora_adapter *a, const hora_gates_config *c, int layer,
                        const char *label, int64_t k);
/* x (rows, d) -> gates (rows, k). lead: first rows of a sample that are open; whole: its first row
 * decides for all. */
hora_t hora_gates_record(const hora_gate_params *p, hora_net *n, const hora_adapter *a,
                         const hora_gates_config *c, hora_t x, int64_t lead, bool whole);
/* Adds a group of gates, `weight` of all, to *sum; the last one makes the loss. Training alone. */
void hora_gates_count(hora_net *n, const hora_gates_config *c, hora_t m, double weight,
                      int64_t lead, bool last, hora_t *sum);
/* Rows of a sample that stand for it: class tokens; 0 where rows see only what is before them. */
int64_t hora_gates_lead(const hora_base *b);
#endif
