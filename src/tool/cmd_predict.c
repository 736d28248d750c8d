/* hora predict: what a model says of files, one line of JSON for each. */
#include <math.h>
#include <stdlib.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "data/images.h"
#include "infer/forward.h"
#include "tool/tool.h"

typedef struct config {
    int64_t top_k, batch_size;
    bool skip_bad, exif, white;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(top_k, "top_k", NULL, "5", 1, 1 << 24, "classes that are named, the likeliest first"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 4096, "files at a time"),
    OPT_BOOL(skip_bad, "skip_bad", NULL, "false",
             "say of an unreadable file that it is one, and go on"),
    OPT_BOOL(exif, "exif", NULL, "true", "turn pictures as their EXIF says"),
    OPT_BOOL(white, "white", NULL, "false", "lay transparent pixels on white"),
};
static const hora_options options = {"Prediction", rows, HORA_COUNT(rows)};

/* --- what is said of one ---------------------------------------------------------------------- */

typedef struct ranked {
    int64_t at;
    double score;
} ranked;

static int by_score(const void *x, const void *y) {
    const ranked *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return (a->at > b->at) - (a->at < b->at);
}

/* Shares of one class among all, or of each by itself, or the plain numbers. */
static void scores(const hora_objective *o, const float *z, ranked *out) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < o->classes; i++)
        most = fmax(most, (double)z[i]);
    for (int64_t i = 0; i < o->classes; i++)
        sum += exp((double)z[i] - most);
    for (int64_t i = 0; i < o->classes; i++) {
        const double x = (double)z[i];
        out[i] = (ranked){i, o->loss == HORA_LOSS_XENT  ? exp(x - most) / sum
                             : o->loss == HORA_LOSS_BCE ? 1 / (1 + exp(-x))
                                                        : x};
    }
    qsort(out, (size_t)o->classes, sizeof *out, by_score);
}

static hora_json *name_of(const hora_objective *o, int64_t i) {
    char spare[40];
    hora_snprintf(spare, sizeof spare, "LABEL_%lld", (long long)i);
    return hora_json_new_string(o->names ? o->names[i] : spare);
}

static hora_json *said(const hora_objective *o, const config *c, const float *z, const char *file,
                       const char *truth) {
    ranked *r = hora_malloc((size_t)o->classes * sizeof *r);
    hora_json *line = hora_json_new_object();
    scores(o, z, r);
    hora_json_set(line, "file", hora_json_new_string(file));
    if (truth)
        hora_json_set(line, "true", hora_json_new_string(truth));
    hora_json_set(line, "label", name_of(o, r[0].at));
    hora_json_set(line, "score", hora_json_new_real(r[0].score));
    hora_json *top = hora_json_set(line, "top", hora_json_new_array());
    for (int64_t i = 0; i < hora_min(c->top_k, o->classes); i++) {
        hora_json *e = hora_json_push(top, hora_json_new_object());
        hora_json_set(e, "label", name_of(o, r[i].at));
        hora_json_set(e, "score", hora_json_new_real(r[i].score));
    }
    hora_free(r);
    return line;
}

static void put_line(hora_json *own) {
    hora_str s = {0};
    hora_json_dump(own, 0, false, &s);
    puts(s.s);
    hora_str_release(&s);
    hora_json_free(own);
}

/* --- pictures --------------------------------------------------------------------------------- */

typedef struct asking { /* of a set of pictures */
    hora_model *m;
    const config *c;
    const hora_images *set;
    bool fixed; /* all become one size */
    int64_t bad;
} asking;

/* Values of picture i, appended to the batch, which has room. */
static hora_status append(asking *a, hora_forward_batch *b, int64_t i) {
    const hora_image_processor *p = a->m->opened.processor;
    hora_image im = {0};
    int64_t width, height;
    HORA_TRY(hora_images_read(a->set, i, &im, NULL));
    hora_image_processor_size(p, im.width, im.height, &width, &height);
    if (!b->pixels.at) {
        b->pixels = (hora_pixels){NULL, 1, 3, height, width};
        b->pixels.at = hora_calloc((size_t)((a->fixed ? a->c->batch_size : 1) * 3 * height * width),
                                   sizeof(float));
    }
    const hora_status s =
        hora_image_processor_run(p, &im, b->pixels.at + b->b * 3 * height * width);
    hora_image_release(&im);
    b->b += s == HORA_OK;
    return s;
}

