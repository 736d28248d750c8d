/*
 * The plan of a training: length of the run, recordings, bytes of every arena, what would help
 * when it does not fit. Takes no large memory; `hora plan` is this and the report.
 */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"
#include "model/family.h"
#include "train/train_impl.h"

enum { STAGED = 3 }; /* micro-batches in memory: two ahead and the one in use */

/* "none", "all", "auto" or a number; what gradient_checkpointing says is understood. */
static hora_status parse_recompute(const char *text, int *out) {
    int64_t n;
    bool on;
    if (!text || hora_eq(text, "none"))
        *out = 0;
    else if (hora_eq(text, "all"))
        *out = HORA_RECOMPUTE_ALL;
    else if (hora_eq(text, "auto"))
        *out = HORA_RECOMPUTE_AUTO;
    else if (hora_parse_int(text, &n) && n >= 0 && n < HORA_RECOMPUTE_ALL)
        *out = (int)n;
    else if (hora_parse_bool(text, &on))
        *out = on ? HORA_RECOMPUTE_ALL : 0;
    else
        return hora_fail(HORA_EUSAGE, "option recompute=%s: give none, all, auto or a number",
                         text);
    return HORA_OK;
}

hora_status hora_train_check(const hora_train_config *c) {
    int layers;
    hora_device *d = NULL;
    const char *list = c->backends;
    hora_status s = HORA_OK;
    HORA_TRY(parse_recompute(c->recompute, &layers));
    for (char *word; !s && (word = hora_list_word(&list, HORA_LIST)); hora_free(word))
        if (!hora_backend_named(word))
            s = hora_backend_unknown(word);
    if (!s && c->device) {
        s = hora_device_open(&d, c->device);
        hora_device_free(d);
    }
    return s;
}

static void say_own_rate(hora_train_report *r, const hora_adapter *a) {
    const size_t n = strlen(r->own_lr);
    char lr[32], decay[32];
    if (a->lr > 0 || a->own_decay)
        hora_snprintf(r->own_lr + n, sizeof r->own_lr - n, ", %s%s%s%s%s", a->name,
                      a->lr > 0 ? " " : "", a->lr > 0 ? hora_format_real(lr, a->lr) : "",
                      a->own_decay ? " weight_decay " : "",
                      a->own_decay ? hora_format_real(decay, a->weight_decay) : "");
}

static hora_status measure_run(hora_training *t) {
    const hora_train_config *c = &t->config;
    hora_train_report *r = &t->report;
    r->config_alone = t->parts.base->config_alone;
    r->pictures = t->parts.base->vision != NULL;
    int64_t per_step = c->batch_size * c->grad_accum;
    int64_t sequences = t->parts.train ? hora_data_about(t->parts.train)->sequences : 0;
    double wanted = ceil(c->epochs * (double)sequences);
    if (!c->steps && !sequences)
        return hora_fail(HORA_EUSAGE, "without training data the length is unknown; give steps");
    if (!c->steps && !(wanted < 9e15))
        return hora_fail(HORA_EUSAGE, "epochs=%g is more than can be counted; give less",
                         c->epochs);
    if (c->steps > INT64_MAX / per_step)
        return hora_fail(HORA_EUSAGE, "steps=%lld is more than can be counted; give less",
                         (long long)c->steps);
    t->limit = c->steps ? c->steps * per_step : (int64_t)hora_max(1, (int64_t)wanted);
    r->steps = c->steps ? c->steps : hora_ceil_div(t->limit, per_step);
    r->sequences = sequences;
    r->epochs = sequences ? (double)t->limit / (double)sequences : 0;
    r->batch_size = c->batch_size;
    r->grad_accum = c->grad_accum;
    r->sync_every = c->sync_every;
    r->seq_len = t->parts.seq_len;
    t->lr = c->lr;
    for (int a = 0; a < t->parts.nadapters && t->lr == 0; a++)
        t->lr = t->parts.adapters[a]->method->default_lr;
    for (int a = 0; a < t->parts.nadapters; a++) {
        const hora_adapter *x = t->parts.adapters[a];
        t->lr = t->lr > 0 ? t->lr : x->lr;
        say_own_rate(r, x);
    }
    r->lr = t->lr;
    if (c->min_lr > t->lr && t->lr > 0)
        return hora_fail(HORA_EUSAGE,
                         "min_lr=%g is above the learning rate, %g; the schedule falls to it, so "
                         "give less",
                         c->min_lr, t->lr);
    t->shape = (hora_schedule_shape){.steps = r->steps,
                                     .warmup = hora_schedule_warmup(c->warmup, r->steps),
                                     .decay = (int64_t)ceil(c->decay_share * (double)r->steps),
                                     .floor = t->lr > 0 ? fmin(1, c->min_lr / t->lr) : 0};
    if (r->steps == 1 && t->shape.warmup > 0)
        hora_warn("the only step is the first of the warmup, at a learning rate of 0: nothing is "
                  "learned; give warmup=0, or more steps");
    return HORA_OK;
}

