/* Draws attention over a picture. */
#include "tool/attention.h"

#include <math.h>

#include "api/handles.h"
#include "base/text.h"
#include "data/pixels.h"
#include "infer/attention_maps.h"

enum { TILE = 160, GAP = 4, ACROSS = 8 };

/* Dark blue over red to yellow; x from 0 to 1. */
static void heat(double x, double rgb[3]) {
    rgb[0] = 255 * fmin(1, fmax(0, 2 * x));
    rgb[1] = 255 * fmin(1, fmax(0, 2 * x - 1));
    rgb[2] = 110 * fmax(0, 1 - 1.6 * x);
}

/* The grid's value at a point of the tile, between its places. */
static double between(const float *map, int64_t h, int64_t w, int64_t y, int64_t x) {
    const double v = fmin(fmax(((double)y + 0.5) * (double)h / TILE - 0.5, 0), (double)h - 1);
    const double u = fmin(fmax(((double)x + 0.5) * (double)w / TILE - 0.5, 0), (double)w - 1);
    const int64_t i = (int64_t)v, j = (int64_t)u;
    const int64_t i1 = hora_min(i + 1, h - 1), j1 = hora_min(j + 1, w - 1);
    const double a = v - (double)i, b = u - (double)j;
    return (1 - a) * ((1 - b) * (double)map[i * w + j] + b * (double)map[i * w + j1]) +
           a * ((1 - b) * (double)map[i1 * w + j] + b * (double)map[i1 * w + j1]);
}

typedef struct sheet {
    hora_image im;
    const hora_image *picture; /* (TILE, TILE) */
    int64_t h, w;              /* grid of pieces */
} sheet;

/* Tile number `at` of line `line`; map NULL: the picture alone. Each map by its own largest. */
static void put(sheet *s, int64_t line, int64_t lines_each, int64_t at, const float *map) {
    const int64_t y0 = GAP + (line * lines_each + at / ACROSS) * (TILE + GAP);
    const int64_t x0 = GAP + at % ACROSS * (TILE + GAP);
    double most = 0;
    for (int64_t i = 0; map && i < s->h * s->w; i++)
        most = fmax(most, (double)map[i]);
    for (int64_t y = 0; y < TILE; y++)
        for (int64_t x = 0; x < TILE; x++) {
            const uint8_t *from = s->picture->px + 3 * (y * TILE + x);
            uint8_t *to = s->im.px + 3 * ((y0 + y) * s->im.width + x0 + x);
            double rgb[3];
            heat(map && most > 0 ? between(map, s->h, s->w, y, x) / most : 0, rgb);
            for (int k = 0; k < 3; k++)
                to[k] = map ? (uint8_t)lround(0.35 * from[k] + 0.65 * rgb[k]) : from[k];
        }
}

/* The row whose attention is shown: the class token, or (-1) all of them. */
static int64_t asker(const hora_vision *v) {
    return v->heads ? 0 : -1;
}

static void put_line(sheet *s, const hora_attention_maps *m, const hora_vision *v, int64_t line,
                     int64_t lines_each) {
    const int64_t t = m->rows, i = asker(v);
    float *map = hora_malloc((size_t)t * sizeof *map);
    put(s, line, lines_each, 0, NULL);
    hora_attention_rollout(m, i, map);
    put(s, line, lines_each, 1, map + v->heads);
    for (int64_t h = 0; h < m->heads; h++) {
        const float *all = m->at + ((m->layers - 1) * m->heads + h) * t * t;
        for (int64_t j = 0; j < t; j++) {
            double sum = 0;
            for (int64_t q = i < 0 ? 0 : i; q < (i < 0 ? t : i + 1); q++)
                sum += (double)all[q * t + j];
            map[j] = (float)sum;
        }
        put(s, line, lines_each, 2 + h, map + v->heads);
    }
    hora_free(map);
}

