/*
 * Several ranks, one training. Every rank has all parameters and makes every update itself; what is
 * exchanged in a step is one short message of each rank (losses, counts, whether to stop) and the
 * gradients. Decisions follow from numbers that are equal on all ranks, so no rank is told what to
 * do.
 */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "train/train_impl.h"

/* The short message, in doubles: counts below 2^53 are exact. Losses of the rank's micro-batches
 * follow. */
enum {
    SAY_STOP,
    SAY_TOKENS,
    SAY_SUPERVISED,
    SAY_BAD,
    SAY_BAD_COUNT,
    SAY_BUSY, /* seconds of computing */
    SAY_COMM, /* share of the time since it last said so that went into communication */
    SAY_WORK,
    SAY_LOSSES = SAY_WORK + HORA_WORKS
};

int64_t hora_training_micro(const hora_training *t) {
    return hora_min(t->config.grad_accum, hora_ceil_div(t->limit, t->config.batch_size));
}

/* Micro-batches of the last step. */
static int64_t last_micro(const hora_training *t) {
    int64_t first, n;
    hora_training_sequences(t, t->shape.steps - 1, &first, &n);
    return hora_max(1, hora_ceil_div(n, t->config.batch_size));
}

/* Micro-batches are added here: where a device adds them itself there is one rank. */
static bool adds(const hora_training *t) {
    return hora_device_is_host(t->parts.device);
}

static int64_t summed_floats(const hora_training *t) {
    hora_graph_sum s;
    int64_t n = 0;
    for (int i = 0; hora_graph_sum_at(t->train.g, i, &s); i++)
        n += s.elems;
    return n;
}

/* Local steps: those of the busiest rank. */
static int64_t own_micro(const hora_training *t) {
    return hora_ceil_div(hora_training_micro(t), hora_comm_size(t->parts.comm));
}

uint64_t hora_training_sum_bytes(hora_training *t) {
    const int rank = hora_comm_rank(t->parts.comm), ranks = hora_comm_size(t->parts.comm);
    const int64_t n = summed_floats(t);
    t->report.exchanged = (uint64_t)n * sizeof(float);
    if (!adds(t))
        return 0;
    if (hora_local_on(t)) {
        t->report.exchanged = hora_state_bytes(&t->state);
        return hora_local_bytes(t) + hora_tree_bytes(n, own_micro(t), 0, 1);
    }
    const uint64_t full = hora_tree_bytes(n, hora_training_micro(t), rank, ranks);
    const uint64_t last = hora_tree_bytes(n, last_micro(t), rank, ranks);
    return full > last ? full : last;
}

static hora_status make_tree(hora_training *t) {
    hora_sum_span *spans = NULL;
    hora_graph_sum s;
    int n = 0, cap = 0;
    for (int i = 0; hora_graph_sum_at(t->train.g, i, &s); i++) {
        const hora_sum_span span = {s.data, s.elems};
        HORA_PUSH(spans, n, cap, span);
    }
    hora_comm *c = hora_local_on(t) ? NULL : t->parts.comm;
    const hora_status st = hora_tree_new(&t->tree, c, spans, n);
    hora_free(spans);
    return st;
}

hora_status hora_training_sums_of(hora_training *t, int64_t n) {
    if (n < 2 || !adds(t))
        return HORA_OK;
    if (!t->tree)
        HORA_TRY(make_tree(t));
    return hora_tree_reserve(t->tree, n);
}

hora_status hora_training_gather_up(hora_training *t) {
    const int ranks = hora_comm_size(t->parts.comm);
    const int64_t micro = hora_training_micro(t), last = last_micro(t);
    if (ranks == 1) {
        HORA_TRY(hora_training_sums_of(t, micro));
        return hora_training_sums_of(t, last);
    }
    if (hora_local_on(t)) {
        HORA_TRY(hora_training_sums_of(t, own_micro(t)));
    } else {
        HORA_TRY(make_tree(t));
        HORA_TRY(hora_tree_reserve(t->tree, micro));
        HORA_TRY(hora_tree_reserve(t->tree, last));
    }
    const size_t each = SAY_LOSSES + (size_t)hora_ceil_div(micro, ranks);
    t->said = hora_calloc(each, sizeof *t->said);
    t->heard = hora_calloc(each * (size_t)ranks, sizeof *t->heard);
    t->comm_before = hora_comm_about(t->parts.comm).seconds;
    t->said_before = hora_now();
    return HORA_OK;
}

void hora_training_say(hora_training *t, int64_t i, double loss) {
    if (t->said)
        t->said[SAY_LOSSES + i] = loss;
}

