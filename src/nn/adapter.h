#ifndef HORA_NN_ADAPTER_H
#define HORA_NN_ADAPTER_H
/*
 * An adapter: a method attached to a base, and its parameters. Parameters are declared once, in the
 * method's setup, before anything is recorded or allocated; recordings make leaves of them. Initial
 * values depend on (seed, method, name) alone.
 */
#include "nn/base.h"

typedef enum {
    HORA_INIT_ZERO,
    HORA_INIT_CONST,
    HORA_INIT_NORMAL,
    HORA_INIT_UNIFORM,
    HORA_INIT_COPY,
    HORA_INIT_COMPUTED
} hora_init_kind;
struct hora_adapter;
struct hora_param;
typedef struct hora_init {
    hora_init_kind kind;
    double value;          /* constant, standard deviation, or bound of U(-b, b) */
    const hora_view *from; /* COPY: borrowed, same number of elements */
    const int32_t *rows;   /* COMPUTED: for `compute`, borrowed; NULL: none */
    /* COMPUTED: fills out, of p->elems, from the base's weights and from parameters that were
     * declared before p. Called while values are allocated, when the weights are there. */
    hora_status (*compute)(const struct hora_adapter *, const struct hora_param *p, double *out);
    void *arg; /* compute's own, borrowed */
} hora_init;

typedef struct hora_param {
    /* as on disk: "layers.0.w1_a", "base_model.model...lora_A.weight", or a base weight's name */
    char *name;
    hora_shape shape;
    hora_init init;
    double lr_factor; /* of the learning rate; 1 */
    bool decay;       /* weight decay applies (not to biases and norms) */
    double least;     /* every update ends there or above; -INFINITY: anywhere */
    bool fixed;       /* never trains: drawn once, and saved with the others */
    bool aside;       /* of the training alone: in checkpoints, not in the adapter's files */
    bool lora_b;      /* the factor that starts at zero: LoRA+ gives it a larger rate */
    char **copies;    /* further names under which files hold it, borrowed; PEFT's do */
    int ncopies;
    int weight;             /* index of the base weight that it replaces; -1 */
    int layer;              /* -1: none */
    void *value;            /* hora_adapter_allocate */
    void *grad, *moment[2]; /* the trainer's */
    int64_t elems, offset;  /* place in the spans */
    struct hora_adapter *adapter;
} hora_param;

struct hora_method;
struct hora_hooks;
typedef struct hora_adapter {
    const struct hora_method *method; /* peft/'s row */
    const struct hora_hooks *hooks;   /* its hooks: all that nn sees of it */
    const hora_base *base;
    char *name;   /* unique among those of a training: folder of all but the first */
    void *config; /* the method's options */
    void *state;  /* the method's own, freed by its release */
    uint64_t seed;
    double lr;           /* a learning rate of its own; 0: that of the training */
    double weight_decay; /* of its own where own_decay says so */
    bool own_decay;
    bool enabled; /* off: recordings ignore it */
    char *task;   /* of the records that it is for; NULL: all */
    int route;    /* number of that task in batches (hora_adapters_route); -1: all rows */
    /* share of what it changes that counts: 1 but where someone asks for another mixture
     * (hora_peft_weigh); recordings and merges heed it */
    double weight;
    void *kept; /* values of replaced weights as they were read, where weight was changed; NULL */
    hora_param **params;
    int nparams, cparams;
    hora_param **replaces; /* per base weight: the parameter trained in its place, or NULL */
    int64_t elems;         /* of all parameters */
    hora_dtype dtype;      /* of parameters: F32, or F64 when the base is */
    void *values;          /* one span */
    size_t value_bytes;
    void (*refresh)(void *refresh_of); /* a training on a device that has newer values; or NULL */
    void *refresh_of;
    void *owner; /* of the front door; NULL inside */
} hora_adapter;

/* Declares a parameter (the name is copied); in setup only. */
hora_param *hora_adapter_param(hora_adapter *a, const char *name, hora_shape shape, hora_init init);
hora_param *hora_adapter_find(const hora_adapter *a, const char *name); /* NULL when absent */
/* Declares a parameter that starts as base weight `w` and takes its place; biases and norms are
 * spared weight decay. */
hora_param *hora_adapter_replace(hora_adapter *a, int w, const char *name);
/* Hook `select` of every method that trains base weights. */
hora_param *hora_adapter_replacement(hora_adapter *a, int w);
/* Allocates the value span and initialises it. Fill order does not matter: each draw is a function
 * of (seed, name, index). */
hora_status hora_adapter_allocate(hora_adapter *a);
/* Brings `values` up to date; before whatever reads them outside a training. */
void hora_adapter_refresh(hora_adapter *a);
void hora_adapter_release_params(hora_adapter *a);
/* What files call it: as the base's files call the weight that it replaces, else its own name. */
const char *hora_param_file_name(const hora_param *p);
/* Index of the first element of a span of `p` (value or gradient) that is not finite; -1: none. */
int64_t hora_param_not_finite(const hora_param *p, const void *span);
/* HORA_ENUMERIC naming the first tensor with a number that is not finite: of the values, or of the
 * gradients where there are some. */
hora_status hora_adapter_finite(const hora_adapter *a, bool gradients);
#endif
