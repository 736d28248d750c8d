/*
 * Pictures: which reader a file needs, limits, orientation. The formats are rows of one table; a
 * library that the build lacks is a row without a reader, refused by the name of its package.
 */
#include "format/image.h"

#include <strings.h>

#include "base/file.h"
#include "base/outdir.h"
#include "base/rng.h"
#include "base/text.h"
#include "format/image_impl.h"

#ifdef HORA_HAVE_JPEG
#define READ_JPEG hora_image_read_jpeg
#else
#define READ_JPEG NULL
#endif
#ifdef HORA_HAVE_PNG
#define READ_PNG hora_image_read_png
#else
#define READ_PNG NULL
#endif
#ifdef HORA_HAVE_WEBP
#define READ_WEBP hora_image_read_webp
#else
#define READ_WEBP NULL
#endif

/* Smaller pictures lie on the heap: a cache may hold more of them than a process may have
 * mappings. */
#define HEAP_BELOW ((size_t)1 << 20)

/* What the first bytes say. `at` > 0: `second` stands there, too. */
static const struct format {
    const char *name;
    const char *magic;
    int nmagic, at;
    const char *second;
    hora_status (*read)(hora_image_job *);
    const char *package; /* Debian's, of a format that is read; NULL: not read */
} formats[] = {
    {"JPEG", "\xff\xd8\xff", 3, 0, NULL, READ_JPEG, "libjpeg-dev"},
    {"PNG", "\x89PNG\r\n\x1a\n", 8, 0, NULL, READ_PNG, "libpng-dev"},
    {"WebP", "RIFF", 4, 8, "WEBP", READ_WEBP, "libwebp-dev"},
    {"PNM", "P6", 2, 0, NULL, hora_image_read_pnm, ""},
    {"PNM", "P5", 2, 0, NULL, hora_image_read_pnm, ""},
    {"GIF", "GIF8", 4, 0, NULL, NULL, NULL},
    {"TIFF", "II*\0", 4, 0, NULL, NULL, NULL},
    {"TIFF", "MM\0*", 4, 0, NULL, NULL, NULL},
    {"HEIF or AVIF", "\0\0\0", 3, 4, "ftyp", NULL, NULL},
    {"JPEG 2000", "\0\0\0\x0cjP", 6, 0, NULL, NULL, NULL},
    {"JPEG XL", "\xff\x0a", 2, 0, NULL, NULL, NULL},
    {"JPEG XL", "\0\0\0\x0cJXL", 7, 0, NULL, NULL, NULL},
    {"BMP", "BM", 2, 0, NULL, NULL, NULL},
};

static const struct format *sniff(const unsigned char *p, size_t n) {
    for (size_t i = 0; i < HORA_COUNT(formats); i++) {
        const struct format *f = &formats[i];
        if (n < (size_t)f->nmagic || memcmp(p, f->magic, (size_t)f->nmagic) != 0)
            continue;
        if (!f->second || (n >= (size_t)f->at + 4 && !memcmp(p + f->at, f->second, 4)))
            return f;
    }
    return NULL;
}

static hora_status no_picture(const unsigned char *p, size_t n, const char *what) {
    static const char *const next = "replace it, or leave it out";
    if (n == 0)
        return hora_fail(HORA_EFORMAT, "%s: the file is empty; %s", what, next);
    HORA_TRY(hora_refuse_pointer(what, p, n));
    size_t at = 0;
    while (at < n && at < 64 && strchr(" \t\r\n", p[at]))
        at++;
    if (at < n && p[at] == '<')
        return hora_fail(HORA_EFORMAT, "%s: this is a web page or XML, not a picture; %s", what,
                         next);
    return hora_fail(HORA_EFORMAT,
                     "%s: the first bytes are not those of JPEG, PNG, WebP, PPM or PGM; %s", what,
                     next);
}

hora_status hora_image_init(hora_image *im, int64_t width, int64_t height, int channels) {
    *im = (hora_image){0};
    if (width < 1 || height < 1 || (channels != 1 && channels != 3))
        return hora_fail(HORA_EUSAGE,
                         "a picture of %lld x %lld with %d channels cannot be made; sides are "
                         "at least 1, channels 1 or 3",
                         (long long)width, (long long)height, channels);
    if (width > INT64_MAX / 16 / height)
        return hora_fail(HORA_ENOMEM, "a picture of %lld x %lld does not fit; use a smaller one",
                         (long long)width, (long long)height);
    size_t bytes = (size_t)(width * height) * (size_t)channels;
    void *px;
    if (bytes < HEAP_BELOW)
        px = hora_calloc(1, bytes);
    else
        HORA_TRY(hora_block_new(&px, bytes, "a picture"));
    *im = (hora_image){.px = px, .width = width, .height = height, .channels = channels};
    return HORA_OK;
}

void hora_image_release(hora_image *im) {
    if (hora_image_bytes(im) < HEAP_BELOW)
        hora_free(im->px);
    else
        hora_block_free(im->px, hora_image_bytes(im));
    *im = (hora_image){0};
}

