/* Trainable tokens: declared, recorded and merged. */
#include "peft/tokens.h"

#include "base/text.h"

enum { MOST = 4096 }; /* P has a column per token: beyond, training the whole table is cheaper */

/* T starts as the rows that it stands for. */
static hora_status copy_rows(const hora_adapter *a, const hora_param *p, double *out) {
    const hora_view *e = p->init.from;
    const int32_t *ids = p->init.rows;
    const int64_t d = e->shape.d[1];
    (void)a;
    for (int64_t i = 0; i < p->elems; i++)
        out[i] = hora_value_at(e->data, e->dtype, (int64_t)ids[i / d] * d + i % d);
    return HORA_OK;
}

/* PEFT means the embedding when it is given a list without a module's name. */
static hora_status check_module(const hora_base *b, const char *name) {
    char *module = hora_base_module(b, b->embed);
    char *tail = hora_format(".%s", name ? name : ""), *path = hora_format(".%s", module);
    const bool ours = !name || hora_ends(path, tail);
    hora_free(path);
    hora_free(tail);
    hora_status s =
        ours ? HORA_OK
             : hora_fail(HORA_EUNSUPPORTED,
                         "trainable_token_indices: tokens of `%s` are not trained here, those of "
                         "%s are",
                         name, module);
    hora_free(module);
    return s;
}

static hora_status check_ids(const hora_peft_config *c, const hora_base *b) {
    if (c->n_tokens > MOST)
        return hora_fail(HORA_EUNSUPPORTED,
                         "trainable_token_indices: %d tokens are more than the %d that are trained "
                         "one by one; train the table: modules_to_save=embed_tokens",
                         c->n_tokens, MOST);
    for (int i = 0; i < c->n_tokens; i++) {
        if (c->tokens[i] < 0 || c->tokens[i] >= b->vocab)
            return hora_fail(HORA_EUSAGE,
                             "trainable_token_indices: there is no token %lld; the model has 0 to "
                             "%lld",
                             (long long)c->tokens[i], (long long)b->vocab - 1);
        for (int k = 0; k < i; k++)
            if (c->tokens[k] == c->tokens[i])
                return hora_fail(HORA_EUSAGE,
                                 "trainable_token_indices: token %lld is there twice; leave one "
                                 "out",
                                 (long long)c->tokens[i]);
    }
    return HORA_OK;
}

hora_status hora_tokens_declare(hora_tokens *t, hora_adapter *a, const hora_peft_config *c) {
    const hora_base *b = a->base;
    if (!c->n_tokens)
        return HORA_OK;
    HORA_TRY(check_module(b, c->tokens_module));
    HORA_TRY(check_ids(c, b));
    t->n = c->n_tokens;
    t->head = b->tied;
    t->ids = hora_calloc((size_t)t->n, sizeof *t->ids);
    t->picks = (hora_view){NULL, a->dtype, HORA_SHAPE2(b->vocab, t->n)};
    t->picks.data = hora_calloc((size_t)hora_elems(&t->picks), hora_dtype_size(a->dtype));
    for (int i = 0; i < t->n; i++) {
        const int64_t at = c->tokens[i] * t->n + i;
        t->ids[i] = (int32_t)c->tokens[i];
        if (a->dtype == HORA_F64)
            ((double *)t->picks.data)[at] = 1;
        else
            ((float *)t->picks.data)[at] = 1;
    }
    char *module = hora_base_module(b, b->embed), *name = hora_peft_key(module, HORA_PEFT_TOKENS);
    t->rows = hora_adapter_param(a, name, HORA_SHAPE2(t->n, b->hidden),
                                 (hora_init){.kind = HORA_INIT_COMPUTED,
                                             .from = &b->weights[b->embed].view,
                                             .rows = t->ids,
                                             .compute = copy_rows});
    t->rows->decay = false; /* towards 0 it would take the base away */
    hora_free(name);
    hora_free(module);
    return HORA_OK;
}

void hora_tokens_release(hora_tokens *t) {
    hora_free(t->ids);
    hora_free(t->picks.data);
    *t = (hora_tokens){0};
}

/* --- recording -------------------------------------------------------------------------------- */
void hora_tokens_prelude(hora_tokens *t, hora_net *n) {
    if (!t->n)
        return;
    hora_graph *g = n->g;
    hora_t old = hora_gather(g, hora_net_weight(n, n->base->embed), t->ids, t->n);
    t->p = hora_graph_frozen(g, "rows of trained tokens", t->picks);
    t->d = hora_add(g, hora_net_param(n, t->rows), old, -1); /* (n, hidden) */
}

hora_t hora_tokens_input(const hora_tokens *t, hora_net *n, hora_t h) {
    if (!t->n)
        return h;
    hora_t turned = hora_permute(n->g, t->d, 1, t->n, n->base->hidden, 1); /* (hidden, n) */
    return hora_linear(n->g, hora_embed(n->g, t->p), turned, HORA_NONE, h, 1);
}

void hora_tokens_head(const hora_tokens *t, hora_net *n, const hora_adapter *a, hora_t x,
                      hora_head *h) {
    if (!t->n || !t->head)
        return;
    hora_t u = hora_linear(n->g, x, t->d, HORA_NONE, HORA_NONE, 1); /* (rows, n) */
    hora_net_head_low(n, a, h, u, t->p, 1);
}

/* --- merging ---------------------------------------------------------------------------------- */
static void put_rows(const hora_tokens *t, const hora_adapter *a, float *w) {
    const int64_t d = a->base->hidden;
    for (int i = 0; i < t->n; i++)
        for (int64_t k = 0; k < d; k++)
            w[t->ids[i] * d + k] =
                (float)hora_value_at(t->rows->value, a->dtype, (int64_t)i * d + k);
}

hora_status hora_tokens_merge(const hora_tokens *t, const hora_adapter *a, const hora_merging *m) {
    const int ends[] = {a->base->embed, t->head ? a->base->head : -1};
    for (size_t i = 0; t->n && i < HORA_COUNT(ends); i++) {
        float *w;
        if (ends[i] < 0 || (i > 0 && !m->w[ends[i]])) /* tied: the embedding's */
            continue;
        HORA_TRY(hora_merging_weight(m, ends[i], &w));
        put_rows(t, a, w);
    }
    return HORA_OK;
}
