/*
 * A LLaMA whose decoder caches a latent instead of keys and values: MHA2MLA (T. Ji et al., "Towards
 * Economical Inference: Enabling DeepSeek's Multi-Head Latent Attention in Any Transformer-based
 * LLMs", arXiv 2502.14837). Of each head p pairs of columns stay rotary, the same for all query
 * heads of a key-value head; from the rows of W_k that are left and all of W_v, one below the
 * other, singular values give c = V' x and the way back U S (the paper's joint decomposition).
 *
 * Which pairs: `norm` is the paper's 2-norm contribution, for pair l of key-value head g the mean
 * over its query heads of |q_l| |k_l|, means over the tokens of a text; without a text norms of the
 * weights' rows, behind the norm in front of attention, stand for those [ours]. high, low, uniform
 * are the paper's too. Biases [ours]: a constant in keys that are not turned moves no softmax, one
 * in values comes out of each head as it is, so W_o takes it into the bias of O: both exactly.
 */
#include <math.h>

#include "base/text.h"
#include "interop/convert.h"
#include "interop/svd.h"
#include "model/family.h"

typedef struct work {
    const hora_export *x;
    const hora_convert_config *c;
    float **merged; /* per weight of the base; NULL: as it is */
    int64_t *pairs; /* (layers, G, p), rising */
    int64_t p, half, rest, rank;
    hora_st_entry *e; /* of the file; names and data owned */
    int n;
    hora_dtype dtype; /* of the file */
} work;

/* --- what is refused -------------------------------------------------------------------------- */
static int64_t pairs_kept(const hora_base *b, const hora_convert_config *c) {
    return c->rotary_pairs ? c->rotary_pairs : hora_max(1, b->head_dim / 8);
}

static hora_status check_family(const hora_base *b) {
    if (b->latent)
        return hora_fail(HORA_EUSAGE, "%s has a cache of latents already", b->dir);
    if (!b->family->attention)
        return hora_fail(HORA_EUNSUPPORTED,
                         "a latent cache is for decoders with rotary positions (llama, mistral, "
                         "qwen2), not for a %s",
                         b->model_type);
    if (b->far_positions)
        return hora_fail(HORA_EUNSUPPORTED,
                         "this %s has other rotary frequencies beyond %lld positions (longrope, "
                         "dynamic); a latent cache keeps one set",
                         b->model_type, (long long)b->far_positions);
    for (int i = 0; i < b->layers; i++) {
        hora_attention_form f;
        b->family->attention(b, i, &f);
        if (!f.causal || !f.freq)
            return hora_fail(HORA_EUNSUPPORTED,
                             "layer %d of this %s has no rotary positions or looks ahead; a latent "
                             "cache is for decoders that rotate q and k",
                             i, b->model_type);
        if (f.k_norm >= 0)
            return hora_fail(HORA_EUNSUPPORTED,
                             "a %s normalises the keys of each head, which no latent passes on; "
                             "there is no exact form of it",
                             b->model_type);
    }
    return HORA_OK;
}

static hora_status check_weights(const hora_base *b) {
    for (int w = 0; w < b->nweights; w++)
        if (hora_dtype_block(b->weights[w].view.dtype) > 1)
            return hora_fail(HORA_EUNSUPPORTED,
                             "%s lies in blocks of %s; convert the model that was quantised, then "
                             "quantise what comes out",
                             b->weights[w].name, hora_dtype_name(b->weights[w].view.dtype));
    return hora_base_finite(b);
}

static hora_status check(const hora_export *x, const hora_convert_config *c) {
    const hora_base *b = x->base;
    HORA_TRY(check_family(b));
    const int64_t p = pairs_kept(b, c), rows = 2 * b->kv_heads * (b->head_dim - p),
                  most = hora_min(rows, b->hidden);
    if (p > b->head_dim / 2)
        return hora_fail(HORA_EUSAGE, "--rotary-pairs %lld: a head of this model has %lld",
                         (long long)p, (long long)(b->head_dim / 2));
    if (!c->n)
        return hora_fail(HORA_EUSAGE,
                         "say how wide the latents are to be: --to latent:%lld loses nothing, a "
                         "cache has %lld numbers of keys and values now",
                         (long long)most, (long long)(2 * b->kv_heads * b->head_dim));
    if (c->n > most)
        return hora_fail(HORA_EUSAGE,
                         "--to latent:%lld: with %lld rotary pairs what is left of keys and values "
                         "has rank %lld at most, which loses nothing",
                         (long long)c->n, (long long)p, (long long)most);
    if (c->rotary_by != HORA_ROTARY_NORM && c->calibrate)
        return hora_fail(HORA_EUSAGE, "--calibrate is for --rotary-by norm; leave one of them out");
    for (int k = 0; k < x->n; k++)
        if (!x->adapters[k]->method->merge)
            return hora_fail(HORA_EUNSUPPORTED,
                             "method %s of adapter %s cannot be folded into the model first",
                             x->adapters[k]->method->name, x->adapters[k]->name);
    return check_weights(b);
}

