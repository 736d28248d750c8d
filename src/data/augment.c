/* Random views of pictures: the draws and their order. What an operation does stands in
 * pixels.h. */
#include "data/augment.h"

#include <math.h>

#include "base/rng.h"

#define TRIES 10 /* to find a rectangle that fits, as torchvision */
#define BINS  30 /* RandAugment's strengths are 0 .. 30 */

/* The stage's stream for one sample. */
static hora_rng stream(const char *stage, uint64_t seed, int64_t epoch, int64_t index) {
    uint64_t key[3] = {hora_hash_text(stage), (uint64_t)epoch, (uint64_t)index};
    return (hora_rng){.seed = seed, .stream = hora_hash64(key, sizeof key, 0)};
}

static double between(hora_rng *r, double lo, double hi) {
    return lo + (hi - lo) * hora_rng_uniform(r);
}

/* A range of 0, 0 means its default. */
static const double *range(const double given[2], const double usual[2]) {
    return given[0] == 0 && given[1] == 0 ? usual : given;
}

static const double crop_scale[2] = {0.08, 1}, crop_ratio[2] = {3.0 / 4, 4.0 / 3};
static const double erase_scale[2] = {0.02, 0.33}, erase_ratio[2] = {0.3, 3.3};

hora_status hora_augment_check(const hora_augment *a) {
    const double chances[] = {a->flip, a->erase},
                 strengths[] = {a->brightness, a->contrast, a->saturation,
                                a->hue,        a->mixup,    a->cutmix};
    const double *ranges[] = {range(a->crop_scale, crop_scale), range(a->crop_ratio, crop_ratio),
                              range(a->erase_scale, erase_scale),
                              range(a->erase_ratio, erase_ratio)};
    for (size_t i = 0; i < HORA_COUNT(chances); i++)
        if (!(chances[i] >= 0 && chances[i] <= 1))
            return hora_fail(HORA_EUSAGE, "a probability of an augmentation is %g; use 0 to 1",
                             chances[i]);
    for (size_t i = 0; i < HORA_COUNT(strengths); i++)
        if (!(strengths[i] >= 0 && strengths[i] < 1e6))
            return hora_fail(HORA_EUSAGE,
                             "a strength of an augmentation is %g; use 0 (off) or more",
                             strengths[i]);
    for (size_t i = 0; i < HORA_COUNT(ranges); i++)
        if (!(ranges[i][0] > 0 && ranges[i][0] <= ranges[i][1] && ranges[i][1] < 1e6))
            return hora_fail(
                HORA_EUSAGE,
                "a range of an augmentation is %g .. %g; use positive numbers in order",
                ranges[i][0], ranges[i][1]);
    if (a->hue > 0.5 || a->crop_scale[1] > 1 || a->erase_scale[1] > 1 || a->ops < 0 ||
        a->magnitude < 0 || a->magnitude > BINS)
        return hora_fail(
            HORA_EUSAGE,
            "hue is at most 0.5, a share of the area at most 1, RandAugment's strength 0 to %d",
            BINS);
    return HORA_OK;
}

/* A rectangle of a random share of the area and a random ratio width / height; false: none
 * fitted. */
static bool rectangle(hora_rng *r, int64_t width, int64_t height, const double *scale,
                      const double *ratio, hora_rect *out) {
    for (int i = 0; i < TRIES; i++) {
        double area = (double)width * (double)height * between(r, scale[0], scale[1]);
        double shape = exp(between(r, log(ratio[0]), log(ratio[1])));
        int64_t w = (int64_t)rint(sqrt(area * shape)), h = (int64_t)rint(sqrt(area / shape));
        if (w < 1 || h < 1 || w > width || h > height)
            continue;
        out->x = hora_rng_below(r, width - w + 1);
        out->y = hora_rng_below(r, height - h + 1);
        out->width = w;
        out->height = h;
        return true;
    }
    return false;
}

/* The middle, of the nearest ratio that is allowed. */
static hora_rect middle(int64_t width, int64_t height, const double *ratio) {
    double is = (double)width / (double)height;
    int64_t w = width, h = height;
    if (is < ratio[0])
        h = hora_min(hora_max((int64_t)rint((double)w / ratio[0]), 1), height);
    else if (is > ratio[1])
        w = hora_min(hora_max((int64_t)rint((double)h * ratio[1]), 1), width);
    return (hora_rect){(width - w) / 2, (height - h) / 2, w, h};
}

hora_augment_view hora_augment_draw(const hora_augment *a, int64_t width, int64_t height,
                                    uint64_t seed, int64_t epoch, int64_t index) {
    hora_augment_view v = {.from = {0, 0, width, height}};
    hora_rng r = stream("augment/crop", seed, epoch, index);
    const double *ratio = range(a->crop_ratio, crop_ratio);
    if (a->crop && !rectangle(&r, width, height, range(a->crop_scale, crop_scale), ratio, &v.from))
        v.from = middle(width, height, ratio);
    r = stream("augment/flip", seed, epoch, index);
    v.flip = hora_rng_uniform(&r) < a->flip;
    return v;
}

