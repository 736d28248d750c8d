/* Kernels of op_kron.c: Y = C (X D') row by row. Rows go to the threads in chunks of fixed length;
 * each chunk has sums of its own for the gradients of C and D, which are added in order. */
#include "backend/cpu/cpu_lines.h"

enum { CHUNKS = 16 };

typedef struct sizes {
    int64_t p, q, s, t;
} sizes;

static sizes sizes_of(const hora_call *c) {
    return (sizes){hora_cpu_rows(&c->in[1]), hora_cpu_width(&c->in[1]), hora_cpu_rows(&c->in[2]),
                   hora_cpu_width(&c->in[2])};
}

/* x, y, X D' and C' dY, and room to widen into. */
static int64_t room(const hora_call *c) {
    const sizes z = sizes_of(c);
    return 2 * z.q * z.t + 2 * z.p * z.s + 2 * z.q * z.s + hora_max(z.q * z.t, z.p * z.s);
}

static int64_t sums(const hora_call *c) {
    return hora_elems(&c->in[1]) + hora_elems(&c->in[2]);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    need->scratch = hora_cpu_own_bytes(d, room(c)) + sizeof(float) * (size_t)(CHUNKS * sums(c));
    return hora_cpu_weights_f32(c, 1, 2) && hora_cpu_alike(c, 1);
}

/* y (n, k) (+)= a (n, m) b (m, k); with ta, a is (m, n). */
static void product(float *y, const float *a, const float *b, int64_t n, int64_t m, int64_t k,
                    bool ta, bool overwrite) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t l = 0; overwrite && l < k; l++)
            y[i * k + l] = 0;
        for (int64_t j = 0; j < m; j++) {
            const float f = ta ? a[j * n + i] : a[i * m + j];
            for (int64_t l = 0; l < k; l++)
                y[i * k + l] += f * b[j * k + l];
        }
    }
}

/* y (n, m) (+)= a (n, k) b (m, k)' */
static void product_t(float *y, const float *a, const float *b, int64_t n, int64_t m, int64_t k,
                      bool overwrite) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            float part[8] = {0}, sum = overwrite ? 0 : y[i * m + j];
            int64_t l = 0;
            for (; l + 8 <= k; l += 8)
                for (int64_t h = 0; h < 8; h++)
                    part[h] += a[i * k + l + h] * b[j * k + l + h];
            for (; l < k; l++)
                sum += a[i * k + l] * b[j * k + l];
            for (int64_t h = 0; h < 8; h++)
                sum += part[h];
            y[i * m + j] = sum;
        }
}

typedef struct job {
    const hora_call *c;
    float *sums;
    int64_t len; /* rows of a chunk */
} job;

static void forward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const sizes z = sizes_of(c);
    const int64_t n = hora_cpu_rows(&c->out), in = z.q * z.t, out = z.p * z.s;
    float *y = hora_cpu_own(c, thread, room(c)), *xd = y + out, *w = xd + z.q * z.s;
    for (int64_t i = tile * b->len; i < hora_min(n, (tile + 1) * b->len); i++) {
        const float *x = hora_cpu_line(&c->in[0], i * in, in, w);
        product_t(xd, x, hora_f32(&c->in[2]), z.q, z.s, z.t, true);
        product(y, hora_f32(&c->in[1]), xd, z.p, z.q, z.s, false, true);
        hora_cpu_put_line(&c->out, i * out, out, y, true, w);
    }
}

static void backward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const sizes z = sizes_of(c);
    const int64_t n = hora_cpu_rows(&c->dout), in = z.q * z.t, out = z.p * z.s;
    float *dx = hora_cpu_own(c, thread, room(c)), *g = dx + in, *xd = g + out, *cg = xd + z.q * z.s,
          *x = cg + z.q * z.s, *w = x + in;
    float *dc = b->sums + tile * sums(c), *dd = dc + z.p * z.q;
    const float *cw = hora_f32(&c->in[1]), *dw = hora_f32(&c->in[2]);
    const bool trains = hora_cpu_wants(c, 1) || hora_cpu_wants(c, 2);
    for (int64_t k = 0; trains && k < sums(c); k++)
        dc[k] = 0;
    for (int64_t i = tile * b->len; i < hora_min(n, (tile + 1) * b->len); i++) {
        const float *dy = hora_cpu_line(&c->dout, i * out, out, g);
        product(cg, cw, dy, z.q, z.p, z.s, true, true); /* C' dY (q, s) */
        const float *xi = trains ? hora_cpu_line(&c->in[0], i * in, in, x) : NULL;
        if (hora_cpu_wants(c, 1)) {
            product_t(xd, xi, dw, z.q, z.s, z.t, true);
            product_t(dc, dy, xd, z.p, z.q, z.s, false);
        }
        if (hora_cpu_wants(c, 2))
            product(dd, cg, xi, z.s, z.q, z.t, true, false);
        if (hora_cpu_wants(c, 0)) {
            product(dx, cg, dw, z.q, z.s, z.t, false, true);
            hora_cpu_put_line(&c->din[0], i * in, in, dx, hora_cpu_overwrites(c, 0), w);
        }
    }
}

static void add_up(const job *b, int64_t tiles, int input) {
    const hora_call *c = b->c;
    const int64_t n = hora_elems(&c->in[input]), first = input == 1 ? 0 : hora_elems(&c->in[1]);
    float *to = hora_f32(&c->din[input]);
    for (int64_t k = 0; k < n; k++) {
        float sum = hora_cpu_overwrites(c, input) ? 0 : to[k];
        for (int64_t t = 0; t < tiles; t++)
            sum += b->sums[t * sums(c) + first + k];
        to[k] = sum;
    }
}

typedef struct state {
    int threads;
    size_t sums; /* bytes of scratch in front of them */
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    state *s = hora_calloc(1, sizeof *s);
    *s = (state){hora_device_threads(d), hora_cpu_own_bytes(d, room(c))};
    impl->state = s;
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *s = impl->state;
    const bool fwd = c->phase == HORA_FORWARD;
    const int64_t n = hora_cpu_rows(fwd ? &c->out : &c->dout);
    job b = {c, (float *)((char *)c->scratch + s->sums), hora_ceil_div(hora_max(1, n), CHUNKS)};
    const int64_t tiles = hora_ceil_div(n, b.len);
    hora_cpu_parallel(s->threads, tiles, fwd ? forward : backward, &b);
    for (int i = 1; i <= 2; i++)
        if (hora_cpu_wants(c, i))
            add_up(&b, tiles, i);
}

extern const hora_cpu_op hora_cpu_op_kron;
const hora_cpu_op hora_cpu_op_kron = {query, prepare, run, true, 0};
