#ifndef HORA_HORA_H
#define HORA_HORA_H
/*
 * hora: native parameter-efficient fine-tuning. The front door and the only installed header.
 *
 *     #include <hora/hora.h>
 *     #include <stdio.h>
 *     int main(void) {
 *         hora_model *m = NULL;
 *         hora_adapter *a = NULL;
 *         hora_data *d = NULL;
 *         hora_trainer *t = NULL;
 *         hora_status s;
 *         if ((s = hora_model_open(&m, "models/smollm", "dtype=f32")) ||
 *             (s = hora_adapter_attach(&a, m, "hora", "rank=16,targets=q+v")) ||
 *             (s = hora_data_open(&d, m, "train.jsonl", "seq_len=1024")) ||
 *             (s = hora_trainer_new(&t, m, d, "steps=500,lr=1e-4")))
 *             goto out;
 *         while ((s = hora_trainer_step(t)) == HORA_OK)
 *             ;                                              (HORA_DONE after the last step)
 *         if (s == HORA_DONE)
 *             s = hora_adapter_save(a, "out");
 *     out:
 *         if (s)
 *             fprintf(stderr, "%s\n", hora_errmsg());
 *         hora_trainer_free(t);
 *         hora_data_close(d);
 *         hora_adapter_detach(a);
 *         hora_model_close(m);
 *         return s != HORA_OK;
 *     }
 *
 * Options are text, "key=value,key=value", with the names that the command line has
 * (hora_option_at lists them); NULL and "" mean the defaults, an unknown key is refused with the
 * nearest one. Everything that can fail returns a hora_status and leaves its outputs unset; the
 * text of the failure is in hora_errmsg(). A handle belongs to one thread at a time; handles over
 * different models are independent. _close, _free and _detach accept NULL. Free in the reverse
 * order of making: a model outlives what was made from it.
 *
 * Memory sized by data is refused with HORA_ENOMEM. A request of a few bytes that the system
 * refuses ends the process with a message and abort(): nothing is half-written on the disk.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HORA_VERSION_MAJOR 0
#define HORA_VERSION_MINOR 1
#define HORA_VERSION_PATCH 0
#define HORA_VERSION       "0.1.0"

#if defined(__GNUC__)
#define HORA_API __attribute__((visibility("default")))
#else
#define HORA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What every function that can fail returns. Failures are negative; the text is in hora_errmsg().
 */
typedef enum hora_status {
    HORA_OK = 0,
    HORA_DONE = 1,          /* nothing left to do: the last step has been taken           */
    HORA_EUSAGE = -1,       /* an option, argument or call that makes no sense            */
    HORA_EIO = -2,          /* the operating system refused: file, disk, permission       */
    HORA_EFORMAT = -3,      /* a file does not say what its format promises               */
    HORA_EUNSUPPORTED = -4, /* understood, but hora does not compute it                   */
    HORA_ESHAPE = -5,       /* tensors that do not fit each other                         */
    HORA_ENOMEM = -6,       /* does not fit into memory                                   */
    HORA_ENOTFOUND = -7,    /* a file, tensor, key, method or target that is not there    */
    HORA_EEXISTS = -8,      /* would overwrite what is there                              */
    HORA_EMISMATCH = -9,    /* two things that must belong together do not                */
    HORA_ENUMERIC = -10,    /* a loss or gradient is not finite, or explodes              */
    HORA_EINTERRUPTED = -11 /* stopped by request, state saved                            */
} hora_status;

typedef struct hora_recipe hora_recipe;
typedef struct hora_model hora_model;
typedef struct hora_adapter hora_adapter;
typedef struct hora_tokenizer hora_tokenizer;
typedef struct hora_data hora_data;
typedef struct hora_trainer hora_trainer;
typedef struct hora_predictor hora_predictor;

/* Growing buffers that the library fills; start them as {0}, functions append. `s` is always
 * NUL-terminated once something was added, NULL before. */
typedef struct hora_str {
    char *s;
    size_t n, cap;
} hora_str;
typedef struct hora_ids {
    int32_t *at;
    size_t n, cap;
} hora_ids;
HORA_API void hora_str_release(hora_str *b);
HORA_API void hora_ids_release(hora_ids *v);

/* --- library ---------------------------------------------------------------------------------- */
HORA_API const char *hora_version(void); /* of the library that runs: "0.1.0 (commit)" */
/* Text of the last failure on this thread; "" when there was none. Never NULL. */
HORA_API const char *hora_errmsg(void);
/* Where messages for people go, and how many: level 0 errors, 1 warnings, 2 progress, 3 details.
 * fn NULL: stderr. */
