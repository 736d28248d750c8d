/* hora data of a set of pictures: classes, sizes, what cannot be read, a sheet of samples. */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "data/clips.h"
#include "data/images.h"
#include "task/task.h"
#include "tool/data_pictures.h"

enum { SIDE = 112, ACROSS = 8, GAP = 4 };

/* A set of pictures, not of texts: a folder without files of records, a container of pictures. */
bool hora_cli_is_pictures(const char *path) {
    static const char *const texts[] = {"train.jsonl", "valid.jsonl", "test.jsonl"};
    char **names = NULL;
    int n = 0;
    bool text = false;
    if (!hora_path_is_dir(path))
        return hora_images_is_container(path);
    if (hora_list_dir(path, &names, &n) == HORA_OK)
        for (int i = 0; i < n; i++)
            for (size_t k = 0; k < HORA_COUNT(texts); k++)
                text |= hora_eq(names[i], texts[k]);
    hora_list_free(names, n);
    return !text;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void put_left_out(hora_json *o, const hora_images_info *i) {
    const struct {
        const char *key;
        int64_t n;
    } parts[] = {{"hidden", i->hidden},
                 {"not_pictures", i->not_pictures},
                 {"other_formats", i->other_formats},
                 {"beside", i->beside},
                 {"classes_alone", i->alone},
                 {"links", i->links},
                 {"unlabelled", i->unlabelled},
                 {"unknown", i->unknown},
                 {"missing", i->missing},
                 {"bare_folders", i->bare}};
    hora_json *left = hora_json_set(o, "left_out", hora_json_new_object());
    for (size_t k = 0; k < HORA_COUNT(parts); k++)
        hora_json_set(left, parts[k].key, hora_json_new_int(parts[k].n));
}

static void put_classes(hora_json *o, const hora_images *set) {
    hora_json *names = hora_json_set(o, "classes", hora_json_new_array());
    hora_json *counts = hora_json_set(o, "counts", hora_json_new_object());
    hora_json *labels = hora_json_set(o, "labels", hora_json_new_object());
    for (int64_t i = 0; i < hora_images_about(set)->classes; i++) {
        const char *name = hora_images_class(set, i);
        hora_json_push(names, hora_json_new_string(name));
        hora_json_set(counts, name, hora_json_new_int(hora_images_class_count(set, i)));
        if (hora_images_class_count(set, i))
            hora_json_set(labels, name, hora_json_new_int(i));
    }
}

/* Those of the pixels, and how many masks hold each. */
static void put_parts(hora_json *o, const hora_images *set, const hora_images_survey *v, int n) {
    hora_json *names = hora_json_set(o, "classes", hora_json_new_array());
    hora_json *counts = hora_json_set(o, "counts", hora_json_new_object());
    hora_json *labels = hora_json_set(o, "labels", hora_json_new_object());
    for (int c = 0; c < n; c++) {
        const char *own = hora_images_part(set, c);
        char *name = own ? hora_strdup(own) : hora_format("%d", c);
        hora_json_push(names, hora_json_new_string(name));
        hora_json_set(counts, name, hora_json_new_int(v->with[c]));
        if (v->with[c])
            hora_json_set(labels, name, hora_json_new_int(c));
        hora_free(name);
    }
}

static void put_survey(hora_json *o, const hora_images *set, const hora_images_survey *v) {
    const struct {
        const char *key;
        int64_t n;
    } parts[] = {{"read", v->read},
                 {"turned", v->turned},
                 {"alpha", v->alpha},
                 {"grey16", v->grey16},
                 {"animated", v->animated},
                 {"dark", v->dark},
                 {"least_width", v->least_width},
                 {"least_height", v->least_height},
                 {"most_width", v->most_width},
                 {"most_height", v->most_height},
                 {"bytes", v->bytes}};
    for (size_t k = 0; k < HORA_COUNT(parts); k++)
        hora_json_set(o, parts[k].key, hora_json_new_int(parts[k].n));
    hora_json *bad = hora_json_set(o, "unreadable", hora_json_new_array());
    for (int64_t i = 0; i < v->nbad; i++) {
        hora_json *e = hora_json_push(bad, hora_json_new_object());
        hora_json_set(e, "file", hora_json_new_string(hora_images_name(set, v->bad[i].index)));
        hora_json_set(e, "why", hora_json_new_string(v->bad[i].why));
    }
}

/* --- clips ------------------------------------------------------------------------------------ */

/* As many as are taken of each clip: as asked for, else by the model's files; 1: pictures. */
static hora_status frames_of(const hora_cli_pictures_config *c, int64_t *frames) {
    hora_json *config = NULL;
    *frames = c->frames ? c->frames : 1;
    if (!c->model || c->frames)
        return HORA_OK;
    HORA_TRY(hora_json_load_beside(&config, c->model, "config.json"));
    if (hora_json_int(hora_json_get(config, "num_frames"), frames) || /* VideoMAE */
        hora_json_int(hora_json_get(config, "frames"), frames))       /* trained on clips */
        *frames = hora_max(1, hora_min(*frames, HORA_FRAMES_MOST));
    hora_json_free(config);
    return HORA_OK;
}

/* How many there are, of each class too, and how long; which repeat frames, since they have too
 * few. */
static void put_clips(hora_json *o, const hora_images *set, const hora_clips *c, int64_t frames) {
    hora_json *clips = hora_json_set(o, "clips", hora_json_new_object());
    hora_json *counts = hora_json_set(clips, "counts", hora_json_new_object());
    const int64_t classes = hora_images_about(set)->classes;
    int64_t *n = hora_calloc((size_t)classes + 1, sizeof *n);
    int64_t least = INT64_MAX, most = 0, few = 0;
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t length = c->first[i + 1] - c->first[i],
                      k = hora_images_label(set, c->frame[c->first[i]]);
        n[k < 0 ? classes : k]++;
        least = hora_min(least, length);
        most = hora_max(most, length);
        few += length < frames;
    }
    for (int64_t k = 0; k < classes; k++)
        hora_json_set(counts, hora_images_class(set, k), hora_json_new_int(n[k]));
    hora_json_set(clips, "n", hora_json_new_int(c->n));
    hora_json_set(clips, "frames", hora_json_new_int(frames));
    hora_json_set(clips, "least_frames", hora_json_new_int(c->n ? least : 0));
    hora_json_set(clips, "most_frames", hora_json_new_int(most));
    hora_json_set(clips, "repeat", hora_json_new_int(few));
    hora_free(n);
}

