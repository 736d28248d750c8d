/* Rows of pictures: see vision.h. */
#include "tensor/vision.h"

bool hora_vision_apart(const hora_vision *v) {
    return !v->fixed && !v->joint && v->frames > 1;
}

/* Times of a segment: tubelets, or frames. */
static int64_t times_of(const hora_vision *v) {
    return hora_vision_apart(v) ? 1 : v->frames / v->tubelet;
}

int64_t hora_vision_segment(const hora_vision *v) {
    return v->heads + v->slots + times_of(v) * (v->height / v->patch) * (v->width / v->patch);
}

int64_t hora_vision_rows(const hora_vision *v) {
    return hora_vision_segment(v) * (hora_vision_apart(v) ? v->frames : 1);
}

int64_t hora_vision_columns(const hora_vision *v) {
    return v->channels * v->tubelet * v->patch * v->patch;
}

int64_t hora_vision_values(const hora_vision *v) {
    return v->frames * v->channels * v->height * v->width;
}

void hora_vision_pattern(const hora_vision *v, int32_t *ids, int32_t *pos) {
    const int64_t n = hora_vision_rows(v), one = hora_vision_segment(v);
    const int64_t first = v->heads + v->slots; /* piece */
    const int64_t places = v->fixed ? one : (v->height / v->patch) * (v->width / v->patch);
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = k % one;
        ids[k] = (int32_t)(i < v->heads ? i + 1 : i < first ? i - first : 0);
        pos[k] = (int32_t)(i < v->placed ? i : i < first ? -1 : (i - first) % places + v->placed);
    }
}

void hora_vision_ranges(const hora_vision *v, int64_t from, int32_t *lo, int32_t *hi) {
    const int64_t n = hora_vision_rows(v), one = hora_vision_segment(v);
    for (int64_t k = 0; k < n; k++) {
        lo[k] = (int32_t)(from + k / one * one);
        hi[k] = lo[k] + (int32_t)one;
    }
}

/* One piece: rows of `patch` values. */
static float *cut_piece(const hora_vision *v, const float *values, int64_t t, int64_t y, int64_t x,
                        float *to) {
    const int64_t p = v->patch, plane = v->height * v->width;
    for (int64_t c = 0; c < v->channels; c++)
        for (int64_t f = 0; f < v->tubelet; f++)
            for (int64_t i = 0; i < p; i++, to += p)
                memcpy(to,
                       values + ((t * v->tubelet + f) * v->channels + c) * plane +
                           (y * p + i) * v->width + x * p,
                       (size_t)p * sizeof *to);
    return to;
}

void hora_vision_cut(const hora_vision *v, const float *values, float *rows) {
    const int64_t times = v->frames / v->tubelet, h = v->height / v->patch, w = v->width / v->patch;
    const int64_t heads = (v->heads + v->slots) * hora_vision_columns(v);
    for (int64_t t = 0; t < times; t++) {
        if (t % times_of(v) == 0) { /* a segment begins */
            memset(rows, 0, (size_t)heads * sizeof *rows);
            rows += heads;
        }
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++)
                rows = cut_piece(v, values, t, y, x, rows);
    }
}

hora_status hora_vision_clips(hora_vision *v, int64_t frames, bool joint) {
    if (v->fixed && (frames != v->frames || joint))
        return hora_fail(HORA_EUSAGE,
                         "frames: the model reads clips of %lld frames, in its own way; leave "
                         "frames and frame_attention out",
                         (long long)v->frames);
    v->frames = frames;
    v->joint = joint;
    return HORA_OK;
}

hora_status hora_vision_resize(hora_vision *v, int64_t frames, int64_t height, int64_t width) {
    const bool same = frames == v->frames && height == v->height && width == v->width;
    if (!same && v->fixed)
        return hora_fail(HORA_EUSAGE,
                         "%lld frames of %lld x %lld, but the model's positions are those of %lld "
                         "frames of %lld x %lld; give it that",
                         (long long)frames, (long long)height, (long long)width,
                         (long long)v->frames, (long long)v->height, (long long)v->width);
    if (height < v->patch || width < v->patch || height > 1 << 16 || width > 1 << 16)
        return hora_fail(HORA_EUSAGE,
                         "a picture of %lld x %lld does not hold one piece of %lld x %lld, or too "
                         "many; resize it",
                         (long long)height, (long long)width, (long long)v->patch,
                         (long long)v->patch);
    v->frames = frames;
    v->height = height;
    v->width = width;
    return HORA_OK;
}
