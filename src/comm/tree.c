/*
 * The sum: partial sums of subtrees wait on a stack, like the digits of a binary counter. What ends
 * in a rank are the whole subtrees of its range. To sum over ranks, each takes one slice of the
 * numbers, gets that slice of every subtree, adds them along the same tree, and gives the result to
 * all: what travels is twice the gradient for any number of ranks, and no order depends on it.
 */
#include "comm/tree.h"

#include "base/log.h"
#include "base/threads.h"
#include "comm/comm_impl.h"

enum { TILE = 1 << 14, ROUND = 1 << 22 }; /* floats added at once; received at once, about */

typedef struct subtree {
    int64_t first, count; /* leaves */
    float *data;          /* NULL: in the spans */
} subtree;

typedef struct piece { /* of a span, at most a tile */
    float *at;
    int64_t offset, n; /* in the flat order of the spans */
} piece;

struct hora_tree {
    hora_comm *comm;
    piece *pieces;
    int npieces, cpieces;
    int64_t floats;
    int64_t leaves, next, end; /* of the sum; this rank's next; one past its last */
    subtree *stack;            /* of this rank */
    int depth;
    float **room; /* memory of waiting subtrees, by their place on the stack */
    int rooms, crooms, levels;
    float *inbox; /* slices of all subtrees; only with other ranks */
    int64_t inbox_floats, round;
    subtree *all; /* of all ranks, in order of leaves */
    int call, nall;
};

/* --- shape ------------------------------------------------------------------------------------ */
static bool siblings(const subtree *a, const subtree *b) {
    return a->count == b->count && a->first % (2 * a->count) == 0;
}

/* The whole subtrees of [first, first + n), in order; returns how many. */
enum { MOST_SUBTREES = 128 }; /* two for each bit of a count */
static int subtrees(int64_t first, int64_t n, subtree *out) {
    int k = 0;
    for (int64_t at = first, end = first + n; at < end;) {
        int64_t count = 1;
        while (at % (2 * count) == 0 && at + 2 * count <= end)
            count *= 2;
        out[k++] = (subtree){.first = at, .count = count};
        at += count;
    }
    return k;
}

/* Partial sums that wait while a leaf is computed, which appears in the spans; the most there are
 * at once. */
static int waiting(int64_t first, int64_t n) {
    subtree s[MOST_SUBTREES];
    int most = 0;
    for (int64_t k = 0; k < n; k++)
        most = (int)hora_max(most, subtrees(first, k, s));
    return most;
}

/* For ranks also the last one, in one piece. */
static int levels(int64_t leaves, int rank, int ranks) {
    subtree s[MOST_SUBTREES];
    int64_t first, n;
    hora_part_of(leaves, rank, ranks, &first, &n);
    const int alone = waiting(first, n);
    return ranks == 1 ? alone : (int)hora_max(alone, subtrees(first, n, s)) + 1;
}

static int64_t inbox_floats(int64_t floats, int64_t leaves, int ranks, int64_t *round) {
    subtree s[MOST_SUBTREES];
    int64_t total = 0;
    for (int r = 0; r < ranks; r++) {
        int64_t first, n;
        hora_part_of(leaves, r, ranks, &first, &n);
        total += subtrees(first, n, s);
    }
    *round = hora_max(hora_min(floats, ROUND / hora_max(1, total) * ranks), (int64_t)ranks * 1024);
    return ranks == 1 ? 0 : total * hora_ceil_div(*round, ranks);
}

uint64_t hora_tree_bytes(int64_t floats, int64_t leaves, int rank, int ranks) {
    int64_t round;
    if (leaves < 2 && ranks == 1)
        return 0;
    return sizeof(float) * (uint64_t)(floats * levels(leaves, rank, ranks) +
                                      inbox_floats(floats, leaves, ranks, &round));
}

hora_tree_traffic hora_tree_sends(int64_t floats, int64_t leaves, int ranks) {
    subtree s[MOST_SUBTREES];
    hora_tree_traffic t = {0};
    int64_t round, most = 0;
    if (ranks == 1)
        return t;
    for (int r = 0; r < ranks; r++) {
        int64_t first, n;
        hora_part_of(leaves, r, ranks, &first, &n);
        most = hora_max(most, subtrees(first, n, s));
    }
    inbox_floats(floats, leaves, ranks, &round);
    t.rounds = hora_ceil_div(floats, round);
    t.messages = (double)(t.rounds * (ranks - 1) * (most + 1));
    t.bytes = (double)(most + 1) * (ranks - 1) / ranks * (double)floats * sizeof(float);
    return t;
}

