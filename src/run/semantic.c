/* The start of LoRA's A in the span of class means: see semantic.h. */
#include "run/semantic.h"

#include <math.h>

#include "base/dense.h"
#include "base/text.h"
#include "model/family.h"

typedef struct site {
    hora_param *a; /* (r, in); NULL: not adapted */
    hora_t x;      /* what it reads */
    double *sum;   /* (classes, in) */
} site;
typedef struct watch {
    const hora_base *base;
    site *site;
    int64_t classes, samples;
    int64_t *count; /* samples of each class */
    float *room;
} watch;

static hora_t linear(hora_net *n, hora_adapter *a, const hora_site *s, hora_t x, hora_t w,
                     hora_t b) {
    const watch *t = a->state;
    site *its = &t->site[s - t->base->sites];
    if (its->a) {
        its->x = x;
        hora_graph_output(n->g, x);
    }
    return hora_net_next(n, s, x, w, b);
}

static int find_sites(watch *t, hora_adapter *const *at, int n) {
    int found = 0;
    for (int i = 0; i < t->base->nsites; i++) {
        char *name = hora_format("base_model.model.%s.lora_A.weight", t->base->sites[i].module);
        for (int k = 0; k < n && !t->site[i].a; k++)
            t->site[i].a = hora_adapter_find(at[k], name);
        found += t->site[i].a != NULL;
        hora_free(name);
    }
    return found;
}

/* A row of in numbers of output x, added `share` times. */
static void add_row(const hora_view *v, const void *x, int64_t row, double share, double *to) {
    const int64_t d = v->shape.d[1];
    for (int64_t k = 0; k < d; k++)
        to[k] += share * hora_value_at(x, v->dtype, row * d + k);
}

/* The class of the sample [from, to): that of its row with a target; -1: none. */
static int32_t class_of(const hora_batch *b, int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++)
        if (b->target[i] >= 0 && b->weight[i] != 0)
            return b->target[i];
    return -1;
}

static int64_t sample_end(const hora_batch *b, int64_t from) {
    int64_t to = from + 1;
    while (to < b->rows && b->lo[to] == b->lo[from] && b->hi[to] > b->lo[to])
        to++;
    return to;
}

static void add_site(const watch *t, const site *s, const hora_graph *g, const hora_batch *b,
                     bool tags) {
    const hora_view *v = hora_graph_view(g, s->x);
    const int64_t d = v->shape.d[1];
    void *x = hora_malloc(hora_view_bytes(v));
    hora_graph_get(g, s->x, x);
    for (int64_t from = 0, to; from < b->rows; from = to) {
        to = sample_end(b, from);
        const int32_t c = class_of(b, from, to);
        for (int64_t i = from; i < to && b->hi[from] > b->lo[from]; i++)
            if (tags && b->target[i] >= 0)
                add_row(v, x, i, 1, s->sum + b->target[i] * d);
            else if (!tags && c >= 0)
                add_row(v, x, i, 1 / (double)(to - from), s->sum + c * d);
    }
    hora_free(x);
    (void)t;
}

static void count(watch *t, const hora_batch *b, bool tags) {
    for (int64_t from = 0, to; from < b->rows; from = to) {
        to = sample_end(b, from);
        const int32_t c = class_of(b, from, to);
        for (int64_t i = from; i < to && b->hi[from] > b->lo[from]; i++)
            if (tags ? b->target[i] >= 0 : c >= 0 && i == from) {
                t->count[tags ? b->target[i] : c]++;
                t->samples++;
            }
    }
}

static hora_status pass(watch *t, hora_recording *r, const hora_dataset *data, int64_t batch_size,
                        bool tags) {
    hora_prefetch *feed = NULL;
    const hora_batch *b;
    hora_status s;
    const hora_leaves leaves = hora_graph_leaves(r->g);
    HORA_TRY(hora_prefetch_new(&feed, data, 0, batch_size, hora_data_about(data)->sequences, true,
                               &leaves, NULL));
    hora_graph_before(r->g);
    while ((s = hora_prefetch_next(feed, &b)) == HORA_OK) {
        hora_batch one = *b;
        one.scale = 1;
        hora_graph_body(r->g, &one, 0);
        count(t, b, tags);
        for (int i = 0; i < t->base->nsites; i++)
            if (t->site[i].a)
                add_site(t, &t->site[i], r->g, b, tags);
    }
    hora_prefetch_free(feed);
    const hora_status device = hora_graph_sync(r->g);
    return s != HORA_DONE ? s : device;
}

