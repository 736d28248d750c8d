/* Prompts on disk. */
#include "peft/prompts.h"

#include "base/file.h"

#define STATE   "hora_state.safetensors"
#define NETWORK "prompt_encoder."

static hora_status write_prompts(hora_adapter *a, const char *dir, float *values,
                                 hora_shape shape) {
    hora_st_entry *e = hora_calloc((size_t)a->nparams + 1, sizeof *e);
    int n = 0;
    e[n++] = (hora_st_entry){"prompt_embeddings", {values, HORA_F32, shape}, HORA_F32};
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        if (p->weight >= 0) /* a task's head */
            e[n++] = (hora_st_entry){p->name, {p->value, a->dtype, p->shape}, HORA_F32};
    }
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    hora_free(e);
    return s;
}

hora_status hora_prompt_save(hora_adapter *a, const char *dir, float *values, hora_shape shape) {
    if (!values)
        return hora_typed_save(a, dir);
    const hora_pair meta[] = {{"method", a->method->name}};
    HORA_TRY(hora_params_write(a, dir, STATE, NETWORK, meta, 1));
    HORA_TRY(write_prompts(a, dir, values, shape));
    return hora_peft_config_write(a, &((const hora_typed *)a->config)->peft, dir);
}

static bool has_network(const hora_adapter *a) {
    for (int i = 0; i < a->nparams; i++)
        if (!strncmp(a->params[i]->name, NETWORK, strlen(NETWORK)))
            return true;
    return false;
}

hora_status hora_prompt_load(hora_adapter *a, const hora_foreign *f) {
    if (!has_network(a))
        return hora_peft_files_load(a, f);
    if (!f->native)
        return hora_fail(HORA_ENOTFOUND,
                         "%s has no %s, the network that makes the prompts; they can be continued "
                         "as they are, without one",
                         f->dir, STATE);
    HORA_TRY(hora_params_read(a, f->dir, STATE, NETWORK));
    for (int i = 0; i < a->nparams; i++)
        if (a->params[i]->weight >= 0)
            HORA_TRY(hora_params_read(a, f->dir, "adapter_model.safetensors", a->params[i]->name));
    return HORA_OK;
}
