/* hora predict of pictures, clips and folders of them; of task segment with maps of classes. */
#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "data/clips.h"
#include "data/images.h"
#include "infer/forward.h"
#include "tool/overlay.h"
#include "tool/predict.h"

static hora_json *said(const hora_objective *o, const hora_predict_config *c, const float *z,
                       const char *file, const char *truth) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
    if (truth)
        hora_json_set(line, "true", hora_json_new_string(truth));
    hora_predict_say(o, c, z, line);
    return line;
}

typedef struct asking { /* of a set of pictures */
    hora_model *m;
    const hora_predict_config *c;
    const hora_images *set;
    bool fixed;     /* all become one size */
    int64_t frames; /* of a sample; a picture asked about by itself changes the model's own */
    int64_t bad;
    hora_cli_overlay over; /* of task segment */
} asking;

static bool is_segment(const asking *a) {
    return a->m->opened.objective.task->labels == HORA_LABELS_PIXELS;
}

/* Values of a picture, appended to the batch, which has room. */
static hora_status append(asking *a, hora_forward_batch *b, const hora_image *im) {
    const hora_image_processor *p = a->m->opened.processor;
    int64_t width, height;
    hora_image_processor_size(p, im->width, im->height, &width, &height);
    if (!b->pixels.at) {
        b->pixels = (hora_pixels){NULL, 1, 3, height, width};
        b->pixels.at = hora_calloc((size_t)((a->fixed ? a->c->batch_size : 1) * 3 * height * width),
                                   sizeof(float));
    }
    const hora_status s = hora_image_processor_run(p, im, b->pixels.at + b->b * 3 * height * width);
    b->b += s == HORA_OK;
    return s;
}

/* Picture i of the set; *im keeps it where maps are drawn over it. */
static hora_status append_of_set(asking *a, hora_forward_batch *b, int64_t i, hora_image *im) {
    HORA_TRY(hora_images_read(a->set, i, im, NULL));
    const hora_status s = append(a, b, im);
    if (s || !is_segment(a))
        hora_image_release(im);
    return s;
}

/* What is said of the pixels of a picture. */
static hora_status draw(asking *a, const float *z, const hora_image *im, const char *file) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
    const hora_status s = hora_cli_overlay_put(&a->over, z, im, file, line);
    if (s)
        hora_json_free(line);
    else
        hora_cli_put(line);
    return s;
}

static hora_status ask(asking *a, const hora_forward_batch *b, const int64_t *which,
                       const hora_image *pictures) {
    const hora_objective *o = &a->m->opened.objective;
    hora_forward f = hora_model_forward(a->m);
    if (!b->b)
        return HORA_OK;
    HORA_TRY(hora_forward_fit(&f, b));
    const hora_shape shape = hora_forward_logits(&f, b);
    const int64_t one = hora_shape_elems(&shape) / b->b;
    f.logits = hora_malloc((size_t)(b->b * one) * sizeof *f.logits);
    hora_status s = hora_forward_run(&f, b);
    for (int64_t i = 0; i < b->b && !s; i++) {
        const int64_t label = hora_images_label(a->set, which[i]);
        if (is_segment(a))
            s = draw(a, f.logits + i * one, &pictures[i], hora_images_name(a->set, which[i]));
        else
            hora_cli_put(said(o, a->c, f.logits + i * o->classes,
                              hora_images_name(a->set, which[i]),
                              label < 0 ? NULL : hora_images_class(a->set, label)));
    }
    hora_free(f.logits);
    return s;
}

static void say_bad(asking *a, const char *file) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
    hora_json_set(line, "error", hora_json_new_string(hora_errmsg()));
    hora_cli_put(line);
    a->bad++;
}

static hora_status ask_all(asking *a) {
    const int64_t n = hora_images_about(a->set)->samples, at_once = a->fixed ? a->c->batch_size : 1;
    int64_t *which = hora_malloc((size_t)at_once * sizeof *which);
    hora_image *pictures = hora_calloc((size_t)at_once, sizeof *pictures);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < n && !s;) {
        hora_forward_batch b = {.b = 0};
        for (; i < n && b.b < at_once && !s; i++) {
            which[b.b] = i;
            s = append_of_set(a, &b, i, &pictures[b.b]);
            if (s && a->c->skip_bad) {
                say_bad(a, hora_images_name(a->set, i));
                s = HORA_OK;
            }
        }
        if (!s)
            s = ask(a, &b, which, pictures);
        for (int64_t k = 0; k < b.b; k++)
            hora_image_release(&pictures[k]);
        hora_forward_batch_release(&b);
    }
    hora_free(pictures);
    hora_free(which);
    return s;
}

