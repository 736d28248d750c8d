/*
 * Draws scans that nobody took: organs as noisy blobs in a body, as several machines would show
 * them, with the class of each pixel. What segmentation is tried on where no data may be shared.
 *
 *   scans DIR N [SEED [SIDE]]      DIR/images/0000.ppm .. , DIR/masks/0000.png .., DIR/classes.txt
 *
 * Each scan is of one of three modalities: they show the same organs in other greys, and add noise
 * of their own kind (grain, speckle, a slow shading). Same arguments, same bytes. C alone, without
 * hora: the PNG of a mask is written here, its pixels stored and not packed.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random.h"

enum { ORGANS = 3, CLASSES = ORGANS + 1, MODALITIES = 3, MOST_SIDE = 1024, PATH = 1024 };

static const char *const names[CLASSES] = {"background", "liver", "kidney", "spleen"};

/* Grey of the body and of each organ, by modality: what is bright for one is dark for another. */
static const double grey[MODALITIES][CLASSES] = {
    {0.35, 0.60, 0.80, 0.50}, {0.55, 0.35, 0.20, 0.75}, {0.30, 0.45, 0.65, 0.90}};

typedef struct blob { /* an ellipse with a wavy rim */
    double x, y, across, down, turn, waves[3];
} blob;

static blob draw_blob(uint64_t *r, double x, double y, double size) {
    blob b = {x + uniform(r, -0.05, 0.05), y + uniform(r, -0.05, 0.05), size * uniform(r, 0.8, 1.2),
              size * uniform(r, 0.6, 1.0), uniform(r, 0, 3.1416),       {0}};
    for (int i = 0; i < 3; i++)
        b.waves[i] = uniform(r, -0.08, 0.08);
    return b;
}

static int inside(const blob *b, double x, double y) {
    const double c = cos(b->turn), s = sin(b->turn);
    const double u = ((x - b->x) * c + (y - b->y) * s) / b->across;
    const double v = ((y - b->y) * c - (x - b->x) * s) / b->down, angle = atan2(v, u);
    double rim = 1;
    for (int i = 0; i < 3; i++)
        rim += b->waves[i] * sin((i + 2) * angle + 20 * b->waves[i]);
    return u * u + v * v < rim * rim;
}

/* --- a grey PNG ------------------------------------------------------------------------------- */
static uint32_t crc(uint32_t c, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? UINT32_C(0xedb88320) ^ (c >> 1) : c >> 1;
    }
    return c;
}
static void big(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}
static void chunk(FILE *f, const char *type, const unsigned char *data, size_t n) {
    unsigned char head[8], tail[4];
    big(head, (uint32_t)n);
    memcpy(head + 4, type, 4);
    big(tail, ~crc(crc(~UINT32_C(0), head + 4, 4), data, n));
    fwrite(head, 1, 8, f);
    fwrite(data, 1, n, f);
    fwrite(tail, 1, 4, f);
}

/* Lines with filter 0, each a stored block of deflate, Adler's sum behind them. */
static void write_png(FILE *f, const unsigned char *px, int side) {
    const size_t line = (size_t)side + 1, block = line + 5;
    unsigned char head[13] = {0}, *z = malloc(2 + block * (size_t)side + 4), *at = z + 2;
    uint32_t a = 1, b = 0;
    big(head, (uint32_t)side);
    big(head + 4, (uint32_t)side);
    head[8] = 8;
    z[0] = 0x78;
    z[1] = 1;
    for (int y = 0; y < side; y++, at += block) {
        at[0] = y == side - 1;
        at[1] = (unsigned char)line;
        at[2] = (unsigned char)(line >> 8);
        at[3] = (unsigned char)~at[1];
        at[4] = (unsigned char)~at[2];
        at[5] = 0;
        memcpy(at + 6, px + (size_t)y * (size_t)side, (size_t)side);
        for (size_t i = 0; i < line; i++) {
            a = (a + at[5 + i]) % 65521;
            b = (b + a) % 65521;
        }
    }
    big(at, b << 16 | a);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
    chunk(f, "IHDR", head, sizeof head);
    chunk(f, "IDAT", z, (size_t)(at + 4 - z));
    chunk(f, "IEND", head, 0);
    free(z);
}

