/*
 * One recording: leaves are made on first use, sites ask the attached methods in order, blocks
 * bracket segments and call preludes.
 */
#include "nn/net_impl.h"

#include <stdio.h>

#include "base/rng.h"

void hora_net_init(hora_net *n, hora_graph *g, const hora_base *base, hora_adapter *const *adapters,
                   int nadapters, hora_net_mode mode) {
    *n = (hora_net){.g = g,
                    .base = base,
                    .adapters = adapters,
                    .nadapters = nadapters,
                    .mode = mode,
                    .layer = -1,
                    .route = -1,
                    .around = -1,
                    .gate = HORA_NONE};
    n->leaf = hora_malloc(((size_t)base->nweights + 1) * sizeof *n->leaf);
    for (int i = 0; i < base->nweights; i++)
        n->leaf[i] = HORA_NONE;
    n->frozen = hora_calloc((size_t)base->nweights + 1, sizeof *n->frozen);
    n->param_leaf = hora_calloc((size_t)nadapters + 1, sizeof *n->param_leaf);
    for (int a = 0; a < nadapters; a++) {
        n->param_leaf[a] = hora_malloc(((size_t)adapters[a]->nparams + 1) * sizeof **n->param_leaf);
        for (int i = 0; i < adapters[a]->nparams; i++)
            n->param_leaf[a][i] = HORA_NONE;
    }
}

void hora_net_release(hora_net *n) {
    for (int a = 0; a < n->nadapters; a++)
        hora_free(n->param_leaf[a]);
    hora_free(n->param_leaf);
    hora_free(n->leaf);
    hora_free(n->frozen);
}

void hora_net_bind(hora_net *n) {
    for (int i = 0, k = hora_graph_params(n->g); i < k; i++) {
        void *user;
        hora_t t = hora_graph_param_at(n->g, i, &user, NULL);
        const hora_param *p = user;
        hora_graph_bind(n->g, t, p->value, p->grad);
    }
    for (int w = 0; w < n->base->nweights; w++)
        if (n->frozen[w])
            hora_graph_bind_frozen(n->g, n->leaf[w], n->base->weights[w].view.data);
}

bool hora_adapter_whole(const hora_adapter *a) {
    const hora_hooks *h = a->hooks;
    return h->kv || h->slots || h->takes || h->reach;
}

bool hora_adapter_on(const hora_adapter *a) {
    return a->enabled && (a->weight != 0 || !hora_adapter_whole(a));
}

const hora_hooks *hora_net_hooks(const hora_net *n, int a) {
    return hora_adapter_on(n->adapters[a]) ? n->adapters[a]->hooks : NULL;
}

hora_t hora_net_param(hora_net *n, const hora_param *p) {
    int a = 0;
    while (a < n->nadapters && n->adapters[a] != p->adapter)
        a++;
    HORA_ASSERT(a < n->nadapters);
    int i = 0;
    while (p->adapter->params[i] != p)
        i++;
    hora_t *leaf = &n->param_leaf[a][i];
    if (*leaf == HORA_NONE) {
        *leaf = hora_graph_param(n->g, p->name, p->shape, (void *)p);
        if (p->fixed && n->mode != HORA_NET_DECODE) /* there nothing has a gradient */
            *leaf = hora_detach(n->g, *leaf);
    }
    return *leaf;
}

/* From `from`, `weight` of the way to `to`. */
static hora_t toward(hora_net *n, hora_t from, hora_t to, double weight) {
    return weight == 1 || from == to ? to
                                     : hora_add(n->g, from, hora_add(n->g, to, from, -1), weight);
}

hora_t hora_net_taken(hora_net *n, const hora_adapter *a, hora_t from, hora_t to) {
    to = toward(n, from, to, a->weight);
    return a->route < 0 || from == to ? to : hora_route(n->g, to, from, a->route);
}

/* The leaf that trains in the place of weight `w`, or NONE. */
static hora_t trained(hora_net *n, int w) {
    hora_t leaf = HORA_NONE;
    for (int a = 0; a < n->nadapters && leaf == HORA_NONE; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        hora_param *p = !h          ? NULL
                        : h->select ? h->select(n->adapters[a], w)
                                    : hora_adapter_replacement(n->adapters[a], w);
        if (p)
            leaf = hora_net_param(n, p);
    }
    return leaf;
}

