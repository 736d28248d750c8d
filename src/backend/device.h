#ifndef HORA_BACKEND_DEVICE_H
#define HORA_BACKEND_DEVICE_H
/*
 * A device owns memory, the order of work, and packed weights, which recordings over the same
 * weights share. Its kind is a table of functions, a row of devices.def; an absent one is an absent
 * row. Whoever prepares or runs a graph goes through the table, on the host too, where copies of
 * what is there already cost nothing.
 */
#include "base/share.h"
#include "op/op.h"

typedef struct hora_device hora_device;

typedef struct hora_update { /* what an optimizer needs besides the arrays */
    double lr, decay;        /* of these elements, factors included */
    double beta1, beta2, eps, momentum;
    double scale; /* of the gradient: clipping */
    int64_t step; /* 1 in the first step */
} hora_update;
typedef struct hora_param_piece {    /* of one parameter; addresses are the host's */
    float *value, *grad, *moment[2]; /* moments may be NULL */
    int64_t n;
    double lr;       /* factor of the update's */
    double decay;    /* in place of the update's */
    bool active;     /* the gradient reaches it; set before attach */
    int64_t skipped; /* updates that it was not active in, of those until now */
    float least;     /* values below are set to it; -INFINITY: no bound */
} hora_param_piece;
typedef struct hora_param_spans { /* what an update walks over, in pieces cut by shapes alone */
    const char *rule;             /* "adamw" */
    void (*update)(const hora_update *, float *p, const float *g, float *m0, float *m1, int64_t n);
    hora_param_piece *piece;
    int n;
    double *partial; /* n numbers: sums of squares */
    void *room;      /* of attach */
} hora_param_spans;

#define HORA_BRANCHES 32
typedef struct hora_device_kind {
    const char *name;                   /* "host", "cuda" */
    const char *also;                   /* what PyTorch calls it, taken too; NULL: the same */
    hora_status (*open)(hora_device *); /* HORA_EUNSUPPORTED: this machine has none */
    void (*close)(hora_device *);
    /* 64-byte aligned, contents undefined; HORA_ENOMEM with what is needed and what is free. */
    hora_status (*alloc)(hora_device *, void **out, size_t bytes, const char *what);
    void (*free)(hora_device *, void *p, size_t bytes);
    void (*put)(hora_device *, void *to, const void *host, size_t bytes);
    void (*get)(hora_device *, void *host, const void *from, size_t bytes); /* waits */
    void (*fill)(hora_device *, void *p, int byte, size_t bytes);
    hora_status (*sync)(hora_device *); /* waits; HORA_EIO: what went wrong since the last */
    size_t (*memory)(hora_device *);    /* bytes that are free; 0 unknown */
    double (*flops)(hora_device *, hora_dtype, double seconds); /* peak of products, measured */
    double (*reads)(hora_device *, double seconds); /* bytes per second; NULL: not known here */
    size_t (*taken)(hora_device *);                 /* bytes, at their peak; NULL: not counted */
    const char *(*variant)(hora_device *);          /* whose kernels: results differ in bits */
    bool (*prefers_bf16)(void);                     /* its products of bf16 are the fast ones */
    /* The batch where kernels read it: `room` of stage_bytes, its leaves copied anew; or the batch.
     * */
    size_t (*stage_bytes)(const hora_leaves *, int64_t rows);
    const hora_batch *(*stage)(hora_device *, void *room, const hora_leaves *, const hora_batch *);
    /* Calls made between begin and end are kept, not run; replay runs them. NULL: no such thing. */
    void (*begin)(hora_device *);
    void *(*end)(hora_device *);
    void (*replay)(hora_device *, void *kept);
    void (*forget)(hora_device *, void *kept);
    /* The calls that follow go to branch b, 1 .. HORA_BRANCHES, which starts where the trunk is;
     * 0: back to the trunk, which waits for all of them. NULL: there is but a trunk. */
    void (*branch)(hora_device *, int b);
    /* Spans whose memory is mirrored; HORA_EUNSUPPORTED: the device has no such rule. NULL: there
     * is nothing to do. */
    hora_status (*attach)(hora_device *, hora_param_spans *);
    void (*detach)(hora_device *, hora_param_spans *);
    double (*squares)(hora_device *,
                      const hora_param_spans *); /* of all gradients, in fixed order */
    void (*update)(hora_device *, const hora_param_spans *, const hora_update *);
} hora_device_kind;
int hora_device_kind_count(void);
const hora_device_kind *hora_device_kind_at(int i);

