/* config.json of a GGUF file. Keys are ARCH.name; what llama.cpp derives where a key is absent is
 * derived here in the same way. */
#include "format/gguf_hf.h"

#include <inttypes.h>

#include "base/text.h"
#include "format/npz.h"

bool hora_model_path(const char *path) {
    return hora_path_is_dir(path) || hora_model_file(path);
}

bool hora_model_file(const char *path) {
    return hora_gguf_is(path) || hora_npz_is(path);
}

typedef struct reader {
    const hora_gguf *g;
    const hora_gguf_arch *arch;
    hora_json *out;
} reader;

/* --- numbers ---------------------------------------------------------------------------------- */
static hora_status whole(const reader *r, const char *name, bool required, int64_t fallback,
                         int64_t *out) {
    char *key = hora_format("%s.%s", r->arch->name, name);
    const hora_gguf_value *v = hora_gguf_get(r->g, key);
    hora_status s = v && v->array ? hora_fail(HORA_EUNSUPPORTED,
                                              "%s: %s differs from layer to layer, which is not "
                                              "computed here",
                                              hora_gguf_path(r->g), key)
                                  : hora_gguf_get_int(r->g, key, required, fallback, out);
    hora_free(key);
    return s;
}

static hora_status real(const reader *r, const char *name, bool required, double fallback,
                        double *out) {
    char *key = hora_format("%s.%s", r->arch->name, name);
    hora_status s = hora_gguf_get_float(r->g, key, required, fallback, out);
    hora_free(key);
    return s;
}

static hora_status put_whole(const reader *r, const char *name, const char *hf) {
    int64_t v;
    HORA_TRY(whole(r, name, true, 0, &v));
    hora_json_set(r->out, hf, hora_json_new_int(v));
    return HORA_OK;
}

/* --- parts ------------------------------------------------------------------------------------ */
hora_status hora_gguf_head_dim(const hora_gguf *g, const hora_gguf_arch *arch, int64_t *out) {
    const reader r = {.g = g, .arch = arch};
    int64_t heads, hidden;
    HORA_TRY(whole(&r, "attention.head_count", true, 0, &heads));
    HORA_TRY(whole(&r, "embedding_length", true, 0, &hidden));
    if (heads < 1)
        return hora_fail(HORA_EFORMAT,
                         "%s: %s.attention.head_count is %" PRId64
                         "; the file is damaged: fetch or convert it again",
                         hora_gguf_path(g), arch->name, heads);
    HORA_TRY(whole(&r, "attention.key_length", false, hidden % heads ? -1 : hidden / heads, out));
    if (*out == -1)
        return hora_fail(HORA_EFORMAT,
                         "%s: %s.embedding_length is %" PRId64 ", which is not divided by %" PRId64
                         " heads, and no attention.key_length says how wide they are; the file is "
                         "damaged: fetch or convert it again",
                         hora_gguf_path(g), arch->name, hidden, heads);
    if (*out < 2 || *out % 2)
        return hora_fail(HORA_EFORMAT,
                         "%s: heads of %" PRId64
                         " numbers; the file is damaged: fetch or convert it again",
                         hora_gguf_path(g), *out);
    return HORA_OK;
}

static hora_status put_dimensions(const reader *r, int64_t *head_dim) {
    static const char *const names[][2] = {{"block_count", "num_hidden_layers"},
                                           {"context_length", "max_position_embeddings"},
                                           {"embedding_length", "hidden_size"},
                                           {"feed_forward_length", "intermediate_size"},
                                           {"attention.head_count", "num_attention_heads"}};
    int64_t heads, kv, value_dim;
    for (size_t i = 0; i < HORA_COUNT(names); i++)
        HORA_TRY(put_whole(r, names[i][0], names[i][1]));
    HORA_TRY(whole(r, "attention.head_count", true, 0, &heads));
    HORA_TRY(hora_gguf_head_dim(r->g, r->arch, head_dim));
    HORA_TRY(whole(r, "attention.head_count_kv", false, heads, &kv));
    HORA_TRY(whole(r, "attention.value_length", false, *head_dim, &value_dim));
    if (value_dim != *head_dim)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: keys of %" PRId64 " and values of %" PRId64
                         " numbers a head are not computed here",
                         hora_gguf_path(r->g), *head_dim, value_dim);
    hora_json_set(r->out, "num_key_value_heads", hora_json_new_int(kv));
    hora_json_set(r->out, "head_dim", hora_json_new_int(*head_dim));
    return HORA_OK;
}

