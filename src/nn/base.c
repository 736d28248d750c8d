/* Look-ups in an opened base. */
#include "nn/base.h"

#include "base/mem.h"

const char *hora_site_short(hora_site_kind k) {
    static const char *const names[] = {"q", "k", "v", "o", "gate", "up", "down", "embed", "head"};
    return names[k];
}

int64_t hora_base_parameters(const hora_base *b) {
    int64_t n = 0;
    for (int i = 0; i < b->nweights; i++)
        n += b->weights[i].tied ? 0 : hora_elems(&b->weights[i].view);
    return n;
}

void hora_base_add_ends(hora_base *b) {
    const int ends[] = {b->embed, b->head};
    b->nends = 0;
    b->sites = hora_realloc(b->sites, (size_t)(b->nsites + 2) * sizeof *b->sites);
    for (int i = 0; i < 2 && ends[i] >= 0; i++) {
        const hora_shape *s = &b->weights[ends[i]].view.shape; /* (vocab, hidden), both */
        b->sites[b->nsites + b->nends++] = (hora_site){
            .kind = i ? HORA_SITE_HEAD : HORA_SITE_EMBED,
            .layer = -1,
            .module = hora_base_module(b, ends[i]),
            .in = s->d[i ? 1 : 0],
            .out = s->d[i ? 0 : 1],
            .weight = ends[i],
            .bias = i ? b->head_bias : -1,
        };
    }
}

const hora_site *hora_base_site(const hora_base *b, hora_site_kind k, int layer) {
    for (int i = 0; i < b->nsites; i++)
        if (b->sites[i].kind == k && b->sites[i].layer == layer)
            return &b->sites[i];
    return NULL;
}

int hora_base_weight(const hora_base *b, const char *name) {
    for (int i = 0; i < b->nweights; i++)
        if (strcmp(b->weights[i].name, name) == 0)
            return i;
    return -1;
}

char *hora_base_module(const hora_base *b, int w) {
    const char *name = b->weights[w].name, *end = strrchr(name, '.');
    return hora_strndup(name, end ? (size_t)(end - name) : strlen(name));
}
