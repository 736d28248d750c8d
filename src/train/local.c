/*
 * Local steps, as DiLoCo has them (arXiv 2311.08105): between two meetings each rank, a worker,
 * trains alone on its share of every step, with its own optimizer's moments. At a meeting, every
 * sync_every steps and after the last one,
 *
 *   d <- mean over the workers of (anchor - p)         the anchor is where all stood before
 *   v <- momentum v + d
 *   anchor, p <- anchor - lr (d + momentum v)          Nesterov's, as torch.optim.SGD writes it
 *
 * The mean is added along the fixed tree, so a run repeats to the bit; but another number of
 * workers is another run.
 */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "format/safetensors.h"
#include "train/train_impl.h"

struct hora_local {
    hora_tree *tree;
    float *anchor, *velocity; /* laid out as gradients are */
    bool anchored;
    char **kept; /* state of each worker, collected or read; NULL: not there */
};

bool hora_local_on(const hora_training *t) {
    return t->config.sync_every > 0;
}

uint64_t hora_local_bytes(const hora_training *t) {
    const int rank = hora_comm_rank(t->parts.comm), ranks = hora_comm_size(t->parts.comm);
    return 2 * hora_state_bytes(&t->state) + hora_tree_bytes(t->state.elems, ranks, rank, ranks);
}

hora_status hora_local_check(const hora_training *t) {
    const int ranks = hora_comm_size(t->parts.comm);
    if (!hora_local_on(t))
        return HORA_OK;
    if (!hora_device_is_host(t->parts.device))
        return hora_fail(HORA_EUNSUPPORTED,
                         "sync_every: local steps are done on processors; take --device host");
    if (ranks > t->config.grad_accum)
        return hora_fail(HORA_EUSAGE,
                         "sync_every: %d workers, but a step has %lld micro-batches, and each "
                         "worker needs one: start fewer, or raise --grad-accum",
                         ranks, (long long)t->config.grad_accum);
    for (int i = 0; i < t->parts.nadapters; i++)
        if (t->parts.adapters[i]->method->stepped || t->parts.adapters[i]->method->choose)
            return hora_fail(HORA_EUNSUPPORTED,
                             "sync_every: method %s changes its parameters between steps by what "
                             "it sees there, and every worker would see something else; leave "
                             "sync_every out",
                             t->parts.adapters[i]->method->name);
    return HORA_OK;
}

hora_status hora_local_new(hora_training *t) {
    const size_t bytes = hora_state_bytes(&t->state);
    if (!hora_local_on(t))
        return HORA_OK;
    hora_local *l = t->local = hora_calloc(1, sizeof *l);
    void *p;
    HORA_TRY(hora_block_new(&p, bytes, "values before local steps"));
    l->anchor = p;
    HORA_TRY(hora_block_new(&p, bytes, "momentum of the meetings"));
    l->velocity = p;
    const hora_sum_span all = {t->state.grad, t->state.elems};
    HORA_TRY(hora_tree_new(&l->tree, t->parts.comm, &all, 1));
    return hora_tree_reserve(l->tree, hora_comm_size(t->parts.comm));
}

static void forget_kept(hora_training *t) {
    const int ranks = hora_comm_size(t->parts.comm);
    for (int r = 0; t->local->kept && r < ranks; r++)
        hora_free(t->local->kept[r]);
    hora_free(t->local->kept);
    t->local->kept = NULL;
}

void hora_local_free(hora_training *t) {
    const size_t bytes = hora_state_bytes(&t->state);
    hora_local *l = t->local;
    if (!l)
        return;
    forget_kept(t);
    hora_tree_free(l->tree);
    if (l->anchor)
        hora_block_free(l->anchor, bytes);
    if (l->velocity)
        hora_block_free(l->velocity, bytes);
    hora_free(l);
    t->local = NULL;
}

/* --- meeting ---------------------------------------------------------------------------------- */
bool hora_local_meets(const hora_training *t, int64_t step) {
    return !hora_local_on(t) || step % t->config.sync_every == 0 || step == t->shape.steps;
}

