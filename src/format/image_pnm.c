/*
 * PGM and PPM, binary: "P5" or "P6", width, height and the largest value in decimal, separated by
 * white space, "#" to the end of a line a comment, one white space, then the samples, two bytes
 * each (high byte first) where the largest value is above 255. Levels are stretched to 0..255.
 * Source: netpbm's pgm(5) and ppm(5).
 */
#include "format/image_impl.h"

static bool blank(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next decimal number of the header; -1 when there is none or it is not below 2^31. */
static int64_t header_number(const hora_image_job *j, size_t *at) {
    while (*at < j->n && (blank(j->bytes[*at]) || j->bytes[*at] == '#'))
        if (j->bytes[(*at)++] == '#')
            while (*at < j->n && j->bytes[*at] != '\n')
                (*at)++;
    int64_t v = -1;
    for (; *at < j->n && j->bytes[*at] >= '0' && j->bytes[*at] <= '9'; (*at)++) {
        v = (v < 0 ? 0 : v) * 10 + (j->bytes[*at] - '0');
        if (v > INT32_MAX)
            return -1;
    }
    return v;
}

hora_status hora_image_read_pnm(hora_image_job *j) {
    size_t at = 2;
    int planes = j->bytes[1] == '6' ? 3 : 1;
    int64_t w = header_number(j, &at), h = header_number(j, &at), top = header_number(j, &at);
    if (w < 0 || h < 0 || top < 1 || top > 65535 || at >= j->n || !blank(j->bytes[at]))
        return hora_image_damaged(j, "its header is not: width, height, largest value");
    at++;
    if (j->opt->mask && (planes != 1 || top != 255))
        return hora_image_no_mask(j, "the picture has colours or not 256 grey levels");
    j->info->grey16 = planes == 1 && top > 255;
    HORA_TRY(hora_image_start(j, w, h));
    int wide = top > 255 ? 2 : 1;
    if ((j->n - at) / (size_t)(planes * wide) / (size_t)w < (size_t)h)
        return hora_image_damaged(j, "the file ends before its last row");
    const unsigned char *p = j->bytes + at;
    int copies = j->out->channels / planes;
    for (int64_t i = 0; i < w * h * planes; i++, p += wide) {
        int64_t v = wide == 2 ? p[0] << 8 | p[1] : p[0];
        v = top == 65535 ? v >> 8 : top == 255 ? v : (hora_min(v, top) * 255 + top / 2) / top;
        memset(j->out->px + i * copies, (int)v, (size_t)copies);
    }
    return HORA_OK;
}
