/*
 * Life of a training: opened (recorded and planned), prepared (memory taken, kernels built), fed,
 * freed. The steps are in step.c.
 */
#include "train/train.h"

#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "model/family.h"
#include "train/train_impl.h"

hora_status hora_training_open(hora_training **out, const hora_training_parts *parts,
                               const hora_train_config *config) {
    *out = NULL;
    hora_training *t = hora_calloc(1, sizeof *t);
    t->parts = *parts;
    t->config = *config;
    t->config.recompute = config->recompute ? hora_strdup(config->recompute) : NULL;
    t->config.backends = config->backends ? hora_strdup(config->backends) : NULL;
    t->config.device = config->device ? hora_strdup(config->device) : NULL;
    t->first_loss = t->last_loss = t->best_loss = NAN;
    if (!t->parts.objective)
        t->parts.objective = hora_objective_causal();
    hora_status s = HORA_OK;
    if (config->device || !t->parts.device) {
        s = hora_device_open(&t->own_device, config->device);
        t->parts.device = t->own_device;
    }
    if (s == HORA_OK)
        s = hora_training_plan(t);
    if (s) {
        hora_training_free(t);
        return s;
    }
    *out = t;
    return HORA_OK;
}

void hora_training_free(hora_training *t) {
    if (!t)
        return;
    for (int a = 0; a < t->parts.nadapters; a++) {
        hora_adapter_refresh(t->parts.adapters[a]);
        t->parts.adapters[a]->refresh = NULL;
    }
    hora_prefetch_free(t->feed);
    hora_recording_release(&t->eval); /* its arena is that of train */
    hora_recording_release(&t->train);
    hora_tree_free(t->tree);
    hora_local_free(t);
    hora_free(t->said);
    hora_free(t->heard);
    hora_state_release(&t->state);
    hora_device_free(t->own_device);
    hora_free(t->config.recompute);
    hora_free(t->config.backends);
    hora_free(t->config.device);
    hora_free(t->evals);
    hora_free(t->trains);
    hora_free(t->chosen);
    hora_free(t->skipped);
    hora_free(t->param_layer);
    hora_free(t);
}

const hora_train_report *hora_training_report(hora_training *t) {
    return &t->report;
}

void hora_training_dump(hora_training *t, hora_str *out) {
    hora_graph_dump(t->train.g, out);
}

hora_device *hora_training_device(hora_training *t) {
    return t->parts.device;
}

hora_graph *hora_training_graph(hora_training *t) {
    return t->train.g;
}

hora_status hora_training_feed(hora_training *t) {
    int64_t first, n;
    hora_prefetch_free(t->feed);
    t->feed = NULL;
    if (!t->parts.train)
        return HORA_OK;
    hora_training_sequences(t, t->step, &first, &n);
    const hora_leaves leaves = hora_graph_leaves(t->train.g);
    const hora_data_share share = {t->config.batch_size * t->config.grad_accum,
                                   hora_comm_rank(t->parts.comm), hora_comm_size(t->parts.comm)};
    return hora_prefetch_new(&t->feed, t->parts.train, first, t->config.batch_size, t->limit, false,
                             &leaves, share.parts > 1 ? &share : NULL);
}

static void forget_weight(void *base, const void *data) {
    hora_base_forget(base, data);
}

static void refresh(void *state) {
    hora_state_pull_values(state);
}

void hora_training_diagnose(const hora_training *t) {
    for (int i = 0; i < t->parts.nadapters; i++) {
        hora_adapter *a = t->parts.adapters[i];
        if (a->method->diagnose)
            a->method->diagnose(a);
    }
}

/* Which blocks the graph's parameters are in; what a step would allocate. */
static void prepare_choice(hora_training *t) {
    const hora_graph *g = t->train.g;
    t->nchosen = hora_graph_params(g);
    t->chosen = hora_calloc((size_t)t->nchosen + 1, sizeof *t->chosen);
    t->param_layer = hora_calloc((size_t)t->nchosen + 1, sizeof *t->param_layer);
    for (int i = 0; i < t->nchosen; i++) {
        void *user;
        hora_graph_param_at(g, i, &user, NULL);
        t->param_layer[i] = ((const hora_param *)user)->layer;
    }
    hora_graph_choose(t->train.g, NULL);
}

/* Ranks of one machine have one copy of what is packed. All of them plan the same packings. */
static hora_status pack_weights(hora_training *t) {
    hora_device *d = t->parts.device;
    const hora_sharing *all = hora_device_is_host(d) ? hora_comm_sharing(t->parts.comm) : NULL;
    hora_device_after_packing(d, forget_weight, t->parts.base);
    if (all)
        hora_device_share(d, all, (size_t)t->report.packed * (size_t)all->parts);
    HORA_TRY(
        hora_recordings_prepare((hora_recording *[]){&t->train, &t->eval}, 2, "the step arena"));
    if (!all)
        return HORA_OK;
    hora_device_share(d, NULL, 0);
    return all->filled(all->user);
}

hora_status hora_training_prepare(hora_training *t) {
    HORA_ASSERT(!t->prepared);
    HORA_TRY(hora_train_report_fits(&t->report));
    for (int a = 0; a < t->parts.nadapters; a++)
        if (!t->parts.adapters[a]->values)
            HORA_TRY(hora_adapter_allocate(t->parts.adapters[a]));
    HORA_TRY(hora_state_allocate(&t->state, t->parts.device));
    HORA_TRY(pack_weights(t));
    HORA_TRY(hora_training_gather_up(t));
    HORA_TRY(hora_local_new(t));
    for (int a = 0; a < t->parts.nadapters && !hora_device_is_host(t->parts.device); a++) {
        t->parts.adapters[a]->refresh = refresh;
        t->parts.adapters[a]->refresh_of = &t->state;
    }
    if (t->chooser)
        prepare_choice(t);
    HORA_TRY(hora_training_feed(t));
    hora_training_diagnose(t);
    t->prepared = true;
    return HORA_OK;
}

double hora_training_epoch(const hora_training *t) {
    int64_t first, n;
    hora_training_sequences(t, t->step, &first, &n);
    return t->report.sequences ? (double)first / (double)t->report.sequences : 0;
}

void hora_training_get(const hora_training *t, hora_training_status *s) {
    int64_t first, n;
    hora_training_sequences(t, t->step, &first, &n);
    *s = (hora_training_status){.step = t->step,
                                .steps = t->shape.steps,
                                .sequences = first,
                                .epoch = hora_training_epoch(t),
                                .lr = hora_training_lr(t),
                                .first_loss = t->first_loss,
                                .last_loss = t->last_loss,
                                .best_loss = t->best_loss,
                                .best_step = t->best_step,
                                .evaluated = t->nevals ? t->evals[t->nevals - 1].step : -1,
                                .worn = hora_training_worn(t),
                                .stopped = hora_training_stopping(t)};
}

void hora_training_watch(hora_training *t, const volatile int *flag) {
    t->watch = flag;
}

bool hora_training_stopping(const hora_training *t) {
    return atomic_load(&t->stop) || (t->watch && *t->watch);
}

hora_status hora_training_halted(const hora_training *t) {
    return hora_fail(HORA_EINTERRUPTED, "stopped after step %lld; save, and resume from there",
                     (long long)t->step);
}

void hora_training_stop(hora_training *t) {
    atomic_store(&t->stop, true);
}
