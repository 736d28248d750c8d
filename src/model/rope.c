#include "model/rope.h"

#include <math.h>

#include "base/text.h"

typedef struct rope {
    const hora_json *s; /* rope_scaling */
    double theta;
    int64_t n;
    double positions, old, factor; /* old: positions of the model before it was stretched */
    hora_rope_frequencies *out;
} rope;

static hora_status no_scaling(rope *r) {
    (void)r;
    return HORA_OK;
}

static hora_status linear(rope *r) {
    for (int64_t i = 0; i < r->n; i++)
        r->out->freq[i] /= r->factor;
    return HORA_OK;
}

/* Llama 3: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
static hora_status llama3(rope *r) {
    double low, high;
    HORA_TRY(hora_json_get_real(r->s, "low_freq_factor", 1, &low));
    HORA_TRY(hora_json_get_real(r->s, "high_freq_factor", 4, &high));
    if (!(r->factor >= 1) || !(high > low) || !(low > 0))
        return hora_fail(HORA_EFORMAT, "config.json: rope_scaling llama3 needs factor >= 1 and "
                                       "high_freq_factor > low_freq_factor > 0");
    for (int64_t i = 0; i < r->n; i++) {
        double *f = &r->out->freq[i], wave = 2 * M_PI / *f;
        double smooth = fmin(fmax((r->old / wave - low) / (high - low), 0), 1);
        *f = (1 - smooth) * *f / r->factor + smooth * *f;
    }
    return HORA_OK;
}

/* Attention gets sharper where positions are stretched. */
static double mscale(double factor, double m) {
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

/* The (real) index of the frequency that turns `turns` times over the old positions. */
static double turning(const rope *r, double turns) {
    return (double)r->n * log(r->old / (turns * 2 * M_PI)) / log(r->theta);
}

/* Frequencies that turn more often than beta_fast over the old positions stay, those that turn less
 * than beta_slow are interpolated, a ramp lies between. */
static hora_status yarn(rope *r) {
    double fast, slow, all, one, attention;
    bool whole;
    HORA_TRY(hora_json_get_real(r->s, "beta_fast", 32, &fast));
    HORA_TRY(hora_json_get_real(r->s, "beta_slow", 1, &slow));
    HORA_TRY(hora_json_get_real(r->s, "mscale", 0, &one));
    HORA_TRY(hora_json_get_real(r->s, "mscale_all_dim", 0, &all));
    HORA_TRY(hora_json_get_real(r->s, "attention_factor", 0, &attention));
    HORA_TRY(hora_json_get_bool(r->s, "truncate", true, &whole));
    if (!(r->factor >= 1) || !(fast >= slow) || !(slow > 0) || !(r->theta > 1))
        return hora_fail(HORA_EFORMAT,
                         "config.json: rope_scaling yarn needs factor >= 1, rope_theta > 1 "
                         "and beta_fast >= beta_slow > 0");
    double low = turning(r, fast), high = turning(r, slow);
    low = fmax(whole ? floor(low) : low, 0);
    high = fmin(whole ? ceil(high) : high, (double)(2 * r->n - 1));
    high += low == high ? 0.001 : 0;
    for (int64_t i = 0; i < r->n; i++) {
        double *f = &r->out->freq[i];
        double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);
        *f = *f / r->factor * ramp + *f * (1 - ramp);
    }
    r->out->scale = attention > 0        ? attention
                    : one > 0 && all > 0 ? mscale(r->factor, one) / mscale(r->factor, all)
                                         : mscale(r->factor, 1);
    return HORA_OK;
}

/* Divides n frequencies by the numbers of a list. */
static hora_status divide(const rope *r, const char *key, double *freq) {
    const hora_json *list = hora_json_get(r->s, key);
    double divisor;
    if ((int64_t)hora_json_len(list) != r->n)
        return hora_fail(HORA_EFORMAT,
                         "config.json: rope_scaling longrope needs %s with %lld numbers", key,
                         (long long)r->n);
    for (int64_t i = 0; i < r->n; i++) {
        if (!hora_json_real(hora_json_at(list, (size_t)i), &divisor) || !(divisor > 0))
            return hora_fail(HORA_EFORMAT,
                             "config.json: rope_scaling %s should hold positive numbers", key);
        freq[i] /= divisor;
    }
    return HORA_OK;
}

/* Two sets of divisors: the short one for sequences up to the old length, the long one for longer
 * ones, at all of their positions. */
