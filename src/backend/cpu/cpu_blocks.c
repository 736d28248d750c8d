/*
 * Kernels of op_blocks.c: products of small matrices. Rows go to the threads in tiles; for R's
 * gradient its blocks do, and rows are added in order.
 *
 * Blocks narrower than a vector are joined: their products are those of one matrix that has them on
 * its diagonal and zeros beside them.
 *
 *   scratch   a thread's own, one after another | R's units, packed | from: the column of x that
 *             stands at each of P x
 */
#include "backend/cpu/cpu_lines.h"
#include "backend/cpu/small.h"

#include "op/op_blocks.h"

typedef struct sizes {
    int64_t n, d, b; /* rows; width of x and of a block */
    int64_t blocks, level;
    int64_t unit, units, packed; /* width of what is multiplied, how many differ, floats of one */
    int64_t tile, step;          /* rows of a tile, and of a step of R's gradient */
    int64_t group; /* columns of it, in whole units: rows are read once for all of them */
} sizes;

enum { FEW = 8192, GROUP = 256 }; /* numbers of a tile, where rows are narrow; columns */
enum { JOINED = 16 };             /* columns of joined blocks, at most */

/* One block for all of a row that stays in place: as many rows of that width. */
static bool flat(const hora_call *c) {
    return hora_cpu_rows(&c->in[1]) == hora_cpu_width(&c->in[1]) && !c->attr.a;
}

/* Width of as many of n blocks as make a unit: a divisor of n, so that units are alike. */
static int64_t joined(int64_t n, int64_t b) {
    int64_t k = hora_max(1, hora_min(n, JOINED / b));
    while (n % k)
        k--;
    return k * b;
}

static sizes sizes_of(const hora_call *c) {
    const hora_view *x = c->phase == HORA_FORWARD ? &c->in[0] : &c->dout;
    const int64_t b = hora_cpu_width(&c->in[1]), d = flat(c) ? b : hora_cpu_width(x);
    const int64_t blocks = hora_cpu_rows(&c->in[1]) / b, unit = joined(d / b, b);
    return (sizes){.n = hora_elems(x) / d,
                   .d = d,
                   .b = b,
                   .blocks = blocks,
                   .level = c->attr.a,
                   .unit = unit,
                   .units = blocks > 1 ? d / unit : 1,
                   .packed = hora_small_room(unit, unit),
                   .tile = hora_max(32, FEW / d),
                   .step = hora_max(256, FEW / unit),
                   .group = hora_min(d, hora_max(1, GROUP / unit) * unit)};
}

/* Floats of a thread's first array and of each that follows: a tile, or a step of a block. */
static int64_t part(const sizes *z) {
    return hora_round_up(hora_max(z->tile * z->d, z->step * z->group), 16);
}

static int64_t room(const sizes *z) {
    return 3 * part(z) + hora_small_room(z->step, z->unit);
}

static bool query(hora_device *d, const hora_call *c, hora_need *need) {
    const sizes z = sizes_of(c);
    need->scratch = hora_cpu_own_bytes(d, room(&z)) + (size_t)(z.units * z.packed) * sizeof(float) +
                    (size_t)z.d * sizeof(int32_t);
    return hora_cpu_weights_f32(c, 1, 1) && hora_cpu_alike(c, 1);
}

typedef struct job {
    const hora_call *c;
    sizes z;
    float *packed;
    int32_t *from;
} job;

/* The rows from..from + m of x as P x: (m, d), where they are or in u. */
static const float *exchanged(const job *j, const hora_view *x, int64_t from, int64_t m, float *u,
                              float *room) {
    const sizes *z = &j->z;
    const float *line = hora_cpu_line(x, from * z->d, m * z->d, z->level ? room : u);
    if (!z->level)
        return line;
    for (int64_t i = 0; i < m; i++)
        for (int64_t q = 0; q < z->d; q++)
            u[i * z->d + q] = line[i * z->d + j->from[q]];
    return u;
}