static hora_status look_at_clips(hora_json *o, const hora_images *set, const char *path,
                                 int64_t frames) {
    hora_clips c;
    if (frames < 2)
        return HORA_OK;
    HORA_TRY(hora_clips_open(&c, set, path, hora_images_about(set)->classes > 0));
    put_clips(o, set, &c, frames);
    hora_clips_release(&c);
    return HORA_OK;
}

/* --- the sheet -------------------------------------------------------------------------------- */

/* Sample i as training would see it in the first epoch, SIDE x SIDE at (x, y) of the sheet. */
static hora_status put_sample(hora_image *sheet, const hora_images *set, int64_t i, int64_t at,
                              const hora_image_processor *p, const hora_data_config *c) {
    hora_image im = {0}, seen = {0}, small = {0};
    const hora_augment a = hora_data_augment(c);
    int64_t width, height;
    const int64_t x0 = GAP + at % ACROSS * (SIDE + GAP), y0 = GAP + at / ACROSS * (SIDE + GAP);
    hora_status s;
    HORA_TRY_OUT(s, hora_images_read(set, i, &im, NULL));
    if (hora_image_processor_fixed(p, &width, &height))
        HORA_TRY_OUT(s, hora_augment_picture(&a, p, &im, false, (uint64_t)c->seed, 0, i, &seen));
    HORA_TRY_OUT(
        s, hora_image_resize(&small, seen.px ? &seen : &im, SIDE, SIDE, HORA_RESAMPLE_BILINEAR));
    for (int64_t y = 0; y < SIDE; y++)
        memcpy(sheet->px + ((y0 + y) * sheet->width + x0) * 3, small.px + y * SIDE * 3, SIDE * 3);
out:
    hora_image_release(&im);
    hora_image_release(&seen);
    hora_image_release(&small);
    return s;
}

static hora_status make_sheet(const hora_images *set, const char *file,
                              const hora_image_processor *p, const hora_data_config *c) {
    const int64_t all = hora_images_about(set)->samples, n = hora_min(all, 64);
    const int64_t down = hora_ceil_div(hora_max(n, 1), ACROSS);
    hora_image sheet = {0};
    hora_status s;
    HORA_TRY(hora_image_init(&sheet, GAP + ACROSS * (SIDE + GAP), GAP + down * (SIDE + GAP), 3));
    memset(sheet.px, 255, hora_image_bytes(&sheet));
    for (int64_t i = 0; i < n; i++)
        HORA_TRY_OUT(s, put_sample(&sheet, set, i * all / n, i, p, c));
    s = hora_image_save_png_marked(file, &sheet, "sheet");
out:
    hora_image_release(&sheet);
    return s;
}

/* --- together --------------------------------------------------------------------------------- */

static hora_status names_of(const char *path, hora_images **set, const char ***out, int64_t *n) {
    HORA_TRY(hora_images_open(set, path, NULL));
    *n = hora_images_about(*set)->classes;
    *out = hora_malloc((size_t)hora_max(*n, 1) * sizeof **out);
    for (int64_t i = 0; i < *n; i++)
        (*out)[i] = hora_images_class(*set, i);
    return HORA_OK;
}

