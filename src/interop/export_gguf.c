/*
 * A whole model for llama.cpp, adapters folded in: keys, vocabulary and tensors as its converter
 * writes them. Vectors stay in f32, matrices get the dtype that is asked for, or the nearest one
 * that their rows fit.
 */
#include <inttypes.h>
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "interop/interop.h"
#include "model/family.h"
#include "model/rope.h"
#include "tensor/blocks.h"
#include "token/gguf_vocab.h"

/* general.file_type of what most tensors are. */
static const struct {
    hora_dtype dtype;
    int file_type;
    const char *name;
} kinds[] = {{HORA_F32, 0, "f32"},   {HORA_F16, 1, "f16"},   {HORA_BF16, 32, "bf16"},
             {HORA_Q8_0, 7, "q8_0"}, {HORA_Q4_0, 2, "q4_0"}, {HORA_Q5_0, 8, "q5_0"},
             {HORA_Q4_K, 14, "q4_k"}};

static size_t kind_of(hora_dtype t) {
    size_t k = 0;
    while (kinds[k].dtype != t)
        k++;
    return k;
}

static hora_dtype dtype_of(const hora_export *x) {
    return x->dtype == HORA_DTYPE_OTHER ? x->base->dtype == HORA_BF16 ? HORA_BF16 : HORA_F32
                                        : x->dtype;
}

/* "ARCH.name" in `text`. */
static const char *key_of(char text[96], const char *arch, const char *name) {
    hora_snprintf(text, 96, "%s.%s", arch, name);
    return text;
}

/* --- what llama.cpp would compute otherwise --------------------------------------------------- */
static hora_status check(const hora_export *x) {
    const hora_base *b = x->base;
    const hora_gguf_arch *arch = hora_gguf_arch_of(b->model_type);
    const char *act;
    hora_attention_form form = {0};
    if (!arch || b->bare)
        return hora_fail(HORA_EUNSUPPORTED,
                         "models of type %s%s are not written to GGUF; llama, mistral, qwen2 and "
                         "qwen3 as language models are",
                         b->model_type, b->bare ? " with a task's head" : "");
    HORA_TRY(hora_json_get_string(b->config, "hidden_act", "silu", &act));
    if (!hora_eq(act, "silu") && !hora_eq(act, "swish"))
        return hora_fail(HORA_EUNSUPPORTED, "llama.cpp computes silu here, not %s", act);
    if (b->far_positions)
        hora_warn("beyond %" PRId64
                  " positions this model's rotary frequencies are others, which GGUF has no words "
                  "for: the file says that its context ends there",
                  b->far_positions);
    for (int i = 0; i < b->layers; i++) {
        b->family->attention(b, i, &form);
        if (form.window && form.window < b->max_positions) {
            hora_warn("layer %d attends to %" PRId64
                      " keys, llama.cpp to all: longer texts come out differently there",
                      i, form.window);
            break;
        }
    }
    return hora_base_finite(b);
}

/* --- rotary embedding ------------------------------------------------------------------------- */
/* Frequencies that are not theta^(-i/n) go into rope_freqs.weight as divisors, which the llama
 * architecture reads; others know linear scaling and yarn by keys. */
static hora_status put_rope(hora_gguf_out *o, const hora_export *x, const char *arch,
                            float **factors) {
    const hora_base *b = x->base;
    const int64_t n = b->head_dim / 2;
    const hora_json *scaling = hora_json_get(b->config, "rope_scaling");
    const char *type = hora_json_string(hora_json_get(scaling, "rope_type"), NULL);
    hora_attention_form form = {0};
    double theta, factor;
    bool plain = true;
    char key[96];
    HORA_TRY(hora_json_get_real(b->config, "rope_theta", 10000, &theta));
    b->family->attention(b, 0, &form);
    hora_gguf_put_float(o, key_of(key, arch, "rope.freq_base"), theta);
    *factors = hora_calloc((size_t)n, sizeof **factors);
    HORA_TRY(hora_rope_divisors(*factors, scaling, theta, n, b->max_positions));
    for (int64_t i = 0; i < n; i++)
        plain &= (*factors)[i] == 1;
    if (plain)
        return HORA_OK;
    const bool scaled = fabs(form.scale * sqrt((double)b->head_dim) - 1) > 1e-6;
    if (hora_eq(arch, "llama") && !scaled)
        return HORA_OK;
    hora_free(*factors);
    *factors = NULL;
    if (!hora_eq(type, "linear") && !hora_eq(type, "yarn"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "rope scaling %s of architecture %s is not written to "
                         "GGUF",
                         type ? type : "", arch);
    HORA_TRY(hora_json_get_real(scaling, "factor", 1, &factor));
    hora_gguf_put_text(o, key_of(key, arch, "rope.scaling.type"), type);
    hora_gguf_put_float(o, key_of(key, arch, "rope.scaling.factor"), factor);
    int64_t original;
    HORA_TRY(hora_json_get_int(scaling, "original_max_position_embeddings", 0, &original));
    if (original) {
        hora_gguf_put_int(o, key_of(key, arch, "rope.scaling.original_context_length"),
                          HORA_GGUF_U32, original);
    }
    return HORA_OK;
}

static bool any(const float *factors, int64_t n) {
    for (int64_t i = 0; factors && i < n; i++)
        if (factors[i] != 1)
            return true;
    return false;
}

/* --- keys ------------------------------------------------------------------------------------- */
static hora_status put_keys(hora_gguf_out *o, const hora_export *x, float **factors) {
    const hora_base *b = x->base;
    const hora_gguf_arch *a = hora_gguf_arch_of(b->model_type);
    const char *arch = a->name;
    const bool heads = a->head_keys || b->head_dim * b->heads != b->hidden;
    const struct {
        const char *name;
        int64_t value;
        bool skip;
    } keys[] = {{"block_count", b->layers, false},
                {"context_length", b->far_positions ? b->far_positions : b->max_positions, false},
                {"embedding_length", b->hidden, false},
                {"feed_forward_length", b->intermediate, false},
                {"attention.head_count", b->heads, false},
                {"attention.head_count_kv", b->kv_heads, false},
                {"attention.key_length", b->head_dim, !heads},
                {"attention.value_length", b->head_dim, !heads},
                {"vocab_size", b->vocab, !a->vocab_keys},
                {"rope.dimension_count", b->head_dim, !a->vocab_keys}};
    double eps;
    char key[96];
    hora_gguf_put_text(o, "general.architecture", arch);
    hora_gguf_put_text(o, "general.type", "model");
    hora_gguf_put_text(o, "general.name", hora_path_base(b->dir));
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        if (keys[i].skip)
            continue;
        hora_gguf_put_int(o, key_of(key, arch, keys[i].name), HORA_GGUF_U32, keys[i].value);
    }
    HORA_TRY(hora_json_get_real(b->config, "rms_norm_eps", 1e-6, &eps));
    hora_gguf_put_float(o, key_of(key, arch, "attention.layer_norm_rms_epsilon"), eps);
    HORA_TRY(put_rope(o, x, arch, factors));
    hora_gguf_put_int(o, "general.file_type", HORA_GGUF_U32, kinds[kind_of(dtype_of(x))].file_type);
    hora_gguf_put_int(o, "general.quantization_version", HORA_GGUF_U32, 2);
    return hora_gguf_put_vocabulary(o, x->tokenizer, hora_base_words(b), b->vocab);
}

