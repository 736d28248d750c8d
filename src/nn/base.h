#ifndef HORA_NN_BASE_H
#define HORA_NN_BASE_H
/*
 * An opened base model as methods and trainers see it: dimensions, weights, sites. A family
 * (model/) fills it; methods (peft/) read it; the two never see each other.
 */
#include "base/json.h"
#include "base/share.h"
#include "tensor/vision.h"

typedef enum {
    HORA_ROLE_EMBED,
    HORA_ROLE_NORM,
    HORA_ROLE_WEIGHT,
    HORA_ROLE_BIAS,
    HORA_ROLE_HEAD
} hora_role;

/* What a weight may be called in a file: a tensor of its own, or rows [from, from + own rows) of
 * one of `rows` rows that several weights share. */
typedef struct hora_spelling {
    char *name;
    int64_t from, rows; /* rows 0: a tensor of its own */
} hora_spelling;

typedef struct hora_weight {
    char *name;     /* "model.layers.0.self_attn.q_proj.weight": as the newest files have it */
    hora_view view; /* in the dtype the model was opened with; data NULL when only planning */
    hora_role role;
    int layer; /* -1: outside the blocks */
    bool tied; /* the head, and it is the embedding: its values, unless something replaces it */
    double init_std;     /* of a fresh model: N(0, std); norms start at 1, biases at 0 */
    hora_shape disk;     /* of a tensor of its own, where that is not view's; n 0: it is */
    hora_spelling *also; /* other names */
    int nalso;
    int spelt; /* the one of them that files have; -1: `name` */
} hora_weight;
/* The name that counts for files. */
hora_spelling hora_weight_spelling(const hora_weight *w);
/* Shape of its tensor on disk; of a shared one its own part. */
hora_shape hora_weight_disk(const hora_weight *w);

/* Projections that methods can adapt: rows of sites.def. */
typedef enum {
#define SITE(id, name, alias) HORA_SITE_##id,
#include "nn/sites.def"
#undef SITE
    HORA_SITES,
    /* The two ends: not in the blocks, adapted by methods that say so. */
    HORA_SITE_EMBED = HORA_SITES,
    HORA_SITE_HEAD,
    HORA_SITE_NONE
} hora_site_kind;
/* "q" "k" "v" "o" "gate" "up" "down" "fc1" "fc2" "pooler" "kv_down" "k_rope" "embed" "head" */
const char *hora_site_short(hora_site_kind k);
const char *hora_site_alias(hora_site_kind k); /* what a model without such a site may mean */

typedef struct hora_site {
    hora_site_kind kind;
    int layer;    /* -1: an end */
    char *module; /* Hugging Face module path: "model.layers.0.self_attn.q_proj" */
    char **also;  /* the same module in other releases of the library */
    int nalso;
    char *fused; /* the module that holds its rows from `row` on, of fused_out; NULL: its own */
    int64_t row, fused_out;
    int64_t in, out; /* the weight is (out, in); the embedding's, a table, (in, out) */
    int64_t heads;   /* q: H row blocks, k v: G row blocks, o: H column blocks; 0: no heads */
    int64_t head_dim;
    int weight, bias; /* indices into weights; bias -1: none */
} hora_site;