hora_t hora_net_weight(hora_net *n, int w) {
    if (w < 0)
        return HORA_NONE;
    if (n->leaf[w] == HORA_NONE)
        n->leaf[w] = trained(n, w);
    const int same = n->base->weights[w].tied ? n->base->embed : w;
    if (n->leaf[w] == HORA_NONE && same != w && trained(n, same) == HORA_NONE)
        n->leaf[w] = hora_net_weight(n, same); /* one matrix, while nothing replaces either */
    if (n->leaf[w] == HORA_NONE) {
        n->frozen[w] = true;
        n->leaf[w] = hora_graph_frozen(n->g, n->base->weights[w].name, n->base->weights[w].view);
    }
    return n->leaf[w];
}

/* --- the output layer ------------------------------------------------------------------------- */
hora_head hora_net_head(hora_net *n, hora_t x) {
    hora_head out = {.w = hora_net_weight(n, n->base->head),
                     .b = hora_net_weight(n, n->base->head_bias),
                     .u = HORA_NONE,
                     .f = HORA_NONE};
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        const hora_head was = out;
        if (h && h->head)
            h->head(n, n->adapters[a], x, &out);
        if (n->adapters[a]->route >= 0 && (out.w != was.w || out.b != was.b))
            hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                             "adapter `%s` changes the output layer itself, which "
                                             "all tasks share; leave that out, or give it no task",
                                             n->adapters[a]->name));
    }
    return out;
}

void hora_net_head_low(hora_net *n, const hora_adapter *a, hora_head *h, hora_t u, hora_t f,
                       double alpha) {
    if (h->u != HORA_NONE)
        hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                         "adapter `%s` adapts the output layer, which another does "
                                         "already; leave it to one, or merge the other first",
                                         a->name));
    h->u = a->route < 0 ? u : hora_route(n->g, u, HORA_NONE, a->route);
    h->f = f;
    h->alpha = alpha * a->weight;
}

hora_t hora_net_logits(hora_net *n, const hora_head *h, hora_t x) {
    hora_t z = hora_linear(n->g, x, h->w, h->b, HORA_NONE, 1);
    return h->u == HORA_NONE ? z : hora_linear(n->g, h->u, h->f, HORA_NONE, z, h->alpha);
}

hora_t hora_net_xent(hora_net *n, const hora_head *h, hora_t x) {
    return hora_head_xent(n->g, x, h->w, h->b, h->u, h->f, h->alpha);
}

static void prelude(hora_net *n, int layer) {
    n->layer = layer;
    if (n->pass) /* it stands there already */
        return;
    hora_graph_in_before(n->g, true);
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && h->prelude)
            h->prelude(n, n->adapters[a], layer);
    }
    hora_graph_in_before(n->g, false);
}

void hora_net_preludes(hora_net *n) {
    for (int layer = -1; layer < n->base->layers; layer++)
        prelude(n, layer);
}

void hora_net_begin(hora_net *n) {
    prelude(n, -1);
}

hora_t hora_net_embed(hora_net *n) {
    hora_net_begin(n);
    return hora_net_embedded(n, hora_net_tokens(n));
}

hora_t hora_net_tokens(hora_net *n) {
    hora_t h = hora_embed(n->g, hora_net_weight(n, n->base->embed));
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *o = hora_net_hooks(n, a);
        if (o && o->tokens)
            h = hora_net_taken(n, n->adapters[a], h, o->tokens(n, n->adapters[a], h));
    }
    return h;
}

/* Dropout of the base's own body, place 0 .. 2 of base.h's `drop`. */
static hora_t dropped(hora_net *n, hora_t h, int place) {
    char name[64];
    if (n->mode != HORA_NET_TRAIN || !n->drops.body)
        return h;
    snprintf(name, sizeof name, "body.%d.%d", n->layer, place);
    return hora_dropout(n->g, h, n->base->drop[place], hora_hash64(name, strlen(name), 0));
}

/* Stochastic depth: later layers are left out more often (G. Huang et al., 2016). */
static hora_t skipped(hora_net *n, hora_t y, hora_where where) {
    const int64_t last = n->base->layers - 1;
    char name[64];
    if (n->mode != HORA_NET_TRAIN || n->drops.path <= 0)
        return y;
    snprintf(name, sizeof name, "path.%d.%d", n->layer, (int)where);
    return hora_drop_path(n->g, y, last ? n->drops.path * n->layer / (double)last : n->drops.path,
                          hora_hash64(name, strlen(name), 0));
}

