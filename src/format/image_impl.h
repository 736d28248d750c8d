#ifndef HORA_FORMAT_IMAGE_IMPL_H
#define HORA_FORMAT_IMAGE_IMPL_H
/*
 * What the readers of the formats share. A reader parses the header, fills info, and calls
 * hora_image_start; when that gives HORA_OK it fills out->px (width x height as stored). Turning,
 * levels and the release after a failure are the caller's (image.c).
 */
#include "format/image.h"

typedef struct hora_image_job {
    const unsigned char *bytes;
    size_t n;
    const char *what;
    const hora_image_options *opt;
    bool header_only;
    hora_image *out;
    hora_image_info *info;
} hora_image_job;

/* Checks sides and pixel limit, then allocates out. HORA_DONE: the header was all that was wanted;
 * the reader frees what it holds and returns it. */
hora_status hora_image_start(hora_image_job *j, int64_t width, int64_t height);
hora_status hora_image_damaged(const hora_image_job *j, const char *why);
/* The reader's format cannot carry a mask of class numbers. */
hora_status hora_image_no_mask(const hora_image_job *j, const char *why);
/* Lays n pixels of RGBA on white, as Pillow's alpha_composite rounds. */
void hora_image_on_white(uint8_t *rgb, const uint8_t *rgba, size_t n);

/* The orientation that a block of EXIF ("Exif\0\0" in front or not) or XMP names; 0: none. */
int hora_exif_orientation(const unsigned char *p, size_t n);
int hora_xmp_orientation(const unsigned char *p, size_t n);
/* The orientation in ImageMagick's text form of EXIF in PNG: lines, then hexadecimal digits. */
int hora_exif_text_orientation(const char *p, size_t n);

hora_status hora_image_read_jpeg(hora_image_job *j);
hora_status hora_image_read_png(hora_image_job *j);
hora_status hora_image_read_webp(hora_image_job *j);
hora_status hora_image_read_pnm(hora_image_job *j);
#endif