hora_status hora_image_start(hora_image_job *j, int64_t width, int64_t height) {
    int64_t limit = j->opt->max_pixels ? j->opt->max_pixels : HORA_IMAGE_MAX_PIXELS;
    if (width < 1 || height < 1)
        return hora_image_damaged(j, "its header says that a side is 0");
    if (width > HORA_IMAGE_MAX_SIDE || height > HORA_IMAGE_MAX_SIDE || width > limit / height)
        return hora_fail(HORA_ESHAPE,
                         "%s: the header says %lld x %lld pixels, above the limit of %lld pixels "
                         "and %lld a side; make it smaller, or leave it out",
                         j->what, (long long)width, (long long)height, (long long)limit,
                         (long long)HORA_IMAGE_MAX_SIDE);
    j->info->width = width;
    j->info->height = height;
    if (j->header_only)
        return HORA_DONE;
    return hora_image_init(j->out, width, height, j->opt->mask ? 1 : 3);
}

hora_status hora_image_damaged(const hora_image_job *j, const char *why) {
    return hora_fail(HORA_EFORMAT, "%s: unreadable %s: %s; replace it, or leave it out", j->what,
                     j->info->format, why);
}

hora_status hora_image_no_mask(const hora_image_job *j, const char *why) {
    return hora_fail(HORA_EUNSUPPORTED,
                     "%s: %s; a mask of classes is a PNG with a palette or 8-bit grey levels",
                     j->what, why);
}

void hora_image_on_white(uint8_t *rgb, const uint8_t *rgba, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t over = rgba[4 * i + 3] * 128u, under = 255u * 128u - over;
        for (size_t c = 0; c < 3; c++) {
            uint32_t t = rgba[4 * i + c] * over + 255u * under + (0x80u << 7);
            rgb[3 * i + c] = (uint8_t)((((t >> 8) + t) >> 8) >> 7);
        }
    }
}

/* Orientation o maps pixel (x, y) of the result to one of the stored picture: bit 0 mirrors stored
 * x, bit 1 stored y, bit 2 swaps the sides. EXIF 2.32, tag 274. */
static const uint8_t turns[9] = {0, 0, 1, 3, 2, 4, 6, 7, 5};

static hora_status turn(hora_image *im, int orientation) {
    unsigned t = turns[orientation];
    hora_image to;
    int c = im->channels;
    HORA_TRY(
        hora_image_init(&to, t & 4 ? im->height : im->width, t & 4 ? im->width : im->height, c));
    int64_t row = im->width * c, last = (im->height - 1) * row;
    int64_t along = t & 1 ? -c : c, down = t & 2 ? -row : row; /* steps of stored x and y */
    const uint8_t *line = im->px + (t & 1 ? row - c : 0) + (t & 2 ? last : 0);
    int64_t step = t & 4 ? down : along, next = t & 4 ? along : down;
    uint8_t *q = to.px;
    for (int64_t y = 0; y < to.height; y++, line += next) {
        const uint8_t *p = line;
        for (int64_t x = 0; x < to.width; x++, p += step)
            for (int k = 0; k < c; k++)
                *q++ = p[k];
    }
    hora_image_release(im);
    *im = to;
    return HORA_OK;
}

static hora_status finish(hora_image_job *j) {
    if (j->info->orientation < 1 || j->info->orientation > 8)
        j->info->orientation = 1;
    bool turned = !j->opt->no_exif && j->info->orientation > 1;
    if (turned && !j->header_only)
        HORA_TRY(turn(j->out, j->info->orientation));
    if (turned && (turns[j->info->orientation] & 4)) {
        int64_t w = j->info->width;
        j->info->width = j->info->height;
        j->info->height = w;
    }
    if (j->header_only)
        return HORA_OK;
    uint8_t brightest = 0;
    for (size_t i = 0, n = hora_image_bytes(j->out); i < n; i++)
        brightest = j->out->px[i] > brightest ? j->out->px[i] : brightest;
    j->info->brightest = brightest;
    return HORA_OK;
}

static hora_status read_picture(hora_image_job *j) {
    static const hora_image_options none = {0};
    if (!j->opt)
        j->opt = &none;
    *j->out = (hora_image){0};
    *j->info = (hora_image_info){.orientation = 1};
    const struct format *f = sniff(j->bytes, j->n);
    if (!f)
        return no_picture(j->bytes, j->n, j->what);
    j->info->format = f->name;
    if (!f->package)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: %s is not read; convert it to PNG, JPEG or WebP, or leave it out",
                         j->what, f->name);
    if (!f->read)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: this hora was built without %s; install %s and build again", j->what,
                         f->name, f->package);
    hora_status s = f->read(j);
    if (s == HORA_OK || (s == HORA_DONE && j->header_only))
        s = finish(j);
    if (s != HORA_OK)
        hora_image_release(j->out);
    return s;
}

