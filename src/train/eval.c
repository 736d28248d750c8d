/*
 * Evaluation: the mean loss of what counts over a data set and the task's own numbers, without
 * dropout. Micro-batches are summed in double with scale 1 and divided once, so the cut into
 * batches does not matter, nor how many ranks share them.
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "model/family.h"
#include "train/train_impl.h"

hora_status hora_check_context(const hora_base *b, int64_t seq_len) {
    if (!b->max_positions || seq_len <= b->max_positions)
        return HORA_OK;
    return hora_fail(HORA_EUSAGE,
                     "seq_len=%lld is longer than the model's context of %lld tokens; give at most "
                     "that",
                     (long long)seq_len, (long long)b->max_positions);
}

hora_status hora_check_positions(const hora_base *b, hora_adapter *const *at, int n,
                                 int64_t seq_len) {
    const int64_t front = hora_adapters_front(at, n);
    if (!front || !b->max_positions || seq_len + front <= b->max_positions)
        return hora_check_context(b, seq_len);
    return hora_fail(HORA_EUSAGE,
                     "seq_len=%lld behind %lld positions of prompts is longer than the model's "
                     "context of %lld tokens; give --seq-len %lld, or a shorter prompt",
                     (long long)seq_len, (long long)front, (long long)b->max_positions,
                     (long long)hora_max(b->max_positions - front, 0));
}

hora_status hora_check_vocabulary(const hora_base *b, const hora_dataset *d) {
    int32_t id = d && !b->vision ? hora_data_about(d)->max_id : -1;
    const int32_t type = d && !b->vision ? hora_data_about(d)->max_type : 0;
    if (b->types && type >= b->types)
        return hora_fail(HORA_EMISMATCH,
                         "the tokenizer gives the second text of a pair type %d, but the model "
                         "tells %lld types apart; put its own tokenizer beside the weights",
                         (int)type, (long long)b->types);
    if (id < b->vocab)
        return HORA_OK;
    return hora_fail(HORA_EMISMATCH,
                     "the data holds token %d, but the model's vocabulary has %lld; the tokenizer "
                     "is another model's, put the right tokenizer.json beside the weights",
                     (int)id, (long long)b->vocab);
}

void hora_name_records(const hora_dataset *d, int64_t sequence, int64_t sequences, bool ordered,
                       char *text, size_t n) {
    int shown = 0, more = 0, used = 0;
    text[0] = 0;
    for (int64_t r = sequence; d && sequence >= 0 && r < sequence + sequences; r++) {
        hora_data_origin at[16];
        int k = hora_data_records(d, r, ordered, at, (int)HORA_COUNT(at));
        for (int i = 0; i < k; i++) {
            const char *path = at[i].path ? at[i].path : "";
            if (shown == 12 || (size_t)used + 32 + strlen(path) > n) {
                more++;
                continue;
            }
            used += hora_snprintf(text + used, n - (size_t)used, "%s%s%s%lld",
                                  shown ? ", " : " (records ", path, *path ? ":" : "",
                                  (long long)at[i].line);
            shown++;
        }
    }
    if (shown)
        hora_snprintf(text + used, n - (size_t)used, more ? " and %d more)" : ")", more);
}

static hora_status refuse(const hora_dataset *d, int64_t sequence, int64_t sequences,
                          double value) {
    char records[300];
    hora_name_records(d, sequence, sequences, true, records, sizeof records);
    return hora_fail(
        HORA_ENUMERIC,
        "evaluation: the loss of sequences %lld to %lld is %g%s; the model or the adapter "
        "holds numbers that are not finite, or these records make some",
        (long long)sequence + 1, (long long)(sequence + sequences), value, records);
}

typedef struct missing {
    hora_tally *t;
    int64_t first; /* sample of the tally */
} missing;

static void miss(void *arg, int64_t sample, int64_t word, int32_t tag) {
    const missing *m = arg;
    hora_tally_miss(m->t, m->first + sample, word, tag);
}

