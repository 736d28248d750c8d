/*
 * Saving and merging. Low-rank methods write PEFT's two files, so PEFT, vLLM and llama.cpp's
 * converter load them as they are; methods that train base weights write delta.safetensors, or a
 * whole model directory.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "peft/lowrank.h"
#include "peft/store.h"

static hora_status write_text(const char *dir, const char *name, const hora_str *text) {
    char *path = hora_path_join(dir, name);
    hora_status s = hora_file_write(path, text->s, text->n);
    hora_free(path);
    return s;
}

static hora_status save_config(const hora_adapter *a, const char *dir) {
    hora_peft_config c = *a->method->peft_config(a); /* shallow: nothing of it is released */
    c.peft_type = (char[]){"LORA"};
    c.task_type = (char[]){"CAUSAL_LM"};
    c.base_model = a->base->dir;
    hora_str text = {0};
    hora_peft_config_dump(&c, &text);
    hora_status s = write_text(dir, "adapter_config.json", &text);
    hora_str_release(&text);
    return s;
}

static hora_status save_lowrank(hora_adapter *a, const char *dir) {
    HORA_TRY(hora_adapter_materialise(a));
    const hora_base *b = a->base;
    hora_st_entry *e = hora_calloc((size_t)(2 * b->nsites + b->nweights) + 1, sizeof *e);
    int n = 0, names;
    for (int i = 0; i < b->nsites; i++) {
        hora_factors f;
        const hora_site *s = &b->sites[i];
        a->method->factors(a, i, &f);
        if (!f.rank)
            continue;
        e[n++] = (hora_st_entry){hora_lowrank_name(s, 'A'),
                                 {(void *)f.a, a->dtype, HORA_SHAPE2(f.rank, s->in)},
                                 HORA_F32};
        e[n++] = (hora_st_entry){hora_lowrank_name(s, 'B'),
                                 {(void *)f.b, a->dtype, HORA_SHAPE2(s->out, f.rank)},
                                 HORA_F32};
    }
    names = n;
    for (int w = 0; a->replaces && w < b->nweights; w++)
        if (a->replaces[w])
            e[n++] = (hora_st_entry){a->replaces[w]->name,
                                     {a->replaces[w]->value, a->dtype, a->replaces[w]->shape},
                                     HORA_F32};
    char *path = hora_path_join(dir, "adapter_model.safetensors");
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    for (int i = 0; i < names; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    if (!s && a->method->save_native)
        s = a->method->save_native(a, dir);
    return s ? s : save_config(a, dir);
}

static hora_status save_delta(const hora_adapter *a, const char *dir) {
    const hora_pair meta[] = {{"method", a->method->name}};
    HORA_TRY(hora_params_write(a, dir, "delta.safetensors", "", meta, 1));
    hora_json *c = hora_json_new_object();
    hora_json_set(c, "format", hora_json_new_string("hora-delta"));
    hora_json_set(c, "version", hora_json_new_int(1));
    hora_json_set(c, "method", hora_json_new_string(a->method->name));
    hora_json_set(c, "base_model_name_or_path", hora_json_new_string(a->base->dir));
    hora_str text = {0};
    hora_json_dump(c, 2, true, &text);
    hora_str_putc(&text, '\n');
    hora_status s = write_text(dir, "delta_config.json", &text);
    hora_str_release(&text);
    hora_json_free(c);
    return s;
}

/* A model directory is complete with what its tokenizer needs. */
static hora_status save_model(hora_adapter *a, const char *dir) {
    static const char *const beside[] = {"tokenizer.json",         "tokenizer.model",
                                         "tokenizer_config.json",  "special_tokens_map.json",
                                         "generation_config.json", "chat_template.jinja"};
    float **w = hora_calloc((size_t)a->base->nweights, sizeof *w);
    hora_status s = hora_peft_merge(a, w);
    if (!s)
        s = hora_base_save(a->base, dir, w, HORA_F32);
    for (int i = 0; i < a->base->nweights; i++)
        hora_free(w[i]);
    hora_free(w);
    for (size_t i = 0; i < HORA_COUNT(beside) && !s; i++) {
        char *from = hora_path_join(a->base->dir, beside[i]), *to = hora_path_join(dir, beside[i]);
        if (hora_path_exists(from))
            s = hora_copy_file(from, to);
        hora_free(from);
        hora_free(to);
    }
    return s;
}

hora_status hora_peft_save(hora_adapter *a, const char *dir, const char *card_note) {
    unsigned t = a->method->traits;
    hora_adapter_refresh(a);
    HORA_TRY(t & HORA_TRAIT_MODEL     ? save_model(a, dir)
             : t & HORA_TRAIT_WEIGHTS ? save_delta(a, dir)
                                      : save_lowrank(a, dir));
    return hora_card_write(a, dir, card_note);
}

/* --- merging ---------------------------------------------------------------------------------- */

static double at(const void *p, hora_dtype t, int64_t i) {
    if (t == HORA_BF16)
        return (double)hora_bf16_to_f32(((const uint16_t *)p)[i]);
    return t == HORA_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

/* W + s B A, row by row in f64, rounded once. */
static hora_status merge_site(const hora_adapter *a, const hora_site *s, const hora_factors *f,
                              float **out) {
    const hora_view *w = &a->base->weights[s->weight].view;
    *out = hora_malloc((size_t)hora_elems(w) * sizeof **out);
    double *row = hora_malloc((size_t)s->in * sizeof *row);
    for (int64_t o = 0; o < s->out; o++) {
        for (int64_t k = 0; k < s->in; k++)
            row[k] = at(w->data, w->dtype, o * s->in + k);
        for (int64_t j = 0; j < f->rank; j++) {
            double b = f->scale * at(f->b, a->dtype, o * f->rank + j);
            for (int64_t k = 0; k < s->in; k++)
                row[k] += b * at(f->a, a->dtype, j * s->in + k);
        }
        for (int64_t k = 0; k < s->in; k++)
            (*out)[o * s->in + k] = (float)row[k];
    }
    hora_free(row);
    return HORA_OK;
}

hora_status hora_peft_merge(hora_adapter *a, float **out) {
    HORA_TRY(hora_adapter_materialise(a));
    for (int w = 0; a->replaces && w < a->base->nweights; w++)
        if (a->replaces[w]) {
            const hora_param *p = a->replaces[w];
            out[w] = hora_malloc((size_t)p->elems * sizeof **out);
            HORA_TRY(hora_convert(out[w], HORA_F32, p->value, a->dtype, p->elems));
        }
    for (int i = 0; a->method->factors && i < a->base->nsites; i++) {
        hora_factors f;
        a->method->factors(a, i, &f);
        if (f.rank)
            HORA_TRY(merge_site(a, &a->base->sites[i], &f, &out[a->base->sites[i].weight]));
    }
    return HORA_OK;
}

/* --- model card ------------------------------------------------------------------------------- */

hora_status hora_card_write(const hora_adapter *a, const char *dir, const char *note) {
    hora_str t = {0};
    bool lowrank = a->method->traits & HORA_TRAIT_LOWRANK;
    const char *name = hora_path_base(a->base->dir);
    hora_str_puts(&t, "---\n");
    hora_str_puts(&t, "base_model: ");
    hora_json_quote(&t, a->base->dir, strlen(a->base->dir));
    hora_str_printf(&t, "\n%spipeline_tag: text-generation\ntags:\n- %s\n- made-with-hora\n---\n\n",
                    lowrank ? "library_name: peft\n" : "", a->method->name);
    hora_str_printf(&t, "# %s, fine-tuned with %s\n\n%s%s%s.\n\n", name, a->method->name,
                    a->method->summary, a->method->paper ? "; " : "",
                    a->method->paper ? a->method->paper : "");
    hora_str_printf(&t, "%lld trained numbers in %d tensors; the base model has %lld.\n\n",
                    (long long)hora_adapter_trainable(a), a->nparams,
                    (long long)hora_base_parameters(a->base));
    if (lowrank)
        hora_str_puts(&t, "Load it with PEFT: `PeftModel.from_pretrained(base, \"this folder\")`, "
                          "or with `hora generate --adapter`.\n\n");
    hora_str_puts(&t, "| option | value |\n|---|---|\n");
    for (int i = 0; a->method->options && i < a->method->options->n; i++) {
        hora_str v = {0};
        hora_option_format(&a->method->options->rows[i], a->config, &v);
        if (v.n)
            hora_str_printf(&t, "| %s | %s |\n", a->method->options->rows[i].name, v.s);
        hora_str_release(&v);
    }
    if (note)
        hora_str_printf(&t, "\n%s\n", note);
    hora_status s = write_text(dir, "README.md", &t);
    hora_str_release(&t);
    return s;
}
