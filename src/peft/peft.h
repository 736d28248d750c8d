#ifndef HORA_PEFT_PEFT_H
#define HORA_PEFT_PEFT_H
/*
 * Methods. One file peft_x.c, one row METHOD(x) in methods.def. To add one, copy a neighbour;
 * docs/guide/add-a-method.md is the walk.
 *
 * A method declares its parameters in setup and records through its hooks. How it lies on disk,
 * how such a folder is recognised and how it merges are callbacks of the row. Two sets of them are
 * ready-made: lowrank.h (PEFT's LoRA files, from `factors`) and replaced.h (new values of base
 * weights: delta files, or a whole model). The registry checks every row once, at its first use.
 */
#include "base/options.h"
#include "format/peft_config.h"
#include "format/safetensors.h"
#include "nn/net.h"

/* Low-rank form of what a method does to one site: W' = W + scale B A, and with a magnitude each
 * row stretched to that norm. Memory owned by the adapter, dtype of the adapter. */
typedef struct hora_factors {
    int64_t rank;
    double scale, alpha;   /* scale = alpha / rank, or alpha / sqrt(rank) with rsLoRA */
    const void *a;         /* (rank, in) */
    const void *b;         /* (out, rank) */
    const void *magnitude; /* (out): PEFT's DoRA; NULL: none */
    const void *bias;      /* (out): PEFT's lora_bias, scaled like B A; NULL: none */
} hora_factors;

/* What lies in the folder of an adapter, ours or another tool's: opened once, borrowed by the
 * callbacks. NULL: that file is not there. */
typedef struct hora_foreign {
    const char *dir;
    const hora_peft_config *peft; /* adapter_config.json */
    const hora_json *delta;       /* delta_config.json */
    const hora_st *native;        /* hora_state.safetensors */
    bool model;                   /* config.json, and none of the above */
    bool trusted;                 /* native state counts even where PEFT's file disagrees */
} hora_foreign;

/* Adapters that are being folded into one set of weights. */
typedef struct hora_merging {
    hora_adapter *const *at; /* in attach order */
    int n;
    float **w; /* per base weight: the values so far, hora_free; NULL: as hora_merging_leaf says */
} hora_merging;

typedef struct hora_method {
    const char *name;
    const char *summary; /* one line */
    const char *form;    /* its equation, one line; b and dropout left out where they say nothing */
    const char *paper;   /* "arXiv 2106.09685"; NULL */
    const char *alias;   /* another name, which means the options `alias_options`; NULL: none */
    const char *alias_options;
    double default_lr;
    const hora_options *options; /* NULL: none */
    size_t config_size;          /* of the struct that the options fill */
    hora_hooks hooks;
    /* Checks options against the base, matches targets, declares parameters. */
    hora_status (*setup)(hora_adapter *);
    /* what setup made, also after a failure half-way; NULL: none */
    void (*release)(hora_adapter *);
    /* Why it cannot be on in some rows of a batch and off in others, as adapters of several tasks
     * are (hora_adapters_route); NULL: it can. */
    const char *unrouted;

    /* --- on disk */
    bool (*claims)(const struct hora_method *, const hora_foreign *); /* this folder is mine */
    /* Fills the configuration (defaults stand in it) from a folder that it claims: PEFT's structure
     * directly, or options that were saved. NULL: the defaults. */
    hora_status (*configure)(const struct hora_method *, void *config, const hora_foreign *);
    /* Writes into an existing folder, without the model card. */
    hora_status (*save)(hora_adapter *, const char *dir);
    /* Reads the values of an attached, allocated adapter. The folder need not be claimed: it may be
     * the one a user names to start from. */
    hora_status (*load)(hora_adapter *, const hora_foreign *);
    /* Folds what the hooks do into m->w; weights that an adapter replaces stand there already.
     * NULL: cannot be merged, and is refused by name. */
    hora_status (*merge)(hora_adapter *, const hora_merging *m);

    /* --- what typed.h asks: NULL where the method is no type of PEFT's own */
    const char *peft_type; /* "VERA" */
    const char *peft_keys; /* its keys in adapter_config.json */
    bool whole; /* a module that holds several sites is adapted as a whole too (typed.h) */
    /* The parameters of parts of such modules, as they are, have a form of PEFT's too, of the
     * module, which `save` writes and `load` takes apart; NULL: none. */
    bool (*joins)(const hora_adapter *);

    /* --- what lowrank.h asks; all or none */
    /* Evaluates what `factors` needs from the parameters' present values; NULL: nothing to do. */
    hora_status (*materialise)(hora_adapter *);
    /* Low-rank form of a site (index into base->sites); rank 0: the site is untouched. Call
     * hora_adapter_materialise first. */
    void (*factors)(hora_adapter *, int site, hora_factors *);
    bool ends; /* it is asked about the ends too */
    /* Their rank in words, "r r"; NULL: the option `rank`. Without them: the rank of what a merge
     * adds to a weight, as change_rank gives it, at most; NULL both: any. */
    const char *factors_rank;
    int64_t (*change_rank)(const hora_adapter *);
    /* Ranks, targets and patterns as adapter_config.json has them, borrowed. With change_rank too.
     */
    const hora_peft_config *(*peft_config)(const hora_adapter *);

    /* Several adapters of this method as one, where PEFT adds them or their changes add up:
     * *out is new and allocated. Checked in front of any work are what all share (base, dtype).
     * NULL: by `factors` alone, or not at all. */
    hora_status (*combine)(hora_adapter **out, hora_adapter *const *at, int n);

    /* Refuses a run of so many steps in which what `stepped` does has no room; NULL: any will do */
    hora_status (*scheduled)(const hora_adapter *, int64_t steps);
    /* After update `step` (from 1) of `steps`, parameters and gradients on the host: what a method
     * does to its parameters between steps. NULL: nothing. */
    void (*stepped)(hora_adapter *, int64_t step, int64_t steps);

    /* --- which blocks train; both or neither, and of the adapters of a training one alone */
    /* Before a step, parameters on the host: whose parameters train in it, `trains` and the updates
     * that each has sat out, one entry per block. Of all adapters: what is in a block that does not
     * train gets no gradient and no update. */
    void (*choose)(hora_adapter *, bool *trains, int64_t *skipped);
    /* After a micro-batch of the training whose graph the method's hooks have recorded last. */
    void (*watched)(hora_adapter *, const hora_graph *);

    /* Warns about states that cannot learn; NULL: none. */
    void (*diagnose)(hora_adapter *);
} hora_method;

