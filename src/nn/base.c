/* Look-ups in an opened base. */
#include "nn/base.h"

#include "base/text.h"

static const struct {
    const char *name, *alias;
} sites[] = {
#define SITE(id, name, alias) {name, alias},
#include "nn/sites.def"
#undef SITE
    {"embed", "embed"},
    {"head", "head"},
};

const char *hora_site_short(hora_site_kind k) {
    return sites[k].name;
}

const char *hora_site_alias(hora_site_kind k) {
    return sites[k].alias;
}

/* --- spellings -------------------------------------------------------------------------------- */

hora_spelling hora_weight_spelling(const hora_weight *w) {
    return w->spelt < 0 ? (hora_spelling){w->name, 0, 0} : w->also[w->spelt];
}

hora_shape hora_weight_disk(const hora_weight *w) {
    return w->disk.n ? w->disk : w->view.shape;
}

int hora_base_add_weight(hora_base *b, char *own_name, hora_shape shape, hora_role role, int layer,
                         double std) {
    hora_weight w = {.name = own_name,
                     .view = {NULL, b->dtype, shape},
                     .role = role,
                     .layer = layer,
                     .init_std = std,
                     .spelt = -1};
    b->weights = hora_realloc(b->weights, ((size_t)b->nweights + 1) * sizeof w);
    b->weights[b->nweights] = w;
    return b->nweights++;
}

void hora_weight_also(hora_weight *w, char *own_name, int64_t from, int64_t rows) {
    if (!own_name)
        return;
    w->also = hora_realloc(w->also, ((size_t)w->nalso + 1) * sizeof *w->also);
    w->also[w->nalso++] = (hora_spelling){own_name, from, rows};
}

void hora_site_also(hora_site *s, char *own_path) {
    if (!own_path)
        return;
    s->also = hora_realloc(s->also, ((size_t)s->nalso + 1) * sizeof *s->also);
    s->also[s->nalso++] = own_path;
}

void hora_base_bare_names(hora_base *b) {
    for (int i = 0; i < b->nsites + b->nends; i++) {
        hora_site *s = &b->sites[i];
        if (!b->prefix || !hora_starts(s->module, b->prefix))
            continue;
        char *bare = hora_strdup(s->module + strlen(b->prefix));
        hora_site_also(s, s->module);
        s->module = bare;
        if (s->fused && hora_starts(s->fused, b->prefix)) {
            bare = hora_strdup(s->fused + strlen(b->prefix));
            hora_free(s->fused);
            s->fused = bare;
        }
    }
}

/* "PREFIX" "PATH" "REST" with another path in the middle; NULL: `path` is not there. */
static char *exchange(const char *name, const char *path, const char *by) {
    static const char adapter[] = "base_model.model.", prompts[] = "base_model.";
    const size_t n = strlen(path), skip = hora_starts(name, adapter)   ? sizeof adapter - 1
                                          : hora_starts(name, prompts) ? sizeof prompts - 1
                                                                       : 0;
    const char *rest = name + skip;
    if (strncmp(rest, path, n) != 0 || (rest[n] != '.' && rest[n]))
        return NULL;
    return hora_format("%.*s%s%s", (int)skip, name, by, rest + n);
}

char *hora_base_canonical(const hora_base *b, const char *name) {
    char *out = NULL;
    for (int i = 0; i < b->nsites && !out; i++)
        for (int k = 0; k < b->sites[i].nalso && !out; k++)
            out = exchange(name, b->sites[i].also[k], b->sites[i].module);
    for (int i = 0; i < b->nweights && !out; i++)
        for (int k = 0; k < b->weights[i].nalso && !out; k++)
            if (!b->weights[i].also[k].rows)
                out = exchange(name, b->weights[i].also[k].name, b->weights[i].name);
    return out;
}

/* --- look-ups --------------------------------------------------------------------------------- */

int64_t hora_base_parameters(const hora_base *b) {
    int64_t n = 0;
    for (int i = 0; i < b->nweights; i++)
        n += b->weights[i].tied ? 0 : hora_elems(&b->weights[i].view);
    return n;
}

hora_site *hora_base_add_site(hora_base *b) {
    const size_t n = (size_t)(b->nsites + b->nends);
    b->sites = hora_realloc(b->sites, (n + 1) * sizeof *b->sites);
    hora_site *at = b->sites + b->nsites++;
    memmove(at + 1, at, (size_t)b->nends * sizeof *at);
    return at;
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

const char *hora_base_words(const hora_base *b) {
    return b->words ? b->words : b->dir;
}

int64_t hora_base_cache_row(const hora_base *b) {
    return b->layers * (b->latent ? b->latent : 2 * b->kv_heads * b->head_dim);
}

const hora_site *hora_base_site(const hora_base *b, hora_site_kind k, int layer) {
    for (int i = 0; i < b->nsites; i++)
        if (b->sites[i].kind == k && b->sites[i].layer == layer)
            return &b->sites[i];
    return NULL;
}

char *hora_base_module(const hora_base *b, int w) {
    const char *name = b->weights[w].name, *end = strrchr(name, '.');
    return hora_strndup(name, end ? (size_t)(end - name) : strlen(name));
}

bool hora_base_in_attention(const hora_base *b, int w) {
    for (int i = 0; i < b->nsites; i++) {
        const hora_site *s = &b->sites[i];
        const bool its = s->kind == HORA_SITE_Q || s->kind == HORA_SITE_K ||
                         s->kind == HORA_SITE_V || s->kind == HORA_SITE_O ||
                         s->kind == HORA_SITE_KV_DOWN || s->kind == HORA_SITE_K_ROPE;
        if (its && (s->weight == w || s->bias == w))
            return true;
    }
    return false;
}

void hora_base_put_merged(hora_base *b, float *const *merged, hora_view *old) {
    for (int w = 0; w < b->nweights; w++) {
        if (!merged[w])
            continue;
        if (old)
            old[w] = b->weights[w].view;
        b->weights[w].view.data = merged[w];
        b->weights[w].view.dtype = HORA_F32;
        b->weights[w].tied = false;
    }
}

void hora_base_take_merged(hora_base *b, float *const *merged, const hora_view *old) {
    for (int w = 0; w < b->nweights; w++)
        if (merged[w])
            b->weights[w].view = old[w];
    if (b->head >= 0)
        b->weights[b->head].tied = b->tied;
}

void hora_base_free_merged(const hora_base *b, float **merged) {
    for (int w = 0; w < b->nweights && merged; w++)
        hora_free(merged[w]);
    hora_free(merged);
}
