/*
 * LoRA of chosen heads: the update reaches the rows (q, k, v) or the columns (o) of these heads
 * alone. [ours; LoRA is arXiv 2106.09685]
 *
 *   y = W x + b + (alpha / r) B A dropout(x)     q k v: B (heads dh, r) stands in the rows of its
 *                                                heads, zeros elsewhere; A (r, in)
 *                                                o: A (r, heads dh) in their columns; B (out, r)
 *
 * Heads are query heads; on k and v those that serve them count. For others a plain LoRA.
 */
#include "base/text.h"
#include "peft/beside.h"
#include "peft/made.h"
#include "peft/typed.h"

typedef struct config {
    hora_typed typed;
    int64_t rank;
    double alpha, dropout;
    char *heads;
} config;

#define OPT_OF config
static const hora_option rows[] = {
    OPT_LIST(heads, "heads", NULL, "all", "LIST",
             "query heads that are adapted: 0+3, or by layer 0:0+0:3+1:2; all"),
    HORA_LOWRANK_OPTIONS,
    HORA_TYPED_OPTIONS("q+v"),
};
static const hora_options options = {"Method head_lora", rows, HORA_COUNT(rows)};

typedef struct site {
    hora_param *a, *b;
    int32_t *place; /* of each row or column of the projection: which of the factor's; -1: none */
} site;
typedef struct state {
    hora_made *made;
    bool *chosen; /* (layers, H) */
    site *site;
} state;

/* --- which heads ------------------------------------------------------------------------------ */

/* "3" or "1:3" */
static hora_status choose(const hora_base *b, const char *word, bool *chosen) {
    const char *colon = strchr(word, ':');
    char *first = colon ? hora_strndup(word, (size_t)(colon - word)) : NULL;
    int64_t layer = -1, head = -1;
    const bool read = (!first || hora_parse_int(first, &layer)) &&
                      hora_parse_int(colon ? colon + 1 : word, &head);
    hora_free(first);
    if (!read)
        return hora_fail(HORA_EUSAGE,
                         "heads: `%s` is no head; write 0+3, or with layers 0:0+0:3+1:2", word);
    if (head < 0 || head >= b->heads)
        return hora_fail(HORA_EUSAGE, "heads: there is no head %lld; the model has 0 to %lld",
                         (long long)head, (long long)b->heads - 1);
    if (colon && (layer < 0 || layer >= b->layers))
        return hora_fail(HORA_EUSAGE, "heads: there is no layer %lld; the model has 0 to %lld",
                         (long long)layer, (long long)b->layers - 1);
    for (int64_t i = colon ? layer : 0; i <= (colon ? layer : b->layers - 1); i++)
        chosen[i * b->heads + head] = true;
    return HORA_OK;
}

static hora_status parse(const hora_adapter *a, bool *chosen) {
    const char *text = ((const config *)a->config)->heads;
    hora_status s = HORA_OK;
    if (hora_eq(text, "all")) {
        memset(chosen, true, (size_t)(a->base->layers * a->base->heads));
        return s;
    }
    for (char *word; !s && (word = hora_list_word(&text, HORA_LIST)); hora_free(word))
        s = choose(a->base, word, chosen);
    return s;
}

/* Fills `place` of a site; the rows or columns of the factor. */
static int64_t places(const hora_adapter *a, const hora_site *s, int32_t *place) {
    const hora_base *b = a->base;
    const bool *chosen = ((const state *)a->state)->chosen + s->layer * b->heads;
    const int64_t serves = b->heads / s->heads;
    int64_t n = 0;
    for (int64_t h = 0; h < s->heads; h++) {
        bool on = false;
        for (int64_t k = h * serves; k < (h + 1) * serves; k++)
            on |= chosen[k];
        for (int64_t l = 0; l < s->head_dim; l++)
            place[h * s->head_dim + l] = on ? (int32_t)n++ : -1;
    }
    return n;
}

/* --- setup ------------------------------------------------------------------------------------ */

static hora_param *declare(hora_adapter *a, const hora_site *s, char side, hora_shape shape) {
    char *name = hora_format("layers.%d.head_lora_%c_%s", s->layer, side, hora_site_short(s->kind));
    hora_param *p = hora_adapter_param(
        a, name, shape, side == 'a' ? hora_kaiming(s->in) : (hora_init){.kind = HORA_INIT_ZERO});
    p->layer = s->layer;
    p->lora_b = side == 'b';
    hora_free(name);
    return p;
}

