/*
 * A LoRA for llama.cpp. The scale is in B and alpha is 0, the one form that is right for rsLoRA,
 * patterns and mixed ranks (llama.cpp multiplies by alpha / rank where alpha is not 0).
 */
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "interop/interop.h"

/* B with its rows where llama.cpp has those of the weight. */
static float *rows_of(const hora_flat *f, const hora_site *s, bool permuted) {
    float *to = hora_calloc((size_t)(s->out * f->rank), sizeof *to);
    for (int64_t o = 0; o < s->out; o++)
        memcpy(to + (permuted ? hora_gguf_row(o, s->head_dim) : o) * f->rank, f->b + o * f->rank,
               (size_t)f->rank * sizeof *to);
    return to;
}

static hora_status check(const hora_export *x) {
    const hora_base *b = x->base;
    hora_flat *f;
    if (!hora_gguf_arch_of(b->model_type))
        return hora_fail(HORA_EUNSUPPORTED,
                         "models of type %s have no architecture in llama.cpp "
                         "that hora knows",
                         b->model_type);
    HORA_TRY(hora_flat_of(&f, x));
    hora_status s = HORA_OK;
    for (int i = 0; i < b->nsites && s == HORA_OK; i++)
        if (f[i].magnitude)
            s = hora_fail(
                HORA_EUNSUPPORTED,
                "%s has a magnitude (DoRA), for which a GGUF LoRA has no place; write the "
                "whole model with --to gguf, the adapter merged in",
                b->sites[i].module);
    hora_flat_free(f, b);
    return s;
}

static hora_status write(const hora_export *x, const char *path) {
    const hora_base *b = x->base;
    const hora_gguf_arch *arch = hora_gguf_arch_of(b->model_type);
    hora_flat *f;
    HORA_TRY(hora_flat_of(&f, x));
    hora_gguf_out *o = hora_gguf_out_new();
    float **rows = hora_calloc((size_t)b->nsites + 1, sizeof *rows);
    hora_gguf_put_text(o, "general.architecture", arch->name);
    hora_gguf_put_text(o, "general.type", "adapter");
    hora_gguf_put_text(o, "adapter.type", "lora");
    hora_gguf_put_float(o, "adapter.lora.alpha", 0);
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        if (!f[i].rank)
            continue;
        const bool qk = s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K;
        char *name = hora_gguf_name(b->weights[s->weight].name);
        char *a = hora_format("%s.lora_a", name), *bb = hora_format("%s.lora_b", name);
        rows[i] = rows_of(&f[i], s, arch->permuted && qk);
        hora_gguf_put_tensor(o, a, (hora_view){f[i].a, HORA_F32, HORA_SHAPE2(f[i].rank, s->in)},
                             HORA_F32);
        hora_gguf_put_tensor(o, bb, (hora_view){rows[i], HORA_F32, HORA_SHAPE2(s->out, f[i].rank)},
                             HORA_F32);
        hora_free(name);
        hora_free(a);
        hora_free(bb);
    }
    hora_status s = hora_gguf_write(o, path);
    for (int i = 0; i < b->nsites; i++)
        hora_free(rows[i]);
    hora_free(rows);
    hora_gguf_out_free(o);
    hora_flat_free(f, b);
    return s;
}

const hora_exporter hora_exporter_gguf_lora = {.name = "gguf-lora",
                                               .summary = "LoRA for llama.cpp, the scale in B",
                                               .file = true,
                                               .check = check,
                                               .write = write};
