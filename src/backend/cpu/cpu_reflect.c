/*
 * Kernels of op_reflect.c, by products of matrices. A row that r reflections turn loses a sum of
 * their directions, y = x - sum_j c_j u_j, and c needs but the products of x and of the directions
 * with them: with b_j = 2 / |u_j|^2 (0 where u_j is),
 *
 *   c_j = b_j (x . u_j - sum over i turned before of c_i u_i . u_j)
 *
 * Backward turns dy and y the other way round, with coefficients g_j and h_j:
 *
 *   dx = dy - sum_j g_j u_j     dU_j = sum over rows of h_j dy - g_j y
 *                                      + sum_(i<j) (sum over rows of g_j h_i - h_j g_i) u_i
 *
 * Rows go to the threads in chunks of fixed length, those in blocks; each chunk has sums of its
 * own, which are added in order.
 */
#include "backend/cpu/cpu_lines.h"
#include "backend/cpu/small.h"

enum { CHUNKS = 16 };

typedef struct sizes {
    int64_t n, d, r, chunk, block; /* rows of a chunk, of a block */
} sizes;
static sizes sizes_of(const hora_call *c) {
    const int64_t n = hora_cpu_rows(c->phase == HORA_FORWARD ? &c->out : &c->dout);
    const int64_t d = hora_cpu_width(&c->in[1]), r = hora_cpu_rows(&c->in[1]);
    return (sizes){n, d, r, hora_ceil_div(hora_max(1, n), CHUNKS),
                   hora_min(64, hora_max(8, hora_cpu_rows_in_chunk(d)))};
}

/* Of a thread: two blocks of rows and their coefficients; a packed block. */
static int64_t own_floats(sizes s) {
    return hora_round_up(2 * s.block * (s.d + s.r), 16) + hora_small_room(s.block, s.d);
}
/* Of all: b (r), products of the directions (r, r); U packed, and its transpose. */
static int64_t table_floats(sizes s) {
    return hora_round_up(s.r + s.r * s.r, 16);
}
static int64_t shared_floats(sizes s) {
    return table_floats(s) + hora_small_room(s.r, s.d) + hora_small_room(s.d, s.r);
}
/* Of a chunk: dU (r, d) and sums of g_j h_i (r, r) */
static int64_t sum_floats(sizes s) {
    return s.r * (s.d + s.r);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes s = sizes_of(c);
    need->scratch = hora_cpu_own_bytes(d, own_floats(s)) +
                    sizeof(float) * (size_t)(shared_floats(s) + CHUNKS * sum_floats(s));
    return hora_cpu_weights_f32(c, 1, 1) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    sizes s;
    float *b, *gram, *wide, *tall; /* wide: U packed, (r, d); tall: its transpose */
    float *sums;
} job;

/* c (m, r) of rows x; forward turns by the last direction first, backward by the first. */
static void coefficients(const job *j, const float *x, int64_t m, float *c) {
    const int64_t r = j->s.r;
    const bool last_first = j->c->phase == HORA_FORWARD;
    hora_small_product(&(hora_small){
        .m = m, .n = r, .k = j->s.d, .a = x, .lda = j->s.d, .b = j->tall, .y = c, .ldy = r});
    for (int64_t i = 0; i < m; i++, c += r)
        for (int64_t k = 0; k < r; k++) {
            const int64_t to = last_first ? r - 1 - k : k;
            float sum = c[to];
            for (int64_t l = 0; l < k; l++) {
                const int64_t by = last_first ? r - 1 - l : l;
                sum += c[by] * j->gram[to * r + by]; /* those before have their sign turned */
            }
            c[to] = -j->b[to] * sum;
        }
}

/* x (m, d) += c U */
static void turn(const job *j, const float *c, int64_t m, float *x) {
    hora_small_product(&(hora_small){.m = m,
                                     .n = j->s.d,
                                     .k = j->s.r,
                                     .a = c,
                                     .lda = j->s.r,
                                     .b = j->wide,
                                     .y = x,
                                     .ldy = j->s.d,
                                     .add = true});
}

/* to (r, d) += c' x; `packed` is room for x (m, d) */
static void gather(const job *j, const float *c, const float *x, int64_t m, float *packed,
                   float *to) {
    const int64_t d = j->s.d;
    hora_small_pack(x, d, false, m, d, packed);
    hora_small_product(&(hora_small){.m = j->s.r,
                                     .n = d,
                                     .k = m,
                                     .a = c,
                                     .lda = j->s.r,
                                     .transpose = true,
                                     .b = packed,
                                     .y = to,
                                     .ldy = d,
                                     .add = true});
}

typedef struct own {
    float *x, *g, *cx, *cg, *packed;
} own;
static own own_of(const job *j, int thread) {
    const sizes s = j->s;
    own o = {.x = hora_cpu_own(j->c, thread, own_floats(s))};
    o.g = o.x + s.block * s.d;
    o.cx = o.g + s.block * s.d;
    o.cg = o.cx + s.block * s.r;
    o.packed = o.x + hora_round_up(2 * s.block * (s.d + s.r), 16);
    return o;
}

