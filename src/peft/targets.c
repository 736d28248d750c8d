/* Texts of target options into PEFT's own structure, so that one matcher (format/peft_config)
 * serves files and command line. */
#include "peft/targets.h"
#include "base/text.h"
#include "peft/peft_impl.h"
#include "peft/targets_impl.h"

#include <math.h>
#include <stdlib.h>

#define ALL_LINEAR "all-linear"

/* PEFT's word, in any case, and what other trainers write for it. */
static bool means_all(const char *name) {
    static const char *const words[] = {ALL_LINEAR, "all", "*"};
    for (size_t i = 0; i < HORA_COUNT(words); i++) {
        const char *word = words[i], *p = name;
        while (*word && (*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p == '_' ? '-' : *p) == *word)
            p++, word++;
        if (!*word && !*p)
            return true;
    }
    return false;
}

/* The words as new strings, where *out holds none yet. */
static void split(const char *text, char ***out, int *n) {
    int cap = 0;
    if (*n)
        return;
    for (char *word; (word = hora_list_word(&text, HORA_LIST));)
        HORA_PUSH(*out, *n, cap, word);
}

/* --- names ------------------------------------------------------------------------------------ */

/* The kind that a short name means in this model; HORA_SITE_NONE: none. */
static hora_site_kind kind_of(const char *name, const hora_base *b) {
    hora_site_kind found = HORA_SITE_NONE;
    for (int i = 0; i < b->nsites + b->nends && found == HORA_SITE_NONE; i++)
        if (hora_eq(hora_site_short(b->sites[i].kind), name))
            found = b->sites[i].kind;
    for (int k = 0; k < HORA_SITES && found == HORA_SITE_NONE; k++)
        if (hora_eq(hora_site_short((hora_site_kind)k), name))
            for (int i = 0; i < b->nsites && found == HORA_SITE_NONE; i++)
                if (hora_eq(hora_site_short(b->sites[i].kind), hora_site_alias((hora_site_kind)k)))
                    found = b->sites[i].kind;
    return found;
}

/* No site of another kind ends in `name`. */
static bool tells(const char *name, hora_site_kind kind, const hora_base *b) {
    bool yes = true;
    for (int i = 0; i < b->nsites; i++)
        yes &= b->sites[i].kind == kind || !hora_target_ends(b->sites[i].module, name);
    return yes;
}

static bool in_layers(const hora_peft_config *c, int64_t layer) {
    bool yes = !c->n_layers;
    for (int i = 0; i < c->n_layers; i++)
        yes |= c->layers[i] == layer;
    return yes;
}

/* Appends the module names behind a short one, "q": "q_proj", whatever the family calls it; each
 * chosen layer's path where others end alike, of which PEFT asks no layer; anything else as it is.
 */
static void push_names(const hora_peft_config *c, const char *name, const hora_base *b, char ***out,
                       int *n, int *cap) {
    const hora_site_kind kind = kind_of(name, b);
    bool done = false;
    for (int i = 0; i < b->nsites + b->nends && !done; i++) {
        const hora_site *s = &b->sites[i];
        if (s->kind != kind)
            continue;
        done = tells(hora_target_last(s->module), kind, b);
        if (done || in_layers(c, s->layer))
            HORA_PUSH(*out, *n, *cap, hora_strdup(done ? hora_target_last(s->module) : s->module));
    }
    if (kind == HORA_SITE_NONE)
        HORA_PUSH(*out, *n, *cap, hora_strdup(name));
}

/* What all-linear stands for, where it is one name of several. */
static void push_all(const hora_peft_config *c, const hora_base *b, char ***out, int *n, int *cap) {
    bool done[HORA_SITES] = {0};
    for (int i = 0; i < b->nsites; i++) {
        const hora_site_kind kind = b->sites[i].kind;
        if (!done[kind])
            push_names(c, hora_site_short(kind), b, out, n, cap);
        done[kind] = true;
    }
}