/* The losses of all batches, and whether a rank was asked to stop, besides what the tally has. */
typedef struct evaluation {
    hora_comm *comm;
    hora_tally tally;
    double *losses; /* of this rank's batches */
    int64_t n, cap;
} evaluation;

static hora_status run_batches(hora_recording *r, const hora_outputs *o, const hora_dataset *data,
                               int64_t batch_size, const hora_training *asked, evaluation *e) {
    hora_prefetch *feed = NULL;
    const hora_batch *b;
    hora_status s;
    const int64_t sequences = hora_data_about(data)->sequences;
    const int64_t batches = hora_ceil_div(sequences, batch_size);
    const hora_leaves leaves = hora_graph_leaves(r->g);
    const hora_data_share share = {batches * batch_size, hora_comm_rank(e->comm),
                                   hora_comm_size(e->comm)};
    int64_t from, count;
    hora_part_of(batches, share.part, share.parts, &from, &count);
    HORA_TRY(hora_prefetch_new(&feed, data, 0, batch_size, sequences, true, &leaves,
                               share.parts > 1 ? &share : NULL));
    hora_graph_before(r->g);
    for (int64_t first = from * batch_size; (s = hora_prefetch_next(feed, &b)) == HORA_OK;
         first += batch_size) {
        hora_batch pass = *b;
        if (asked && asked->watch && *asked->watch) {
            s = hora_training_halted(asked);
            break;
        }
        pass.scale = 1;
        hora_graph_body(r->g, &pass, 0);
        const double loss = hora_graph_scalar(r->g, o->loss);
        if (!isfinite(loss)) {
            s = refuse(data, first, hora_min(batch_size, sequences - first), loss);
            break;
        }
        missing m = {&e->tally, e->tally.nstart};
        hora_tally_add(&e->tally, r->g, o, b);
        hora_data_lost(data, first, hora_min(batch_size, sequences - first), miss, &m);
        HORA_PUSH(e->losses, e->n, e->cap, loss);
    }
    hora_prefetch_free(feed);
    return s == HORA_DONE ? HORA_OK : s;
}

/* What rank r found, as it was packed, behind what is there already. */
static hora_status add_rank(evaluation *all, const hora_str *said, int64_t *asked) {
    int64_t head[2]; /* asked to stop, losses */
    size_t at = sizeof head;
    memcpy(head, said->s, sizeof head);
    *asked |= head[0];
    for (int64_t i = 0; i < head[1]; i++, at += sizeof(double)) {
        double loss;
        memcpy(&loss, said->s + at, sizeof loss);
        all->tally.loss += loss;
    }
    hora_tally_unpack(&all->tally, said->s + at);
    return HORA_OK;
}

/* Makes the tally of this rank that of all. Losses are added in the order of the batches, as one
 * rank alone adds them. */
static hora_status meet(evaluation *e, const hora_training *asked, hora_status mine) {
    const int ranks = hora_comm_size(e->comm);
    evaluation all = {.comm = e->comm,
                      .tally = {.objective = e->tally.objective, .scored = e->tally.scored}};
    int64_t stop = 0, head[2] = {mine == HORA_EINTERRUPTED, e->n};
    hora_str text = {0};
    if (ranks == 1 || (mine && mine != HORA_EINTERRUPTED))
        return mine;
    hora_str_add(&text, (const char *)head, sizeof head);
    if (e->n)
        hora_str_add(&text, (const char *)e->losses, (size_t)e->n * sizeof *e->losses);
    hora_tally_pack(&e->tally, &text);
    hora_str *said = hora_calloc((size_t)ranks, sizeof *said);
    hora_status s = hora_comm_gather_any(e->comm, text.s, text.n, said);
    for (int r = 0; r < ranks && !s; r++)
        s = add_rank(&all, &said[r], &stop);
    for (int r = 0; r < ranks; r++)
        hora_str_release(&said[r]);
    hora_free(said);
    hora_str_release(&text);
    hora_tally_release(&e->tally);
    e->tally = all.tally;
    return s ? s : stop ? hora_training_halted(asked) : HORA_OK;
}

