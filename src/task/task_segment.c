/*
 * Segmentation: a class of each pixel. A light head on the pieces' last hidden states h:
 *
 *   linear      z = W h + b                                    logits of each piece
 *   upsampled   z = W gelu(up(D h + d)) + b                    of the four quarters of each piece
 *
 * up: bilinearly to a grid twice as fine, which comes behind D because both are linear and D is
 * cheaper before. Between the cells logits are interpolated bilinearly (op_segment.c), so no map of
 * full size is kept. Loss: the mean over pictures of the mean cross-entropy of their pixels plus
 * `dice` times soft Dice loss.
 */
#include "base/mem.h"
#include "base/text.h"
#include "graph/verbs.h"
#include "model/family.h"
#include "task/metric.h"
#include "task/segment.h"
#include "task/task.h"

enum { QUARTERS = 4, LOGGED = 28 }; /* classes whose numbers are logged one by one, at most */

hora_mesh hora_segment_mesh(const hora_objective *o, const hora_vision *v) {
    const int64_t high = v->height / v->patch, wide = v->width / v->patch;
    return (hora_mesh){
        .lead = hora_vision_rows(v) - high * wide,
        .high = high,
        .wide = wide,
        .split = o->upsampled ? 2 : 1,
        .side = v->patch,
        .k = o->classes,
    };
}

static hora_t logits_of(hora_net *n, hora_t x) {
    const hora_head head = hora_net_head(n, x);
    return hora_net_logits(n, &head, x);
}

/* (rows, 4 classes) */
static hora_t upsampled(hora_net *n, const hora_mesh *m, hora_t hidden) {
    const int *neck = n->base->neck;
    hora_t low = hora_linear(n->g, hidden, hora_net_weight(n, neck[0]), hora_net_weight(n, neck[1]),
                             HORA_NONE, 1);
    hora_t z = HORA_NONE;
    for (int q = 0; q < QUARTERS; q++) {
        hora_t x = hora_activate(n->g, hora_upsample(n->g, low, m->lead, m->high, m->wide, q),
                                 HORA_ACT_GELU);
        hora_t one = hora_fit_at(n->g, logits_of(n, x), QUARTERS * m->k, q * m->k);
        z = q ? hora_add(n->g, z, one, 1) : one;
    }
    return z;
}

static void record(const hora_objective *o, hora_net *n, hora_t hidden, hora_outputs *out) {
    hora_mesh m = hora_segment_mesh(o, n->base->vision);
    /* rows of adapters stand in front of the pieces too */
    m.lead = n->base->vision->heads + hora_net_slots(n);
    const hora_attr grid = {.a = m.lead,
                            .b = m.high,
                            .w = m.wide,
                            .groups = m.split,
                            .first = m.side,
                            .alpha = o->dice};
    hora_t z = o->upsampled ? upsampled(n, &m, hidden) : logits_of(n, hidden);
    if (out->want_logits)
        out->logits = z;
    if (out->want_loss)
        out->loss = hora_segment_loss(n->g, z, &grid);
}

/* A picture counts once, whatever its size. */
static hora_counted targets(const hora_data_rule *rule, const hora_segment *s, hora_batch *b) {
    (void)rule;
    if (b) {
        hora_targets_none(b, s);
        b->weight[s->from] = 1;
    }
    return (hora_counted){1, 0};
}

/* --- evaluation ------------------------------------------------------------------------------- */
int32_t hora_segment_guess(const hora_mesh *m, const float *z, int64_t y, int64_t x, int64_t high,
                           int64_t wide, float *room) {
    const hora_between v = hora_mesh_between(y, high, hora_mesh_cells_high(m));
    const hora_between u = hora_mesh_between(x, wide, hora_mesh_cells_wide(m));
    memset(room, 0, (size_t)m->k * sizeof *room);
    for (int e = 0; e < 4; e++) {
        const double share = (e / 2 ? v.share : 1 - v.share) * (e % 2 ? u.share : 1 - u.share);
        const float *cell = z + hora_mesh_at(m, v.at[e / 2], u.at[e % 2]);
        for (int64_t j = 0; j < m->k && share > 0; j++)
            room[j] += (float)share * cell[j];
    }
    int32_t best = 0;
    for (int32_t j = 1; j < m->k; j++)
        best = room[j] > room[best] ? j : best;
    return best;
}

static void observe(hora_tally *t, const hora_view *logits, const hora_batch *b) {
    const hora_objective *o = t->objective;
    const int64_t width = hora_row_elems(&logits->shape), k = o->classes;
    hora_mesh m = hora_segment_mesh(o, t->vision);
    float *room = hora_malloc((size_t)k * sizeof *room), *z = NULL;
    if (!t->confusion)
        t->confusion = hora_calloc((size_t)(k * k), sizeof *t->confusion);
    for (int64_t i = 0; i < b->tokens; i++) {
        const int64_t end = hora_batch_segment_end(b, i);
        if (end == i || b->weight[i] == 0)
            continue;
        m.lead = end - i - m.high * m.wide;
        z = hora_realloc(z, (size_t)((end - i) * width) * sizeof *z);
        hora_convert(z, HORA_F32,
                     (const char *)logits->data +
                         (size_t)(i * width) * hora_dtype_size(logits->dtype),
                     logits->dtype, (end - i) * width);
        const int32_t *classes = b->pixels + i * m.side * m.side;
        const int64_t high = m.high * m.side, wide = m.wide * m.side;
        for (int64_t y = 0; y < high; y++)
            for (int64_t x = 0; x < wide; x++) {
                const int32_t truth = classes[hora_mesh_pixel(&m, y, x)];
                if (truth >= 0)
                    t->confusion[truth * k + hora_segment_guess(&m, z, y, x, high, wide, room)]++;
            }
    }
    hora_free(room);
    hora_free(z);
}

static void metrics(const hora_tally *t, hora_metrics *out) {
    const int64_t k = t->objective->classes;
    const int64_t *c = t->confusion;
    int64_t right = 0, all = 0;
    for (int64_t i = 0; c && i < k * k; i++) {
        all += c[i];
        right += i % (k + 1) ? 0 : c[i];
    }
    if (!all)
        return;
    hora_metrics_add(out, "pixel_accuracy", (double)right / (double)all);
    hora_metrics_add(out, "miou", hora_metric_over_classes(hora_metric_iou, c, k));
    hora_metrics_add(out, "mean_dice", hora_metric_over_classes(hora_metric_dice, c, k));
    for (int64_t i = 0; i < k && k <= LOGGED && t->objective->names; i++) {
        hora_metrics_add_of(out, "iou", t->objective->names[i], hora_metric_iou(c, k, i));
        hora_metrics_add_of(out, "dice", t->objective->names[i], hora_metric_dice(c, k, i));
    }
}

const hora_task hora_task_segment = {.name = "segment",
                                     .summary = "a class of each pixel of a picture",
                                     .architecture = "ForSegmentation",
                                     .task_type = "IMAGE_SEG",
                                     .pictures = true,
                                     .labels = HORA_LABELS_PIXELS,
                                     .loss = HORA_LOSS_XENT,
                                     .head = true,
                                     .head_bias = true,
                                     .ranges = hora_ranges_whole,
                                     .targets = targets,
                                     .record = record,
                                     .observe = observe,
                                     .metrics = metrics};
