/* Rows of pictures: see vision.h. */
#include "tensor/vision.h"

int64_t hora_vision_rows(const hora_vision *v) {
    return v->heads + v->slots +
           v->frames / v->tubelet * (v->height / v->patch) * (v->width / v->patch);
}

int64_t hora_vision_columns(const hora_vision *v) {
    return v->channels * v->tubelet * v->patch * v->patch;
}

int64_t hora_vision_values(const hora_vision *v) {
    return v->frames * v->channels * v->height * v->width;
}

void hora_vision_pattern(const hora_vision *v, int32_t *ids, int32_t *pos) {
    const int64_t n = hora_vision_rows(v);
    const int64_t first = v->heads + v->slots; /* piece */
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)(i < v->heads ? i + 1 : i < first ? i - first : 0);
        pos[i] = (int32_t)(i < v->placed ? i : i < first ? -1 : i - first + v->placed);
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
    memset(rows, 0, (size_t)heads * sizeof *rows);
    rows += heads;
    for (int64_t t = 0; t < times; t++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++)
                rows = cut_piece(v, values, t, y, x, rows);
}

hora_status hora_vision_resize(hora_vision *v, int64_t frames, int64_t height, int64_t width) {
    const bool same = frames == v->frames && height == v->height && width == v->width;
    if (!same && (v->fixed || frames != v->frames))
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
    v->height = height;
    v->width = width;
    return HORA_OK;
}
