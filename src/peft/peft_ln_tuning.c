/*
 * Norm tuning: the weights (and biases) of the norms train. [arXiv 2312.11420; PEFT's LN_TUNING]
 *
 * targets names norms: module names or re:REGEX; all of them when it is not given.
 */
#include "base/text.h"
#include "peft/replaced.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(typed.target.targets, "targets", "target_modules", NULL, "LIST",
             "norms: module names or re:REGEX; not given: all"),
    OPT_LIST(typed.target.exclude, "exclude", "exclude_modules", NULL, "LIST",
             "modules left alone"),
    OPT_LIST(typed.target.save, "modules_to_save", NULL, NULL, "LIST",
             "trained whole beside the adapter: lm_head, embed_tokens"),
};
static const hora_options options = {"Method ln_tuning", rows, HORA_COUNT(rows)};

/* Is there a norm whose module is `m`? */
static bool is_norm(const hora_base *b, const char *m) {
    bool yes = false;
    for (int w = 0; w < b->nweights && !yes; w++)
        if (b->weights[w].role == HORA_ROLE_NORM) {
            char *own = hora_base_module(b, w);
            yes = hora_eq(own, m);
            hora_free(own);
        }
    return yes;
}

/* The last parts of the modules of all norms, each once: the names that PEFT matches. */
static void all_norms(hora_adapter *a) {
    const hora_base *b = a->base;
    hora_peft_config *p = &((config *)a->config)->typed.peft;
    int cap = p->n_targets;
    hora_free(p->target_regex);
    p->target_regex = NULL;
    for (int w = 0; w < b->nweights; w++) {
        if (b->weights[w].role != HORA_ROLE_NORM)
            continue;
        char *module = hora_base_module(b, w), *dot = strrchr(module, '.');
        const char *last = dot ? dot + 1 : module;
        bool known = false;
        for (int i = 0; i < p->n_targets; i++)
            known |= hora_eq(p->target_modules[i], last);
        if (!known)
            HORA_PUSH(p->target_modules, p->n_targets, cap, hora_strdup(last));
        hora_free(module);
    }
}

static hora_status choose(hora_adapter *a) {
    const hora_base *b = a->base;
    const hora_peft_config *p = &((const config *)a->config)->typed.peft;
    hora_status s = HORA_OK;
    for (int w = 0; w < b->nweights && !s; w++) {
        char *module = hora_base_module(b, w);
        const hora_role role = b->weights[w].role;
        const bool norm = (role == HORA_ROLE_NORM || role == HORA_ROLE_BIAS) && is_norm(b, module);
        bool on = false;
        if (norm)
            s = hora_peft_targets(p, module, &on);
        if (on && !s) {
            char *name = hora_format("base_model.model.%s.ln_tuning_layers.%s", module,
                                     b->weights[w].name + strlen(module) + 1);
            hora_adapter_replace(a, w, name)->decay = false;
            hora_free(name);
        }
        hora_free(module);
    }
    if (!s && !a->nparams)
        s = hora_fail(HORA_ENOTFOUND, "no norm matches the targets; leave them out to train all");
    return s;
}

static hora_status setup(hora_adapter *a) {
    hora_typed *t = a->config;
    HORA_TRY(hora_targets_parse(&t->peft, &t->target, a->base));
    if (!t->from_folder)
        hora_typed_keys(a);
    /* all-linear of a folder is what PEFT takes it for: projections */
    if (!t->peft.n_targets &&
        (!t->peft.target_regex || (!t->from_folder && hora_peft_all_linear(&t->peft))))
        all_norms(a);
    HORA_TRY(choose(a));
    return hora_targets_save(a, &t->peft, !t->from_folder);
}

const hora_method hora_method_ln_tuning = {
    .name = "ln_tuning",
    .summary = "norms only",
    .form = "the norms train",
    .paper = "arXiv 2312.11420",
    .default_lr = 1e-3,
    .options = &options,
    .config_size = sizeof(config),
    .unrouted = "it puts other values in the place of base weights",
    .hooks = {.select = hora_adapter_replacement},
    .setup = setup,
    .release = hora_typed_release,
    HORA_TYPED_FOLDER,
    .peft_type = "LN_TUNING",
    .peft_keys = "",
    .merge = hora_replaced_merge,
    .combine = hora_replaced_combine,
};
