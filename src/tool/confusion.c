/* Draws a confusion matrix. */
#include "tool/confusion.h"

#include <math.h>

#include "base/text.h"
#include "format/image.h"

enum { SIDE = 720, MARGIN = 40, MOST_CELL = 72, DIGIT_W = 3, DIGIT_H = 5, SCALE = 2 };

/* Rows of three dots, the leftmost the highest bit. */
static const uint8_t digits[10][DIGIT_H] = {
    {7, 5, 5, 5, 7}, {2, 6, 2, 2, 7}, {7, 1, 7, 4, 7}, {7, 1, 7, 1, 7}, {5, 5, 7, 1, 1},
    {7, 4, 7, 1, 7}, {7, 4, 7, 5, 7}, {7, 1, 1, 2, 2}, {7, 5, 7, 5, 7}, {7, 5, 7, 1, 7}};

typedef struct colour {
    uint8_t r, g, b;
} colour;

static void fill(hora_image *im, int64_t x, int64_t y, int64_t w, int64_t h, colour c) {
    for (int64_t j = hora_max(y, 0); j < hora_min(y + h, im->height); j++)
        for (int64_t i = hora_max(x, 0); i < hora_min(x + w, im->width); i++)
            memcpy(im->px + 3 * (j * im->width + i), &c, 3);
}

static int64_t text_width(const char *s) {
    return (int64_t)strlen(s) * (DIGIT_W + 1) * SCALE - SCALE;
}

/* A number around (x, y), where it is at most `room` wide. */
static void write_number(hora_image *im, int64_t n, int64_t x, int64_t y, int64_t room, colour c) {
    char text[24];
    hora_snprintf(text, sizeof text, "%lld", (long long)n);
    const int64_t w = text_width(text);
    if (w > room)
        return;
    x -= w / 2;
    y -= DIGIT_H * SCALE / 2;
    for (const char *p = text; *p; p++, x += (DIGIT_W + 1) * SCALE)
        for (int j = 0; j < DIGIT_H && *p >= '0' && *p <= '9'; j++)
            for (int i = 0; i < DIGIT_W; i++)
                if (digits[*p - '0'][j] >> (DIGIT_W - 1 - i) & 1)
                    fill(im, x + i * SCALE, y + j * SCALE, SCALE, SCALE, c);
}

static int64_t count(const hora_json *rows, size_t i, size_t j) {
    int64_t n = 0;
    hora_json_int(hora_json_at(hora_json_at(rows, i), j), &n);
    return n;
}

/* White to dark blue; of a row without samples all is grey. */
static colour shade(double share) {
    static const double dark[] = {8, 48, 107};
    uint8_t c[3];
    for (int k = 0; k < 3; k++)
        c[k] = (uint8_t)lround(255 + (dark[k] - 255) * share);
    return isnan(share) ? (colour){225, 225, 225} : (colour){c[0], c[1], c[2]};
}

static void draw_row(hora_image *im, const hora_json *rows, size_t i, size_t k, int64_t cell) {
    const int64_t gap = cell >= 6, y = MARGIN + (int64_t)i * cell;
    const colour black = {0, 0, 0}, white = {255, 255, 255};
    int64_t all = 0;
    for (size_t j = 0; j < k; j++)
        all += count(rows, i, j);
    write_number(im, (int64_t)i, MARGIN / 2, y + cell / 2, hora_min(MARGIN - 4, 2 * cell), black);
    for (size_t j = 0; j < k; j++) {
        const int64_t x = MARGIN + (int64_t)j * cell, n = count(rows, i, j);
        const double share = all ? (double)n / (double)all : NAN;
        fill(im, x, y, cell - gap, cell - gap, shade(share));
        if (n && cell >= DIGIT_H * SCALE + 4)
            write_number(im, n, x + cell / 2, y + cell / 2, cell - 4, share > 0.5 ? white : black);
        if (!i)
            write_number(im, (int64_t)j, x + cell / 2, MARGIN / 2, cell - 2, black);
    }
}

hora_status hora_cli_confusion(const char *path, const hora_json *result) {
    const hora_json *rows = hora_json_get(result, "confusion");
    const size_t k = hora_json_len(rows);
    hora_image im;
    if (!k)
        return hora_fail(HORA_EUSAGE, "confusion: there is no such matrix; it needs one class for "
                                      "each record");
    const int64_t cell = hora_max(1, hora_min(MOST_CELL, SIDE / (int64_t)k));
    const int64_t side = 2 * MARGIN + cell * (int64_t)k;
    HORA_TRY(hora_image_init(&im, side, side, 3));
    fill(&im, 0, 0, side, side, (colour){255, 255, 255});
    for (size_t i = 0; i < k; i++)
        draw_row(&im, rows, i, k, cell);
    hora_status s = hora_image_save_png_marked(path, &im, "confusion");
    hora_image_release(&im);
    return s;
}
