/*
 * Pictures and the class of each of their pixels: DIR/images/x.jpg beside DIR/masks/x.png, folders
 * inside alike in both; DIR/classes.txt may name the classes, a line each from class 0 on.
 */
#include "base/text.h"
#include "data/images_impl.h"

static bool inside(const char *path, const char *name) {
    char *full = hora_path_join(path, name);
    const bool is = hora_path_is_dir(full);
    hora_free(full);
    return is;
}

static bool is_masks(const char *path) {
    return hora_path_is_dir(path) && inside(path, "images") && inside(path, "masks");
}

/* The mask of "DIR/images/a/x.jpg": "DIR/masks/a/x.png". */
static hora_status add(hora_images *s, const char *picture, size_t images) {
    const char *rest = picture + images, *dot = strrchr(rest, '.');
    char *mask = hora_format("%s/masks%.*s.png", s->path, (int)(dot - rest), rest);
    hora_status st = HORA_OK;
    if (hora_path_exists(mask)) {
        hora_images_add(s, picture, NULL, -1, 0, 0);
        hora_images_add_mask(s, mask);
    } else if (s->cfg.skip_bad) {
        s->info.missing++;
    } else {
        st = hora_fail(HORA_ENOTFOUND,
                       "%s is not there, the mask of %s; add it, or leave the picture out with "
                       "skip_bad",
                       mask, picture);
    }
    hora_free(mask);
    return st;
}

/* The pictures at any depth, in the order of their names. */
static hora_status list_masks(hora_images *s) {
    char *dir = hora_path_join(s->path, "images");
    hora_images *found = NULL;
    hora_status st = hora_images_read_parts(s, s->path);
    if (!st)
        st = hora_images_open(&found, dir, NULL);
    for (int64_t i = 0; !st && i < hora_images_about(found)->samples; i++)
        st = add(s, hora_images_name(found, i), strlen(dir));
    if (found) {
        const hora_images_info *i = hora_images_about(found);
        s->info.hidden = i->hidden;
        s->info.not_pictures = i->not_pictures;
        s->info.other_formats = i->other_formats;
        s->info.beside = i->beside;
    }
    hora_images_close(found);
    hora_free(dir);
    return st;
}

const hora_images_kind hora_images_kind_masks = {
    .name = "masks", .is = is_masks, .list = list_masks};