/* --- colours ---------------------------------------------------------------------------------- */

/* The four in random order; each factor is drawn whether it is used or not. */
static void jitter(const hora_augment *a, hora_image *im, hora_rng *r) {
    static void (*const apply[4])(hora_image *, double) = {
        hora_image_brightness, hora_image_contrast, hora_image_saturation, hora_image_hue};
    const double width[4] = {a->brightness, a->contrast, a->saturation, a->hue};
    double factor[4];
    int order[4] = {0, 1, 2, 3};
    for (int i = 3; i > 0; i--) {
        int k = (int)hora_rng_below(r, i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (int i = 0; i < 4; i++)
        factor[i] = i == 3 ? between(r, -width[i], width[i])
                           : between(r, fmax(1 - width[i], 0), 1 + width[i]);
    for (int i = 0; i < 4; i++)
        if (width[order[i]] > 0)
            apply[order[i]](im, factor[order[i]]);
}

/* --- RandAugment: rows of operations ---------------------------------------------------------- */

static hora_status shear_x(hora_image *im, double v) {
    return hora_image_affine(im, (double[]){1, v, 0, 0, 1, 0});
}
static hora_status shear_y(hora_image *im, double v) {
    return hora_image_affine(im, (double[]){1, 0, 0, v, 1, 0});
}
static hora_status translate_x(hora_image *im, double v) {
    return hora_image_affine(im, (double[]){1, 0, -trunc(v * (double)im->width), 0, 1, 0});
}
static hora_status translate_y(hora_image *im, double v) {
    return hora_image_affine(im, (double[]){1, 0, 0, 0, 1, -trunc(v * (double)im->height)});
}
static hora_status identity(hora_image *im, double v) {
    (void)im;
    (void)v;
    return HORA_OK;
}
static hora_status brightness(hora_image *im, double v) {
    hora_image_brightness(im, 1 + v);
    return HORA_OK;
}
static hora_status contrast(hora_image *im, double v) {
    hora_image_contrast(im, 1 + v);
    return HORA_OK;
}
static hora_status saturation(hora_image *im, double v) {
    hora_image_saturation(im, 1 + v);
    return HORA_OK;
}
static hora_status sharpness(hora_image *im, double v) {
    return hora_image_sharpness(im, 1 + v);
}
static hora_status posterize(hora_image *im, double v) {
    hora_image_posterize(im, 8 - (int)rint(v));
    return HORA_OK;
}
static hora_status solarize(hora_image *im, double v) {
    hora_image_solarize(im, (int)ceil(255 - v));
    return HORA_OK;
}
static hora_status autocontrast(hora_image *im, double v) {
    (void)v;
    hora_image_autocontrast(im);
    return HORA_OK;
}
static hora_status equalize(hora_image *im, double v) {
    (void)v;
    hora_image_equalize(im);
    return HORA_OK;
}

/* The value grows from 0 to `top` with the strength; `both`: either sign. */
static const struct operation {
    double top;
    bool both;
    hora_status (*run)(hora_image *, double value);
} operations[] = {
    {0, false, identity},
    {0.3, true, shear_x},
    {0.3, true, shear_y},
    {150.0 / 331, true, translate_x},
    {150.0 / 331, true, translate_y},
    {30, true, hora_image_rotate},
    {0.9, true, brightness},
    {0.9, true, saturation},
    {0.9, true, contrast},
    {0.9, true, sharpness},
    {4, false, posterize},
    {255, false, solarize},
    {0, false, autocontrast},
    {0, false, equalize},
};

static hora_status rand_augment(const hora_augment *a, hora_image *im, hora_rng *r) {
    for (int i = 0; i < a->ops; i++) {
        const struct operation *op = &operations[hora_rng_below(r, HORA_COUNT(operations))];
        double value = op->top * a->magnitude / BINS;
        if (hora_rng_below(r, 2) && op->both)
            value = -value;
        HORA_TRY(op->run(im, value));
    }
    return HORA_OK;
}

/* --- a picture -------------------------------------------------------------------------------- */

hora_status hora_augment_picture(const hora_augment *a, const hora_image_processor *p,
                                 const hora_image *im, bool fitted, uint64_t seed, int64_t epoch,
                                 int64_t index, hora_image *out) {
    hora_augment_view v = hora_augment_draw(a, im->width, im->height, seed, epoch, index);
    int64_t w, h;
    *out = (hora_image){0};
    if (!hora_image_processor_fixed(p, &w, &h))
        return hora_fail(HORA_EUSAGE,
                         "the image processor gives every picture a size of its own; training "
                         "needs do_center_crop, or a size of height and width");
    const hora_stretch part = {.from = &v.from, .width = w, .height = h, .resample = p->resample};
    const hora_stretch same = {.width = im->width, .height = im->height};
    if (a->crop || fitted)
        HORA_TRY(hora_image_stretch(out, im, a->crop ? &part : &same));
    else
        HORA_TRY(hora_image_processor_fit(p, im, out));
    if (v.flip)
        hora_image_flip(out);
    hora_rng r = stream("augment/jitter", seed, epoch, index);
    jitter(a, out, &r);
    r = stream("augment/rand", seed, epoch, index);
    hora_status s = rand_augment(a, out, &r);
    if (s != HORA_OK)
        hora_image_release(out);
    return s;
}

void hora_augment_erase(const hora_augment *a, float *values, int64_t height, int64_t width,
                        uint64_t seed, int64_t epoch, int64_t index) {
    hora_rng r = stream("augment/erase", seed, epoch, index);
    hora_rect cut;
    if (hora_rng_uniform(&r) >= a->erase ||
        !rectangle(&r, width, height, range(a->erase_scale, erase_scale),
                   range(a->erase_ratio, erase_ratio), &cut))
        return;
    for (int64_t c = 0; c < 3; c++)
        for (int64_t y = cut.y; y < cut.y + cut.height; y++)
            memset(values + (c * height + y) * width + cut.x, 0,
                   (size_t)cut.width * sizeof *values);
}

/* --- a batch ---------------------------------------------------------------------------------- */

/* Gamma(shape, 1): Marsaglia and Tsang (2000); below 1 by the power of a uniform. */
static double gamma_draw(hora_rng *r, double shape) {
    double boost = 1;
    if (shape < 1) {
        boost = pow(1 - hora_rng_uniform(r), 1 / shape);
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = hora_rng_normal(r), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - hora_rng_uniform(r)) < 0.5 * x * x + d - d * v + d * log(v))
            return boost * d * v;
    }
}