/* asked: whose watch ends it (HORA_EINTERRUPTED); NULL: nobody's. */
static hora_status eval_over(hora_recording *r, const hora_outputs *o, const hora_dataset *data,
                             int64_t batch_size, const hora_training *asked, hora_eval_info *info,
                             hora_json **detail) {
    const double started = hora_now();
    evaluation e = {
        .comm = asked ? asked->parts.comm : NULL,
        .tally = {.objective = o->objective, .scored = o->scored, .vision = r->net.base->vision}};
    hora_status s = run_batches(r, o, data, batch_size, asked, &e);
    const hora_status device = hora_graph_sync(r->g);
    s = meet(&e, asked, s ? s : device);
    hora_tally *t = &e.tally;
    *info = (hora_eval_info){.tokens = t->count};
    if (!s)
        s = hora_tally_metrics(t, &info->metrics);
    info->loss = hora_metrics_get(&info->metrics, "loss");
    info->seconds = hora_now() - started;
    for (int i = 0; i < info->metrics.n && !s; i++)
        if (isinf(info->metrics.at[i].value))
            s = hora_fail(HORA_ENUMERIC,
                          "evaluation: the loss is %g, and its %s is no finite number; the model "
                          "or the adapter does not fit these data",
                          info->loss, info->metrics.at[i].name);
    if (!s && detail)
        *detail = hora_tally_detail(t);
    hora_tally_release(t);
    hora_free(e.losses);
    return s;
}

/* --- tasks ------------------------------------------------------------------------------------ */
hora_status hora_route_data(hora_adapter *const *at, int n, hora_dataset *d) {
    if (!d)
        return HORA_OK;
    const char **tasks = hora_calloc((size_t)n + 1, sizeof *tasks);
    int64_t *slots = hora_calloc((size_t)n + 1, sizeof *slots);
    const bool routed = hora_adapters_routed(at, n);
    const int count = routed ? hora_adapters_tasks(at, n, tasks) : 0;
    const hora_status s = routed ? hora_data_route(d, tasks, count) : HORA_OK;
    for (int k = -1; k < count; k++)
        slots[k + 1] = hora_adapters_slots_of(at, n, k);
    if (!s)
        hora_data_slots(d, slots, count + 1);
    hora_free(slots);
    hora_free(tasks);
    return s;
}

/* counted: what the number of what counts is called. */
static void add_task(const char *task, const char *counted, const hora_eval_info *one,
                     hora_eval_info *info, hora_json *detail) {
    hora_json *o = detail ? hora_json_set(detail, task, hora_json_new_object()) : NULL;
    for (int i = 0; i < one->metrics.n; i++) {
        const hora_metric *m = &one->metrics.at[i];
        if (m->of)
            continue;
        if (info->metrics.n < (int)HORA_COUNT(info->metrics.at))
            hora_metrics_add_of(&info->metrics, m->name, task, m->value);
        if (o)
            hora_json_set(o, m->name,
                          isfinite(m->value) ? hora_json_new_real(m->value) : hora_json_new_null());
    }
    if (o)
        hora_json_set(o, counted, hora_json_new_int(one->tokens));
}

/* Where records choose their adapter: the same numbers for those of each task alone, behind those
 * of all. */