/* Splits, short names spelled out; all: so is that for every one. */
static void split_names(const hora_peft_config *c, const char *text, char ***out, int *n,
                        const hora_base *base, bool all) {
    char **typed = NULL;
    int k = 0, cap = 0;
    split(text, &typed, &k);
    for (int i = 0; i < k; i++)
        if (all && means_all(typed[i]))
            push_all(c, base, out, n, &cap);
        else
            push_names(c, typed[i], base, out, n, &cap);
    hora_list_free(typed, k);
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static hora_status parse_layers(hora_peft_config *c, const char *text) {
    char **parts = NULL;
    int n = 0, cap = 0;
    hora_status s = HORA_OK;
    if (c->n_layers)
        return HORA_OK;
    split(text, &parts, &n);
    for (int i = 0; i < n; i++) {
        int64_t v = 0;
        if (!hora_parse_int(parts[i], &v) || v < 0)
            s = hora_fail(
                HORA_EUSAGE,
                "layers: `%s` is no layer number; write layers=0+1+5, or leave it out for all",
                parts[i]);
        HORA_PUSH(c->layers, c->n_layers, cap, v);
        hora_free(parts[i]);
    }
    hora_free(parts);
    return s;
}

static void parse_targets(hora_peft_config *c, const char *text, const hora_base *base) {
    if (hora_starts(text, "re:")) {
        c->target_regex = hora_strdup(text + 3);
        return;
    }
    if (means_all(text)) {
        c->target_regex = hora_strdup(ALL_LINEAR);
        return;
    }
    split_names(c, text, &c->target_modules, &c->n_targets, base, true);
    if (c->n_targets) /* an array of none is NULL, which qsort does not take */
        qsort(c->target_modules, (size_t)c->n_targets, sizeof *c->target_modules, by_text);
}

static void parse_exclude(hora_peft_config *c, const char *text, const hora_base *base) {
    if (hora_starts(text, "re:"))
        c->exclude_regex = hora_strdup(text + 3);
    else
        split_names(&(hora_peft_config){0}, text, &c->exclude_modules, &c->n_exclude, base, false);
}

static hora_status check_layers(const hora_peft_config *c, const hora_base *b) {
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i] >= b->layers)
            return hora_fail(HORA_EUSAGE,
                             "layers: there is no layer %lld; the model has layers 0 to %lld",
                             (long long)c->layers[i], (long long)b->layers - 1);
    return HORA_OK;
}

/* PEFT chooses layers of a list alone, so a regex, or all-linear, becomes the list of what it means
 * in them. */
static hora_status list_of_layers(hora_peft_config *c, const hora_base *b) {
    char **names = NULL;
    int n = 0, cap = 0;
    HORA_TRY(check_layers(c, b));
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        bool yes, whole;
        HORA_TRY(hora_targets_site(c, s, &yes));
        HORA_TRY(hora_targets_whole(c, s, false, &whole));
        if (!yes || !in_layers(c, s->layer))
            continue;
        const char *name = whole ? s->fused : s->module;
        if (!n || !hora_eq(names[n - 1], name)) /* parts stand side by side */
            HORA_PUSH(names, n, cap, hora_strdup(name));
    }
    if (!n)
        return hora_fail(HORA_ENOTFOUND,
                         "targets=%s matches nothing in the layers that `layers` names",
                         c->target_regex);
    hora_free(c->target_regex);
    c->target_regex = NULL;
    c->target_modules = names;
    c->n_targets = n;
    qsort(names, (size_t)n, sizeof *names, by_text);
    return HORA_OK;
}

hora_status hora_targets_parse(hora_peft_config *c, const hora_target_options *o,
                               const hora_base *base) {
    HORA_TRY(parse_layers(c, o->layers));
    const bool typed = !c->n_targets && !c->target_regex && o->targets;
    if (typed)
        parse_targets(c, o->targets, base);
    if (!c->exclude_regex && !c->n_exclude && o->exclude)
        parse_exclude(c, o->exclude, base);
    split(o->layers_pattern, &c->layers_pattern, &c->n_layers_pattern);
    split(o->save, &c->modules_to_save, &c->n_save);
    return typed && c->target_regex && c->n_layers ? list_of_layers(c, base) : HORA_OK;
}

/* --- for people ------------------------------------------------------------------------------- */

static void show_text(char **text, hora_str *v) {
    hora_free(*text);
    *text = v->s ? hora_strdup(v->s) : NULL;
    hora_str_release(v);
}

static void show_names(char **text, char *const *names, int n) {
    hora_str v = {0};
    for (int i = 0; i < n; i++)
        hora_str_printf(&v, "%s%s", i ? "+" : "", names[i]);
    show_text(text, &v);
}

