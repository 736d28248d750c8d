/*
 * One training step, the readable heart of the project:
 *
 *   take k micro-batches; the number of their supervised tokens is known beforehand
 *   before        what depends on parameters alone (generators), forward, once
 *   body          forward and backward of each micro-batch; gradients add up
 *   after         backward of `before`, once
 *   clip          one norm over all gradients, in fixed order
 *   update        optimizer, schedule, counters; what methods do between steps
 *
 * Micro-batches are added along a fixed binary tree (comm/tree.h), so that it does not matter how
 * many ranks share them. The loss is scaled by c = 1 / supervised tokens of the whole step, so k
 * micro-batches of b sequences equal one of k b. Nothing is allocated here. Nothing is updated when
 * a number is not finite.
 */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "train/train_impl.h"

void hora_training_sequences(const hora_training *t, int64_t step, int64_t *first, int64_t *n) {
    int64_t per_step = t->config.batch_size * t->config.grad_accum;
    *first = hora_min(step * per_step, t->limit);
    *n = hora_min(per_step, t->limit - *first);
}

double hora_training_lr(const hora_training *t) {
    return t->lr * hora_schedule_factor(hora_schedule_at(t->config.schedule), &t->shape, t->step);
}

/* Which blocks train in this step. */
static void choose(hora_training *t) {
    hora_adapter *a = t->chooser;
    if (!a)
        return;
    a->method->choose(a, t->trains, t->skipped);
    for (int i = 0; i < t->nchosen; i++)
        t->chosen[i] = t->param_layer[i] < 0 || t->trains[t->param_layer[i]];
    hora_graph_choose(t->train.g, t->chosen);
    hora_state_choose(&t->state, t->trains, t->skipped);
}

/* supervised: of what the gradient is the mean of: the whole step, or this rank's share. */
static void begin(hora_training *t, hora_step_tally *a, int64_t supervised) {
    hora_local_begin(t);
    *a = (hora_step_tally){.started = hora_now(),
                           .scale = supervised ? 1.0 / (double)supervised : 0,
                           .weight = 1,
                           .counts = supervised,
                           .work = {[HORA_WORK_ONCE] = 1}};
    a->first = a->bad_sequence = -1;
    choose(t);
    hora_graph_before(t->train.g);
}

static void micro_batch(hora_training *t, hora_step_tally *a, const hora_batch *b, int64_t m) {
    hora_batch pass = *b; /* the leaves stay where they are */
    pass.scale = a->scale;
    pass.seed = (uint64_t)t->config.seed;
    pass.step = (uint64_t)t->step;
    pass.row0 = a->row0;
    /* where a tree adds them up, the gradients of each stand alone */
    hora_graph_body(t->train.g, &pass, t->tree ? 0 : (int)m);
    double loss = a->weight * hora_graph_scalar(t->train.g, t->out.loss);
    if (!isfinite(loss) && a->bad_sequence < 0 && a->first >= 0) {
        a->bad_sequence = a->first + m * t->config.batch_size;
        a->bad_sequences =
            hora_min(t->config.batch_size, a->first + a->sequences - a->bad_sequence);
    }
    a->loss += loss;
    hora_training_say(t, m - a->own, loss);
    if (t->chooser)
        t->chooser->method->watched(t->chooser, t->train.g);
    hora_graph_add_work(t->train.g, b, a->work);
    a->row0 += b->tokens;
    a->tokens += b->tokens;
    a->supervised += b->supervised;
}

static hora_status refuse(const hora_training *t, const hora_step_tally *a, const char *what,
                          double value) {
    char records[300];
    const bool known = a->bad_sequence >= 0;
    hora_name_records(t->parts.train, known ? a->bad_sequence : a->first,
                      known ? a->bad_sequences : a->sequences, false, records, sizeof records);
    return hora_fail(HORA_ENUMERIC,
                     "step %lld: %s is %g%s; nothing was updated. Try a lower lr (it was %g), a "
                     "longer warmup, a smaller clip, or look at these records",
                     (long long)t->step + 1, what, value, records, hora_training_lr(t));
}

static hora_status check(const hora_training *t, const hora_step_tally *a, double norm) {
    double uniform = hora_objective_uniform(t->parts.objective, t->parts.base);
    double first = isnan(t->first_loss) ? a->loss : t->first_loss;
    if (!isfinite(a->loss))
        return refuse(t, a, "the loss", a->loss);
    if (!isfinite(norm))
        return refuse(t, a, "the norm of the gradient", norm);
    if (t->config.explode > 0 && a->loss > t->config.explode * fmax(first, uniform))
        return refuse(t, a, "the loss explodes: it", a->loss);
    return HORA_OK;
}

static void update(hora_training *t, double lr, double norm) {
    const hora_train_config *c = &t->config;
    double scale = c->clip > 0 ? fmin(1, c->clip / (norm + 1e-6)) : 1;
    hora_state_update(&t->state, &(hora_update){.lr = lr,
                                                .beta1 = c->beta1,
                                                .beta2 = c->beta2,
                                                .eps = c->eps,
                                                .momentum = c->momentum,
                                                .scale = scale,
                                                .step = t->step + 1});
}

/* What methods do to their parameters between steps. */
static void stepped(hora_training *t) {
    bool any = false;
    for (int i = 0; i < t->parts.nadapters; i++)
        any |= t->parts.adapters[i]->method->stepped != NULL;
    if (!any)
        return;
    hora_state_pull(&t->state);
    hora_state_pull_gradients(&t->state);
    for (int i = 0; i < t->parts.nadapters; i++) {
        hora_adapter *a = t->parts.adapters[i];
        if (a->method->stepped)
            a->method->stepped(a, t->step + 1, t->shape.steps);
    }
    hora_state_push(&t->state);
}

