/*
 * Colours and simple geometry with Pillow's arithmetic: float blends that are cut, not rounded;
 * grey by 16-bit weights; look-up tables in double. Each function names the one it follows.
 */
#include <math.h>

#include "data/pixels.h"

static uint8_t clip(int v) {
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static size_t pixels(const hora_image *im) {
    return (size_t)im->width * (size_t)im->height;
}

/* ITU-R 601-2: convert("L"). */
static int grey(const uint8_t *p) {
    return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

/* Image.blend(base, level, factor): between the two it is cut, beyond them clamped. */
static uint8_t blend(int base, int level, float factor) {
    float v = (float)base + factor * (float)(level - base);
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)v;
}

/* ImageEnhance.Brightness, .Contrast, .Color */
void hora_image_brightness(hora_image *im, double factor) {
    for (size_t i = 0, n = hora_image_bytes(im); i < n; i++)
        im->px[i] = blend(0, im->px[i], (float)factor);
}

void hora_image_contrast(hora_image *im, double factor) {
    int64_t sum = 0;
    for (size_t i = 0; i < pixels(im); i++)
        sum += grey(im->px + 3 * i);
    int mean = (int)((double)sum / (double)pixels(im) + 0.5);
    for (size_t i = 0, n = hora_image_bytes(im); i < n; i++)
        im->px[i] = blend(mean, im->px[i], (float)factor);
}

void hora_image_saturation(hora_image *im, double factor) {
    for (size_t i = 0; i < pixels(im); i++) {
        uint8_t *p = im->px + 3 * i;
        int g = grey(p);
        for (int c = 0; c < 3; c++)
            p[c] = blend(g, p[c], (float)factor);
    }
}

/* ImageEnhance.Sharpness: blended with ImageFilter.SMOOTH, whose outermost pixels stay. */
hora_status hora_image_sharpness(hora_image *im, double factor) {
    const float side = 1.0f / 13.0f, middle = 5.0f / 13.0f;
    size_t row = (size_t)im->width * 3, bytes = hora_image_bytes(im);
    void *copy;
    HORA_TRY(hora_block_new(&copy, bytes, "a sharpened picture"));
    memcpy(copy, im->px, bytes);
    for (int64_t y = 1; y < im->height - 1; y++)
        for (size_t x = 3; x < row - 3; x++) {
            const uint8_t *p = (const uint8_t *)copy + (size_t)y * row + x;
            const uint8_t *above = p - row, *below = p + row;
            float v = 0.5f;
            v += (float)below[-3] * side + (float)below[0] * side + (float)below[3] * side;
            v += (float)p[-3] * side + (float)p[0] * middle + (float)p[3] * side;
            v += (float)above[-3] * side + (float)above[0] * side + (float)above[3] * side;
            im->px[(size_t)y * row + x] = blend(clip((int)v), p[0], (float)factor);
        }
    hora_block_free(copy, bytes);
    return HORA_OK;
}

/* convert("HSV"): h, s in 0..255 of the circle and of 1, v the largest. */
static void to_hsv(uint8_t hsv[3], const uint8_t *p) {
    int top = p[0] > p[1] ? p[0] : p[1], low = p[0] < p[1] ? p[0] : p[1];
    top = top > p[2] ? top : p[2];
    low = low < p[2] ? low : p[2];
    hsv[0] = hsv[1] = 0;
    hsv[2] = (uint8_t)top;
    if (top == low)
        return;
    float range = (float)(top - low), s = range / (float)top;
    float r = (float)(top - p[0]) / range, g = (float)(top - p[1]) / range,
          b = (float)(top - p[2]) / range, h;
    if (p[0] == top)
        h = b - g;
    else if (p[1] == top)
        h = (float)(2.0 + r - b);
    else
        h = (float)(4.0 + g - r);
    h = (float)fmod(h / 6.0 + 1.0, 1.0);
    hsv[0] = clip((int)(h * 255.0));
    hsv[1] = clip((int)(s * 255.0));
}

static void from_hsv(uint8_t *p, const uint8_t hsv[3]) {
    static const uint8_t order[6][3] = {{0, 3, 1}, {2, 0, 1}, {1, 0, 3},
                                        {1, 2, 0}, {3, 1, 0}, {0, 1, 2}};
    float v = hsv[2];
    int i = (int)floor((float)hsv[0] * 6.0 / 255.0);
    float f = (float)((float)hsv[0] * 6.0 / 255.0 - (float)i), s = (float)(hsv[1] / 255.0);
    uint8_t level[4] = {hsv[2], clip((int)round((float)v * (1.0 - s))),
                        clip((int)round((float)v * (1.0 - s * f))),
                        clip((int)round((float)v * (1.0 - s * (1.0 - f))))}; /* v p q t */
    for (int c = 0; c < 3; c++)
        p[c] = hsv[1] ? level[order[i % 6][c]] : hsv[2];
}

/* torchvision's adjust_hue for Pillow: the hue is a byte and wraps. */
void hora_image_hue(hora_image *im, double turn) {
    int by = (int)(turn * 255.0);
    for (size_t i = 0; i < pixels(im); i++) {
        uint8_t hsv[3];
        to_hsv(hsv, im->px + 3 * i);
        hsv[0] = (uint8_t)(hsv[0] + by);
        from_hsv(im->px + 3 * i, hsv);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

void hora_image_posterize(hora_image *im, int bits) {
    unsigned mask = bits >= 8 ? 0xffu : 0xffu & ~((1u << (8 - bits)) - 1);
    for (size_t i = 0, n = hora_image_bytes(im); i < n; i++)
        im->px[i] &= (uint8_t)mask;
}

void hora_image_solarize(hora_image *im, int threshold) {
    for (size_t i = 0, n = hora_image_bytes(im); i < n; i++)
        if (im->px[i] >= threshold)
            im->px[i] = (uint8_t)(255 - im->px[i]);
}

static void histogram(const hora_image *im, int c, int64_t count[256]) {
    memset(count, 0, 256 * sizeof *count);
    for (size_t i = 0; i < pixels(im); i++)
        count[im->px[i * (size_t)im->channels + (size_t)c]]++;
}

static void look_up(hora_image *im, int c, const uint8_t table[256]) {
    for (size_t i = 0; i < pixels(im); i++) {
        uint8_t *p = im->px + i * (size_t)im->channels + (size_t)c;
        *p = table[*p];
    }
}

/* ImageOps.autocontrast and .equalize */
void hora_image_autocontrast(hora_image *im) {
    for (int c = 0; c < im->channels; c++) {
        int64_t count[256];
        int low = 0, top = 255;
        histogram(im, c, count);
        while (low < 255 && !count[low])
            low++;
        while (top > 0 && !count[top])
            top--;
        if (top <= low)
            continue;
        double scale = 255.0 / (top - low), offset = -low * scale;
        uint8_t table[256];
        for (int i = 0; i < 256; i++)
            table[i] = clip((int)(i * scale + offset));
        look_up(im, c, table);
    }
}

void hora_image_equalize(hora_image *im) {
    for (int c = 0; c < im->channels; c++) {
        int64_t count[256], last = 0;
        int used = 0;
        histogram(im, c, count);
        for (int i = 0; i < 256; i++)
            if (count[i]) {
                last = count[i];
                used++;
            }
        int64_t step = ((int64_t)pixels(im) - last) / 255, n = step / 2;
        if (used <= 1 || !step)
            continue;
        uint8_t table[256];
        for (int i = 0; i < 256; n += count[i++])
            table[i] = clip((int)(n / step));
        look_up(im, c, table);
    }
}

/* --- geometry --------------------------------------------------------------------------------- */

void hora_image_flip(hora_image *im) {
    int c = im->channels;
    for (int64_t y = 0; y < im->height; y++) {
        uint8_t *a = im->px + y * im->width * c, *b = a + (im->width - 1) * c;
        for (; a < b; a += c, b -= c)
            for (int k = 0; k < c; k++) {
                uint8_t t = a[k];
                a[k] = b[k];
                b[k] = t;
            }
    }
}

static int64_t fixed(double v) {
    return (int64_t)floor(v * 65536.0 + 0.5);
}

/* Image.transform(AFFINE, NEAREST) walks in 16.16 fixed point, or, without shear or turn, in double
 * (a sum of steps). */
hora_status hora_image_affine(hora_image *im, const double a[6]) {
    int c = im->channels;
    bool scaling = a[1] == 0 && a[3] == 0;
    hora_image to;
    if (im->width >= 32768 || im->height >= 32768)
        return hora_fail(
            HORA_ESHAPE,
            "a picture with a side of 32768 and more cannot be turned; resize it first");
    HORA_TRY(hora_image_init(&to, im->width, im->height, c));
    int64_t x0 = fixed(a[2] + a[0] * 0.5 + a[1] * 0.5), y0 = fixed(a[5] + a[3] * 0.5 + a[4] * 0.5);
    double ys = a[5] + a[4] * 0.5;
    for (int64_t y = 0; y < to.height; y++, ys += a[4], x0 += fixed(a[1]), y0 += fixed(a[4])) {
        int64_t xx = x0, yy = y0;
        double xs = a[2] + a[0] * 0.5;
        for (int64_t x = 0; x < to.width; x++, xs += a[0], xx += fixed(a[0]), yy += fixed(a[3])) {
            int64_t sx = scaling ? (xs < 0 ? -1 : (int64_t)xs) : xx >> 16;
            int64_t sy = scaling ? (ys < 0 ? -1 : (int64_t)ys) : yy >> 16;
            if (sx >= 0 && sx < im->width && sy >= 0 && sy < im->height)
                memcpy(to.px + (y * to.width + x) * c, im->px + (sy * im->width + sx) * c,
                       (size_t)c);
        }
    }
    hora_image_release(im);
    *im = to;
    return HORA_OK;
}

hora_status hora_image_rotate(hora_image *im, double degrees) {
    double t = -degrees * 3.14159265358979323846 / 180.0, x = (double)im->width / 2,
           y = (double)im->height / 2, c = cos(t), s = sin(t);
    if (degrees == 0)
        return HORA_OK;
    return hora_image_affine(im, (double[]){c, s, -x * c - y * s + x, -s, c, x * s - y * c + y});
}
