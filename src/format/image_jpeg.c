/*
 * JPEG by libjpeg-turbo (libjpeg 6b's interface): slow integer DCT, fancy upsampling, as Pillow.
 * libjpeg paints what is missing grey and only warns; here such a warning makes the file
 * unreadable. Its errors leave by longjmp: everything that must be freed lives in the struct that
 * the frame with the setjmp owns, and nothing between the two frames owns anything.
 */
#include <setjmp.h>
#include <stdio.h>
/* jpeglib.h wants the two above first, jerror.h wants jpeglib.h */
#include <jpeglib.h>

#include <jerror.h>

#include "format/image_impl.h"

#define MAX_SCANS 500 /* of a progressive file: more is an attack on our time */

typedef struct reader {
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    bool missing; /* a warning that pixels are not in the file */
    char why[JMSG_LENGTH_MAX];
    uint8_t *row; /* one decoded row of four components; owned */
    hora_image_job *job;
} reader;

static void on_error(j_common_ptr c) {
    reader *r = c->client_data;
    c->err->format_message(c, r->why);
    longjmp(r->out, 1);
}

/* Level -1 are warnings; those that cost no pixel (odd markers, blanks between them) are not ours.
 */
static void on_message(j_common_ptr c, int level) {
    static const int lossy[] = {JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE,
                                JWRN_MUST_RESYNC, JWRN_ARITH_BAD_CODE};
    reader *r = c->client_data;
    if (level >= 0 || r->missing)
        return;
    for (size_t i = 0; i < HORA_COUNT(lossy); i++)
        if (c->err->msg_code == lossy[i]) {
            r->missing = true;
            c->err->format_message(c, r->why);
        }
}

static void on_progress(j_common_ptr c) {
    reader *r = c->client_data;
    if (r->d.input_scan_number > MAX_SCANS) {
        snprintf(r->why, sizeof r->why, "more than %d scans", MAX_SCANS);
        longjmp(r->out, 1);
    }
}

/* EXIF may be split over several APP1; XMP counts only where EXIF says nothing. */
static int orientation_of(const struct jpeg_decompress_struct *d) {
    static const char ns[] = "http://ns.adobe.com/xap/1.0/";
    hora_str exif = {0};
    int xmp = 0;
    for (const struct jpeg_marker_struct *m = d->marker_list; m; m = m->next) {
        if (m->data_length >= 6 && !memcmp(m->data, "Exif\0\0", 6))
            hora_str_add(&exif, (const char *)m->data + 6, m->data_length - 6);
        else if (!xmp && m->data_length >= sizeof ns && !memcmp(m->data, ns, sizeof ns))
            xmp = hora_xmp_orientation(m->data, m->data_length);
    }
    int o = exif.n ? hora_exif_orientation((const unsigned char *)exif.s, exif.n) : 0;
    hora_str_release(&exif);
    return o ? o : xmp;
}

/* Stored inverted: 255 is no ink. R = C' K' / 255, rounded as Pillow's MULDIV255. */
static void cmyk_to_rgb(uint8_t *rgb, const uint8_t *cmyk, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            int light = cmyk[4 * i + 3], ink = 255 - cmyk[4 * i + c];
            int t = ink * light + 128;
            rgb[3 * i + c] = (uint8_t)(light - ((t + (t >> 8)) >> 8));
        }
}

static void spread_grey(uint8_t *rgb, int64_t n) {
    for (int64_t i = n - 1; i >= 0; i--)
        memset(rgb + 3 * i, rgb[i], 3);
}

static void read_rows(reader *r) {
    struct jpeg_decompress_struct *d = &r->d;
    hora_image *im = r->job->out;
    int comps = d->output_components;
    while (d->output_scanline < d->output_height) {
        uint8_t *to = im->px + (int64_t)d->output_scanline * im->width * im->channels;
        JSAMPROW row = comps == 4 ? r->row : to;
        jpeg_read_scanlines(d, &row, 1);
        if (comps == 4)
            cmyk_to_rgb(to, r->row, im->width);
        else if (comps == 1 && im->channels == 3)
            spread_grey(to, im->width);
    }
}

static hora_status read_header(reader *r) {
    struct jpeg_decompress_struct *d = &r->d;
    jpeg_mem_src(d, (unsigned char *)(uintptr_t)r->job->bytes, r->job->n);
    jpeg_save_markers(d, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(d, TRUE);
    r->job->info->orientation = orientation_of(d);
    int n = d->num_components;
    if (n != 1 && n != 3 && n != 4)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: JPEG with %d components is not read (1, 3 and 4 are); convert it, or "
                         "leave it out",
                         r->job->what, n);
    if (r->job->opt->mask && n != 1)
        return hora_image_no_mask(r->job, "the picture has colours");
    d->out_color_space = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
    d->dct_method = JDCT_ISLOW;
    return hora_image_start(r->job, d->image_width, d->image_height);
}

static hora_status decode(reader *r) {
    if (setjmp(r->out))
        return hora_image_damaged(r->job, r->why);
    jpeg_create_decompress(&r->d);
    r->d.client_data = r; /* jpeg_create_decompress keeps err and client_data alone */
    r->d.progress = &r->progress;
    hora_status s = read_header(r);
    if (s != HORA_OK)
        return s;
    if (r->d.num_components == 4)
        r->row = hora_malloc((size_t)r->job->out->width * 4);
    jpeg_start_decompress(&r->d);
    read_rows(r);
    jpeg_finish_decompress(&r->d);
    return r->missing ? hora_image_damaged(r->job, r->why) : HORA_OK;
}

hora_status hora_image_read_jpeg(hora_image_job *j) {
    reader r = {.job = j};
    r.d.err = jpeg_std_error(&r.err);
    r.d.client_data = &r;
    r.err.error_exit = on_error;
    r.err.emit_message = on_message;
    r.progress.progress_monitor = on_progress;
    hora_status s = decode(&r);
    jpeg_destroy_decompress(&r.d);
    hora_free(r.row);
    return s;
}