/* --- tensors ---------------------------------------------------------------------------------- */
static hora_dtype written_as(const hora_export *x, const char *name, const hora_view *v,
                             hora_fallback *f) {
    if (v->shape.n < 2)
        return HORA_F32;
    const hora_dtype fits = hora_blocks_that_fit(dtype_of(x), hora_row_elems(&v->shape));
    hora_fallback_add(f, name, dtype_of(x), fits);
    return fits;
}

static hora_status put_tensors(hora_gguf_out *o, const hora_export *x, float *const *merged) {
    const hora_base *b = x->base;
    const bool permuted = hora_gguf_arch_of(b->model_type)->permuted;
    hora_fallback fallen = {0};
    for (int i = 0; i < b->nweights; i++) {
        const hora_weight *w = &b->weights[i];
        if (w->tied && !merged[i])
            continue;
        char *name = hora_gguf_name(w->name);
        hora_view v = w->view;
        if (merged[i])
            v = (hora_view){merged[i], HORA_F32, w->view.shape};
        if (!name)
            return hora_fail(HORA_EUNSUPPORTED, "%s has no name in GGUF", w->name);
        const bool turn = permuted && (strstr(w->name, ".q_proj.") || strstr(w->name, ".k_proj."));
        hora_gguf_put_heads(o, name, v, written_as(x, w->name, &v, &fallen),
                            turn ? b->head_dim : 0);
        hora_free(name);
    }
    hora_fallback_say(&fallen);
    return HORA_OK;
}

static hora_status fill(hora_gguf_out *o, const hora_export *x, float *const *merged,
                        float **factors, const char *path) {
    HORA_TRY(put_keys(o, x, factors));
    if (any(*factors, x->base->head_dim / 2))
        hora_gguf_put_tensor(o, "rope_freqs.weight",
                             (hora_view){*factors, HORA_F32, HORA_SHAPE1(x->base->head_dim / 2)},
                             HORA_F32);
    HORA_TRY(put_tensors(o, x, merged));
    hora_gguf_put_mark(o, "gguf");
    char *dir = hora_path_dir(path);
    hora_status s = hora_check_writable(dir, hora_gguf_write_size(o));
    hora_free(dir);
    return s ? s : hora_gguf_write(o, path);
}

static hora_status write(const hora_export *x, const char *path) {
    const hora_base *b = x->base;
    float **merged = hora_calloc((size_t)b->nweights + 1, sizeof *merged), *factors = NULL;
    hora_gguf_out *o = hora_gguf_out_new();
    hora_status s = x->n ? hora_peft_merge(x->adapters, x->n, merged) : HORA_OK;
    if (s == HORA_OK)
        s = fill(o, x, merged, &factors, path);
    hora_gguf_out_free(o);
    hora_base_free_merged(b, merged);
    hora_free(factors);
    if (x->made)
        hora_json_set(x->made, "dtype", hora_json_new_string(kinds[kind_of(dtype_of(x))].name));
    return s;
}

const hora_exporter hora_exporter_gguf = {.name = "gguf",
                                          .summary =
                                              "whole model for llama.cpp, adapters merged in",
                                          .file = true,
                                          .whole = true,
                                          .check = check,
                                          .write = write};
