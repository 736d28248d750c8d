/*
 * The LLaMA family: Llama 2 and 3.x, TinyLlama, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3. One
 * recording; what differs is a row or a field: biases, norms on q and k, head_dim, tied head,
 * sliding window, rope scaling. docs/models/llama.md is the specification.
 *
 *   h = E[ids]
 *   per block:  a = rmsnorm(h); q, k, v = sites(a); [q, k = rmsnorm per head]; q, k = rope(q, k)
 *               h = h + O(attention(q, k, v));  b = rmsnorm(h);  h = h + down(act(gate(b)) * up(b))
 *   out = rmsnorm(h)
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "model/llama_impl.h"
#include "model/rope.h"

/* --- configuration ---------------------------------------------------------------------------- */

/* key, where, default (-1: required), smallest, largest */
static const struct {
    const char *key;
    size_t offset;
    int64_t def, min, max;
} dimensions[] = {
    {"hidden_size", offsetof(hora_base, hidden), -1, 1, 1 << 20},
    {"intermediate_size", offsetof(hora_base, intermediate), -1, 1, 1 << 22},
    {"num_hidden_layers", offsetof(hora_base, layers), -1, 1, 4096},
    {"num_attention_heads", offsetof(hora_base, heads), -1, 1, 4096},
    {"num_key_value_heads", offsetof(hora_base, kv_heads), 0, 0, 4096},
    {"head_dim", offsetof(hora_base, head_dim), 0, 0, 1 << 14},
    {"vocab_size", offsetof(hora_base, vocab), -1, 1, 1 << 26},
    {"max_position_embeddings", offsetof(hora_base, max_positions), 2048, 1, INT64_C(1) << 31},
};

static hora_status read_dimensions(hora_base *b) {
    for (size_t i = 0; i < HORA_COUNT(dimensions); i++) {
        int64_t v;
        HORA_TRY(hora_json_get_int(b->config, dimensions[i].key, dimensions[i].def, &v));
        if (v == -1 && dimensions[i].def == -1)
            return hora_fail(HORA_EFORMAT, "config.json has no `%s`; a %s needs it",
                             dimensions[i].key, b->model_type);
        if (v < dimensions[i].min || v > dimensions[i].max)
            return hora_fail(HORA_EFORMAT, "config.json: %s is %lld, which makes no model",
                             dimensions[i].key, (long long)v);
        *(int64_t *)((char *)b + dimensions[i].offset) = v;
    }
    if (!b->kv_heads)
        b->kv_heads = b->heads;
    if (!b->head_dim) {
        if (b->hidden % b->heads)
            return hora_fail(HORA_EFORMAT,
                             "config.json: hidden_size %lld is no multiple of num_attention_heads "
                             "%lld and there is no head_dim",
                             (long long)b->hidden, (long long)b->heads);
        b->head_dim = b->hidden / b->heads;
    }
    if (b->heads % b->kv_heads)
        return hora_fail(
            HORA_EFORMAT,
            "config.json: num_attention_heads %lld is no multiple of num_key_value_heads %lld",
            (long long)b->heads, (long long)b->kv_heads);
    if (b->head_dim % 2)
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: head_dim %lld is odd; rotary embedding needs pairs",
                         (long long)b->head_dim);
    return HORA_OK;
}

static hora_status read_rope(hora_base *b, llama *c) {
    double partial;
    HORA_TRY(hora_json_get_real(b->config, "rope_theta", 10000, &c->theta));
    HORA_TRY(hora_json_get_real(b->config, "partial_rotary_factor", 1, &partial));
    if (!(c->theta > 0))
        return hora_fail(HORA_EFORMAT, "config.json: rope_theta must be positive");
    if (partial != 1)
        return hora_fail(HORA_EUNSUPPORTED,
                         "config.json: partial_rotary_factor %g; only whole heads are rotated here",
                         partial);
    hora_rope_frequencies f;
    HORA_TRY(hora_rope_read(&f, hora_json_get(b->config, "rope_scaling"), c->theta, b->head_dim / 2,
                            b->max_positions));
    c->freq = f.freq;
    c->rope_scale = f.scale;
    b->max_positions = hora_max(f.positions, f.far);
    b->far_positions = f.far ? f.positions : 0;
    b->far_stretch = f.stretch;
    return HORA_OK;
}