static hora_status ask(asking *a, const hora_forward_batch *b, const int64_t *which) {
    const hora_objective *o = &a->m->opened.objective;
    hora_forward f = {.base = a->m->base,
                      .objective = o,
                      .adapters = a->m->adapters,
                      .nadapters = a->m->n,
                      .device = a->m->device};
    if (!b->b)
        return HORA_OK;
    f.logits = hora_malloc((size_t)(b->b * o->classes) * sizeof *f.logits);
    const hora_status s = hora_forward_run(&f, b);
    for (int64_t i = 0; i < b->b && !s; i++) {
        const int64_t label = hora_images_label(a->set, which[i]);
        put_line(said(o, a->c, f.logits + i * o->classes, hora_images_name(a->set, which[i]),
                      label < 0 ? NULL : hora_images_class(a->set, label)));
    }
    hora_free(f.logits);
    return s;
}

static void say_bad(asking *a, int64_t i) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(hora_images_name(a->set, i)));
    hora_json_set(line, "error", hora_json_new_string(hora_errmsg()));
    put_line(line);
    a->bad++;
}

static hora_status ask_all(asking *a) {
    const int64_t n = hora_images_about(a->set)->samples, at_once = a->fixed ? a->c->batch_size : 1;
    int64_t *which = hora_malloc((size_t)at_once * sizeof *which);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < n && !s;) {
        hora_forward_batch b = {.b = 0};
        for (; i < n && b.b < at_once && !s; i++) {
            which[b.b] = i;
            s = append(a, &b, i);
            if (s && a->c->skip_bad) {
                say_bad(a, i);
                s = HORA_OK;
            }
        }
        if (!s)
            s = ask(a, &b, which);
        hora_forward_batch_release(&b);
    }
    hora_free(which);
    return s;
}

/* A picture file by itself. */
static hora_status ask_file(asking *a, const char *path) {
    const hora_image_options how = {.no_exif = !a->c->exif, .white = a->c->white};
    const hora_objective *o = &a->m->opened.objective;
    hora_forward_batch b = {.b = 0};
    hora_forward f = {.base = a->m->base,
                      .objective = o,
                      .adapters = a->m->adapters,
                      .nadapters = a->m->n,
                      .device = a->m->device};
    f.logits = hora_malloc((size_t)o->classes * sizeof *f.logits);
    hora_status s = hora_forward_images(&b, a->m->opened.processor, &path, 1, 1, &how);
    if (!s)
        s = hora_forward_run(&f, &b);
    if (!s)
        put_line(said(o, a->c, f.logits, path, NULL));
    hora_forward_batch_release(&b);
    hora_free(f.logits);
    return s;
}

static hora_status ask_path(asking *a, const char *path) {
    const hora_images_config ic = {.skip_bad = a->c->skip_bad,
                                   .decode = {.no_exif = !a->c->exif, .white = a->c->white}};
    hora_images *set = NULL;
    if (!hora_path_is_dir(path) && hora_image_name_kind(path) != HORA_IMAGE_NAME_NONE)
        return ask_file(a, path);
    HORA_TRY(hora_images_open(&set, path, &ic));
    a->set = set;
    const hora_status s = ask_all(a);
    hora_images_close(set);
    return s;
}

static hora_status pictures(hora_model *m, const config *c, const hora_cli *cli) {
    asking a = {.m = m, .c = c};
    int64_t width, height;
    if (m->base->vision->frames > 1)
        return hora_fail(HORA_EUNSUPPORTED, "%s: a model of clips; hora forward takes their frames",
                         m->base->dir);
    HORA_TRY(hora_open_pictures(&m->opened, NULL));
    a.fixed = hora_image_processor_fixed(m->opened.processor, &width, &height);
    for (int i = 0; i < cli->nrest; i++)
        HORA_TRY(ask_path(&a, cli->rest[i]));
    if (a.bad)
        hora_warn("files that could not be read: %lld", (long long)a.bad);
    return HORA_OK;
}

static hora_status run(hora_cli *cli) {
    hora_model *m = NULL;
    config c = {0};
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&options, &c, &cli->settings));
    if (!cli->nrest) {
        s = hora_fail(HORA_EUSAGE, "no file; give pictures or folders of them");
        goto out;
    }
    HORA_TRY_OUT(s, hora_cli_open(&m, &cli->settings));
    s = m->base->vision ? pictures(m, &c, cli)
                        : hora_fail(HORA_EUNSUPPORTED,
                                    "%s reads text; predict answers for pictures only so far, use "
                                    "hora eval or hora forward",
                                    m->base->dir);
out:
    hora_model_close(m);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_predict = {
    .name = "predict",
    .summary = "What a classifier says of pictures, a line of JSON for each",
    .usage = "--model DIR [--adapter DIR] FILE|DIR.. [--top-k K] [--skip-bad]",
    .more =
        "A line has file, label, score, and top, the likeliest classes. Scores are shares of one\n"
        "class among all; of several at once each by itself; of numbers the numbers themselves.\n"
        "Pictures in a folder for each class have `true` too: hora eval --predictions reads that.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .most = 100000,
    .run = run};
