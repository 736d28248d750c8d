/* Names of the LLaMA family in GGUF files, in both directions. */
#include "format/gguf_names.h"

#include <stdio.h>

#include "base/text.h"

static const hora_gguf_arch archs[] = {
    {"llama", "llama mistral", true, true, true},
    {"qwen2", "qwen2", false, false, false},
    {"qwen3", "qwen3", true, false, false},
};

const hora_gguf_arch *hora_gguf_arch_of(const char *model_type) {
    for (size_t i = 0; i < HORA_COUNT(archs); i++)
        if (hora_has_word(archs[i].model_types, model_type))
            return &archs[i];
    return NULL;
}

const hora_gguf_arch *hora_gguf_arch_named(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(archs); i++)
        if (hora_eq(archs[i].name, name))
            return &archs[i];
    return NULL;
}

/* Modules without ".weight" or ".bias". */
static const struct {
    const char *hf, *gguf;
} outside[] = {{"model.embed_tokens", "token_embd"},
               {"model.norm", "output_norm"},
               {"lm_head", "output"}},
  inside[] = {{"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"},
              {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
              {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"},
              {"self_attn.k_norm", "attn_k_norm"}, {"post_attention_layernorm", "ffn_norm"},
              {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
              {"mlp.down_proj", "ffn_down"}};

/* The rest of `name` behind `module` and a dot; NULL: another module. */
static const char *behind(const char *name, const char *module) {
    const size_t n = strlen(module);
    return hora_starts(name, module) && name[n] == '.' ? name + n + 1 : NULL;
}

/* Splits PREFIX N . REST; false: another form. */
static bool split_layer(const char *name, const char *prefix, int *layer, const char **rest) {
    int used = 0;
    if (!hora_starts(name, prefix) || sscanf(name + strlen(prefix), "%d.%n", layer, &used) != 1 ||
        !used || *layer < 0)
        return false;
    *rest = name + strlen(prefix) + used;
    return true;
}

char *hora_gguf_name(const char *hf_name) {
    int layer;
    const char *rest, *part;
    for (size_t i = 0; i < HORA_COUNT(outside); i++)
        if ((part = behind(hf_name, outside[i].hf)))
            return hora_format("%s.%s", outside[i].gguf, part);
    if (!split_layer(hf_name, "model.layers.", &layer, &rest))
        return NULL;
    for (size_t i = 0; i < HORA_COUNT(inside); i++)
        if ((part = behind(rest, inside[i].hf)))
            return hora_format("blk.%d.%s.%s", layer, inside[i].gguf, part);
    return NULL;
}

char *hora_gguf_hf_name(const char *gguf_name) {
    int layer;
    const char *rest, *part;
    for (size_t i = 0; i < HORA_COUNT(outside); i++)
        if ((part = behind(gguf_name, outside[i].gguf)))
            return hora_format("%s.%s", outside[i].hf, part);
    if (!split_layer(gguf_name, "blk.", &layer, &rest))
        return NULL;
    for (size_t i = 0; i < HORA_COUNT(inside); i++)
        if ((part = behind(rest, inside[i].gguf)))
            return hora_format("model.layers.%d.%s.%s", layer, inside[i].hf, part);
    return NULL;
}

int64_t hora_gguf_row(int64_t r, int64_t head_dim) {
    const int64_t half = head_dim / 2, in = r % head_dim;
    return r - in + in % half * 2 + in / half;
}

int64_t hora_gguf_row_back(int64_t r, int64_t head_dim) {
    const int64_t in = r % head_dim;
    return r - in + in % 2 * (head_dim / 2) + in / 2;
}