/* What these architectures may hold and the family does not compute. */
static hora_status refuse_others(const reader *r, int64_t head_dim) {
    int64_t experts, turned;
    HORA_TRY(whole(r, "expert_count", false, 0, &experts));
    HORA_TRY(whole(r, "rope.dimension_count", false, head_dim, &turned));
    if (experts)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s is a mixture of %" PRId64 " experts, which is not computed here",
                         hora_gguf_path(r->g), experts);
    if (turned != head_dim)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: rotary embedding of %" PRId64 " of %" PRId64
                         " numbers a head is not computed here",
                         hora_gguf_path(r->g), turned, head_dim);
    return HORA_OK;
}

/* Factors of the frequencies stand in a tensor: llama3's scaling, worked out. longrope divides the
 * frequencies by its list and nothing else. */
static hora_status put_factors(const reader *r, const hora_gguf_tensor *t) {
    hora_json *o = hora_json_set(r->out, "rope_scaling", hora_json_new_object());
    int64_t context;
    HORA_TRY(whole(r, "context_length", true, 0, &context));
    hora_json_set(o, "rope_type", hora_json_new_string("longrope"));
    hora_json_set(o, "attention_factor", hora_json_new_real(1));
    hora_json_set(o, "original_max_position_embeddings", hora_json_new_int(context));
    for (int k = 0; k < 2; k++) {
        hora_json *list =
            hora_json_set(o, k ? "long_factor" : "short_factor", hora_json_new_array());
        for (int64_t i = 0; i < hora_elems(&t->view); i++) {
            float f = 0;
            HORA_TRY(hora_convert(&f, HORA_F32,
                                  (const char *)t->view.data +
                                      (size_t)i * hora_dtype_size(t->view.dtype),
                                  t->view.dtype, 1));
            hora_json_push(list, hora_json_new_real((double)f));
        }
    }
    return HORA_OK;
}

static hora_status put_scaling(const reader *r, const char *type) {
    double factor, attention;
    int64_t original;
    HORA_TRY(real(r, "rope.scaling.factor", true, 1, &factor));
    HORA_TRY(real(r, "rope.scaling.attn_factor", false, 1, &attention));
    HORA_TRY(whole(r, "rope.scaling.original_context_length", false, 0, &original));
    const bool yarn = hora_eq(type, "yarn");
    if (!yarn && !hora_eq(type, "linear"))
        return hora_fail(HORA_EUNSUPPORTED, "%s: rope.scaling.type `%s` is not read from GGUF",
                         hora_gguf_path(r->g), type);
    if (attention != 1)
        return hora_fail(HORA_EUNSUPPORTED, "%s: rope.scaling.attn_factor is not read from GGUF",
                         hora_gguf_path(r->g));
    hora_json *o = hora_json_set(r->out, "rope_scaling", hora_json_new_object());
    hora_json_set(o, "rope_type", hora_json_new_string(type));
    hora_json_set(o, "factor", hora_json_new_real(factor));
    if (yarn && original)
        hora_json_set(o, "original_max_position_embeddings", hora_json_new_int(original));
    return HORA_OK;
}

static hora_status put_rope(const reader *r) {
    const hora_gguf_tensor *factors = hora_gguf_find(r->g, "rope_freqs.weight");
    char *key = hora_format("%s.rope.scaling.type", r->arch->name), *type = NULL;
    double base;
    hora_status s = real(r, "rope.freq_base", false, 10000, &base);
    if (s == HORA_OK)
        s = hora_gguf_get_text(r->g, key, false, &type);
    hora_json_set(r->out, "rope_theta", hora_json_new_real(base));
    if (s == HORA_OK && factors && hora_dtype_size(factors->view.dtype))
        s = put_factors(r, factors);
    else if (s == HORA_OK && type && !hora_eq(type, "none"))
        s = put_scaling(r, type);
    hora_free(type);
    hora_free(key);
    return s;
}

