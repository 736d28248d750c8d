/*
 * Embedding: a model without any head; what is asked for is its last hidden state, from which
 * infer/embed.h makes one vector for each text. There is nothing to train on yet.
 */
#include <math.h>

#include "task/task.h"

static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    (void)rule;
    if (b && b->weight)
        hora_targets_none(b, s);
    return (hora_counted){0, 0};
}

static void record(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out) {
    (void)o;
    (void)hidden;
    if (out->want_loss)
        hora_graph_error(n->g,
                         hora_fail(HORA_EUNSUPPORTED,
                                   "the task embedding has no loss yet; give another --task"));
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    (void)t;
    (void)out;
}

const hora_task hora_task_embedding = {.name = "embedding",
                                       .summary = "one vector for each text (no training yet)",
                                       .task_type = "FEATURE_EXTRACTION",
                                       .body = true,
                                       .ranges = hora_ranges_causal,
                                       .targets = targets,
                                       .record = record,
                                       .metrics = metrics};