/* --- which pairs ------------------------------------------------------------------------------ */
static double value(const work *k, int w, int64_t i) {
    const hora_view *v = &k->x->base->weights[w].view;
    return k->merged[w] ? (double)k->merged[w][i] : hora_value_at(v->data, v->dtype, i);
}

static const hora_site *site(const work *k, hora_site_kind kind, int64_t layer) {
    return hora_base_site(k->x->base, kind, (int)layer);
}

/* Weight of the norm in front of attention in that layer. */
static int input_norm(const hora_base *b, int64_t layer) {
    for (int w = 0; w < b->nweights; w++)
        if (b->weights[w].layer == layer && hora_ends(b->weights[w].name, "input_layernorm.weight"))
            return w;
    return -1;
}

/* Norm of pair l of head h behind an input whose numbers have size 1 and the norm's weights. */
static double row_norm(const work *k, const hora_site *s, int64_t h, int64_t l) {
    const int norm = input_norm(k->x->base, s->layer);
    double sum = 0;
    for (int64_t r = 0; r < 2; r++)
        for (int64_t i = 0; i < s->in; i++) {
            const double v = value(k, s->weight, (h * 2 * k->half + l + r * k->half) * s->in + i) *
                             (norm < 0 ? 1 : value(k, norm, i));
            sum += v * v;
        }
    return sqrt(sum);
}

static double contribution(const work *k, int64_t layer, int64_t g, int64_t l) {
    const hora_base *b = k->x->base;
    const int64_t serves = b->heads / b->kv_heads;
    double sum = 0;
    for (int64_t h = g * serves; h < (g + 1) * serves; h++)
        sum += k->c->q_norms ? k->c->q_norms[(layer * b->heads + h) * k->half + l]
                             : row_norm(k, site(k, HORA_SITE_Q, layer), h, l);
    return sum / (double)serves *
           (k->c->k_norms ? k->c->k_norms[(layer * b->kv_heads + g) * k->half + l]
                          : row_norm(k, site(k, HORA_SITE_K, layer), g, l));
}

/* The p pairs with most, in rising order; of equal ones the first. */
static void choose_largest(const double *v, int64_t n, int64_t p, int64_t *to) {
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t before = 0;
        for (int64_t j = 0; j < n; j++)
            before += v[j] > v[i] || (v[j] == v[i] && j < i);
        if (before < p)
            to[at++] = i;
    }
}

/* Returns the share of all contributions that stays rotary. */
static double choose(work *k) {
    const hora_base *b = k->x->base;
    double *v = hora_malloc((size_t)k->half * sizeof *v), kept = 0, all = 0;
    for (int64_t i = 0; i < b->layers * b->kv_heads; i++) {
        int64_t *to = k->pairs + i * k->p;
        for (int64_t l = 0; l < k->half; l++)
            v[l] = contribution(k, i / b->kv_heads, i % b->kv_heads, l);
        for (int64_t l = 0; l < k->p; l++)
            to[l] = k->c->rotary_by == HORA_ROTARY_HIGH  ? l
                    : k->c->rotary_by == HORA_ROTARY_LOW ? k->half - k->p + l
                                                         : l * k->half / k->p;
        if (k->c->rotary_by == HORA_ROTARY_NORM)
            choose_largest(v, k->half, k->p, to);
        for (int64_t l = 0; l < k->half; l++)
            all += v[l];
        for (int64_t l = 0; l < k->p; l++)
            kept += v[to[l]];
    }
    hora_free(v);
    return all > 0 ? kept / all : 1;
}

/* Column of a head where number l of the new order stands: of each half the rotary ones first. */
static int64_t column(const work *k, const int64_t *pairs, int64_t l) {
    const int64_t i = l % k->half;
    int64_t pair = i < k->p ? pairs[i] : 0, seen = 0;
    for (int64_t j = 0, t = 0; i >= k->p && j < k->half; j++) {
        if (t < k->p && pairs[t] == j)
            t++;
        else if (seen++ == i - k->p)
            pair = j;
    }
    return pair + l / k->half * k->half;
}