/* The base is open, so `auto` is what it was opened in. */
static hora_status check_dtype(hora_training *t) {
    const hora_dtype base = t->parts.base->dtype;
    if (base != HORA_F32 && base != HORA_BF16)
        return hora_fail(HORA_EUNSUPPORTED,
                         "training computes in f32 or bf16, the model was opened in %s; "
                         "open it with dtype=f32",
                         hora_dtype_name(base));
    if (t->config.dtype != HORA_TRAIN_AUTO && hora_train_dtype(&t->config) != base)
        return hora_fail(HORA_EUSAGE,
                         "dtype=%s was asked for, but the model was opened in %s; open it with "
                         "that dtype",
                         hora_dtype_name(hora_train_dtype(&t->config)), hora_dtype_name(base));
    t->config.dtype = base == HORA_F32 ? HORA_TRAIN_F32 : HORA_TRAIN_BF16;
    return HORA_OK;
}

/* Of the device; what weights take of a device's own memory is not there yet. */
static bool on_host(const hora_training *t) {
    return hora_device_is_host(t->parts.device);
}

/* More ranks than micro-batches: some would wait all the time. */
static hora_status check_ranks(hora_training *t) {
    const int64_t ranks = hora_comm_size(t->parts.comm), each = t->config.batch_size;
    const int64_t step_sequences = each * t->config.grad_accum;
    t->report.ranks = (int)ranks;
    t->report.neighbours = hora_comm_node_size(t->parts.comm);
    if (ranks == 1)
        return HORA_OK;
    if (!on_host(t))
        return hora_fail(HORA_EUNSUPPORTED,
                         "several ranks train on processors only: take --device host, or start one "
                         "rank for the GPU");
    if (ranks > step_sequences)
        return hora_fail(
            HORA_EUSAGE,
            "%lld ranks, but a step has %lld x %lld sequences: start at most %lld ranks, or "
            "raise --grad-accum",
            (long long)ranks, (long long)t->config.grad_accum, (long long)each,
            (long long)step_sequences);
    if (ranks > t->config.grad_accum && hora_comm_leads(t->parts.comm))
        hora_warn("%lld ranks share the %lld micro-batches of a step: %lld of them have nothing to "
                  "do; --batch-size %lld --grad-accum %lld gives all of them work",
                  (long long)ranks, (long long)t->config.grad_accum,
                  (long long)(ranks - t->config.grad_accum),
                  (long long)hora_max(1, step_sequences / ranks),
                  (long long)hora_ceil_div(step_sequences, hora_max(1, step_sequences / ranks)));
    return HORA_OK;
}