HORA_API void hora_log_set(int level, void (*fn)(void *user, int level, const char *text),
                           void *user);
HORA_API void hora_threads_set(int n); /* 0: all cores this process may use */

/* A row of a registry: "methods", "models", "statuses". HORA_DONE past the last row. Strings live
 * as long as the library; `paper` may be NULL. */
typedef struct hora_row {
    const char *name, *summary, *paper;
    double number; /* methods: default learning rate; statuses: exit code of the tool */
} hora_row;
HORA_API hora_status hora_row_at(const char *registry, int i, hora_row *row);
/* An option of an owner: "model", "data", "train", "generate", or "method:hora". HORA_DONE past the
 * last. Fields that do not apply are NULL. */
typedef struct hora_option_row {
    const char *name, *aliases, *type, *def, *choices, *help;
    double min, max; /* both 0: any */
} hora_option_row;
HORA_API hora_status hora_option_at(const char *owner, int i, hora_option_row *row);

/* --- recipes: a whole run as a file ----------------------------------------------------------- */
/* Reads a YAML recipe (path NULL: an empty one). */
HORA_API hora_status hora_recipe_open(hora_recipe **out, const char *path);
/* As --set key=value does: later settings win over the file. */
HORA_API hora_status hora_recipe_set(hora_recipe *r, const char *key, const char *value);
/* What `hora train` does with it: trains, evaluates, writes OUT. Appends the summary (JSON) to
 * `summary`, which may be NULL. */
HORA_API hora_status hora_recipe_run(hora_recipe *r, hora_str *summary);
HORA_API void hora_recipe_close(hora_recipe *r);

/* --- models ----------------------------------------------------------------------------------- */
/* A Hugging Face directory of a supported family. Options: dtype=f32|bf16|f64; f32
 * unless told. */
HORA_API hora_status hora_model_open(hora_model **out, const char *dir, const char *options);
HORA_API void hora_model_close(hora_model *m);
/* A fact: parameters, trainable, vocab, hidden, layers, heads, kv_heads, head_dim, max_positions.
 * HORA_ENOTFOUND lists them. */
HORA_API hora_status hora_model_info(const hora_model *m, const char *key, double *value);
/* Writes a model directory with the enabled adapters folded in. Options: dtype=f32|bf16|source (the
 * dtypes and shards of the model's own files), overwrite. `dir` must be absent or empty otherwise;
 * overwrite replaces what hora wrote there, and is HORA_EEXISTS when it holds anything else, or the
 * model or a loaded adapter. */
HORA_API hora_status hora_model_export(hora_model *m, const char *dir, const char *options);
/* Largest difference between the logits with adapters attached and with adapters merged, over
 * `tokens` random tokens. */
HORA_API hora_status hora_model_verify(hora_model *m, int tokens, double *difference);

/* --- adapters --------------------------------------------------------------------------------- */
/* Attaches a fresh adapter: method "hora", "lora", "full", "bitfit", "head". Options: those of the
 * method, and seed. */
HORA_API hora_status hora_adapter_attach(hora_adapter **out, hora_model *m, const char *method,
                                         const char *options);
/* Attaches an adapter directory: ours or PEFT's; several stand one after another. Of those that
 * lie in one folder one by its name, OUT/NAME; the folder itself is HORA_EUSAGE. Options:
 * prefer=native|materialised, weight (1), as hora_adapter_weigh has it, any_base (false): one of
 * another base, by the hashes that hora_base.json has, is HORA_EMISMATCH without it. */
HORA_API hora_status hora_adapter_load(hora_adapter **out, hora_model *m, const char *dir,
                                       const char *options);
/* Writes what PEFT loads (and the method's own state beside it) into `dir`, made if needed. Files
 * of these names that hora did not write there are HORA_EEXISTS; all others stay. */
HORA_API hora_status hora_adapter_save(hora_adapter *a, const char *dir);
/* Folds the adapter into the model's weights in memory (files stay untouched) and detaches it: `a`
 * is gone on success. Not while a trainer or predictor of the model lives. */
HORA_API hora_status hora_adapter_merge(hora_adapter *a);
/* Off: the model computes as if it were not there. Trainers and predictors made later see it. */
HORA_API void hora_adapter_enable(hora_adapter *a, bool on);
/* How much of what it changes counts: 1 as it was trained, 0.5 half of the way from the model
 * without it, negative the other way. Trainers and predictors made later, merges and exports see
 * it; hora_adapter_save wants 1. HORA_EUNSUPPORTED for methods without shares (prefixes). */
HORA_API hora_status hora_adapter_weigh(hora_adapter *a, double weight);
HORA_API void hora_adapter_detach(hora_adapter *a);