/* --- tensors ---------------------------------------------------------------------------------- */
static float *add(work *k, char *own_name, hora_shape shape) {
    int64_t n = 1;
    for (int i = 0; i < shape.n; i++)
        n *= shape.d[i];
    float *data = hora_malloc((size_t)n * sizeof *data);
    k->e[k->n++] = (hora_st_entry){own_name, {data, HORA_F32, shape}, k->dtype};
    return data;
}

static char *name_of(int64_t layer, const char *rest) {
    return hora_format("model.layers.%lld.self_attn.%s", (long long)layer, rest);
}

/* Rows (or, with columns 1, numbers) of weight w into `to`, row r of head h of `heads`, by `rows`
 * numbers of the new order from `from` on in each half. */
static void take_heads(const work *k, int w, int64_t columns, int64_t layer, int64_t heads,
                       int64_t from, int64_t per_half, float *to) {
    const hora_base *b = k->x->base;
    for (int64_t h = 0; h < heads; h++) {
        const int64_t *pairs = k->pairs + (layer * b->kv_heads + h * b->kv_heads / heads) * k->p;
        for (int64_t r = 0; r < 2 * per_half; r++) {
            const int64_t l = r / per_half * k->half + from + r % per_half;
            const int64_t row = h * 2 * k->half + column(k, pairs, l);
            for (int64_t i = 0; i < columns; i++)
                *to++ = (float)value(k, w, row * columns + i);
        }
    }
}

/* What is not turned of the keys, then the values, cut to the rank. */
static hora_status decompose(work *k, int64_t layer, double *left, double *norm) {
    const hora_base *b = k->x->base;
    const hora_site *ks = site(k, HORA_SITE_K, layer), *vs = site(k, HORA_SITE_V, layer);
    const int64_t d = b->hidden, nk = b->kv_heads * 2 * k->rest, nv = vs->out, c = k->rank;
    float *keys = hora_malloc((size_t)(nk * d) * sizeof *keys + 1);
    double *all = hora_malloc((size_t)((nk + nv) * d) * sizeof *all), sum = 0;
    double *up = hora_malloc((size_t)((nk + nv) * c) * sizeof *up),
           *down = hora_malloc((size_t)(c * d) * sizeof *down);
    take_heads(k, ks->weight, d, layer, b->kv_heads, k->p, k->rest, keys);
    for (int64_t i = 0; i < (nk + nv) * d; i++) {
        all[i] = i < nk * d ? (double)keys[i] : value(k, vs->weight, i - nk * d);
        sum += all[i] * all[i];
    }
    *norm = sqrt(sum);
    const hora_status s = hora_best_rank(all, nk + nv, d, c, up, down, left);
    if (s == HORA_OK) {
        float *ku = nk ? add(k, name_of(layer, "k_up_proj.weight"), HORA_SHAPE2(nk, c)) : NULL;
        float *vu = add(k, name_of(layer, "v_up_proj.weight"), HORA_SHAPE2(nv, c));
        float *kd = add(k, name_of(layer, "kv_down_proj.weight"), HORA_SHAPE2(c, d));
        for (int64_t i = 0; i < nk * c; i++)
            ku[i] = (float)up[i];
        for (int64_t i = 0; i < nv * c; i++)
            vu[i] = (float)up[nk * c + i];
        for (int64_t i = 0; i < c * d; i++)
            kd[i] = (float)down[i];
    }
    hora_free(keys);
    hora_free(all);
    hora_free(up);
    hora_free(down);
    return s;
}

/* The bias of O with what that of V becomes behind it. */
static void output_bias(work *k, int64_t layer) {
    const hora_base *b = k->x->base;
    const hora_site *vs = site(k, HORA_SITE_V, layer), *os = site(k, HORA_SITE_O, layer);
    float *to = add(k, name_of(layer, "o_proj.bias"), HORA_SHAPE1(os->out));
    for (int64_t o = 0; o < os->out; o++) {
        double sum = os->bias >= 0 ? value(k, os->bias, o) : 0;
        for (int64_t i = 0; vs->bias >= 0 && i < os->in; i++) {
            const int64_t g = i / b->head_dim * b->kv_heads / b->heads;
            sum += value(k, os->weight, o * os->in + i) *
                   value(k, vs->bias, g * b->head_dim + i % b->head_dim);
        }
        to[o] = (float)sum;
    }
}

static bool biased(const hora_base *b) {
    const hora_site *q = hora_base_site(b, HORA_SITE_Q, 0), *o = hora_base_site(b, HORA_SITE_O, 0);
    return q->bias >= 0 || o->bias >= 0;
}

