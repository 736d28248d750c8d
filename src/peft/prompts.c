/* Prompts on disk. */
#include "peft/prompts.h"

#include "base/file.h"
#include "base/text.h"
#include "nn/recording.h"

#define STATE   "hora_state.safetensors"
#define NETWORK "prompt_encoder."

hora_status hora_prompt_check(hora_adapter *a) {
    hora_prompt_config *c = a->config;
    const hora_base *b = a->base;
    if (b->vision)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s is for text, a %s reads pictures; method vpt is for these",
                         a->method->name, b->model_type);
    if (c->width && c->width != b->hidden)
        return hora_fail(HORA_EMISMATCH,
                         "these prompts are %lld wide, the model %lld; they are of another base",
                         (long long)c->width, (long long)b->hidden);
    if (b->max_positions > 0 && c->n + 2 > b->max_positions) /* one is read, one is learned */
        return hora_fail(HORA_EUSAGE,
                         "virtual_tokens=%lld leave no room in %lld positions; give fewer",
                         (long long)c->n, (long long)b->max_positions);
    c->layers = b->layers;
    c->heads = b->heads;
    c->width = b->hidden;
    if (!c->typed.from_folder)
        hora_typed_keys(a);
    return HORA_OK;
}

int64_t hora_prompt_slots(const hora_adapter *a) {
    return ((const hora_prompt_config *)a->config)->n;
}

static void keep(hora_net *n, hora_t hidden, void *user) {
    const hora_t *made = user;
    (void)hidden;
    hora_graph_output(n->g, *made);
}

hora_param *hora_prompt_network(hora_adapter *a, const char *name, hora_shape shape,
                                hora_init init) {
    char *full = hora_format("prompt_encoder.default.%s", name);
    hora_param *p = hora_adapter_param(a, full, shape, init);
    p->decay = shape.n == 2;
    hora_free(full);
    return p;
}

hora_status hora_prompt_evaluate(hora_adapter *a, const hora_t *made, float *out) {
    hora_adapter *only[] = {a};
    hora_device *d = hora_device_new();
    hora_recording r;
    const hora_recording_parts parts = {.base = a->base,
                                        .adapters = only,
                                        .nadapters = 1,
                                        .device = d,
                                        .rows = 64,
                                        .mode = HORA_NET_EVAL,
                                        .outputs = keep,
                                        .user = (void *)(uintptr_t)made};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "prompts");
    if (!s) {
        hora_graph_before(r.g);
        const hora_view *v = hora_graph_view(r.g, *made);
        s = hora_convert(out, HORA_F32, v->data, v->dtype, hora_elems(v));
    }
    hora_recording_release(&r);
    hora_device_free(d);
    return s;
}

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

bool hora_prompt_claims(const hora_method *m, const hora_foreign *f) {
    return f->peft && hora_eq(f->peft->peft_type, m->peft_type);
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
