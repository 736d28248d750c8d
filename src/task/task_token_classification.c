/*
 * Token classification, as transformers' ..ForTokenClassification: the head `score`, with a bias
 * and behind dropout, on every token; the first piece of a word carries its tag, other pieces do
 * not count. Cross-entropy, mean over tokens that count.
 */
#include <math.h>

#include "task/metric.h"
#include "task/task.h"

static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    hora_counted sum = {0, 0};
    if (b)
        hora_targets_none(b, s);
    for (int64_t i = s->skip; i < s->n; i++) {
        const int32_t tag = s->tags[i - s->skip];
        sum.rows += tag >= 0;
        if (b && tag >= 0) {
            b->target[s->from + i] = tag;
            b->weight[s->from + i] = hora_objective_weight(rule->own, tag);
        }
    }
    return sum;
}

/* Whether the tags are those of entities: O, or a part and a type. */
static bool entities(const hora_objective *o) {
    for (int64_t i = 0; i < o->classes; i++) {
        const char *n = o->names ? o->names[i] : "";
        if (!(n[0] == 'O' && !n[1]) && !(n[0] && strchr("BIESLU", n[0]) && n[1] == '-'))
            return false;
    }
    return true;
}

static void add_entities(const hora_tally *t, hora_metrics *out) {
    hora_entity_counts c = {0, 0, 0};
    char *const *names = t->objective->names;
    bool ends = false;
    const char **truth = hora_malloc(((size_t)t->n + 1) * sizeof *truth);
    const char **guess = hora_malloc(((size_t)t->n + 1) * sizeof *guess);
    for (int64_t i = 0; i < t->n; i++) {
        truth[i] = names[t->truth[i]];
        guess[i] = names[t->guess[i]];
        ends |= hora_metric_tag_ends(truth[i]) || hora_metric_tag_ends(guess[i]);
    }
    for (int k = 0; k < t->nstart; k++) {
        const int64_t from = t->start[k], to = k + 1 < t->nstart ? t->start[k + 1] : t->n;
        if (t->objective->strict)
            hora_metric_entities_strict(truth + from, guess + from, to - from, ends, &c);
        else
            hora_metric_entities(truth + from, guess + from, to - from, &c);
    }
    const double precision = c.guessed ? (double)c.right / (double)c.guessed : 0;
    const double recall = c.true_ ? (double)c.right / (double)c.true_ : 0;
    hora_metrics_add(out, "entity_precision", precision);
    hora_metrics_add(out, "entity_recall", recall);
    hora_metrics_add(out, "entity_f1", c.right ? 2 * precision * recall / (precision + recall) : 0);
    hora_free(truth);
    hora_free(guess);
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    const int64_t k = t->objective->classes;
    int64_t *c = hora_calloc((size_t)(k * k), sizeof *c);
    hora_metric_confusion(t->truth, t->guess, t->n, k, c);
    hora_metrics_add(out, "accuracy", hora_metric_accuracy(t->truth, t->guess, t->n));
    hora_metrics_add(out, "macro_f1", hora_metric_macro_f1(c, k, false));
    hora_free(c);
    if (entities(t->objective))
        add_entities(t, out);
}

const hora_task hora_task_token_classification = {.name = "token-classification",
                                                  .summary = "a class of each word",
                                                  .architecture = "ForTokenClassification",
                                                  .task_type = "TOKEN_CLS",
                                                  .labels = HORA_LABELS_TAG,
                                                  .loss = HORA_LOSS_XENT,
                                                  .head = true,
                                                  .head_bias = true,
                                                  .head_dropout = 0.1,
                                                  .ranges = hora_ranges_causal,
                                                  .targets = targets,
                                                  .record = hora_record_head,
                                                  .metrics = metrics};