static hora_status read_window(const hora_base *b, llama *c) {
    bool mistral = hora_eq(b->model_type, "mistral"), use, sliding = false;
    int64_t window, from;
    HORA_TRY(hora_json_get_int(b->config, "sliding_window", 0, &window));
    HORA_TRY(hora_json_get_bool(b->config, "use_sliding_window", mistral, &use));
    HORA_TRY(hora_json_get_int(b->config, "max_window_layers", mistral ? 0 : b->layers, &from));
    const hora_json *types = hora_json_get(b->config, "layer_types");
    if (hora_json_type(types) == HORA_JARRAY && (int64_t)hora_json_len(types) != b->layers)
        return hora_fail(HORA_EFORMAT, "config.json: layer_types has %zu entries for %lld layers",
                         hora_json_len(types), (long long)b->layers);
    for (int64_t i = 0; i < b->layers; i++) {
        c->layer[i].windowed = use && i >= from;
        if (hora_json_type(types) == HORA_JARRAY) {
            const char *t = hora_json_string(hora_json_at(types, (size_t)i), NULL);
            if (!hora_eq(t, "full_attention") && !hora_eq(t, "sliding_attention"))
                return hora_fail(HORA_EUNSUPPORTED,
                                 "config.json: layer_types holds `%s`; only full_attention and "
                                 "sliding_attention are computed here",
                                 t ? t : "?");
            c->layer[i].windowed = hora_eq(t, "sliding_attention");
        }
        sliding |= c->layer[i].windowed;
    }
    if (window < 0)
        return hora_fail(HORA_EFORMAT, "config.json: sliding_window must be positive or null");
    c->window = sliding ? window : 0;
    return HORA_OK;
}

/* bitsandbytes' nf4 is read (format/bnb.h). */
static hora_status check_quantization(const hora_json *q) {
    bool four = false;
    hora_json_bool(hora_json_get(q, "load_in_4bit"), &four);
    const char *by = hora_json_string(hora_json_get(q, "quant_method"), NULL);
    const char *type = hora_json_string(hora_json_get(q, "bnb_4bit_quant_type"), NULL);
    return hora_eq(by, "bitsandbytes") && four && hora_eq(type, "nf4")
               ? HORA_OK
               : hora_fail(HORA_EUNSUPPORTED,
                           "config.json has a quantization_config other than bitsandbytes' nf4; "
                           "open an unquantised copy of the model (f32, f16, bf16)");
}

static hora_status read_switches(hora_base *b, llama *c) {
    bool qwen2 = hora_eq(b->model_type, "qwen2"), attention_bias;
    double dropout;
    HORA_TRY(hora_json_get_bool(b->config, "attention_bias", false, &attention_bias));
    HORA_TRY(hora_json_get_bool(b->config, "mlp_bias", false, &c->mlp_bias));
    HORA_TRY(hora_json_get_bool(b->config, "tie_word_embeddings", false, &b->tied));
    HORA_TRY(hora_json_get_real(b->config, "rms_norm_eps", 1e-6, &c->eps));
    HORA_TRY(hora_json_get_real(b->config, "initializer_range", 0.02, &c->init_std));
    HORA_TRY(hora_json_get_real(b->config, "attention_dropout", 0, &dropout));
    c->qkv_bias = attention_bias || qwen2;
    c->o_bias = attention_bias;
    b->query_norm = c->qk_norm = hora_eq(b->model_type, "qwen3");
    if (dropout > 0)
        hora_warn("config.json: attention_dropout %g is not applied in training", dropout);
    if (!(c->eps > 0))
        return hora_fail(HORA_EFORMAT, "config.json: rms_norm_eps must be positive");
    const hora_json *q = hora_json_get(b->config, "quantization_config");
    return hora_json_type(q) == HORA_JOBJECT ? check_quantization(q) : HORA_OK;
}

/* --- weights table ---------------------------------------------------------------------------- */

static int add_norm(hora_base *b, int layer, const char *name, int64_t width) {
    return hora_base_add_weight(b, hora_format("model.layers.%d.%s.weight", layer, name),
                                HORA_SHAPE1(width), HORA_ROLE_NORM, layer, 0);
}

