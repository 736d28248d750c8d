/* hora_state.safetensors beside PEFT's LoRA: written, found again, compared. */
#include "peft/beside.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"

#define STATE "hora_state.safetensors"

hora_status hora_beside_write(hora_adapter *a, const char *dir, hora_pair *meta, int n) {
    char hash[24];
    HORA_TRY(hora_adapter_materialise(a));
    hora_snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hora_factors_hash(a));
    hora_pair *all = hora_calloc((size_t)n + 1, sizeof *all);
    memcpy(all, meta, (size_t)n * sizeof *all);
    all[n] = (hora_pair){"factors_hash", hash};
    hora_status s = hora_params_write(a, dir, STATE, "layers.", all, n + 1);
    hora_free(all);
    return s ? s : hora_lowrank_write(a, dir);
}

hora_status hora_beside_save(hora_adapter *a, const char *dir) {
    const hora_options *t = a->method->options;
    hora_pair *meta = hora_calloc((size_t)t->n + 1, sizeof *meta);
    hora_str *text = hora_calloc((size_t)t->n + 1, sizeof *text);
    int n = 0;
    meta[n++] = (hora_pair){"method", a->method->name};
    for (int i = 0; i < t->n; i++) {
        hora_option_format(&t->rows[i], a->config, &text[i]);
        if (text[i].n)
            meta[n++] = (hora_pair){t->rows[i].name, text[i].s};
    }
    hora_status s = hora_beside_write(a, dir, meta, n);
    for (int i = 0; i < t->n; i++)
        hora_str_release(&text[i]);
    hora_free(text);
    hora_free(meta);
    return s;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool hora_beside_claims(const hora_method *m, const hora_foreign *f) {
    return f->native && hora_eq(hora_st_meta(f->native, "method"), m->name);
}

hora_status hora_beside_configure(const hora_method *m, void *config, const hora_foreign *f) {
    hora_settings s = {0};
    for (int i = 0; i < m->options->n; i++) {
        const char *v = hora_st_meta(f->native, m->options->rows[i].name);
        if (v && *v)
            hora_settings_put(&s, m->options->rows[i].name, v, STATE);
    }
    hora_options_release(m->options, config);
    hora_status st = hora_options_take(m->options, config, &s);
    hora_settings_release(&s);
    return st ? hora_context(st, "%s", f->dir) : HORA_OK;
}

/* The generator and the factors beside it must tell the same story: by hash where one is stored,
 * else by value. */
static hora_status compare(hora_adapter *a, const hora_foreign *f) {
    hora_st *st = NULL;
    char *path = hora_path_join(f->dir, "adapter_model.safetensors");
    hora_status s = hora_path_exists(path) ? hora_st_open(&st, path) : HORA_DONE;
    hora_free(path);
    const char *stored = hora_st_meta(f->native, "factors_hash");
    uint64_t hash = 0;
    double distance = 0;
    bool same = false;
    if (!s)
        s = hora_adapter_materialise(a);
    if (!s && stored) {
        s = hora_file_factors_hash(a, st, &hash);
        same = hash == strtoull(stored, NULL, 16);
    }
    if (!s && !stored) {
        s = hora_file_factors_distance(a, st, &distance);
        same = distance <= 1e-4;
    }
    hora_st_close(st);
    if (!s && !same)
        s = hora_fail(HORA_EMISMATCH,
                      "%s: hora_state.safetensors and adapter_model.safetensors disagree; one of "
                      "them was changed. Say which is meant: prefer=native (the generator) or "
                      "prefer=materialised (the factors, as plain LoRA)",
                      f->dir);
    return s == HORA_DONE ? HORA_OK : s; /* no factors to compare with */
}

hora_status hora_beside_load(hora_adapter *a, const hora_foreign *f) {
    if (!f->native)
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no hora_state.safetensors, which method %s continues from; a "
                         "plain LoRA can be continued with method lora",
                         f->dir, a->method->name);
    HORA_TRY(hora_params_read(a, f->dir, "hora_state.safetensors", "layers."));
    for (int i = 0; i < a->nparams; i++) /* what is trained whole lies in PEFT's file */
        if (a->params[i]->weight >= 0)
            HORA_TRY(hora_params_read(a, f->dir, "adapter_model.safetensors", a->params[i]->name));
    return f->trusted ? HORA_OK : compare(a, f);
}
