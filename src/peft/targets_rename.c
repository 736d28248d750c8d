/* Names and patterns of another release's module paths as this base has them. */
#include <math.h>

#include "peft/peft_impl.h"
#include "peft/targets.h"
#include "peft/targets_impl.h"

/* Every site whose own path ends in `last` has an older one that ends in `name`. */
static bool all_older(const hora_base *b, const char *last, const char *name) {
    bool all = true;
    for (int i = 0; i < b->nsites && all; i++) {
        const hora_site *s = &b->sites[i];
        bool one = !hora_eq(hora_target_last(s->module), last);
        for (int k = 0; k < s->nalso && !one; k++)
            one = hora_target_ends(s->also[k], name);
        all = one;
    }
    return all;
}

/* `name` with the modules that this base has in the place of another release's. */
static void push_present(const char *name, const hora_base *b, char ***out, int *n, int *cap) {
    bool now = false, renamed = false;
    for (int i = 0; i < b->nsites; i++)
        now |= hora_target_ends(b->sites[i].module, name);
    for (int i = 0; i < b->nsites && !now; i++)
        for (int k = 0; k < b->sites[i].nalso; k++) {
            const char *part = hora_target_last(b->sites[i].module);
            bool had = !hora_target_ends(b->sites[i].also[k], name);
            renamed |= !had;
            if (!had && !all_older(b, part, name)) /* some of them */
                part = b->sites[i].module;
            for (int j = 0; j < *n; j++)
                had |= hora_eq((*out)[j], part);
            if (!had)
                HORA_PUSH(*out, *n, *cap, hora_strdup(part));
        }
    if (!renamed)
        HORA_PUSH(*out, *n, *cap, hora_strdup(name));
}

void hora_targets_rename(char ***names, int *n, const hora_base *b) {
    char **out = NULL;
    int m = 0, cap = 0;
    for (int i = 0; i < *n; i++)
        push_present((*names)[i], b, &out, &m, &cap);
    *names = out;
    *n = m;
}

/* How many sites the pattern matches, by their own paths and by another release's; `last` NULL: of
 * all, else of those whose own path ends in that name. */
static hora_status match_paths(const hora_peft_pattern *p, const hora_base *b, const char *last,
                               int *own, int *older, int *all) {
    *own = *older = *all = 0;
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        double v = NAN;
        if (last && !hora_eq(hora_target_last(s->module), last))
            continue;
        ++*all;
        HORA_TRY(hora_peft_pattern_value(p, 1, s->module, NAN, &v));
        if (s->fused && isnan(v))
            HORA_TRY(hora_peft_pattern_value(p, 1, s->fused, NAN, &v));
        *own += !isnan(v);
        HORA_TRY(hora_targets_value(p, 1, s, NAN, &v));
        *older += !isnan(v);
    }
    return HORA_OK;
}

static hora_status rename_one(const hora_peft_pattern *p, const hora_base *b,
                              hora_peft_pattern **out, int *n, int *cap) {
    int own, older, all;
    HORA_TRY(match_paths(p, b, NULL, &own, &older, &all));
    if (own || !older) {
        HORA_PUSH(*out, *n, *cap, ((hora_peft_pattern){hora_strdup(p->pattern), p->value}));
        return HORA_OK;
    }
    const int first = *n;
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        const char *last = hora_target_last(s->module), *name;
        double v = NAN;
        HORA_TRY(hora_targets_value(p, 1, s, NAN, &v));
        if (isnan(v) || s->fused)
            continue;
        HORA_TRY(match_paths(p, b, last, &own, &older, &all));
        name = older == all ? last : s->module; /* or some of them alone */
        bool had = false;
        for (int k = first; k < *n; k++)
            had |= hora_eq((*out)[k].pattern, name);
        if (!had)
            HORA_PUSH(*out, *n, *cap, ((hora_peft_pattern){hora_strdup(name), p->value}));
    }
    return HORA_OK;
}

hora_status hora_patterns_rename(hora_peft_pattern **p, int *n, const hora_base *b) {
    hora_peft_pattern *out = NULL;
    int m = 0, cap = 0;
    hora_status s = HORA_OK;
    for (int i = 0; i < *n && !s; i++)
        s = rename_one(&(*p)[i], b, &out, &m, &cap);
    *p = out;
    *n = m;
    return s;
}