hora_t hora_net_embedded(hora_net *n, hora_t h) {
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *o = hora_net_hooks(n, a);
        if (o && o->input)
            h = hora_net_taken(n, n->adapters[a], h, o->input(n, n->adapters[a], h));
    }
    return dropped(n, h, 0);
}

static hora_t around(hora_net *n, hora_where where, hora_sub sub) {
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        if (h && h->block)
            sub.y = hora_net_taken(n, n->adapters[a], sub.y,
                                   h->block(n, n->adapters[a], n->layer, where, &sub));
    }
    return sub.y;
}

hora_t hora_net_block(hora_net *n, int layer, hora_t h) {
    prelude(n, layer);
    hora_graph_segment(n->g, layer + n->pass * (int)n->base->layers);
    return around(n, HORA_BLOCK_IN, (hora_sub){h, h, h});
}

hora_t hora_net_block_end(hora_net *n, hora_t h) {
    h = around(n, HORA_BLOCK_OUT, (hora_sub){h, h, h});
    hora_graph_segment(n->g, -1);
    n->layer = -1;
    return h;
}

int hora_net_speaker(const hora_net *n, int a) {
    for (; a < n->nadapters; a++) {
        const int route = n->adapters[a]->route;
        const bool other = n->route >= 0 && route >= 0 && route != n->route;
        if (hora_net_hooks(n, a) && hora_net_hooks(n, a)->linear && !other)
            break;
    }
    return a;
}

hora_t hora_net_next(hora_net *n, const hora_site *s, hora_t x, hora_t w, hora_t b) {
    const int saved = n->next, route = n->route, around = n->around,
              a = hora_net_speaker(n, n->next);
    if (a == n->nadapters)
        return hora_linear(n->g, x, w, b, HORA_NONE, 1);
    const hora_adapter *ad = n->adapters[a];
    const bool some = ad->route >= 0 && ad->route != route; /* rows of one task among others */
    n->next = a + 1;
    n->around = route;
    n->route = ad->route >= 0 ? ad->route : route;
    hora_t y = hora_net_hooks(n, a)->linear(n, n->adapters[a], s, x, w, b);
    n->route = route;
    n->around = around;
    const bool share = ad->weight != 1 && !n->weighed, rows = some && !n->routed;
    if (share || rows) {
        hora_t without = hora_net_next(n, s, x, w, b);
        y = share ? toward(n, without, y, ad->weight) : y;
        y = rows ? hora_route(n->g, y, without, ad->route) : y;
    }
    n->weighed = n->routed = false;
    n->next = saved;
    return y;
}

hora_t hora_net_lowrank(hora_net *n, const hora_site *s, hora_t x, hora_t w, hora_t b, hora_t xd,
                        hora_t a, hora_t f, double alpha) {
    if (hora_net_speaker(n, n->next) == n->nadapters)
        return hora_lowrank(n->g, x, w, b, HORA_NONE, a, f, xd == x ? HORA_NONE : xd, alpha);
    hora_t y = hora_net_next(n, s, x, w, b);
    hora_t z = hora_linear(n->g, xd, a, HORA_NONE, HORA_NONE, 1); /* (rows, r) */
    return hora_linear(n->g, z, f, HORA_NONE, y, alpha);
}

hora_t hora_net_update(hora_net *n, const hora_adapter *ad, const hora_site *s, hora_t x, hora_t w,
                       hora_t b, hora_t xd, hora_t a, hora_t f, double alpha) {
    hora_t y;
    if (n->route == n->around) { /* in all rows that are asked about */
        y = hora_net_lowrank(n, s, x, w, b, xd, a, f, alpha * ad->weight);
    } else {
        const int route = n->route;
        n->route = n->around; /* what lies behind it is every row's */
        y = hora_net_next(n, s, x, w, b);
        n->route = route;
        hora_t z = hora_linear(n->g, xd, a, HORA_NONE, HORA_NONE, 1); /* (rows, r) */
        z = hora_route(n->g, z, HORA_NONE, route);
        y = hora_linear(n->g, z, f, HORA_NONE, y, alpha * ad->weight);
    }
    n->weighed = n->routed = true;
    return y;
}

void hora_net_beyond(hora_net *n) {
    n->routed = false;
}

hora_t hora_net_site(hora_net *n, hora_site_kind k, hora_t x) {
    const hora_site *s = hora_base_site(n->base, k, n->layer);
    HORA_ASSERT(s);
    n->next = 0;
    return hora_net_next(n, s, x, hora_net_weight(n, s->weight), hora_net_weight(n, s->bias));
}

