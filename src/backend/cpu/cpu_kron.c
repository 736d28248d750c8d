/*
 * Kernels of op_kron.c: Y = C (X D') row by row, products of small matrices; those with D of a few
 * rows at once. Rows go to the threads in chunks of fixed length; each chunk has sums of its own
 * for the gradients of C and D, which are added in order.
 *
 *   scratch   a thread's own, one after another | sums of every chunk | D, packed
 */
#include "backend/cpu/cpu_lines.h"
#include "backend/cpu/small.h"

enum { CHUNKS = 16, ROWS = 8 /* at once */ };

typedef struct sizes {
    int64_t p, q, s, t;
} sizes;

static sizes sizes_of(const hora_call *c) {
    return (sizes){hora_cpu_rows(&c->in[1]), hora_cpu_width(&c->in[1]), hora_cpu_rows(&c->in[2]),
                   hora_cpu_width(&c->in[2])};
}

static int64_t lines(int64_t floats) {
    return hora_round_up(floats, 16);
}

/* What a thread has of ROWS rows. */
typedef struct own {
    float *x, *dx;  /* (ROWS q, t) */
    float *y;       /* (ROWS, p s) */
    float *xd, *cg; /* (ROWS q, s): X D' and C' dY */
    float *packed, *room;
} own;

static int64_t packed_floats(const sizes *z) {
    return hora_max(hora_max(hora_small_room(z->q, z->s), hora_small_room(z->p, z->s)),
                    hora_max(hora_small_room(z->s, z->q), hora_small_room(ROWS * z->q, z->t)));
}

/* Cuts it out of `at`, which may be NULL; returns its floats. */
static int64_t cut(const sizes *z, float *at, own *o) {
    const int64_t parts[] = {ROWS * z->q * z->t,
                             ROWS * z->q * z->t,
                             ROWS * z->p * z->s,
                             ROWS * z->q * z->s,
                             ROWS * z->q * z->s,
                             packed_floats(z),
                             hora_max(z->q * z->t, z->p * z->s)};
    float **const to[] = {&o->x, &o->dx, &o->y, &o->xd, &o->cg, &o->packed, &o->room};
    int64_t n = 0;
    for (size_t i = 0; i < HORA_COUNT(parts); n += lines(parts[i++]))
        *to[i] = at ? at + n : NULL;
    return n;
}

static int64_t room(const hora_call *c) {
    const sizes z = sizes_of(c);
    own o;
    return cut(&z, NULL, &o);
}

static int64_t sums(const hora_call *c) {
    return hora_elems(&c->in[1]) + hora_elems(&c->in[2]);
}

/* D' (t, s), and D (s, t) behind it. */
static int64_t packed_d(const sizes *z) {
    return hora_small_room(z->t, z->s) + hora_small_room(z->s, z->t);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes z = sizes_of(c);
    need->scratch = hora_cpu_own_bytes(d, room(c)) +
                    sizeof(float) * (size_t)(lines(CHUNKS * sums(c)) + packed_d(&z));
    return hora_cpu_weights_f32(c, 1, 2) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    sizes z;
    float *sums, *d; /* packed */
    int64_t len;     /* rows of a chunk */
} job;

/* Rows from..from + m of v in f32: where they are or in `to`. */
static const float *floats(const hora_view *v, int64_t from, int64_t m, float *to) {
    const int64_t w = hora_cpu_width(v);
    return hora_cpu_line(v, from * w, m * w, to);
}

/* xd = X D' of m rows. */
static void by_d(const job *b, const float *x, int64_t m, float *xd) {
    const sizes *z = &b->z;
    hora_small_product(&(hora_small){
        .m = m * z->q, .n = z->s, .k = z->t, .a = x, .lda = z->t, .b = b->d, .y = xd, .ldy = z->s});
}

static void forward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const sizes *z = &b->z;
    const int64_t end = hora_min(hora_cpu_rows(&c->out), (tile + 1) * b->len), out = z->p * z->s;
    own o;
    cut(z, hora_cpu_own(c, thread, room(c)), &o);
    for (int64_t i = tile * b->len; i < end; i += ROWS) {
        const int64_t m = hora_min(ROWS, end - i);
        by_d(b, floats(&c->in[0], i, m, o.x), m, o.xd);
        for (int64_t k = 0; k < m; k++) {
            hora_small_pack(o.xd + k * z->q * z->s, z->s, false, z->q, z->s, o.packed);
            hora_small_product(&(hora_small){.m = z->p,
                                             .n = z->s,
                                             .k = z->q,
                                             .a = hora_f32(&c->in[1]),
                                             .lda = z->q,
                                             .b = o.packed,
                                             .y = o.y,
                                             .ldy = z->s});
            hora_cpu_put_line(&c->out, (i + k) * out, out, o.y, true, o.room);
        }
    }
}

