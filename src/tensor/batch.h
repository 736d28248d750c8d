#ifndef HORA_TENSOR_BATCH_H
#define HORA_TENSOR_BATCH_H
/*
 * One micro-batch: rows laid one after another, segments of different samples side by side. What a
 * row holds are leaves, arrays of `rows` entries that leaves.def names and types. The same struct
 * is filled by the data, handed to the graph and read by kernels; nobody copies it leaf by leaf.
 * Ops say in their row which leaves they read; a recording knows the union, and only that is
 * allocated.
 *
 * lo and hi hold segments, causality and padding at once: row i sees the rows lo[i] <= j < hi[i]
 * (for op cached_attention: rows of the cache). They never decrease inside a segment.
 */
#include "tensor/tensor.h"

typedef enum hora_leaf {
#define LEAF(name, type, dtype, columns) HORA_LEAF_##name,
#include "tensor/leaves.def"
#undef LEAF
    HORA_LEAVES
} hora_leaf;
#define HORA_LEAF(name) (1u << HORA_LEAF_##name)

typedef struct hora_leaf_row {
    const char *name;
    hora_dtype dtype;
    int64_t columns; /* 0: the recording says how many */
    size_t offset;   /* of the pointer in hora_batch */
} hora_leaf_row;
const hora_leaf_row *hora_leaf_at(hora_leaf leaf);

/* Which leaves, and columns of each; 0: not there. */
typedef struct hora_leaves {
    int64_t columns[HORA_LEAVES];
} hora_leaves;
hora_leaves hora_leaves_plain(void);          /* every leaf whose columns are fixed */
size_t hora_leaves_row(const hora_leaves *l); /* bytes of one row of them */

typedef struct hora_batch {
    int64_t rows;     /* used, padding up to the row class included */
    int64_t capacity; /* there is room for */
#define LEAF(name, type, dtype, columns) type *name;
#include "tensor/leaves.def"
#undef LEAF
    /* as allocated; borrowed arrays: columns of those that have no fixed number */
    hora_leaves leaves;
    /* of the pass, set by who runs it */
    double scale;        /* c: factor of the summed loss, 1 / what counts in the whole step */
    uint64_t seed, step; /* of dropout */
    int64_t row0;        /* number of row 0 in the whole step, over micro-batches and ranks */
    int64_t cache_row;   /* cached_attention: where row 0 goes */
    /* counts */
    int64_t tokens, supervised; /* real rows; rows that count in the loss */
    int64_t target_bytes;       /* bytes of text of the counted targets */
    void *block;                /* memory of the leaves; NULL: borrowed */
    size_t block_bytes;
} hora_batch;
/* Takes memory for the leaves (NULL: the plain ones). HORA_EUSAGE for a capacity that is
 * no batch. */
hora_status hora_batch_init(hora_batch *b, int64_t capacity, const hora_leaves *leaves);
void hora_batch_release(hora_batch *b);
void *hora_batch_leaf(const hora_batch *b, hora_leaf leaf); /* NULL: not there */
/* Fills leaf `place` of the rows [from, from + n), a sample's, if it is there; pad -1: no id is. */
void hora_batch_places(hora_batch *b, int64_t from, int64_t n, int32_t pad);
/* Fills leaf `reach` of the rows [from, from + n), if it is there. */
void hora_batch_reach(hora_batch *b, int64_t from, int64_t n, int64_t reach);
/* Rows [tokens, rows) become padding: they see nothing and predict nothing. */
void hora_batch_pad(hora_batch *b);
/* End of the tokens of the segment whose first row is i, however little each of them sees; i where
 * none begins there. */
static inline int64_t hora_batch_segment_end(const hora_batch *b, int64_t i) {
    int64_t end = b->lo[i] == i ? hora_max(i, (int64_t)b->hi[i]) : i;
    for (int64_t j = i + 1; end > i && j < b->rows && b->lo[j] == i; j++)
        end = hora_max(end, (int64_t)b->hi[j]);
    return end;
}
#endif
