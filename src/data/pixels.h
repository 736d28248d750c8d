#ifndef HORA_DATA_PIXELS_H
#define HORA_DATA_PIXELS_H
/*
 * Pictures to pictures: resizing, cutting, turning, colours. Each operation gives Pillow's levels
 * to the bit (its 8-bit arithmetic is part of what a model was trained on), so that a picture
 * means the same here as in the library that made the weights. Pure functions on 8-bit pixels
 * (height, width, channels): no state, no randomness; augment.h decides what to do, this says how.
 * Sources: Pillow's Resample.c, Geometry.c, Blend.c, Convert.c, Filter.c, ImageOps.py,
 * ImageEnhance.py, read for their rules.
 */
#include "format/image.h"

/* Pillow's numbers, which preprocessor_config.json uses. */
typedef enum {
    HORA_RESAMPLE_NEAREST,
    HORA_RESAMPLE_LANCZOS,
    HORA_RESAMPLE_BILINEAR,
    HORA_RESAMPLE_BICUBIC,
    HORA_RESAMPLE_BOX,
    HORA_RESAMPLE_HAMMING,
    HORA_RESAMPLE_COUNT
} hora_resample;
/* By name ("bicubic"); -1 when there is none. */
int hora_resample_find(const char *name);

typedef struct hora_rect {
    int64_t x, y, width, height;
} hora_rect;

/*
 * The part `from` of `im` (inside it; NULL: all) is stretched to width x height, of which `window`
 * (NULL: all) is the result; what of the window lies outside is `fill`. Only the window is
 * computed: of 100,000 x 1 stretched to 22,400,000 x 224 the middle costs nothing. So this is also
 * crop (no stretching) and pad (a window around the picture). All but nearest are antialiased.
 * HORA_EUSAGE when `from` is outside, HORA_ESHAPE when a side of the stretched picture is not in 1
 * .. 2^31 - 1 or the window above HORA_IMAGE_MAX_PIXELS, HORA_ENOMEM.
 */
typedef struct hora_stretch {
    const hora_rect *from, *window;
    int64_t width, height;
    hora_resample resample;
    uint8_t fill[3];
} hora_stretch;
hora_status hora_image_stretch(hora_image *out, const hora_image *im, const hora_stretch *how);
/* Plain resize. */
hora_status hora_image_resize(hora_image *out, const hora_image *im, int64_t width, int64_t height,
                              hora_resample resample);

/* In place, any number of channels: */
void hora_image_flip(hora_image *im); /* left and right */
/* Levels v become v & the highest `bits`; 255 - v from `threshold` on. */
void hora_image_posterize(hora_image *im, int bits);
void hora_image_solarize(hora_image *im, int threshold);
/* Each channel by itself: its range becomes 0..255; its histogram becomes flat. */
void hora_image_autocontrast(hora_image *im);
void hora_image_equalize(hora_image *im);
/* In place, RGB. Factor 1 changes nothing, 0 gives black, mean grey, grey, blurred; above 1 it is
 * the other way. Hue is turned by `turn` of the circle, -0.5 .. 0.5. */
void hora_image_brightness(hora_image *im, double factor);
void hora_image_contrast(hora_image *im, double factor);
void hora_image_saturation(hora_image *im, double factor);
hora_status hora_image_sharpness(hora_image *im, double factor);
void hora_image_hue(hora_image *im, double turn);

/* Pixel (x, y) of the result is the nearest of `im` at (a[0] x + a[1] y + a[2], a[3] x + a[4] y +
 * a[5]), both at pixel centres; outside it is black. Replaces the picture; sides below 32768. */
hora_status hora_image_affine(hora_image *im, const double a[6]);
/* Turned counterclockwise around the middle, same size, nearest, corners black. */
hora_status hora_image_rotate(hora_image *im, double degrees);
#endif