static hora_status eval_tasks(hora_recording *r, const hora_outputs *o, const hora_dataset *data,
                              int64_t batch_size, const hora_training *asked, hora_eval_info *info,
                              hora_json **detail) {
    const int n = r->net.nadapters;
    const char **tasks = hora_calloc((size_t)n + 1, sizeof *tasks);
    const bool routed = hora_adapters_routed(r->net.adapters, n);
    const int count = routed ? hora_adapters_tasks(r->net.adapters, n, tasks) : 0;
    hora_json *all = detail && count ? hora_json_new_object() : NULL;
    hora_status s = HORA_OK;
    for (int k = 0; k < count && !s; k++) {
        hora_dataset *part;
        hora_eval_info one;
        hora_data_of_task(&part, data, k);
        if (!part)
            continue;
        s = eval_over(r, o, part, batch_size, asked, &one, NULL);
        if (!s)
            add_task(tasks[k], o->objective->task->head ? "predictions" : "tokens", &one, info,
                     all);
        info->seconds += one.seconds;
        hora_dataset_close(part);
    }
    if (all && !*detail)
        *detail = hora_json_new_object();
    if (all)
        hora_json_set(*detail, "tasks", all);
    hora_free(tasks);
    return s;
}

bool hora_training_worn(const hora_training *t) {
    return t->config.patience > 0 && t->since_best >= t->config.patience;
}

hora_status hora_training_eval(hora_training *t, hora_eval_info *info) {
    HORA_ASSERT(t->prepared);
    if (!t->parts.eval)
        return hora_fail(HORA_EUSAGE, "there is no evaluation data; give eval_data or eval_split");
    HORA_TRY(eval_over(&t->eval, &t->eval_out, t->parts.eval, t->config.batch_size, t, info, NULL));
    HORA_TRY(
        eval_tasks(&t->eval, &t->eval_out, t->parts.eval, t->config.batch_size, t, info, NULL));
    info->step = t->step;
    for (int i = 0; i < t->nevals; i++)
        if (t->evals[i].step == t->step) {
            t->evals[i].loss = info->loss;
            info->best = t->best_step == t->step;
            return HORA_OK;
        }
    past_eval e = {t->step, info->loss};
    HORA_PUSH(t->evals, t->nevals, t->cevals, e);
    if (t->step == 0)
        return HORA_OK;
    info->best = isfinite(info->loss) &&
                 (isnan(t->best_loss) || info->loss < t->best_loss - t->config.min_delta);
    if (info->best) {
        t->best_loss = info->loss;
        t->best_step = t->step;
    }
    t->since_best = info->best ? 0 : t->since_best + 1;
    info->worn = hora_training_worn(t);
    return HORA_OK;
}

hora_status hora_evaluate(const hora_eval_parts *p, hora_eval_info *info, hora_json **detail) {
    hora_recording r = {0};
    const hora_objective *objective = p->objective ? p->objective : hora_objective_causal();
    hora_outputs o = {.objective = objective,
                      .want_loss = true,
                      .want_logits = hora_tally_predicts(objective),
                      .scored = hora_data_labels(p->data)->numbers};
    if (detail)
        *detail = NULL;
    HORA_TRY(hora_check_vocabulary(p->base, p->data));
    HORA_TRY(hora_check_positions(p->base, p->adapters, p->nadapters, p->seq_len));
    HORA_TRY(hora_route_data(p->adapters, p->nadapters, p->data));
    hora_device *own = NULL;
    if (!p->device)
        HORA_TRY(hora_device_open(&own, NULL));
    const hora_recording_parts parts = {
        .base = p->base,
        .adapters = p->adapters,
        .nadapters = p->nadapters,
        .device = own ? own : p->device,
        .backends = p->backends,
        .rows = hora_round_up(p->batch_size * hora_data_sequence_tokens(p->data), 64),
        .mode = HORA_NET_EVAL,
        .model = hora_model_record,
        .outputs = hora_task_record,
        .user = &o};
    hora_status s;
    HORA_TRY_OUT(s, hora_recording_open(&r, &parts, &(hora_plan_options){0}, "evaluation"));
    s = eval_over(&r, &o, p->data, p->batch_size, NULL, info, detail);
    if (!s)
        s = eval_tasks(&r, &o, p->data, p->batch_size, NULL, info, detail);
out:
    hora_recording_release(&r);
    hora_device_free(own);
    return s;
}
