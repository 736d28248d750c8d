#ifndef HORA_GOLDEN_H
#define HORA_GOLDEN_H
/* Golden vectors from PyTorch and PEFT (../shared/vectors): opening a case, recording it, comparing
 * with its tolerances. */
#include "format/safetensors.h"
#include "hora_test.h"
#include "infer/forward.h"
#include "method_cases.h"
#include "model/family.h"
#include "peft/peft.h"
#include "run/open.h"
#include "task/task.h"

/* Models of ../shared/vectors whose cases vectors/tasks walks. */
#define GOLDEN_TASK_MODELS                                                                         \
    "tiny_llama_seqcls", "tiny_llama_regression", "tiny_qwen3_tokcls", "tiny_bert",                \
        "tiny_roberta", "tiny_distilbert", "tiny_vit", "tiny_deit", "tiny_dinov2",                 \
        "tiny_dinov2_reg", "tiny_clip_vision", "tiny_videomae", "tiny_modernbert"

/* One recording of a batch over a base with adapters, outside of any trainer. */
typedef struct golden_run {
    hora_device *device;
    hora_recording r;
    hora_graph *g;    /* its */
    void *own_logits; /* in the base's dtype */
    void *grads;      /* span of all parameters of all adapters */
    size_t grad_bytes;
    hora_outputs out;
    hora_t logits, loss; /* its */
    hora_batch rows;
    int32_t *ints[5]; /* ids pos lo hi target */
    int32_t *route;   /* of rows among which some were put */
    float *weight, *patch;
    int32_t *first;           /* label of the first token of each text, -1: none; NULL: not known */
    hora_objective objective; /* of pictures */
    int64_t batch, length;    /* B, T */
} golden_run;

typedef struct golden_options {
    const char *backends; /* NULL: all */
    bool backward, poison;
    bool hold; /* what is detached stays as the first run made it */
    int recompute;
    hora_net_mode mode;
} golden_options;

/* Reads input_ids, labels and attention_mask of a batch file and runs forward (and backward) once.
 */
void golden_open(golden_run *r, hora_base *base, hora_adapter *const *adapters, int n,
                 const char *batch, const golden_options *o);
/* The second half of golden_open: r->rows is set. */
void golden_record(golden_run *r, hora_base *base, hora_adapter *const *adapters, int n,
                   const golden_options *o);
/* A batch of `count` packed sequences and `padding` unused rows. */
void golden_synthetic(golden_run *r, hora_rng *rng, int64_t vocab, const int *lengths, int count,
                      int padding);
/* n pictures of that size with classes below `classes`. */
void golden_pictures(golden_run *r, hora_rng *rng, const hora_base *b, int n, int classes);
void golden_again(golden_run *r); /* runs the same recording once more: parameters changed */
void golden_close(golden_run *r);
/* (B T, V), of pictures (B, classes); valid until close. */
const float *golden_logits(golden_run *r);

/* A model with its task, one adapter and a batch, through the doors that the commands use:
 * run/open.h and infer/forward.h. */
typedef struct golden_kit {
    hora_opened o;
    hora_adapter *a; /* owned; set between golden_kit_model and golden_kit_batch */
    hora_device *device;
    hora_forward_batch batch;
    hora_forward f;
    float *logits;
    int64_t n; /* of them */
} golden_kit;
/* Opens the model in the folder `base`, with the task of the adapter's folder (NULL: its own). */
void golden_kit_model(golden_kit *k, const char *base, const char *adapter, hora_dtype dtype);
void golden_kit_batch(golden_kit *k, const char *batch);
void golden_kit_close(golden_kit *k);

/* max |d| <= rel * max |want| + abs */
void golden_compare(const char *what, const float *got, const hora_st *want, const char *name,
                    double rel, double abs);
/* Every parameter's gradient against `grad.NAME` of the file: 1e-4 of the tensor's largest + 1e-6;
 * every tensor of the file must be met. */
void golden_compare_grads(golden_run *r, hora_adapter *a, const hora_st *want);
/* "tiny_llama/base/batch.safetensors": the copy in tests/vectors/files, else the one in
 * ../shared/vectors (skips without). */
const char *golden_path(const char *relative);
bool golden_has(const char *relative); /* in either place; never skips */
hora_base *golden_base(const char *model, hora_dtype dtype);
/* A model with random weights of the configuration text. */
hora_base *golden_fresh(const char *config, hora_dtype dtype, bool headers_only);
/* Attaches without allocating; options "rank=3,targets=q+v". */
hora_adapter *golden_attach(const hora_base *b, const char *method, const char *options);
/* Allocated too, and what it trains moved away from where it starts: 0.2 times normal numbers. */
hora_adapter *golden_moved(const hora_base *b, const char *method, const char *options);
/* The adapter that a case starts from: attached as its row says with the values of
 * init.safetensors; or its folder; or the method's defaults. */
hora_adapter *golden_start(const hora_base *b, const method_case *row, const char *path);
hora_st *golden_file(const char *path_in_vectors);
/* What the loss of a case ("tiny_llama/adalora") has beside the task's own, by its case.json. */
double golden_loss_beside(const char *path);
/* The folder that a case starts from: `folder`, or a copy of it in which AdaLoRA's term has no
 * weight, where the case's loss has none (pictures). New string. */
char *golden_folder(const method_case *row, const char *path, const char *folder);
/* The same of an AdaLoRA in training: its orthogonality term; 0 for other methods. And the budget
 * of the golden steps, which keep two of four triplets whatever their importance. */
double golden_adalora_loss(const hora_adapter *a);
/* That budget is set by the test in the host's memory: not where HORA_DEVICE trains; says so. */
bool golden_host_only(const method_case *row);
void golden_adalora_budget(hora_adapter *a);
#endif
