#ifndef HORA_MODEL_LLAMA_IMPL_H
#define HORA_MODEL_LLAMA_IMPL_H
/*
 * What the LLaMA family shares with a model that was made of one: everything but the projections of
 * attention and what is computed between them.
 */
#include "model/family.h"

typedef struct llama_layer {
    int input_norm, post_norm, q_norm, k_norm; /* weight indices; -1: none */
    bool windowed;
} llama_layer;

struct hora_latent; /* model_latent.c */
typedef struct llama llama;
struct llama {
    int64_t window;
    double eps, theta, rope_scale, init_std;
    hora_act act;
    bool qkv_bias, o_bias, mlp_bias, qk_norm;
    double *freq; /* head_dim / 2 */
    llama_layer *layer;
    int final_norm;
    struct hora_latent *latent; /* owned; NULL: keys and values */
    /* Adds the sites of attention. */
    void (*sites)(hora_base *, const llama *, int layer);
    /* x (rows, d) -> what attention adds to the residual stream. */
    hora_t (*attention)(hora_net *, const llama *, int layer, hora_t x);
};

/* module, site, width in, width out in terms of the configuration (0: there is none); heads for
 * methods that work head by head */
typedef struct llama_site {
    const char *module;
    hora_site_kind kind;
    int64_t in, out, heads, head_dim;
    bool bias;
} llama_site;
void hora_llama_sites(hora_base *b, const llama *c, int layer, const llama_site *rows, int n);

/* In this order: config.json into b->own; then, with `sites` and `attention` set, the weights. */
hora_status hora_llama_read(hora_base *b);
void hora_llama_weights(hora_base *b);
hora_t hora_llama_record(hora_net *n);
void hora_llama_release(hora_base *b);
void hora_latent_free(struct hora_latent *l);
#endif
