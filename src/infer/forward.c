/*
 * A batch from outside through a recording of its own. The rows of a sample attend to the run of
 * kept tokens [s, e) of that sample, up to themselves: that one pair (lo, hi) per row is what a
 * mask means, for padding on either side. Dropout is off: what is compared is a function.
 */
#include "infer/forward.h"

#include "format/safetensors.h"
#include "graph/verbs.h"
#include "model/family.h"

enum { IGNORED = -100 };

/* --- the leaves of the recording -------------------------------------------------------------- */
typedef struct leaves {
    int32_t *ids, *pos, *lo, *hi, *target;
    float *weight;
    int64_t counted;
} leaves;

static void leaves_release(leaves *l) {
    hora_free(l->ids);
    hora_free(l->weight);
}

/* The kept tokens [*s, *e) of sample i. */
static hora_status kept(const hora_forward_batch *b, int64_t i, int64_t *s, int64_t *e) {
    const int32_t *m = b->mask ? b->mask + i * b->t : NULL;
    *s = 0;
    *e = b->t;
    if (!m)
        return HORA_OK;
    while (*s < b->t && !m[*s])
        ++*s;
    while (*e > *s && !m[*e - 1])
        --*e;
    for (int64_t k = *s; k < *e; k++)
        if (!m[k])
            return hora_fail(
                HORA_EUNSUPPORTED,
                "attention_mask of sample %lld has a hole at token %lld; hora computes "
                "padding at the ends only, so remove the token instead",
                (long long)i, (long long)k);
    return HORA_OK;
}

static hora_status put_target(const hora_forward_batch *b, const hora_base *base, leaves *l,
                              int64_t row, int64_t k) {
    int32_t label = k + 1 < b->t && b->labels ? b->labels[row + 1] : IGNORED;
    l->target[row] = -1;
    if (label == IGNORED)
        return HORA_OK;
    if (label < 0 || label >= base->vocab)
        return hora_fail(HORA_EUSAGE,
                         "labels hold %d at row %lld, but the model has %lld tokens; use -100 for "
                         "what does not count",
                         label, (long long)(row + 1), (long long)base->vocab);
    l->target[row] = label;
    l->weight[row] = 1;
    l->counted++;
    return HORA_OK;
}

static hora_status fill(const hora_forward_batch *b, const hora_base *base, leaves *l) {
    const int64_t rows = b->b * b->t;
    l->ids = hora_calloc((size_t)rows * 5, sizeof *l->ids);
    l->pos = l->ids + rows;
    l->lo = l->pos + rows;
    l->hi = l->lo + rows;
    l->target = l->hi + rows;
    l->weight = hora_calloc((size_t)rows, sizeof *l->weight);
    for (int64_t i = 0; i < b->b; i++) {
        int64_t s, e;
        HORA_TRY(kept(b, i, &s, &e));
        for (int64_t k = 0; k < b->t; k++) {
            const int64_t row = i * b->t + k;
            if (b->ids[row] < 0 || b->ids[row] >= base->vocab)
                return hora_fail(HORA_EUSAGE,
                                 "input_ids hold %d at sample %lld, token %lld, but the model has "
                                 "%lld tokens; use its own tokenizer",
                                 b->ids[row], (long long)i, (long long)k, (long long)base->vocab);
            l->ids[row] = b->ids[row];
            l->pos[row] = (int32_t)k;
            l->lo[row] = (int32_t)(i * b->t + s);
            l->hi[row] = (int32_t)hora_max(l->lo[row], i * b->t + hora_min(k + 1, e));
            HORA_TRY(put_target(b, base, l, row, k));
        }
    }
    return HORA_OK;
}

static hora_status check(const hora_forward *f, const hora_forward_batch *b) {
    const int64_t most = f->base->max_positions;
    if (b->b < 1 || b->t < 1)
        return hora_fail(HORA_EUSAGE, "the batch is empty; give at least one token");
    if (most > 0 && b->t > most)
        return hora_fail(HORA_EUSAGE,
                         "the batch is %lld tokens long, but the model has %lld positions; cut it",
                         (long long)b->t, (long long)most);
    if (f->grads && !b->labels)
        return hora_fail(HORA_EUSAGE, "gradients need a loss; add `labels` to the batch");
    return HORA_OK;
}

/* --- the pass --------------------------------------------------------------------------------- */
typedef struct pass {
    hora_graph *g;
    hora_net net;
    hora_t logits, loss;
} pass;

static hora_status pass_prepare(pass *p, const hora_forward *f, int64_t rows, bool labels) {
    const hora_graph_config gc = {.dtype = f->base->dtype, .rows = rows, .device = f->device};
    p->g = hora_graph_new(&gc);
    hora_net_init(&p->net, p->g, f->base, f->adapters, f->nadapters, HORA_NET_EVAL);
    hora_t h = hora_model_record(&p->net);
    hora_t head = hora_net_head(&p->net);
    if (f->logits) {
        p->logits = hora_linear(p->g, h, head, HORA_NONE, HORA_NONE, 1);
        hora_graph_output(p->g, p->logits);
    }
    if (labels) {
        p->loss = hora_head_xent(p->g, h, head, HORA_NONE);
        hora_graph_loss(p->g, p->loss, 1);
    }
    const hora_plan_options po = {.backward = f->grads};
    HORA_TRY(hora_graph_plan(p->g, &po));
    hora_net_bind(&p->net);
    return hora_graph_prepare(p->g, NULL);
}