void hora_targets_show(hora_target_options *o, const hora_peft_config *c) {
    hora_str layers = {0}, regex = {0}, exclude = {0};
    if (c->target_regex) {
        hora_str_printf(&regex, "%s%s", hora_peft_all_linear(c) ? "" : "re:",
                        hora_peft_all_linear(c) ? ALL_LINEAR : c->target_regex);
        show_text(&o->targets, &regex);
    } else if (!c->targets_unset) {
        show_names(&o->targets, c->target_modules, c->n_targets);
    }
    if (c->exclude_regex) {
        hora_str_printf(&exclude, "re:%s", c->exclude_regex);
        show_text(&o->exclude, &exclude);
    } else {
        show_names(&o->exclude, c->exclude_modules, c->n_exclude);
    }
    show_names(&o->save, c->modules_to_save, c->n_save);
    show_names(&o->layers_pattern, c->layers_pattern, c->n_layers_pattern);
    for (int i = 0; i < c->n_layers; i++)
        hora_str_printf(&layers, "%s%lld", i ? "+" : "", (long long)c->layers[i]);
    show_text(&o->layers, &layers);
}

void hora_targets_release(hora_target_options *o) {
    hora_free(o->targets);
    hora_free(o->layers);
    hora_free(o->layers_pattern);
    hora_free(o->exclude);
    hora_free(o->save);
    *o = (hora_target_options){0};
}

void hora_patterns_show(char **text, const hora_peft_pattern *p, int n) {
    hora_str v = {0};
    for (int i = 0; i < n; i++)
        hora_str_printf(&v, "%s%s:%.17g", i ? ";" : "", p[i].pattern, p[i].value);
    show_text(text, &v);
}

/* --- matching --------------------------------------------------------------------------------- */

/* PEFT finds a layer's number behind two names (model.layers.3.), not behind the first of a path:
 * timm's blocks.3. has none for it. */
static bool layers_lead(const hora_base *b) {
    const char *name = b->nsites ? b->sites[0].module : "";
    const char *dot = strchr(name, '.');
    return dot && dot[1] >= '0' && dot[1] <= '9';
}

static hora_status no_match(const hora_peft_config *c, const hora_base *b) {
    if (c->n_layers && layers_lead(b))
        return hora_fail(HORA_ENOTFOUND,
                         "layers: modules are called %s here, and PEFT finds the number of a layer "
                         "behind two names only, so in its files the choice would mean none; name "
                         "them instead: targets=re:%.*s\\.(0|1)\\..*\\.(q|v)",
                         b->sites[0].module, (int)strcspn(b->sites[0].module, "."),
                         b->sites[0].module);
    hora_str have = {0}, want = {0};
    for (int i = 0; i < b->nsites && b->sites[i].layer == b->sites[0].layer; i++)
        hora_str_printf(&have, " %s", hora_site_short(b->sites[i].kind));
    hora_str_printf(&want, "%s", c->target_regex ? c->target_regex : "");
    for (int i = 0; i < c->n_targets; i++)
        hora_str_printf(&want, "%s%s", i ? "+" : "", c->target_modules[i]);
    hora_status s = hora_fail(
        HORA_ENOTFOUND,
        "no site matches `%s`%s; each of the %lld layers of this model has%s (try targets=q+v, "
        "or all-linear)",
        want.s ? want.s : "", c->n_layers ? " in the layers asked for" : "", (long long)b->layers,
        have.s ? have.s : " none");
    hora_str_release(&have);
    hora_str_release(&want);
    return s;
}

/* exclude_modules leaves the path alone. */
static hora_status kept_at(const hora_peft_config *c, const char *path, bool *kept) {
    const hora_peft_config all = {.target_regex = (char *)(uintptr_t)ALL_LINEAR,
                                  .exclude_modules = c->exclude_modules,
                                  .n_exclude = c->n_exclude,
                                  .exclude_regex = c->exclude_regex};
    return hora_peft_targets(&all, path, kept);
}

/* One path is enough to be left out by, as to be meant by. */
hora_status hora_targets_site(const hora_peft_config *c, const hora_site *s, bool *yes) {
    bool kept = true;
    HORA_TRY(hora_peft_targets(c, s->module, yes));
    for (int i = 0; i < s->nalso && !*yes; i++)
        HORA_TRY(hora_peft_targets(c, s->also[i], yes));
    if (!*yes && s->fused)
        HORA_TRY(hora_peft_targets(c, s->fused, yes));
    if (!*yes || (!c->n_exclude && !c->exclude_regex))
        return HORA_OK;
    HORA_TRY(kept_at(c, s->module, &kept));
    for (int i = 0; i < s->nalso && kept; i++)
        HORA_TRY(kept_at(c, s->also[i], &kept));
    if (s->fused && kept)
        HORA_TRY(kept_at(c, s->fused, &kept));
    *yes = kept;
    return HORA_OK;
}