enum { HORA_NECK = 6 };
struct hora_family;
struct hora_adapter;
typedef struct hora_base {
    char *dir;
    const struct hora_family *family;
    char *model_type;  /* "llama", "qwen3": config.json's */
    hora_json *config; /* normalised config.json */
    hora_dtype dtype;  /* of weights in memory and of activations */
    int64_t hidden, intermediate, layers, heads, kv_heads, head_dim, vocab, max_positions;
    /* A token's numbers in the cache of a layer, where that holds a latent and turned parts of keys
     * instead of keys and values; 0: it holds these, 2 kv_heads head_dim */
    int64_t latent;
    /* longer sequences have other rotary frequencies: a second set (longrope), or with far_stretch
     * above 0 those of a base that grows with the length (dynamic); 0: one set for all */
    int64_t far_positions;
    double far_stretch;
    int64_t types; /* of texts that token_type_ids tell apart; 0: it does not read them */
    hora_weight *weights;
    int nweights;
    hora_site *sites; /* layer by layer, kinds in the order above; then the ends */
    int nsites, nends;
    int embed, head;         /* weight indices; -1: no such table; head: bare */
    int head_bias;           /* -1: none */
    const char *prefix;      /* of names, "model."; files of a bare backbone lack it; NULL: none */
    const char *head_module; /* of a task's head: "score", "classifier"; NULL: none */
    /* As modules_to_save of PEFT names the head, where that is not head_module, and what stands
     * between the last hidden state and it, where that is no part of the former; NULL */
    const char *head_saved, *neck_module;
    bool head_biased; /* the head has a bias whatever the task says */
    /* Weights between the last hidden state and the head (a dense layer, a norm), in order of use;
     * they train where the head does if PEFT saves them with it, or if they are on no disk */
    int neck[HORA_NECK], nneck;
    bool neck_trains;
    int64_t head_in; /* what the head reads is so wide; 0: hidden */
    double head_std; /* of a fresh head */
    /* Probabilities of dropout in an encoder's body, as config.json says, for trainings that ask
     * for it: of embedded rows, of what attention and MLP add */
    double drop[3];
    hora_vision *vision; /* NULL: it reads text */
    bool query_norm;     /* between the projection of q and attention stands a norm */
    bool encoder;        /* rows of a sample see each other both ways */
    bool tied;
    int64_t file_vocab;  /* tokens of its files, where an adapter brought more or fewer; 0: vocab */
    char *words;         /* folder whose tokenizer counts; NULL: dir */
    bool bare;           /* without the language model's head: a task has put its own there */
    bool head_fresh;     /* it was on no disk: it trains whatever the method */
    bool head_elsewhere; /* none is made to be trained: an adapter has it, or nothing trains */
    bool head_trains;    /* a training: it trains beside adapters, as PEFT has it for these tasks */
    struct hora_adapter **head_owner; /* a cell: who trains the task's head, of several adapters */
    const char *task_type; /* PEFT's word for what the head does, a literal; NULL: CAUSAL_LM */
    bool config_alone;     /* there are no weights to complete it with: for a plan */
    void *own;             /* the family's configuration */
    const hora_sharing *sharing; /* of converted weights, borrowed; NULL: a copy of our own */
    void *store;                 /* mapping and converted copies, of model/open.c */
    size_t store_bytes;          /* of converted copies */
    uint64_t hash;               /* of all weights; 0 until hora_base_hash */
    struct hora_st *files;       /* where they come from, borrowed; NULL: drawn */
    bool any_base; /* adapters that were trained on another base are taken, with a warning */
} hora_base;

int64_t hora_base_parameters(const hora_base *b); /* tied weights once */
/* Numbers that a decoder keeps of a token, in all layers. */
int64_t hora_base_cache_row(const hora_base *b);
/* The folder whose tokenizer is the model's: an adapter's that brought its vocabulary, else its
 * own. Borrowed. */
const char *hora_base_words(const hora_base *b);
/* A place for one more site, in front of the ends, once those are there. */
hora_site *hora_base_add_site(hora_base *b);
/* The embedding and the language model's head as sites behind the others; once, for families. */
void hora_base_add_ends(hora_base *b);
/* NULL when the family has none */
const hora_site *hora_base_site(const hora_base *b, hora_site_kind k, int layer);
/* For families: appends a weight (the name is taken over), another spelling of it, another path of
 * a site. `own_name` NULL: nothing. */
int hora_base_add_weight(hora_base *b, char *own_name, hora_shape shape, hora_role role, int layer,
                         double std);
void hora_weight_also(hora_weight *w, char *own_name, int64_t from, int64_t rows);
void hora_site_also(hora_site *s, char *own_path);
/* Sites by their paths in a model without any head, which have no prefix in front; those with it
 * are understood too. */
void hora_base_bare_names(hora_base *b);
/* The name, as this base has it, of a tensor that a file calls otherwise ("NAME" or
 * "base_model.model.MODULE.lora_A.weight" by another release's paths); NULL: it is the same. */
char *hora_base_canonical(const hora_base *b, const char *name);
bool hora_base_in_attention(const hora_base *b, int w); /* a weight or bias of q, k, v or o */
/* Module path of a weight: its name without ".weight" or ".bias", to be freed. */
char *hora_base_module(const hora_base *b, int w);
/* What a merge gives, an entry per weight, NULL or f32 in the weight's shape, put into the place of
 * the weights; `old` (an entry per weight; NULL: it stays) gets what stood there. */
void hora_base_put_merged(hora_base *b, float *const *merged, hora_view *old);
void hora_base_take_merged(hora_base *b, float *const *merged, const hora_view *old);
void hora_base_free_merged(const hora_base *b, float **merged); /* accepts NULL */
/* Writes task.json, what a head is for and what its classes are called, into the existing folder
 * `dir`; nothing for language models. */
hora_status hora_base_save_task(const hora_base *b, const char *dir);
/* Writes model.safetensors and config.json into the existing folder `dir`, in `dtype`: the base's
 * weights, or replace[w] (f32, one entry per weight) where that is not NULL. replace may be NULL.
 */
hora_status hora_base_save(const hora_base *b, const char *dir, float *const *replace,
                           hora_dtype dtype);
/* The same as b->dir has it: its shards by their names, each tensor in its dtype (f32 to bf16
 * rounds to nearest even), tensors that nothing replaces and config.json to the bit. Weights that
 * the source lacks (a head that was tied) join its last shard. */
hora_status hora_base_save_like(const hora_base *b, const char *dir, float *const *replace);
/* Copies what a model directory needs besides weights and config.json: tokenizer, generation and
 * template files, as far as they are there. */
hora_status hora_copy_companions(const char *from, const char *to);
#endif