static hora_status add(hora_adapter *a, int i) {
    const config *c = a->config;
    state *st = a->state;
    const hora_site *s = &a->base->sites[i];
    const bool columns = s->kind == HORA_SITE_O;
    if (s->layer < 0 || !s->heads)
        return hora_fail(HORA_EUSAGE, "targets: %s has no heads; q, k, v and o have", s->module);
    int32_t *place = hora_malloc((size_t)(columns ? s->in : s->out) * sizeof *place);
    const int64_t n = places(a, s, place), r = c->rank;
    if (!n) { /* none of this layer's */
        hora_free(place);
        return HORA_OK;
    }
    st->made[i] = (hora_made){
        .rank = r, .scale = c->alpha / (double)r, .alpha = c->alpha, .dropout = c->dropout};
    st->site[i] = (site){.place = place};
    st->site[i].a = declare(a, s, 'a', HORA_SHAPE2(r, columns ? n : s->in));
    st->site[i].b = declare(a, s, 'b', HORA_SHAPE2(columns ? s->out : n, r));
    return HORA_OK;
}

/* Layers that no head is named of are none of the plain LoRA's either. */
static hora_status name_layers(hora_adapter *a) {
    const hora_base *b = a->base;
    const state *st = a->state;
    hora_peft_config *p = &((config *)a->config)->typed.peft;
    bool *on = hora_calloc((size_t)b->layers + 1, sizeof *on);
    int n = 0;
    for (int i = 0; i < b->nsites; i++)
        if (st->made[i].rank && !on[b->sites[i].layer]) {
            on[b->sites[i].layer] = true;
            n++;
        }
    if (n && n < b->layers) {
        hora_free(p->layers);
        p->layers = hora_calloc((size_t)n, sizeof *p->layers);
        p->n_layers = 0;
        for (int64_t l = 0; l < b->layers; l++)
            if (on[l])
                p->layers[p->n_layers++] = l;
    }
    hora_free(on);
    return n ? HORA_OK
             : hora_fail(HORA_EUSAGE, "heads and layers leave no head to adapt; name one of both");
}

static hora_status setup(hora_adapter *a) {
    config *c = a->config;
    const hora_base *b = a->base;
    state *st = hora_made_state(a, sizeof *st);
    st->site = hora_calloc((size_t)b->nsites + 1, sizeof *st->site);
    st->chosen = hora_calloc((size_t)(b->layers * b->heads) + 1, sizeof *st->chosen);
    HORA_TRY(parse(a, st->chosen));
    hora_lowrank_scale(&c->typed.peft, c->rank, &c->alpha, c->dropout);
    HORA_TRY(hora_typed_setup(a, add));
    return name_layers(a);
}

static void release(hora_adapter *a) {
    state *st = a->state;
    hora_typed_release(a);
    hora_made_release(a);
    for (int i = 0; st && st->site && i < a->base->nsites; i++)
        hora_free(st->site[i].place);
    if (!st)
        return;
    hora_free(st->site);
    hora_free(st->chosen);
}

static void prelude(hora_net *n, hora_adapter *a, int layer) {
    state *st = a->state;
    hora_graph *g = n->g;
    for (int i = 0; i < a->base->nsites; i++) {
        const hora_site *s = &a->base->sites[i];
        const site *t = &st->site[i];
        if (!st->made[i].rank || s->layer != layer)
            continue;
        hora_t p = hora_net_param(n, t->a), f = hora_net_param(n, t->b);
        if (s->kind == HORA_SITE_O) { /* by way of the transpose */
            p = hora_permute(g, p, 1, t->a->shape.d[0], t->a->shape.d[1], 1);
            p = hora_gather(g, p, t->place, s->in); /* (in, r) */
            p = hora_permute(g, p, 1, s->in, t->a->shape.d[0], 1);
        } else {
            f = hora_gather(g, f, t->place, s->out);
        }
        st->made[i].a = p; /* (r, in) */
        st->made[i].f = f; /* (out, r) */
    }
}

const hora_method hora_method_head_lora = {
    .name = "head_lora",
    .summary = "low-rank update of chosen heads alone",
    .form =
        "y = W x + b + (alpha / r) B A x, B in the rows of chosen heads (o: A in their columns)",
    .default_lr = 2e-4,
    .options = &options,
    .config_size = sizeof(config),
    .hooks = {.select = hora_adapter_replacement, .prelude = prelude, .linear = hora_made_linear},
    .setup = setup,
    .release = release,
    HORA_BESIDE_FOLDER,
    .merge = hora_lowrank_merge,
    HORA_MADE_FACTORS,
};
