/*
 * PEFT's folder in its plainest form: one rank, alpha = rank, the scale in B, names for targets; no
 * pattern, no rsLoRA, no regex. What reads only part of adapter_config.json computes it right.
 * Modules that were trained whole, a new head among them, lie beside the factors (modules_to_save).
 */
#include "base/file.h"
#include "base/text.h"
#include "interop/interop.h"
#include "peft/lowrank.h"

static bool together(const hora_site *a, const hora_site *b) {
    return a == b || (a->fused && b->fused && hora_eq(a->fused, b->fused));
}

/* Of modules of a kind all get an update, zeros where there is none, so that short names in
 * target_modules mean what the tensors say. A module may hold several sites. */
static bool named(const hora_flat *f, const hora_base *b, int site) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        for (int k = 0; k < hora_flat_sites(b) && f[i].rank; k++)
            if (together(&b->sites[i], &b->sites[k]) && b->sites[k].kind == b->sites[site].kind)
                return true;
    return false;
}

static bool has_magnitude(const hora_flat *f, const hora_base *b) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (f[i].magnitude)
            return true;
    return false;
}

/* DoRA of a module without an update: its own norms would be wanted, from weights we may not have.
 * Parts beside one that has a magnitude keep theirs. */
static hora_status check_layers(const hora_flat *f, const hora_base *b) {
    for (int i = 0; i < hora_flat_sites(b); i++) {
        bool has = !named(f, b, i);
        for (int k = 0; k < hora_flat_sites(b) && !has; k++)
            has = f[k].magnitude && together(&b->sites[i], &b->sites[k]);
        if (!has)
            return hora_fail(HORA_EUNSUPPORTED,
                             "%s has no magnitude (DoRA) while others do, which one plain "
                             "configuration cannot say; the adapter's own folder does, use that",
                             b->sites[i].module);
    }
    return HORA_OK;
}

/* As the files have them: parts of a module that read through equal A's share one. New. */
static hora_factors *factors_of(const hora_flat *f, const hora_base *b) {
    const int n = hora_flat_sites(b);
    hora_factors *out = hora_calloc((size_t)n + 1, sizeof *out);
    for (int i = 0; i < n; i++) {
        const hora_site *s = &b->sites[i];
        out[i] = (hora_factors){.rank = f[i].rank,
                                .scale = 1,
                                .alpha = (double)f[i].rank,
                                .a = f[i].a,
                                .b = f[i].b,
                                .magnitude = f[i].magnitude};
        for (int k = 0; k < i && s->fused && f[i].rank; k++)
            if (together(s, &b->sites[k]) && f[k].rank == f[i].rank &&
                !memcmp(f[k].a, f[i].a, (size_t)(f[i].rank * s->in) * sizeof *f[i].a))
                out[i].a = out[k].a;
    }
    return out;
}

/* What of it is trained whole. Appends; the names are the parameters'. */
static int put_saved(const hora_export *x, hora_st_entry *e, int n) {
    for (int k = 0; k < x->n; k++)
        for (int w = 0; x->adapters[k]->replaces && w < x->base->nweights; w++) {
            const hora_param *p = x->adapters[k]->replaces[w];
            if (p && hora_flat_saves(x, w))
                e[n++] =
                    (hora_st_entry){p->name, {p->value, x->adapters[k]->dtype, p->shape}, HORA_F32};
        }
    return n;
}

static hora_status write_tensors(const hora_flat *f, const hora_export *x, const char *dir) {
    const hora_base *b = x->base;
    hora_factors *all = factors_of(f, b);
    int n;
    hora_factor_tensor *t = hora_factor_list(b, HORA_F32, all, hora_flat_sites(b), &n);
    hora_st_entry *e = hora_calloc((size_t)(n + x->n * b->nweights) + 1, sizeof *e);
    for (int i = 0; i < n; i++)
        e[i] = (hora_st_entry){t[i].name, t[i].view, HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, put_saved(x, e, n), NULL, 0);
    hora_free(path);
    hora_free(e);
    hora_factor_tensors_free(t, n);
    hora_free(all);
    return s;
}

static int64_t rank_of(const hora_flat *f, const hora_base *b) {
    hora_factors *all = factors_of(f, b);
    int64_t rank = 0;
    for (int i = 0; i < hora_flat_sites(b); i++)
        rank = hora_max(rank, hora_factor_rank(b, all, i));
    hora_free(all);
    return rank;
}

/* Names of the modules trained whole, each once, borrowed of the adapters' configurations. */
static void name_saved(const hora_export *x, hora_peft_config *c, int *cap) {
    for (int k = 0; k < x->n; k++) {
        const hora_adapter *a = x->adapters[k];
        const hora_peft_config *own = a->method->peft_config ? a->method->peft_config(a) : NULL;
        for (int i = 0; own && i < own->n_save; i++) {
            bool there = false;
            for (int j = 0; j < c->n_save; j++)
                there |= hora_eq(c->modules_to_save[j], own->modules_to_save[i]);
            if (!there)
                HORA_PUSH(c->modules_to_save, c->n_save, *cap, own->modules_to_save[i]);
        }
    }
}

