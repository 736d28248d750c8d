#ifndef HORA_PEFT_PEFT_H
#define HORA_PEFT_PEFT_H
/*
 * Methods. One file peft_x.c, one row METHOD(x) in methods.def. To add one, copy a neighbour. A
 * method declares its parameters in setup and records through its hooks; saving, merging and
 * counting fall out of `factors` and the parameter list.
 */
#include "base/options.h"
#include "nn/net.h"

/* Low-rank form of what a method does to one site: W' = W + scale B A. Memory owned by the adapter,
 * dtype of the adapter. */
typedef struct hora_factors {
    int64_t rank;
    double scale, alpha; /* scale = alpha / rank, or alpha / sqrt(rank) with rsLoRA */
    const void *a;       /* (rank, in) */
    const void *b;       /* (out, rank) */
} hora_factors;

#define HORA_TRAIT_LOWRANK 1u /* `factors` works: exports as a PEFT LoRA, merges                */
#define HORA_TRAIT_WEIGHTS 2u /* trains base weights: exports as a model or delta.safetensors   */
#define HORA_TRAIT_MODEL   4u /* every weight trains: OUT is a model directory                 */
#define HORA_TRAIT_REVISES 8u /* select is asked again between steps                            */

typedef struct hora_method {
    const char *name;
    const char *summary; /* one line */
    const char *paper;   /* "arXiv 2106.09685"; NULL */
    double default_lr;
    unsigned traits;
    const hora_options *options;
    size_t config_size;
    hora_hooks hooks;
    hora_status (*setup)(
        hora_adapter *); /* checks options against the base, matches targets, declares parameters */
    void (*release)(hora_adapter *);
    /* Low-rank form of a site (index into base->sites); rank 0: the site is untouched. Call
     * hora_adapter_materialise first. */
    void (*factors)(hora_adapter *, int site, hora_factors *);
    /* Evaluates what `factors` needs from the parameters' present values; NULL: nothing to do. */
    hora_status (*materialise)(hora_adapter *);
    /* LOWRANK: ranks, targets and patterns as adapter_config.json has them, borrowed. */
    const struct hora_peft_config *(*peft_config)(const hora_adapter *);
    /* Native files beside the PEFT ones (hora_state.safetensors), and reading them back; NULL:
     * none. */
    hora_status (*save_native)(hora_adapter *, const char *dir);
    hora_status (*load_native)(hora_adapter *, const char *dir);
    /* Warns about states that cannot learn; NULL: none. */
    void (*diagnose)(hora_adapter *);
} hora_method;

int hora_method_count(void);
const hora_method *hora_method_at(int i);
const hora_method *hora_method_named(const char *name); /* NULL when absent */

/* Attaches: takes the method's options out of `settings` (which may hold others' too), matches
 * targets, declares parameters. No memory for values yet: hora_adapter_allocate, or
 * hora_peft_load. */
hora_status hora_peft_attach(hora_adapter **out, const hora_base *base, const char *method,
                             hora_settings *settings, uint64_t seed);
void hora_peft_detach(hora_adapter *a); /* accepts NULL */
hora_status hora_adapter_materialise(hora_adapter *a);

/* Writes into an existing folder: adapter_config.json + adapter_model.safetensors (low-rank
 * methods, with modules_to_save), native state, or delta.safetensors + delta_config.json (bitfit,
 * head), or model.safetensors + config.json and tokenizer files (full); README.md (model card). */
hora_status hora_peft_save(hora_adapter *a, const char *dir, const char *card_note);
/* Opens a saved folder of any kind against the base: PEFT's LoRA files become method `lora`; with
 * hora_state.safetensors beside them, method `hora`, unless the two disagree (HORA_EMISMATCH;
 * prefer = "native" or "materialised" decides). delta.safetensors: bitfit or head. */
hora_status hora_peft_load(hora_adapter **out, const hora_base *base, const char *dir,
                           const char *prefer);
/* Reads values from such a folder into an attached, allocated adapter of the same method and
 * options (--init-adapter, resume). */
hora_status hora_adapter_read(hora_adapter *a, const char *dir);
/* Merged weight of every touched site into a copy of the base weights (f32): out[w] is NULL where
 * nothing changes, else a new block of view's size to free with hora_free. out has base->nweights
 * entries. */
hora_status hora_peft_merge(hora_adapter *a, float **out);
/* Counts of trainable numbers and the method's options as run, for plan, inspect and cards. */
int64_t hora_adapter_trainable(const hora_adapter *a);
#endif
