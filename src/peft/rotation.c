/* Rotations of a projection's input, block by block. The recording is the one definition: merging
 * takes its blocks and turns the rows of W back. */
#include "peft/rotation.h"

#include "nn/recording.h"
#include "op/op_blocks.h"

hora_rotation *hora_rotations_new(hora_adapter *a) {
    return a->state = hora_calloc((size_t)a->base->nsites + 1, sizeof(hora_rotation));
}

void hora_rotations_release(hora_adapter *a) {
    hora_rotation *t = a->state;
    hora_typed_release(a);
    for (int i = 0; t && i < a->base->nsites; i++)
        hora_free(t[i].index);
}

static void prelude(hora_rotation *t, hora_net *n) {
    hora_graph *g = n->g;
    const int64_t rows = t->blocks * t->block;
    const int64_t width = t->whole ? t->block * t->block : t->block * (t->block - 1) / 2;
    hora_t all = hora_permute(g, hora_net_param(n, t->p), t->factors * t->blocks, 1, 1, width);
    hora_t r = hora_cayley(g, all, t->block, t->terms, t->whole); /* (factors blocks b, b) */
    for (int64_t f = 0; f < t->factors; f++)
        t->r[f] = t->index ? hora_gather(g, r, t->index + f * rows, rows) : r;
}

hora_status hora_rotation_block(const hora_site *s, int64_t block, int64_t blocks, int64_t *b) {
    if (block && blocks)
        return hora_fail(HORA_EUSAGE, "give block_size or blocks, not both");
    *b = block ? block : s->in / hora_max(1, blocks);
    if (*b < 2 || s->in % *b || (blocks && s->in % blocks))
        return hora_fail(HORA_EUSAGE,
                         "%s is %lld wide, and %s=%lld does not cut that into equal blocks of 2 or "
                         "more; take a number that does",
                         s->module, (long long)s->in, block ? "block_size" : "blocks",
                         (long long)(block ? block : blocks));
    return HORA_OK;
}

void hora_rotations_prelude(hora_net *n, hora_adapter *a, int layer) {
    hora_rotation *t = a->state;
    for (int i = 0; i < a->base->nsites; i++)
        if (t[i].p && a->base->sites[i].layer == layer)
            prelude(&t[i], n);
}

static int64_t level(const hora_rotation *t, int64_t f) {
    return t->factors > 1 ? f : 0;
}

hora_t hora_rotation_turn(const hora_rotation *t, hora_net *n, hora_t x) {
    for (int64_t f = t->factors - 1; f >= 0; f--)
        x = hora_blocks(n->g, x, t->r[f], level(t, f));
    return x;
}

/* --- merging ---------------------------------------------------------------------------------- */

static void keep(hora_net *n, hora_t hidden, void *user) {
    const hora_adapter *a = user;
    const hora_rotation *t = a->state;
    (void)hidden;
    for (int i = 0; i < a->base->nsites; i++)
        for (int64_t f = 0; t[i].p && f < t[i].factors; f++)
            hora_graph_output(n->g, t[i].r[f]);
}

typedef struct turning {
    const hora_rotation *t;
    int64_t in;
    double *r[HORA_ROTATION_FACTORS]; /* (blocks b, b) */
    double *u;                        /* in */
} turning;

/* w M' = w M_0' M_1' .. */
static void turn_row(void *arg, double *w) {
    const turning *c = arg;
    const int64_t b = c->t->block, n = c->in;
    for (int64_t f = 0; f < c->t->factors; f++) {
        for (int64_t p = 0; p < n; p++)
            c->u[hora_butterfly(p, b, level(c->t, f))] = w[p];
        for (int64_t p = 0; p < n; p++) {
            const int64_t at = hora_butterfly(p, b, level(c->t, f)), first = at - at % b;
            const double *r = c->r[f] + (c->t->blocks == 1 ? at % b : at) * b;
            w[p] = 0;
            for (int64_t l = 0; l < b; l++)
                w[p] += c->u[first + l] * r[l];
        }
    }
}

static hora_status merge_site(const hora_rotation *t, const hora_graph *g, const hora_site *s,
                              const hora_merging *m) {
    turning c = {.t = t, .in = s->in, .u = hora_malloc((size_t)s->in * sizeof *c.u)};
    hora_status st = HORA_OK;
    for (int64_t f = 0; f < t->factors && !st; f++) {
        const hora_view *v = hora_graph_view(g, t->r[f]);
        c.r[f] = hora_malloc((size_t)hora_elems(v) * sizeof **c.r);
        st = hora_convert(c.r[f], HORA_F64, v->data, v->dtype, hora_elems(v));
    }
    if (!st)
        st = hora_merging_rows(m, s, turn_row, &c);
    for (int64_t f = 0; f < t->factors; f++)
        hora_free(c.r[f]);
    hora_free(c.u);
    return st;
}

hora_status hora_rotations_merge(hora_adapter *a, const hora_merging *m) {
    hora_adapter *only[] = {a};
    hora_device *d = hora_device_new();
    hora_recording r;
    const hora_recording_parts parts = {.base = a->base,
                                        .adapters = only,
                                        .nadapters = 1,
                                        .device = d,
                                        .rows = 64,
                                        .mode = HORA_NET_EVAL,
                                        .outputs = keep,
                                        .user = a};
    hora_status s = hora_recording_open(&r, &parts, &(hora_plan_options){0}, "rotations");
    const hora_rotation *t = a->state;
    if (!s)
        hora_graph_before(r.g);
    for (int i = 0; i < a->base->nsites && !s; i++)
        if (t[i].p)
            s = merge_site(&t[i], r.g, &a->base->sites[i], m);
    hora_recording_release(&r);
    hora_device_free(d);
    return s;
}
