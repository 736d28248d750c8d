#ifndef HORA_NN_HOOKS_H
#define HORA_NN_HOOKS_H
/*
 * Where methods change a model. NULL means "as the base model does". A family never calls a verb
 * for a projection, it calls a site; the site asks the attached methods in order.
 */
#include "graph/verbs.h"
#include "nn/adapter.h"

typedef struct hora_net hora_net;

enum { HORA_KEEPS = 3 };

typedef enum { HORA_BLOCK_IN, HORA_BLOCK_ATTN, HORA_BLOCK_MLP, HORA_BLOCK_OUT } hora_where;
/* What a block hook sees: res, the residual stream; x, what the sublayer's first maps read (after
 * the norm); y, its result before it is added. At IN and OUT all three are the residual stream. */
typedef struct hora_sub {
    hora_t res, x, y;
} hora_sub;

/* What the output layer computes of the last hidden state x: x w' + b + alpha u f'. */
typedef struct hora_head {
    hora_t w, b;  /* (V, hidden); (V) or NONE */
    hora_t u, f;  /* (rows, r), made of x, and (V, r); or NONE, both */
    double alpha; /* of the low-rank term */
} hora_head;

/* What attention is about to be computed of: q (rows, H dh), k, v (rows, G dh), all rotated; mix
 * (H, H), by which maps of the heads are recombined, or NONE: P_g + sum_h mix[g,h] P_h. */
typedef struct hora_attend {
    hora_t q, k, v, mix;
} hora_attend;

typedef struct hora_hooks {
    /* 1 Base weights to train: the parameter that replaces weight `w`, or NULL. */
    hora_param *(*select)(hora_adapter *, int w);
    /* 2 Nodes made of parameters alone; layer -1 once, then once per block before its sites.
     * Recorded into `before`. */
    void (*prelude)(hora_net *, hora_adapter *, int layer);
    /* 3 Embedded rows. */
    hora_t (*input)(hora_net *, hora_adapter *, hora_t h);
    /* 4 A projection; call hora_net_next for the next method's, finally the base's, result. */
    hora_t (*linear)(hora_net *, hora_adapter *, const hora_site *, hora_t x, hora_t w, hora_t b);
    /* 5 Attention prefix: kp, vp (p, G dh). Preset to NONE. */
    void (*kv)(hora_net *, hora_adapter *, int layer, hora_t *kp, hora_t *vp);
    /* Positions that its prefix takes: the rows of the batch stand behind them. NULL: none. */
    int64_t (*shift)(const hora_adapter *);
    /* Rows that it wants in every sample: hora_net_slots. NULL: none. */
    int64_t (*slots)(const hora_adapter *);
    /* Vectors that a block makes of the prompt and keeps for the answer: width of the i-th,
     * i < HORA_KEEPS, 0: none. Only one adapter can. NULL: none. */
    int64_t (*keeps)(const hora_adapter *, int layer, int i);
    /* 6 Around sublayers: returns the new y. */
    hora_t (*block)(hora_net *, hora_adapter *, int layer, hora_where, const hora_sub *);
    /* 7 Rows of the token table, before a family adds positions or anything else: the new h. */
    hora_t (*tokens)(hora_net *, hora_adapter *, hora_t h);
    /* 8 The output layer over x (rows, hidden): changes parts of it; hora_net_head_low gives it a
     * low-rank term. */
    void (*head)(hora_net *, hora_adapter *, hora_t x, hora_head *);
    /* Attention of a block: changes parts of it. */
    void (*attend)(hora_net *, hora_adapter *, int layer, hora_attend *);
    /* Which rows take part in a sublayer, from the residual stream in front of it: gates (rows, 1)
     * of 0 and 1; NONE: all. *whole: rows of a sample take part together. */
    hora_t (*takes)(hora_net *, hora_adapter *, int layer, hora_where, hora_t res, bool *whole);
    /* In training: true for a second pass over the batch, whose loss is added; *distil: the first
     * follows its logits too. */
    bool (*second)(const hora_adapter *, bool *distil);
    /* How far a block's rows see: `window` and `ahead` of attention (0: all), to be made less. */
    void (*reach)(hora_adapter *, int layer, int64_t *window, int64_t *ahead);
    /* What a block's attention compares: q (rows, H dh), k (rows, G dh), and how. */
    void (*compared)(hora_net *, hora_adapter *, hora_t q, hora_t k, const hora_attr *at);
} hora_hooks;
#endif
