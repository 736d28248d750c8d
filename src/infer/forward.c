/*
 * A batch from outside through a recording of its own. The rows of a sample attend to the run of
 * kept tokens [s, e) of that sample, up to themselves: that one pair (lo, hi) per row is what a
 * mask means, for padding on either side. Dropout is off: what is compared is a function.
 */
#include "infer/forward.h"

#include <math.h>

#include "format/safetensors.h"
#include "model/family.h"
#include "task/segment.h"
#include "task/task.h"

enum { IGNORED = -100 };

/* --- the batch -------------------------------------------------------------------------------- */
/* A sample has one row of logits. */
static bool is_pooled(const hora_objective *o) {
    return o->task->labels == HORA_LABELS_CLASS || o->task->labels == HORA_LABELS_NUMBER;
}

/* A padding id tells where a sample ends, as in transformers; without one its mask does, which
 * keeps the tokens before `end`. */
static int64_t pooled_length(const hora_objective *o, const hora_forward_batch *b, int64_t end) {
    return o->pad < 0 ? hora_max(end, 1) : b->t;
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

/* Rows of adapters in front of a text's tokens; those of pictures are the pattern's. */
static int64_t slots(const hora_forward *f, const hora_forward_batch *b) {
    return b->pixels.at ? 0 : hora_adapters_slots(f->adapters, f->nadapters);
}

/* Rows of a sample. */
static int64_t length(const hora_forward *f, const hora_forward_batch *b) {
    return b->pixels.at ? hora_vision_rows(f->base->vision) : b->t + slots(f, b);
}

hora_status hora_forward_fit(const hora_forward *f, const hora_forward_batch *b) {
    hora_vision *v = f->base->vision;
    const hora_pixels *p = &b->pixels;
    if (!v != !p->at)
        return hora_fail(HORA_EUSAGE, "a %s reads %s; give the batch %s", f->base->model_type,
                         v ? "pictures" : "text", v ? "pixel_values" : "input_ids");
    if (v && p->channels != v->channels)
        return hora_fail(HORA_EUSAGE,
                         "pixel_values have %lld channels, but the model reads %lld; convert them",
                         (long long)p->channels, (long long)v->channels);
    if (v && p->frames > 1 && !v->fixed && f->objective &&
        f->objective->task->labels == HORA_LABELS_PIXELS)
        return hora_fail(HORA_EUSAGE,
                         "%s is for pictures, but the batch holds clips of %lld "
                         "frames; give [N, C, H, W]",
                         f->objective->task->name, (long long)p->frames);
    if (v)
        v->slots = hora_adapters_slots(f->adapters, f->nadapters);
    return v ? hora_vision_resize(v, p->frames, p->height, p->width) : HORA_OK;
}

static void put_pixels(const hora_forward_batch *b, const hora_base *base, int64_t i,
                       hora_batch *l) {
    const hora_vision *v = base->vision;
    const int64_t from = i * hora_vision_rows(v);
    hora_vision_pattern(v, l->ids + from, l->pos + from);
    hora_vision_cut(v, b->pixels.at + i * hora_vision_values(v),
                    l->patch + from * hora_vision_columns(v));
}

static hora_status put_type(const hora_forward_batch *b, const hora_base *base, int64_t at,
                            int64_t row, hora_batch *l) {
    const int32_t type = b->types ? b->types[at] : 0;
    if (type < 0 || type >= hora_max(1, base->types))
        return hora_fail(HORA_EUNSUPPORTED,
                         base->types ? "token_type_ids hold %d, but the model tells %lld types of "
                                       "texts apart; correct them"
                                     : "token_type_ids other than 0 (%d) mean nothing to this "
                                       "model; remove them",
                         type, (long long)base->types);
    if (l->type)
        l->type[row] = type;
    return HORA_OK;
}

static hora_status put_ids(const hora_forward *f, const hora_forward_batch *b, int64_t i,
                           hora_batch *l) {
    const hora_base *base = f->base;
    const int64_t front = slots(f, b), from = i * length(f, b);
    for (int64_t k = 0; k < front; k++) {
        l->ids[from + k] = (int32_t)(k - front);
        l->pos[from + k] = (int32_t)k;
        if (l->type)
            l->type[from + k] = 0;
    }
    for (int64_t k = 0; k < b->t; k++) {
        const int64_t at = i * b->t + k, row = from + front + k;
        if (b->ids[at] < 0 || b->ids[at] >= base->vocab)
            return hora_fail(HORA_EUSAGE,
                             "input_ids hold %d at sample %lld, token %lld, but the model has "
                             "%lld tokens; use its own tokenizer",
                             b->ids[at], (long long)i, (long long)k, (long long)base->vocab);
        l->ids[row] = b->ids[at];
        l->pos[row] = (int32_t)(front + k);
        HORA_TRY(put_type(b, base, at, row, l));
    }
    hora_batch_reach(l, from, front + b->t, front + b->t);
    hora_batch_places(l, from, front + b->t, f->objective->pad);
    return HORA_OK;
}

/* Labels of one sample, in the forms that a task's `targets` takes. */
typedef struct words {
    int32_t *ids, *classes; /* (t) with 0 for what does not count; (most labels of a sample) */
    uint8_t *mask;          /* (t) */
    float *numbers;
} words;

static words words_new(const hora_forward_batch *b, int64_t t) {
    const size_t n = (size_t)hora_max(t, b->per) + 1;
    return (words){hora_calloc(n, sizeof(int32_t)), hora_calloc(n, sizeof(int32_t)),
                   hora_calloc(n, 1), hora_calloc(n, sizeof(float))};
}

static void words_release(words *w) {
    hora_free(w->ids);
    hora_free(w->classes);
    hora_free(w->mask);
    hora_free(w->numbers);
}

static hora_status whole_label(double v, int32_t *out) {
    if (v != (double)(int32_t)v)
        return hora_fail(HORA_EUSAGE, "labels hold %g, which is no class; give whole numbers", v);
    *out = (int32_t)v;
    return HORA_OK;
}

/* The segment of sample i; its labels as the task has them. */
static hora_status segment(const hora_forward *f, const hora_forward_batch *b, int64_t i, words *w,
                           hora_segment *out) {
    const hora_objective *o = f->objective;
    const int64_t t = length(f, b);
    const hora_label_kind kind = o->task->labels;
    const double *labels = b->labels + i * b->per;
    *out = (hora_segment){
        .from = i * t, .n = t, .skip = slots(f, b), .ids = b->ids ? b->ids + i * b->t : NULL};
    if (kind == HORA_LABELS_NUMBER || o->loss == HORA_LOSS_BCE) {
        for (int64_t k = 0; k < b->per; k++) {
            w->numbers[k] = (float)labels[k];
            if (labels[k] > 0.5)
                w->classes[out->labels++] = (int32_t)k;
        }
    } else {
        for (int64_t k = 0; k < b->per; k++) {
            HORA_TRY(whole_label(labels[k], &w->classes[k]));
            w->mask[k] = w->classes[k] != IGNORED;
            w->classes[k] = w->mask[k] ? w->classes[k] : -1;
            w->ids[k] = w->classes[k] > 0 ? w->classes[k] : 0;
        }
        out->labels = b->per;
    }
    out->classes = w->classes;
    out->numbers = w->numbers;
    out->tags = w->classes;
    if (kind == HORA_LABELS_NONE) { /* the labels are what is to be predicted */
        out->ids = w->ids;
        out->mask = w->mask;
    }
    return HORA_OK;
}

/* The classes of the pixels of a picture, into its pieces. */
static hora_status put_classes(const hora_forward *f, const hora_segment *s, hora_batch *l) {
    const hora_vision *v = f->base->vision;
    const hora_mesh m = hora_segment_mesh(f->objective, v);
    const int64_t one = m.side * m.side;
    int32_t *to = l->pixels + s->from * one;
    for (int64_t i = 0; i < s->n * one; i++)
        to[i] = -1;
    for (int64_t y = 0; y < m.high * m.side; y++)
        for (int64_t x = 0; x < m.wide * m.side; x++) {
            const int32_t k = s->tags[y * v->width + x];
            if (k >= f->objective->classes || k < -1)
                return hora_fail(HORA_EUSAGE,
                                 "labels hold %d, but the model has %lld classes; use -100 for "
                                 "pixels that do not count",
                                 k, (long long)f->objective->classes);
            to[hora_mesh_pixel(&m, y, x)] = k;
        }
    return HORA_OK;
}

static bool counts(const hora_objective *o, const hora_segment *s) {
    return o->task->labels != HORA_LABELS_CLASS || o->loss == HORA_LOSS_BCE || s->classes[0] >= 0;
}

/* Rows of adapters stand in front of what is padded: a hole between them and the tokens. */
static hora_status check_front(int64_t front, int64_t first, int64_t i) {
    return front && first
               ? hora_fail(HORA_EUNSUPPORTED,
                           "sample %lld is padded on the left, where the adapter puts its prompts; "
                           "pad on the right",
                           (long long)i)
               : HORA_OK;
}

hora_status hora_forward_fill(const hora_forward *f, const hora_forward_batch *b, hora_batch *l) {
    const hora_objective *o = f->objective;
    hora_data_rule rule = o->rule;
    const int64_t t = length(f, b);
    words w = words_new(b, t);
    hora_status st = HORA_OK;
    rule.own = o;
    l->rows = l->tokens = b->b * t;
    l->supervised = 0;
    for (int64_t i = 0; i < b->b && !st; i++) {
        int64_t s = 0, e = t;
        const int64_t front = slots(f, b);
        hora_segment seg = {.from = i * t, .n = t};
        if (l->weight)
            hora_targets_none(l, &seg);
        if (b->pixels.at)
            put_pixels(b, f->base, i, l);
        else if (!(st = kept(b, i, &s, &e)) && !(st = check_front(front, s, i)))
            st = put_ids(f, b, i, l);
        if (!st)
            rule.ranges(l, seg.from, t, seg.from + s, seg.from + (b->pixels.at ? e : front + e));
        if (!st && b->pixels.at)
            hora_vision_ranges(f->base->vision, seg.from, l->lo + seg.from, l->hi + seg.from);
        if (!st && b->labels)
            st = segment(f, b, i, &w, &seg);
        if (!st && b->labels && l->pixels)
            st = put_classes(f, &seg, l);
        if (!st && b->labels && counts(o, &seg)) {
            seg.n = is_pooled(o) && !b->pixels.at ? front + pooled_length(o, b, e) : t;
            l->supervised += rule.targets(&rule, &seg, l).rows;
        }
    }
    words_release(&w);
    return st ? st : hora_objective_check(o, f->base, l);
}

static hora_status check_labels(const hora_forward *f, const hora_forward_batch *b) {
    const hora_objective *o = f->objective;
    if (o->task->body)
        return hora_fail(HORA_EUSAGE, "labels mean nothing to the task %s here; leave them out",
                         o->task->name);
    const bool pooled = is_pooled(o), several = o->loss != HORA_LOSS_XENT;
    const int64_t pixels =
        o->task->labels == HORA_LABELS_PIXELS ? b->pixels.height * b->pixels.width : 0;
    const int64_t want = pixels ? pixels : !pooled ? b->t : several ? o->classes : 1;
    if (b->per == want)
        return HORA_OK;
    if (pixels)
        return hora_fail(HORA_ESHAPE,
                         "a picture has %lld labels, but %lld pixels; give each pixel a class",
                         (long long)b->per, (long long)pixels);
    if (!pooled)
        return hora_fail(
            HORA_ESHAPE,
            "labels are [%lld, %lld], but input_ids is [%lld, %lld]; give both one shape",
            (long long)b->b, (long long)b->per, (long long)b->b, (long long)b->t);
    return hora_fail(HORA_ESHAPE, "a sample has %lld labels, but %s takes %lld of each",
                     (long long)b->per, o->task->name, (long long)want);
}

static hora_status check(const hora_forward *f, const hora_forward_batch *b) {
    const int64_t most = b->pixels.at ? 0 : f->base->max_positions;
    HORA_TRY(hora_forward_fit(f, b));
    if (b->b < 1 || length(f, b) < 1)
        return hora_fail(HORA_EUSAGE, "the batch is empty; give at least one token");
    const int64_t front = hora_adapters_front(f->adapters, f->nadapters);
    if (most > 0 && b->t + front > most)
        return hora_fail(HORA_EUSAGE,
                         "the batch is %lld rows long, but the model has %lld positions; cut it to "
                         "%lld tokens",
                         (long long)(b->t + front), (long long)most,
                         (long long)hora_max(most - front, 0));
    if (f->grads && !b->labels)
        return hora_fail(HORA_EUSAGE, "gradients need a loss; add `labels` to the batch");
    return b->labels ? check_labels(f, b) : HORA_OK;
}

/* --- the pass --------------------------------------------------------------------------------- */
hora_shape hora_forward_logits(const hora_forward *f, const hora_forward_batch *b) {
    const hora_objective *o = f->objective ? f->objective : hora_objective_causal();
    if (!o->task->head)
        return HORA_SHAPE3(b->b, b->t, f->base->vocab);
    if (o->task->labels == HORA_LABELS_PIXELS)
        return HORA_SHAPE3(b->b, length(f, b), (o->upsampled ? 4 : 1) * o->classes);
    return is_pooled(o) ? HORA_SHAPE2(b->b, o->classes) : HORA_SHAPE3(b->b, b->t, o->classes);
}

hora_shape hora_forward_hidden(const hora_forward *f, const hora_forward_batch *b) {
    return HORA_SHAPE3(b->b, length(f, b) - slots(f, b), f->base->hidden);
}

/* Rows of all samples without those of adapters in front. */
static hora_status take_tokens(const hora_forward *f, const hora_forward_batch *b,
                               const hora_view *z, float *to) {
    const int64_t width = hora_row_elems(&z->shape), t = length(f, b), front = slots(f, b);
    const int64_t n = (t - front) * width;
    for (int64_t i = 0; i < b->b; i++)
        HORA_TRY(hora_convert(to + i * n, HORA_F32,
                              (const char *)z->data +
                                  (size_t)((i * t + front) * width) * hora_dtype_size(z->dtype),
                              z->dtype, n));
    return HORA_OK;
}

/* Rows of logits that are asked for: all, or the one where each sample is pooled. */
static hora_status take_logits(hora_forward *f, const hora_forward_batch *b, const hora_view *z) {
    const int64_t width = hora_row_elems(&z->shape);
    const size_t size = hora_dtype_size(z->dtype);
    const int64_t t = length(f, b), front = slots(f, b);
    if (!is_pooled(f->objective))
        return take_tokens(f, b, z, f->logits);
    for (int64_t i = 0; i < b->b; i++) {
        int64_t s, e = t;
        hora_segment seg = {.from = i * t, .n = t, .skip = front};
        if (!b->pixels.at) {
            HORA_TRY(kept(b, i, &s, &e));
            seg.n = front + pooled_length(f->objective, b, e);
            seg.ids = b->ids + i * b->t;
        }
        const int64_t row = hora_pooled_row(f->objective, &seg);
        HORA_TRY(hora_convert(f->logits + i * width, HORA_F32,
                              (const char *)z->data + (size_t)(row * width) * size, z->dtype,
                              width));
    }
    return HORA_OK;
}

static hora_status take_hidden(hora_forward *f, const hora_forward_batch *b, const hora_view *h) {
    return take_tokens(f, b, h, f->hidden);
}

/* An output, through memory of the host where it lies elsewhere. */
static hora_status
fetch_rows(const hora_recording *r, hora_forward *f, hora_t t, const hora_forward_batch *b,
           hora_status (*take)(hora_forward *, const hora_forward_batch *, const hora_view *)) {
    hora_view z = *hora_graph_view(r->g, t);
    if (hora_device_is_host(f->device))
        return take(f, b, &z);
    const size_t bytes = hora_view_bytes(&z);
    HORA_TRY(hora_block_new(&z.data, bytes, "outputs (give a smaller batch)"));
    hora_graph_get(r->g, t, z.data);
    hora_status s = take(f, b, &z);
    hora_block_free(z.data, bytes);
    return s;
}

/* --- what each block gives -------------------------------------------------------------------- */
typedef struct watch {
    hora_adapter spy; /* the last of all: it sees what the others made */
    hora_t *at;       /* per layer; NULL: nobody asks */
    hora_adapter **all;
} watch;

static hora_t look(hora_net *n, hora_adapter *a, int layer, hora_where where, const hora_sub *s) {
    if (where == HORA_BLOCK_OUT) {
        ((watch *)a->state)->at[layer] = s->y;
        hora_graph_output(n->g, s->y);
    }
    return s->y;
}

static void watch_open(watch *w, const hora_forward *f) {
    static const hora_hooks hooks = {.block = look};
    *w = (watch){.spy = {.hooks = &hooks, .base = f->base, .enabled = true, .weight = 1}};
    if (!f->blocks)
        return;
    w->at = hora_calloc((size_t)f->base->layers + 1, sizeof *w->at);
    w->all = hora_calloc((size_t)f->nadapters + 1, sizeof *w->all);
    for (int i = 0; i < f->nadapters; i++)
        w->all[i] = f->adapters[i];
    w->spy.state = w;
    w->all[f->nadapters] = &w->spy;
}

static hora_status watch_fetch(const watch *w, const hora_recording *r, hora_forward *f,
                               const hora_forward_batch *b) {
    const hora_shape shape = hora_forward_hidden(f, b);
    const int64_t n = hora_shape_elems(&shape);
    for (int64_t i = 0; f->blocks && i < f->base->layers; i++) {
        const hora_view *v = hora_graph_view(r->g, w->at[i]);
        void *raw = hora_malloc(hora_view_bytes(v));
        hora_graph_get(r->g, w->at[i], raw);
        const hora_status s = hora_convert(f->blocks + i * n, HORA_F32, raw, v->dtype, n);
        hora_free(raw);
        HORA_TRY(s);
    }
    return HORA_OK;
}

/* What the device computed, where the host reads it. */
static hora_status fetch(const hora_recording *r, hora_forward *f, const hora_outputs *o,
                         const hora_forward_batch *b) {
    HORA_TRY(hora_graph_sync(r->g));
    for (int a = 0; f->grads && a < f->nadapters; a++)
        for (int i = 0; i < f->adapters[a]->nparams; i++) {
            const hora_param *p = f->adapters[a]->params[i];
            hora_device_pull(f->device, p->grad,
                             (size_t)p->elems * hora_dtype_size(f->adapters[a]->dtype));
        }
    f->loss = o->want_loss ? hora_graph_scalar(r->g, o->loss) : 0;
    if (f->hidden)
        HORA_TRY(fetch_rows(r, f, o->hidden, b, take_hidden));
    return f->logits ? fetch_rows(r, f, o->logits, b, take_logits) : HORA_OK;
}

static hora_status pass(hora_forward *f, const hora_forward_batch *b) {
    hora_recording r = {0};
    hora_batch l = {0};
    const bool labels = b->labels != NULL;
    hora_outputs o = {.objective = f->objective,
                      .want_logits = f->logits,
                      .want_hidden = f->hidden,
                      .want_loss = labels,
                      .differentiate = labels};
    watch w;
    watch_open(&w, f);
    const hora_recording_parts parts = {.base = f->base,
                                        .adapters = w.all ? w.all : f->adapters,
                                        .nadapters = f->nadapters + (w.all != NULL),
                                        .device = f->device,
                                        .rows = b->b * length(f, b),
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &o};
    hora_recording_init(&r, &parts);
    r.backward = f->grads;
    hora_status s;
    HORA_TRY_OUT(s, hora_graph_plan(r.g, &(hora_plan_options){.backward = f->grads}));
    const hora_leaves leaves = hora_graph_leaves(r.g);
    HORA_TRY_OUT(s, hora_batch_init(&l, b->b * length(f, b), &leaves));
    HORA_TRY_OUT(s, hora_forward_fill(f, b, &l));
    if (labels && !l.supervised) {
        s = hora_fail(HORA_EUSAGE,
                      "no label counts, so there is no loss; give a label other than "
                      "-100%s",
                      f->objective->task->head ? "" : " behind the first token of a sample");
        goto out;
    }
    HORA_TRY_OUT(
        s, hora_recordings_prepare((hora_recording *[]){&r}, 1, "one pass (give a smaller batch)"));
    l.scale = l.supervised ? 1.0 / (double)l.supervised : 0;
    hora_recording_run(&r, &l);
    s = fetch(&r, f, &o, b);
    if (s == HORA_OK)
        s = watch_fetch(&w, &r, f, b);
out:
    hora_recording_release(&r);
    hora_free(w.at);
    hora_free(w.all);
    hora_batch_release(&l);
    return s;
}

/* What is not finite is no result. */
static hora_status check_result(const hora_forward *f, const hora_forward_batch *b) {
    const hora_shape shape = hora_forward_logits(f, b);
    const int64_t n = f->logits ? hora_shape_elems(&shape) : 0, width = shape.d[shape.n - 1];
    const int64_t rows = shape.n == 3 ? shape.d[1] : 1; /* of a sample */
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(f->logits[i]))
            return hora_fail(HORA_ENUMERIC,
                             "the logits of sample %lld, token %lld are not finite (%g); the model "
                             "or the adapter holds such numbers, or the batch makes them",
                             (long long)(i / (rows * width)) + 1, (long long)(i / width % rows) + 1,
                             (double)f->logits[i]);
    if (b->labels && !isfinite(f->loss))
        return hora_fail(HORA_ENUMERIC,
                         "the loss is %g; the model or the adapter holds numbers that are not "
                         "finite, or the batch makes them",
                         f->loss);
    for (int a = 0; a < f->nadapters && f->grads; a++)
        HORA_TRY(hora_adapter_finite(f->adapters[a], true));
    return HORA_OK;
}