static double beta_draw(hora_rng *r, double a) {
    double x = gamma_draw(r, a), y = gamma_draw(r, a);
    return x + y > 0 ? x / (x + y) : 0.5; /* both underflow only where a is tiny */
}

hora_mix hora_augment_mix(const hora_augment *a, int64_t height, int64_t width, uint64_t seed,
                          int64_t epoch, int64_t index) {
    hora_rng r = stream("augment/mix", seed, epoch, index);
    bool second = hora_rng_below(&r, 2);
    hora_mix m = {.lambda = 1};
    if (a->mixup > 0 && (a->cutmix == 0 || !second))
        m.kind = HORA_MIX_UP;
    else if (a->cutmix > 0)
        m.kind = HORA_MIX_CUT;
    if (m.kind == HORA_MIX_NONE)
        return m;
    m.lambda = beta_draw(&r, m.kind == HORA_MIX_UP ? a->mixup : a->cutmix);
    if (m.kind == HORA_MIX_UP)
        return m;
    double half = 0.5 * sqrt(1 - m.lambda);
    int64_t x = hora_rng_below(&r, width), y = hora_rng_below(&r, height);
    int64_t rx = (int64_t)(half * (double)width), ry = (int64_t)(half * (double)height);
    int64_t x0 = hora_max(x - rx, 0), x1 = hora_min(x + rx, width);
    int64_t y0 = hora_max(y - ry, 0), y1 = hora_min(y + ry, height);
    m.cut = (hora_rect){x0, y0, x1 - x0, y1 - y0};
    m.lambda = 1 - (double)(m.cut.width * m.cut.height) / (double)(width * height);
    return m;
}

static void swap(float *a, float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

static void mix_pair(const hora_mix *m, float *a, float *b, int64_t height, int64_t width) {
    float own = (float)m->lambda, other = (float)(1 - m->lambda);
    if (m->kind == HORA_MIX_UP)
        for (int64_t i = 0; i < 3 * height * width; i++) {
            float x = a[i], y = b[i];
            a[i] = own * x + other * y;
            b[i] = own * y + other * x;
        }
    else
        for (int64_t c = 0; c < 3; c++)
            for (int64_t y = m->cut.y; y < m->cut.y + m->cut.height; y++) {
                int64_t at = (c * height + y) * width + m->cut.x;
                swap(a + at, b + at, m->cut.width);
            }
}

void hora_mix_apply(const hora_mix *m, float *batch, int64_t n, int64_t height, int64_t width) {
    for (int64_t i = 0; i < n / 2 && m->kind != HORA_MIX_NONE; i++)
        mix_pair(m, batch + i * 3 * height * width, batch + (n - 1 - i) * 3 * height * width,
                 height, width);
}