static void pass_release(pass *p) {
    if (p->g)
        hora_net_release(&p->net);
    hora_graph_free(p->g);
}

/* What the device computed, where the host reads it. */
static hora_status fetch(pass *p, hora_forward *f, int64_t rows) {
    for (int a = 0; f->grads && a < f->nadapters; a++)
        for (int i = 0; i < f->adapters[a]->nparams; i++) {
            const hora_param *param = f->adapters[a]->params[i];
            hora_device_pull(f->device, param->grad,
                             (size_t)param->elems * hora_dtype_size(f->adapters[a]->dtype));
        }
    if (p->loss != HORA_NONE)
        f->loss = hora_graph_scalar(p->g, p->loss);
    if (!f->logits)
        return HORA_OK;
    const hora_view *z = hora_graph_view(p->g, p->logits);
    void *raw;
    HORA_TRY(hora_block_new(&raw, hora_view_bytes(z), "logits (give a smaller batch)"));
    hora_graph_get(p->g, p->logits, raw);
    hora_status s = hora_convert(f->logits, HORA_F32, raw, z->dtype, rows * f->base->vocab);
    hora_block_free(raw, hora_view_bytes(z));
    return s;
}

static hora_status pass_run(pass *p, hora_forward *f, const leaves *l, int64_t rows) {
    const hora_rows batch = {.rows = rows,
                             .ids = l->ids,
                             .pos = l->pos,
                             .lo = l->lo,
                             .hi = l->hi,
                             .target = l->target,
                             .weight = l->weight,
                             .scale = l->counted ? 1.0 / (double)l->counted : 0};
    hora_graph_before(p->g);
    hora_graph_body(p->g, &batch, 0);
    if (f->grads)
        hora_graph_after(p->g);
    HORA_TRY(hora_graph_sync(p->g));
    return fetch(p, f, rows);
}

hora_status hora_forward_run(hora_forward *f, const hora_forward_batch *b) {
    leaves l = {0};
    pass p = {.logits = HORA_NONE, .loss = HORA_NONE};
    HORA_TRY(check(f, b));
    hora_status s = fill(b, f->base, &l);
    if (s == HORA_OK && b->labels && !l.counted)
        s = hora_fail(HORA_EUSAGE, "no label counts, so there is no loss; give a label other than "
                                   "-100 behind the first token of a sample");
    if (s == HORA_OK)
        s = pass_prepare(&p, f, b->b * b->t, b->labels != NULL);
    if (s == HORA_OK)
        s = pass_run(&p, f, &l, b->b * b->t);
    pass_release(&p);
    leaves_release(&l);
    return s;
}

/* --- gradients -------------------------------------------------------------------------------- */
static size_t span(const hora_adapter *a) {
    return (size_t)hora_max(a->elems, 16) * hora_dtype_size(a->dtype);
}

hora_status hora_forward_grads(hora_adapter *a) {
    void *block;
    if (!a->nparams)
        return HORA_OK;
    HORA_TRY(hora_block_new(&block, span(a), "gradients"));
    for (int i = 0; i < a->nparams; i++)
        a->params[i]->grad =
            (char *)block + (size_t)a->params[i]->offset * hora_dtype_size(a->dtype);
    return HORA_OK;
}

void hora_forward_grads_free(hora_adapter *a) {
    if (!a || !a->nparams || !a->params[0]->grad)
        return;
    hora_block_free(a->params[0]->grad, span(a));
    for (int i = 0; i < a->nparams; i++)
        a->params[i]->grad = NULL;
}

hora_status hora_forward_save(const hora_forward *f, const hora_forward_batch *b,
                              const char *path) {
    hora_st_entry *e = NULL;
    int n = 0, cap = 0, fixed;
    double loss = f->loss;
    if (f->logits)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){"logits",
                                   {f->logits, HORA_F32, HORA_SHAPE3(b->b, b->t, f->base->vocab)},
                                   HORA_F32}));
    if (b->labels)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){"loss", {&loss, HORA_F64, HORA_SHAPE1(1)}, HORA_F32}));
    fixed = n;
    for (int a = 0; a < f->nadapters && f->grads; a++)
        for (int i = 0; i < f->adapters[a]->nparams; i++) {
            const hora_param *p = f->adapters[a]->params[i];
            char *name = hora_format("grad.%s", p->name);
            HORA_PUSH(
                e, n, cap,
                ((hora_st_entry){name, {p->grad, f->adapters[a]->dtype, p->shape}, HORA_F32}));
        }
    hora_status s = hora_st_write(path, e, n, NULL, 0);
    for (int i = fixed; i < n; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    return s;
}