/* f(slot's values, offset in spans, how many, least) of every parameter that trains. */
static void each_value(hora_training *t,
                       void (*f)(hora_training *t, float *p, int64_t at, int64_t n, float least)) {
    for (int i = 0; i < t->state.nslots; i++) {
        const hora_state_slot *s = &t->state.slots[i];
        if (!s->p->fixed)
            f(t, s->p->value, s->offset, s->p->elems, (float)s->p->least);
    }
}

static void put_anchor(hora_training *t, float *p, int64_t at, int64_t n, float least) {
    (void)least;
    memcpy(t->local->anchor + at, p, (size_t)n * sizeof *p);
}

void hora_local_begin(hora_training *t) {
    if (!hora_local_on(t) || t->local->anchored)
        return;
    each_value(t, put_anchor);
    t->local->anchored = true;
}

static void put_difference(hora_training *t, float *p, int64_t at, int64_t n, float least) {
    (void)least;
    for (int64_t i = 0; i < n; i++)
        t->state.grad[at + i] = t->local->anchor[at + i] - p[i];
}

static void take_step(hora_training *t, float *p, int64_t at, int64_t n, float least) {
    const float mean = (float)(1.0 / hora_comm_size(t->parts.comm));
    const float lr = (float)t->config.outer_lr, mu = (float)t->config.outer_momentum;
    float *anchor = t->local->anchor + at, *v = t->local->velocity + at;
    for (int64_t i = 0; i < n; i++) {
        const float d = t->state.grad[at + i] * mean;
        v[i] = mu * v[i] + d;
        const float next = anchor[i] - lr * (d + mu * v[i]);
        p[i] = anchor[i] = next < least ? least : next;
    }
}

hora_status hora_local_meet(hora_training *t) {
    if (!hora_local_on(t) || !hora_local_meets(t, t->step))
        return HORA_OK;
    each_value(t, put_difference);
    hora_tree_begin(t->local->tree, hora_comm_size(t->parts.comm));
    hora_tree_leaf(t->local->tree);
    HORA_TRY(hora_tree_sum(t->local->tree));
    each_value(t, take_step);
    return HORA_OK;
}

/* --- what a checkpoint holds of the workers --------------------------------------------------- */
static size_t worker_bytes(const hora_training *t) {
    size_t bytes = (size_t)t->state.optimizer->moments * hora_state_bytes(&t->state);
    for (int i = 0; i < t->parts.nadapters; i++)
        bytes += t->parts.adapters[i]->value_bytes;
    return bytes;
}

/* This worker's values and moments to a buffer, or from it. */
static void copy_own(hora_training *t, char *buffer, bool out) {
    for (int i = 0; i < t->parts.nadapters + t->state.optimizer->moments; i++) {
        const int k = i - t->parts.nadapters;
        void *own = k < 0 ? t->parts.adapters[i]->values : (void *)t->state.moment[k];
        const size_t n = k < 0 ? t->parts.adapters[i]->value_bytes : hora_state_bytes(&t->state);
        memcpy(out ? buffer : own, out ? own : buffer, n);
        buffer += n;
    }
}

static char *keep(hora_training *t, int rank) {
    hora_local *l = t->local;
    if (!l->kept)
        l->kept = hora_calloc((size_t)hora_comm_size(t->parts.comm), sizeof *l->kept);
    if (!l->kept[rank])
        l->kept[rank] = hora_malloc(worker_bytes(t) + 1);
    return l->kept[rank];
}

hora_status hora_training_collect(hora_training *t) {
    hora_comm *c = t->parts.comm;
    const int self = hora_comm_rank(c);
    if (!hora_local_on(t))
        return HORA_OK;
    hora_local_begin(t);
    for (int r = 0; r < hora_comm_size(c); r++) {
        char *at = self == r || self == 0 ? keep(t, r) : NULL;
        if (self == r)
            copy_own(t, at, true);
        HORA_TRY(hora_comm_hand(c, r, 0, at, worker_bytes(t)));
    }
    return HORA_OK;
}

