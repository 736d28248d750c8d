#ifndef HORA_INFER_FORWARD_H
#define HORA_INFER_FORWARD_H
/*
 * One pass over a rectangular batch as Hugging Face understands it: input_ids (B, T),
 * attention_mask, labels. Positions are 0 .. T-1 whatever the mask says; masked tokens are never
 * keys; what labels mean is the task's: language modelling shifts (B, T) by one, token
 * classification takes them as they are, a class or numbers of the whole are (B) or (B, k); -100
 * does not count, the loss is their mean. A padded query sees the kept keys before it; one that has
 * none before it gets zeros from attention, as transformers' default (sdpa) attention gives.
 */
#include "data/image_processor.h"
#include "graph/graph.h"
#include "nn/net.h"
#include "task/task.h"

/* Pictures (b, frames, channels, height, width), prepared as the model wants them. */
typedef struct hora_pixels {
    float *at; /* NULL: none */
    int64_t frames, channels, height, width;
} hora_pixels;

typedef struct hora_forward_batch {
    int64_t b, t;       /* t: of tokens */
    int32_t *ids;       /* (b, t) */
    int32_t *mask;      /* (b, t) of 0 and 1, each row's ones in one piece; NULL: all ones */
    int32_t *types;     /* (b, t), which text of a pair; NULL: all 0 */
    double *labels;     /* (b, per); -100: ignored; NULL: no loss */
    int64_t per;        /* labels of a sample */
    hora_pixels pixels; /* in the place of ids */
} hora_forward_batch;
/* Reads safetensors or JSON with input_ids and, if there, attention_mask, labels and
 * token_type_ids (all zero for a model that does not read them). Anything else in the file is
 * refused by name. */
hora_status hora_forward_batch_load(hora_forward_batch *batch, const char *path);
/* n picture files, `frames` after one another a sample; `how` may be NULL. Release the batch also
 * after a failure. */
hora_status hora_forward_images(hora_forward_batch *batch, const hora_image_processor *processor,
                                const char *const *paths, int64_t n, int64_t frames,
                                const hora_image_options *how);
void hora_forward_batch_release(hora_forward_batch *batch);

typedef struct hora_forward {
    const hora_base *base;
    const hora_objective *objective; /* settled; NULL: language modelling */
    hora_adapter *const *adapters;   /* allocated; disabled ones are ignored */
    int nadapters;
    hora_device *device;
    float *logits;    /* of hora_forward_logits' shape, or NULL */
    float *hidden;    /* of hora_forward_hidden's shape, or NULL */
    float *embedding; /* (b, hidden), for hora_forward_save alone; or NULL */
    float *blocks;    /* (layers, b, rows of a sample, hidden), what each block gives; or NULL */
    double loss;      /* set when the batch has labels */
    bool grads;       /* fill `grad` of every parameter (given memory by hora_forward_grads) */
} hora_forward;
/* (b, t, vocab); for tasks with a head of their own (b, t, classes), or (b, classes) where a sample
 * is pooled. */
hora_shape hora_forward_logits(const hora_forward *f, const hora_forward_batch *batch);
/* (b, rows of a sample, hidden). */
hora_shape hora_forward_hidden(const hora_forward *f, const hora_forward_batch *batch);
/* Makes the base take pictures of the batch's size, which changes the rows of a sample: before
 * shapes are asked for. Nothing for text. HORA_EUSAGE where it cannot. */
hora_status hora_forward_fit(const hora_forward *f, const hora_forward_batch *batch);
/* The batch as rows with labels, into one that was made for a recording of them. */
hora_status hora_forward_fill(const hora_forward *f, const hora_forward_batch *batch,
                              hora_batch *rows);
/* HORA_EUSAGE for ids outside the vocabulary, rows longer than the model's positions, labels that
 * all are -100, grads without labels; HORA_EUNSUPPORTED for a mask with holes. */
hora_status hora_forward_run(hora_forward *f, const hora_forward_batch *batch);
/* One span for all gradients of an adapter, zeroed, in its dtype; free with
 * hora_forward_grads_free. */
hora_status hora_forward_grads(hora_adapter *a);
void hora_forward_grads_free(hora_adapter *a);
/* logits, last_hidden_state and pixel_values F32, as they are there; loss (1) with labels;
 * grad.NAME F32 for each parameter. */
hora_status hora_forward_save(const hora_forward *f, const hora_forward_batch *batch,
                              const char *path);
#endif