/* A bias of q or k where it has one, else zeros. */
static void turned_bias(work *k, const hora_site *s, int64_t layer, int64_t heads, int64_t per_half,
                        const char *name) {
    const int64_t n = heads * 2 * per_half;
    float *to = add(k, name_of(layer, name), HORA_SHAPE1(n));
    memset(to, 0, (size_t)n * sizeof *to);
    if (s->bias >= 0)
        take_heads(k, s->bias, 1, layer, heads, 0, per_half, to);
}

static hora_status convert_layer(work *k, int64_t layer, hora_json *list) {
    const hora_base *b = k->x->base;
    const hora_site *q = site(k, HORA_SITE_Q, layer), *ks = site(k, HORA_SITE_K, layer);
    double left = 0, norm = 0;
    float *to = add(k, name_of(layer, "q_proj.weight"), HORA_SHAPE2(q->out, q->in));
    take_heads(k, q->weight, q->in, layer, b->heads, 0, k->half, to);
    to = add(k, name_of(layer, "k_rope_proj.weight"), HORA_SHAPE2(b->kv_heads * 2 * k->p, q->in));
    take_heads(k, ks->weight, q->in, layer, b->kv_heads, 0, k->p, to);
    HORA_TRY(decompose(k, layer, &left, &norm));
    if (biased(b)) {
        turned_bias(k, q, layer, b->heads, k->half, "q_proj.bias");
        turned_bias(k, ks, layer, b->kv_heads, k->p, "k_rope_proj.bias");
        output_bias(k, layer);
    }
    hora_json *o = hora_json_push(list, hora_json_new_object());
    char *name = name_of(layer, "kv_down_proj");
    hora_json_set(o, "name", hora_json_new_string(name));
    hora_json_set(o, "rank", hora_json_new_int(k->rank));
    hora_json_set(o, "norm", hora_json_new_real(norm));
    hora_json_set(o, "left", hora_json_new_real(left));
    hora_json_set(o, "error", hora_json_new_real(norm > 0 ? left / norm : 0));
    hora_free(name);
    return HORA_OK;
}

/* Q, K, V and, where biases move, the bias of O are written by convert_layer. */
static bool replaced(const hora_base *b, int w) {
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        const bool qkv = s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K || s->kind == HORA_SITE_V;
        if ((qkv && (s->weight == w || s->bias == w)) || (s->kind == HORA_SITE_O && s->bias == w))
            return true;
    }
    return false;
}

static void add_others(work *k) {
    const hora_base *b = k->x->base;
    for (int w = 0; w < b->nweights; w++) {
        const hora_view *v = &b->weights[w].view;
        if (replaced(b, w) || (b->weights[w].tied && !k->merged[w]))
            continue;
        float *to = add(k, hora_strdup(b->weights[w].name), v->shape);
        for (int64_t i = 0; i < hora_elems(v); i++)
            to[i] = (float)value(k, w, i);
    }
}

/* --- the folder ------------------------------------------------------------------------------- */
static hora_json *pairs_json(const work *k) {
    const hora_base *b = k->x->base;
    hora_json *all = hora_json_new_array();
    const int64_t *at = k->pairs;
    for (int64_t i = 0; i < b->layers; i++) {
        hora_json *layer = hora_json_push(all, hora_json_new_array());
        for (int64_t g = 0; g < b->kv_heads; g++) {
            hora_json *head = hora_json_push(layer, hora_json_new_array());
            for (int64_t l = 0; l < k->p; l++)
                hora_json_push(head, hora_json_new_int(*at++));
        }
    }
    return all;
}

/* What followed from the old model_type is said. */
static void say_windows(const hora_base *b, hora_json *c) {
    hora_json *types = hora_json_new_array();
    int64_t window = 0;
    for (int i = 0; i < b->layers; i++) {
        hora_attention_form f;
        b->family->attention(b, i, &f);
        window = hora_max(window, f.window);
        hora_json_push(types,
                       hora_json_new_string(f.window ? "sliding_attention" : "full_attention"));
    }
    hora_json_remove(c, "max_window_layers");
    hora_json_set(c, "use_sliding_window", hora_json_new_bool(window > 0));
    hora_json_set(c, "sliding_window", window ? hora_json_new_int(window) : hora_json_new_null());
    hora_json_set(c, "layer_types", types);
}