hora_status hora_local_share(hora_training *t) {
    hora_comm *c = t->parts.comm;
    const int self = hora_comm_rank(c);
    hora_local *l = t->local;
    int64_t read = hora_local_on(t) && l->anchored;
    if (!hora_local_on(t))
        return HORA_OK;
    HORA_TRY(hora_comm_broadcast(c, &read, sizeof read));
    if (!read)
        return HORA_OK;
    HORA_TRY(hora_comm_broadcast(c, l->anchor, hora_state_bytes(&t->state)));
    HORA_TRY(hora_comm_broadcast(c, l->velocity, hora_state_bytes(&t->state)));
    for (int r = 0; r < hora_comm_size(c); r++) {
        char *at = self == r || self == 0 ? keep(t, r) : NULL;
        HORA_TRY(hora_comm_hand(c, 0, r, at, worker_bytes(t)));
        if (self == r)
            copy_own(t, at, false);
    }
    l->anchored = true;
    forget_kept(t);
    return HORA_OK;
}

static const char file_name[] = "workers.safetensors";

/* Tensors of the file: spans of all, then what each worker keeps. */
static hora_st_entry *entries(hora_training *t, int *n) {
    const int ranks = hora_comm_size(t->parts.comm);
    hora_st_entry *e = hora_calloc((size_t)ranks + 2, sizeof *e);
    const hora_shape span = HORA_SHAPE1(t->state.elems),
                     worker = HORA_SHAPE1((int64_t)(worker_bytes(t) / sizeof(float)));
    e[0] = (hora_st_entry){hora_strdup("anchor"), {t->local->anchor, HORA_F32, span}, HORA_F32};
    e[1] = (hora_st_entry){hora_strdup("velocity"), {t->local->velocity, HORA_F32, span}, HORA_F32};
    for (int r = 0; r < ranks; r++)
        e[2 + r] =
            (hora_st_entry){hora_format("worker %d", r), {keep(t, r), HORA_F32, worker}, HORA_F32};
    *n = ranks + 2;
    return e;
}

static void free_entries(hora_st_entry *e, int n) {
    for (int i = 0; i < n; i++)
        hora_free((char *)e[i].name);
    hora_free(e);
}

hora_status hora_local_write(hora_training *t, const char *dir) {
    int n;
    if (!hora_local_on(t))
        return HORA_OK;
    if (hora_comm_size(t->parts.comm) == 1)
        HORA_TRY(hora_training_collect(t));
    HORA_ASSERT(t->local->kept); /* hora_training_collect comes first */
    hora_st_entry *e = entries(t, &n);
    char *path = hora_path_join(dir, file_name);
    const hora_status s = hora_st_write(path, e, n, NULL, 0);
    hora_free(path);
    free_entries(e, n);
    forget_kept(t);
    return s;
}

hora_status hora_local_read(hora_training *t, const char *dir) {
    hora_st *st;
    int n;
    if (!hora_local_on(t))
        return HORA_OK;
    char *path = hora_path_join(dir, file_name);
    hora_status s = hora_st_open(&st, path);
    if (s) {
        hora_free(path);
        return s;
    }
    hora_st_entry *e = entries(t, &n);
    for (int i = 0; i < n && !s; i++) {
        const hora_st_tensor *x = hora_st_find(st, e[i].name);
        if (x && x->view.dtype == HORA_F32 && hora_shape_equal(&x->view.shape, &e[i].view.shape))
            memcpy(e[i].view.data, x->view.data, hora_view_bytes(&x->view));
        else
            s = hora_fail(HORA_EMISMATCH,
                          "%s: %s is missing or of another shape; resume with as many ranks as it "
                          "was written by",
                          path, e[i].name);
    }
    free_entries(e, n);
    hora_st_close(st);
    hora_free(path);
    t->local->anchored = !s;
    if (!s)
        copy_own(t, keep(t, 0), false);
    return s;
}
