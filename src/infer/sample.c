/*
 * Choosing a token: temperature, then the k likeliest, then the fewest of them that hold a share p
 * of the probability, then one draw. The order and the meaning are those of transformers' logits
 * warpers; the draw is a function of (seed, step).
 */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "infer/generate.h"

#define OPT_OF hora_sampling
static const hora_option rows[] = {
    OPT_INT(max_new_tokens, "max_new_tokens", "max_tokens n_predict", "128", 0, 1e9,
            "at most so many tokens"),
    OPT_REAL(temperature, "temperature", "temp", "0", 0, 1e6,
             "of the draw; 0 takes the likeliest token"),
    OPT_INT(top_k, "top_k", NULL, "0", 0, 1e9, "draw among the N likeliest; 0: all",
            .with = "temperature"),
    OPT_REAL(top_p, "top_p", NULL, "1", 1e-9, 1,
             "draw among the fewest that hold this share of the probability",
             .with = "temperature"),
    OPT_INT(seed, "seed", NULL, "42", 0, 0, "of the draws: the same seed, the same text",
            .with = "temperature"),
    OPT_STRING(stop, "stop", NULL, NULL, "TEXT", "end the answer before this text"),
};
const hora_options hora_sampling_options = {"Sampling", rows, HORA_COUNT(rows)};

typedef struct candidate {
    float z;
    int32_t id;
} candidate;

struct hora_sampler {
    const hora_sampling *c;
    int64_t vocab;
    candidate *at;
};

hora_sampler *hora_sampler_new(const hora_sampling *c, int64_t vocab) {
    hora_sampler *s = hora_calloc(1, sizeof *s);
    s->c = c;
    s->vocab = vocab;
    if (c->temperature > 0)
        s->at = hora_calloc((size_t)vocab, sizeof *s->at);
    return s;
}

void hora_sampler_free(hora_sampler *s) {
    if (!s)
        return;
    hora_free(s->at);
    hora_free(s);
}

static int32_t likeliest(const float *z, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (z[i] > z[best] || (isnan(z[best]) && !isnan(z[i])))
            best = i;
    return (int32_t)best;
}

/* Falling by value, ties by id, so that the draw does not depend on the sort. */
static int by_value(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->z != y->z)
        return x->z < y->z ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

int32_t hora_sampler_draw(hora_sampler *s, const float *logits, uint64_t step) {
    const hora_sampling *c = s->c;
    if (c->temperature <= 0)
        return likeliest(logits, s->vocab);
    int64_t n = 0;
    for (int64_t i = 0; i < s->vocab; i++)
        if (!isnan(logits[i]))
            s->at[n++] = (candidate){logits[i], (int32_t)i};
    if (!n)
        return 0;
    qsort(s->at, (size_t)n, sizeof *s->at, by_value);
    if (c->top_k > 0)
        n = hora_min(n, c->top_k);
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        total += exp(((double)s->at[i].z - s->at[0].z) / c->temperature);
    if (c->top_p < 1) {
        int64_t keep = 0;
        while (keep < n && sum < c->top_p * total)
            sum += exp(((double)s->at[keep++].z - s->at[0].z) / c->temperature);
        n = hora_max(keep, 1);
        total = keep ? sum : total;
    }
    hora_rng r = hora_rng_new((uint64_t)c->seed, "sample");
    r.counter = step << 8;
    double u = hora_rng_uniform(&r) * total;
    for (int64_t i = 0; i < n; i++) {
        u -= exp(((double)s->at[i].z - s->at[0].z) / c->temperature);
        if (u < 0)
            return s->at[i].id;
    }
    return s->at[n - 1].id;
}
