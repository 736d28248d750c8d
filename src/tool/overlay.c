/* Maps of classes as pictures. */
#include "tool/overlay.h"

#include "base/file.h"
#include "base/text.h"
#include "task/segment.h"

/* Class 0 is the background: it stays as it is. */
static void colour_of(int32_t k, uint8_t rgb[3]) {
    static const uint8_t first[][3] = {
        {0, 0, 0},      {230, 60, 60},  {60, 170, 75},  {70, 110, 240}, {250, 190, 40},
        {170, 70, 200}, {50, 200, 210}, {245, 130, 50}, {190, 220, 60}, {240, 90, 190}};
    if (k < (int32_t)HORA_COUNT(first)) {
        memcpy(rgb, first[k], 3);
        return;
    }
    for (int c = 0; c < 3; c++) /* distinct, if not pretty */
        rgb[c] = (uint8_t)(40 + (k * (c == 0 ? 67 : c == 1 ? 131 : 197)) % 200);
}

hora_status hora_cli_overlay_begin(const hora_cli_overlay *o) {
    static const char *const parts[] = {"masks", "overlays"};
    if (hora_path_exists(o->dir))
        return hora_fail(HORA_EEXISTS, "%s is there already; name a folder that is not", o->dir);
    for (size_t i = 0; i < HORA_COUNT(parts); i++) {
        char *dir = hora_path_join(o->dir, parts[i]);
        const hora_status s = hora_mkdirs(dir);
        hora_free(dir);
        HORA_TRY(s);
    }
    return HORA_OK;
}

static hora_status save(const hora_cli_overlay *o, const char *part, const char *file,
                        const hora_image *im, hora_json *line) {
    const char *base = hora_path_base(file), *dot = strrchr(base, '.');
    char *path = hora_format("%s/%ss/%06lld-%.*s.png", o->dir, part, (long long)o->done,
                             (int)(dot ? dot - base : (int)strlen(base)), base);
    const hora_status s = hora_image_save_png(path, im);
    if (!s)
        hora_json_set(line, part, hora_json_new_string(path));
    hora_free(path);
    return s;
}

/* The class of each pixel of `seen` into map, and how many each class has. */
static void make_map(const hora_cli_overlay *o, const float *z, hora_image *map, int64_t *count) {
    const hora_mesh m = hora_segment_mesh(o->objective, o->vision);
    float *room = hora_malloc((size_t)m.k * sizeof *room);
    for (int64_t y = 0; y < map->height; y++)
        for (int64_t x = 0; x < map->width; x++) {
            const int32_t k = hora_segment_guess(&m, z, y, x, map->height, map->width, room);
            map->px[y * map->width + x] = (uint8_t)k;
            count[k]++;
        }
    hora_free(room);
}

static void lay(hora_image *over, const hora_image *map) {
    for (int64_t i = 0; i < map->width * map->height; i++) {
        uint8_t rgb[3], *p = over->px + 3 * i;
        colour_of(map->px[i], rgb);
        for (int c = 0; c < 3 && map->px[i]; c++)
            p[c] = (uint8_t)((p[c] + rgb[c]) / 2);
    }
}

static void put_shares(const hora_cli_overlay *o, const int64_t *count, int64_t pixels,
                       hora_json *line) {
    hora_json *shares = hora_json_set(line, "shares", hora_json_new_object());
    for (int64_t k = 0; k < o->objective->classes; k++) {
        char spare[40];
        hora_snprintf(spare, sizeof spare, "LABEL_%lld", (long long)k);
        hora_json_set(shares, o->objective->names ? o->objective->names[k] : spare,
                      hora_json_new_real((double)count[k] / (double)pixels));
    }
}

hora_status hora_cli_overlay_put(hora_cli_overlay *o, const float *z, const hora_image *im,
                                 const char *file, hora_json *line) {
    const hora_image_processor *p = o->processor;
    const bool all = p->fit == HORA_FIT_EXACT && !p->crop && !p->pad_height;
    const hora_vision *v = o->vision;
    const bool whole = all && v->height % v->patch == 0 && v->width % v->patch == 0;
    hora_image seen = {0}, map = {0};
    int64_t *count = hora_calloc((size_t)o->objective->classes, sizeof *count);
    const hora_stretch same = {.width = im->width, .height = im->height};
    hora_status s;
    HORA_TRY_OUT(s, whole ? hora_image_stretch(&seen, im, &same)
                          : hora_image_processor_fit(p, im, &seen));
    const int64_t width = whole ? seen.width : hora_min(seen.width, v->width / v->patch * v->patch);
    const int64_t height =
        whole ? seen.height : hora_min(seen.height, v->height / v->patch * v->patch);
    if (width != seen.width || height != seen.height) { /* what makes no whole piece is not seen */
        hora_image cut = {0};
        const hora_stretch part = {
            .from = &(hora_rect){0, 0, width, height}, .width = width, .height = height};
        HORA_TRY_OUT(s, hora_image_stretch(&cut, &seen, &part));
        hora_image_release(&seen);
        seen = cut;
    }
    HORA_TRY_OUT(s, hora_image_init(&map, width, height, 1));
    make_map(o, z, &map, count);
    put_shares(o, count, width * height, line);
    o->done++;
    if (o->dir) {
        lay(&seen, &map);
        HORA_TRY_OUT(s, save(o, "mask", file, &map, line));
        HORA_TRY_OUT(s, save(o, "overlay", file, &seen, line));
    }
out:
    hora_image_release(&seen);
    hora_image_release(&map);
    hora_free(count);
    return s;
}
