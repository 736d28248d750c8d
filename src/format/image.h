#ifndef HORA_FORMAT_IMAGE_H
#define HORA_FORMAT_IMAGE_H
/*
 * Picture files to 8-bit RGB, and RGB to PNG. The first bytes decide the format, never the name:
 *
 *     FF D8 FF                     JPEG   libjpeg-turbo: grey, YCbCr, RGB, CMYK, YCCK; all codings
 *     89 "PNG" 0D 0A 1A 0A         PNG    libpng: all colour types and depths, interlaced or not
 *     "RIFF" length "WEBP"         WebP   libwebp: lossy, lossless; of an animation the first frame
 *     "P5" or "P6"                 PGM, PPM (binary), read here
 *
 * What comes out is what Pillow's convert("RGB") gives after its exif_transpose: colour profiles,
 * gamma and background are ignored; few bits are stretched to 0..255; of 16 bits the high byte is
 * taken (16-bit grey too, where Pillow clips); four-component JPEG counts as inverted, R = (255 -
 * C)(255 - K) / 255; transparency is dropped or, by option, laid on white.
 *
 * A file is hostile: sizes are checked against the pixel limit before memory is taken, decoders
 * that report missing or damaged data make the file unreadable (HORA_EFORMAT), and what stands
 * behind the last pixel is never a reason to refuse. Nothing here has state: any number of threads
 * may read at once. docs/formats/images.md has the rules with their sources.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

#define HORA_IMAGE_MAX_PIXELS ((int64_t)178956970) /* where Pillow refuses, too: 512 MiB of RGB */
#define HORA_IMAGE_MAX_SIDE   ((int64_t)1000000)   /* as libpng; bounds the tables of a resize  */

typedef struct hora_image {
    uint8_t *px; /* (height, width, channels), rows without gaps; owned */
    int64_t width, height;
    int channels; /* 3: RGB; 1: class numbers of a mask, or grey */
} hora_image;

/* Zeroed pixels. HORA_EUSAGE for sides below 1 or channels other than 1 and 3, HORA_ENOMEM. */
hora_status hora_image_init(hora_image *im, int64_t width, int64_t height, int channels);
void hora_image_release(hora_image *im); /* accepts a zeroed image; zeroes it */
static inline size_t hora_image_bytes(const hora_image *im) {
    return (size_t)im->width * (size_t)im->height * (size_t)im->channels;
}

/* All zero: the defaults. */
typedef struct hora_image_options {
    bool no_exif;       /* the stored pixels; default: turned as EXIF (or XMP) says */
    bool white;         /* lay transparent pixels on white; default: show the colour under them */
    bool mask;          /* class numbers: palette index or grey level as stored, 1 channel */
    int64_t max_pixels; /* 0: HORA_IMAGE_MAX_PIXELS */
} hora_image_options;

typedef struct hora_image_info {
    const char *format;    /* "JPEG", "PNG", "WebP", "PNM"; constant text */
    int64_t width, height; /* of the result, after turning */
    int orientation;       /* as the file says, 1..8; 1: upright or not said */
    bool alpha;            /* has transparency of any kind */
    bool grey16;           /* 16-bit grey */
    bool animated;
    int brightest; /* largest level of the result; 0 after hora_image_probe */
} hora_image_info;

/* `what` names the source in messages (a path, "x.tar: a/b.jpg"); `opt` and `info` may be NULL.
 * HORA_EFORMAT: no picture, damaged, cut off; HORA_EUNSUPPORTED: a format or variant that is not
 * read, or a library that this build lacks; HORA_ESHAPE: above the limits; HORA_ENOMEM. */
hora_status hora_image_decode(hora_image *out, const void *bytes, size_t n, const char *what,
                              const hora_image_options *opt, hora_image_info *info);
hora_status hora_image_load(hora_image *out, const char *path, const hora_image_options *opt,
                            hora_image_info *info);
/* The header alone: format and size, for little work and no memory of the picture's size. What is
 * behind the header may still be damaged. */
hora_status hora_image_probe(const void *bytes, size_t n, const char *what,
                             const hora_image_options *opt, hora_image_info *info);

/* Does the name end like a picture (any case)? READ: a format from above; OTHER: a picture that is
 * not read (gif, tiff, ..); NONE: anything else, "x.jpg~" and "x.jpg.part" included. */
typedef enum { HORA_IMAGE_NAME_NONE, HORA_IMAGE_NAME_READ, HORA_IMAGE_NAME_OTHER } hora_image_name;
hora_image_name hora_image_name_kind(const char *name);

/* PNG of 8 bits, RGB or grey as im->channels says; the same pixels give the same bytes with the
 * same libraries. _encode appends to `out`, _save is atomic. HORA_EUNSUPPORTED without libpng. */
hora_status hora_image_encode_png(hora_str *out, const hora_image *im);
hora_status hora_image_save_png(const char *path, const hora_image *im);
/* The same with the mark by which the file is known again as hora's (base/outdir.h, hora_outfile):
 * a tEXt chunk with a sum of what stands in front of it. */
hora_status hora_image_save_png_marked(const char *path, const hora_image *im, const char *kind);
hora_status hora_image_png_is_ours(const char *path, const char *kind, bool *yes);
#endif
