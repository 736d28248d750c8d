/*
 * The registry of tasks, and what the rows share. Choosing a task from a model's class, and the
 * checks of outside batches.
 */
#include "task/task.h"

#include <math.h>

#include "base/rng.h"
#include "base/text.h"
#include "graph/verbs.h"
#include "model/family.h"

#define TASK(x) extern const hora_task hora_task_##x;
#include "task/tasks.def"
#undef TASK

static const hora_task *const tasks[] = {
#define TASK(x) &hora_task_##x,
#include "task/tasks.def"
#undef TASK
};

int hora_task_count(void) {
    return (int)HORA_COUNT(tasks);
}
const hora_task *hora_task_at(int i) {
    return tasks[i];
}

static bool same_name(const char *a, const char *b) {
    while (*a && (*a == *b || (*a == '-' && *b == '_')))
        a++, b++;
    return !*a && !*b;
}

const hora_task *hora_task_named(const char *name) {
    for (size_t i = 0; i < HORA_COUNT(tasks); i++)
        if (name && (same_name(tasks[i]->name, name) || hora_eq(tasks[i]->task_type, name)))
            return tasks[i];
    return NULL;
}

hora_status hora_task_unknown(const char *name) {
    hora_str all = {0};
    for (size_t i = 0; i < HORA_COUNT(tasks); i++)
        hora_str_printf(&all, "%s%s", i ? ", " : "", tasks[i]->name);
    hora_status s = hora_fail(HORA_EUSAGE, "no task `%s`; there are %s", name, all.s);
    hora_str_release(&all);
    return s;
}

/* --- recording -------------------------------------------------------------------------------- */
/* The same batch once more, for methods that want it: its loss is added, and the distance of the
 * first logits from its own, which are the teacher's. */
static void second_pass(hora_net *n, const hora_objective *objective, const hora_outputs *first,
                        bool distil) {
    hora_outputs o = *first;
    n->pass = 1;
    o.want_logits = distil;
    o.loss = o.logits = HORA_NONE;
    objective->task->record(objective, n, hora_model_record(n), &o);
    hora_graph_loss(n->g, o.loss, 1);
    if (distil)
        hora_graph_loss(n->g, hora_divergence(n->g, first->logits, hora_detach(n->g, o.logits)), 1);
    n->pass = 0;
}

void hora_task_record(hora_net *n, hora_t hidden, void *user) {
    hora_outputs *o = user;
    const hora_objective *objective = o->objective ? o->objective : hora_objective_causal();
    o->loss = o->logits = HORA_NONE;
    if (o->want_hidden) {
        o->hidden = hidden;
        hora_graph_output(n->g, hidden);
    }
    bool distil = false;
    const bool second = o->differentiate && hora_net_wants_second(n, &distil);
    const bool logits = o->want_logits;
    o->want_logits |= distil;
    objective->task->record(objective, n, hidden, o);
    if (o->differentiate)
        hora_graph_loss(n->g, o->loss, 1);
    if (second)
        second_pass(n, objective, o, distil);
    if (!logits)
        o->logits = HORA_NONE;
    o->want_logits = logits;
    hora_graph_output(n->g, o->logits);
    hora_graph_output(n->g, o->loss);
}

void hora_record_head(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out) {
    const bool soft = o->soft && o->loss == HORA_LOSS_XENT && n->mode == HORA_NET_TRAIN;
    const bool narrow = o->loss != HORA_LOSS_XENT || soft;
    hora_t x = hora_dropout(n->g, hora_model_pool(n, hidden, o->task->labels != HORA_LABELS_TAG),
                            hora_net_dropout(n, o->head_dropout), hora_hash64("task head", 9, 0));
    hora_head head = hora_net_head(n, x);
    if (n->base->family->heads && o->task->labels == HORA_LABELS_CLASS)
        x = n->base->family->heads(n, x, &head);
    if (out->want_logits || (narrow && out->want_loss))
        out->logits = hora_net_logits(n, &head, x);
    if (out->want_loss)
        out->loss = soft                        ? hora_soft_xent(n->g, out->logits)
                    : o->loss == HORA_LOSS_XENT ? hora_net_xent(n, &head, x)
                    : o->loss == HORA_LOSS_MSE  ? hora_mse(n->g, out->logits)
                                                : hora_bce(n->g, out->logits);
    if (!out->want_logits)
        out->logits = HORA_NONE;
}

/* --- ranges and targets ----------------------------------------------------------------------- */
void hora_ranges_causal(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end) {
    for (int64_t i = from; i < from + n; i++) {
        b->lo[i] = (int32_t)first;
        b->hi[i] = (int32_t)hora_max(first, hora_min(i + 1, end));
    }
}

void hora_ranges_whole(hora_batch *b, int64_t from, int64_t n, int64_t first, int64_t end) {
    for (int64_t i = from; i < from + n; i++) {
        b->lo[i] = (int32_t)first;
        b->hi[i] = (int32_t)end;
    }
}

/* Row of the last token that is not padding: where decoders are pooled. */
static int64_t last_token(const hora_objective *o, const hora_segment *s) {
    int64_t last = s->n - s->skip - 1;
    while (last > 0 && s->ids[last] == o->pad)
        last--;
    return s->from + s->skip + hora_max(0, last);
}

int64_t hora_pooled_row(const hora_objective *o, const hora_segment *s) {
    return o->encoder ? s->from : last_token(o, s);
}

void hora_targets_none(hora_batch *b, const hora_segment *s) {
    for (int64_t i = s->from; i < s->from + s->n; i++) {
        if (b->target)
            b->target[i] = -1;
        b->weight[i] = 0;
    }
    const int64_t k = b->leaves.columns[HORA_LEAF_value];
    if (b->value)
        memset(b->value + s->from * k, 0, (size_t)(s->n * k) * sizeof *b->value);
}

/* --- checks ----------------------------------------------------------------------------------- */
hora_status hora_objective_check(const hora_objective *o, const hora_base *base,
                                 const hora_batch *b) {
    const int64_t classes = o->task->head ? o->classes : base->vocab;
    for (int64_t i = 0; i < b->rows && b->target; i++)
        if (b->target[i] < -1 || b->target[i] >= classes)
            return hora_fail(HORA_EUSAGE,
                             "labels hold %d at row %lld, but the model has %lld %s; use -100 for "
                             "what does not count",
                             b->target[i], (long long)i, (long long)classes,
                             o->task->head ? "classes" : "tokens");
    return HORA_OK;
}

double hora_objective_uniform(const hora_objective *o, const hora_base *base) {
    return log((double)(o->task->head ? hora_max(2, o->classes) : base->vocab));
}