/* --- life ------------------------------------------------------------------------------------- */
hora_status hora_tree_new(hora_tree **out, hora_comm *c, const hora_sum_span *spans, int nspans) {
    hora_tree *t = *out = hora_calloc(1, sizeof *t);
    t->comm = c;
    for (int i = 0; i < nspans; i++)
        for (int64_t at = 0; at < spans[i].n; at += TILE) {
            const piece p = {spans[i].data + at, t->floats + at, hora_min(TILE, spans[i].n - at)};
            HORA_PUSH(t->pieces, t->npieces, t->cpieces, p);
            if (at + TILE >= spans[i].n)
                t->floats += spans[i].n;
        }
    t->stack = hora_calloc(MOST_SUBTREES, sizeof *t->stack);
    return HORA_OK;
}

static void drop_inbox(hora_tree *t) {
    if (t->inbox)
        hora_block_free(t->inbox, (size_t)t->inbox_floats * sizeof(float));
    t->inbox = NULL;
}

void hora_tree_free(hora_tree *t) {
    if (!t)
        return;
    for (int i = 0; i < t->rooms; i++)
        hora_block_free(t->room[i], (size_t)t->floats * sizeof(float));
    drop_inbox(t);
    hora_free(t->room);
    hora_free(t->pieces);
    hora_free(t->stack);
    hora_free(t->all);
    hora_free(t);
}

hora_status hora_tree_reserve(hora_tree *t, int64_t leaves) {
    const int ranks = hora_comm_size(t->comm), self = hora_comm_rank(t->comm);
    const int want = levels(leaves, self, ranks);
    int64_t round;
    const int64_t floats = inbox_floats(t->floats, leaves, ranks, &round);
    while (t->rooms < want) {
        void *room;
        HORA_TRY(hora_block_new(&room, (size_t)t->floats * sizeof(float), "sums of gradients"));
        HORA_PUSH(t->room, t->rooms, t->crooms, room);
    }
    if (floats > t->inbox_floats) {
        void *inbox;
        drop_inbox(t);
        HORA_TRY(hora_block_new(&inbox, (size_t)floats * sizeof(float), "gradients of all ranks"));
        t->inbox = inbox;
        t->inbox_floats = floats;
    }
    if (!t->call) {
        t->call = MOST_SUBTREES * ranks;
        t->all = hora_calloc((size_t)t->call, sizeof *t->all);
    }
    return HORA_OK;
}

void hora_tree_begin(hora_tree *t, int64_t leaves) {
    int64_t n;
    hora_part_of(leaves, hora_comm_rank(t->comm), hora_comm_size(t->comm), &t->next, &n);
    t->leaves = leaves;
    t->end = t->next + n;
    t->depth = 0;
}

/* --- adding ----------------------------------------------------------------------------------- */
typedef struct job {
    const hora_tree *t;
    float *flat;
} job;

static void add_piece(void *arg, int64_t i, int thread) {
    (void)thread;
    const job *j = arg;
    const piece *p = &j->t->pieces[i];
    const float *left = j->flat + p->offset;
    for (int64_t k = 0; k < p->n; k++)
        p->at[k] = left[k] + p->at[k];
}

static void save_piece(void *arg, int64_t i, int thread) {
    (void)thread;
    const job *j = arg;
    const piece *p = &j->t->pieces[i];
    memcpy(j->flat + p->offset, p->at, (size_t)p->n * sizeof *p->at);
}

static void load_piece(void *arg, int64_t i, int thread) {
    (void)thread;
    const job *j = arg;
    const piece *p = &j->t->pieces[i];
    memcpy(p->at, j->flat + p->offset, (size_t)p->n * sizeof *p->at);
}

static void over_pieces(hora_tree *t, void (*f)(void *, int64_t, int), float *flat) {
    job j = {t, flat};
    hora_parallel(t->npieces, f, &j);
}

/* The subtree in the spans moves to its room. */
static void put_away(hora_tree *t) {
    subtree *last = &t->stack[t->depth - 1];
    HORA_ASSERT(t->depth <= t->rooms);
    last->data = t->room[t->depth - 1];
    over_pieces(t, save_piece, last->data);
}

void hora_tree_leaf(hora_tree *t) {
    HORA_ASSERT(t->next < t->end && t->depth < MOST_SUBTREES);
    t->stack[t->depth++] = (subtree){.first = t->next++, .count = 1};
    while (t->depth > 1 && siblings(&t->stack[t->depth - 2], &t->stack[t->depth - 1])) {
        over_pieces(t, add_piece, t->stack[t->depth - 2].data);
        t->depth--;
        t->stack[t->depth - 1].count *= 2;
        t->stack[t->depth - 1].data = NULL;
    }
    if (t->next < t->end || hora_comm_size(t->comm) > 1)
        put_away(t);
}

