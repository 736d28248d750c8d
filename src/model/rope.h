#ifndef HORA_MODEL_ROPE_H
#define HORA_MODEL_ROPE_H
/* Frequencies of rotary positions from config.json, as transformers computes them. */
#include "base/json.h"

typedef struct hora_rope_frequencies {
    double *freq;      /* (n) radians per position, rounded to f32; hora_free */
    double scale;      /* of cos and sin: q'k gets its square */
    int64_t positions; /* for which they are right: what was given, or less (longrope) */
    /* Longer sequences, up to so many positions, have other frequencies; 0: none have. longrope:
     * the n that stand behind the others in freq. dynamic: what `stretch` makes of them
     * (op/op_rope_reach.c) */
    int64_t far;
    double stretch; /* 0: not dynamic */
} hora_rope_frequencies;

/*
 * n = head_dim / 2 frequencies theta^(-i/n), then what `rope_scaling` (a normalised config's; NULL:
 * none) makes of them: default, linear, llama3, dynamic, yarn, longrope. positions:
 * max_position_embeddings. HORA_EUNSUPPORTED names another type, HORA_EFORMAT what is wrong.
 * [transformers modeling_rope_utils; yarn: arXiv 2309.00071, longrope: arXiv 2402.13753]
 */
hora_status hora_rope_read(hora_rope_frequencies *out, const hora_json *rope_scaling, double theta,
                           int64_t n, int64_t positions);
/* What the same scaling divides theta^(-i/n) by, of short sequences, before frequencies are
 * rounded: divisors (n), 1 without scaling. Errors as above. */
hora_status hora_rope_divisors(float *divisors, const hora_json *rope_scaling, double theta,
                               int64_t n, int64_t positions);
#endif
