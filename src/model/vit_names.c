/* Names and differences of Vision Transformers: see vit_names.h. */
#include "model/vit_names.h"

#include <stdlib.h>

#include "base/text.h"

#define NAME(...)                                                                                  \
    { .name = __VA_ARGS__ }
#define OLD(a, ...)                                                                                \
    {                                                                                              \
        .name = a, .older = { __VA_ARGS__ }                                                        \
    }

/* Embeddings of ViT and what follows it. */
#define HF_EMBEDDINGS                                                                              \
    .token = {NAME("@embeddings.cls_token")},                                                      \
    .patches = NAME("@embeddings.patch_embeddings.projection"),                                    \
    .positions = NAME("@embeddings.position_embeddings"), .final_norm = NAME("@layernorm")

/* Blocks of ViT and DeiT: transformers 5, then 4. */
#define HF_BLOCKS                                                                                  \
    .norm = {OLD("@layers.#.layernorm_before", "@encoder.layer.#.layernorm_before"),               \
             OLD("@layers.#.layernorm_after", "@encoder.layer.#.layernorm_after")},                \
    .site = {[HORA_SITE_Q] =                                                                       \
                 OLD("@layers.#.attention.q_proj", "@encoder.layer.#.attention.attention.query"),  \
             [HORA_SITE_K] =                                                                       \
                 OLD("@layers.#.attention.k_proj", "@encoder.layer.#.attention.attention.key"),    \
             [HORA_SITE_V] =                                                                       \
                 OLD("@layers.#.attention.v_proj", "@encoder.layer.#.attention.attention.value"),  \
             [HORA_SITE_O] =                                                                       \
                 OLD("@layers.#.attention.o_proj", "@encoder.layer.#.attention.output.dense"),     \
             [HORA_SITE_FC1] = OLD("@layers.#.mlp.fc1", "@encoder.layer.#.intermediate.dense"),    \
             [HORA_SITE_FC2] = OLD("@layers.#.mlp.fc2", "@encoder.layer.#.output.dense")}

#define DINO_BLOCKS                                                                                \
    .norm = {NAME("@encoder.layer.#.norm1"), NAME("@encoder.layer.#.norm2")},                      \
    .scale = {NAME("@encoder.layer.#.layer_scale1.lambda1"),                                       \
              NAME("@encoder.layer.#.layer_scale2.lambda1")},                                      \
    .site = {[HORA_SITE_Q] = OLD("@encoder.layer.#.attention.q_proj",                              \
                                 "@encoder.layer.#.attention.attention.query"),                    \
             [HORA_SITE_K] = OLD("@encoder.layer.#.attention.k_proj",                              \
                                 "@encoder.layer.#.attention.attention.key"),                      \
             [HORA_SITE_V] = OLD("@encoder.layer.#.attention.v_proj",                              \
                                 "@encoder.layer.#.attention.attention.value"),                    \
             [HORA_SITE_O] = OLD("@encoder.layer.#.attention.o_proj",                              \
                                 "@encoder.layer.#.attention.output.dense"),                       \
             [HORA_SITE_FC1] = NAME("@encoder.layer.#.mlp.fc1"),                                   \
             [HORA_SITE_FC2] = NAME("@encoder.layer.#.mlp.fc2"),                                   \
             [HORA_SITE_GATE] =                                                                    \
                 NAME("@encoder.layer.#.mlp.gate_proj",                                            \
                      .older_fused = "@encoder.layer.#.mlp.weights_in", .part = 0, .parts = 2),    \
             [HORA_SITE_UP] =                                                                      \
                 NAME("@encoder.layer.#.mlp.up_proj",                                              \
                      .older_fused = "@encoder.layer.#.mlp.weights_in", .part = 1, .parts = 2),    \
             [HORA_SITE_DOWN] =                                                                    \
                 OLD("@encoder.layer.#.mlp.down_proj", "@encoder.layer.#.mlp.weights_out")}

#define CLIP_TOWER                                                                                 \
    .prefix = "vision_model.", .head = "classifier", .act = "quick_gelu", .eps = 1e-5,             \
    .image = 224, .patch = 32, .flat = true, .mean = true,                                         \
    .token = {NAME("vision_model.embeddings.class_embedding")},                                    \
    .patches = NAME("vision_model.embeddings.patch_embedding"),                                    \
    .positions = NAME("vision_model.embeddings.position_embedding.weight"),                        \
    .pre_norm = NAME("vision_model.pre_layrnorm"),                                                 \
    .norm = {NAME("vision_model.encoder.layers.#.layer_norm1"),                                    \
             NAME("vision_model.encoder.layers.#.layer_norm2")},                                   \
    .site = {[HORA_SITE_Q] = NAME("vision_model.encoder.layers.#.self_attn.q_proj"),               \
             [HORA_SITE_K] = NAME("vision_model.encoder.layers.#.self_attn.k_proj"),               \
             [HORA_SITE_V] = NAME("vision_model.encoder.layers.#.self_attn.v_proj"),               \
             [HORA_SITE_O] = NAME("vision_model.encoder.layers.#.self_attn.out_proj"),             \
             [HORA_SITE_FC1] = NAME("vision_model.encoder.layers.#.mlp.fc1"),                      \
             [HORA_SITE_FC2] = NAME("vision_model.encoder.layers.#.mlp.fc2")},                     \
    .unused = {"text_model.",                                                                      \
               "logit_scale",                                                                      \
               "visual_projection.",                                                               \
               "text_projection.",                                                                 \
               "vision_model.post_layernorm.",                                                     \
               "vision_model.embeddings.position_ids",                                             \
               "post_layernorm."}

