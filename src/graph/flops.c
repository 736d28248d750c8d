/*
 * Work: the FLOPs of products of matrices, two per multiply-add, that a step must compute. Forward
 * one product; backward one for each factor that carries gradient, so nothing below the lowest
 * parameter. The head counts for tokens with a target; attention for pairs that are seen: forward
 * two products (scores, values), backward the scores again, their gradient, and one for each of q,
 * k, v that carries gradient: five in most layers. Layers that are recomputed do not count twice;
 * what leads to no chosen parameter does not count.
 */
#include "graph/graph_impl.h"

static void attention_flops(const node *n, hora_phase phase, double prefix, double f[HORA_WORKS]) {
    const bool q = n->live_inputs & HORA_IN(0), k = n->live_inputs & HORA_IN(1),
               v = n->live_inputs & HORA_IN(2);
    const int forward = hora_op_at(n->op)->options & HORA_OP_SCORES ? 1 : 2;
    double products = phase == HORA_FORWARD ? forward : 1 + (q || k) + q + k + v;
    double pair = products * 2.0 * (double)(n->attr.heads * n->attr.head_dim);
    f[n->attr.window ? HORA_WORK_WINDOWED : HORA_WORK_PAIR] += pair;
    f[HORA_WORK_TOKEN] += pair * prefix;
}

/* The head makes its gradient in the chunk that holds its logits, when only x carries one. */
static double product_flops(const node *n, hora_phase phase, const hora_view *in,
                            const hora_view *out) {
    const hora_op *op = hora_op_at(n->op);
    const bool early =
        op->options & HORA_OP_TARGETS && n->has_backward && n->grad_inputs == HORA_IN(0);
    if (phase == HORA_BACKWARD && op->flops_back)
        return op->flops_back(in, out, &n->attr, n->live_inputs);
    int factors = !!(n->live_inputs & HORA_IN(0)) + !!(n->live_inputs & HORA_IN(1));
    int products = phase == HORA_FORWARD ? 1 + early : early ? 0 : factors;
    return products * op->flops(in, out, &n->attr);
}

void hora_graph_node_flops(const hora_graph *g, const node *n, hora_phase phase,
                           double f[HORA_WORKS]) {
    const hora_op *op = hora_op_at(n->op);
    const tensor *out = &g->tensors[n->out];
    hora_view in[HORA_MAX_IN];
    for (int k = 0; k < HORA_MAX_IN; k++)
        in[k] = *hora_graph_view(g, n->in[k]);
    const bool in_rows = op->options & HORA_OP_SCORES && phase == HORA_BACKWARD;
    if (op->options & HORA_OP_PAIRS && !in_rows) {
        const bool prefix = op->optional & HORA_IN(3) && !hora_absent(&in[3]);
        attention_flops(n, phase, prefix ? (double)in[3].shape.d[0] : 0, f);
        return;
    }
    if (!op->flops)
        return;
    double all = product_flops(n, phase, in, &out->view);
    const bool rows = out->row_tensor || g->tensors[n->in[0]].row_tensor;
    const int64_t current = g->prepared ? g->current_rows : g->config.rows;
    if (op->options & HORA_OP_TARGETS)
        f[HORA_WORK_TARGET] += all / (double)current;
    else if (rows)
        f[HORA_WORK_TOKEN] += all / (double)current;
    else
        f[HORA_WORK_ONCE] += all;
}

void hora_graph_sum_flops(hora_graph *g) {
    hora_plan_info *info = &g->info;
    memset(info->flops, 0, sizeof info->flops);
    info->window = info->ahead = 0;
    for (int i = 0; i < g->node_count; i++) {
        const node *n = &g->nodes[i];
        if (!g->tensors[n->out].needed)
            continue;
        hora_graph_node_flops(g, n, HORA_FORWARD, info->flops);
        if (n->live_inputs)
            hora_graph_node_flops(g, n, HORA_BACKWARD, info->flops);
        if (hora_op_at(n->op)->options & HORA_OP_PAIRS && n->attr.window) {
            info->window = n->attr.window;
            info->ahead = n->attr.ahead;
        }
    }
}

void hora_graph_add_work(const hora_graph *g, const hora_batch *b, double work[HORA_WORKS]) {
    const int64_t window = g->info.window, ahead = g->info.ahead;
    int64_t tokens = 0, targets = 0, pairs = 0, windowed = 0;
    for (int64_t i = 0; i < b->rows; i++) {
        int64_t sees = b->hi[i] - b->lo[i], from = hora_max(b->lo[i], i + 1 - window);
        const int64_t to = ahead ? hora_min(b->hi[i], i + 1 + ahead) : b->hi[i];
        tokens += sees > 0;
        pairs += sees;
        targets += b->target && b->target[i] >= 0;
        windowed += window ? hora_max(0, to - from) : 0;
    }
    work[HORA_WORK_TOKEN] += (double)tokens;
    work[HORA_WORK_TARGET] += (double)targets;
    work[HORA_WORK_PAIR] += (double)pairs;
    work[HORA_WORK_WINDOWED] += (double)windowed;
}

void hora_graph_add_full_work(const hora_graph *g, const hora_full_work *full,
                              double work[HORA_WORKS]) {
    const double n = (double)full->sequences;
    const int64_t t = full->tokens, window = g->info.window, ahead = g->info.ahead;
    for (int64_t i = 0; i < t; i++) {
        const int64_t hi = full->whole ? t : i + 1, to = ahead ? hora_min(hi, i + 1 + ahead) : hi;
        work[HORA_WORK_PAIR] += n * (double)hi;
        work[HORA_WORK_WINDOWED] += window ? n * (double)(to - hora_max(0, i + 1 - window)) : 0;
    }
    work[HORA_WORK_TOKEN] += n * (double)t;
    work[HORA_WORK_TARGET] += n * (double)full->targets;
}

double hora_graph_flops(const hora_graph *g, const double work[HORA_WORKS]) {
    double sum = 0;
    for (int i = 0; i < HORA_WORKS; i++)
        sum += g->info.flops[i] * work[i];
    return sum;
}