/* What rank r said, added to the tally. */
static void add_rank(hora_step_tally *a, const double *said, int r, int ranks) {
    int64_t first, n;
    hora_part_of(a->micro, r, ranks, &first, &n);
    a->stop |= said[SAY_STOP] != 0;
    a->tokens += (int64_t)said[SAY_TOKENS];
    a->supervised += (int64_t)said[SAY_SUPERVISED];
    if (a->bad_sequence < 0 && said[SAY_BAD] >= 0) {
        a->bad_sequence = (int64_t)said[SAY_BAD];
        a->bad_sequences = (int64_t)said[SAY_BAD_COUNT];
    }
    for (int k = 0; k < HORA_WORKS; k++)
        a->work[k] += k == HORA_WORK_ONCE ? 0 : said[SAY_WORK + k];
    for (int64_t i = 0; i < n; i++)
        a->loss += said[SAY_LOSSES + i];
    a->comm += said[SAY_COMM] / ranks;
    const double rate = said[SAY_BUSY] > 0 ? said[SAY_TOKENS] / said[SAY_BUSY] : 0;
    if (n && (a->slowest == 0 || rate < a->slowest))
        a->slowest = rate;
}

hora_status hora_training_meet(hora_training *t, hora_step_tally *a) {
    const int ranks = hora_comm_size(t->parts.comm);
    if (ranks == 1)
        return HORA_OK;
    const size_t each = SAY_LOSSES + (size_t)hora_ceil_div(hora_training_micro(t), ranks);
    const double comm = hora_comm_about(t->parts.comm).seconds, now = hora_now();
    double *m = t->said;
    m[SAY_STOP] = a->stop || hora_training_stopping(t);
    m[SAY_TOKENS] = (double)a->tokens;
    m[SAY_SUPERVISED] = (double)a->supervised;
    m[SAY_BAD] = (double)a->bad_sequence;
    m[SAY_BAD_COUNT] = (double)a->bad_sequences;
    m[SAY_BUSY] = now - a->started;
    /* a share: what a rank waited while another wrote a checkpoint is none of that one's step */
    m[SAY_COMM] = now > t->said_before ? (comm - t->comm_before) / (now - t->said_before) : 0;
    memcpy(m + SAY_WORK, a->work, sizeof a->work);
    t->comm_before = comm;
    t->said_before = now;
    HORA_TRY(hora_comm_gather(t->parts.comm, m, each * sizeof *m, t->heard));
    a->loss = 0;
    a->tokens = a->supervised = 0;
    a->bad_sequence = -1;
    for (int k = 0; k < HORA_WORKS; k++)
        a->work[k] = k == HORA_WORK_ONCE ? a->work[k] : 0;
    for (int r = 0; r < ranks; r++)
        add_rank(a, t->heard + (size_t)r * each, r, ranks);
    return HORA_OK;
}

/* --- the same everywhere ---------------------------------------------------------------------- */
/* Position and history as one flat list. */
static hora_status share_position(hora_training *t) {
    double at[6] = {(double)t->step, t->first_loss,        t->last_loss,
                    t->best_loss,    (double)t->best_step, (double)t->since_best};
    int64_t n = t->nevals;
    HORA_TRY(hora_comm_broadcast(t->parts.comm, at, sizeof at));
    HORA_TRY(hora_comm_broadcast(t->parts.comm, &n, sizeof n));
    if (!hora_comm_leads(t->parts.comm)) {
        t->step = (int64_t)at[0];
        t->first_loss = at[1];
        t->last_loss = at[2];
        t->best_loss = at[3];
        t->best_step = (int64_t)at[4];
        t->since_best = (int64_t)at[5];
        t->nevals = 0;
        while (t->nevals < n)
            HORA_PUSH(t->evals, t->nevals, t->cevals, (past_eval){0});
    }
    return hora_comm_broadcast(t->parts.comm, t->evals, (size_t)n * sizeof *t->evals);
}

hora_status hora_training_share(hora_training *t) {
    hora_comm *c = t->parts.comm;
    HORA_ASSERT(t->prepared);
    if (hora_comm_size(c) == 1)
        return HORA_OK;
    for (int i = 0; i < t->parts.nadapters; i++)
        HORA_TRY(hora_comm_broadcast(c, t->parts.adapters[i]->values,
                                     t->parts.adapters[i]->value_bytes));
    for (int k = 0; k < t->state.optimizer->moments; k++)
        HORA_TRY(hora_comm_broadcast(c, t->state.moment[k], hora_state_bytes(&t->state)));
    HORA_TRY(hora_local_share(t));
    HORA_TRY(share_position(t));
    return hora_comm_leads(c) ? HORA_OK : hora_training_feed(t);
}

