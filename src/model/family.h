#ifndef HORA_MODEL_FAMILY_H
#define HORA_MODEL_FAMILY_H
/*
 * Model families. One file model_x.c (configuration table, weights table, recording), one row
 * FAMILY(x) in families.def.
 */
#include "nn/net.h"

/* What attention of one layer computes between its four projections, for whoever recomputes it:
 * softmax(scale q'k) over the keys a query sees, q and k normalised per head and turned first. */
typedef struct hora_attention_form {
    bool causal;
    int64_t window; /* keys a query sees, itself the last; 0: all */
    /* (head_dim/2) radians per position, pairs (c, c + head_dim/2); borrowed; NULL: no rotation */
    const double *freq;
    double scale;       /* of q'k, with what the rotation multiplies both by */
    int q_norm, k_norm; /* weights (head_dim) of the RMS norms; -1: none */
    double eps;         /* of those */
} hora_attention_form;

typedef struct hora_family {
    const char *name;        /* "llama" */
    const char *summary;     /* "Llama 2 and 3, Mistral, .." */
    const char *model_types; /* values of config.json's model_type, separated by blanks */
    bool vision;             /* it reads pictures */
    /* Reads b->config: fills dimensions, weights (names, shapes, roles; no data), sites, head, own.
     * Refuses by name what would be computed wrongly. */
    hora_status (*configure)(hora_base *b);
    /* Whether files may hold a tensor of this name that nothing reads; NULL: they may not. */
    bool (*ignores)(const hora_base *b, const char *name);
    /* An encoder: every token of a sample sees all of it, and what is said of the whole stands at
     * its first row; else a token sees those before it, and the last one speaks. */
    bool encoder;
    /* What a head for a task (PEFT's word) needs besides: its module, the weights in front of it
     * (hora_base_neck). NULL: nothing. */
    hora_status (*head)(hora_base *b, const char *task_type, int64_t classes);
    /* Records from the batch to the last hidden state after the final norm, (rows, hidden). */
    hora_t (*record)(hora_net *n);
    /* What a head that judges whole segments reads in their first rows, (rows, head_in); NULL: the
     * last hidden state as it is, in the row that the task chooses. */
    hora_t (*pool)(hora_net *n, hora_t hidden);
    /* The same for a head that judges every row, (rows, head_in). */
    hora_t (*each)(hora_net *n, hora_t hidden);
    /* Where several heads speak for the whole, `head` becomes all of them; returns what the first
     * reads, of `x`. NULL: one does. */
    hora_t (*heads)(hora_net *n, hora_t x, hora_head *head);
    void (*release)(hora_base *b);
    void (*attention)(const hora_base *b, int layer, hora_attention_form *out); /* NULL: not told */
} hora_family;

int hora_family_count(void);
const hora_family *hora_family_at(int i);

typedef struct hora_base_options {
    hora_dtype dtype;  /* HORA_F32, HORA_BF16, HORA_F64 */
    bool headers_only; /* no data: for plan and inspect */
    bool bare;         /* without the language model's head; hora_base_head puts a task's there */
    bool config_alone; /* with headers_only: config.json will do where there are no weights */
    bool unpacked;     /* weights that the file has in blocks come out of them when it is opened */
    hora_dtype quantize; /* block type of matrices that the files have plain; HORA_F32 (0): none */
    bool double_quant;   /* NF4: its scales go through a second level (tensor/blocks.h) */
    bool quantize_cache; /* the blocks are kept beside the model, and taken from there */
    const char *adapter; /* folder that may bring embedding and head of another vocabulary; NULL */
    const hora_sharing
        *sharing; /* converted weights have one copy on the machine; borrowed; NULL */
} hora_base_options;
/* Opens a Hugging Face directory: config.json, model.safetensors or shards. Missing, extra and
 * misshapen tensors go into one message. */
hora_status hora_base_open(hora_base **out, const char *dir, const hora_base_options *o);
/* Puts a head of `classes` outputs for a task on a bare base that has no data yet, and what stands
 * in front of it: from the files where they have one of that shape and it is not to be `fresh` (the
 * neck stays), else drawn from `seed` as a new model's. */
hora_status hora_base_head(hora_base *b, const char *task_type, int64_t classes, bool bias,
                           bool fresh, uint64_t seed);
/* The activation that `key` of a config.json names, in transformers' words; `def` where it is
 * missing. HORA_EUNSUPPORTED lists what is known. */
hora_status hora_family_act(const hora_json *config, const char *key, const char *def,
                            hora_act *out);
/* For `head` of a family: one more weight of the neck. */
void hora_base_neck(hora_base *b, const char *name, hora_shape shape, hora_role role);
/* What the head reads: the family's `pool` of `hidden` for a head of the whole, else its `each`;
 * `hidden` itself where it has none. */
hora_t hora_model_pool(hora_net *n, hora_t hidden, bool whole);
/* The family of a config.json; NULL: none. */
const hora_family *hora_family_of(const hora_json *config);
/* Sets family and model_type of b from its config; HORA_EFORMAT, HORA_EUNSUPPORTED naming what is
 * known. */
hora_status hora_family_pick(hora_base *b);
/* Completes a base that was opened with headers_only, in place: views get their data. Nothing to do
 * when they have it. */
hora_status hora_base_complete(hora_base *b);
void hora_base_close(hora_base *b); /* accepts NULL */
/* From a config alone, no weights on disk (hora new, bench); values drawn from `seed` unless
 * headers_only. */
hora_status hora_base_fresh(hora_base **out, const char *config_path, const hora_base_options *o,
                            uint64_t seed);
/* HORA_EIO when a file of the weights was written to since it was opened. */
hora_status hora_base_unchanged(const hora_base *b);
/* HORA_ENUMERIC with the name of a weight that holds a NaN or an infinity; blocks of four or eight
 * bits are passed over. Reads every weight once. */
hora_status hora_base_finite(const hora_base *b);
hora_status hora_base_hash(hora_base *b, uint64_t *hash); /* cached; reads every weight once */
/* Bytes of projections (and an untied head) that lie in the files as they are: once packed, their
 * pages need not stay in memory. */
uint64_t hora_base_mapped(const hora_base *b);
/* The pages of the weight whose values begin at `data` may leave memory; they are read again when
 * touched. Nothing happens to weights that were converted. */
void hora_base_forget(const hora_base *b, const void *data);
hora_t hora_model_record(hora_net *n);

/* What --quantize chooses from, and the type of a choice; 0 is none, HORA_F32. */
#define HORA_QUANTIZE_NAMES "none q8_0 q4_0 q4_k nf4"
hora_dtype hora_quantize_type(int choice);

/* Matrices that got another type than was asked for, because their rows are no whole blocks: said
 * once, by the type they got, with the name of the first. Zeroed before the first. */
typedef struct hora_fallback {
    int n;
    const char *first[4]; /* borrowed */
    hora_dtype want, got[4];
    int count[4];
} hora_fallback;
void hora_fallback_add(hora_fallback *f, const char *name, hora_dtype want, hora_dtype got);
void hora_fallback_say(const hora_fallback *f);
#endif
