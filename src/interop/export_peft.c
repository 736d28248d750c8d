/*
 * PEFT's folder in its plainest form: one rank, alpha = rank, the scale in B, names for targets; no
 * pattern, no rsLoRA, no regex. What reads only part of adapter_config.json computes it right.
 */
#include "base/file.h"
#include "base/text.h"
#include "interop/interop.h"
#include "peft/lowrank.h"

/* A site without an update gets zeros where others of its name have one, so that short names in
 * target_modules mean what the tensors say. */
static bool named(const hora_flat *f, const hora_base *b, int site) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (f[i].rank && b->sites[i].kind == b->sites[site].kind)
            return true;
    return false;
}

static bool has_magnitude(const hora_flat *f, const hora_base *b) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (f[i].magnitude)
            return true;
    return false;
}

/* DoRA of a site without an update: its own norms would be wanted, from weights we may not have. */
static hora_status check_layers(const hora_flat *f, const hora_base *b) {
    for (int i = 0; i < hora_flat_sites(b); i++)
        if (named(f, b, i) && !f[i].magnitude)
            return hora_fail(HORA_EUNSUPPORTED,
                             "%s has no magnitude (DoRA) while others do, which one plain "
                             "configuration cannot say; the adapter's own folder does, use that",
                             b->sites[i].module);
    return HORA_OK;
}

static hora_status write_tensors(const hora_flat *f, const hora_base *b, const char *dir) {
    hora_st_entry *e = hora_calloc((size_t)(3 * hora_flat_sites(b)) + 1, sizeof *e);
    int n = 0;
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        if (!f[i].rank)
            continue;
        e[n++] = (hora_st_entry){
            hora_lowrank_name(s, 'A'), {f[i].a, HORA_F32, HORA_SHAPE2(f[i].rank, s->in)}, HORA_F32};
        e[n++] = (hora_st_entry){hora_lowrank_name(s, 'B'),
                                 {f[i].b, HORA_F32, HORA_SHAPE2(s->out, f[i].rank)},
                                 HORA_F32};
        if (f[i].magnitude)
            e[n++] = (hora_st_entry){hora_peft_key(s->module, HORA_PEFT_MAGNITUDE),
                                     {f[i].magnitude, HORA_F32, HORA_SHAPE1(s->out)},
                                     HORA_F32};
    }
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < n; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    return s;
}

static hora_status write_config(const hora_export *x, const hora_flat *f, const char *dir) {
    const hora_base *b = x->base;
    hora_peft_config c = {.r = hora_flat_rank(f, b),
                          .lora_alpha = (double)hora_flat_rank(f, b),
                          .use_dora = has_magnitude(f, b)};
    c.target_modules = hora_calloc(HORA_SITE_NONE, sizeof *c.target_modules);
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const char *dot = strrchr(b->sites[i].module, '.');
        const char *name = dot ? dot + 1 : b->sites[i].module;
        bool there = !f[i].rank;
        for (int k = 0; k < c.n_targets; k++)
            there |= hora_eq(c.target_modules[k], name);
        if (!there)
            c.target_modules[c.n_targets++] = (char *)(uintptr_t)name;
    }
    hora_status s = hora_peft_config_write(x->adapters[0], &c, dir);
    hora_free(c.target_modules);
    return s;
}

/* One rank for all that short names mean. */
static hora_status level(hora_flat *f, const hora_base *b) {
    hora_status s = has_magnitude(f, b) ? check_layers(f, b) : HORA_OK;
    const int64_t rank = hora_flat_rank(f, b);
    bool *wanted = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *wanted);
    for (int i = 0; i < hora_flat_sites(b); i++)
        wanted[i] = named(f, b, i);
    for (int i = 0; i < hora_flat_sites(b) && s == HORA_OK; i++)
        if (wanted[i])
            hora_flat_pad(&f[i], &b->sites[i], rank);
    hora_free(wanted);
    return s;
}

static hora_status flatten(hora_flat **out, const hora_export *x) {
    HORA_TRY(hora_flat_of(out, x));
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
    hora_status s = write_tensors(f, x->base, dir);
    if (s == HORA_OK)
        s = write_config(x, f, dir);
    if (s == HORA_OK)
        s = hora_card_write(x->adapters[0], dir, x->note);
    hora_flat_free(f, x->base);
    return s;
}

hora_status hora_flat_write_peft(hora_flat *f, const hora_export *x, const char *dir) {
    hora_adapter *back = NULL;
    HORA_TRY(level(f, x->base));
    HORA_TRY(write_tensors(f, x->base, dir));
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