hora_status hora_image_decode(hora_image *out, const void *bytes, size_t n, const char *what,
                              const hora_image_options *opt, hora_image_info *info) {
    hora_image_info own;
    hora_image_job j = {
        .bytes = bytes, .n = n, .what = what, .opt = opt, .out = out, .info = info ? info : &own};
    return read_picture(&j);
}

hora_status hora_image_load(hora_image *out, const char *path, const hora_image_options *opt,
                            hora_image_info *info) {
    hora_str bytes = {0};
    *out = (hora_image){0};
    hora_status s;
    HORA_TRY_OUT(s, hora_file_read(&bytes, path));
    HORA_TRY_OUT(s, hora_image_decode(out, bytes.s, bytes.n, path, opt, info));
out:
    hora_str_release(&bytes);
    return s;
}

hora_status hora_image_probe(const void *bytes, size_t n, const char *what,
                             const hora_image_options *opt, hora_image_info *info) {
    hora_image none;
    hora_image_job j = {.bytes = bytes,
                        .n = n,
                        .what = what,
                        .opt = opt,
                        .out = &none,
                        .info = info,
                        .header_only = true};
    return read_picture(&j);
}

hora_image_name hora_image_name_kind(const char *name) {
    static const char *const read[] = {"jpg", "jpeg", "jpe", "jfif", "png", "webp", "ppm", "pgm"};
    static const char *const other[] = {"gif",  "bmp",  "tif", "tiff", "heic",
                                        "heif", "avif", "jp2", "jxl",  "ico"};
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name)
        return HORA_IMAGE_NAME_NONE;
    for (size_t i = 0; i < HORA_COUNT(read); i++)
        if (!strcasecmp(dot + 1, read[i]))
            return HORA_IMAGE_NAME_READ;
    for (size_t i = 0; i < HORA_COUNT(other); i++)
        if (!strcasecmp(dot + 1, other[i]))
            return HORA_IMAGE_NAME_OTHER;
    return HORA_IMAGE_NAME_NONE;
}

#ifndef HORA_HAVE_PNG
hora_status hora_image_encode_png(hora_str *out, const hora_image *im) {
    (void)out;
    (void)im;
    return hora_fail(HORA_EUNSUPPORTED,
                     "this hora was built without PNG; install libpng-dev and build again");
}
#endif

/* ISO 3309, as PNG wants it; of a few bytes, so no table. */
static uint32_t crc_of(const char *p, size_t n) {
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        c ^= (unsigned char)p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    }
    return ~c;
}

static void put_be32(hora_str *s, uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8)
        hora_str_putc(s, (char)(v >> shift));
}

#define PNG_END 12 /* bytes of the last chunk, IEND */

/* The chunk of the mark for a file that begins with these bytes, and the end. */
static void mark_of(hora_str *out, const char *kind, const void *bytes, size_t n) {
    static const char end[PNG_END + 1] = "\0\0\0\0IEND\xae\x42\x60\x82";
    char mark[64];
    hora_outfile_mark(mark, kind, hora_hash64(bytes, n, 0));
    put_be32(out, (uint32_t)(sizeof HORA_OUTFILE_KEY + strlen(mark)));
    const size_t at = out->n;
    hora_str_puts(out, "tEXt");
    hora_str_add(out, HORA_OUTFILE_KEY, sizeof HORA_OUTFILE_KEY); /* with its zero */
    hora_str_puts(out, mark);
    put_be32(out, crc_of(out->s + at, out->n - at));
    hora_str_add(out, end, PNG_END);
}

static hora_status save_png(const char *path, const hora_image *im, const char *kind) {
    hora_str bytes = {0}, mark = {0};
    hora_status s;
    HORA_TRY_OUT(s, hora_image_encode_png(&bytes, im));
    if (kind) {
        bytes.n -= PNG_END;
        mark_of(&mark, kind, bytes.s, bytes.n);
        hora_str_add(&bytes, mark.s, mark.n);
    }
    HORA_TRY_OUT(s, hora_file_write(path, bytes.s, bytes.n));
out:
    hora_str_release(&mark);
    hora_str_release(&bytes);
    return s == HORA_OK ? s : hora_context(s, "%s", path);
}

hora_status hora_image_save_png(const char *path, const hora_image *im) {
    return save_png(path, im, NULL);
}

hora_status hora_image_save_png_marked(const char *path, const hora_image *im, const char *kind) {
    return save_png(path, im, kind);
}

hora_status hora_image_png_is_ours(const char *path, const char *kind, bool *yes) {
    hora_map m;
    hora_str mark = {0};
    *yes = false;
    HORA_TRY(hora_map_open(&m, path));
    mark_of(&mark, kind, m.data, 0); /* as long as any */
    if (m.n > mark.n) {
        const size_t above = m.n - mark.n;
        mark.n = 0;
        mark_of(&mark, kind, m.data, above);
        *yes = !memcmp(m.data + above, mark.s, mark.n);
    }
    hora_str_release(&mark);
    hora_map_release(&m);
    return HORA_OK;
}
