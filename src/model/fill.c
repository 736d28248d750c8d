/* Filling weights from files, row by row: converted, turned from pairs to halves, quantized; or,
 * where no file has them, with drawn numbers. */
#include "base/rng.h"
#include "base/threads.h"
#include "format/gguf_names.h"
#include "model/fill_impl.h"
#include "tensor/blocks.h"

enum { ROWS = 16 }; /* of a tile */

typedef struct filling {
    const hora_weight *w;
    const hora_view *from;
    int64_t head_dim, width;
    bool quantizes;
    hora_status *status; /* of tiles */
} filling;

static size_t row_bytes(hora_dtype t, int64_t width) {
    return (size_t)(width / hora_dtype_block(t)) * hora_dtype_block_bytes(t);
}

static hora_status fill_row(const filling *f, int64_t row, float *plain) {
    const hora_view *to = &f->w->view, *from = f->from;
    const int64_t at = f->head_dim ? hora_gguf_row(row, f->head_dim) : row;
    const char *x = (const char *)from->data + (size_t)at * row_bytes(from->dtype, f->width);
    char *y = (char *)to->data + (size_t)row * row_bytes(to->dtype, f->width);
    if (!f->quantizes)
        return hora_convert(y, to->dtype, x, from->dtype, f->width);
    HORA_TRY(hora_convert(plain, HORA_F32, x, from->dtype, f->width));
    return hora_quantize(y, to->dtype, plain, f->width);
}

static void fill_rows(void *arg, int64_t tile, int thread) {
    const filling *f = arg;
    const int64_t end = hora_min(f->w->view.shape.d[0], (tile + 1) * ROWS);
    float *plain = hora_malloc((size_t)f->width * sizeof *plain);
    (void)thread;
    for (int64_t r = tile * ROWS; r < end && f->status[tile] == HORA_OK; r++)
        f->status[tile] = fill_row(f, r, plain);
    hora_free(plain);
}

/* The text of a failure stays in its thread: the first tile that failed is done again here. */
static hora_status fill(filling *f) {
    const int64_t tiles = hora_ceil_div(f->w->view.shape.d[0], ROWS);
    f->width = hora_row_elems(&f->w->view.shape);
    f->status = hora_calloc((size_t)tiles, sizeof *f->status);
    hora_parallel(tiles, fill_rows, f);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < tiles && s == HORA_OK; i++)
        if (f->status[i]) {
            f->status[i] = HORA_OK;
            fill_rows(f, i, 0);
            s = hora_context(f->status[i], "%s", f->w->name);
        }
    hora_free(f->status);
    return s;
}

hora_status hora_weight_fill(const hora_weight *w, const hora_view *from, int64_t head_dim) {
    const bool quantizes = hora_dtype_block(w->view.dtype) > 1 && from->dtype != w->view.dtype;
    filling f = {.w = w, .from = from, .head_dim = head_dim, .quantizes = quantizes};
    if (w->view.shape.n < 2 || (!quantizes && !head_dim))
        return hora_convert(w->view.data, w->view.dtype, from->data, from->dtype, hora_elems(from));
    return fill(&f);
}

/* --- what no file has ------------------------------------------------------------------------- */
typedef struct draw {
    const hora_weight *w;
    hora_rng rng;
} draw;
enum { DRAWN = 1 << 14 }; /* numbers of a tile */

static void draw_chunk(void *arg, int64_t tile, int thread) {
    (void)thread;
    const draw *d = arg;
    int64_t end = hora_min(hora_elems(&d->w->view), (tile + 1) * DRAWN);
    for (int64_t i = tile * DRAWN; i < end; i++) {
        hora_rng r = d->rng;
        r.counter = (uint64_t)i << 8;
        double v = d->w->role == HORA_ROLE_NORM   ? 1
                   : d->w->role == HORA_ROLE_BIAS ? 0
                                                  : d->w->init_std * hora_rng_normal(&r);
        hora_value_put(d->w->view.data, d->w->view.dtype, i, v);
    }
}

void hora_weight_draw(const hora_weight *w, uint64_t seed) {
    draw d = {w, hora_rng_new(seed, w->name)};
    hora_parallel(hora_ceil_div(hora_elems(&w->view), DRAWN), draw_chunk, &d);
}