#define TIMM_QKV(n)                                                                                \
    {                                                                                              \
        .name = "blocks.#.attn." #n, .fused = "blocks.#.attn.qkv", .parts = 3
#define TIMM                                                                                       \
    .prefix = NULL, .head = "head", .act = "gelu", .eps = 1e-6, .image = 224, .patch = 16,         \
    .timm = true, .patches = NAME("patch_embed.proj"), .positions = NAME("pos_embed"),             \
    .final_norm = NAME("norm"), .norm = {NAME("blocks.#.norm1"), NAME("blocks.#.norm2")},          \
    .site = {[HORA_SITE_Q] = TIMM_QKV(q), .part = 0}, [HORA_SITE_K] = TIMM_QKV(k), .part = 1       \
    }                                                                                              \
    , [HORA_SITE_V] = TIMM_QKV(v), .part = 2                                                       \
    }                                                                                              \
    , [HORA_SITE_O] = NAME("blocks.#.attn.proj"), [HORA_SITE_FC1] = NAME("blocks.#.mlp.fc1"),      \
      [HORA_SITE_FC2] = NAME("blocks.#.mlp.fc2")                                                   \
    }                                                                                              \
    , .unused = {"head_dist.", "fc_norm.", "pre_logits."}

#define VIDEO(part) "@encoder.layer.#." part

static const vit_kind kinds[] = {
    {.type = "vit",
     .prefix = "vit.",
     .head = "classifier",
     .act = "gelu",
     .eps = 1e-12,
     .image = 224,
     .patch = 16,
     HF_EMBEDDINGS,
     HF_BLOCKS,
     .unused = {"vit.pooler.", "pooler.", "vit.embeddings.mask_token", "embeddings.mask_token"}},
    {.type = "deit",
     .taught = {"cls_classifier", "distillation_classifier"},
     .prefix = "deit.",
     .head = "classifier",
     .act = "gelu",
     .eps = 1e-12,
     .image = 224,
     .patch = 16,
     .distilled = true,
     .token = {NAME("@embeddings.cls_token"), NAME("@embeddings.distillation_token")},
     .patches = NAME("@embeddings.patch_embeddings.projection"),
     .positions = NAME("@embeddings.position_embeddings"),
     .final_norm = NAME("@layernorm"),
     HF_BLOCKS,
     .unused = {"deit.pooler.", "pooler.", "deit.embeddings.mask_token", "embeddings.mask_token",
                "cls_classifier.", "distillation_classifier."}},
    {.type = "dinov2",
     .prefix = "dinov2.",
     .head = "classifier",
     .act = "gelu",
     .eps = 1e-6,
     .image = 224,
     .patch = 16,
     .joined = true,
     HF_EMBEDDINGS,
     DINO_BLOCKS,
     .unused = {"dinov2.embeddings.mask_token", "embeddings.mask_token"}},
    {.type = "dinov2_with_registers",
     .prefix = "dinov2_with_registers.",
     .head = "classifier",
     .act = "gelu",
     .eps = 1e-6,
     .image = 224,
     .patch = 16,
     .joined = true,
     .registers = true,
     .antialias = true,
     HF_EMBEDDINGS,
     .register_tokens = NAME("@embeddings.register_tokens"),
     DINO_BLOCKS,
     .unused = {"dinov2_with_registers.embeddings.mask_token", "embeddings.mask_token"}},
    {.type = "clip", CLIP_TOWER},
    {.type = "clip_vision_model", CLIP_TOWER},
    {.type = "videomae",
     .prefix = "videomae.",
     .head = "classifier",
     .act = "gelu",
     .eps = 1e-12,
     .image = 224,
     .patch = 16,
     .video = true,
     .patches = NAME("@embeddings.patch_embeddings.projection"),
     .final_norm = NAME("@layernorm"),
     .norm = {NAME(VIDEO("layernorm_before")), NAME(VIDEO("layernorm_after"))},
     .site = {[HORA_SITE_Q] = NAME(VIDEO("attention.attention.query"),
                                   .bias = VIDEO("attention.attention.q_bias")),
              [HORA_SITE_K] = NAME(VIDEO("attention.attention.key")),
              [HORA_SITE_V] = NAME(VIDEO("attention.attention.value"),
                                   .bias = VIDEO("attention.attention.v_bias")),
              [HORA_SITE_O] = NAME(VIDEO("attention.output.dense")),
              [HORA_SITE_FC1] = NAME(VIDEO("intermediate.dense")),
              [HORA_SITE_FC2] = NAME(VIDEO("output.dense"))},
     .unused = {"fc_norm.", "encoder_to_decoder.", "mask_token", "position_embeddings"}},
    {.type = "timm", TIMM, .token = {NAME("cls_token")}},
    {.type = "timm_distilled",
     TIMM,
     .taught = {"head", "head_dist"},
     .distilled = true,
     .token = {NAME("cls_token"), NAME("dist_token")}},
};

