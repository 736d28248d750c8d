/*
 * Multi-head latent attention in a LLaMA: what `hora convert --to latent` writes (MHA2MLA, T. Ji et
 * al., arXiv 2502.14837; the attention is DeepSeek-V2's, arXiv 2405.04434). docs/models/latent.md
 * is the specification. Of attention it has
 *
 *   q = W_q a;  c = W_down a;  r = rope of W_r a;  k = r with rotary pairs of heads, W_k c with
 *   the others;  v = W_v c;  h = h + O(attention(q, k, v)),  q turned where a pair is rotary
 *
 * A head's pairs are its columns (l, l + dh/2), the p rotary ones first; which frequencies these
 * have is said for each layer and key-value head. All else is model_llama.c's.
 */
#include <math.h>

#include "base/text.h"
#include "model/llama_impl.h"

typedef struct hora_latent {
    int64_t rank, p; /* width of c; rotary pairs of a head */
    double *head;    /* (layers, G, dh/2): frequencies of q's pairs, 0 behind the p-th */
    double *key;     /* (layers, G, p) */
    void *identity;  /* (rank + 1, rank) in the base's dtype, and (rank + 1): hora_identity's */
    int32_t *last;
} hora_latent;

void hora_latent_free(hora_latent *l) {
    hora_free(l->head);
    hora_free(l->key);
    hora_free(l->identity);
    hora_free(l->last);
    hora_free(l);
}

/* --- config.json ------------------------------------------------------------------------------ */

/* The pairs of one key-value head: p different ones of head_dim / 2, rising. */
static hora_status read_head(const hora_base *b, const llama *c, const hora_json *list,
                             int64_t layer, int64_t g) {
    const hora_latent *l = c->latent;
    const int64_t half = b->head_dim / 2, at = layer * b->kv_heads + g;
    int64_t last = -1, pair;
    bool good = hora_json_type(list) == HORA_JARRAY && (int64_t)hora_json_len(list) == l->p;
    for (int64_t k = 0; good && k < l->p; k++, last = pair) {
        good = hora_json_int(hora_json_at(list, (size_t)k), &pair) && pair > last && pair < half;
        if (good)
            l->key[at * l->p + k] = l->head[at * half + k] = c->freq[pair];
    }
    return good ? HORA_OK
                : hora_fail(HORA_EFORMAT,
                            "config.json: latent.rotary_pairs of layer %lld, head %lld should be "
                            "%lld rising numbers below %lld",
                            (long long)layer, (long long)g, (long long)l->p, (long long)half);
}

static hora_status read_pairs(const hora_base *b, llama *c, const hora_json *pairs) {
    hora_latent *l = c->latent;
    const hora_json *first = hora_json_at(hora_json_at(pairs, 0), 0);
    l->p = hora_json_type(first) == HORA_JARRAY ? (int64_t)hora_json_len(first) : 0;
    if ((int64_t)hora_json_len(pairs) != b->layers || l->p < 1 || l->p > b->head_dim / 2)
        return hora_fail(HORA_EFORMAT,
                         "config.json: latent.rotary_pairs should be a list of %lld layers of %lld "
                         "heads of 1 to %lld pairs",
                         (long long)b->layers, (long long)b->kv_heads,
                         (long long)(b->head_dim / 2));
    const size_t heads = (size_t)(b->layers * b->kv_heads);
    l->head = hora_calloc(heads * (size_t)(b->head_dim / 2), sizeof *l->head);
    l->key = hora_calloc(heads * (size_t)l->p, sizeof *l->key);
    for (int64_t i = 0; i < b->layers; i++) {
        const hora_json *layer = hora_json_at(pairs, (size_t)i);
        if ((int64_t)hora_json_len(layer) != b->kv_heads)
            return hora_fail(HORA_EFORMAT,
                             "config.json: latent.rotary_pairs of layer %lld should be %lld lists, "
                             "one for each key-value head",
                             (long long)i, (long long)b->kv_heads);
        for (int64_t g = 0; g < b->kv_heads; g++)
            HORA_TRY(read_head(b, c, hora_json_at(layer, (size_t)g), i, g));
    }
    return HORA_OK;
}