static hora_status find_chooser(hora_training *t) {
    const size_t layers = (size_t)t->parts.base->layers + 1;
    for (int i = 0; i < t->parts.nadapters; i++) {
        hora_adapter *a = t->parts.adapters[i];
        if (!a->method->choose)
            continue;
        if (t->chooser)
            return hora_fail(HORA_EUSAGE,
                             "adapters `%s` and `%s` both choose the blocks that train; leave it "
                             "to one",
                             t->chooser->name, a->name);
        if (!hora_device_is_host(t->parts.device))
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter `%s` chooses the blocks that train between steps, which is "
                             "done on the host alone; take --device host",
                             a->name);
        if (hora_comm_size(t->parts.comm) > 1)
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter `%s` chooses the blocks that train by what it sees of every "
                             "micro-batch, and of several ranks each sees but its own; start one "
                             "rank",
                             a->name);
        t->chooser = a;
        t->trains = hora_calloc(layers, sizeof *t->trains);
        t->skipped = hora_calloc(layers, sizeof *t->skipped);
    }
    return HORA_OK;
}

/* Which adapter each record is for. */
static hora_status route(const hora_training_parts *p) {
    const char **tasks = hora_calloc((size_t)p->nadapters + 1, sizeof *tasks);
    const int count = hora_adapters_tasks(p->adapters, p->nadapters, tasks);
    hora_status s = hora_route_data(p->adapters, p->nadapters, p->train);
    if (!s)
        s = hora_route_data(p->adapters, p->nadapters, p->eval);
    for (int k = 0; k < count && p->train && !s; k++) {
        hora_dataset *part;
        hora_data_of_task(&part, p->train, k);
        if (!part)
            hora_warn("task `%s` has no training records: its adapter stays as it starts",
                      tasks[k]);
        hora_dataset_close(part);
    }
    hora_free(tasks);
    return s;
}

/* Dropout that is asked for is there; what of it is not computed is said. */
static hora_status check_drops(const hora_training *t) {
    const hora_base *b = t->parts.base;
    double weights = 0;
    bool any = false;
    for (size_t i = 0; i < HORA_COUNT(b->drop); i++) {
        any |= b->drop[i] > 0;
        if (b->drop[i] < 0 || b->drop[i] >= 1)
            return hora_fail(HORA_EFORMAT,
                             "%s: config.json: a dropout of %g; it is 0 or more and "
                             "less than 1",
                             b->dir, b->drop[i]);
    }
    if (!t->config.body_dropout)
        return HORA_OK;
    if (!any)
        return hora_fail(HORA_EUSAGE,
                         "%s: config.json has no dropout inside the model; leave "
                         "body_dropout out, or write hidden_dropout_prob there",
                         b->dir);
    if (hora_json_real(hora_json_get(b->config, "attention_probs_dropout_prob"), &weights) &&
        weights > 0)
        hora_warn("attention_probs_dropout_prob %g of config.json is not applied: attention's "
                  "weights are never stored",
                  weights);
    return HORA_OK;
}

static hora_status check_parts(hora_training *t) {
    const hora_training_parts *p = &t->parts;
    if (p->seq_len < 1 || t->config.batch_size > ((int64_t)1 << 30) / p->seq_len)
        return hora_fail(
            HORA_EUSAGE,
            "batch_size=%lld sequences of seq_len=%lld tokens are no batch; both must be "
            "positive and their product at most 2^30",
            (long long)t->config.batch_size, (long long)p->seq_len);
    HORA_TRY(hora_check_positions(p->base, p->adapters, p->nadapters,
                                  p->seq_len - hora_adapters_slots(p->adapters, p->nadapters)));
    HORA_TRY(check_dtype(t));
    HORA_TRY(check_drops(t));
    HORA_TRY(hora_check_vocabulary(p->base, p->train));
    HORA_TRY(hora_check_vocabulary(p->base, p->eval));
    HORA_TRY(check_ranks(t));
    if (p->train && p->objective && p->objective->task->check)
        HORA_TRY(p->objective->task->check(p->objective, p->train, t->config.batch_size,
                                           t->config.grad_accum));
    int64_t numbers = 0;
    for (int a = 0; a < p->nadapters; a++)
        numbers += p->adapters[a]->elems;
    HORA_TRY(hora_adapters_check(p->adapters, p->nadapters));
    HORA_TRY(find_chooser(t));
    HORA_TRY(hora_local_check(t));
    if (!numbers)
        return hora_fail(HORA_EUSAGE, "nothing trains: attach a method first (method=lora)");
    return HORA_OK;
}

