#ifndef HORA_PEFT_TARGETS_H
#define HORA_PEFT_TARGETS_H
/*
 * Which sites a low-rank method adapts, written as users write it and matched as PEFT matches it.
 *
 *   targets  "q+v" | "q_proj+mlp.down_proj" | "all-linear" | "re:.*layers\.[01]\..*"
 *            ('+' or ',' between names)
 *   layers   "0+1+5" (PEFT's layers_to_transform)
 *   exclude  "o_proj+layers.0.mlp.up_proj" | "re:.*layers\.0\..*"
 */
#include "peft/peft.h"

typedef struct hora_target_options {
    char *targets, *layers, *layers_pattern, *exclude,
        *save; /* texts of the option rows; any may be NULL */
} hora_target_options;

/* Fills those of target_modules (or target_regex), layers, layers_pattern, exclude_modules and
 * modules_to_save of `c` that say nothing yet: what a folder said stands. */
hora_status hora_targets_parse(hora_peft_config *c, const hora_target_options *o,
                               const hora_base *base);
/* The reverse, for people: texts of what `c` says, in place of what stands in `o`. A name that
 * holds a separator stays as it is: nothing is parsed back. */
void hora_targets_show(hora_target_options *o, const hora_peft_config *c);
/* Frees the texts: a method whose table has not all of the rows releases them itself. */
void hora_targets_release(hora_target_options *o);
/* A site by any of its paths, and by that of the module that holds it. */
hora_status hora_targets_site(const hora_peft_config *c, const hora_site *s, bool *yes);
/* The module that holds the site is meant, not its part of it: by name, or in a folder of PEFT's,
 * which knows no parts. */
hora_status hora_targets_whole(const hora_peft_config *c, const hora_site *s, bool from_folder,
                               bool *yes);
/* hora_peft_pattern_value of a site, by any of them. */
hora_status hora_targets_value(const hora_peft_pattern *p, int n, const hora_site *s, double def,
                               double *out);
/* A new list of the names as this base's modules have them, where they are another release's. */
void hora_targets_rename(char ***names, int *n, const hora_base *b);
/* The same of patterns: those that match modules of another release's paths alone. A new list. */
hora_status hora_patterns_rename(hora_peft_pattern **p, int *n, const hora_base *b);
/* on[i] for each of the first `n` sites: base->nsites, or with the ends behind them, which
 * all-linear leaves out. No match at all is HORA_ENOTFOUND and names what there is. typed: by a
 * person, so that every name, of exclude_modules too, must match something; PEFT asks for one match
 * of all. */
hora_status hora_targets_match(const hora_peft_config *c, const hora_base *base, int n, bool typed,
                               bool *on);
/* typed: HORA_ENOTFOUND for an entry of rank_pattern or alpha_pattern that matches none of the
 * sites in on[0..n). */
hora_status hora_patterns_match(const hora_peft_config *c, const hora_base *base, int n,
                                const bool *on);
/* Declares what modules_to_save names (lm_head, embed_tokens, norms, projections) as parameters in
 * the adapter's file. typed: every name must match something. The two ends of a tied model are
 * trained apart, as PEFT has it. */
hora_status hora_targets_save(hora_adapter *a, const hora_peft_config *c, bool typed);
/* "q_proj:8;layers.0.*:2" into patterns (value after the last colon); what stands there stays. */
hora_status hora_patterns_parse(hora_peft_pattern **out, int *n, const char *text,
                                const char *option);
void hora_patterns_show(char **text, const hora_peft_pattern *p, int n);
#endif
