/*
 * A LoRA for llama.cpp. The scale is in B and alpha is 0, the one form that is right for rsLoRA,
 * patterns and mixed ranks (llama.cpp multiplies by alpha / rank where alpha is not 0).
 */
#include "base/text.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "interop/interop.h"

/* B with its rows where llama.cpp has those of the weight; of the embedding, whose roles it turns
 * round, A transposed. */
static float *turned(const hora_flat *f, const hora_site *s, bool permuted) {
    const bool table = s->kind == HORA_SITE_EMBED;
    const int64_t rows = table ? s->in : s->out;
    float *to = hora_calloc((size_t)(rows * f->rank), sizeof *to);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < f->rank; j++)
            to[(permuted ? hora_gguf_row(r, s->head_dim) : r) * f->rank + j] =
                table ? f->a[j * s->in + r] : f->b[r * f->rank + j];
    return to;
}

static void put_site(hora_gguf_out *o, const hora_base *b, const hora_flat *f, const hora_site *s,
                     float *turned) {
    const hora_view a = {f->a, HORA_F32, HORA_SHAPE2(f->rank, s->in)};
    const hora_view bb = {f->b, HORA_F32, HORA_SHAPE2(s->out, f->rank)};
    const bool table = s->kind == HORA_SITE_EMBED;
    char *name = hora_gguf_name(b->weights[s->weight].name);
    char *na = hora_format("%s.lora_a", name), *nb = hora_format("%s.lora_b", name);
    hora_gguf_put_tensor(
        o, na, table ? (hora_view){turned, HORA_F32, HORA_SHAPE2(s->in, f->rank)} : a, HORA_F32);
    hora_gguf_put_tensor(
        o, nb, table ? bb : (hora_view){turned, HORA_F32, HORA_SHAPE2(s->out, f->rank)}, HORA_F32);
    hora_free(name);
    hora_free(na);
    hora_free(nb);
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
    for (int i = b->nsites; i < hora_flat_sites(b) && s == HORA_OK; i++)
        if (f[i].rank && b->tied)
            s = hora_fail(HORA_EUNSUPPORTED,
                          "%s: the head is the embedding (tied), and llama.cpp ends on a LoRA of "
                          "either; write the whole model with --to gguf, the adapter merged in",
                          b->sites[i].module);
    for (int i = 0; i < hora_flat_sites(b) && s == HORA_OK; i++)
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
    float **rows = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *rows);
    hora_gguf_put_text(o, "general.architecture", arch->name);
    hora_gguf_put_text(o, "general.type", "adapter");
    hora_gguf_put_text(o, "adapter.type", "lora");
    hora_gguf_put_float(o, "adapter.lora.alpha", 0);
    for (int i = 0; i < hora_flat_sites(b); i++) {
        const hora_site *s = &b->sites[i];
        if (!f[i].rank)
            continue;
        const bool qk = s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K;
        rows[i] = turned(&f[i], s, arch->permuted && qk);
        put_site(o, b, &f[i], s, rows[i]);
    }
    hora_gguf_put_mark(o, "gguf-lora");
    hora_status s = hora_gguf_write(o, path);
    for (int i = 0; i < hora_flat_sites(b); i++)
        hora_free(rows[i]);
    hora_free(rows);
    hora_gguf_out_free(o);
    hora_flat_say(f, x);
    hora_flat_free(f, b);
    return s;
}

const hora_exporter hora_exporter_gguf_lora = {.name = "gguf-lora",
                                               .summary = "LoRA for llama.cpp, the scale in B",
                                               .file = true,
                                               .check = check,
                                               .write = write};