static uint64_t weight_bytes(const hora_base *b) {
    uint64_t sum = 0;
    for (int i = 0; i < b->nweights; i++)
        sum += b->weights[i].tied ? 0 : hora_view_bytes(&b->weights[i].view);
    return sum;
}

static void add_up(hora_train_report *r) {
    uint64_t arena = r->step_arena > r->eval_arena ? r->step_arena : r->eval_arena;
    r->total = r->weights + r->packed + r->values + r->gradients + r->moments + r->sums + arena +
               r->batches + r->data;
}

/* Data are in memory already: they count against a limit that was given, not against what is
 * free. */
static uint64_t data_due(const hora_training *t) {
    return t->config.memory ? t->report.data : 0;
}

/* What is not in memory yet must fit into what is free; a limit that was given counts all. */
static bool fits(const hora_training *t) {
    const hora_train_report *r = &t->report;
    bool opened = t->parts.base->nweights > 0 && t->parts.base->weights[0].view.data;
    uint64_t there = !on_host(t)        ? r->data /* stays on the host */
                     : t->config.memory ? 0
                                        : r->data + (opened ? r->weights : 0);
    return !r->limit || r->total - there <= r->limit;
}

static void advise(hora_training *t, const hora_plan_options *o) {
    hora_train_report *r = &t->report;
    hora_plan_options all = *o;
    all.recompute = HORA_RECOMPUTE_ALL;
    uint64_t kept = r->step_arena;
    if (hora_graph_plan(t->train.g, &all) == HORA_OK)
        kept = hora_graph_info(t->train.g)->arena;
    const uint64_t arenas = r->step_arena > r->eval_arena ? r->step_arena : r->eval_arena;
    uint64_t fixed = r->total - arenas;
    uint64_t arena = kept > r->eval_arena ? kept : r->eval_arena;
    char need[32];
    hora_human_bytes(need, (double)(fixed + arena));
    if (o->recompute == 0 && fixed + arena <= r->limit) {
        hora_snprintf(r->advice, sizeof r->advice, "recompute=auto fits (recompute=all needs %s)",
                      need);
        return;
    }
    int64_t b = r->batch_size;
    while (b > 1 &&
           (double)fixed + (double)arena * (double)b / (double)r->batch_size > (double)r->limit)
        b /= 2;
    double least = (double)fixed + (double)arena * (double)b / (double)r->batch_size;
    if (b < r->batch_size && least <= (double)r->limit)
        hora_snprintf(r->advice, sizeof r->advice,
                      "batch_size=%lld with grad_accum=%lld and recompute=auto would fit",
                      (long long)b, (long long)(r->grad_accum * hora_ceil_div(r->batch_size, b)));
    else
        hora_snprintf(
            r->advice, sizeof r->advice,
            "even one sequence at a time needs about %s: use a shorter seq_len, a smaller "
            "model, a method that trains less, or raise memory",
            hora_human_bytes(need, least));
}

/* Of what the ranks of a machine have one copy, each counts its part. */
static uint64_t part_of_one(const hora_training *t, uint64_t bytes) {
    return (uint64_t)hora_ceil_div((int64_t)bytes, hora_comm_node_size(t->parts.comm));
}

/* Plans with one policy of packing. Packed weights need not stay where the files are mapped. */
static hora_status plan_packed(hora_training *t, const hora_plan_options *like, bool both) {
    hora_train_report *r = &t->report;
    hora_plan_options o = *like;
    hora_device_set_packing(t->parts.device, both ? HORA_PACK_BOTH : HORA_PACK_ONE);
    r->pack_both = both;
    r->copied = !on_host(t);
    r->weights =
        part_of_one(t, weight_bytes(t->parts.base) - (both ? hora_base_mapped(t->parts.base) : 0));
    uint64_t others =
        r->weights + r->values + r->gradients + r->moments + r->sums + r->batches + data_due(t);
    o.limit = r->limit ? (r->limit > others ? r->limit - others : 1) : SIZE_MAX;
    hora_status s = hora_graph_plan(t->train.g, &o);
    if (s == HORA_ENOMEM && o.recompute == HORA_RECOMPUTE_AUTO) {
        o.recompute = HORA_RECOMPUTE_ALL;
        s = hora_graph_plan(t->train.g, &o);
    }
    return s;
}