static void some_rows(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const sizes *z = &j->z;
    const hora_call *c = j->c;
    const bool fwd = c->phase == HORA_FORWARD;
    const hora_view *x = fwd ? &c->in[0] : &c->dout, *y = fwd ? &c->out : &c->din[0];
    const int64_t from = tile * z->tile, m = hora_min(z->tile, z->n - from);
    float *own = hora_cpu_own(c, thread, room(z)), *v = own + part(z), *w = v + part(z);
    const float *u = exchanged(j, x, from, m, own, w);
    for (int64_t k = 0; k < z->d; k += z->unit)
        hora_small_product(
            &(hora_small){.m = m,
                          .n = z->unit,
                          .k = z->unit,
                          .a = u + k,
                          .lda = z->d,
                          .b = j->packed + (z->units > 1 ? k / z->unit : 0) * z->packed,
                          .y = v + k,
                          .ldy = z->d});
    for (int64_t i = 0; z->level && i < m; i++)
        for (int64_t q = 0; q < z->d; q++)
            own[i * z->d + j->from[q]] = v[i * z->d + q];
    hora_cpu_put_line(y, from * z->d, m * z->d, z->level ? own : v,
                      fwd || hora_cpu_overwrites(c, 0), w);
}

/* Columns k..k + w of the rows from..from + m of P x: (m, w). */
static void columns(const job *j, const hora_view *x, int64_t from, int64_t m, int64_t k, int64_t w,
                    float *to) {
    const sizes *z = &j->z;
    if (w == z->d && !z->level) {
        hora_cpu_widen(x, from * z->d, m * z->d, to);
        return;
    }
    for (int64_t i = from; i < from + m; i++, to += w) {
        if (!z->level)
            hora_cpu_widen(x, i * z->d + k, w, to);
        else if (x->dtype == HORA_F32)
            for (int64_t q = 0; q < w; q++)
                to[q] = hora_f32(x)[i * z->d + j->from[k + q]];
        else
            for (int64_t q = 0; q < w; q++)
                to[q] = hora_bf16_to_f32(((const uint16_t *)x->data)[i * z->d + j->from[k + q]]);
    }
}

/* dr (b, b) (+)= a block on the diagonal of a unit. */
static void put_block(float *dr, const float *from, const sizes *z, bool add) {
    for (int64_t i = 0; i < z->b; i++)
        for (int64_t q = 0; q < z->b; q++)
            dr[i * z->b + q] = from[i * z->unit + q] + (add ? dr[i * z->b + q] : 0);
}

/* dR of the blocks in columns k..k + unit: u' g, both (m, unit) of rows w apart. */
static void unit(const job *j, int64_t k, int64_t m, const float *u, const float *g, int64_t w,
                 float *packed, bool *add) {
    const sizes *z = &j->z;
    const bool shared = z->blocks == 1, alone = z->unit == z->b;
    float all[JOINED * JOINED], *dr = hora_f32(&j->c->din[1]) + (shared ? 0 : k * z->b);
    hora_small_pack(g, w, false, m, z->unit, packed);
    hora_small_product(&(hora_small){.m = z->unit,
                                     .n = z->unit,
                                     .k = m,
                                     .a = u,
                                     .lda = w,
                                     .transpose = true,
                                     .b = packed,
                                     .y = alone ? dr : all,
                                     .ldy = z->unit,
                                     .add = alone && *add});
    for (int64_t b = 0; !alone && b < z->unit; b += z->b, *add |= shared)
        put_block(dr + (shared ? 0 : b * z->b), all + b * z->unit + b, z, *add);
    *add |= shared;
}

/* dR of the blocks of w columns from k on: rows of u' times P dy of a block's columns. */
static void group(const job *j, int64_t k, int64_t w, float *own, bool *add) {
    const sizes *z = &j->z;
    const hora_call *c = j->c;
    float *u = own, *g = u + part(z), *packed = g + part(z);
    for (int64_t i = 0; i < z->n; i += z->step) {
        const int64_t m = hora_min(z->step, z->n - i);
        columns(j, &c->in[0], i, m, k, w, u);
        columns(j, &c->dout, i, m, k, w, g);
        for (int64_t b = 0; b < w; b += z->unit)
            unit(j, k + b, m, u + b, g + b, w, packed, add);
        *add = true;
    }
}

/* The blocks of a group; one that all share gets the sums of all groups. */
static void some_blocks(void *arg, int64_t tile, int thread) {
    const job *j = arg;
    const sizes *z = &j->z;
    float *own = hora_cpu_own(j->c, thread, room(z));
    bool add = !hora_cpu_overwrites(j->c, 1);
    if (z->blocks > 1)
        group(j, tile * z->group, hora_min(z->group, z->d - tile * z->group), own, &add);
    for (int64_t k = 0; k < z->d && z->blocks == 1; k += z->group)
        group(j, k, hora_min(z->group, z->d - k), own, &add);
}