/* Of m rows: cg = C' dY, and with dc: dc += dY (X D')'. */
static void by_c(const job *b, const float *dy, int64_t m, const own *o, float *dc) {
    const sizes *z = &b->z;
    for (int64_t k = 0; k < m; k++, dy += z->p * z->s) {
        hora_small_pack(dy, z->s, false, z->p, z->s, o->packed);
        hora_small_product(&(hora_small){.m = z->q,
                                         .n = z->s,
                                         .k = z->p,
                                         .a = hora_f32(&b->c->in[1]),
                                         .lda = z->q,
                                         .transpose = true,
                                         .b = o->packed,
                                         .y = o->cg + k * z->q * z->s,
                                         .ldy = z->s});
        if (!dc)
            continue;
        hora_small_pack(o->xd + k * z->q * z->s, z->s, true, z->s, z->q, o->packed);
        hora_small_product(&(hora_small){.m = z->p,
                                         .n = z->q,
                                         .k = z->s,
                                         .a = dy,
                                         .lda = z->s,
                                         .b = o->packed,
                                         .y = dc,
                                         .ldy = z->q,
                                         .add = true});
    }
}

static void backward(void *arg, int64_t tile, int thread) {
    const job *b = arg;
    const hora_call *c = b->c;
    const sizes *z = &b->z;
    const int64_t end = hora_min(hora_cpu_rows(&c->dout), (tile + 1) * b->len), in = z->q * z->t;
    const bool trains = hora_cpu_wants(c, 1) || hora_cpu_wants(c, 2);
    float *dc = b->sums + tile * sums(c), *dd = dc + z->p * z->q;
    own o;
    cut(z, hora_cpu_own(c, thread, room(c)), &o);
    for (int64_t k = 0; trains && k < sums(c); k++)
        dc[k] = 0;
    for (int64_t i = tile * b->len; i < end; i += ROWS) {
        const int64_t m = hora_min(ROWS, end - i);
        const float *x = trains ? floats(&c->in[0], i, m, o.x) : NULL;
        if (hora_cpu_wants(c, 1))
            by_d(b, x, m, o.xd);
        by_c(b, floats(&c->dout, i, m, o.y), m, &o, hora_cpu_wants(c, 1) ? dc : NULL);
        if (hora_cpu_wants(c, 2)) {
            hora_small_pack(x, z->t, false, m * z->q, z->t, o.packed);
            hora_small_product(&(hora_small){.m = z->s,
                                             .n = z->t,
                                             .k = m * z->q,
                                             .a = o.cg,
                                             .lda = z->s,
                                             .transpose = true,
                                             .b = o.packed,
                                             .y = dd,
                                             .ldy = z->t,
                                             .add = true});
        }
        if (!hora_cpu_wants(c, 0))
            continue;
        hora_small_product(&(hora_small){.m = m * z->q,
                                         .n = z->t,
                                         .k = z->s,
                                         .a = o.cg,
                                         .lda = z->s,
                                         .b = b->d + hora_small_room(z->t, z->s),
                                         .y = o.dx,
                                         .ldy = z->t});
        for (int64_t k = 0; k < m; k++)
            hora_cpu_put_line(&c->din[0], (i + k) * in, in, o.dx + k * in,
                              hora_cpu_overwrites(c, 0), o.room);
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
    job b = {c, sizes_of(c), (float *)((char *)c->scratch + s->sums), NULL,
             hora_ceil_div(hora_max(1, n), CHUNKS)};
    const int64_t tiles = hora_ceil_div(n, b.len);
    const sizes *z = &b.z;
    const float *d = hora_f32(&c->in[2]);
    b.d = b.sums + lines(CHUNKS * sums(c));
    hora_small_pack(d, z->t, true, z->t, z->s, b.d);
    hora_small_pack(d, z->t, false, z->s, z->t, b.d + hora_small_room(z->t, z->s));
    hora_cpu_parallel(s->threads, tiles, fwd ? forward : backward, &b);
    for (int i = 1; i <= 2; i++)
        if (hora_cpu_wants(c, i))
            add_up(&b, tiles, i);
}

extern const hora_cpu_op hora_cpu_op_kron;
const hora_cpu_op hora_cpu_op_kron = {query, prepare, run, true, 0};
