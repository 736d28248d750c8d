#ifndef HORA_NN_NET_H
#define HORA_NN_NET_H
/*
 * Recording a model with methods attached. A net is the short-lived bracket around one recording:
 * graph, base, adapters, mode.
 *
 *   hora_net n; hora_net_init(&n, graph, base, adapters, k, HORA_NET_TRAIN);
 *   hora_t h = hora_model_record(&n);            (model/family.h), then a task's head and loss
 *   hora_graph_plan(..); hora_net_bind(&n); hora_graph_prepare(..)
 *
 * recording.h does all of it.
 */
#include "nn/hooks.h"

typedef enum {
    HORA_NET_TRAIN, /* dropout on */
    HORA_NET_EVAL,  /* dropout off, no backward */
    HORA_NET_DECODE /* over key/value caches, no backward */
} hora_net_mode;

/* What a training leaves out at random besides what methods do. */
typedef struct hora_drops {
    double path; /* probability that a sample goes past the last layer; grows from 0 at the first */
    bool body;   /* dropout where the base's config.json has it */
} hora_drops;

struct hora_net {
    hora_graph *g;
    const hora_base *base;
    hora_adapter *const *adapters;
    int nadapters;
    hora_net_mode mode;
    hora_drops drops;
    int layer;
    int pass;                         /* 1: the second over the same batch, after the outputs */
    hora_t gate;                      /* of the sublayer in progress; NONE: all rows take part */
    bool entered;                     /* hora_net_enter was asked for it */
    bool packed;                      /* its rows are those alone */
    int next;                         /* adapter whose hook the chain of a site asks next */
    bool weighed, routed;             /* the hook that was asked has heeded its weight, its task */
    int route, around;                /* task of the hook that is asked, and of the one around it */
    hora_t *leaf;                     /* per base weight, NONE until used */
    bool *frozen;                     /* per base weight: its leaf is the base's own */
    hora_t **param_leaf;              /* per adapter, per parameter */
    const hora_view *kcache, *vcache; /* DECODE: per layer, borrowed: (capacity, G dh),
                                       * or of latents (capacity, base->latent), kcache alone */
    /* DECODE: per layer and kept vector, borrowed; NULL: nothing is kept. `answers`: they stand
     * there already, else the rows are a whole prompt. */
    const hora_view *kept;
    bool answers;
};

void hora_net_init(hora_net *n, hora_graph *g, const hora_base *base, hora_adapter *const *adapters,
                   int nadapters, hora_net_mode mode);
void hora_net_release(hora_net *n);
/* Gives every parameter leaf the memory of its hora_param, and every frozen leaf that of its
 * weight: a base may be recorded and planned from headers and completed afterwards. After plan,
 * before prepare. */
void hora_net_bind(hora_net *n);
/* Calls the preludes of all layers without recording a model: for evaluating generated factors. */
void hora_net_preludes(hora_net *n);

/* --- for families, in the order of a forward pass --------------------------------------------- */
/* leaf of a base weight: frozen, or the parameter that replaces it; -1 gives NONE */
hora_t hora_net_weight(hora_net *n, int weight);
hora_t hora_net_embed(hora_net *n); /* (rows, hidden) of the batch's ids; begins the recording */
/* The parts of it, around embeddings of the family's own: the rows of base->embed, with whatever
 * is attached to it; what goes into the blocks. */
void hora_net_begin(hora_net *n);
hora_t hora_net_tokens(hora_net *n);
hora_t hora_net_embedded(hora_net *n, hora_t h);
/* opens block `layer` around residual stream h */
hora_t hora_net_block(hora_net *n, int layer, hora_t h);
hora_t hora_net_block_end(hora_net *n, hora_t h);
/* projection with whatever is attached */
hora_t hora_net_site(hora_net *n, hora_site_kind k, hora_t x);
/* the gated feed-forward, down (act(gate x) * up x) */
hora_t hora_net_gated(hora_net *n, hora_t x, hora_act act);
/* Rotates heads of head_dim by their positions, which begin behind what methods put in front. */
hora_t hora_net_rope(hora_net *n, hora_t x, int64_t heads, const double *freq, double scale);
/* The same for heads of another width, with freq (tables, head_dim/2), of which head h takes row
 * h tables / heads; a pair whose frequency is 0 stays. */
hora_t hora_net_rope_partly(hora_net *n, hora_t x, int64_t heads, int64_t head_dim,
                            const double *freq, int64_t tables);
/* q (rows, H dh), k v (rows, G dh) -> (rows, H dh); prefix and caches are its business. */
hora_t hora_net_attend(hora_net *n, hora_t q, hora_t k, hora_t v, int64_t window, double scale);
/* The same where a row also sees at most `ahead` keys behind itself; 0: all of its range. */
hora_t hora_net_attend_near(hora_net *n, hora_t q, hora_t k, hora_t v, int64_t window,
                            int64_t ahead, double scale);