int hora_method_count(void);
const hora_method *hora_method_at(int i);
const hora_method *hora_method_named(const char *name); /* or alias; NULL when absent */
hora_status hora_method_unknown(const char *name);      /* HORA_ENOTFOUND with the nearest one */
/* What a row lacks, by name; NULL: it is complete. */
const char *hora_method_lacks(const hora_method *m);
/* What its folder is to others: PEFT's type ("IA3", "LORA"), "LORA, own state beside", "a model",
 * or "hora": read by hora alone. */
const char *hora_method_export(const hora_method *m);
/* HORA_EUSAGE for a setting that nobody took and that is an option of other methods: names them,
 * and what this one has. */
hora_status hora_method_foreign(const hora_settings *s, const char *method);

/* Attaches: takes the method's options out of `settings` (which may hold others' too), matches
 * targets, declares parameters. No memory for values yet: hora_adapter_allocate, or
 * hora_peft_load. */
hora_status hora_peft_attach(hora_adapter **out, const hora_base *base, const char *method,
                             hora_settings *settings, uint64_t seed);
/* The options of every adapter, whatever its method. hora_peft_attach takes them too. */
typedef struct hora_adapter_config {
    char *name; /* NULL: the method's */
    char *task; /* of the records that it is for; NULL: all */
} hora_adapter_config;
extern const hora_options hora_adapter_options;
void hora_peft_detach(hora_adapter *a); /* accepts NULL */
hora_status hora_adapter_materialise(hora_adapter *a);

/* Writes what the method's `save` does into an existing folder, and README.md, the model card. */
hora_status hora_peft_save(hora_adapter *a, const char *dir, const char *card_note);
/* Opens a saved folder against the base with the method that claims it. prefer: NULL; "native" or
 * "materialised" decides where native state and PEFT's files disagree (HORA_EMISMATCH without). */
hora_status hora_peft_load(hora_adapter **out, const hora_base *base, const char *dir,
                           const char *prefer);
/* The folder holds a model, not an adapter, as `full` writes it. */
bool hora_peft_is_model(const char *dir);
/* The method that claims a folder; NULL in *m: none does. */
hora_status hora_peft_whose(const hora_method **m, const char *dir);
/* Reads values from such a folder into an attached, allocated adapter of the same method and
 * options (--init-adapter, resume). */
hora_status hora_adapter_read(hora_adapter *a, const char *dir);
/* Folds the adapters into w, which has an entry per base weight and starts as NULLs; entries that
 * change get new blocks of f32, to free with hora_free. First what adapters put in the place of
 * base weights, then the hooks, those of the last attached first: it stands next to the weight.
 * HORA_EUNSUPPORTED when one of them cannot be merged; w is then untouched. */
hora_status hora_peft_merge(hora_adapter *const *at, int n, float **w);
/* For a `merge` of one's own. What recordings take for base weight i: the parameter in its place,
 * or the base's own. */
