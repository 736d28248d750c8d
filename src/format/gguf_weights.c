/* The tensors of a GGUF model as a set of tensors like any other: Hugging Face names, views into
 * the file, block dtypes as they are. */
#include "base/text.h"
#include "format/gguf_hf.h"
#include "format/safetensors_impl.h"

static bool is_q_or_k(const char *name) {
    return strstr(name, ".self_attn.q_proj.") || strstr(name, ".self_attn.k_proj.");
}

static hora_status take(hora_st *st, const hora_gguf *g, const hora_gguf_arch *arch) {
    int64_t head_dim;
    HORA_TRY(hora_gguf_head_dim(g, arch, &head_dim));
    for (int i = 0; i < hora_gguf_count(g); i++) {
        const hora_gguf_tensor *t = hora_gguf_at(g, i);
        if (hora_eq(t->name, "rope_freqs.weight")) /* part of the configuration */
            continue;
        char *name = hora_gguf_hf_name(t->name);
        hora_st_tensor x = {.name = name ? name : hora_strdup(t->name),
                            .view = t->view,
                            .bytes = hora_view_bytes(&t->view),
                            .dtype_name = hora_dtype_name(t->view.dtype),
                            .file = t->file};
        if (arch->permuted && is_q_or_k(x.name))
            x.interleaved = head_dim;
        HORA_PUSH(st->at, st->n, st->cap, x);
    }
    return HORA_OK;
}

hora_status hora_st_open_gguf(hora_st **out, const char *path) {
    hora_gguf *g = NULL;
    char *name = NULL;
    *out = NULL;
    HORA_TRY(hora_gguf_open(&g, path));
    hora_st *st = hora_st_new(hora_gguf_parts(g));
    st->gguf = g;
    st->own_names = true;
    for (int i = 0; i < st->nfiles; i++)
        st->files[i].map = *hora_gguf_part(g, i); /* still the GGUF's */
    hora_status s = hora_gguf_get_text(g, "general.architecture", true, &name);
    const hora_gguf_arch *arch = s ? NULL : hora_gguf_arch_named(name);
    if (s == HORA_OK)
        s = arch ? take(st, g, arch)
                 : hora_fail(HORA_EUNSUPPORTED, "%s: architecture `%.40s` is not known here", path,
                             name);
    if (s == HORA_OK)
        s = hora_st_index(st);
    hora_free(name);
    if (s)
        hora_st_close(st);
    else
        *out = st;
    return s;
}
