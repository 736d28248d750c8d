/* The list of exporters, and low-rank updates as the adapter formats share them. */
#include "base/text.h"
#include "interop/interop.h"

#define EXPORTER(x) extern const hora_exporter hora_exporter_##x;
#include "interop/exporters.def"
#undef EXPORTER

static const hora_exporter *const exporters[] = {
#define EXPORTER(x) &hora_exporter_##x,
#include "interop/exporters.def"
#undef EXPORTER
};

int hora_exporter_count(void) {
    return (int)HORA_COUNT(exporters);
}

const hora_exporter *hora_exporter_at(int i) {
    return exporters[i];
}

const hora_exporter *hora_exporter_named(const char *name) {
    for (int i = 0; i < hora_exporter_count(); i++)
        if (hora_eq(hora_exporter_at(i)->name, name))
            return hora_exporter_at(i);
    return NULL;
}

/* --- flat updates ----------------------------------------------------------------------------- */
/* A task's head, or what modules_to_save names. */
static bool is_named(const hora_adapter *a, int w) {
    const hora_base *b = a->base;
    const hora_peft_config *c = a->method->peft_config ? a->method->peft_config(a) : NULL;
    bool yes = b->bare && (w == b->head || w == b->head_bias);
    for (int i = 0; i < b->nneck && b->bare; i++)
        yes |= w == b->neck[i];
    char *module = hora_base_module(b, w);
    for (int i = 0; c && i < c->n_save; i++)
        yes |= hora_ends(module, c->modules_to_save[i]);
    hora_free(module);
    return yes;
}

/* Its tensor is called as PEFT calls that of a saved module, and it is no projection: that would be
 * another update. */
static bool is_saved(const hora_adapter *a, int w) {
    const hora_param *p = a->replaces ? a->replaces[w] : NULL;
    char *name = hora_format("base_model.model.%s", a->base->weights[w].name);
    bool yes = p && hora_eq(p->name, name) && is_named(a, w);
    for (int i = 0; i < a->base->nsites && yes; i++)
        yes = a->base->sites[i].weight != w && a->base->sites[i].bias != w;
    hora_free(name);
    return yes;
}

bool hora_flat_saves(const hora_export *x, int w) {
    for (int i = 0; i < x->n; i++)
        if (is_saved(x->adapters[i], w))
            return true;
    return false;
}

int hora_flat_beyond(const hora_export *x, int k) {
    const hora_base *b = x->base;
    for (int w = 0; x->adapters[k]->replaces && w < b->nweights; w++) {
        bool other = x->adapters[k]->replaces[w] && !hora_flat_saves(x, w);
        for (int i = 0; i < hora_flat_sites(b) && other; i++)
            other = b->sites[i].weight != w;
        if (other)
            return w;
    }
    return -1;
}

/* Where an adapter without factors can go. */
static hora_status no_factors(const hora_export *x, int k) {
    const hora_method *m = x->adapters[k]->method;
    const bool read = m->peft_type && !(m->hooks.kv && x->base->encoder); /* PEFT refuses those */
    const char *peft = read ? "; PEFT reads its folder as it stands" : "";
    if (!m->merge)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s is no low-rank update and does not merge%s%s", m->name, peft,
                         read ? ", no other format has a place for it"
                              : ": hora alone runs it, beside its base");
    if (m->change_rank)
        return hora_fail(
            HORA_EUNSUPPORTED,
            "method %s is no low-rank update as it stands; write the LoRA that does the "
            "same with `hora convert --to lora` first",
            m->name);
    return hora_fail(HORA_EUNSUPPORTED,
                     "method %s is no low-rank update%s; fold it into the model with `hora merge`, "
                     "or into a whole file with --to gguf%s",
                     m->name, peft,
                     hora_flat_beyond(x, k) < 0 ? ", or make the LoRA of a rank that is nearest to "
                                                  "it with `hora convert --to lora:16`"
                                                : "");
}

/* What no low-rank update holds, be it saved beside one. */
static hora_status check_whole(const hora_export *x, const hora_adapter *a, bool saved) {
    if (a->method->peft_config && a->method->peft_config(a)->n_tokens)
        return hora_fail(HORA_EUNSUPPORTED,
                         "adapter %s has trained tokens of the embedding, for which this format "
                         "has no place; fold it into the model with `hora merge`",
                         a->name);
    for (int w = 0; a->replaces && w < x->base->nweights; w++)
        if (a->replaces[w] && !(saved && hora_flat_saves(x, w)))
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter %s has trained %s whole, for which this format has no "
                             "place; fold it into the model with `hora merge`",
                             a->name, x->base->weights[w].name);
    return HORA_OK;
}

hora_status hora_flat_only(const hora_export *x, bool saved) {
    for (int i = 0; i < x->n; i++) {
        if (!x->adapters[i]->method->factors)
            return no_factors(x, i);
        HORA_TRY(check_whole(x, x->adapters[i], saved));
    }
    return HORA_OK;
}

/* Where not every adapter has factors, but all of them together a low rank. */
static hora_status from_change(hora_flat **out, const hora_export *x, int64_t rank, bool saved) {
    for (int i = 0; i < x->n; i++)
        HORA_TRY(check_whole(x, x->adapters[i], saved));
    hora_status s = hora_flat_of_change(out, x, rank, NULL);
    if (!s && !hora_flat_rank(*out, x->base))
        s = hora_fail(HORA_EUSAGE, "the adapter changes nothing, so there is nothing to write");
    if (s) {
        hora_flat_free(*out, x->base);
        *out = NULL;
    }
    return s;
}