hora_json *hora_ranks_program(void) {
    char text[24] = "unknown";
    hora_map m;
    if (hora_map_open(&m, "/proc/self/exe") == HORA_OK) {
        hora_snprintf(text, sizeof text, "%016llx",
                      (unsigned long long)hora_hash64(m.data, m.n, 0));
        hora_map_release(&m);
    }
    return hora_json_new_string(text);
}

void hora_ranks_options(hora_json *out, const hora_options *table, const void *config,
                        const char *skip) {
    for (int i = 0; i < table->n; i++) {
        const hora_option *row = &table->rows[i];
        hora_str text = {0};
        if (hora_has_word(skip, row->name))
            continue;
        hora_option_format(row, config, &text);
        hora_json_set(out, row->name, hora_json_new_string(text.s ? text.s : ""));
        hora_str_release(&text);
    }
}

static hora_status differs(int rank, const char *group, const char *key, const hora_json *here,
                           const hora_json *there) {
    hora_str a = {0}, b = {0};
    if (here)
        hora_json_dump(here, 0, false, &a);
    if (there)
        hora_json_dump(there, 0, false, &b);
    const hora_status s =
        hora_fail(HORA_EMISMATCH,
                  "ranks differ: %s %s is %s on rank 0 and %s on rank %d; give all ranks the same "
                  "program, model, data and options",
                  group, key, a.s ? a.s : "nothing", b.s ? b.s : "nothing", rank);
    hora_str_release(&a);
    hora_str_release(&b);
    return s;
}

static hora_status same(int rank, const hora_json *here, const hora_json *there) {
    for (void *it = hora_json_iter(here); it; it = hora_json_next(here, it)) {
        const char *group = hora_json_iter_key(it);
        const hora_json *a = hora_json_iter_value(it), *b = hora_json_get(there, group);
        for (void *k = hora_json_iter(a); k; k = hora_json_next(a, k)) {
            const hora_json *v = hora_json_iter_value(k),
                            *w = hora_json_get(b, hora_json_iter_key(k));
            if (!hora_json_equal(v, w))
                return differs(rank, group, hora_json_iter_key(k), v, w);
        }
        if (hora_json_len(a) != hora_json_len(b))
            return differs(rank, group, "as a whole", a, b);
    }
    return HORA_OK;
}

hora_status hora_ranks_compare(hora_comm *c, const hora_json *here) {
    const int ranks = hora_comm_size(c);
    hora_str text = {0};
    hora_json *first = NULL;
    if (ranks == 1)
        return HORA_OK;
    hora_json_dump(here, 0, false, &text);
    hora_str *all = hora_calloc((size_t)ranks, sizeof *all);
    hora_status s = hora_comm_gather_any(c, text.s, text.n, all);
    if (!s)
        s = hora_json_parse(&first, all[0].s, all[0].n, "rank 0");
    for (int r = 1; r < ranks && !s; r++) {
        hora_json *other = NULL;
        s = hora_json_parse(&other, all[r].s, all[r].n, "a rank");
        if (!s)
            s = same(r, first, other);
        hora_json_free(other);
    }
    hora_json_free(first);
    for (int r = 0; r < ranks; r++)
        hora_str_release(&all[r]);
    hora_free(all);
    hora_str_release(&text);
    return s;
}

hora_status hora_training_compare(hora_training *t) {
    hora_json *here = NULL;
    if (hora_comm_size(t->parts.comm) == 1)
        return HORA_OK;
    HORA_TRY(hora_checkpoint_identity(t, NULL, &here));
    hora_json *p = hora_json_set(here, "program", hora_json_new_object());
    hora_json_set(p, "kernels", hora_json_new_string(hora_device_variant(t->parts.device)));
    if (t->parts.eval) {
        hora_json *e = hora_json_set(here, "evaluation data", hora_json_new_object());
        hora_json_set(e, "sequences", hora_json_new_int(hora_data_about(t->parts.eval)->sequences));
        char hash[24];
        hora_snprintf(hash, sizeof hash, "%016llx",
                      (unsigned long long)hora_data_about(t->parts.eval)->hash);
        hora_json_set(e, "hash", hora_json_new_string(hash));
    }
    /* those that a resume may change too, but for what each machine has of its own */
    hora_ranks_options(hora_json_set(here, "option", hora_json_new_object()), &hora_train_options,
                       &t->config, "memory");
    const hora_status s = hora_ranks_compare(t->parts.comm, here);
    hora_json_free(here);
    return s;
}