static hora_status save_config(const work *k, const char *dir) {
    const hora_base *b = k->x->base;
    hora_json *c = hora_json_copy(b->config), *o = hora_json_new_object();
    const char *dtype = k->dtype == HORA_BF16  ? "bfloat16"
                        : k->dtype == HORA_F16 ? "float16"
                                               : "float32";
    hora_json_set(o, "rank", hora_json_new_int(k->rank));
    hora_json_set(o, "made_of", hora_json_new_string(b->model_type));
    hora_json_set(o, "rotary_pairs", pairs_json(k));
    hora_json_set(c, "model_type", hora_json_new_string("latent"));
    hora_json_set(c, "latent", o);
    hora_json_set(c, "attention_bias", hora_json_new_bool(biased(b)));
    hora_json_set(c, "tie_word_embeddings",
                  hora_json_new_bool(b->tied && !(b->head >= 0 && k->merged[b->head])));
    hora_json_set(c, "head_dim", hora_json_new_int(b->head_dim));
    hora_json_set(c, "torch_dtype", hora_json_new_string(dtype));
    hora_json_remove(c, "quantization_config");
    hora_json_remove(c, "auto_map");
    say_windows(b, c);
    const hora_status s = hora_json_save(c, 2, true, dir, "config.json");
    hora_json_free(c);
    return s;
}

static hora_status save(work *k, const char *dir) {
    hora_base *back = NULL;
    char *path = hora_path_join(dir, "model.safetensors");
    hora_status s = hora_st_write(path, k->e, k->n, NULL, 0);
    hora_free(path);
    if (s == HORA_OK)
        s = save_config(k, dir);
    if (s == HORA_OK)
        s = hora_copy_companions(k->x->base->dir, dir);
    if (s == HORA_OK)
        s = hora_base_save_task(k->x->base, dir);
    if (s == HORA_OK) /* what is written is read */
        s = hora_base_open(&back, dir,
                           &(hora_base_options){
                               .dtype = HORA_F32, .headers_only = true, .bare = k->x->base->bare});
    hora_base_close(back);
    return s;
}

static hora_status make(work *k, const char *dir, hora_json *report) {
    const hora_base *b = k->x->base;
    hora_json *list = hora_json_set(report, "tensors", hora_json_new_array());
    double worst = 0, error;
    if (k->x->n)
        HORA_TRY(hora_peft_merge(k->x->adapters, k->x->n, k->merged));
    hora_json_set(report, "rotary", hora_json_new_real(choose(k)));
    for (int64_t i = 0; i < b->layers; i++) {
        HORA_TRY(convert_layer(k, i, list));
        if (hora_json_real(hora_json_get(hora_json_at(list, (size_t)i), "error"), &error))
            worst = fmax(worst, error);
    }
    add_others(k);
    hora_json_set(report, "error", hora_json_new_real(worst));
    hora_json *cache = hora_json_set(report, "cache", hora_json_new_object());
    hora_json_set(cache, "numbers",
                  hora_json_new_int(b->layers * (b->kv_heads * 2 * k->p + k->rank)));
    hora_json_set(cache, "before", hora_json_new_int(hora_base_cache_row(b)));
    return save(k, dir);
}

static hora_dtype stored(const hora_base *b) {
    const char *name = hora_json_string(hora_json_get(b->config, "torch_dtype"), NULL);
    return hora_eq(name, "bfloat16") ? HORA_BF16 : hora_eq(name, "float16") ? HORA_F16 : HORA_F32;
}

static hora_status write(const hora_export *x, const hora_convert_config *c, const char *dir,
                         hora_json *report) {
    const hora_base *b = x->base;
    work k = {.x = x, .c = c, .rank = c->n, .p = pairs_kept(b, c), .half = b->head_dim / 2};
    k.rest = k.half - k.p;
    k.dtype = stored(b);
    k.merged = hora_calloc((size_t)b->nweights + 1, sizeof *k.merged);
    k.pairs = hora_calloc((size_t)(b->layers * b->kv_heads * k.p), sizeof *k.pairs);
    k.e = hora_calloc((size_t)(b->nweights + 8 * b->layers), sizeof *k.e);
    const hora_status s = make(&k, dir, report);
    for (int i = 0; i < k.n; i++) {
        hora_free((char *)(uintptr_t)k.e[i].name);
        hora_free(k.e[i].view.data);
    }
    hora_free(k.e);
    hora_free(k.pairs);
    hora_base_free_merged(b, k.merged);
    return s;
}

const hora_converter hora_converter_latent = {
    .name = "latent",
    .number = "width",
    .summary = "a model whose decoder caches latents of that width instead of keys and values "
               "(MHA2MLA)",
    .rotary = true,
    .check = check,
    .write = write};
