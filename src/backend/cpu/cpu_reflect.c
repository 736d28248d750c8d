/* Kernels of op_reflect.c. Rows go to the threads in chunks of fixed length; each chunk has sums of
 * its own for U's gradient, which are added in order. */
#include "backend/cpu/cpu_lines.h"

enum { CHUNKS = 16 };

static int64_t chunk_rows(int64_t n) {
    return hora_ceil_div(hora_max(1, n), CHUNKS);
}

/* Per thread three rows; the squares of U's rows; then the sums of every chunk. */
static size_t squares_at(hora_device *d, const hora_call *c) {
    return hora_cpu_own_bytes(d, 3 * hora_cpu_width(&c->in[1]));
}

static size_t sums_at(hora_device *d, const hora_call *c) {
    return squares_at(d, c) + hora_cpu_aligned((size_t)hora_cpu_rows(&c->in[1]) * sizeof(float));
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = sums_at(d, c) + sizeof(float) * (size_t)(CHUNKS * hora_elems(&c->in[1]));
    return hora_cpu_weights_f32(c, 1, 1) && hora_cpu_alike(c, 1);
}

static float dot(const float *x, const float *y, int64_t d) {
    float sum;
    hora_kern_get()->attention[0]->dots(1, d, x, y, d, &sum);
    return sum;
}

/* y += f x */
static void onto(float *y, float f, const float *x, int64_t d) {
    hora_kern_get()->rows->add(d, f, y, x, y);
}

/* v -= 2 (uv / square) u, uv their product. */
static void mirror(const float *u, float *v, int64_t d, float uv, float square) {
    if (square > 0)
        onto(v, -2 * uv / square, u, d);
}

typedef struct job {
    const hora_call *c;
    float *square; /* (r) */
    float *sums;   /* (CHUNKS, r, d) */
} job;

static void forward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const int64_t n = hora_cpu_rows(&c->out), d = hora_cpu_width(&c->out);
    const int64_t r = hora_cpu_rows(&c->in[1]), len = chunk_rows(n);
    float *v = hora_cpu_own(c, thread, 3 * d), *w = v + d;
    for (int64_t i = tile * len; i < hora_min(n, (tile + 1) * len); i++) {
        const float *x = hora_cpu_line(&c->in[0], i * d, d, w);
        for (int64_t k = 0; k < d; k++)
            v[k] = x[k];
        for (int64_t j = r - 1; j >= 0; j--) {
            const float *u = hora_f32(&c->in[1]) + j * d;
            mirror(u, v, d, dot(u, v, d), b->square[j]);
        }
        hora_cpu_put_line(&c->out, i * d, d, v, true, w);
    }
}

/* sum += what this row gives u; ux and ug are its products with x and g. */
static void slope(const float *u, const float *x, const float *g, float ux, float ug, float *sum,
                  int64_t d, float s) {
    if (s <= 0)
        return;
    onto(sum, 4 * ux * ug / (s * s), u, d);
    onto(sum, -2 * ux / s, g, d);
    onto(sum, -2 * ug / s, x, d);
}

static void backward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const int64_t n = hora_cpu_rows(&c->dout), d = hora_cpu_width(&c->dout);
    const int64_t r = hora_cpu_rows(&c->in[1]), len = chunk_rows(n);
    const bool trains = hora_cpu_wants(c, 1);
    float *x = hora_cpu_own(c, thread, 3 * d), *g = x + d, *w = g + d;
    float *sums = b->sums + tile * r * d;
    for (int64_t k = 0; trains && k < r * d; k++)
        sums[k] = 0;
    for (int64_t i = tile * len; i < hora_min(n, (tile + 1) * len); i++) {
        const float *dy = hora_cpu_line(&c->dout, i * d, d, w);
        for (int64_t k = 0; k < d; k++)
            g[k] = dy[k];
        const float *y = trains ? hora_cpu_line(&c->out, i * d, d, w) : g;
        for (int64_t k = 0; k < d; k++)
            x[k] = y[k];
        for (int64_t j = 0; j < r; j++) {
            const float *u = hora_f32(&c->in[1]) + j * d;
            const float s = b->square[j], ug = dot(u, g, d);
            if (trains) {
                const float ux = dot(u, x, d); /* its sign turns */
                mirror(u, x, d, ux, s);
                slope(u, x, g, -ux, ug, sums + j * d, d, s);
            }
            mirror(u, g, d, ug, s);
        }
        if (hora_cpu_wants(c, 0))
            hora_cpu_put_line(&c->din[0], i * d, d, g, hora_cpu_overwrites(c, 0), w);
    }
}

static void add_up(const job *b, int64_t tiles) {
    const hora_call *c = b->c;
    const int64_t n = hora_elems(&c->in[1]);
    float *du = hora_f32(&c->din[1]);
    for (int64_t k = 0; k < n; k++) {
        float sum = hora_cpu_overwrites(c, 1) ? 0 : du[k];
        for (int64_t t = 0; t < tiles; t++)
            sum += b->sums[t * n + k];
        du[k] = sum;
    }
}

typedef struct state {
    int threads;
    size_t square, sums; /* bytes of scratch in front of them */
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = hora_calloc(1, sizeof *s);
    *s = (state){hora_device_threads(d), squares_at(d, c), sums_at(d, c)};
    impl->state = s;
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *s = impl->state;
    const bool fwd = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(fwd ? &c->out : &c->dout);
    const int64_t tiles = hora_ceil_div(n, chunk_rows(n));
    const int64_t r = hora_cpu_rows(&c->in[1]), d = hora_cpu_width(&c->in[1]);
    char *scratch = c->scratch;
    job b = {c, (float *)(scratch + s->square), (float *)(scratch + s->sums)};
    for (int64_t j = 0; j < r; j++) {
        const float *u = hora_f32(&c->in[1]) + j * d;
        b.square[j] = dot(u, u, d);
    }
    hora_cpu_parallel(s->threads, tiles, fwd ? forward : backward, &b);
    if (hora_cpu_wants(c, 1))
        add_up(&b, tiles);
}

extern const hora_cpu_op hora_cpu_op_reflect;
const hora_cpu_op hora_cpu_op_reflect = {query, prepare, run, true, 0};