/* Why there is no such rank: an adapter that has none of any kind, or magnitudes (DoRA). */
static hora_status no_rank(const hora_export *x) {
    const int k = hora_flat_unranked(x);
    if (k >= 0)
        return no_factors(x, k);
    int i = 0;
    while (!x->adapters[i]->method->change_rank)
        i++;
    return hora_fail(
        HORA_EUNSUPPORTED,
        "magnitudes (DoRA) and adapter %s (%s) are no single low-rank update; fold them "
        "into the model with `hora merge`",
        x->adapters[i]->name, x->adapters[i]->method->name);
}

/* Appends one adapter's factors of a site to what stands there. */
static hora_status append(hora_flat *f, const hora_site *s, const hora_adapter *a,
                          const hora_factors *p) {
    const int64_t from = f->rank, rank = from + p->rank;
    if (p->bias)
        return hora_fail(
            HORA_EUNSUPPORTED,
            "%s has a bias of its own (lora_bias), for which this format has no place; "
            "fold the adapter into the model with `hora merge`",
            s->module);
    if (p->magnitude && a->weight != 1)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: a share of a magnitude (DoRA) is no single low-rank update; fold the "
                         "adapter into the model with `hora merge`",
                         s->module);
    if (f->magnitude || (f->rank && p->magnitude))
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: a magnitude (DoRA) and another adapter on one module are no single "
                         "low-rank update; fold them into the model with `hora merge`",
                         s->module);
    hora_flat_pad(f, s, rank);
    for (int64_t i = 0; i < p->rank * s->in; i++)
        f->a[from * s->in + i] = (float)hora_value_at(p->a, a->dtype, i);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < p->rank; j++)
            f->b[o * rank + from + j] =
                (float)(a->weight * p->scale * hora_value_at(p->b, a->dtype, o * p->rank + j));
    if (p->magnitude) {
        f->magnitude = hora_calloc((size_t)s->out, sizeof *f->magnitude);
        for (int64_t o = 0; o < s->out; o++)
            f->magnitude[o] = (float)hora_value_at(p->magnitude, a->dtype, o);
    }
    return HORA_OK;
}

static hora_status flat_of(hora_flat **out, const hora_export *x, bool saved) {
    const hora_base *b = x->base;
    hora_status s = HORA_OK;
    bool factors = true;
    *out = NULL;
    for (int k = 0; k < x->n; k++) {
        factors &= x->adapters[k]->method->factors != NULL;
        hora_adapter_refresh(x->adapters[k]);
        HORA_TRY(hora_adapter_materialise(x->adapters[k]));
    }
    const int64_t rank = factors ? 0 : hora_flat_change_rank(x);
    if (!factors)
        return rank ? from_change(out, x, rank, saved) : no_rank(x);
    HORA_TRY(hora_flat_only(x, saved));
    hora_flat *f = hora_calloc((size_t)hora_flat_sites(b) + 1, sizeof *f);
    for (int k = 0; k < x->n && s == HORA_OK; k++) {
        hora_adapter *a = x->adapters[k];
        const int sites = a->method->ends ? hora_flat_sites(b) : b->nsites;
        for (int i = 0; i < sites && s == HORA_OK; i++) {
            hora_factors p;
            f[i].site = i;
            a->method->factors(a, i, &p);
            if (p.rank)
                s = append(&f[i], &b->sites[i], a, &p);
        }
    }
    if (s) {
        hora_flat_free(f, b);
        return s;
    }
    *out = f;
    return HORA_OK;
}

hora_status hora_flat_of(hora_flat **out, const hora_export *x) {
    return flat_of(out, x, false);
}

hora_status hora_flat_of_saved(hora_flat **out, const hora_export *x) {
    return flat_of(out, x, true);
}

void hora_flat_free(hora_flat *f, const hora_base *b) {
    for (int i = 0; f && i < hora_flat_sites(b); i++) {
        hora_free(f[i].a);
        hora_free(f[i].b);
        hora_free(f[i].magnitude);
    }
    hora_free(f);
}

int64_t hora_flat_rank(const hora_flat *f, const hora_base *b) {
    int64_t rank = 0;
    for (int i = 0; i < hora_flat_sites(b); i++)
        rank = hora_max(rank, f[i].rank);
    return rank;
}

void hora_flat_say(const hora_flat *f, const hora_export *x) {
    int64_t modules = 0, enough = 0;
    bool dora = false;
    for (int i = 0; i < hora_flat_sites(x->base); i++) {
        const hora_site *s = &x->base->sites[i];
        modules += f[i].rank > 0;
        dora |= f[i].magnitude != NULL;
        enough = hora_max(enough, hora_min(f[i].rank, hora_min(s->in, s->out)));
    }
    if (!x->made)
        return;
    hora_json_set(x->made, "rank", hora_json_new_int(hora_flat_rank(f, x->base)));
    hora_json_set(x->made, "magnitudes", hora_json_new_bool(dora));
    hora_json_set(x->made, "enough", hora_json_new_int(enough));
    hora_json_set(x->made, "modules", hora_json_new_int(modules));
}

void hora_flat_pad(hora_flat *f, const hora_site *s, int64_t rank) {
    float *left = hora_calloc((size_t)(s->out * rank), sizeof *left);
    float *right = hora_calloc((size_t)(rank * s->in), sizeof *right);
    if (f->rank)
        memcpy(right, f->a, (size_t)(f->rank * s->in) * sizeof *right);
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t j = 0; j < f->rank; j++)
            left[o * rank + j] = f->b[o * f->rank + j];
    hora_free(f->a);
    hora_free(f->b);
    f->a = right;
    f->b = left;
    f->rank = rank;
}
