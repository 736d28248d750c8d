#ifndef HORA_INTEROP_COMBINE_H
#define HORA_INTEROP_COMBINE_H
/*
 * Several low-rank adapters put into one, as PEFT's add_weighted_adapter computes it (0.21,
 * tuners/lora/model.py and utils/merge_utils.py): every adapter counts with its weight.
 *   linear            A = sum sign(c) sqrt|c| A_i, B = sum sqrt|c| B_i, c = weight x scale
 *   cat               ranks one after another: the exact sum
 *   svd               the sum of the updates, cut to a rank
 *   ties, dare_linear, dare_ties, magnitude_prune        factors (linear) pruned first
 *   ties_svd, dare_linear_svd, ..                        updates (svd) pruned first
 * Papers: TIES arXiv 2306.01708, DARE arXiv 2311.03099.
 */
#include "interop/interop.h"

typedef struct hora_combine_config {
    int type, majority; /* choices */
    double density;     /* share of the numbers that are kept; -1: unset */
    int64_t svd_rank;   /* 0: the largest of the adapters */
    double svd_clamp;   /* quantile at which factors are cut; 0: not */
    int64_t seed;       /* of the numbers that DARE drops [ours] */
} hora_combine_config;
extern const hora_options hora_combine_options;

/* All are of one method that puts its adapters together itself (hora_method.combine), or low-rank
 * updates above are what counts. */
bool hora_combines_itself(const hora_export *x);
/* Those of such a method in a new adapter, to be detached: of (IA)3 as PEFT has it weighted vectors
 * added up, of methods that train base weights their changes. typed: an option of the table was
 * given, which is refused, because there is one way. */
hora_status hora_combine_own(hora_adapter **out, const hora_export *x, bool typed);
/* One entry per site and end of the base, scale 1; free with hora_flat_free. What PEFT refuses is
 * refused: ranks that differ where factors are added up, weights trained whole. */
hora_status hora_combine(hora_flat **out, const hora_export *x, const hora_combine_config *c);
#endif