hora_view hora_merging_leaf(const hora_merging *m, int i);
/* Weight i as folded so far, to be changed in place. */
hora_status hora_merging_weight(const hora_merging *m, int i, float **out);
/* The bias of a site whose rows were scaled by c (out) with the bias outside of the scale: what an
 * inner adapter made of it is inside. */
void hora_merging_outside(const hora_merging *m, const hora_site *s, const double *c);
/* One end of a tied pair is about to change alone: the head gets values of its own. Nothing where
 * they are apart already. */
hora_status hora_merging_apart(const hora_merging *m);
/* The rows of a site's weight as folded so far, one after another in f64, each to be changed in
 * place by `row` (s->in numbers): for methods that change what a projection reads. */
hora_status hora_merging_rows(const hora_merging *m, const hora_site *s,
                              void (*row)(void *arg, double *row), void *arg);
/* How much of what the adapter changes counts: 1 all, 0.5 half of the way, negative against it.
 * Every recording made later and every merge heeds it; values of base weights that it replaces are
 * moved at once (a head that no file of the base has stays). HORA_EUNSUPPORTED where a share means
 * nothing (hora_adapter_whole): 0 switches those off. Its files keep the whole adapter. */
hora_status hora_peft_weigh(hora_adapter *a, double weight);
/* --- several at once: several.c
 * As PEFT has them: the first lies in the folder itself, the others in sub-folders of their names.
 * hora_adapters.json says which belong together. */
/* It may be an adapter's: the name of a folder beside checkpoint-N. NULL: no. */
bool hora_adapter_name_valid(const char *name);
/* Refuses two of one name, and two that train the same base weight. */
hora_status hora_adapters_check(hora_adapter *const *at, int n);
/* Task routing: an adapter with a task is on in the rows of records that name this task and off in
 * all others. Numbers the tasks in attach order (adapter.h: route). HORA_EUNSUPPORTED, with the
 * adapter's name, where one cannot be on in some rows alone. */
hora_status hora_adapters_route(hora_adapter *const *at, int n);
bool hora_adapters_routed(hora_adapter *const *at, int n); /* one of them is for a task */
/* The tasks in the order of their numbers into names (room for n, borrowed); returns how many. */
int hora_adapters_tasks(hora_adapter *const *at, int n, const char **names);
/* Where no record says which one is meant: refuses adapters of several tasks, and turns one that is
 * alone on in all rows. from: where they lie. */
hora_status hora_adapters_one_task(hora_adapter *const *at, int n, const char *from);
/* Calls `a` by `name`, or by the folder of that path, made different from the other n. */
void hora_adapters_name(hora_adapter *a, const char *name, hora_adapter *const *others, int n);
/* Where adapter i lies in `dir`; new string. */
char *hora_adapters_path(hora_adapter *const *at, int i, const char *dir);
/* Writes all of them into the existing folder, sub-folders flushed. */
hora_status hora_adapters_save(hora_adapter *const *at, int n, const char *dir,
                               const char *card_note);
/* Opens all that lie in `dir` together; *at is an array to free with hora_free. Those of tasks are
 * numbered (hora_adapters_route); only: of them this one alone, which is then on in all rows. */
hora_status hora_adapters_load(hora_adapter ***at, int *n, const hora_base *base, const char *dir,
                               const char *only, const char *prefer);
/* The task of adapter i in that list; NULL: none. Owned. */
char *hora_adapters_task(const char *dir, int i);
/* What a path names: OUT/NAME is the adapter NAME of those that lie together in OUT (*name, *home
 * its OUT), wherever its files are; else *home is dir, and *name NULL. One that is for all records
 * and lies in a folder of its own, beside none of a task, is that folder. Both owned. */
hora_status hora_adapters_home(const char *dir, char **home, char **name);
/* Folder of the one adapter that a path names; owned. HORA_EUSAGE where several lie there and none
 * is called `name` (NULL: none is preferred). */
hora_status hora_adapters_one(char **folder, const char *dir, const char *name);
/* Folders of the adapters `at` in `dir`, by their names, into n strings, owned; one alone may have
 * another name there. HORA_EUSAGE where one is not there; *unused: names of those that none of `at`
 * is, owned, NULL: none. */
hora_status hora_adapters_folders(hora_adapter *const *at, int n, const char *dir, char **folders,
                                  char **unused);
/* Names of those that lie in `dir` together, the first one's first; none where there is no
 * hora_adapters.json. Free with hora_list_free. */
hora_status hora_adapters_list(char ***names, int *n, const char *dir);

/* Number of trainable numbers. */
int64_t hora_adapter_trainable(const hora_adapter *a);
#endif