static const char *const classes[][2] = {
    {"llama", "LlamaForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}};

static hora_status put_kind(const reader *r) {
    const hora_gguf_tensor *embed = hora_gguf_find(r->g, "token_embd.weight");
    if (!embed || embed->view.shape.n != 2)
        return hora_fail(HORA_EFORMAT,
                         "%s holds no embedding (token_embd.weight): it is a vocabulary or an "
                         "adapter, no model",
                         hora_gguf_path(r->g));
    for (size_t i = 0; i < HORA_COUNT(classes); i++)
        if (hora_eq(classes[i][0], r->arch->name)) {
            hora_json *list = hora_json_set(r->out, "architectures", hora_json_new_array());
            hora_json_push(list, hora_json_new_string(classes[i][1]));
        }
    hora_json_set(r->out, "model_type", hora_json_new_string(r->arch->name));
    hora_json_set(r->out, "vocab_size", hora_json_new_int(embed->view.shape.d[0]));
    hora_json_set(r->out, "tie_word_embeddings",
                  hora_json_new_bool(!hora_gguf_find(r->g, "output.weight")));
    hora_json_set(r->out, "attention_bias",
                  hora_json_new_bool(hora_gguf_find(r->g, "blk.0.attn_output.bias") != NULL));
    hora_json_set(r->out, "mlp_bias",
                  hora_json_new_bool(hora_gguf_find(r->g, "blk.0.ffn_up.bias") != NULL));
    hora_json_set(r->out, "hidden_act", hora_json_new_string("silu"));
    hora_json_set(r->out, "torch_dtype",
                  hora_json_new_string(embed->view.dtype == HORA_F32 ? "float32" : "bfloat16"));
    return HORA_OK;
}

static hora_status put_ids(const reader *r) {
    static const char *const keys[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                          {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                          {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    for (size_t i = 0; i < HORA_COUNT(keys); i++) {
        int64_t id;
        HORA_TRY(hora_gguf_get_int(r->g, keys[i][0], false, -1, &id));
        if (id >= 0)
            hora_json_set(r->out, keys[i][1], hora_json_new_int(id));
    }
    return HORA_OK;
}

static hora_status fill(reader *r) {
    int64_t head_dim, tokens;
    double eps;
    HORA_TRY(put_kind(r));
    HORA_TRY(put_dimensions(r, &head_dim));
    HORA_TRY(refuse_others(r, head_dim));
    HORA_TRY(real(r, "attention.layer_norm_rms_epsilon", true, 0, &eps));
    hora_json_set(r->out, "rms_norm_eps", hora_json_new_real(eps));
    HORA_TRY(put_rope(r));
    HORA_TRY(hora_gguf_vocabulary(r->g, &tokens));
    return put_ids(r);
}

hora_status hora_gguf_config(hora_json **out, const hora_gguf *g) {
    char *name = NULL;
    *out = NULL;
    HORA_TRY(hora_gguf_get_text(g, "general.architecture", true, &name));
    reader r = {.g = g, .arch = hora_gguf_arch_named(name)};
    hora_status s = HORA_OK;
    if (!r.arch)
        s = hora_fail(HORA_EUNSUPPORTED,
                      "%s: architecture `%.40s` is not known here; llama, qwen2 and qwen3 are",
                      hora_gguf_path(g), name);
    hora_free(name);
    HORA_TRY(s);
    r.out = hora_json_new_object();
    s = fill(&r);
    if (s)
        hora_json_free(r.out);
    else
        *out = r.out;
    return s;
}

/* --- the vocabulary --------------------------------------------------------------------------- */
static hora_status check_list(const hora_gguf *g, const char *key, hora_gguf_type type,
                              int64_t tokens) {
    const hora_gguf_value *v = hora_gguf_get(g, key);
    if (!v || (v->array && v->type == type && v->n == tokens))
        return HORA_OK;
    return hora_fail(HORA_EFORMAT,
                     "%s: %s has %" PRId64 " entries for %" PRId64
                     " tokens, or of the wrong type; the file is damaged, convert it again",
                     hora_gguf_path(g), key, v->n, tokens);
}

hora_status hora_gguf_vocabulary(const hora_gguf *g, int64_t *tokens) {
    static const char *const ids[] = {
        "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.padding_token_id", "tokenizer.ggml.unknown_token_id",
        "tokenizer.ggml.eot_token_id",     "tokenizer.ggml.eom_token_id"};
    const hora_gguf_value *list = hora_gguf_get(g, "tokenizer.ggml.tokens");
    const hora_gguf_tensor *embed = hora_gguf_find(g, "token_embd.weight");
    if (!list || !list->array || list->type != HORA_GGUF_STRING || !list->n)
        return hora_fail(HORA_EFORMAT, "%s has no vocabulary (tokenizer.ggml.tokens)",
                         hora_gguf_path(g));
    *tokens = list->n;
    HORA_TRY(check_list(g, "tokenizer.ggml.scores", HORA_GGUF_F32, list->n));
    HORA_TRY(check_list(g, "tokenizer.ggml.token_type", HORA_GGUF_I32, list->n));
    if (embed && embed->view.shape.n == 2 && embed->view.shape.d[0] < list->n)
        return hora_fail(HORA_EFORMAT,
                         "%s has %" PRId64 " tokens, but embeddings for %" PRId64
                         "; the file is damaged, convert it again",
                         hora_gguf_path(g), list->n, embed->view.shape.d[0]);
    for (size_t i = 0; i < HORA_COUNT(ids); i++) {
        int64_t id;
        HORA_TRY(hora_gguf_get_int(g, ids[i], false, -1, &id));
        if (id >= list->n)
            return hora_fail(HORA_EFORMAT,
                             "%s: %s is %" PRId64 ", there are %" PRId64
                             " tokens; the file is damaged, convert it again",
                             hora_gguf_path(g), ids[i], id, list->n);
    }
    return HORA_OK;
}
