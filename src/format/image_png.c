/*
 * PNG by libpng: every colour type and depth to 8-bit RGB, and the way back. What follows the last
 * pixel (a missing end, a damaged text) is no reason to refuse; a wrong checksum of the pixels is.
 * Chunks about colours (profile, gamma, background) are skipped unread. libpng's errors leave by
 * longjmp: what must be freed lives in the struct that the frame around the setjmp owns.
 */
#include <setjmp.h>
#include <stdio.h>
/* png.h wants the two above first */
#include <png.h>

#include "format/image_impl.h"

#define MAX_CHUNK  ((png_alloc_size_t)8 << 20) /* of text, unpacked */
#define MAX_CHUNKS 32                          /* of text that are kept; the rest is skipped */

typedef struct reader {
    png_structp png;
    png_infop info;
    jmp_buf out;
    size_t at;     /* bytes of the file taken so far */
    bool whole;    /* every pixel is there */
    uint8_t *rgba; /* the picture with alpha, when it goes on white; a block of rgba_bytes */
    size_t rgba_bytes;
    char why[128];
    hora_image_job *job;
} reader;

static void on_error(png_structp png, png_const_charp text) {
    reader *r = png_get_error_ptr(png);
    snprintf(r->why, sizeof r->why, "%s", text);
    longjmp(r->out, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

/* libpng's memory: a row, a text and the file bound what any block may want. libpng itself takes
 * the length that a chunk claims (where errors of chunks are benign, as here), up to 2 GiB. */
static png_voidp give(png_structp png, png_alloc_size_t bytes) {
    const reader *r = png_get_mem_ptr(png);
    const size_t row = (size_t)HORA_IMAGE_MAX_SIDE * 8;
    return bytes <= row + MAX_CHUNK + r->job->n ? hora_malloc_or_null(bytes) : NULL;
}

static void give_back(png_structp png, png_voidp p) {
    (void)png;
    hora_free(p);
}

static void take(png_structp png, png_bytep to, size_t n) {
    reader *r = png_get_io_ptr(png);
    if (n > r->job->n - r->at)
        png_error(png, "the file ends too early");
    memcpy(to, r->job->bytes + r->at, n);
    r->at += n;
}

/* The chunk at *at, which moves behind it: length n, and p at its type. One that the file cuts off
 * is the last. */
static bool next_chunk(const hora_image_job *j, size_t *at, const unsigned char **p, size_t *n) {
    if (j->n < 12 || *at > j->n - 12)
        return false;
    const unsigned char *length = j->bytes + *at;
    const size_t left = j->n - *at - 12;
    *n = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 | length[3];
    *p = length + 4;
    *at = *n > left ? j->n : *at + *n + 12;
    return true;
}

/* What the first whole chunk of that type holds, wherever it stands; NULL: none. */
static const unsigned char *find_chunk(const hora_image_job *j, const char *type, size_t *n) {
    const unsigned char *p;
    for (size_t at = 8; next_chunk(j, &at, &p, n);)
        if (!memcmp(p, type, 4) && *n + 8 <= (size_t)(j->bytes + j->n - p))
            return p + 4;
    return NULL;
}

/* Palettes and few bits become bytes, 16 bits their high byte. */
static void transform(reader *r, int type, int depth, bool keep_alpha) {
    png_structp png = r->png;
    if (r->job->opt->mask) {
        png_set_packing(png);
        return;
    }
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (keep_alpha && png_get_valid(png, r->info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    if (depth == 16)
        png_set_strip_16(png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    if (!keep_alpha)
        png_set_strip_alpha(png);
}

static hora_status check_mask(const reader *r, int type, int depth) {
    if (type != PNG_COLOR_TYPE_PALETTE && type != PNG_COLOR_TYPE_GRAY)
        return hora_image_no_mask(r->job, "the picture has colours or alpha");
    if (depth == 16)
        return hora_image_no_mask(r->job, "the picture has 16 bits");
    return HORA_OK;
}

static hora_status read_header(reader *r, bool *on_white) {
    static const png_byte skipped[] = "iCCP\0gAMA\0cHRM\0sRGB\0bKGD\0sBIT\0hIST\0sPLT\0pCAL\0sCAL\0"
                                      "pHYs\0oFFs\0tIME\0cICP\0mDCV\0cLLI";
    png_structp png = r->png;
    size_t length;
    png_set_read_fn(png, r, take);
    png_set_user_limits(png, HORA_IMAGE_MAX_SIDE, HORA_IMAGE_MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_CHUNK);
    png_set_chunk_cache_max(png, MAX_CHUNKS);
    png_set_benign_errors(png, 1);
    if (find_chunk(r->job, "acTL", &length))
        r->job->info->animated = true;
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped, (int)sizeof skipped / 5);
    png_read_info(png, r->info);
    png_uint_32 w, h;
    int depth, type;
    png_get_IHDR(png, r->info, &w, &h, &depth, &type, NULL, NULL, NULL);
    hora_image_info *info = r->job->info;
    info->alpha = type & PNG_COLOR_MASK_ALPHA || png_get_valid(png, r->info, PNG_INFO_tRNS);
    info->grey16 = depth == 16 && !(type & PNG_COLOR_MASK_COLOR);
    if (r->job->opt->mask)
        HORA_TRY(check_mask(r, type, depth));
    *on_white = info->alpha && r->job->opt->white && !r->job->opt->mask;
    transform(r, type, depth, *on_white);
    return hora_image_start(r->job, w, h);
}

static void read_rows(reader *r, uint8_t *to) {
    png_structp png = r->png;
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, r->info);
    size_t row = png_get_rowbytes(png, r->info);
    hora_image *im = r->job->out;
    if (row != (size_t)im->width * (size_t)(r->rgba ? 4 : im->channels))
        png_error(png, "rows of an unexpected length");
    for (; passes > 0; passes--)
        for (int64_t y = 0; y < im->height; y++)
            png_read_row(png, to + (size_t)y * row, NULL);
    r->whole = true;
}

/* eXIf, else ImageMagick's text, else XMP. */
static int orientation_of(reader *r) {
    size_t n = 0;
    const unsigned char *exif = find_chunk(r->job, "eXIf", &n);
    int o = exif ? hora_exif_orientation(exif, n) : 0, xmp = 0;
    png_textp text = NULL;
    int count = png_get_text(r->png, r->info, &text, NULL);
    for (int i = 0; i < count; i++) {
        size_t length = text[i].text_length ? text[i].text_length : text[i].itxt_length;
        if (!o && !strcmp(text[i].key, "Raw profile type exif"))
            o = hora_exif_text_orientation(text[i].text, length);
        if (!xmp && !strcmp(text[i].key, "XML:com.adobe.xmp"))
            xmp = hora_xmp_orientation((const unsigned char *)text[i].text, length);
    }
    return o ? o : xmp;
}

static bool text_behind_pixels(const hora_image_job *j) {
    const unsigned char *p;
    size_t n;
    bool pixels = false;
    for (size_t at = 8; next_chunk(j, &at, &p, &n);) {
        pixels |= !memcmp(p, "IDAT", 4);
        if (pixels && (!memcmp(p, "tEXt", 4) || !memcmp(p, "zTXt", 4) || !memcmp(p, "iTXt", 4)))
            return true;
    }
    return false;
}

/* A probe stops before the pixels; what stands behind them is found by reading all: rare. */
static void probe_behind(const hora_image_job *j) {
    hora_image im;
    hora_image_info info;
    if (hora_image_decode(&im, j->bytes, j->n, j->what, j->opt, &info))
        return; /* whoever reads it will hear why */
    j->info->orientation = info.orientation;
    hora_image_release(&im);
}

static hora_status decode(reader *r) {
    if (setjmp(r->out))
        return r->whole ? HORA_OK : hora_image_damaged(r->job, r->why);
    bool on_white;
    hora_status s = read_header(r, &on_white);
    if (s != HORA_OK)
        return s;
    hora_image *im = r->job->out;
    if (on_white) {
        size_t bytes = (size_t)im->width * (size_t)im->height * 4;
        void *p;
        HORA_TRY(hora_block_new(&p, bytes, "a picture with alpha"));
        r->rgba = p;
        r->rgba_bytes = bytes;
    }
    read_rows(r, on_white ? r->rgba : im->px);
    png_read_end(r->png, r->info); /* EXIF may stand behind the pixels */
    return HORA_OK;
}

hora_status hora_image_read_png(hora_image_job *j) {
    reader r = {.job = j};
    r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r, give,
                                     give_back);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    hora_status s =
        r.info ? decode(&r) : hora_fail(HORA_ENOMEM, "%s: no memory for libpng", j->what);
    if (s == HORA_OK || s == HORA_DONE)
        j->info->orientation = orientation_of(&r);
    if (s == HORA_DONE && text_behind_pixels(j))
        probe_behind(j);
    if (s == HORA_OK && r.rgba)
        hora_image_on_white(j->out->px, r.rgba, (size_t)j->out->width * (size_t)j->out->height);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    hora_block_free(r.rgba, r.rgba_bytes);
    return s;
}

/* --- writing ---------------------------------------------------------------------------------- */

typedef struct writer {
    png_structp png;
    png_infop info;
    jmp_buf out;
    hora_str *to;
} writer;

static void on_write_error(png_structp png, png_const_charp text) {
    writer *w = png_get_error_ptr(png);
    hora_fail(HORA_EFORMAT, "libpng cannot write: %s; use a smaller picture", text);
    longjmp(w->out, 1);
}

static void put(png_structp png, png_bytep from, size_t n) {
    writer *w = png_get_io_ptr(png);
    hora_str_add(w->to, (const char *)from, n);
}

static void flush(png_structp png) {
    (void)png;
}

static hora_status encode(writer *w, const hora_image *im) {
    if (setjmp(w->out))
        return HORA_EFORMAT;
    png_set_write_fn(w->png, w, put, flush);
    png_set_user_limits(w->png, HORA_IMAGE_MAX_SIDE, HORA_IMAGE_MAX_SIDE);
    png_set_IHDR(w->png, w->info, (png_uint_32)im->width, (png_uint_32)im->height, 8,
                 im->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (int64_t y = 0; y < im->height; y++)
        png_write_row(w->png, im->px + y * im->width * im->channels);
    png_write_end(w->png, w->info);
    return HORA_OK;
}

hora_status hora_image_encode_png(hora_str *out, const hora_image *im) {
    writer w = {.to = out};
    size_t before = out->n;
    w.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error, on_warning);
    w.info = w.png ? png_create_info_struct(w.png) : NULL;
    hora_status s = w.info ? encode(&w, im) : hora_fail(HORA_ENOMEM, "no memory for libpng");
    png_destroy_write_struct(&w.png, &w.info);
    if (s != HORA_OK)
        out->n = before;
    return s;
}
