#ifndef HORA_RUN_METHODS_H
#define HORA_RUN_METHODS_H
/*
 * The adapters of a run, from its settings: one, from `method` and its options among the others; or
 * a list, `methods: [{method: lora, adapter_name: style, rank: 8}, ..]`, each with options of its
 * own.
 */
#include "peft/peft.h"

typedef struct hora_run_methods { /* zeroed before hora_run_methods_attach */
    hora_adapter **at;            /* owned */
    int n, cap;
    bool list; /* written as a list, also when there is but one */
} hora_run_methods;

/* Attaches; what it takes out of `s` is marked. `method`: the run's option, when there is no list.
 */
hora_status hora_run_methods_attach(hora_run_methods *m, const hora_base *base, hora_settings *s,
                                    const char *method, uint64_t seed);
/* Where in an earlier folder each of them lies: by their names; one alone also under another, where
 * the path names it (OUT/NAME) or no other is there. *folders has m->n strings, to free with
 * hora_list_free, also after a failure. HORA_EUSAGE where it does not say which is meant. */
hora_status hora_run_methods_from(const hora_run_methods *m, const char *dir, char ***folders);
/* Values from there. */
hora_status hora_run_methods_read(const hora_run_methods *m, char *const *folders);
/* Adds `methods` to a recipe as run; only for a list. */
void hora_run_methods_recipe(const hora_run_methods *m, hora_json *recipe);
void hora_run_methods_release(hora_run_methods *m);
#endif