/* --- a scan ----------------------------------------------------------------------------------- */
static double noise(uint64_t *r, int modality, double level, double x, double y, double shade) {
    const double n = normal(r);
    return modality == 0   ? level + 0.06 * n
           : modality == 1 ? level * (1 + 0.15 * n)
                           : level + 0.03 * n + 0.15 * sin(3 * x + 2 * y + shade);
}

static void draw(uint64_t seed, int side, unsigned char *image, unsigned char *mask) {
    static const double at[ORGANS][3] = {{0.35, 0.4, 0.2}, {0.6, 0.65, 0.11}, {0.7, 0.35, 0.13}};
    uint64_t r = seed;
    const int modality = (int)(next(&r) % MODALITIES);
    const double shade = uniform(&r, 0, 6);
    blob body = draw_blob(&r, 0.5, 0.5, 0.42), organ[ORGANS];
    for (int i = 0; i < ORGANS; i++)
        organ[i] = draw_blob(&r, at[i][0], at[i][1], at[i][2]);
    const int without = (int)(next(&r) % 6); /* some lack an organ */
    for (int j = 0; j < side; j++)
        for (int i = 0; i < side; i++) {
            const double x = (i + 0.5) / side, y = (j + 0.5) / side;
            int class = 0;
            for (int k = 0; k < ORGANS; k++)
                class = k != without && inside(&organ[k], x, y) ? k + 1 : class;
            double level = class || inside(&body, x, y) ? grey[modality][class] : 0.05;
            level = noise(&r, modality, level, x, y, shade);
            const double v = level < 0 ? 0 : level > 1 ? 1 : level;
            for (int c = 0; c < 3; c++)
                image[3 * (j * side + i) + c] = (unsigned char)(255 * v + 0.5);
            mask[j * side + i] = (unsigned char)class;
        }
}

static FILE *create(const char *dir, const char *part, int number, const char *ending) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s/%04d.%s", dir, part, number, ending);
    FILE *f = fopen(path, "wbx");
    if (!f)
        fprintf(stderr, "scans: cannot make %s, or it is there already\n", path);
    return f;
}

static int write_scan(const char *dir, int number, int side, const unsigned char *image,
                      const unsigned char *mask) {
    FILE *f = create(dir, "images", number, "ppm");
    if (!f)
        return 1;
    fprintf(f, "P6\n%d %d\n255\n", side, side);
    fwrite(image, 3, (size_t)side * (size_t)side, f);
    int bad = ferror(f) | fclose(f);
    if (!(f = create(dir, "masks", number, "png")))
        return 1;
    write_png(f, mask, side);
    bad |= ferror(f) | fclose(f);
    return bad != 0;
}

static int begin(const char *dir) {
    static const char *const parts[] = {"", "/images", "/masks"};
    char path[PATH];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", dir, parts[i]);
        if (mkdir(path, 0777) && errno != EEXIST) {
            fprintf(stderr, "scans: cannot make the folder %s: %s\n", path, strerror(errno));
            return 1;
        }
    }
    snprintf(path, sizeof path, "%s/classes.txt", dir);
    FILE *f = fopen(path, "wbx");
    if (!f) {
        fprintf(stderr, "scans: cannot make %s, or it is there already\n", path);
        return 1;
    }
    for (int i = 0; i < CLASSES; i++)
        fprintf(f, "%s\n", names[i]);
    return fclose(f) != 0;
}

int main(int argc, char **argv) {
    const int n = argc > 2 ? atoi(argv[2]) : 0, side = argc > 4 ? atoi(argv[4]) : 64;
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    if (n < 1 || n > 9999 || side < 8 || side > MOST_SIDE) {
        fprintf(stderr, "usage: scans DIR N [SEED [SIDE]]\n");
        return 2;
    }
    unsigned char *image = malloc((size_t)side * (size_t)side * 4);
    int bad = !image || begin(argv[1]);
    for (int i = 0; i < n && !bad; i++) {
        uint64_t r = seed * 1000003 + (uint64_t)i;
        draw(next(&r), side, image, image + 3 * (size_t)side * (size_t)side);
        bad = write_scan(argv[1], i, side, image, image + 3 * (size_t)side * (size_t)side);
    }
    free(image);
    return bad;
}
