/* Look-ups in an opened base. */
#include "nn/base.h"

const char *hora_site_short(hora_site_kind k) {
    static const char *const names[HORA_SITES] = {"q", "k", "v", "o", "gate", "up", "down"};
    return names[k];
}

int64_t hora_base_parameters(const hora_base *b) {
    int64_t n = 0;
    for (int i = 0; i < b->nweights; i++)
        n += hora_elems(&b->weights[i].view);
    return n;
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
