/* Memory of a batch: one block, each leaf on a cache line. */
#include "tensor/batch.h"

static const hora_leaf_row leaves[HORA_LEAVES] = {
#define LEAF(name, type, dtype, columns) {#name, dtype, columns, offsetof(hora_batch, name)},
#include "tensor/leaves.def"
#undef LEAF
};

const hora_leaf_row *hora_leaf_at(hora_leaf leaf) {
    return &leaves[leaf];
}

hora_leaves hora_leaves_plain(void) {
    hora_leaves l;
    for (int i = 0; i < HORA_LEAVES; i++)
        l.columns[i] = leaves[i].columns;
    return l;
}

size_t hora_leaves_row(const hora_leaves *l) {
    size_t bytes = 0;
    for (int i = 0; i < HORA_LEAVES; i++)
        bytes += (size_t)l->columns[i] * hora_dtype_size(leaves[i].dtype);
    return bytes;
}

void *hora_batch_leaf(const hora_batch *b, hora_leaf leaf) {
    void *at;
    memcpy(&at, (const char *)b + leaves[leaf].offset, sizeof at);
    return at;
}

hora_status hora_batch_init(hora_batch *b, int64_t capacity, const hora_leaves *l) {
    *b = (hora_batch){0};
    if (capacity < 1 || capacity > INT32_MAX - 64)
        return hora_fail(
            HORA_EUSAGE,
            "a micro-batch of %lld tokens is not possible; choose another batch_size or "
            "seq_len",
            (long long)capacity);
    b->leaves = l ? *l : hora_leaves_plain();
    b->capacity = hora_round_up(capacity, 64); /* so each leaf starts on a cache line */
    b->block_bytes = (size_t)b->capacity * hora_leaves_row(&b->leaves);
    HORA_TRY(hora_block_new(&b->block, b->block_bytes, "a batch of tokens"));
    char *at = b->block;
    for (int i = 0; i < HORA_LEAVES; i++) {
        size_t bytes =
            (size_t)(b->capacity * b->leaves.columns[i]) * hora_dtype_size(leaves[i].dtype);
        if (bytes)
            memcpy((char *)b + leaves[i].offset, &at, sizeof at);
        at += bytes;
    }
    return HORA_OK;
}

void hora_batch_release(hora_batch *b) {
    if (b->block)
        hora_block_free(b->block, b->block_bytes);
    *b = (hora_batch){0};
}

void hora_batch_places(hora_batch *b, int64_t from, int64_t n, int32_t pad) {
    int32_t count = 0;
    for (int64_t i = from; b->place && i < from + n; i++)
        b->place[i] = pad >= 0 && b->ids[i] == pad ? -1 : count++;
}

void hora_batch_reach(hora_batch *b, int64_t from, int64_t n, int64_t reach) {
    for (int64_t i = from; b->reach && i < from + n; i++)
        b->reach[i] = (int32_t)reach;
}

void hora_batch_pad(hora_batch *b) {
    const size_t n = (size_t)(b->rows - b->tokens);
    for (int i = 0; i < HORA_LEAVES; i++) {
        const size_t row = (size_t)b->leaves.columns[i] * hora_dtype_size(leaves[i].dtype);
        char *at = hora_batch_leaf(b, (hora_leaf)i);
        if (at)
            memset(at + (size_t)b->tokens * row, i == HORA_LEAF_target ? 0xff : 0, n * row);
    }
}