static hora_status read_latent(hora_base *b, llama *c) {
    const hora_json *o = hora_json_get(b->config, "latent");
    hora_latent *l = c->latent = hora_calloc(1, sizeof *l);
    if (hora_json_type(o) != HORA_JOBJECT || !hora_json_int(hora_json_get(o, "rank"), &l->rank) ||
        l->rank < 1 || l->rank > 1 << 20)
        return hora_fail(HORA_EFORMAT, "config.json: a latent model needs latent.rank, the width "
                                       "of its latents");
    HORA_TRY(read_pairs(b, c, hora_json_get(o, "rotary_pairs")));
    b->latent = b->kv_heads * 2 * l->p + l->rank;
    const int64_t n = (l->rank + 1) * l->rank;
    l->identity = hora_calloc((size_t)n, hora_dtype_size(b->dtype));
    l->last = hora_calloc((size_t)l->rank + 1, sizeof *l->last);
    for (int64_t i = 0; i <= l->rank; i++)
        l->last[i] = i < l->rank ? (int32_t)l->rank : -1;
    for (int64_t i = 0; i < l->rank; i++)
        hora_value_put(l->identity, b->dtype, i * l->rank + i, 1);
    return HORA_OK;
}

/* --- weights and recording -------------------------------------------------------------------- */
static void sites(hora_base *b, const llama *c, int layer) {
    const hora_latent *l = c->latent;
    const int64_t d = b->hidden, dh = b->head_dim, h = b->heads, g = b->kv_heads,
                  rest = dh - 2 * l->p;
    const llama_site rows[] = {
        {"self_attn.q_proj", HORA_SITE_Q, d, h * dh, h, dh, c->qkv_bias},
        {"self_attn.k_up_proj", HORA_SITE_K, l->rank, g * rest, g, rest, false},
        {"self_attn.v_up_proj", HORA_SITE_V, l->rank, g * dh, g, dh, false},
        {"self_attn.o_proj", HORA_SITE_O, h * dh, d, h, dh, c->o_bias},
        {"self_attn.kv_down_proj", HORA_SITE_KV_DOWN, d, l->rank, 0, dh, false},
        {"self_attn.k_rope_proj", HORA_SITE_K_ROPE, d, g * 2 * l->p, g, 2 * l->p, c->qkv_bias},
    };
    hora_llama_sites(b, c, layer, rows, (int)HORA_COUNT(rows));
}

static hora_t attention(hora_net *n, const llama *c, int layer, hora_t x) {
    const hora_base *b = n->base;
    const hora_latent *l = c->latent;
    const int64_t g = b->kv_heads, at = layer * g, half = b->head_dim / 2;
    const int64_t window = c->layer[layer].windowed ? c->window : 0;
    /* what the rotation multiplies q and k by, the pairs that stay included */
    const double scale = c->rope_scale * c->rope_scale / sqrt((double)b->head_dim);
    hora_t q = hora_net_site(n, HORA_SITE_Q, x);            /* (rows, H dh) */
    hora_t r = hora_net_site(n, HORA_SITE_K_ROPE, x);       /* (rows, G 2p) */
    hora_t latent = hora_net_site(n, HORA_SITE_KV_DOWN, x); /* (rows, rank) */
    q = hora_net_rope_partly(n, q, b->heads, b->head_dim, l->head + at * half, g);
    r = hora_net_rope_partly(n, r, g, 2 * l->p, l->key + at * l->p, g);
    if (n->mode == HORA_NET_DECODE) {
        const hora_identity one = {{l->identity, b->dtype, HORA_SHAPE2(l->rank + 1, l->rank)},
                                   l->last};
        return hora_net_site(n, HORA_SITE_O,
                             hora_net_attend_latent(n, q, r, latent, &one, window, scale));
    }
    hora_t v = hora_net_site(n, HORA_SITE_V, latent); /* (rows, G dh) */
    hora_t k = r;
    if (l->p < half) /* each half of a head: rotary columns, then the others */
        k = hora_interleave(n->g, r, hora_net_site(n, HORA_SITE_K, latent), 2 * g);
    return hora_net_site(n, HORA_SITE_O, hora_net_attend(n, q, k, v, window, scale));
}

static hora_status configure(hora_base *b) {
    HORA_TRY(hora_llama_read(b));
    llama *c = b->own;
    if (c->qk_norm)
        return hora_fail(HORA_EUNSUPPORTED, "config.json: a latent model has no norms of keys");
    HORA_TRY(read_latent(b, c));
    c->sites = sites;
    c->attention = attention;
    hora_llama_weights(b);
    return HORA_OK;
}

const hora_family hora_family_latent = {
    .name = "latent",
    .summary = "LLaMA-like with a cache of latents: what hora convert --to latent writes",
    .model_types = "latent",
    .configure = configure,
    .record = hora_llama_record,
    .release = hora_llama_release,
};