static void forward(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const sizes s = j->s;
    const own o = own_of(j, thread);
    const int64_t end = hora_min(s.n, (tile + 1) * s.chunk);
    for (int64_t at = tile * s.chunk; at < end; at += s.block) {
        const int64_t m = hora_min(s.block, end - at);
        hora_cpu_widen(&j->c->in[0], at * s.d, m * s.d, o.x);
        coefficients(j, o.x, m, o.cx);
        turn(j, o.cx, m, o.x);
        hora_cpu_put_line(&j->c->out, at * s.d, m * s.d, o.x, true, o.g);
    }
}

/* The sums of a block: coefficients here are -h and -g. */
static void slopes(const job *j, const own *o, int64_t m, float *du, float *pairs) {
    const sizes s = j->s;
    gather(j, o->cg, o->x, m, o->packed, du);
    for (int64_t i = 0; i < m * s.r; i++)
        o->cx[i] = -o->cx[i];
    gather(j, o->cx, o->g, m, o->packed, du);
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < s.r; k++)
            for (int64_t l = 0; l < s.r; l++)
                pairs[k * s.r + l] -= o->cg[i * s.r + k] * o->cx[i * s.r + l];
}

static void backward(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const hora_call *c = j->c;
    const sizes s = j->s;
    const own o = own_of(j, thread);
    const bool trains = hora_cpu_wants(c, 1);
    float *du = j->sums + tile * sum_floats(s);
    if (trains)
        memset(du, 0, (size_t)sum_floats(s) * sizeof *du);
    const int64_t end = hora_min(s.n, (tile + 1) * s.chunk);
    for (int64_t at = tile * s.chunk; at < end; at += s.block) {
        const int64_t m = hora_min(s.block, end - at);
        hora_cpu_widen(&c->dout, at * s.d, m * s.d, o.g);
        coefficients(j, o.g, m, o.cg);
        if (trains) {
            hora_cpu_widen(&c->out, at * s.d, m * s.d, o.x);
            coefficients(j, o.x, m, o.cx);
            slopes(j, &o, m, du, du + s.r * s.d);
        }
        if (!hora_cpu_wants(c, 0))
            continue;
        turn(j, o.cg, m, o.g);
        hora_cpu_put_line(&c->din[0], at * s.d, m * s.d, o.g, hora_cpu_overwrites(c, 0), o.x);
    }
}

static void add_up(const job *j, int64_t tiles) {
    const sizes s = j->s;
    const float *u = hora_f32(&j->c->in[1]);
    float *du = hora_f32(&j->c->din[1]);
    for (int64_t t = 1; t < tiles; t++)
        for (int64_t k = 0; k < sum_floats(s); k++)
            j->sums[k] += j->sums[t * sum_floats(s) + k];
    for (int64_t k = 0; k < s.r * s.d; k++)
        du[k] = j->sums[k] + (hora_cpu_overwrites(j->c, 1) ? 0 : du[k]);
    const float *pairs = j->sums + s.r * s.d;
    for (int64_t k = 0; k < s.r; k++)
        for (int64_t l = 0; l < k; l++)
            hora_cpu_axpy(s.d, pairs[k * s.r + l] - pairs[l * s.r + k], u + l * s.d, du + k * s.d);
}

static void directions(const job *j) {
    const float *u = hora_f32(&j->c->in[1]);
    const int64_t d = j->s.d, r = j->s.r;
    hora_small_pack(u, d, false, r, d, j->wide);
    hora_small_pack(u, d, true, d, r, j->tall);
    hora_small_product(&(hora_small){
        .m = r, .n = r, .k = d, .a = u, .lda = d, .b = j->tall, .y = j->gram, .ldy = r});
    for (int64_t k = 0; k < r; k++) {
        const float square = j->gram[k * r + k];
        j->b[k] = square > 0 ? 2 / square : 0;
    }
}

static void run(const hora_impl *impl, const hora_call *c) {
    const int threads = *(const int *)impl->state;
    const bool fwd = c->phase == HORA_FORWARD;
    const sizes s = sizes_of(c);
    const int64_t tiles = hora_ceil_div(s.n, s.chunk);
    job j = {.c = c, .s = s};
    j.b = hora_cpu_own(c, threads, own_floats(s));
    j.gram = j.b + s.r;
    j.wide = j.b + table_floats(s);
    j.tall = j.wide + hora_small_room(s.r, s.d);
    j.sums = j.tall + hora_small_room(s.d, s.r);
    directions(&j);
    hora_cpu_parallel(threads, tiles, fwd ? forward : backward, &j);
    if (hora_cpu_wants(c, 1))
        add_up(&j, tiles);
}

extern const hora_cpu_op hora_cpu_op_reflect;
const hora_cpu_op hora_cpu_op_reflect = {query, hora_cpu_count_threads, run, true, 0};