hora_status hora_forward_run(hora_forward *f, const hora_forward_batch *b) {
    if (!f->objective)
        f->objective = hora_objective_causal();
    HORA_TRY(check(f, b));
    HORA_TRY(pass(f, b));
    return check_result(f, b);
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

static hora_shape shape_of(const hora_forward_batch *b) {
    const hora_pixels *p = &b->pixels;
    return p->frames > 1 ? (hora_shape){5, {b->b, p->frames, p->channels, p->height, p->width}}
                         : (hora_shape){4, {b->b, p->channels, p->height, p->width}};
}

hora_status hora_forward_save(const hora_forward *f, const hora_forward_batch *b,
                              const char *path) {
    hora_st_entry *e = NULL;
    int n = 0, cap = 0, fixed;
    double loss = f->loss;
    if (f->logits)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){
                      "logits", {f->logits, HORA_F32, hora_forward_logits(f, b)}, HORA_F32}));
    if (b->labels)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){"loss", {&loss, HORA_F64, HORA_SHAPE1(1)}, HORA_F32}));
    if (f->hidden)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){"last_hidden_state",
                                   {f->hidden, HORA_F32, hora_forward_hidden(f, b)},
                                   HORA_F32}));
    if (b->pixels.at)
        HORA_PUSH(
            e, n, cap,
            ((hora_st_entry){"pixel_values", {b->pixels.at, HORA_F32, shape_of(b)}, HORA_F32}));
    if (f->embedding)
        HORA_PUSH(e, n, cap,
                  ((hora_st_entry){"embedding",
                                   {f->embedding, HORA_F32, HORA_SHAPE2(b->b, f->base->hidden)},
                                   HORA_F32}));
    fixed = n;
    for (int a = 0; a < f->nadapters && f->grads; a++)
        for (int i = 0; i < f->adapters[a]->nparams; i++) {
            const hora_param *p = f->adapters[a]->params[i];
            const char *own = hora_param_file_name(p);
            char *name = a ? hora_format("grad.%s/%s", f->adapters[a]->name, own)
                           : hora_format("grad.%s", own);
            HORA_PUSH(
                e, n, cap,
                ((hora_st_entry){name, {p->grad, f->adapters[a]->dtype, p->shape}, HORA_F32}));
        }
    hora_status s = hora_st_write_marked(path, e, n, "forward");
    for (int i = fixed; i < n; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
    return s;
}