static hora_status draw(hora_model *m, const hora_cli_attention_config *c, hora_image *tile,
                        hora_forward_batch *b) {
    hora_forward f = hora_model_forward(m);
    const hora_vision *v = m->base->vision;
    const int64_t lines = 1 + (m->n > 0), tiles = 2 + m->base->heads;
    const int64_t each = hora_ceil_div(tiles, ACROSS), across = hora_min(tiles, ACROSS);
    sheet s = {.picture = tile};
    HORA_TRY(
        hora_image_init(&s.im, GAP + across * (TILE + GAP), GAP + lines * each * (TILE + GAP), 3));
    memset(s.im.px, 255, hora_image_bytes(&s.im));
    hora_status st = HORA_OK;
    for (int64_t line = 0; line < lines && !st; line++) {
        hora_attention_maps maps;
        f.nadapters = line ? m->n : 0;
        st = hora_attention_maps_run(&maps, &f, b);
        s.h = v->height / v->patch;
        s.w = v->width / v->patch;
        if (!st)
            put_line(&s, &maps, v, line, each);
        if (!st)
            hora_attention_maps_release(&maps);
    }
    if (!st)
        st = hora_image_save_png_marked(c->out, &s.im, "attention");
    hora_image_release(&s.im);
    return st;
}

/* The picture as the model sees it, by its values: whatever was cut off is cut off here too. */
static hora_status tile_of(const hora_forward_batch *b, hora_image *out) {
    const int64_t h = b->pixels.height, w = b->pixels.width, n = h * w;
    float least[3], most[3];
    HORA_TRY(hora_image_init(out, TILE, TILE, 3));
    for (int k = 0; k < 3; k++) {
        least[k] = most[k] = b->pixels.at[k * n];
        for (int64_t i = 0; i < n; i++) {
            least[k] = fminf(least[k], b->pixels.at[k * n + i]);
            most[k] = fmaxf(most[k], b->pixels.at[k * n + i]);
        }
    }
    for (int64_t y = 0; y < TILE; y++)
        for (int64_t x = 0; x < TILE; x++)
            for (int k = 0; k < 3; k++) {
                const float z = b->pixels.at[k * n + y * h / TILE * w + x * w / TILE];
                const float span = most[k] - least[k];
                out->px[3 * (y * TILE + x) + k] =
                    (uint8_t)lroundf(span > 0 ? 255 * (z - least[k]) / span : 128);
            }
    return HORA_OK;
}

hora_status hora_cli_attention(hora_settings *s, const hora_cli_attention_config *c,
                               hora_json **result) {
    hora_model *m = NULL;
    hora_forward_batch b = {0};
    hora_image tile = {0};
    hora_status st;
    HORA_TRY_OUT(st, hora_model_open_with(&m, c->model, s, c->adapter));
    HORA_TRY_OUT(st, hora_open_features(&m->opened));
    if (c->adapter) {
        hora_adapter *a;
        HORA_TRY_OUT(st, hora_model_load_adapter(&a, m, c->adapter, NULL));
    }
    if (!m->base->vision || m->base->vision->fixed) {
        st = hora_fail(HORA_EUNSUPPORTED, "--attention: %s reads %s; give a model of pictures",
                       c->model, m->base->vision ? "clips" : "text");
        goto out;
    }
    HORA_TRY_OUT(st, hora_open_pictures(&m->opened, NULL));
    HORA_TRY_OUT(st, hora_forward_images(&b, m->opened.processor, &c->picture, 1, 1, NULL));
    HORA_TRY_OUT(st, tile_of(&b, &tile));
    HORA_TRY_OUT(st, draw(m, c, &tile, &b));
    *result = hora_json_new_object();
    hora_json_set(*result, "out", hora_json_new_string(c->out));
    hora_json_set(*result, "lines", hora_json_new_string(m->n ? "base, adapted" : "base"));
    hora_json_set(*result, "tiles",
                  hora_json_new_string("picture, rollout, heads of the last layer"));
    hora_json_set(*result, "heads", hora_json_new_int(m->base->heads));
out:
    hora_image_release(&tile);
    hora_forward_batch_release(&b);
    hora_model_close(m);
    return st;
}