/* auto: packing on the way costs a per cent or two from some hundred rows on, a second copy of the
 * model always costs its size. Both, if they fit, below that and for a library's layouts. */
static hora_status choose_packing(hora_training *t, const hora_plan_options *o) {
    enum { AUTO, BOTH, ONE, ENOUGH_ROWS = 512 };
    const hora_train_report *r = &t->report;
    bool wants = on_host(t) && (r->rows < ENOUGH_ROWS || hora_device_uses_library(t->parts.device));
    HORA_TRY(plan_packed(
        t, o, (on_host(t) && t->config.pack == BOTH) || (t->config.pack == AUTO && wants)));
    const hora_plan_info *i = hora_graph_info(t->train.g);
    uint64_t need = r->weights + r->values + r->gradients + r->moments + r->sums + r->batches +
                    data_due(t) + i->arena;
    if (t->config.pack == AUTO && wants && r->limit && need + part_of_one(t, i->packed) > r->limit)
        return plan_packed(t, o, false);
    return HORA_OK;
}

hora_status hora_train_memory(hora_comm *c, uint64_t *out) {
    const int ranks = hora_comm_size(c);
    *out = ranks == 1 ? 0 : hora_memory_available() / (uint64_t)hora_comm_node_size(c);
    if (ranks == 1)
        return HORA_OK;
    uint64_t *all = hora_calloc((size_t)ranks, sizeof *all);
    const hora_status s = hora_comm_gather(c, out, sizeof *out, all);
    for (int i = 0; i < ranks && !s; i++)
        *out = all[i] < *out ? all[i] : *out;
    hora_free(all);
    return s;
}

static uint64_t memory_limit(const hora_training *t) {
    return t->config.memory  ? (uint64_t)t->config.memory
           : t->parts.memory ? t->parts.memory
                             : hora_device_kind_of(t->parts.device)->memory(t->parts.device) /
                                   (uint64_t)hora_comm_node_size(t->parts.comm);
}

static hora_status plan_graphs(hora_training *t) {
    hora_train_report *r = &t->report;
    hora_plan_options o = {.backward = true, .poison = t->parts.poison};
    HORA_TRY(parse_recompute(t->config.recompute, &o.recompute));
    r->limit = memory_limit(t);
    HORA_TRY(choose_packing(t, &o));
    r->sums = hora_training_sum_bytes(t); /* known only now, and it has to fit as well */
    if (r->sums && r->limit)
        HORA_TRY(choose_packing(t, &o));
    if (t->eval.g) {
        HORA_TRY(hora_graph_plan(t->eval.g, &(hora_plan_options){.poison = t->parts.poison}));
        r->eval_arena = hora_graph_info(t->eval.g)->arena;
    }
    const hora_plan_info *i = hora_graph_info(t->train.g);
    r->step_arena = i->arena;
    r->scratch = i->scratch;
    r->packed = part_of_one(t, i->packed);
    r->segments = i->segments;
    r->recomputed = i->recomputed;
    r->nodes = i->nodes;
    r->calls = i->steps;
    add_up(r);
    r->fits = fits(t);
    if (!r->fits)
        advise(t, &o);
    return HORA_OK;
}

/* Of a sequence of either set, at most. */
static int64_t sequence_tokens(const hora_training *t) {
    const hora_training_parts *p = &t->parts;
    int64_t most = p->train ? hora_data_sequence_tokens(p->train) : p->seq_len;
    return p->eval ? hora_max(most, hora_data_sequence_tokens(p->eval)) : most;
}

