/*
 * Attention of a recording: what adapters have in front of samples and of keys, positions behind
 * that, and what they make of queries, keys and values.
 */
#include "nn/net_impl.h"

typedef int64_t (*count)(const hora_adapter *);

static int64_t slots_of(const hora_adapter *a) {
    return hora_adapter_on(a) && a->hooks->slots ? a->hooks->slots(a) : 0;
}

static int64_t shift_of(const hora_adapter *a) {
    return hora_adapter_on(a) && a->hooks->shift ? a->hooks->shift(a) : 0;
}

static int64_t front_of(const hora_adapter *a) {
    return slots_of(a) + (a->base->encoder ? 0 : shift_of(a));
}

/* Of those that are on in the rows of a task; -1: of none. */
static int64_t sum_of(hora_adapter *const *at, int n, int route, count of) {
    int64_t sum = 0;
    for (int a = 0; a < n; a++)
        sum += at[a]->route < 0 || at[a]->route == route ? of(at[a]) : 0;
    return sum;
}

static int64_t most_of(hora_adapter *const *at, int n, count of) {
    int64_t most = sum_of(at, n, -1, of);
    for (int a = 0; a < n; a++)
        most = hora_max(most, sum_of(at, n, at[a]->route, of));
    return most;
}

int64_t hora_adapters_slots_of(hora_adapter *const *at, int n, int route) {
    return sum_of(at, n, route, slots_of);
}

int64_t hora_adapters_slots(hora_adapter *const *at, int n) {
    return most_of(at, n, slots_of);
}

int64_t hora_adapters_front(hora_adapter *const *at, int n) {
    return most_of(at, n, front_of);
}

int64_t hora_net_slots(const hora_net *n) {
    return hora_adapters_slots(n->adapters, n->nadapters);
}

/* --- positions -------------------------------------------------------------------------------- */
/* Of heads whose width may not be the base's, with a table of frequencies for each group. */
typedef struct turn {
    int64_t heads, head_dim;
    const double *freq;
    int64_t tables;
    double scale;
} turn;

static hora_t turn_from(hora_net *n, hora_t x, const turn *t, int64_t shift) {
    if (n->base->far_positions)
        return hora_rope_reach(n->g, x, t->heads, t->head_dim, t->freq, t->scale, shift,
                               n->base->far_positions, n->base->far_stretch);
    return hora_rope_from(n->g, x, t->heads, t->head_dim, t->freq, t->tables, t->scale, shift);
}

/* Rows of a task behind the keys of their own prefix. */
static hora_t turned(hora_net *n, hora_t x, const turn *t) {
    const int64_t all = sum_of(n->adapters, n->nadapters, -1, shift_of);
    hora_t y = turn_from(n, x, t, all);
    for (int a = 0; a < n->nadapters; a++) {
        const int64_t own = n->adapters[a]->route < 0 ? 0 : shift_of(n->adapters[a]);
        if (own)
            y = hora_route(n->g, turn_from(n, x, t, all + own), y, n->adapters[a]->route);
    }
    return y;
}

hora_t hora_net_rope(hora_net *n, hora_t x, int64_t heads, const double *freq, double scale) {
    return turned(n, x, &(turn){heads, n->base->head_dim, freq, 1, scale});
}

hora_t hora_net_rope_partly(hora_net *n, hora_t x, int64_t heads, int64_t head_dim,
                            const double *freq, int64_t tables) {
    return turned(n, x, &(turn){heads, head_dim, freq, tables, 1});
}

/* --- attention -------------------------------------------------------------------------------- */
hora_t hora_net_attend(hora_net *n, hora_t q, hora_t k, hora_t v, int64_t window, double scale) {
    return hora_net_attend_near(n, q, k, v, window, 0, scale);
}

/* Maps are recombined by ops of their own. */
static hora_t attend_mixed(hora_net *n, const hora_attend *t, const hora_attr *at) {
    if (n->mode != HORA_NET_DECODE)
        return hora_mix_attention(n->g, t->q, t->k, t->v, t->mix, at);
    hora_t kc = hora_graph_state(n->g, "k cache", n->kcache[n->layer]);
    hora_t vc = hora_graph_state(n->g, "v cache", n->vcache[n->layer]);
    return hora_cached_mix_attention(n->g, t->q, t->k, t->v, kc, vc, t->mix, at);
}

static hora_t attend(hora_net *n, const hora_attend *t, hora_t kp, hora_t vp, const hora_attr *at) {
    if (n->mode != HORA_NET_DECODE)
        return hora_attention(n->g, t->q, t->k, t->v, kp, vp, at);
    hora_t kc = hora_graph_state(n->g, "k cache", n->kcache[n->layer]);
    hora_t vc = hora_graph_state(n->g, "v cache", n->vcache[n->layer]);
    return hora_cached_attention(n->g, t->q, t->k, t->v, kc, vc, at);
}

/* What an adapter makes of it, by its weight. */
static hora_attend attended(hora_net *n, hora_adapter *a, hora_attend t) {
    const hora_attend was = t;
    a->hooks->attend(n, a, n->layer, &t);
    t.q = hora_net_taken(n, a, was.q, t.q);
    t.k = hora_net_taken(n, a, was.k, t.k);
    t.v = hora_net_taken(n, a, was.v, t.v);
    if (t.mix != was.mix && a->weight != 1)
        t.mix = hora_scale(n->g, t.mix, HORA_NONE, a->weight);
    return t;
}