hora_device *hora_device_new(void); /* of the host */
/* kind NULL: HORA_DEVICE of the environment, else the host. HORA_EUSAGE: this build has no such
 * kind; HORA_EUNSUPPORTED: this machine has none. */
hora_status hora_device_open(hora_device **out, const char *kind);
const hora_device_kind *hora_device_kind_of(const hora_device *d); /* NULL: the host */
/* The row that hora_device_open would take; NULL when there is none. */
const hora_device_kind *hora_device_kind_named(const char *kind);
const char *hora_device_variant(hora_device *d);
bool hora_device_is_host(const hora_device *d);
hora_status hora_device_alloc(hora_device *d, void **out, size_t bytes, const char *what);
void hora_device_release(hora_device *d, void *p, size_t bytes); /* p may be NULL */
/* The device's copy of bytes at `host`, made at the first asking, found afterwards by any address
 * inside; freed with the device or by hora_device_drop. On the host: the memory itself. */
hora_status hora_device_mirror(hora_device *d, void **out, const void *host, size_t bytes,
                               const char *what);
/* Brings the copy, or the original, up to date with the other. */
void hora_device_push(hora_device *d, const void *host, size_t bytes);
void hora_device_pull(hora_device *d, void *host, size_t bytes);

/* Frozen weights stay as they are and every call packs the panels it is about to use, a per cent or
 * two of the time of a product of some hundred rows; or they are packed once per orientation
 * (forward and dx), each the size of the model. Set before the first query. */
typedef enum { HORA_PACK_ONE, HORA_PACK_BOTH } hora_pack_policy;
void hora_device_set_packing(hora_device *d, hora_pack_policy p);
hora_pack_policy hora_device_packing(const hora_device *d);
/* Products are a library's, whose layouts are dear to make on the way. */
bool hora_device_uses_library(const hora_device *d);
void hora_device_free(hora_device *d);
/* The packing of `key` (address of the plain weight) in layout `layout`: returns existing memory,
 * or allocates `bytes` (64-byte aligned) and lets `fill` write it. Never freed before the device,
 * except by hora_device_drop. *out NULL on failure. */
hora_status hora_device_pack(hora_device *d, const void *key, uint64_t layout, size_t bytes,
                             void (*fill)(void *dst, const void *arg), const void *arg, void **out);
/* done(user, key) is called after every packing: its plain weight may leave memory for now. */
void hora_device_after_packing(hora_device *d, void (*done)(void *user, const void *key),
                               void *user);
bool hora_device_has(const hora_device *d, const void *key, uint64_t layout);
/* Packings from now on have one copy on the machine: `bytes` of them in all are expected. The same
 * is packed by all that share, in the same order, and may be read when `filled` has returned. s:
 * borrowed; NULL: from now on each has its own. On the host alone. */
void hora_device_share(hora_device *d, const hora_sharing *s, size_t bytes);
size_t hora_device_packed_bytes(const hora_device *d);
/* Forgets all packings and the copy of memory that is about to change or to go. No prepared plan
 * may use them any more. */
void hora_device_drop(hora_device *d, const void *key);
/* Multiply-adds per second (times 2) that all threads reach in registers on operands of `dtype`,
 * the best of the windows of a loop that runs for `seconds`. HORA_BF16 where the processor has no
 * products of bf16: those of f32. 0: not known here. */
double hora_peak_flops(hora_dtype dtype, double seconds);
#endif