/* A picture file, or the frames of a clip, by itself. */
static hora_status ask_one(asking *a, const char *const *paths, int64_t n, const char *name,
                           const char *truth) {
    const hora_image_options how = {.no_exif = !a->c->exif, .white = a->c->white};
    const hora_objective *o = &a->m->opened.objective;
    hora_forward_batch b = {.b = 0};
    hora_forward f = hora_model_forward(a->m);
    hora_image im = {0};
    hora_status s = n == 1 ? hora_image_load(&im, paths[0], &how, NULL)
                           : hora_forward_images(&b, a->m->opened.processor, paths, n, n, &how);
    if (!s && n == 1)
        s = append(a, &b, &im);
    if (!s)
        s = hora_forward_fit(&f, &b);
    if (!s) {
        const hora_shape shape = hora_forward_logits(&f, &b);
        f.logits = hora_malloc((size_t)hora_shape_elems(&shape) * sizeof *f.logits);
        s = hora_forward_run(&f, &b);
    }
    if (!s && is_segment(a))
        s = draw(a, f.logits, &im, name);
    else if (!s)
        hora_cli_put(said(o, a->c, f.logits, name, truth));
    hora_image_release(&im);
    hora_forward_batch_release(&b);
    hora_free(f.logits);
    return s;
}

/* One clip of the set: the middles of as many parts as the model reads frames. */
static hora_status ask_clip(asking *a, const hora_clips *c, int64_t i) {
    const int64_t frames = a->frames;
    const int64_t label = hora_images_label(a->set, c->frame[c->first[i]]);
    const char **paths = hora_malloc((size_t)frames * sizeof *paths);
    for (int64_t k = 0; k < frames; k++)
        paths[k] = hora_images_name(a->set, hora_clips_frame(c, i, k, frames, 0.5));
    const hora_status s =
        ask_one(a, paths, frames, c->name[i],
                label < 0 || !c->classed ? NULL : hora_images_class(a->set, label));
    hora_free(paths);
    return s;
}

static hora_status ask_clips(asking *a, const char *path) {
    hora_clips c;
    HORA_TRY(hora_clips_open(&c, a->set, path, false));
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < c.n && !s; i++) {
        s = ask_clip(a, &c, i);
        if (s && a->c->skip_bad) {
            say_bad(a, c.name[i]);
            s = HORA_OK;
        }
    }
    hora_clips_release(&c);
    return s;
}

static hora_status ask_path(asking *a, const char *path) {
    const hora_images_config ic = {.skip_bad = a->c->skip_bad,
                                   .partial = true,
                                   .decode = {.no_exif = !a->c->exif, .white = a->c->white}};
    hora_images *set = NULL;
    if ((a->frames == 1 || !a->m->base->vision->fixed) && !hora_path_is_dir(path) &&
        hora_image_name_kind(path) != HORA_IMAGE_NAME_NONE)
        return ask_one(a, &path, 1, path, NULL);
    HORA_TRY(hora_images_open(&set, path, &ic));
    hora_images_say_left_out(set);
    a->set = set;
    const hora_status s = a->frames > 1 ? ask_clips(a, path) : ask_all(a);
    hora_images_close(set);
    return s;
}

hora_status hora_predict_pictures(hora_model *m, const hora_predict_config *c,
                                  const hora_cli *cli) {
    asking a = {.m = m, .c = c};
    int64_t width, height;
    HORA_TRY(hora_open_pictures(&m->opened, NULL));
    a.frames = m->base->vision->frames;
    a.fixed = hora_image_processor_fixed(m->opened.processor, &width, &height);
    a.over = (hora_cli_overlay){.objective = &m->opened.objective,
                                .vision = m->base->vision,
                                .processor = m->opened.processor,
                                .dir = c->overlays};
    if (c->overlays && m->opened.objective.task->labels != HORA_LABELS_PIXELS)
        return hora_fail(HORA_EUSAGE, "overlays are of task segment; this model's is %s",
                         m->opened.objective.task->name);
    if (c->overlays)
        HORA_TRY(hora_cli_overlay_begin(&a.over));
    for (int i = 0; i < cli->nrest; i++)
        HORA_TRY(ask_path(&a, cli->rest[i]));
    if (a.bad)
        hora_warn("files that could not be read: %lld", (long long)a.bad);
    return HORA_OK;
}