/* Sums become means of classes less the mean of all. */
static void centre(const watch *t, const site *s, int64_t d) {
    double *all = hora_calloc((size_t)d, sizeof *all);
    for (int64_t c = 0; c < t->classes; c++)
        for (int64_t k = 0; k < d; k++)
            all[k] += s->sum[c * d + k] / (double)hora_max(t->samples, 1);
    for (int64_t c = 0; c < t->classes; c++)
        for (int64_t k = 0; k < d; k++)
            s->sum[c * d + k] = t->count[c] ? s->sum[c * d + k] / (double)t->count[c] - all[k] : 0;
    hora_free(all);
}

static void put_row(const hora_adapter *ad, hora_param *p, int64_t row, const double *q,
                    int64_t d) {
    double norm = 0;
    for (int64_t k = 0; k < d; k++)
        norm += pow(hora_value_at(p->value, ad->dtype, row * d + k), 2);
    for (int64_t k = 0; k < d; k++) {
        const double v = sqrt(norm) * q[k];
        if (ad->dtype == HORA_F64)
            ((double *)p->value)[row * d + k] = v;
        else
            ((float *)p->value)[row * d + k] = (float)v;
    }
}

/* Gram and Schmidt with the longest remainder first; what is rounding of the first is none. */
static void start_site(const watch *t, const site *s) {
    const int64_t r = s->a->shape.d[0], d = s->a->shape.d[1];
    double first = 0;
    centre(t, s, d);
    for (int64_t row = 0; row < r; row++) {
        int64_t best = 0;
        double most = 0;
        for (int64_t c = 0; c < t->classes; c++) {
            const double n = hora_dense_inner(s->sum + c * d, s->sum + c * d, d);
            best = n > most ? c : best;
            most = fmax(most, n);
        }
        first = row ? first : most;
        if (!(most > 1e-10 * first))
            return;
        double *q = s->sum + best * d, *keep = hora_malloc((size_t)d * sizeof *keep);
        for (int64_t k = 0; k < d; k++)
            keep[k] = q[k] / sqrt(most);
        for (int64_t c = 0; c < t->classes; c++) {
            double *m = s->sum + c * d;
            const double along = hora_dense_inner(keep, m, d);
            for (int64_t k = 0; k < d; k++)
                m[k] -= along * keep[k];
        }
        put_row(s->a->adapter, s->a, row, keep, d);
        hora_free(keep);
    }
}

static void release(watch *t) {
    for (int i = 0; t->site && i < t->base->nsites; i++)
        hora_free(t->site[i].sum);
    hora_free(t->site);
    hora_free(t->count);
}

hora_status hora_semantic_start(hora_adapter *const *at, int n, hora_base *base,
                                const hora_objective *objective, const hora_dataset *data,
                                int64_t seq_len, int64_t batch_size, int *classes) {
    static const hora_hooks hooks = {.linear = linear};
    const bool tags = objective->task->labels == HORA_LABELS_TAG;
    if (!objective->task->head || objective->loss != HORA_LOSS_XENT || !objective->classes)
        return hora_fail(HORA_EUSAGE,
                         "semantic_start: the task has no classes whose means could be "
                         "taken; leave it out, or give a classification task");
    watch t = {.base = base, .classes = objective->classes};
    t.site = hora_calloc((size_t)base->nsites + 1, sizeof *t.site);
    t.count = hora_calloc((size_t)t.classes, sizeof *t.count);
    if (!find_sites(&t, at, n)) {
        release(&t);
        return hora_fail(HORA_EUSAGE, "semantic_start: no LoRA is attached whose A could start; "
                                      "give method lora, or leave it out");
    }
    for (int i = 0; i < base->nsites; i++)
        if (t.site[i].a)
            t.site[i].sum = hora_calloc((size_t)(t.classes * base->sites[i].in), sizeof(double));
    hora_adapter spy = {.hooks = &hooks, .state = &t, .enabled = true, .weight = 1}, *only = &spy;
    hora_outputs o = {.objective = objective, .want_loss = true};
    hora_recording r = {0};
    hora_device *device = NULL;
    hora_status s;
    HORA_TRY_OUT(s, hora_device_open(&device, NULL));
    const hora_recording_parts parts = {.base = base,
                                        .adapters = &only,
                                        .nadapters = 1,
                                        .device = device,
                                        .rows = hora_round_up(batch_size * seq_len, 64),
                                        .mode = HORA_NET_EVAL,
                                        .model = hora_model_record,
                                        .outputs = hora_task_record,
                                        .user = &o};
    HORA_TRY_OUT(s, hora_recording_open(&r, &parts, &(hora_plan_options){0}, "the class means"));
    HORA_TRY_OUT(s, pass(&t, &r, data, batch_size, tags));
    *classes = 0;
    for (int64_t c = 0; c < t.classes; c++)
        *classes += t.count[c] > 0;
    for (int i = 0; i < base->nsites; i++)
        if (t.site[i].a)
            start_site(&t, &t.site[i]);
out:
    hora_recording_release(&r);
    hora_device_free(device);
    release(&t);
    return s;
}