const vit_kind *hora_vit_kind_of(const char *type) {
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        if (hora_eq(kinds[i].type, type))
            return &kinds[i];
    return NULL;
}

char *hora_vit_name(const hora_base *b, const char *pattern, int layer, const char *end) {
    hora_str s = {0};
    for (const char *p = pattern; *p; p++) {
        if (*p == '@')
            hora_str_puts(&s, b->prefix);
        else if (*p == '#')
            hora_str_printf(&s, "%d", layer);
        else
            hora_str_putc(&s, *p);
    }
    hora_str_puts(&s, end);
    return s.s;
}

/* --- timm ------------------------------------------------------------------------------------- */

/* word in the architecture's name, width, depth, heads */
static const struct {
    const char *word;
    int64_t width, depth, heads;
} sizes[] = {{"_tiny", 192, 12, 3},    {"_small", 384, 12, 6},  {"_base", 768, 12, 12},
             {"_large", 1024, 24, 16}, {"_huge", 1280, 32, 16}, {"_giant", 1408, 40, 16}};

/* The number behind `word`, 0: none. */
static int64_t number_behind(const char *text, const char *word) {
    const char *p = strstr(text, word);
    return p ? strtoll(p + strlen(word), NULL, 10) : 0;
}

static void set(hora_json *o, const char *key, int64_t v) {
    if (v > 0)
        hora_json_set(o, key, hora_json_new_int(v));
}

/* model_args: its key, ours */
static const struct {
    const char *theirs, *ours;
} args[] = {{"img_size", "image_size"},           {"patch_size", "patch_size"},
            {"embed_dim", "hidden_size"},         {"depth", "num_hidden_layers"},
            {"num_heads", "num_attention_heads"}, {"mlp_ratio", "mlp_ratio"},
            {"in_chans", "num_channels"},         {"qkv_bias", "qkv_bias"}};

hora_status hora_vit_timm_config(hora_json **out, const hora_json *config) {
    const char *name = hora_json_string(hora_json_get(config, "architecture"), NULL);
    const bool distilled = name && strstr(name, "distilled");
    hora_json *o = *out = hora_json_new_object();
    if (!name)
        name = "?";
    if (!hora_starts(name, "vit_") && !hora_starts(name, "deit_"))
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: timm's architecture `%s` is not known here; vit_* and "
                         "deit_* are",
                         name);
    static const char *const others[] = {"_reg",    "dinov2", "_gap",  "siglip", "clip",
                                         "_rope",   "eva",    "_sam",  "medium", "relpos",
                                         "srelpos", "_xp",    "so400m"};
    for (size_t i = 0; i < HORA_COUNT(others); i++)
        if (strstr(name, others[i]))
            return hora_fail(HORA_EUNSUPPORTED,
                             "config.json: timm's architecture `%s` differs from the plain ViT; "
                             "use the model in transformers' form",
                             name);
    for (size_t i = 0; i < HORA_COUNT(sizes); i++)
        if (strstr(name, sizes[i].word)) {
            set(o, "hidden_size", sizes[i].width);
            set(o, "num_hidden_layers", sizes[i].depth);
            set(o, "num_attention_heads", sizes[i].heads);
        }
    set(o, "patch_size", number_behind(name, "patch"));
    const hora_json *cfg = hora_json_get(config, "pretrained_cfg");
    const hora_json *input = hora_json_get(cfg ? cfg : config, "input_size");
    int64_t side = 0;
    if (hora_json_int(hora_json_at(input, 1), &side))
        set(o, "image_size", side);
    const hora_json *given = hora_json_get(config, "model_args");
    for (size_t i = 0; i < HORA_COUNT(args); i++)
        if (hora_json_get(given, args[i].theirs))
            hora_json_set(o, args[i].ours, hora_json_copy(hora_json_get(given, args[i].theirs)));
    if (distilled)
        hora_json_set(o, "distilled", hora_json_new_bool(true));
    return HORA_OK;
}
