/*
 * Embedding: a vector for each text, of a model without any head. What makes one of the last hidden
 * state stands in the model's folder (embed.h). Trained on texts that belong together, each against
 * all others of its micro-batch (op contrast: sentence-transformers' MultipleNegativesRankingLoss),
 * or on pairs and how alike they are (op cosine, squared distance: its CosineSimilarityLoss).
 *
 * Texts of different micro-batches do not meet: with grad_accum=k a step has k times the anchors,
 * and each still has the candidates of its own micro-batch. So k batches are not one, as elsewhere.
 */
#include "task/task.h"

#include <math.h>

#include "base/log.h"
#include "graph/verbs.h"
#include "task/metric.h"

/* The row of a text in which its vector stands; where it is a mean, op pool puts it there. */
static int64_t vector_row(const hora_objective *o, const hora_segment *s) {
    return o->how.pool == HORA_EMBED_LAST ? s->from + s->n - 1 : s->from;
}

/* The text that belongs to the anchor carries weight and score. */
static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    const bool own = s->part == 1;
    if (b && b->weight) {
        const int64_t row = vector_row(rule->own, s);
        hora_targets_none(b, s);
        b->target[row] = s->part;
        b->weight[row] = own;
        if (b->value && own && s->numbers)
            b->value[row * b->leaves.columns[HORA_LEAF_value]] = s->numbers[0];
    }
    return (hora_counted){own, 0};
}

static void record(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out) {
    if (!out->want_loss && !out->want_logits)
        return;
    const hora_t x = o->how.pool == HORA_EMBED_MEAN ? hora_pool(n->g, hidden, 0, false) : hidden;
    if (out->want_logits)
        out->logits = x;
    if (out->want_loss)
        out->loss = out->scored ? hora_mse(n->g, hora_cosine(n->g, x))
                                : hora_contrast(n->g, x, o->similarity_scale);
}

static hora_status check(const hora_objective *o, const hora_dataset *data, int64_t batch_size,
                         int64_t grad_accum) {
    const hora_label_table *t = hora_data_labels(data);
    (void)o;
    if (t->numbers && (t->least < -1 || t->most > 1))
        return hora_fail(
            HORA_EUSAGE,
            "the scores of the training data go from %g to %g, but cosines lie between "
            "-1 and 1; divide them (scores of 0 to 5 by 5)",
            (double)t->least, (double)t->most);
    if (!t->numbers && batch_size < 2 && hora_data_about(data)->texts < 3)
        return hora_fail(HORA_EUSAGE, "batch_size=1: a text is told apart from the others of its "
                                      "micro-batch, so there must be some; give 2 or more");
    if (!t->numbers && grad_accum > 1)
        hora_info("texts are compared within a micro-batch of %lld records; grad_accum=%lld adds "
                  "steps, not candidates (a larger batch_size does)",
                  (long long)batch_size, (long long)grad_accum);
    return HORA_OK;
}

/* --- evaluation ------------------------------------------------------------------------------- */
typedef struct vectors { /* of a batch, of length 1 */
    int64_t n, d;
    int32_t *part;
    float *score, *u;
} vectors;

static void take(vectors *v, const hora_view *x, const hora_batch *b, int64_t columns) {
    const int64_t d = v->d = hora_row_elems(&x->shape);
    const size_t bytes = (size_t)d * hora_dtype_size(x->dtype);
    v->n = 0;
    for (int64_t i = 0; i < b->tokens; i++)
        v->n += b->target[i] >= 0;
    v->part = hora_malloc((size_t)(v->n + 1) * sizeof *v->part);
    v->score = hora_calloc((size_t)(v->n + 1), sizeof *v->score);
    v->u = hora_malloc((size_t)(v->n * d + 1) * sizeof *v->u);
    for (int64_t i = 0, at = 0; i < b->tokens; i++) {
        if (b->target[i] < 0)
            continue;
        float *u = v->u + at * d;
        double square = 0;
        hora_convert(u, HORA_F32, (const char *)x->data + (size_t)i * bytes, x->dtype, d);
        for (int64_t k = 0; k < d; k++)
            square += (double)u[k] * (double)u[k];
        for (int64_t k = 0; k < d; k++)
            u[k] = (float)((double)u[k] / fmax(sqrt(square), 1e-12));
        v->part[at] = b->target[i];
        if (columns)
            v->score[at] = b->value[i * columns];
        at++;
    }
}

static double cosine(const vectors *v, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < v->d; k++)
        sum += (double)v->u[i * v->d + k] * (double)v->u[j * v->d + k];
    return sum;
}

/* How much nearer text p is to its anchor a than the nearest of its record's others; NaN: none. */
static double margin(const vectors *v, int64_t a, int64_t p) {
    double least = NAN;
    for (int64_t j = p + 1; j < v->n && v->part[j] > 1; j++)
        least = fmin(least, cosine(v, a, p) - cosine(v, a, j));
    return least;
}

/* Whether no text of the batch is nearer. */
static bool nearest(const vectors *v, int64_t a, int64_t p) {
    const double own = cosine(v, a, p);
    for (int64_t j = 0; j < v->n; j++)
        if (v->part[j] && j != p && cosine(v, a, j) >= own)
            return false;
    return true;
}

/* Of a pair y is the score and z the cosine; of others y says whether no text of the batch is
 * nearer, and z is the margin. */
static void observe(hora_tally *t, const hora_view *x, const hora_batch *b) {
    vectors v;
    take(&v, x, b, t->scored ? b->leaves.columns[HORA_LEAF_value] : 0);
    hora_tally_grow(t, b->supervised, 1);
    for (int64_t p = 1; p < v.n; p++) {
        if (v.part[p] != 1)
            continue;
        t->y[t->n] = t->scored ? v.score[p] : nearest(&v, p - 1, p);
        t->z[t->n++] = (float)(t->scored ? cosine(&v, p - 1, p) : margin(&v, p - 1, p));
    }
    hora_free(v.part);
    hora_free(v.score);
    hora_free(v.u);
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    double *y = hora_malloc(((size_t)t->n + 1) * sizeof *y), right = 0, apart = 0;
    double *z = hora_malloc(((size_t)t->n + 1) * sizeof *z);
    int64_t told = 0;
    for (int64_t i = 0; i < t->n; i++) {
        y[i] = (double)t->y[i];
        z[i] = (double)t->z[i];
        right += y[i] / (double)t->n;
        told += !isnan(z[i]);
        apart += z[i] > 0;
    }
    if (t->scored) { /* of any scale, so that less is better for all of them */
        out->at[0].value = 1 - hora_metric_spearman(z, y, t->n);
        hora_metrics_numbers(out, z, y, t->n);
    } else {
        hora_metrics_add(out, "accuracy", right);
        if (told)
            hora_metrics_add(out, "triplet_accuracy", apart / (double)told);
    }
    hora_free(y);
    hora_free(z);
}

const hora_task hora_task_embedding = {.name = "embedding",
                                       .summary = "a vector for each text, learned from pairs",
                                       .task_type = "FEATURE_EXTRACTION",
                                       .body = true,
                                       .labels = HORA_LABELS_TEXTS,
                                       .loss = HORA_LOSS_MSE,
                                       .ranges = hora_ranges_causal,
                                       .targets = targets,
                                       .record = record,
                                       .check = check,
                                       .observe = observe,
                                       .metrics = metrics};
