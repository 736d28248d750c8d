#ifndef HORA_PEFT_TYPED_H
#define HORA_PEFT_TYPED_H
/*
 * Methods that adapt sites and lie on disk as a type of PEFT's own: adapter_config.json with their
 * `peft_type` and keys, adapter_model.safetensors with their parameters under PEFT's names.
 *
 * Methods without a type of their own use the setup alone.
 *
 * Their configuration begins with a hora_typed, their options with HORA_TYPED_OPTIONS. The row says
 * `peft_type` and `peft_keys`, the keys of its own, separated by blanks:
 *
 *   r                 an option by that name or alias, written and read
 *   init_weights=true says nothing about the result: written so, passed over in a file
 *   rank_pattern=RANKS, alpha_pattern=ALPHAS    PEFT's patterns, in the structure
 *   bias!none         written so, and refused where a file says otherwise
 */
#include "peft/store.h"
#include "peft/targets.h"

typedef struct hora_typed {
    hora_target_options target;
    hora_peft_config peft; /* what counts: from the texts above, or from a folder */
    bool from_folder;
    /* of setup: per site, its row numbers in a module that is adapted as a whole; NULL: it is
     * adapted by itself */
    int32_t **rows;
    int nrows;
} hora_typed;

#define HORA_TYPED_OPTIONS(targets_)                                                               \
    OPT_LIST(typed.target.targets, "targets", "target_modules", targets_, "LIST",                  \
             "sites: q k v o gate up down, module names, all-linear or re:REGEX"),                 \
        OPT_LIST(typed.target.layers, "layers", "layers_to_transform", NULL, "LIST",               \
                 "only these layers"),                                                             \
        OPT_LIST(typed.target.layers_pattern, "layers_pattern", NULL, NULL, "LIST",                \
                 "name of the list of layers, as PEFT has it"),                                    \
        OPT_LIST(typed.target.exclude, "exclude", "exclude_modules", NULL, "LIST",                 \
                 "modules left alone"),                                                            \
        OPT_LIST(typed.target.save, "modules_to_save", NULL, NULL, "LIST",                         \
                 "trained whole beside the adapter: lm_head, embed_tokens")

#define HORA_TYPED_FILES                                                                           \
    .claims = hora_typed_claims, .save = hora_typed_save, .load = hora_peft_files_load
#define HORA_TYPED_FOLDER HORA_TYPED_FILES, .configure = hora_typed_configure

/* Keys of types whose layers can be chosen, and that know no bias. */
#define HORA_TYPED_KEYS "layers_to_transform=null layers_pattern=null bias!none"

/* Modules that hold several sites (timm's qkv), in setup; `on`: sites. Named as such, or in a
 * folder of PEFT's, such a module is adapted as a whole where the row says `whole`: its sites share
 * one set of parameters, and each takes its rows. Parts have parameters of their own, which no file
 * of PEFT's says: such an adapter lies in a delta folder (replaced.h), and setup says so. Where the
 * row does not say `whole`, PEFT's own of the whole module is refused. LoRA and its kin write
 * factors of the whole instead (factors.c), and are not asked. */
hora_status hora_typed_fused(hora_adapter *a, const bool *on);
bool hora_typed_parts(const hora_adapter *a); /* it has some */
/* What the parameters of a site are declared for: the site, or with its name and its height the
 * module that is adapted as a whole. Borrows the names. */
hora_site hora_typed_whole(const hora_adapter *a, int site);
/* The first row of a site in what its parameters are declared for. */
int64_t hora_typed_row(const hora_adapter *a, int site);
/* The site's rows of x (height of hora_typed_whole, ..): x itself, or a node. */
hora_t hora_typed_rows(hora_net *n, const hora_adapter *a, int site, hora_t x);
/* Whose draws of dropout count: one mask for all that share an input's factors. */
hora_site_kind hora_typed_stream(const hora_adapter *a, int site);

bool hora_typed_claims(const hora_method *m, const hora_foreign *f);
hora_status hora_typed_configure(const hora_method *m, void *config, const hora_foreign *f);
hora_status hora_typed_save(hora_adapter *a, const char *dir);

/* PEFT's structure, as setup left it: callback of a method that has factors too. */
const hora_peft_config *hora_typed_peft_config(const hora_adapter *a);

/* In setup: turns the texts into PEFT's structure and calls `add` for every site that matches (an
 * index into base->sites), then declares modules_to_save. */
hora_status hora_typed_setup(hora_adapter *a, hora_status (*add)(hora_adapter *, int site));
/* The same for methods that need all sites before the first: `shared` is told which match. */
hora_status hora_typed_setup_shared(hora_adapter *a, void (*shared)(hora_adapter *, const bool *on),
                                    hora_status (*add)(hora_adapter *, int site));
/* rank_pattern and alpha_pattern of the options' texts; before the matching. */
hora_status hora_typed_patterns(hora_adapter *a, const char *ranks, const char *alphas);
/* What they say of a site. */
hora_status hora_typed_rank(const hora_adapter *a, const hora_site *s, int64_t rank, double alpha,
                            int64_t *r, double *al);
/* Fills PEFT's type and the keys of its own from the options; hora_typed_setup does. */
void hora_typed_keys(hora_adapter *a);
void hora_typed_release(hora_adapter *a); /* of the configuration */
/* "base_model.model.MODULE.SUFFIX"; new string. */
char *hora_typed_name(const hora_site *s, const char *suffix);
/* Declares a parameter of a site (hora_typed_whole) under that name; what another site of the same
 * module has declared is shared. */
hora_param *hora_typed_param(hora_adapter *a, const hora_site *s, const char *suffix,
                             hora_shape shape, hora_init init);
/* Kaiming's uniform draw with a = sqrt 5, as PEFT draws most factors: U(-b, b), b = 1/sqrt(in). */
hora_init hora_kaiming(int64_t in);
#endif
