/*
 * WebP by libwebp. A still is decoded by the plain decoder; an animation by the animation decoder,
 * whose first frame (laid on a clear canvas) is the picture, as in Pillow. Both refuse cut files.
 */
#include <webp/decode.h>
#include <webp/demux.h>

#include "format/image_impl.h"

static int orientation_of(const hora_image_job *j) {
    WebPData data = {j->bytes, j->n};
    WebPDemuxState state;
    WebPDemuxer *d = WebPDemuxPartial(&data, &state);
    WebPChunkIterator chunk;
    int o = 0;
    if (!d)
        return 0;
    if (WebPDemuxGetChunk(d, "EXIF", 1, &chunk)) {
        o = hora_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (!o && WebPDemuxGetChunk(d, "XMP ", 1, &chunk)) {
        o = hora_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(d);
    return o;
}

static void drop_alpha(uint8_t *rgb, const uint8_t *rgba, size_t n) {
    for (size_t i = 0; i < n; i++)
        memcpy(rgb + 3 * i, rgba + 4 * i, 3);
}

static hora_status read_first_frame(hora_image_job *j) {
    WebPData data = {j->bytes, j->n};
    WebPAnimDecoder *d = WebPAnimDecoderNew(&data, NULL);
    WebPAnimInfo about;
    uint8_t *canvas = NULL;
    int when;
    hora_image *im = j->out;
    bool ok = d && WebPAnimDecoderGetInfo(d, &about) && about.canvas_width == im->width &&
              about.canvas_height == im->height && WebPAnimDecoderGetNext(d, &canvas, &when);
    if (ok)
        (j->opt->white ? hora_image_on_white : drop_alpha)(im->px, canvas,
                                                           (size_t)im->width * (size_t)im->height);
    WebPAnimDecoderDelete(d);
    return ok ? HORA_OK : hora_image_damaged(j, "the animation's first frame cannot be decoded");
}

static hora_status read_still(hora_image_job *j) {
    hora_image *im = j->out;
    size_t pixels = (size_t)im->width * (size_t)im->height;
    void *rgba = NULL;
    bool ok;
    if (j->info->alpha && j->opt->white) {
        HORA_TRY(hora_block_new(&rgba, pixels * 4, "a picture with alpha"));
        ok = WebPDecodeRGBAInto(j->bytes, j->n, rgba, pixels * 4, (int)im->width * 4);
        if (ok)
            hora_image_on_white(im->px, rgba, pixels);
        hora_block_free(rgba, pixels * 4);
    } else {
        ok = WebPDecodeRGBInto(j->bytes, j->n, im->px, pixels * 3, (int)im->width * 3);
    }
    return ok ? HORA_OK : hora_image_damaged(j, "the file is cut off or damaged");
}

hora_status hora_image_read_webp(hora_image_job *j) {
    WebPBitstreamFeatures f;
    if (WebPGetFeatures(j->bytes, j->n, &f) != VP8_STATUS_OK)
        return hora_image_damaged(j, "the header is cut off or damaged");
    j->info->alpha = f.has_alpha;
    j->info->animated = f.has_animation;
    if (j->opt->mask)
        return hora_image_no_mask(j, "WebP has colours");
    j->info->orientation = orientation_of(j);
    HORA_TRY(hora_image_start(j, f.width, f.height));
    return f.has_animation ? read_first_frame(j) : read_still(j);
}
