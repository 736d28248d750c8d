/* Two outcomes of one batch beside each other, in f64. */
#include "infer/differ.h"

#include <math.h>

hora_status hora_outcome_run(hora_outcome *o, hora_forward *f, const hora_forward_batch *b) {
    *o = (hora_outcome){.layers = f->base->layers};
    HORA_TRY(hora_forward_fit(f, b));
    o->shape = hora_forward_logits(f, b);
    o->hidden = hora_forward_hidden(f, b);
    o->logits = hora_calloc((size_t)hora_shape_elems(&o->shape) + 1, sizeof *o->logits);
    o->blocks =
        hora_calloc((size_t)(o->layers * hora_shape_elems(&o->hidden)) + 1, sizeof *o->blocks);
    f->logits = o->logits;
    f->blocks = o->blocks;
    return hora_forward_run(f, b);
}

void hora_outcome_release(hora_outcome *o) {
    hora_free(o->logits);
    hora_free(o->blocks);
    *o = (hora_outcome){0};
}

/* Row `i` of `n` in a sample of which only the kept tokens count. */
static bool counts(const hora_forward_batch *b, int64_t i, int64_t n) {
    return !b->mask || n != b->t || b->mask[i] != 0;
}

/* KL of softmax(x) and softmax(y), and whether their largest agree. */
static double divergence(const float *x, const float *y, int64_t n, bool *same) {
    int64_t tx = 0, ty = 0;
    double sx = 0, sy = 0, kl = 0;
    for (int64_t k = 1; k < n; k++) {
        tx = x[k] > x[tx] ? k : tx;
        ty = y[k] > y[ty] ? k : ty;
    }
    for (int64_t k = 0; k < n; k++) {
        sx += exp((double)x[k] - (double)x[tx]);
        sy += exp((double)y[k] - (double)y[ty]);
    }
    const double lx = (double)x[tx] + log(sx), ly = (double)y[ty] + log(sy);
    for (int64_t k = 0; k < n; k++)
        kl += exp((double)x[k] - lx) * (((double)x[k] - lx) - ((double)y[k] - ly));
    *same = tx == ty;
    return fmax(kl, 0);
}

static void logits(hora_difference *d, const hora_outcome *x, const hora_outcome *y,
                   const hora_forward_batch *b) {
    const int64_t width = x->shape.d[x->shape.n - 1], n = x->shape.n == 3 ? x->shape.d[1] : 1;
    const int64_t rows = hora_shape_elems(&x->shape) / width;
    for (int64_t i = 0; i < rows; i++) {
        const float *p = x->logits + i * width, *q = y->logits + i * width;
        bool same;
        if (x->shape.n == 3 && !counts(b, i, n))
            continue;
        for (int64_t k = 0; k < width; k++) {
            const double off = fabs((double)p[k] - (double)q[k]);
            d->largest = fmax(d->largest, off);
            d->mean += off;
        }
        d->kl += divergence(p, q, width, &same);
        d->agree += same;
        d->rows++;
    }
    d->mean /= (double)hora_max(d->rows * width, 1);
    d->kl /= (double)hora_max(d->rows, 1);
    d->agree /= (double)hora_max(d->rows, 1);
}

static void layers(hora_difference *d, const hora_outcome *x, const hora_outcome *y,
                   const hora_forward_batch *b, double apart) {
    const int64_t n = hora_shape_elems(&x->hidden), width = x->hidden.d[2];
    d->blocks = hora_calloc((size_t)x->layers + 1, sizeof *d->blocks);
    for (int l = 0; l < x->layers; l++) {
        double off = 0, most = 0;
        for (int64_t k = 0; k < n; k++) {
            if (!counts(b, k / width, x->hidden.d[1]))
                continue;
            const double p = (double)x->blocks[l * n + k], q = (double)y->blocks[l * n + k];
            off = fmax(off, fabs(p - q));
            most = fmax(most, fabs(p));
        }
        d->blocks[l] = most > 0 ? off / most : off;
        if (d->layer < 0 && d->blocks[l] > apart)
            d->layer = l;
    }
}

hora_status hora_differ(hora_difference *d, const hora_outcome *x, const hora_outcome *y,
                        const hora_forward_batch *b, double apart) {
    *d = (hora_difference){.layer = -1};
    if (!hora_shape_equal(&x->shape, &y->shape))
        return hora_fail(HORA_EMISMATCH,
                         "one gives %lld numbers for a token and the other %lld: they are models "
                         "of different vocabularies or classes",
                         (long long)x->shape.d[x->shape.n - 1],
                         (long long)y->shape.d[y->shape.n - 1]);
    logits(d, x, y, b);
    if (x->layers == y->layers && hora_shape_equal(&x->hidden, &y->hidden))
        layers(d, x, y, b, apart);
    return HORA_OK;
}