/* DECODE over latents c (rows, w) and turned parts r (rows, G 2p) of keys, which are cached instead
 * of keys and values: the sites K and V, which make the rest of them from c, are absorbed into q
 * and the result (op_latent_attention.c). -> (rows, H dh) */
typedef struct hora_identity {
    hora_view at;        /* (w + 1, w): ones on the diagonal, the last row zeros */
    const int32_t *last; /* (w + 1) rows of such a matrix: w for each of the first w, then -1 */
} hora_identity;
hora_t hora_net_attend_latent(hora_net *n, hora_t q, hora_t r, hora_t c, const hora_identity *one,
                              int64_t window, double scale);
/* What the maps of a sublayer are to read: x, or the rows of it that take part. In front of each
 * hora_net_sublayer. */
hora_t hora_net_enter(hora_net *n, hora_where where, hora_t res, hora_t x);
/* The new residual stream: res + (what methods make of) y. */
hora_t hora_net_sublayer(hora_net *n, hora_where where, hora_t res, hora_t x, hora_t y);
/* The output layer over x (rows, hidden), with whatever is attached, and what it computes: logits
 * (rows, V), or their cross-entropy against the batch's targets (1). */
hora_head hora_net_head(hora_net *n, hora_t x);
hora_t hora_net_logits(hora_net *n, const hora_head *h, hora_t x);
hora_t hora_net_xent(hora_net *n, const hora_head *h, hora_t x);

/* --- for methods ------------------------------------------------------------------------------ */
hora_t hora_net_param(hora_net *n, const hora_param *p); /* its leaf in this recording */
/* In hook `kv`: gives attention the prefix p; of a sample only one adapter can. */
void hora_net_prefix(hora_net *n, hora_t *prefix, hora_t p);
hora_t hora_net_next(hora_net *n, const hora_site *s, hora_t x, hora_t w, hora_t b);
/* The projection plus alpha (xd a') f', with a (r, in), f (out, r) and xd made of x (or x itself):
 * one op where this method is the last of the chain. */
hora_t hora_net_lowrank(hora_net *n, const hora_site *s, hora_t x, hora_t w, hora_t b, hora_t xd,
                        hora_t a, hora_t f, double alpha);
/* The same where this is all that the adapter does to the site: heeds its weight and its task.
 * Other hooks need not: the site goes that share of the way from what it was without them, and in
 * rows of other tasks it stays so. */
hora_t hora_net_update(hora_net *n, const hora_adapter *ad, const hora_site *s, hora_t x, hora_t w,
                       hora_t b, hora_t xd, hora_t a, hora_t f, double alpha);
/* Behind hora_net_update, where the hook changes more of the site: rows of other tasks must not
 * have that either. It heeds the weight itself. */
void hora_net_beyond(hora_net *n);
/* For hook 8: the term alpha u f'. Only one of the attached may give it. */
void hora_net_head_low(hora_net *n, const hora_adapter *a, hora_head *h, hora_t u, hora_t f,
                       double alpha);
/* Rows that batches hold for adapters, in front of a sample's tokens (of pictures: behind the
 * tokens in front of the pieces): their ids are -n .. -1. The most that a sample has, and those of
 * the samples of a task (-1: of none). */
int64_t hora_adapters_slots(hora_adapter *const *at, int n);
int64_t hora_adapters_slots_of(hora_adapter *const *at, int n, int route);
/* There is no share of what it does: prompts and prefixes are there or not, and so is what decides
 * which rows take part or are seen. */
bool hora_adapter_whole(const hora_adapter *a);
/* Recordings ask it: it is switched on, and where there is no share its weight is not 0. */
bool hora_adapter_on(const hora_adapter *a);
int64_t hora_net_slots(const hora_net *n);
/* Positions of the base that stand in front of a text's first token, at most: those rows, and where
 * tokens are turned behind the keys of a prefix (an encoder's stay) those keys. */
int64_t hora_adapters_front(hora_adapter *const *at, int n);
/* One adapter, which keeps vectors of the prompt: *a; NULL: none. HORA_EUSAGE: two do. */
hora_status hora_adapters_keeper(hora_adapter *const *at, int n, hora_adapter **a);
/* y (rows, w) times the i-th vector that the block in progress keeps of the prompt: x (rows, w),
 * the same in every row, as its adapter makes it; NONE where n->answers. */
hora_t hora_net_keep(hora_net *n, int i, hora_t y, hora_t x);
double hora_net_dropout(const hora_net *n, double p); /* p when training, else 0 */
/* random stream of a node */
uint64_t hora_net_stream(const hora_net *n, const hora_adapter *a, const char *what, int index);
/* Records the family once more over the same batch (`pass` is 1, preludes and parameters are those
 * of the first time), for losses of a second kind. */
bool hora_net_wants_second(const hora_net *n, bool *distil);
/* Auxiliary loss (weight times scalar), averaged over micro-batches. */
void hora_net_loss(hora_net *n, hora_t scalar, double weight);
#endif
