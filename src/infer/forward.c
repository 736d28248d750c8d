/*
 * A batch from outside through a recording of its own. The rows of a sample attend to the run of
 * kept tokens [s, e) of that sample, up to themselves: that one pair (lo, hi) per row is what a
 * mask means, for padding on either side. Dropout is off: what is compared is a function.
 */
#include "infer/forward.h"

#include "format/safetensors.h"
#include "model/family.h"
#include "task/task.h"

enum { IGNORED = -100 };

/* --- the batch ------------------------------------------------------------------------------- */
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

static hora_status put_target(const hora_forward_batch *b, const hora_base *base, hora_batch *l,
                              int64_t row, int64_t k) {
    int32_t label = k + 1 < b->t && b->labels ? b->labels[row + 1] : IGNORED;
    l->target[row] = -1;
    l->weight[row] = 0;
    if (label == IGNORED)
        return HORA_OK;
    if (label < 0 || label >= base->vocab)
        return hora_fail(HORA_EUSAGE,
                         "labels hold %d at row %lld, but the model has %lld tokens; use -100 for "
                         "what does not count",
                         label, (long long)(row + 1), (long long)base->vocab);
    l->target[row] = label;
    l->weight[row] = 1;
    l->supervised++;
    return HORA_OK;
}

static hora_status fill(const hora_forward_batch *b, const hora_base *base, hora_batch *l) {
    const int64_t rows = b->b * b->t;
    HORA_TRY(hora_batch_init(l, rows, NULL));
    l->rows = l->tokens = rows;
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
static hora_status pass(hora_forward *f, hora_batch *b, bool labels) {
    hora_recording r = {0};
    hora_outputs o = {.want_logits = f->logits, .want_loss = labels, .differentiate = labels};
    const hora_recording_parts parts = {.base = f->base,
                                        .adapters = f->adapters,
                                        .nadapters = f->nadapters,
                                        .device = f->device,
                                        .rows = b->rows,
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &o};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){.backward = f->grads},
                                        "one pass (give a smaller batch)");
    if (!s) {
        b->scale = b->supervised ? 1.0 / (double)b->supervised : 0;
        hora_recording_run(&r, b);
        if (labels)
            f->loss = hora_graph_scalar(r.g, o.loss);
    }
    if (!s && f->logits) {
        const hora_view *z = hora_graph_view(r.g, o.logits);
        s = hora_convert(f->logits, HORA_F32, z->data, z->dtype, b->rows * f->base->vocab);
    }
    hora_recording_release(&r);
    return s;
}

hora_status hora_forward_run(hora_forward *f, const hora_forward_batch *b) {
    hora_batch l = {0};
    HORA_TRY(check(f, b));
    hora_status s = fill(b, f->base, &l);
    if (s == HORA_OK && b->labels && !l.supervised)
        s = hora_fail(HORA_EUSAGE, "no label counts, so there is no loss; give a label other than "
                                   "-100 behind the first token of a sample");
    if (s == HORA_OK)
        s = pass(f, &l, b->labels != NULL);
    hora_batch_release(&l);
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
