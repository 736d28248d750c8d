/*
 * Causal language modelling. Every row predicts the next token of its segment; the loss is the
 * cross-entropy summed over rows whose target counts, times the batch's scale.
 */
#include <math.h>

#include "graph/verbs.h"
#include "task/task.h"

/* A row counts when the token behind it is one to learn. */
static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    hora_counted sum = {0, 0};
    (void)rule;
    for (int64_t i = 0; i < s->n; i++) {
        const int64_t next = i + 1 - s->skip; /* of its target in the segment */
        const bool counts = next >= 0 && i + 1 < s->n && (!s->mask || s->mask[next]);
        sum.rows += counts;
        sum.bytes += counts && s->bytes && s->ids[next] < s->nbytes ? s->bytes[s->ids[next]] : 0;
        if (b) {
            b->target[s->from + i] = counts ? s->ids[next] : -1;
            b->weight[s->from + i] = counts;
        }
    }
    return sum;
}

static void record(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out) {
    const hora_head head = hora_net_head(n, hidden);
    (void)o;
    if (out->want_logits)
        out->logits = hora_net_logits(n, &head, hidden);
    if (out->want_loss)
        out->loss = hora_net_xent(n, &head, hidden);
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    hora_metrics_add(out, "perplexity", exp(t->loss / (double)t->count));
    hora_metrics_add(out, "bits_per_byte",
                     t->bytes ? t->loss / 0.69314718055994530942 / (double)t->bytes : NAN);
}

const hora_task hora_task_causal = {.name = "causal",
                                    .summary = "predict the next token",
                                    .architecture = "ForCausalLM",
                                    .task_type = "CAUSAL_LM",
                                    .labels = HORA_LABELS_NONE,
                                    .loss = HORA_LOSS_XENT,
                                    .ranges = hora_ranges_causal,
                                    .targets = targets,
                                    .record = record,
                                    .metrics = metrics};

const hora_objective *hora_objective_causal(void) {
    static const hora_objective causal = {
        .task = &hora_task_causal,
        .rule = {HORA_LABELS_NONE, hora_ranges_causal, targets, -1, NULL},
        .loss = HORA_LOSS_XENT,
        .settled = true,
        .pad = -1};
    return &causal;
}