void hora_llama_sites(hora_base *b, const llama *c, int layer, const llama_site *rows, int n) {
    for (int i = 0; i < n; i++) {
        hora_site *s = &b->sites[b->nsites];
        if (!rows[i].out)
            continue;
        b->nsites++;
        *s = (hora_site){.kind = rows[i].kind,
                         .layer = layer,
                         .in = rows[i].in,
                         .out = rows[i].out,
                         .heads = rows[i].heads,
                         .head_dim = rows[i].head_dim,
                         .bias = -1};
        s->module = hora_format("model.layers.%d.%s", layer, rows[i].module);
        s->weight =
            hora_base_add_weight(b, hora_format("%s.weight", s->module), HORA_SHAPE2(s->out, s->in),
                                 HORA_ROLE_WEIGHT, layer, c->init_std);
        if (rows[i].bias)
            s->bias = hora_base_add_weight(b, hora_format("%s.bias", s->module),
                                           HORA_SHAPE1(s->out), HORA_ROLE_BIAS, layer, 0);
    }
}

static void attention_sites(hora_base *b, const llama *c, int layer) {
    const int64_t d = b->hidden, dh = b->head_dim, h = b->heads, g = b->kv_heads;
    const llama_site rows[] = {
        {"self_attn.q_proj", HORA_SITE_Q, d, h * dh, h, dh, c->qkv_bias},
        {"self_attn.k_proj", HORA_SITE_K, d, g * dh, g, dh, c->qkv_bias},
        {"self_attn.v_proj", HORA_SITE_V, d, g * dh, g, dh, c->qkv_bias},
        {"self_attn.o_proj", HORA_SITE_O, h * dh, d, h, dh, c->o_bias},
    };
    hora_llama_sites(b, c, layer, rows, (int)HORA_COUNT(rows));
}

static void mlp_sites(hora_base *b, const llama *c, int layer) {
    const int64_t d = b->hidden, f = b->intermediate, dh = b->head_dim;
    const llama_site rows[] = {
        {"mlp.gate_proj", HORA_SITE_GATE, d, f, 0, dh, c->mlp_bias},
        {"mlp.up_proj", HORA_SITE_UP, d, f, 0, dh, c->mlp_bias},
        {"mlp.down_proj", HORA_SITE_DOWN, f, d, 0, dh, c->mlp_bias},
    };
    hora_llama_sites(b, c, layer, rows, (int)HORA_COUNT(rows));
}

void hora_llama_weights(hora_base *b) {
    llama *c = b->own;
    b->sites = hora_calloc((size_t)b->layers * HORA_SITES, sizeof *b->sites);
    b->embed =
        hora_base_add_weight(b, hora_strdup("model.embed_tokens.weight"),
                             HORA_SHAPE2(b->vocab, b->hidden), HORA_ROLE_EMBED, -1, c->init_std);
    for (int i = 0; i < b->layers; i++) {
        llama_layer *l = &c->layer[i];
        l->input_norm = add_norm(b, i, "input_layernorm", b->hidden);
        c->sites(b, c, i);
        mlp_sites(b, c, i);
        l->q_norm = c->qk_norm ? add_norm(b, i, "self_attn.q_norm", b->head_dim) : -1;
        l->k_norm = c->qk_norm ? add_norm(b, i, "self_attn.k_norm", b->head_dim) : -1;
        l->post_norm = add_norm(b, i, "post_attention_layernorm", b->hidden);
    }
    c->final_norm = hora_base_add_weight(b, hora_strdup("model.norm.weight"),
                                         HORA_SHAPE1(b->hidden), HORA_ROLE_NORM, -1, 0);
    if (b->bare) {
        b->head = -1;
        return;
    }
    b->head =
        hora_base_add_weight(b, hora_strdup("lm_head.weight"), HORA_SHAPE2(b->vocab, b->hidden),
                             HORA_ROLE_HEAD, -1, c->init_std);
    b->weights[b->head].tied = b->tied;
}