hora_t hora_net_gated(hora_net *n, hora_t x, hora_act act) {
    hora_t gate = hora_net_site(n, HORA_SITE_GATE, x); /* (rows, f) */
    hora_t up = hora_net_site(n, HORA_SITE_UP, x);
    return hora_net_site(n, HORA_SITE_DOWN, hora_glu(n->g, gate, up, act));
}

hora_t hora_net_enter(hora_net *n, hora_where where, hora_t res, hora_t x) {
    bool whole = false;
    n->entered = true;
    n->gate = HORA_NONE;
    for (int a = 0; a < n->nadapters; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        hora_t m =
            h && h->takes ? h->takes(n, n->adapters[a], n->layer, where, res, &whole) : HORA_NONE;
        if (m == HORA_NONE)
            continue;
        if (n->gate != HORA_NONE)
            hora_graph_error(n->g, hora_fail(HORA_EUSAGE, "two adapters leave rows out; leave that "
                                                          "to one"));
        n->gate = m;
    }
    n->packed = n->gate != HORA_NONE && n->mode != HORA_NET_TRAIN && hora_graph_packs(n->g) &&
                (where == HORA_BLOCK_MLP || (whole && n->mode == HORA_NET_EVAL));
    return n->packed ? hora_take_rows(n->g, x, n->gate) : x;
}

/* y with what rows that take no part add to the residual stream: nothing. */
static hora_t leave(hora_net *n, hora_t y) {
    const hora_t m = n->gate;
    for (int a = 0; a < n->nadapters && !n->entered; a++) /* it must not be left out in silence */
        if (hora_net_hooks(n, a) && hora_net_hooks(n, a)->takes)
            hora_graph_error(n->g, hora_fail(HORA_EUNSUPPORTED,
                                             "adapter `%s` leaves rows out, which this family of "
                                             "models is not recorded for",
                                             n->adapters[a]->name));
    n->entered = false;
    n->gate = HORA_NONE;
    return m == HORA_NONE ? y : n->packed ? hora_put_rows(n->g, y, m) : hora_gate(n->g, y, m);
}

bool hora_net_wants_second(const hora_net *n, bool *distil) {
    bool yes = false;
    *distil = false;
    for (int a = 0; a < n->nadapters && n->mode == HORA_NET_TRAIN; a++) {
        const hora_hooks *h = hora_net_hooks(n, a);
        yes |= h && h->second && h->second(n->adapters[a], distil);
    }
    return yes;
}

hora_t hora_net_sublayer(hora_net *n, hora_where where, hora_t res, hora_t x, hora_t y) {
    y = dropped(n, leave(n, y), where == HORA_BLOCK_ATTN ? 1 : 2);
    n->packed = false;
    y = skipped(n, around(n, where, (hora_sub){res, x, y}), where);
    return hora_graph_onto(n->g, res, y);
}

hora_status hora_adapters_keeper(hora_adapter *const *at, int n, hora_adapter **a) {
    *a = NULL;
    for (int i = 0; i < n; i++) {
        if (!at[i]->enabled || !at[i]->hooks->keeps)
            continue;
        if (*a)
            return hora_fail(HORA_EUSAGE,
                             "adapters `%s` and `%s` both make vectors of the prompt, which are "
                             "kept for the answer; leave that to one",
                             (*a)->name, at[i]->name);
        *a = at[i];
    }
    return HORA_OK;
}

hora_t hora_net_keep(hora_net *n, int i, hora_t y, hora_t x) {
    if (n->mode != HORA_NET_DECODE)
        return hora_mul(n->g, y, x);
    hora_t s = hora_graph_state(n->g, "kept of the prompt", n->kept[n->layer * HORA_KEEPS + i]);
    return hora_mul(n->g, y, n->answers ? s : hora_keep(n->g, x, s));
}

double hora_net_dropout(const hora_net *n, double p) {
    return n->mode == HORA_NET_TRAIN ? p : 0;
}

uint64_t hora_net_stream(const hora_net *n, const hora_adapter *a, const char *what, int index) {
    char name[64];
    snprintf(name, sizeof name, "%.30s.%d.%d", what, n->layer, index);
    return hora_hash64(name, strlen(name), a->seed);
}

void hora_net_loss(hora_net *n, hora_t scalar, double weight) {
    hora_graph_loss(n->g, scalar, weight);
}
