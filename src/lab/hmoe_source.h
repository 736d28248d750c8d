#ifndef HORA_LAB_HMOE_SOURCE_H
#define HORA_LAB_HMOE_SOURCE_H
/*
 * Where a layer comes from: a file with one layer in it, or a model that is run and whose attention
 * layers are caught at work. Either way the result is one hora_hmoe_layer with its own memory.
 */
#include "graph/graph.h"
#include "lab/hmoe_diag.h"
#include "nn/adapter.h"

typedef struct hora_hmoe_source { /* zero-initialise; hora_hmoe_source_release */
    hora_hmoe_layer layer;
    hora_hmoe_generator gen; /* when shared */
    bool shared;             /* one generator of HoRA stands behind q and v */
    double **own;            /* everything that layer and gen borrow */
    int n, cap;
    int32_t *lengths;
} hora_hmoe_source;
void hora_hmoe_source_release(hora_hmoe_source *s);
/* New memory of the source. */
double *hora_hmoe_source_new(hora_hmoe_source *s, int64_t n);

/*
 * One layer from safetensors, f64 or f32 (docs/theory.md has the format): x (S, N, d), wq wk wv wo,
 * optional bias_q .. and lengths (S) i32, LoRA's factors or HoRA's state; metadata H G dh r alpha
 * causal rope_theta act kind. HORA_EFORMAT names the tensor that is missing, misshapen, not finite
 * or unknown.
 */
hora_status hora_hmoe_case_open(hora_hmoe_source *s, const char *path);

/* What the attention layers of a model read and gave: rows of f64, per layer; NULL where the layer
 * was not asked for. */
typedef struct hora_hmoe_catch {
    int64_t seqs, n, d, layers;
    double **x, **y; /* per layer (seqs, n, d) */
} hora_hmoe_catch;
/* Runs the model with its adapters over ids (seqs, n); want[layer] says what to keep. */
hora_status hora_hmoe_catch_run(hora_hmoe_catch *c, const hora_base *base,
                                hora_adapter *const *adapters, int nadapters, hora_device *device,
                                const int32_t *ids, int64_t seqs, int64_t n, const bool *want);
void hora_hmoe_catch_release(hora_hmoe_catch *c);
/* HORA_EUNSUPPORTED for a model without attention, or whose family does not say what it computes,
 * and for an adapter that adapts no head. adapter NULL: none. Materialises the adapter. */
hora_status hora_hmoe_model_ready(const hora_base *base, hora_adapter *adapter);
/* One layer of a model, after hora_hmoe_model_ready; x comes from `c`, which it borrows. */
hora_status hora_hmoe_model_layer(hora_hmoe_source *s, const hora_base *base, hora_adapter *adapter,
                                  int layer, const hora_hmoe_catch *c);
#endif
