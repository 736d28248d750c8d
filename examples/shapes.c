/*
 * Draws shapes, one on each picture, in folders by class: what `./run demo vision` pretrains and
 * adapts a Vision Transformer on.
 *
 *   shapes DIR shape|fill N [SEED [SIDE]]      DIR/CLASS/0000.ppm .., N pictures of each class
 *
 * What a picture shows is drawn anew each time: shape, filling, place, size, turn, colours, noise;
 * the class fixes one of them and the others are as they come. Same arguments, same bytes. C alone,
 * without hora.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "random.h"

enum { SHAPES = 6, FILLS = 4, MOST_SIDE = 1024, PATH = 1024 };

#define TURN 6.283185307179586

static const char *const shapes[SHAPES] = {"circle", "cross", "ell", "square", "star", "triangle"};
static const char *const fills[FILLS] = {"dotted", "full", "outlined", "striped"};

static const struct {
    const char *name;
    const char *const *classes;
    int n;
} tasks[] = {{"shape", shapes, SHAPES}, {"fill", fills, FILLS}};
enum { TASKS = sizeof tasks / sizeof *tasks };

typedef struct thing {
    int shape, fill;
    double x, y, size, turn, grain, noise, ink[3], paper[3];
} thing;

/* How far within a regular outline (x, y) lies whose rim is a straight line between corners of
 * radius 1 and `dent`, in turn; negative outside. */
static double corners(double x, double y, int n, double dent) {
    const double half = TURN / 2 / n, angle = atan2(y, x);
    double a = fmod(angle + 2 * TURN, 2 * half);
    a = a > half ? 2 * half - a : a; /* between the corner at 0 and the dent at `half` */
    const double ex = dent * cos(half) - 1, ey = dent * sin(half), edge = sqrt(ex * ex + ey * ey);
    const double r = sqrt(x * x + y * y), px = r * cos(a) - 1, py = r * sin(a);
    return (px * -ey + py * ex) / edge;
}

/* How far within the shape of radius 1 a point lies; negative outside. */
static double depth(int shape, double x, double y) {
    const double ax = fabs(x), ay = fabs(y);
    switch (shape) {
    case 0:
        return 0.85 - sqrt(x * x + y * y);
    case 1:
        return fmax(fmin(0.33 - ax, 0.95 - ay), fmin(0.33 - ay, 0.95 - ax));
    case 2:
        return fmin(fmin(0.75 - ax, 0.75 - ay), fmax(-x, -y));
    case 3:
        return 0.7 - fmax(ax, ay);
    case 4:
        return corners(x, y, 5, 0.42);
    default:
        return corners(x, y, 3, 0.5);
    }
}

static int inked(const thing *t, double x, double y) {
    const double c = cos(t->turn), s = sin(t->turn);
    const double u = ((x - t->x) * c + (y - t->y) * s) / t->size;
    const double v = ((y - t->y) * c - (x - t->x) * s) / t->size;
    const double d = depth(t->shape, u, v), rim = 0.05 / t->size;
    if (d < 0)
        return 0;
    const double p = u * t->size / t->grain, q = v * t->size / t->grain;
    switch (t->fill) {
    case 0:
        return fabs(p - floor(p + 0.5)) + fabs(q - floor(q + 0.5)) < 0.45;
    case 1:
        return 1;
    case 2:
        return d < rim;
    default:
        return fabs(p - floor(p + 0.5)) < 0.27;
    }
}

static thing draw_thing(uint64_t *r) {
    thing t = {.shape = (int)(next(r) % SHAPES), .fill = (int)(next(r) % FILLS)};
    t.size = uniform(r, 0.34, 0.46);
    t.x = uniform(r, 0.44, 0.56);
    t.y = uniform(r, 0.44, 0.56);
    t.turn = uniform(r, -0.3, 0.3);
    t.grain = uniform(r, 0.11, 0.15);
    t.noise = uniform(r, 0, 0.06);
    for (int c = 0; c < 3; c++) { /* dark on bright */
        t.ink[c] = uniform(r, 0, 0.4);
        t.paper[c] = uniform(r, 0.6, 1);
    }
    return t;
}

/* Each pixel is the mean of nine points. */
static void paint(const thing *t, uint64_t *r, int side, unsigned char *image) {
    for (int j = 0; j < side; j++)
        for (int i = 0; i < side; i++) {
            int n = 0;
            for (int k = 0; k < 9; k++)
                n += inked(t, (i + (k % 3 + 0.5) / 3) / side, (j + (k / 3 + 0.5) / 3) / side);
            for (int c = 0; c < 3; c++) {
                double v = t->paper[c] + (t->ink[c] - t->paper[c]) * n / 9;
                v += t->noise * normal(r);
                v = v < 0 ? 0 : v > 1 ? 1 : v;
                image[3 * (j * side + i) + c] = (unsigned char)(255 * v + 0.5);
            }
        }
}

static int write_ppm(const char *path, int side, const unsigned char *image) {
    FILE *f = fopen(path, "wbx");
    if (!f) {
        fprintf(stderr, "shapes: cannot make %s, or it is there already\n", path);
        return 1;
    }
    fprintf(f, "P6\n%d %d\n255\n", side, side);
    fwrite(image, 3, (size_t)side * (size_t)side, f);
    const int bad = ferror(f) | fclose(f);
    if (bad)
        fprintf(stderr, "shapes: cannot write %s\n", path);
    return bad != 0;
}

static int draw_class(const char *dir, int task, int class, int n, uint64_t seed, int side,
                      unsigned char *image) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", dir, tasks[task].classes[class]);
    mkdir(path, 0777); /* one that is there will do; what cannot be is said by the files */
    for (int i = 0; i < n; i++) {
        uint64_t r = (seed * 1000003 + (uint64_t)i) * SHAPES + (uint64_t) class;
        r = next(&r);
        thing t = draw_thing(&r);
        *(task ? &t.fill : &t.shape) = class;
        paint(&t, &r, side, image);
        snprintf(path, sizeof path, "%s/%s/%04d.ppm", dir, tasks[task].classes[class], i);
        if (write_ppm(path, side, image))
            return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    const int n = argc > 3 ? atoi(argv[3]) : 0, side = argc > 5 ? atoi(argv[5]) : 32;
    const uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    int task = 0;
    while (argc > 2 && task < TASKS && strcmp(argv[2], tasks[task].name) != 0)
        task++;
    if (n < 1 || n > 9999 || side < 8 || side > MOST_SIDE || task == TASKS) {
        fprintf(stderr, "usage: shapes DIR shape|fill N [SEED [SIDE]]\n");
        return 2;
    }
    unsigned char *image = malloc((size_t)side * (size_t)side * 3);
    int bad = !image;
    mkdir(argv[1], 0777);
    for (int c = 0; c < tasks[task].n && !bad; c++)
        bad = draw_class(argv[1], task, c, n, seed, side, image);
    free(image);
    return bad;
}
