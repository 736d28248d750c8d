/*
 * Which way up: the orientation tag (274) in EXIF, and in XMP where EXIF has none. EXIF is a TIFF
 * header ("II" or "MM", 42, offset of the first directory) and a directory of 12-byte entries (tag,
 * type, count, value), every offset counted from the header. Source: EXIF 2.32, TIFF 6.0 section 2;
 * XMP part 2, tiff:Orientation.
 */
#include "format/image_impl.h"

#define TAG_ORIENTATION 274

static uint32_t number(const unsigned char *p, int bytes, bool big) {
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
    return v;
}

int hora_exif_orientation(const unsigned char *p, size_t n) {
    static const uint8_t width[5] = {0, 1, 0, 2, 4}; /* of the types BYTE, SHORT, LONG */
    if (n >= 6 && !memcmp(p, "Exif\0\0", 6)) {
        p += 6;
        n -= 6;
    }
    if (n < 8 || (memcmp(p, "II*\0", 4) != 0 && memcmp(p, "MM\0*", 4) != 0))
        return 0;
    bool big = p[0] == 'M';
    size_t at = number(p + 4, 4, big);
    if (at > n || n - at < 2)
        return 0;
    size_t entries = number(p + at, 2, big);
    at += 2;
    for (size_t i = 0; i < entries && n - at >= 12; i++, at += 12) {
        uint32_t type = number(p + at + 2, 2, big);
        if (number(p + at, 2, big) == TAG_ORIENTATION && type < HORA_COUNT(width) && width[type])
            return (int)(number(p + at + 8, width[type], big) & 0xffff);
    }
    return 0;
}

int hora_xmp_orientation(const unsigned char *p, size_t n) {
    static const char key[] = "tiff:Orientation";
    const size_t k = sizeof key - 1;
    for (size_t at = 0; at + k + 3 <= n; at++) {
        if (memcmp(p + at, key, k) != 0)
            continue;
        const unsigned char *q = p + at + k;
        bool attribute = q[0] == '=' && q[1] == '"';
        if (attribute || q[0] == '>') {
            unsigned char digit = q[attribute ? 2 : 1];
            return digit >= '0' && digit <= '9' ? digit - '0' : 0;
        }
    }
    return 0;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int hora_exif_text_orientation(const char *p, size_t n) {
    size_t at = 0;
    for (int lines = 0; lines < 3 && at < n; at++) /* "", "exif", the length */
        lines += p[at] == '\n';
    unsigned char *bytes = hora_malloc((n - at) / 2 + 1);
    size_t out = 0;
    int high = -1;
    for (; at < n; at++) {
        int v = hex(p[at]);
        if (v >= 0 && high >= 0)
            bytes[out++] = (unsigned char)(high << 4 | v);
        high = v < 0 || high >= 0 ? (v < 0 ? high : -1) : v;
    }
    int orientation = hora_exif_orientation(bytes, out);
    hora_free(bytes);
    return orientation;
}
