#ifndef HORA_COMM_TREE_H
#define HORA_COMM_TREE_H
/*
 * Sums of floats with the same bits for any number of ranks. The terms are leaves 0 .. n - 1; they
 * are added along one binary tree over their indices: a node over `count` leaves (a power of two)
 * that begins at a multiple of 2 count is added to its right neighbour of the same size; when no
 * two are left, what remains is added from the right. This is the shape of pairwise summation
 * (Higham, The accuracy of floating point summation, SISC 14, 1993), and a rank that owns a
 * contiguous range of leaves (hora_part_of) holds whole subtrees of it, which are all it has to
 * send.
 */
#include "comm/comm.h"

typedef struct hora_sum_span { /* borrowed */
    float *data;
    int64_t n;
} hora_sum_span;
typedef struct hora_tree hora_tree;

/* Bytes that summing takes besides the spans, of `floats` in all. */
uint64_t hora_tree_bytes(int64_t floats, int64_t leaves, int rank, int ranks);

/* What a sum sends: by the rank that sends most, and how often all wait for each other. */
typedef struct hora_tree_traffic {
    double bytes, messages;
    int64_t rounds;
} hora_tree_traffic;
hora_tree_traffic hora_tree_sends(int64_t floats, int64_t leaves, int ranks);

/* c: NULL for one rank alone; borrowed. The spans are where each leaf appears, and the sum. */
hora_status hora_tree_new(hora_tree **out, hora_comm *c, const hora_sum_span *spans, int nspans);
void hora_tree_free(hora_tree *t); /* accepts NULL */
/* Takes memory for sums of up to `leaves` leaves; HORA_ENOMEM. */
hora_status hora_tree_reserve(hora_tree *t, int64_t leaves);
/* A sum of so many leaves on all ranks, at most as many as are reserved. */
void hora_tree_begin(hora_tree *t, int64_t leaves);
/* The spans hold this rank's next leaf. They may be overwritten afterwards, as often as this rank
 * has leaves. Allocates nothing. */
void hora_tree_leaf(hora_tree *t);
/* The spans hold the sum of all leaves, on every rank. */
hora_status hora_tree_sum(hora_tree *t);
#endif
