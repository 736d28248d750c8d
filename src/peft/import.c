/*
 * Reading adapters: what lies in a folder, and the method that claims it. What the files mean is
 * the methods' business.
 */
#include "base/file.h"
#include "base/outdir.h"
#include "base/text.h"
#include "peft/identity.h"
#include "peft/peft_impl.h"
#include "peft/store.h"

/* --- what lies there -------------------------------------------------------------------------- */

/* Files that make a folder an adapter's; config.json beside none of them makes it a model's. */
static const char *const marks[] = {"adapter_config.json", "delta_config.json",
                                    "hora_state.safetensors", "hora_adapters.json"};

bool hora_peft_is_model(const char *dir) {
    bool adapter = false;
    for (size_t i = 0; i < HORA_COUNT(marks); i++)
        adapter |= hora_path_has(dir, marks[i]);
    return !adapter && hora_path_has(dir, "config.json");
}

typedef struct folder { /* owns what a hora_foreign shows */
    hora_foreign shown;
    hora_peft_config peft;
    hora_json *delta;
    hora_st *native;
} folder;

static hora_status open_native(folder *o, const char *dir) {
    char *path = hora_path_join(dir, "hora_state.safetensors");
    const hora_status s = hora_st_open(&o->native, path);
    hora_free(path);
    return s;
}

static hora_status open_delta(folder *o, const char *dir) {
    char *path = hora_path_join(dir, "delta_config.json");
    const hora_status s = hora_json_load(&o->delta, path);
    hora_free(path);
    return s;
}

static hora_status open_files(folder *o, const char *dir, bool native) {
    hora_foreign *f = &o->shown;
    bool folder;
    HORA_TRY(hora_path_is_folder(dir, &folder));
    if (!folder)
        return hora_fail(HORA_ENOTFOUND,
                         "%s: there is no such adapter folder; check the spelling of the path",
                         *dir ? dir : "(an empty name)");
    if (hora_path_has(dir, "adapter_model.bin") && !hora_path_has(dir, "adapter_model.safetensors"))
        return hora_fail(
            HORA_EUNSUPPORTED,
            "%s holds adapter_model.bin alone, a pickle, which is not read here; write it "
            "as safetensors: python -c \"import torch, safetensors.torch as s; "
            "s.save_file(torch.load('adapter_model.bin', weights_only=True), "
            "'adapter_model.safetensors')\" in that folder",
            dir);
    if (native && hora_path_has(dir, "hora_state.safetensors"))
        HORA_TRY(open_native(o, dir));
    if (hora_path_has(dir, "adapter_config.json")) {
        HORA_TRY(hora_peft_config_load(&o->peft, dir));
        f->peft = &o->peft;
    }
    if (hora_path_has(dir, "delta_config.json"))
        HORA_TRY(open_delta(o, dir));
    f->dir = dir;
    f->native = o->native;
    f->delta = o->delta;
    f->model = hora_peft_is_model(dir);
    return HORA_OK;
}

static void close_folder(folder *o) {
    hora_st_close(o->native);
    hora_json_free(o->delta);
    hora_peft_config_release(&o->peft);
}

static hora_status open_folder(folder *o, const char *dir, const char *prefer) {
    *o = (folder){0};
    if (prefer && !hora_eq(prefer, "native") && !hora_eq(prefer, "materialised"))
        return hora_fail(HORA_EUSAGE, "prefer is native or materialised, not `%s`", prefer);
    o->shown.trusted = prefer != NULL;
    hora_status s = open_files(o, dir, !hora_eq(prefer, "materialised"));
    if (s)
        close_folder(o);
    return s;
}

/* --- whose it is ------------------------------------------------------------------------------ */

static hora_status nobody(const hora_foreign *f) {
    const char *method = f->delta    ? hora_json_string(hora_json_get(f->delta, "method"), NULL)
                         : f->native ? hora_st_meta(f->native, "method")
                                     : NULL;
    if (f->delta || f->native)
        return hora_fail(HORA_EFORMAT,
                         "%s: %s says method `%s`, which is none that could have written it; "
                         "`hora methods` lists what there is",
                         f->dir, f->delta ? "delta_config.json" : "hora_state.safetensors",
                         method ? method : "");
    if (f->peft)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: peft_type \"%.40s\" is not supported; merge the adapter with PEFT "
                         "and use the model",
                         f->dir, f->peft->peft_type);
    return hora_outdir_missing(
        f->dir, hora_fail(HORA_ENOTFOUND,
                          "%s is no adapter folder: it should hold adapter_config.json (PEFT), "
                          "delta_config.json or a model",
                          f->dir));
}

static const hora_method *claimant(const hora_foreign *f) {
    for (int i = 0; i < hora_method_count(); i++) {
        const hora_method *m = hora_method_at(i);
        if (m->claims(m, f))
            return m;
    }
    return NULL;
}

/* A delta folder that holds a task's head has trained it, whatever the method; so has PEFT's of
 * prompts, which names none in its configuration that is the base's. */
static hora_status take_head(hora_adapter *a, const hora_foreign *f) {
    const hora_base *b = a->base;
    if ((!f->delta && !f->peft) || !b->bare || b->head < 0 || hora_adapter_replacement(a, b->head))
        return HORA_OK;
    char *path =
        hora_path_join(f->dir, f->delta ? "delta.safetensors" : "adapter_model.safetensors");
    hora_st *st = NULL;
    hora_status s = hora_path_exists(path) ? hora_st_open(&st, path) : HORA_OK;
    const char *name = b->weights[b->head].name;
    char *beside = hora_format("base_model.model.%s", name); /* of adapters */
    char *prompts = hora_format("base_model.%s", name);
    if (st && f->delta ? hora_store_find(a, st, name) || hora_st_find(st, beside)
                       : st && hora_store_find(a, st, prompts))
        hora_adapter_take_head(a);
    hora_free(prompts);
    hora_free(beside);
    hora_st_close(st);
    hora_free(path);
    return s;
}

static hora_status attach_and_read(hora_adapter *a, const hora_foreign *f) {
    if (a->method->configure)
        HORA_TRY(a->method->configure(a->method, a->config, f));
    HORA_TRY(hora_adapter_setup(a));
    HORA_TRY(take_head(a, f));
    HORA_TRY(hora_adapter_allocate(a));
    return a->method->load(a, f);
}

hora_status hora_peft_load(hora_adapter **out, const hora_base *base, const char *dir,
                           const char *prefer) {
    folder o;
    *out = NULL;
    HORA_TRY(open_folder(&o, dir, prefer));
    const hora_method *m = claimant(&o.shown);
    hora_adapter *a = m ? hora_adapter_new(m, base, NULL, 0) : NULL;
    hora_status s = m ? hora_identity_check(base, dir) : nobody(&o.shown);
    if (!s)
        s = attach_and_read(a, &o.shown);
    close_folder(&o);
    if (s)
        hora_peft_detach(a);
    else
        *out = a;
    return s;
}

hora_status hora_peft_whose(const hora_method **m, const char *dir) {
    folder o;
    HORA_TRY(open_folder(&o, dir, NULL));
    *m = claimant(&o.shown);
    close_folder(&o);
    return HORA_OK;
}

hora_status hora_adapter_read(hora_adapter *a, const char *dir) {
    folder o;
    HORA_TRY(open_folder(&o, dir, "native"));
    hora_status s = hora_identity_check(a->base, dir);
    if (!s)
        s = a->method->load(a, &o.shown);
    close_folder(&o);
    return s;
}