/* --- tokenizers: immutable, usable by several threads ----------------------------------------- */
/* DIR/tokenizer.json or tokenizer.model; only these files are needed. */
HORA_API hora_status hora_tokenizer_open(hora_tokenizer **out, const char *dir);
HORA_API void hora_tokenizer_close(hora_tokenizer *t);
/* Appends the ids of text[0..n). special: add BOS and the like as Hugging Face does by default. */
HORA_API hora_status hora_tokenizer_encode(const hora_tokenizer *t, const char *text, size_t n,
                                           bool special, hora_ids *out);
HORA_API hora_status hora_tokenizer_decode(const hora_tokenizer *t, const int32_t *ids, size_t n,
                                           bool skip_special, hora_str *out);
/* The model's chat template over [{"role": .., "content": ..}, ..] as JSON, or over an object with
 * `messages` and, where they are, `tools`, `documents` and `chat_template_kwargs`. generation: end
 * where the assistant's answer begins. */
HORA_API hora_status hora_tokenizer_render(const hora_tokenizer *t, const char *messages,
                                           bool generation, hora_str *out);

/* --- data ------------------------------------------------------------------------------------- */
/* A text or JSONL file, tokenised with the model's own tokenizer and cut or packed into sequences.
 * Options: seq_len, format, packing, .. */
HORA_API hora_status hora_data_open(hora_data **out, hora_model *m, const char *path,
                                    const char *options);
HORA_API int64_t hora_data_sequences(const hora_data *d);
HORA_API void hora_data_close(hora_data *d);

/* --- trainers --------------------------------------------------------------------------------- */
/* Trains the adapters attached to the model. Options: steps, lr, batch_size, .. Nothing is
 * allocated before the first step. */
HORA_API hora_status hora_trainer_new(hora_trainer **out, hora_model *m, hora_data *d,
                                      const char *options);
HORA_API void hora_trainer_free(hora_trainer *t);
/* Appends the plan as JSON: bytes per arena, parameter counts, floating-point operations. */
HORA_API hora_status hora_trainer_plan(hora_trainer *t, hora_str *json);
/* One optimizer step. HORA_DONE when all are taken, HORA_EINTERRUPTED after hora_trainer_stop. */
HORA_API hora_status hora_trainer_step(hora_trainer *t);
/* Mean loss per supervised token over all sequences of `d`. */
HORA_API hora_status hora_trainer_eval(hora_trainer *t, hora_data *d, double *loss);
/* A number of the last step: step, steps, epoch, loss, grad_norm, lr, tokens, supervised. */
HORA_API hora_status hora_trainer_get(const hora_trainer *t, const char *key, double *value);
/* A whole checkpoint, written atomically; `dir` must not exist. */
HORA_API hora_status hora_trainer_save(hora_trainer *t, const char *dir);
/* Goes on from a checkpoint, or from the newest whole checkpoint-N in the output folder of a run:
 * every following bit is as if never stopped. */
HORA_API hora_status hora_trainer_resume(hora_trainer *t, const char *dir);
/* Asks for a stop before the next micro-batch; a step that has begun is given up and has changed
 * nothing. May be called from a signal handler or another thread. */
HORA_API void hora_trainer_stop(hora_trainer *t);

/* --- prediction ------------------------------------------------------------------------------- */
/* Over the model with its adapters as they are now. Options: context (0: the model's), cache
 * (true). */
HORA_API hora_status hora_predictor_new(hora_predictor **out, hora_model *m, const char *options);
HORA_API void hora_predictor_free(hora_predictor *p);
/* Next-token logits behind each of n ids: out has n * vocab floats. */
HORA_API hora_status hora_predictor_logits(hora_predictor *p, const int32_t *ids, size_t n,
                                           float *out);
/* Sum of log p(ids[i] | ids[0..i)) for from <= i < n, from >= 1. */
HORA_API hora_status hora_predictor_score(hora_predictor *p, const int32_t *ids, size_t n,
                                          size_t from, double *logp);
/* Goes on from a prompt. Options: max_new_tokens, temperature (0: greedy), top_k, top_p, seed,
 * stop. New ids are appended to `ids`, new text to `text`; either may be NULL. `piece`, if not
 * NULL, gets text as it becomes certain; it returns false to stop. */
HORA_API hora_status hora_predictor_generate(hora_predictor *p, const int32_t *prompt, size_t n,
                                             const char *options, hora_ids *ids, hora_str *text,
                                             bool (*piece)(void *user, const char *text, size_t n),
                                             void *user);

#ifdef __cplusplus
}
#endif
#endif
