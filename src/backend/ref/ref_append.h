/* No guard: new rows into the caches, inputs 3 and 4; once per dtype. */
static void T(append)(const hora_call *c) {
    const hora_batch *b = c->batch;
    int64_t width = ref_width(&c->in[1]);
    REAL *keys = c->in[3].data, *values = c->in[4].data;
    for (int64_t i = 0; i < ref_rows(&c->in[0]); i++) {
        int64_t at = b->cache_row + i;
        if (b->lo[i] >= b->hi[i])
            continue;
        HORA_ASSERT(at < ref_rows(&c->in[3]) && b->hi[i] <= ref_rows(&c->in[3]));
        for (int64_t l = 0; l < width; l++) {
            keys[at * width + l] = IN(1)[i * width + l];
            values[at * width + l] = IN(2)[i * width + l];
        }
    }
}