static hora_status finish(hora_training *t, hora_step_tally *a, hora_step_info *info) {
    hora_graph_after(t->train.g);
    double lr = hora_training_lr(t);
    double norm = hora_state_norm(&t->state);
    HORA_TRY(hora_graph_sync(t->train.g));
    HORA_TRY(check(t, a, norm));
    if (a->counts) {
        update(t, lr, norm);
        stepped(t);
    }
    t->step++;
    HORA_TRY(hora_local_meet(t));
    t->last_loss = a->loss;
    if (isnan(t->first_loss) && a->supervised)
        t->first_loss = a->loss;

    const int ranks = hora_comm_size(t->parts.comm);
    double seconds = hora_now() - a->started;
    *info = (hora_step_info){.step = t->step,
                             .epoch = hora_training_epoch(t),
                             .loss = a->loss,
                             .grad_norm = norm,
                             .lr = lr,
                             .tokens = a->tokens,
                             .supervised = a->supervised,
                             .seconds = seconds,
                             .tok_per_s = seconds > 0 ? (double)a->tokens / seconds : 0,
                             .mem_mib = (double)hora_rss() / (1 << 20),
                             .updated = a->supervised > 0,
                             .ranks = ranks,
                             .slowest = a->slowest,
                             .sync_every = t->config.sync_every,
                             .comm_seconds = a->comm * seconds};
    if (t->report.peak_flops > 0 && seconds > 0)
        info->mfu = hora_graph_flops(t->train.g, a->work) / seconds / t->report.peak_flops / ranks;
    return HORA_OK;
}

/* A step that is not finished leaves nothing: the next overwrites its gradients, and the data go
 * back to where the step began. */
static hora_status abandon(hora_training *t) {
    HORA_TRY(hora_graph_sync(t->train.g));
    HORA_TRY(hora_training_feed(t));
    return hora_training_halted(t);
}

/* The micro-batches of this rank; `given` or, where that is NULL, the next ones of the data. */
static hora_status body(hora_training *t, hora_step_tally *a, const hora_batch *given) {
    if (t->tree)
        hora_tree_begin(t->tree, hora_local_on(t) ? a->owns : a->micro);
    for (int64_t i = 0; i < a->owns && !a->stop; i++) {
        const int64_t m = a->own + i;
        const hora_batch *b = given ? &given[m] : NULL;
        a->stop = hora_training_stopping(t);
        if (a->stop)
            break;
        if (!given)
            HORA_TRY(hora_prefetch_next(t->feed, &b));
        micro_batch(t, a, b, m);
        if (t->tree)
            hora_tree_leaf(t->tree);
    }
    return HORA_OK;
}

static hora_status run(hora_training *t, hora_step_tally *a, const hora_batch *given,
                       hora_step_info *info) {
    HORA_TRY(body(t, a, given));
    HORA_TRY(hora_training_meet(t, a));
    if (a->stop)
        return abandon(t);
    if (t->tree)
        HORA_TRY(hora_tree_sum(t->tree));
    return finish(t, a, info);
}

/* Local steps: the gradient is the mean of this rank's own tokens, and what it says of the loss
 * counts by its share of those of the step. */
static void weigh_share(const hora_training *t, hora_step_tally *a, int64_t own) {
    if (!hora_local_on(t))
        return;
    a->weight = a->counts ? (double)own / (double)a->counts : 0;
    a->scale = own ? 1.0 / (double)own : 0;
    a->counts = own;
}

hora_status hora_training_step(hora_training *t, hora_step_info *info) {
    hora_step_tally a;
    int64_t first, n;
    const int64_t each = t->config.batch_size;
    HORA_ASSERT(t->prepared && t->parts.train);
    if (t->step >= t->shape.steps)
        return HORA_DONE;
    hora_training_sequences(t, t->step, &first, &n);
    begin(t, &a, hora_data_supervised(t->parts.train, first, n, t->limit, false));
    a.first = first;
    a.sequences = n;
    a.micro = hora_ceil_div(n, each);
    hora_part_of(a.micro, hora_comm_rank(t->parts.comm), hora_comm_size(t->parts.comm), &a.own,
                 &a.owns);
    a.row0 = hora_data_tokens(t->parts.train, first, a.own * each, t->limit, false);
    weigh_share(t, &a,
                hora_data_supervised(t->parts.train, first + a.own * each,
                                     hora_min(a.owns * each, n - a.own * each), t->limit, false));
    return run(t, &a, NULL, info);
}

hora_status hora_training_step_on(hora_training *t, const hora_batch *micro, int n,
                                  hora_step_info *info) {
    hora_step_tally a;
    int64_t supervised = 0;
    const int rank = hora_comm_rank(t->parts.comm), ranks = hora_comm_size(t->parts.comm);
    HORA_ASSERT(t->prepared && (ranks == 1 || n <= hora_training_micro(t)));
    if (t->step >= t->shape.steps)
        return HORA_DONE;
    for (int m = 0; m < n; m++)
        supervised += micro[m].supervised;
    if (ranks == 1)
        HORA_TRY(hora_training_sums_of(t, n));
    begin(t, &a, supervised);
    a.micro = n;
    hora_part_of(n, rank, ranks, &a.own, &a.owns);
    for (int64_t m = 0; m < a.own; m++)
        a.row0 += micro[m].tokens;
    int64_t own = 0;
    for (int64_t m = a.own; m < a.own + a.owns; m++)
        own += micro[m].supervised;
    weigh_share(t, &a, own);
    return run(t, &a, micro, info);
}