static void estimate_time(hora_training *t) {
    hora_train_report *r = &t->report;
    double work[HORA_WORKS] = {[HORA_WORK_ONCE] = 1};
    int64_t sequences = r->batch_size * r->grad_accum;
    const hora_objective *o = t->parts.objective;
    const bool each = o->task->labels == HORA_LABELS_NONE || o->task->labels == HORA_LABELS_TAG;
    const hora_vision *v = t->parts.base->vision;
    const int64_t parts = v && hora_vision_apart(v) ? v->frames : 1; /* that see each other */
    const hora_full_work full = {.sequences = sequences * parts,
                                 .tokens = sequence_tokens(t) / parts,
                                 .targets = each ? r->seq_len : 1,
                                 .whole = o->encoder};
    hora_graph_add_full_work(t->train.g, &full, work);
    r->flops_step = hora_graph_flops(t->train.g, work);
    r->peak_flops =
        hora_device_kind_of(t->parts.device)->flops(t->parts.device, t->parts.base->dtype, 0.02);
    r->seconds_step = r->peak_flops > 0 ? r->flops_step / (0.5 * r->peak_flops) : 0;
    r->seconds_total = r->seconds_step * (double)t->limit / (double)sequences;
}

static void record(hora_training *t) {
    const hora_training_parts *p = &t->parts;
    hora_recording_parts parts = {.base = p->base,
                                  .adapters = p->adapters,
                                  .nadapters = p->nadapters,
                                  .device = p->device,
                                  .backends = t->config.backends,
                                  .rows = t->report.rows,
                                  .mode = HORA_NET_TRAIN,
                                  .drops = {t->config.drop_path, t->config.body_dropout},
                                  .model = hora_model_record,
                                  .outputs = hora_task_record,
                                  .user = &t->out};
    t->out = (hora_outputs){.objective = p->objective,
                            .want_loss = true,
                            .differentiate = true,
                            .scored = p->train && hora_data_labels(p->train)->numbers};
    hora_recording_init(&t->train, &parts);
    if (!p->eval)
        return;
    parts.mode = HORA_NET_EVAL;
    parts.user = &t->eval_out;
    t->eval_out = (hora_outputs){.objective = p->objective,
                                 .want_loss = true,
                                 .want_logits = hora_tally_predicts(p->objective),
                                 .scored = hora_data_labels(p->eval)->numbers};
    hora_recording_init(&t->eval, &parts);
}

hora_status hora_training_plan(hora_training *t) {
    const hora_training_parts *p = &t->parts;
    hora_train_report *r = &t->report;
    t->parts.seq_len += hora_adapters_slots(p->adapters, p->nadapters); /* beyond it */
    HORA_TRY(route(p));
    HORA_TRY(check_parts(t));
    HORA_TRY(measure_run(t));
    for (int a = 0; a < p->nadapters; a++)
        if (p->adapters[a]->method->scheduled)
            HORA_TRY(p->adapters[a]->method->scheduled(p->adapters[a], r->steps));
    HORA_TRY(hora_state_layout(&t->state, p->adapters, p->nadapters,
                               hora_optimizer_at(t->config.optimizer), t->lr, t->config.loraplus,
                               t->config.weight_decay, t->config.decay_all));
    r->rows = hora_round_up(t->config.batch_size * sequence_tokens(t), 64);
    r->parameters = hora_base_parameters(p->base);
    r->dtype = p->base->dtype;
    for (int a = 0; a < p->nadapters; a++) {
        r->trainable += hora_adapter_trainable(p->adapters[a]);
        r->values += (uint64_t)p->adapters[a]->elems * sizeof(float);
    }
    r->gradients = hora_state_bytes(&t->state);
    r->moments = hora_state_bytes(&t->state) * (uint64_t)t->state.optimizer->moments;
    record(t);
    const hora_leaves leaves = hora_graph_leaves(t->train.g);
    r->batches = (uint64_t)r->rows * STAGED * hora_leaves_row(&leaves);
    r->data = (p->train ? hora_data_bytes(p->train) : 0) +
              (p->eval && p->eval != p->train ? hora_data_bytes(p->eval) : 0);
    HORA_TRY(plan_graphs(t));
    hora_state_activate(&t->state, t->train.g);
    estimate_time(t);
    return HORA_OK;
}