hora_status hora_targets_whole(const hora_peft_config *c, const hora_site *s, bool from_folder,
                               bool *yes) {
    bool part = false;
    *yes = false;
    if (!s->fused)
        return HORA_OK;
    HORA_TRY(hora_peft_targets(c, s->fused, yes));
    HORA_TRY(hora_peft_targets(c, s->module, &part));
    *yes &= from_folder || !part || hora_peft_all_linear(c);
    return HORA_OK;
}

hora_status hora_targets_value(const hora_peft_pattern *p, int n, const hora_site *s, double def,
                               double *out) {
    HORA_TRY(hora_peft_pattern_value(p, n, s->module, NAN, out));
    for (int i = 0; i < s->nalso && isnan(*out); i++)
        HORA_TRY(hora_peft_pattern_value(p, n, s->also[i], NAN, out));
    if (s->fused && isnan(*out))
        HORA_TRY(hora_peft_pattern_value(p, n, s->fused, NAN, out));
    if (isnan(*out))
        *out = def;
    return HORA_OK;
}

/* Is there a module, of a site or not, that exclude_modules of `one` takes out? */
static hora_status excludes(const hora_peft_config *one, const hora_base *b, bool *yes) {
    *yes = false;
    for (int i = 0; i < b->nsites && !*yes; i++) {
        const hora_site *s = &b->sites[i];
        bool kept = true;
        for (int k = 0; k < s->nalso && kept; k++)
            HORA_TRY(hora_peft_targets(one, s->also[k], &kept));
        if (s->fused && kept)
            HORA_TRY(hora_peft_targets(one, s->fused, &kept));
        *yes = !kept;
    }
    for (int w = 0; w < b->nweights && !*yes; w++) {
        bool kept;
        char *module = hora_base_module(b, w);
        hora_status s = hora_peft_targets(one, module, &kept);
        hora_free(module);
        HORA_TRY(s);
        *yes = !kept;
    }
    return HORA_OK;
}

/* What is left out must be there. */
static hora_status check_excluded(const hora_peft_config *c, const hora_base *b) {
    for (int i = 0; i < c->n_exclude + (c->exclude_regex != NULL); i++) {
        const bool regex = i == c->n_exclude;
        const hora_peft_config one = {.target_regex = ALL_LINEAR,
                                      .exclude_modules = &c->exclude_modules[i],
                                      .n_exclude = !regex,
                                      .exclude_regex = regex ? c->exclude_regex : NULL};
        bool hit;
        HORA_TRY(excludes(&one, b, &hit));
        if (!hit)
            return hora_fail(HORA_ENOTFOUND,
                             "exclude: `%s%s` matches no module of this model; correct it or leave "
                             "it out (names as in `hora inspect`, or re:REGEX)",
                             regex ? "re:" : "", regex ? c->exclude_regex : c->exclude_modules[i]);
    }
    return HORA_OK;
}

static const char *first_on(const hora_base *b, int n, const bool *on) {
    int i = 0;
    while (i < n - 1 && !on[i])
        i++;
    return b->sites[i].module;
}

hora_status hora_patterns_match(const hora_peft_config *c, const hora_base *b, int n,
                                const bool *on) {
    const hora_peft_pattern *const lists[] = {c->rank_pattern, c->alpha_pattern};
    const int counts[] = {c->n_rank, c->n_alpha};
    static const char *const names[] = {"rank_pattern", "alpha_pattern"};
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < counts[l]; i++) {
            double v = 0; /* values are above 0 */
            for (int k = 0; k < n && v == 0; k++)
                if (on[k])
                    HORA_TRY(hora_targets_value(&lists[l][i], 1, &b->sites[k], 0, &v));
            if (v == 0)
                return hora_fail(HORA_ENOTFOUND,
                                 "%s: `%s` matches none of the adapted modules (the first is %s); "
                                 "correct it or leave it out (a `;` stands between two)",
                                 names[l], lists[l][i].pattern, first_on(b, n, on));
        }
    return HORA_OK;
}