/* What no sibling is left for. */
static void sum_alone(hora_tree *t) {
    while (t->depth > 1)
        over_pieces(t, add_piece, t->stack[--t->depth - 1].data);
}

/* --- over ranks ------------------------------------------------------------------------------- */
typedef struct slice_job {
    float *to;
    const float *left;
    int64_t n;
} slice_job;

static void add_slice_tile(void *arg, int64_t i, int thread) {
    (void)thread;
    const slice_job *j = arg;
    const int64_t end = hora_min(j->n, (i + 1) * TILE);
    for (int64_t k = i * TILE; k < end; k++)
        j->to[k] = j->left[k] + j->to[k];
}

/* right = left + right */
static void add_slice(float *left, float *right, int64_t n) {
    slice_job j = {right, left, n};
    hora_parallel(hora_ceil_div(n, TILE), add_slice_tile, &j);
}

/* Lists the subtrees of all ranks; data are places in the inbox, NULL for this rank's. */
static void list_all(hora_tree *t, int64_t slice) {
    const int ranks = hora_comm_size(t->comm), self = hora_comm_rank(t->comm);
    float *at = t->inbox;
    t->nall = 0;
    for (int r = 0; r < ranks; r++) {
        int64_t first, n;
        hora_part_of(t->leaves, r, ranks, &first, &n);
        const int k = subtrees(first, n, &t->all[t->nall]);
        for (int i = 0; i < k; i++) {
            t->all[t->nall + i].data = at;
            at += slice;
            if (r == self)
                HORA_ASSERT(t->stack[i].first == t->all[t->nall + i].first);
            else
                hora_comm_receive(t->comm, r, t->all[t->nall + i].data,
                                  (size_t)slice * sizeof(float));
        }
        t->nall += k;
    }
}

/* Slice r of the numbers [from, from + n). */
static void slice_of(int64_t from, int64_t n, int r, int ranks, int64_t *first, int64_t *count) {
    hora_part_of(n, r, ranks, first, count);
    *first += from;
}

/* Adds what list_all has listed, into `to`. */
static void add_all(hora_tree *t, float *to, int64_t n) {
    subtree *s = t->all;
    int depth = 0;
    for (int i = 0; i < t->nall; i++) {
        s[depth++] = s[i];
        for (; depth > 1 && siblings(&s[depth - 2], &s[depth - 1]); depth--) {
            add_slice(s[depth - 2].data, s[depth - 1].data, n);
            s[depth - 2] = (subtree){s[depth - 2].first, 2 * s[depth - 2].count, s[depth - 1].data};
        }
    }
    for (; depth > 1; depth--) {
        add_slice(s[depth - 2].data, s[depth - 1].data, n);
        s[depth - 2].data = s[depth - 1].data;
    }
    memcpy(to, s[0].data, (size_t)n * sizeof *to);
}

static hora_status sum_round(hora_tree *t, float *flat, int64_t from, int64_t n) {
    const int ranks = hora_comm_size(t->comm), self = hora_comm_rank(t->comm);
    int64_t own, mine, at, count;
    slice_of(from, n, self, ranks, &own, &mine);
    list_all(t, mine);
    for (int r = 0; r < ranks; r++) {
        slice_of(from, n, r, ranks, &at, &count);
        for (int i = 0; i < t->depth && r != self; i++)
            hora_comm_send(t->comm, r, t->stack[i].data + at, (size_t)count * sizeof(float));
    }
    HORA_TRY(hora_comm_move(t->comm));
    for (int i = 0, k = 0; i < t->nall && k < t->depth; i++)
        if (t->all[i].first == t->stack[k].first)
            memcpy(t->all[i].data, t->stack[k++].data + own, (size_t)mine * sizeof(float));
    add_all(t, flat + own, mine);
    for (int r = 0; r < ranks; r++) {
        slice_of(from, n, r, ranks, &at, &count);
        hora_comm_receive(t->comm, r, flat + at, (size_t)count * sizeof(float));
        if (r != self)
            hora_comm_send(t->comm, r, flat + own, (size_t)mine * sizeof(float));
    }
    return hora_comm_move(t->comm);
}

hora_status hora_tree_sum(hora_tree *t) {
    const int ranks = hora_comm_size(t->comm);
    HORA_ASSERT(t->next == t->end);
    if (ranks == 1) {
        sum_alone(t);
        return HORA_OK;
    }
    float *flat = t->room[t->rooms - 1]; /* no subtree's */
    HORA_ASSERT(t->depth < t->rooms);
    inbox_floats(t->floats, t->leaves, ranks, &t->round);
    for (int64_t from = 0; from < t->floats; from += t->round)
        HORA_TRY(sum_round(t, flat, from, hora_min(t->round, t->floats - from)));
    over_pieces(t, load_piece, flat);
    return HORA_OK;
}