/* Unit k of R, or of R transposed. */
static void pack_unit(const job *j, int64_t k, bool transpose) {
    const sizes *z = &j->z;
    const float *r = hora_f32(&j->c->in[1]) + (z->blocks > 1 ? k * z->unit * z->b : 0);
    float all[JOINED * JOINED] = {0}, *to = j->packed + k * z->packed;
    if (z->unit == z->b) {
        hora_small_pack(r, z->b, transpose, z->b, z->b, to);
        return;
    }
    for (int64_t b = 0; b < z->unit; b += z->b)
        for (int64_t i = 0; i < z->b; i++)
            memcpy(all + (b + i) * z->unit + b, r + ((z->blocks > 1 ? b : 0) + i) * z->b,
                   (size_t)z->b * sizeof *all);
    hora_small_pack(all, z->unit, transpose, z->unit, z->unit, to);
}

/* --- R is one number -------------------------------------------------------------------------- */
static void times_number(void *arg, int64_t from, int64_t to) {
    const hora_call *c = arg;
    const bool fwd = c->phase == HORA_FORWARD;
    const hora_view *x = fwd ? &c->in[0] : &c->dout, *y = fwd ? &c->out : &c->din[0];
    void *at = hora_cpu_at(y, from);
    hora_cpu_loops(y)->add(to - from, hora_f32(&c->in[1])[0],
                           fwd || hora_cpu_overwrites(c, 0) ? NULL : at, hora_cpu_at(x, from), at);
}

/* Its gradient, summed in order by one thread. */
static void grad_of_number(const job *j) {
    const hora_call *c = j->c;
    float *u = c->scratch, *g = u + part(&j->z), *dr = hora_f32(&c->din[1]);
    if (hora_cpu_overwrites(c, 1))
        *dr = 0;
    for (int64_t i = 0; i < j->z.n; i += FEW) {
        const int64_t m = hora_min(FEW, j->z.n - i);
        *dr += hora_cpu_dot(m, hora_cpu_line(&c->in[0], i, m, u), hora_cpu_line(&c->dout, i, m, g));
    }
}

static void run_number(const job *j, bool dx, bool dr) {
    if (dx)
        hora_cpu_chunks(j->z.n, HORA_CPU_CHUNK, times_number, (void *)(uintptr_t)j->c);
    if (dr)
        grad_of_number(j);
}

/* --- all -------------------------------------------------------------------------------------- */
typedef struct state {
    int threads;
    size_t own; /* bytes of the threads' scratch */
} state;

static hora_status prepare(hora_device *d, const hora_call *c, hora_impl *impl) {
    const sizes z = sizes_of(c);
    state *s = hora_calloc(1, sizeof *s);
    *s = (state){hora_device_threads(d), hora_cpu_own_bytes(d, room(&z))};
    impl->state = s;
    return HORA_OK;
}

static void run(const hora_impl *impl, const hora_call *c) {
    const state *s = impl->state;
    const bool fwd = c->phase == HORA_FORWARD;
    job j = {c, sizes_of(c), (float *)((char *)c->scratch + s->own), NULL};
    const sizes *z = &j.z;
    if (z->b == 1 && flat(c)) {
        run_number(&j, fwd || hora_cpu_wants(c, 0), hora_cpu_wants(c, 1));
        return;
    }
    j.from = (int32_t *)(j.packed + z->units * z->packed);
    for (int64_t p = 0; p < z->d; p++)
        j.from[hora_butterfly(p, z->b, z->level)] = (int32_t)p;
    for (int64_t k = 0; k < z->units; k++)
        pack_unit(&j, k, !fwd);
    if (fwd || hora_cpu_wants(c, 0))
        hora_cpu_parallel(s->threads, hora_ceil_div(z->n, z->tile), some_rows, &j);
    if (hora_cpu_wants(c, 1))
        hora_cpu_parallel(s->threads, z->blocks > 1 ? hora_ceil_div(z->d, z->group) : 1,
                          some_blocks, &j);
}

extern const hora_cpu_op hora_cpu_op_blocks;
const hora_cpu_op hora_cpu_op_blocks = {query, prepare, run, true, 0};