hora_status hora_cli_pictures(const char *path, const hora_cli_pictures_config *c,
                              hora_json **out) {
    hora_images *set = NULL, *like = NULL;
    hora_images_survey v = {0};
    const char **names = NULL;
    hora_images_config ic = {.skip_bad = c->data->skip_bad,
                             .decode = {.no_exif = !c->data->exif, .white = c->data->white}};
    hora_image_processor p;
    hora_status s = HORA_OK;
    int64_t frames;
    int parts = 0;
    HORA_TRY_OUT(s, frames_of(c, &frames));
    if (c->labels)
        HORA_TRY_OUT(s, names_of(c->labels, &like, &names, &ic.nlabels));
    ic.labels = names;
    HORA_TRY_OUT(s, hora_images_open(&set, path, &ic));
    const bool masks = c->masks || hora_eq(hora_images_about(set)->kind, "masks");
    if (masks)
        HORA_TRY_OUT(s, hora_images_need_masks(set));
    HORA_TRY_OUT(s, hora_images_look(set, &v));
    if (masks)
        HORA_TRY_OUT(s, hora_images_count_parts(set, v.with, &parts));
    *out = hora_json_new_object();
    hora_json_set(*out, "kind", hora_json_new_string(hora_images_about(set)->kind));
    hora_json_set(*out, "samples", hora_json_new_int(hora_images_about(set)->samples));
    if (masks)
        put_parts(*out, set, &v, parts);
    else
        put_classes(*out, set);
    put_survey(*out, set, &v);
    put_left_out(*out, hora_images_about(set));
    HORA_TRY_OUT(s, look_at_clips(*out, set, path, frames));
    if (c->sheet) {
        HORA_TRY_OUT(s, c->model ? hora_image_processor_load(&p, c->model)
                                 : hora_image_processor_default(&p, "ViT"));
        if (v.nbad)
            HORA_TRY_OUT(s, hora_images_screen(set, &v));
        HORA_TRY_OUT(s, make_sheet(set, c->sheet, &p, c->data));
        hora_json_set(*out, "sheet", hora_json_new_string(c->sheet));
    }
    if (v.nbad && !c->data->skip_bad)
        s = hora_fail(HORA_EFORMAT,
                      "%lld of %lld pictures are unreadable, and a training refuses the set; mend "
                      "or remove them, or leave them out with skip_bad",
                      (long long)v.nbad, (long long)hora_images_about(set)->samples);
out:
    hora_images_survey_release(&v);
    hora_images_close(set);
    hora_images_close(like);
    hora_free(names);
    return s;
}

void hora_cli_put_pictures(const hora_json *r) {
    const hora_json *counts = hora_json_get(r, "counts"), *bad = hora_json_get(r, "unreadable"),
                    *left = hora_json_get(r, "left_out");
    printf("--- %.0f pictures (%s), %zu classes, %.0f x %.0f to %.0f x %.0f pixels\n",
           hora_cli_number(r, "samples"), hora_cli_text(r, "kind"), hora_json_len(counts),
           hora_cli_number(r, "least_width"), hora_cli_number(r, "least_height"),
           hora_cli_number(r, "most_width"), hora_cli_number(r, "most_height"));
    for (size_t i = 0; i < hora_json_len(hora_json_get(r, "classes")); i++) {
        const char *name = hora_json_string(hora_json_at(hora_json_get(r, "classes"), i), NULL);
        printf("%6zu  %-40s %8.0f%s\n", i, name, hora_cli_number(counts, name),
               hora_cli_number(counts, name) > 0 ? "" : "  empty");
    }
    const hora_json *clips = hora_json_get(r, "clips"), *of = hora_json_get(clips, "counts");
    if (clips)
        printf("--- %.0f clips of %.0f to %.0f frames, of which %.0f are taken\n",
               hora_cli_number(clips, "n"), hora_cli_number(clips, "least_frames"),
               hora_cli_number(clips, "most_frames"), hora_cli_number(clips, "frames"));
    for (void *it = hora_json_iter(of); it; it = hora_json_next(of, it))
        printf("        %-40s %8.0f\n", hora_json_iter_key(it),
               hora_cli_number(of, hora_json_iter_key(it)));
    if (clips && hora_cli_number(clips, "repeat") > 0)
        printf("clips of fewer frames, which repeat some: %.0f\n",
               hora_cli_number(clips, "repeat"));
    static const char *const seen[] = {"turned", "alpha", "grey16", "animated", "dark"};
    for (size_t i = 0; i < HORA_COUNT(seen); i++)
        if (hora_cli_number(r, seen[i]) > 0)
            printf("%s: %.0f\n", seen[i], hora_cli_number(r, seen[i]));
    for (void *it = hora_json_iter(left); it; it = hora_json_next(left, it))
        if (hora_cli_number(left, hora_json_iter_key(it)) > 0)
            printf("left out, %s: %.0f\n", hora_json_iter_key(it),
                   hora_cli_number(left, hora_json_iter_key(it)));
    for (size_t i = 0; i < hora_json_len(bad); i++)
        printf("unreadable: %s\n", hora_cli_text(hora_json_at(bad, i), "why"));
    if (hora_json_get(r, "sheet"))
        printf("sheet: %s\n", hora_cli_text(r, "sheet"));
}