/* The adapter that has the head: hora_peft_config_write names it. */
static const hora_adapter *leader(const hora_export *x) {
    for (int k = 0; k < x->n; k++)
        if (x->base->head >= 0 && x->adapters[k]->replaces &&
            x->adapters[k]->replaces[x->base->head])
            return x->adapters[k];
    return x->adapters[0];
}

static hora_status write_config(const hora_export *x, const hora_flat *f, const char *dir) {
    const hora_base *b = x->base;
    const int n = hora_flat_sites(b);
    const int64_t rank = rank_of(f, b);
    int cap = 0;
    hora_peft_config c = {.r = rank, .lora_alpha = (double)rank, .use_dora = has_magnitude(f, b)};
    bool *on = hora_calloc((size_t)n + 1, sizeof *on);
    for (int i = 0; i < n; i++)
        on[i] = f[i].rank > 0;
    hora_module_targets(&c, b, on, n);
    name_saved(x, &c, &cap);
    hora_status s = hora_peft_config_write(leader(x), &c, dir);
    if (s == HORA_OK) /* what its classes are called */
        s = hora_base_save_task(b, dir);
    hora_list_free(c.target_modules, c.n_targets);
    hora_free(c.modules_to_save);
    hora_free(on);
    return s;
}

/* Raises the module that site `i` leads to that rank. Parts that share A go on doing so. */
static void lift(hora_flat *f, const hora_base *b, int i, int64_t rank) {
    hora_factors *all = factors_of(f, b);
    const int64_t more = rank - hora_factor_rank(b, all, i);
    int at = i, parts = 0;
    bool shared = true;
    for (int k = hora_flat_sites(b) - 1; k >= i; k--)
        if (together(&b->sites[i], &b->sites[k]) && f[k].rank) {
            shared &= !parts++ || all[k].a == all[at].a;
            at = k;
        }
    hora_free(all);
    for (int k = i; k < hora_flat_sites(b) && more; k++)
        if (k == at || (parts > 1 && shared && f[k].rank && together(&b->sites[i], &b->sites[k])))
            hora_flat_pad(&f[k], &b->sites[k], f[k].rank + more);
}

static bool leads(const hora_base *b, int i) {
    for (int k = 0; k < i; k++)
        if (together(&b->sites[k], &b->sites[i]))
            return false;
    return true;
}

/* One rank for all that short names mean. */
static hora_status level(hora_flat *f, const hora_base *b) {
    HORA_TRY(has_magnitude(f, b) ? check_layers(f, b) : HORA_OK);
    const int64_t rank = rank_of(f, b);
    bool *wanted = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *wanted);
    for (int i = 0; i < hora_flat_sites(b); i++)
        wanted[i] = leads(b, i) && named(f, b, i);
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (wanted[i])
            lift(f, b, i, rank);
    hora_free(wanted);
    return HORA_OK;
}

static hora_status flatten(hora_flat **out, const hora_export *x) {
    HORA_TRY(hora_flat_of_saved(out, x));
    const hora_status s = level(*out, x->base);
    if (s) {
        hora_flat_free(*out, x->base);
        *out = NULL;
    }
    return s;
}

static hora_status check(const hora_export *x) {
    hora_flat *f;
    HORA_TRY(flatten(&f, x));
    hora_flat_free(f, x->base);
    return HORA_OK;
}

static hora_status write(const hora_export *x, const char *dir) {
    hora_flat *f;
    HORA_TRY(flatten(&f, x));
    hora_status s = write_tensors(f, x, dir);
    if (s == HORA_OK)
        s = write_config(x, f, dir);
    if (s == HORA_OK)
        s = hora_card_write(x->adapters[0], dir, x->note);
    hora_flat_say(f, x);
    hora_flat_free(f, x->base);
    return s;
}

hora_status hora_flat_write_peft(hora_flat *f, const hora_export *x, const char *dir) {
    hora_adapter *back = NULL;
    HORA_TRY(level(f, x->base));
    HORA_TRY(write_tensors(f, x, dir));
    HORA_TRY(write_config(x, f, dir));
    HORA_TRY(hora_peft_load(&back, x->base, dir, NULL));
    const hora_status s = hora_card_write(back, dir, x->note);
    hora_peft_detach(back);
    return s;
}

const hora_exporter hora_exporter_peft = {
    .name = "peft",
    .summary = "PEFT's folder at its plainest: one rank, alpha = rank, no patterns",
    .check = check,
    .write = write};