static hora_status longrope(rope *r) {
    double attention, ratio = r->positions / r->old;
    HORA_TRY(hora_json_get_real(r->s, "attention_factor", 0, &attention));
    HORA_TRY(hora_json_get_real(r->s, "factor", ratio, &ratio));
    if (r->positions > r->old) {
        memcpy(r->out->freq + r->n, r->out->freq, (size_t)r->n * sizeof *r->out->freq);
        HORA_TRY(divide(r, "long_factor", r->out->freq + r->n));
        r->out->far = (int64_t)r->positions;
    }
    HORA_TRY(divide(r, "short_factor", r->out->freq));
    r->out->scale = attention > 0 ? attention : ratio <= 1 ? 1 : sqrt(1 + log(ratio) / log(r->old));
    r->out->positions = (int64_t)fmin(r->positions, r->old);
    return HORA_OK;
}

/* Nothing changes up to max_position_embeddings; the base grows with the length of what is longer,
 * for which `factor` says how far that goes. */
static hora_status dynamic(rope *r) {
    const double most = (double)(INT64_C(1) << 31);
    if (hora_json_type(hora_json_get(r->s, "factor")) == HORA_JNULL || !(r->factor >= 1) ||
        !(r->factor * r->positions <= most) || (r->factor > 1 && r->n < 2))
        return hora_fail(HORA_EFORMAT,
                         "config.json: rope_scaling dynamic needs a `factor` of 1 .. %.0f and "
                         "heads wider than 2",
                         floor(most / r->positions));
    if (r->factor > 1) {
        r->out->far = (int64_t)(r->factor * r->positions);
        r->out->stretch = r->factor;
    }
    return HORA_OK;
}

static const struct {
    const char *type;
    hora_status (*scale)(rope *r);
} types[] = {{"default", no_scaling}, {"linear", linear}, {"llama3", llama3},
             {"dynamic", dynamic},    {"yarn", yarn},     {"longrope", longrope}};

static hora_status scale(rope *r) {
    const char *type;
    hora_str known = {0};
    HORA_TRY(hora_json_get_string(r->s, "rope_type", "default", &type));
    HORA_TRY(hora_json_get_real(r->s, "original_max_position_embeddings", r->positions, &r->old));
    HORA_TRY(hora_json_get_real(r->s, "factor", r->old > 0 ? fmax(r->positions / r->old, 1) : 1,
                                &r->factor));
    if (!(r->factor > 0) || !(r->old > 0))
        return hora_fail(HORA_EFORMAT, "config.json: rope_scaling factor and "
                                       "original_max_position_embeddings must be positive");
    for (size_t i = 0; i < HORA_COUNT(types); i++) {
        if (hora_eq(types[i].type, type)) {
            hora_str_release(&known);
            return types[i].scale(r);
        }
        hora_str_printf(&known, "%s%s", i ? ", " : "", types[i].type);
    }
    const hora_status bad = hora_fail(HORA_EUNSUPPORTED,
                                      "config.json: rope_scaling of type `%s` is not computed here "
                                      "(known: %s)",
                                      type, known.s);
    hora_str_release(&known);
    return bad;
}

/* In double precision. */
static hora_status compute(hora_rope_frequencies *out, const hora_json *rope_scaling, double theta,
                           int64_t n, int64_t positions) {
    rope r = {
        .s = rope_scaling, .theta = theta, .n = n, .positions = (double)positions, .out = out};
    *out = (hora_rope_frequencies){
        .freq = hora_calloc(2 * (size_t)n, sizeof *out->freq), .scale = 1, .positions = positions};
    for (int64_t i = 0; i < n; i++)
        out->freq[i] = pow(theta, -(double)i / (double)n);
    const hora_status s = hora_json_type(rope_scaling) == HORA_JOBJECT ? scale(&r) : HORA_OK;
    if (s != HORA_OK)
        hora_free(out->freq);
    return s;
}

hora_status hora_rope_read(hora_rope_frequencies *out, const hora_json *rope_scaling, double theta,
                           int64_t n, int64_t positions) {
    HORA_TRY(compute(out, rope_scaling, theta, n, positions));
    for (int64_t i = 0; i < (out->far && !(out->stretch > 0) ? 2 * n : n); i++)
        out->freq[i] = (float)out->freq[i]; /* the reference keeps them in f32 */
    return HORA_OK;
}

hora_status hora_rope_divisors(float *divisors, const hora_json *rope_scaling, double theta,
                               int64_t n, int64_t positions) {
    hora_rope_frequencies f;
    HORA_TRY(compute(&f, rope_scaling, theta, n, positions));
    for (int64_t i = 0; i < n; i++)
        divisors[i] = (float)(pow(theta, -(double)i / (double)n) / f.freq[i]);
    hora_free(f.freq);
    return HORA_OK;
}