/* Attention with whatever stands in front of keys: rows of a task see their own prefix in a pass of
 * its own. */
static hora_t attend_behind(hora_net *n, const hora_attend *t, const hora_attr *at) {
    hora_t kp = HORA_NONE, vp = HORA_NONE;
    bool any = false;
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        any |= h && h->kv;
        if (h && h->kv && n->adapters[a]->route < 0)
            h->kv(n, n->adapters[a], n->layer, &kp, &vp);
    }
    const char *why =
        !any ? NULL
        : n->mode == HORA_NET_DECODE
            ? "attention prefixes are not decoded with a cache; use --no-cache"
        : t->mix != HORA_NONE
            ? "one adapter gives attention further keys and values, another mixes its "
              "heads; train them apart"
            : NULL;
    if (why) {
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED, "%s", why));
        return HORA_NONE;
    }
    if (t->mix != HORA_NONE)
        return attend_mixed(n, t, at);
    hora_t y = attend(n, t, kp, vp, at);
    for (int a = 0; a < n->nadapters && any; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        hora_t own_k = kp, own_v = vp; /* beside one of all rows it is refused */
        if (!h || !h->kv || n->adapters[a]->route < 0)
            continue;
        h->kv(n, n->adapters[a], n->layer, &own_k, &own_v);
        y = hora_route(n->g, attend(n, t, own_k, own_v, at), y, n->adapters[a]->route);
    }
    return y;
}

hora_t hora_net_attend_near(hora_net *n, hora_t q, hora_t k, hora_t v, int64_t window,
                            int64_t ahead, double scale) {
    hora_attr at = {.heads = n->base->heads,
                    .kv_heads = n->base->kv_heads,
                    .head_dim = n->base->head_dim,
                    .window = window,
                    .ahead = ahead,
                    .scale = scale};
    hora_attend t = {q, k, v, HORA_NONE};
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && h->reach)
            h->reach(n->adapters[a], n->layer, &at.window, &at.ahead);
    }
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && h->compared)
            h->compared(n, n->adapters[a], q, k, &at);
        if (h && h->attend)
            t = attended(n, n->adapters[a], t);
    }
    return attend_behind(n, &t, &at);
}

/* --- over latents ----------------------------------------------------------------------------- */
/* What a projection with all that is attached does to any x, as a matrix (out, in), (out, in + 1)
 * where adapters are attached: they see rows of the identity and one of zeros, whose result is the
 * bias and is taken off the others. Once for all batches. NONE: the model has no such site. */
static hora_t effective(hora_net *n, hora_site_kind k, const hora_identity *one) {
    const hora_site *s = hora_base_site(n->base, k, n->layer);
    if (!s)
        return HORA_NONE;
    const hora_t w = hora_net_weight(n, s->weight);
    n->next = 0;
    if (hora_net_speaker(n, 0) == n->nadapters &&
        hora_dtype_block(n->base->weights[s->weight].view.dtype) == 1)
        return w;
    hora_graph_in_before(n->g, true);
    hora_t t = hora_net_next(n, s, hora_graph_frozen(n->g, "identity", one->at), w, HORA_NONE);
    t = hora_add(n->g, t, hora_gather(n->g, t, one->last, s->in + 1), -1);
    t = hora_permute(n->g, t, 1, s->in + 1, s->out, 1); /* (in + 1, out) -> (out, in + 1) */
    hora_graph_in_before(n->g, false);
    return t;
}

/* Hooks that want keys and values, which are not formed here. */
static const char *wants_keys(const hora_net *n) {
    const char *name = NULL;
    for (int a = 0; a < n->nadapters && !name; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && (h->kv || h->attend || h->compared || h->keeps))
            name = n->adapters[a]->name;
    }
    return name;
}

hora_t hora_net_attend_latent(hora_net *n, hora_t q, hora_t r, hora_t c, const hora_identity *one,
                              int64_t window, double scale) {
    hora_attr at = {.heads = n->base->heads,
                    .kv_heads = n->base->kv_heads,
                    .head_dim = n->base->head_dim,
                    .window = window,
                    .scale = scale};
    const char *name = wants_keys(n);
    if (name) {
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "adapter `%s` works on keys and values, which a cache of "
                                         "latents does not hold; use --no-cache",
                                         name));
        return HORA_NONE;
    }
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && h->reach)
            h->reach(n->adapters[a], n->layer, &at.window, &at.ahead);
    }
    const hora_t u = effective(n, HORA_SITE_K, one), v = effective(n, HORA_SITE_V, one);
    const hora_t cache = hora_graph_state(n->g, "latent cache", n->kcache[n->layer]);
    return hora_latent_attention(n->g, q, r, c, u, v, cache, &at);
}

void hora_net_prefix(hora_net *n, hora_t *prefix, hora_t p) {
    if (*prefix != HORA_NONE)
        hora_graph_error(n->g, hora_fail(HORA_EUSAGE, "two adapters give attention further keys "
                                                      "and values; leave that to one"));
    *prefix = p;
}