hora_status hora_targets_match(const hora_peft_config *c, const hora_base *b, int n, bool typed,
                               bool *on) {
    bool any = false;
    HORA_TRY(check_layers(c, b));
    if (typed)
        HORA_TRY(check_excluded(c, b));
    for (int i = 0; i < n; i++) {
        HORA_TRY(hora_targets_site(c, &b->sites[i], &on[i]));
        on[i] &= i < b->nsites || !hora_peft_all_linear(c);
        any |= on[i];
    }
    for (int t = 0; typed && t < c->n_targets; t++) { /* half a typo is a typo */
        bool hit = false;
        hora_peft_config one = *c;
        one.target_modules = &c->target_modules[t];
        one.n_targets = 1;
        for (int i = 0; i < n && !hit; i++)
            HORA_TRY(hora_targets_site(&one, &b->sites[i], &hit));
        if (!hit)
            return no_match(&one, b);
    }
    return any ? HORA_OK : no_match(c, b);
}

/* Weight w belongs to the module `name`, or to one whose path ends in it (PEFT asks for no dot). */
static bool of_module(const hora_base *b, int w, const char *name) {
    char *module = hora_base_module(b, w);
    const bool yes = *name && hora_ends(module, name);
    hora_free(module);
    return yes;
}

hora_status hora_targets_save(hora_adapter *a, const hora_peft_config *c, bool typed) {
    const hora_base *b = a->base;
    for (int i = 0; i < c->n_save; i++) {
        const char *name = c->modules_to_save[i];
        /* PEFT writes both names for every classifier, whatever its head is called */
        bool hit = b->bare && (hora_eq(name, "classifier") || hora_eq(name, "score"));
        if (b->bare && b->neck_module && hora_eq(name, b->neck_module)) {
            hora_adapter_take_neck(a);
            continue;
        }
        for (int w = 0; w < b->nweights; w++) {
            const bool head = b->bare && w == b->head;
            if (!of_module(b, w, name) && !(w == b->head && hora_eq(name, b->head_saved)))
                continue;
            hit = true;
            if (head) {
                hora_adapter_take_head(a);
                continue;
            }
            char *full = hora_format("base_model.model.%s", b->weights[w].name);
            if (!a->replaces || !a->replaces[w])
                hora_adapter_replace(a, w, full);
            hora_free(full);
        }
        if (!hit && typed)
            return hora_fail(HORA_ENOTFOUND,
                             "modules_to_save: `%s` is no module of this model; lm_head, "
                             "embed_tokens, norm and the names of sites are",
                             name);
    }
    return HORA_OK;
}

static bool add_pattern(hora_peft_pattern **out, int *n, int *cap, const char *pattern, size_t len,
                        double value) {
    if (!len || !(value > 0))
        return false;
    HORA_PUSH(*out, *n, *cap, ((hora_peft_pattern){hora_strndup(pattern, len), value}));
    return true;
}

static hora_status no_pattern(const char *option, const char *part) {
    return hora_fail(HORA_EUSAGE,
                     "%s: `%s` should be PATTERN:NUMBER, as in q_proj:16;layers.0.*:4, or a "
                     "mapping of patterns to numbers",
                     option, part);
}

/* {"q_proj": 16}, the JSON of a recipe's mapping. */
static hora_status patterns_json(hora_peft_pattern **out, int *n, const char *text,
                                 const char *option) {
    hora_json *all;
    int cap = 0;
    hora_status s = HORA_OK;
    HORA_TRY(hora_json_parse(&all, text, strlen(text), option));
    for (void *it = hora_json_iter(all); it && !s; it = hora_json_next(all, it)) {
        const char *key = hora_json_iter_key(it);
        double v = 0;
        if (!hora_json_real(hora_json_iter_value(it), &v) ||
            !add_pattern(out, n, &cap, key, strlen(key), v))
            s = no_pattern(option, key);
    }
    hora_json_free(all);
    return s;
}

hora_status hora_patterns_parse(hora_peft_pattern **out, int *n, const char *text,
                                const char *option) {
    int cap = 0;
    hora_status s = HORA_OK;
    if (*n)
        return HORA_OK;
    if (text && *text == '{')
        return patterns_json(out, n, text, option);
    for (char *part; !s && (part = hora_list_word(&text, ";")); hora_free(part)) {
        const char *colon = strrchr(part, ':');
        double v;
        if (!colon || !hora_parse_double(colon + 1, &v) ||
            !add_pattern(out, n, &cap, part, (size_t)(colon - part), v))
            s = no_pattern(option, part);
    }
    return s;
}
