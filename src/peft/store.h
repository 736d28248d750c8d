#ifndef HORA_PEFT_STORE_H
#define HORA_PEFT_STORE_H
/* Parameters to and from files: the pieces that the callbacks of methods are made of. */
#include "peft/peft.h"

/* Writes the parameters whose names begin with `prefix`, in f32, under their own names. */
hora_status hora_params_write(const hora_adapter *a, const char *dir, const char *file,
                              const char *prefix, const hora_pair *meta, int nmeta);
/* Reads exactly those parameters: missing, extra (with that prefix) and misshapen tensors go into
 * one message. Base weights that PEFT wrote beside them are no extras while they are the base's. */
hora_status hora_params_read(hora_adapter *a, const char *dir, const char *file,
                             const char *prefix);
/* The tensor of that name, in another release's spelling if need be; NULL: none. */
const hora_st_tensor *hora_store_find(const hora_adapter *a, const hora_st *st, const char *name);
/* PEFT's folder of a method whose parameters carry PEFT's names: adapter_model.safetensors and
 * `config` as adapter_config.json; and the `load` that reads the former. */
hora_status hora_peft_files_save(hora_adapter *a, const hora_peft_config *config, const char *dir);
hora_status hora_peft_files_load(hora_adapter *a, const hora_foreign *f);
/* `config` as DIR/adapter_config.json, with task type and base filled in. */
hora_status hora_peft_config_write(const hora_adapter *a, const hora_peft_config *config,
                                   const char *dir);
/* Low-rank factors as PEFT's tensors, in site order: A, B and, where there is one, the magnitude,
 * those of sites that share a module on disk together. Call hora_adapter_materialise first. */
typedef struct hora_factor_tensor {
    char *name;
    hora_view view; /* in the adapter's dtype */
    void *own;
} hora_factor_tensor;
hora_factor_tensor *hora_factor_tensors(hora_adapter *a, int *n);
/* The same of factors that are no adapter's: f[i] of the first `sites` of the base's sites and
 * ends, in `dtype`. Parts of a module whose `a` is one pointer share it. */
hora_factor_tensor *hora_factor_list(const hora_base *b, hora_dtype dtype, const hora_factors *f,
                                     int sites, int *n);
/* Rank of the module that holds the site, as it is written there. */
int64_t hora_factor_rank(const hora_base *b, const hora_factors *f, int site);
void hora_factor_tensors_free(hora_factor_tensor *at, int n);
/* Makes `c` (a copy, changed in place) say the same: targets, ranks, alphas. */
void hora_factor_config(hora_adapter *a, hora_peft_config *c);
/* The shortest end of a site's module path (of the module that holds it) that means no module whose
 * site is not on, of the layers of `c`: ModernBERT has attn.Wo and mlp.Wo. Borrowed of the path. */
const char *hora_module_short(const hora_peft_config *c, const hora_base *b, const bool *on,
                              const hora_site *s);
/* Targets of `c` by these names, in place of what it says: on[i] of the first n sites. */
void hora_module_targets(hora_peft_config *c, const hora_base *b, const bool *on, int n);
/* Hash of all low-rank factors, rounded to f32, in site order. Call hora_adapter_materialise first.
 */
uint64_t hora_factors_hash(hora_adapter *a);
/* The same of the lora_A and lora_B tensors of an adapter_model.safetensors, for the sites that `a`
 * adapts. */
hora_status hora_file_factors_hash(hora_adapter *a, const hora_st *st, uint64_t *hash);
/* Largest |difference| between the adapter's factors and the file's, relative to the largest factor
 * of the file. */
hora_status hora_file_factors_distance(hora_adapter *a, const hora_st *st, double *distance);
/* Model card for the folder. */
hora_status hora_card_write(const hora_adapter *a, const char *dir, const char *note);
#endif