hora_status hora_llama_read(hora_base *b) {
    llama *c = b->own = hora_calloc(1, sizeof *c);
    b->prefix = "model.";
    b->head_module = "score";
    HORA_TRY(read_dimensions(b));
    c->layer = hora_calloc((size_t)b->layers, sizeof *c->layer);
    HORA_TRY(hora_family_act(b->config, "hidden_act", "silu", &c->act));
    HORA_TRY(read_rope(b, c));
    HORA_TRY(read_window(b, c));
    HORA_TRY(read_switches(b, c));
    b->head_std = c->init_std;
    return HORA_OK;
}

void hora_llama_release(hora_base *b) {
    llama *c = b->own;
    if (!c)
        return;
    if (c->latent)
        hora_latent_free(c->latent);
    hora_free(c->freq);
    hora_free(c->layer);
    hora_free(c);
}

/* --- recording -------------------------------------------------------------------------------- */

static hora_t attention(hora_net *n, const llama *c, int layer, hora_t x) {
    const llama_layer *l = &c->layer[layer];
    hora_graph *g = n->g;
    const hora_base *b = n->base;
    hora_t q = hora_net_site(n, HORA_SITE_Q, x); /* (rows, H dh) */
    hora_t k = hora_net_site(n, HORA_SITE_K, x); /* (rows, G dh) */
    hora_t v = hora_net_site(n, HORA_SITE_V, x); /* (rows, G dh) */
    if (c->qk_norm) {
        q = hora_rmsnorm(g, q, hora_net_weight(n, l->q_norm), c->eps);
        k = hora_rmsnorm(g, k, hora_net_weight(n, l->k_norm), c->eps);
    }
    q = hora_net_rope(n, q, b->heads, c->freq, c->rope_scale);
    k = hora_net_rope(n, k, b->kv_heads, c->freq, c->rope_scale);
    hora_t y =
        hora_net_attend(n, q, k, v, l->windowed ? c->window : 0, 1 / sqrt((double)b->head_dim));
    return hora_net_site(n, HORA_SITE_O, y);
}

static hora_status configure(hora_base *b) {
    HORA_TRY(hora_llama_read(b));
    llama *c = b->own;
    c->sites = attention_sites;
    c->attention = attention;
    hora_llama_weights(b);
    return HORA_OK;
}

hora_t hora_llama_record(hora_net *n) {
    const llama *c = n->base->own;
    hora_t h = hora_net_embed(n); /* (rows, d) */
    for (int i = 0; i < n->base->layers; i++) {
        const llama_layer *l = &c->layer[i];
        h = hora_net_block(n, i, h);
        hora_t x = hora_rmsnorm(n->g, h, hora_net_weight(n, l->input_norm), c->eps);
        h = hora_net_sublayer(n, HORA_BLOCK_ATTN, h, x,
                              c->attention(n, c, i, hora_net_enter(n, HORA_BLOCK_ATTN, h, x)));
        x = hora_rmsnorm(n->g, h, hora_net_weight(n, l->post_norm), c->eps);
        h = hora_net_sublayer(n, HORA_BLOCK_MLP, h, x,
                              hora_net_gated(n, hora_net_enter(n, HORA_BLOCK_MLP, h, x), c->act));
        h = hora_net_block_end(n, h);
    }
    return hora_rmsnorm(n->g, h, hora_net_weight(n, c->final_norm), c->eps);
}

/* --- for those who recompute a layer ---------------------------------------------------------- */
static void attention_form(const hora_base *b, int layer, hora_attention_form *out) {
    const llama *c = b->own;
    const llama_layer *l = &c->layer[layer];
    *out = (hora_attention_form){.causal = true,
                                 .window = l->windowed ? c->window : 0,
                                 .freq = c->freq,
                                 .scale = c->rope_scale * c->rope_scale / sqrt((double)b->head_dim),
                                 .q_norm = l->q_norm,
                                 .k_norm = l->k_norm,
                                 .eps = c->eps};
}

const hora_family hora_family_llama = {
    .name = "llama",
    .summary = "Llama 2 and 3.x, TinyLlama, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3",
    .model_types = "llama mistral qwen2 qwen3",
    .configure = configure,
    .record = hora_llama_record,
    .release = hora_llama_release,
    .attention = attention_form,
};
