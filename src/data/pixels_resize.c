/*
 * Resizing with Pillow's filters and its fixed-point arithmetic. One pass for the columns and one
 * for the rows, each with 8-bit results: level = (sum of c_k p_k + 2^21) >> 22, clamped, the
 * weights c_k rounded to 22 bits. A filter is stretched by the scale when it shrinks, which is the
 * antialiasing. Weights depend on scale and position alone, so any window of the result is
 * computed by itself.
 */
#include <math.h>
#include <strings.h>

#include "data/pixels.h"

#define BITS     22 /* of a weight's fraction */
#define PI       3.14159265358979323846
#define MAX_SIDE ((int64_t)INT32_MAX)

static double box(double x) {
    return x > -0.5 && x <= 0.5;
}

static double bilinear(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double hamming(double x) {
    x = fabs(x);
    if (x == 0)
        return 1;
    if (x >= 1)
        return 0;
    x *= PI;
    return sin(x) / x *
           ((double)0.54f + (double)0.46f * cos(x)); /* Pillow's constants are floats */
}

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x) {
    x *= PI;
    return x == 0 ? 1 : sin(x) / x;
}

static double lanczos(double x) {
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct filter {
    const char *name;
    double support; /* half width at scale 1 */
    double (*at)(double);
} filters[HORA_RESAMPLE_COUNT] = {
    [HORA_RESAMPLE_NEAREST] = {"nearest", 0, NULL},
    [HORA_RESAMPLE_LANCZOS] = {"lanczos", 3, lanczos},
    [HORA_RESAMPLE_BILINEAR] = {"bilinear", 1, bilinear},
    [HORA_RESAMPLE_BICUBIC] = {"bicubic", 2, bicubic},
    [HORA_RESAMPLE_BOX] = {"box", 0.5, box},
    [HORA_RESAMPLE_HAMMING] = {"hamming", 1, hamming},
};

int hora_resample_find(const char *name) {
    for (int i = 0; i < HORA_RESAMPLE_COUNT; i++)
        if (!strcasecmp(name, filters[i].name))
            return i;
    return -1;
}

/* Result i of one axis, i in a range: the weighted sum of n[i] pixels from first[i] on. With
 * nearest and without stretching n is 1 and the weight not looked at. */
typedef struct axis {
    int64_t count, reach; /* results; weights kept for each */
    int64_t *first, *n;   /* (count) */
    int32_t *weight;      /* (count, reach); NULL: copies */
    int64_t lo, hi;       /* the pixels that any result needs: lo <= i < hi */
} axis;

static void axis_release(axis *a) {
    hora_free(a->first);
    hora_free(a->n);
    hora_block_free(a->weight, (size_t)a->count * (size_t)a->reach * sizeof *a->weight);
    *a = (axis){0};
}

/* Pillow walks to each position by adding the scale, and so do we: the sums round. */
static void nearest_axis(axis *a, int64_t in, int64_t out, int64_t from) {
    double scale = (double)in / (double)out, at = scale * 0.5;
    for (int64_t i = 0; i < from + a->count; i++, at += scale)
        if (i >= from)
            a->first[i - from] = hora_min((int64_t)at, in - 1);
}

static void weigh(axis *a, const struct filter *f, int64_t in, int64_t out, int64_t from,
                  double *w) {
    double scale = (double)in / (double)out, stretch = scale < 1 ? 1 : scale;
    double support = f->support * stretch, ss = 1 / stretch;
    for (int64_t i = 0; i < a->count; i++) {
        double center = ((double)(from + i) + 0.5) * scale, sum = 0;
        int64_t lo = hora_max((int64_t)(center - support + 0.5), 0);
        int64_t n = hora_min((int64_t)(center + support + 0.5), in) - lo;
        for (int64_t k = 0; k < n; k++)
            sum += w[k] = f->at(((double)(k + lo) - center + 0.5) * ss);
        int32_t *c = a->weight + i * a->reach;
        for (int64_t k = 0; k < n; k++) {
            double v = (sum != 0 ? w[k] / sum : w[k]) * (1 << BITS);
            c[k] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        a->first[i] = lo;
        a->n[i] = n;
    }
}

/* Results from .. from + count - 1 of `in` pixels stretched to `out`. */
static hora_status axis_init(axis *a, const struct filter *f, int64_t in, int64_t out, int64_t from,
                             int64_t count) {
    *a = (axis){.count = count};
    a->first = hora_calloc((size_t)count, sizeof *a->first);
    a->n = hora_calloc((size_t)count, sizeof *a->n);
    if (in == out) {
        for (int64_t i = 0; i < count; i++)
            a->first[i] = from + i;
    } else if (!f->at) {
        nearest_axis(a, in, out, from);
    } else {
        double scale = (double)in / (double)out;
        a->reach = hora_min((int64_t)ceil(f->support * (scale < 1 ? 1 : scale)) * 2 + 1, in);
        void *w;
        HORA_TRY(hora_block_new(&w, (size_t)count * (size_t)a->reach * sizeof *a->weight,
                                "weights of a resize"));
        a->weight = w;
        double *scratch = hora_malloc((size_t)a->reach * sizeof *scratch);
        weigh(a, f, in, out, from, scratch);
        hora_free(scratch);
    }
    a->lo = in;
    for (int64_t i = 0; i < count; i++) {
        if (!a->weight)
            a->n[i] = 1;
        a->lo = hora_min(a->lo, a->first[i]);
        a->hi = hora_max(a->hi, a->first[i] + a->n[i]);
    }
    return HORA_OK;
}

static inline uint8_t level(int32_t sum) {
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row of pixels with c channels to a->count pixels. */
static inline void across_channels(uint8_t *to, const uint8_t *row, const axis *a, int c) {
    for (int64_t i = 0; i < a->count; i++, to += c) {
        const uint8_t *p = row + a->first[i] * c;
        if (!a->weight) {
            memcpy(to, p, (size_t)c);
            continue;
        }
        const int32_t *w = a->weight + i * a->reach;
        int32_t s[3] = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
        for (int64_t k = 0; k < a->n[i]; k++, p += c)
            for (int j = 0; j < c; j++)
                s[j] += w[k] * p[j];
        for (int j = 0; j < c; j++)
            to[j] = level(s[j]);
    }
}

static void across(uint8_t *to, const uint8_t *row, const axis *a, int c) {
    if (c == 3)
        across_channels(to, row, a, 3); /* a constant, so that the loops unroll */
    else
        across_channels(to, row, a, 1);
}

/* Result i of the rows p, p + pitch, ..: n bytes of each. */
static void down(uint8_t *to, const uint8_t *p, size_t pitch, size_t n, const axis *a, int64_t i,
                 int32_t *sum) {
    if (!a->weight) {
        memcpy(to, p, n);
        return;
    }
    for (size_t x = 0; x < n; x++)
        sum[x] = 1 << (BITS - 1);
    for (int64_t k = 0; k < a->n[i]; k++, p += pitch) {
        int32_t w = a->weight[i * a->reach + k];
        for (size_t x = 0; x < n; x++)
            sum[x] += w * p[x];
    }
    for (size_t x = 0; x < n; x++)
        to[x] = level(sum[x]);
}

/* The first pass goes to `between`, the second from there to the rectangle `at` of out. */
typedef struct passes {
    hora_image *out;
    const hora_rect *at;
    const uint8_t *px; /* first pixel of the part to stretch */
    size_t pitch;      /* of its rows */
    int c;
    const axis *h, *v;
    uint8_t *between;
    int32_t *sum;
} passes;

static uint8_t *result_row(const passes *p, int64_t y) {
    return p->out->px + ((p->at->y + y) * p->out->width + p->at->x) * p->c;
}

static void columns_first(const passes *p) {
    const axis *h = p->h, *v = p->v;
    size_t n = (size_t)h->count * (size_t)p->c;
    for (int64_t y = v->lo; y < v->hi; y++)
        across(p->between + (size_t)(y - v->lo) * n, p->px + (size_t)y * p->pitch, h, p->c);
    for (int64_t y = 0; y < v->count; y++)
        down(result_row(p, y), p->between + (size_t)(v->first[y] - v->lo) * n, n, n, v, y, p->sum);
}

static void rows_first(const passes *p) {
    const axis *h = p->h, *v = p->v;
    size_t left = (size_t)h->lo * (size_t)p->c, n = (size_t)(h->hi - h->lo) * (size_t)p->c;
    for (int64_t y = 0; y < v->count; y++) {
        down(p->between + left, p->px + (size_t)v->first[y] * p->pitch + left, p->pitch, n, v, y,
             p->sum);
        across(result_row(p, y), p->between, h, p->c);
    }
}

static hora_status resample(passes *p, bool rows) {
    size_t n = (size_t)p->c * (size_t)(rows ? p->h->hi : p->h->count);
    size_t bytes = n * (rows ? 1 : (size_t)(p->v->hi - p->v->lo));
    void *between;
    HORA_TRY(hora_block_new(&between, bytes, "a resize"));
    p->between = between;
    p->sum = hora_malloc(n * sizeof *p->sum);
    (rows ? rows_first : columns_first)(p);
    hora_free(p->sum);
    hora_block_free(between, bytes);
    return HORA_OK;
}

static void fill(hora_image *im, const uint8_t colour[3]) {
    for (int64_t i = 0; i < im->width * im->height; i++)
        memcpy(im->px + i * im->channels, colour, (size_t)im->channels);
}

static hora_status check(const hora_image *im, const hora_rect *from, int64_t width, int64_t height,
                         const hora_rect *window) {
    if (from->x < 0 || from->y < 0 || from->width < 1 || from->height < 1 ||
        from->x > im->width - from->width || from->y > im->height - from->height)
        return hora_fail(HORA_EUSAGE, "the part to stretch lies outside of the picture; cut it");
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
        return hora_fail(HORA_ESHAPE,
                         "a picture of %lld x %lld would become %lld x %lld; such a shape needs a "
                         "fixed size, or leave it out",
                         (long long)im->width, (long long)im->height, (long long)width,
                         (long long)height);
    if (window->width < 1 || window->height < 1 ||
        window->width > HORA_IMAGE_MAX_PIXELS / window->height)
        return hora_fail(HORA_ESHAPE,
                         "a picture of %lld x %lld would be resized to %lld x %lld, not within the "
                         "limit of %lld pixels; use a fixed size or a crop, or leave it out",
                         (long long)im->width, (long long)im->height, (long long)window->width,
                         (long long)window->height, (long long)HORA_IMAGE_MAX_PIXELS);
    return HORA_OK;
}

/* Pillow's rule since version 13 (github.com/python-pillow/Pillow/pull/9549); before, columns
 * always came first. The levels between the passes are rounded, so the order shows in the
 * result. */
static bool rows_come_first(const hora_rect *from, const hora_stretch *how) {
    int64_t lower = from->height - how->height, narrower = from->width - how->width;
    return lower > 0 && lower > 2 * narrower;
}

hora_status hora_image_stretch(hora_image *out, const hora_image *im, const hora_stretch *how) {
    const hora_rect all = {0, 0, im->width, im->height};
    const hora_rect every = {0, 0, how->width, how->height};
    const hora_rect *from = how->from ? how->from : &all, *w = how->window ? how->window : &every;
    *out = (hora_image){0};
    HORA_TRY(check(im, from, how->width, how->height, w));
    /* what of the window is inside the stretched picture, seen from there */
    int64_t x0 = hora_max(w->x, 0), x1 = hora_min(w->x + w->width, how->width);
    int64_t y0 = hora_max(w->y, 0), y1 = hora_min(w->y + w->height, how->height);
    HORA_TRY(hora_image_init(out, w->width, w->height, im->channels));
    if (x1 <= x0 || y1 <= y0 || x1 - x0 < w->width || y1 - y0 < w->height)
        fill(out, how->fill);
    if (x1 <= x0 || y1 <= y0)
        return HORA_OK;
    const struct filter *f = &filters[how->resample];
    const hora_rect at = {x0 - w->x, y0 - w->y, x1 - x0, y1 - y0};
    axis h = {0}, v = {0};
    hora_status s = axis_init(&h, f, from->width, how->width, x0, x1 - x0);
    if (s == HORA_OK)
        s = axis_init(&v, f, from->height, how->height, y0, y1 - y0);
    passes p = {.out = out,
                .at = &at,
                .px = im->px + (from->y * im->width + from->x) * im->channels,
                .pitch = (size_t)im->width * (size_t)im->channels,
                .c = im->channels,
                .h = &h,
                .v = &v};
    if (s == HORA_OK)
        s = resample(&p, rows_come_first(from, how));
    axis_release(&h);
    axis_release(&v);
    if (s != HORA_OK)
        hora_image_release(out);
    return s;
}

hora_status hora_image_resize(hora_image *out, const hora_image *im, int64_t width, int64_t height,
                              hora_resample resample) {
    return hora_image_stretch(
        out, im, &(hora_stretch){.width = width, .height = height, .resample = resample});
}
