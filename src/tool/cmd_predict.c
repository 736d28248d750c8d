/* hora predict: what a model says of files, one line of JSON for each. */
#include <math.h>
#include <stdlib.h>

#include "api/handles.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "data/clips.h"
#include "data/images.h"
#include "infer/forward.h"
#include "task/embed.h"
#include "tool/overlay.h"
#include "tool/tool.h"

typedef struct config {
    int64_t top_k, batch_size;
    bool skip_bad, exif, white;
    char *overlays;
} config;
#define OPT_OF config
static const hora_option rows[] = {
    OPT_INT(top_k, "top_k", NULL, "5", 1, 1 << 24, "classes that are named, the likeliest first"),
    OPT_INT(batch_size, "batch_size", NULL, "8", 1, 4096, "files at a time"),
    OPT_BOOL(skip_bad, "skip_bad", NULL, "false",
             "say of an unreadable file that it is one, and go on"),
    OPT_BOOL(exif, "exif", NULL, "true", "turn pictures as their EXIF says"),
    OPT_BOOL(white, "white", NULL, "false", "lay transparent pixels on white"),
    OPT_STRING(overlays, "overlays", NULL, NULL, "DIR",
               "segment: new folder for maps of classes and pictures with these over them"),
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

/* Numbers are `pred`: one, or a list. */
static void put_numbers(const hora_objective *o, const float *z, hora_json *line) {
    hora_json *list = o->classes == 1 ? NULL : hora_json_new_array();
    for (int64_t i = 0; i < o->classes; i++) {
        hora_json *v = hora_json_new_real((double)z[i]);
        if (!list)
            hora_json_set(line, "pred", v);
        else
            hora_json_push(list, v);
    }
    if (list)
        hora_json_set(line, "pred", list);
}

/* What the head says, appended to a line. */
static void say(const hora_objective *o, const config *c, const float *z, hora_json *line) {
    if (o->loss == HORA_LOSS_MSE)
        put_numbers(o, z, line);
    ranked *r = hora_malloc((size_t)o->classes * sizeof *r);
    scores(o, z, r);
    hora_json_set(line, "label", name_of(o, r[0].at));
    hora_json_set(line, "score", hora_json_new_real(r[0].score));
    hora_json *top = hora_json_set(line, "top", hora_json_new_array());
    for (int64_t i = 0; i < hora_min(c->top_k, o->classes); i++) {
        hora_json *e = hora_json_push(top, hora_json_new_object());
        hora_json_set(e, "label", name_of(o, r[i].at));
        hora_json_set(e, "score", hora_json_new_real(r[i].score));
    }
    if (o->loss == HORA_LOSS_BCE) {
        hora_json *on = hora_json_set(line, "labels", hora_json_new_array());
        for (int64_t i = 0; i < o->classes; i++)
            if (z[i] > 0)
                hora_json_push(on, name_of(o, i));
    }
    hora_free(r);
}

static hora_json *said(const hora_objective *o, const config *c, const float *z, const char *file,
                       const char *truth) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
    if (truth)
        hora_json_set(line, "true", hora_json_new_string(truth));
    say(o, c, z, line);
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
    hora_cli_overlay over; /* of task segment */
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

/* What is said of the pixels of a picture. */
static hora_status draw(asking *a, const float *z, const hora_image *im, const char *file) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
    const hora_status s = hora_cli_overlay_put(&a->over, z, im, file, line);
    if (s)
        hora_json_free(line);
    else
        put_line(line);
    return s;
}

static hora_status draw_of_set(asking *a, const float *z, int64_t i) {
    hora_image im;
    HORA_TRY(hora_images_read(a->set, i, &im, NULL));
    const hora_status s = draw(a, z, &im, hora_images_name(a->set, i));
    hora_image_release(&im);
    return s;
}

static hora_status draw_file(asking *a, const float *z, const char *path,
                             const hora_image_options *how) {
    hora_image im;
    HORA_TRY(hora_image_load(&im, path, how, NULL));
    const hora_status s = draw(a, z, &im, path);
    hora_image_release(&im);
    return s;
}

static hora_status ask(asking *a, const hora_forward_batch *b, const int64_t *which) {
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
        if (o->task->labels == HORA_LABELS_PIXELS)
            s = draw_of_set(a, f.logits + i * one, which[i]);
        else
            put_line(said(o, a->c, f.logits + i * o->classes, hora_images_name(a->set, which[i]),
                          label < 0 ? NULL : hora_images_class(a->set, label)));
    }
    hora_free(f.logits);
    return s;
}

static void say_bad(asking *a, const char *file) {
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "file", hora_json_new_string(file));
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
                say_bad(a, hora_images_name(a->set, i));
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

/* A picture file, or the frames of a clip, by itself. */
static hora_status ask_one(asking *a, const char *const *paths, int64_t n, const char *name,
                           const char *truth) {
    const hora_image_options how = {.no_exif = !a->c->exif, .white = a->c->white};
    const hora_objective *o = &a->m->opened.objective;
    hora_forward_batch b = {.b = 0};
    hora_forward f = hora_model_forward(a->m);
    hora_status s = hora_forward_images(&b, a->m->opened.processor, paths, n, n, &how);
    if (!s)
        s = hora_forward_fit(&f, &b);
    if (!s) {
        const hora_shape shape = hora_forward_logits(&f, &b);
        f.logits = hora_malloc((size_t)hora_shape_elems(&shape) * sizeof *f.logits);
        s = hora_forward_run(&f, &b);
    }
    if (!s && o->task->labels == HORA_LABELS_PIXELS)
        s = draw_file(a, f.logits, name, &how);
    else if (!s)
        put_line(said(o, a->c, f.logits, name, truth));
    hora_forward_batch_release(&b);
    hora_free(f.logits);
    return s;
}

/* One clip of the set: the middles of as many parts as the model reads frames. */
static hora_status ask_clip(asking *a, const hora_clips *c, int64_t i) {
    const int64_t frames = a->m->base->vision->frames;
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
                                   .decode = {.no_exif = !a->c->exif, .white = a->c->white}};
    hora_images *set = NULL;
    if (a->m->base->vision->frames == 1 && !hora_path_is_dir(path) &&
        hora_image_name_kind(path) != HORA_IMAGE_NAME_NONE)
        return ask_one(a, &path, 1, path, NULL);
    HORA_TRY(hora_images_open(&set, path, &ic));
    a->set = set;
    const hora_status s = a->m->base->vision->frames > 1 ? ask_clips(a, path) : ask_all(a);
    hora_images_close(set);
    return s;
}

static hora_status pictures(hora_model *m, const config *c, const hora_cli *cli) {
    asking a = {.m = m, .c = c};
    int64_t width, height;
    HORA_TRY(hora_open_pictures(&m->opened, NULL));
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

/* --- texts ------------------------------------------------------------------------------------ */

typedef struct text { /* of a record, tokenised */
    int more;         /* texts of the same record that follow and are compared with this one */
    hora_ids ids, types;
    hora_ids first; /* of tagged words: the token that speaks for each, -1: cut off or nothing */
    hora_json *truth;
    int64_t line;
} text;

typedef struct reading {
    hora_model *m;
    const config *c;
    const hora_tokenizer *tok;
    hora_embedding how;
    int64_t most; /* tokens of a text */
    int32_t pad;
    text *at;
    int n, cap;
    int64_t cut, bad;
} reading;

static void drop_texts(reading *r, int from) {
    for (int i = from; i < r->n; i++) {
        hora_ids_release(&r->at[i].ids);
        hora_ids_release(&r->at[i].types);
        hora_ids_release(&r->at[i].first);
        hora_json_free(r->at[i].truth);
    }
    r->n = from;
}

/* Rectangular, padded behind. */
static void make_batch(const reading *r, hora_forward_batch *b) {
    *b = (hora_forward_batch){.b = r->n, .t = 1};
    for (int i = 0; i < r->n; i++)
        b->t = hora_max(b->t, (int64_t)r->at[i].ids.n);
    const size_t n = (size_t)(b->b * b->t);
    b->ids = hora_malloc(n * sizeof *b->ids);
    b->mask = hora_calloc(n, sizeof *b->mask);
    b->types = r->m->base->types > 1 ? hora_calloc(n, sizeof *b->types) : NULL;
    for (int64_t i = 0; i < b->b; i++)
        for (int64_t k = 0; k < b->t; k++) {
            const text *x = &r->at[i];
            const bool in = k < (int64_t)x->ids.n;
            b->ids[i * b->t + k] = in ? x->ids.at[k] : r->pad;
            b->mask[i * b->t + k] = in;
            if (b->types && in && k < (int64_t)x->types.n)
                b->types[i * b->t + k] = x->types.at[k];
        }
}

/* A tag for each word; one without a token is O, where there is such a class. */
static void put_tags(const hora_objective *o, const text *x, const float *z, hora_json *line) {
    hora_json *list = hora_json_set(line, "pred", hora_json_new_array());
    for (size_t i = 0; i < x->first.n; i++) {
        int64_t best = -1;
        for (int64_t c = 0; c < o->classes; c++) {
            if (x->first.at[i] < 0 && o->names && hora_eq(o->names[c], "O"))
                best = c;
            const float *row = z + hora_max(0, x->first.at[i]) * o->classes;
            if (x->first.at[i] >= 0 && (best < 0 || row[c] > row[best]))
                best = c;
        }
        hora_json_push(list, best < 0 ? hora_json_new_null() : name_of(o, best));
    }
}

static double cosine(const float *a, const float *b, int64_t d) {
    double aa = 0, bb = 0, ab = 0;
    for (int64_t k = 0; k < d; k++) {
        aa += (double)a[k] * (double)a[k];
        bb += (double)b[k] * (double)b[k];
        ab += (double)a[k] * (double)b[k];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

static void put_text(const reading *r, const hora_forward *f, const hora_forward_batch *b,
                     int64_t i) {
    const hora_objective *o = f->objective;
    const int64_t d = f->base->hidden;
    const text *x = &r->at[i];
    hora_json *line = hora_json_new_object();
    hora_json_set(line, "line", hora_json_new_int(x->line));
    if (x->truth)
        hora_json_set(line, "true", hora_json_copy(x->truth));
    if (o->task->body) {
        float *v = hora_malloc((size_t)((1 + x->more) * d) * sizeof *v);
        for (int64_t k = i; k <= i + x->more; k++)
            hora_embedding_run(&r->how, f->hidden + k * b->t * d, b->mask + k * b->t, b->t, d,
                               v + (k - i) * d);
        hora_json *list = x->more == 1 ? NULL : hora_json_new_array();
        for (int64_t k = 1; k <= x->more && list; k++)
            hora_json_push(list, hora_json_new_real(cosine(v, v + k * d, d)));
        for (int64_t k = 0; k < d && !x->more; k++)
            hora_json_push(list, hora_json_new_real((double)v[k]));
        hora_json_set(line, x->more ? "pred" : "embedding",
                      list ? list : hora_json_new_real(cosine(v, v + d, d)));
        hora_free(v);
    } else if (o->task->labels == HORA_LABELS_TAG) {
        put_tags(o, x, f->logits + i * b->t * o->classes, line);
    } else {
        say(o, r->c, f->logits + i * o->classes, line);
    }
    put_line(line);
}

static hora_status answer(reading *r) {
    hora_forward_batch b;
    hora_forward f = hora_model_forward(r->m);
    if (!r->n)
        return HORA_OK;
    make_batch(r, &b);
    const bool body = f.objective->task->body;
    const hora_shape h = hora_forward_hidden(&f, &b);
    const hora_shape z = body ? h : hora_forward_logits(&f, &b);
    float *out = hora_malloc((size_t)hora_shape_elems(&z) * sizeof *out);
    *(body ? &f.hidden : &f.logits) = out;
    const hora_status s = hora_forward_run(&f, &b);
    for (int64_t i = 0; i < b.b && !s; i += 1 + r->at[i].more)
        put_text(r, &f, &b, i);
    hora_free(out);
    hora_forward_batch_release(&b);
    drop_texts(r, 0);
    return s;
}

/* Words one by one, as they are trained: the first token of each speaks for it. */
static hora_status take_words(reading *r, const hora_json *words, text *x) {
    hora_ids bare = {0}, whole = {0};
    int64_t specials;
    HORA_TRY(hora_tokenizer_specials(r->tok, false, &specials));
    hora_status s = hora_tokenizer_encode(r->tok, "a", 1, false, &bare);
    if (!s)
        s = hora_tokenizer_encode(r->tok, "a", 1, true, &whole);
    size_t front = 0;
    while (!s && front < whole.n && bare.n && whole.at[front] != bare.at[0])
        front++;
    for (size_t k = 0; k < front && !s; k++)
        hora_ids_push(&x->ids, whole.at[k]);
    for (size_t i = 0; i < hora_json_len(words) && !s; i++) {
        size_t n;
        const char *w = hora_json_string(hora_json_at(words, i), &n);
        hora_ids one = {0};
        s = w ? hora_tokenizer_encode(r->tok, w, n, false, &one)
              : hora_fail(HORA_EFORMAT, "word %zu is no string; correct the record", i + 1);
        const int64_t room = r->most - (int64_t)(whole.n - bare.n - front) - (int64_t)x->ids.n;
        hora_ids_push(&x->first, one.n && room > 0 ? (int32_t)x->ids.n : -1);
        for (size_t k = 0; k < one.n && (int64_t)k < room; k++)
            hora_ids_push(&x->ids, one.at[k]);
        r->cut += (int64_t)one.n > room;
        hora_ids_release(&one);
    }
    for (size_t k = front + bare.n; k < whole.n && !s; k++)
        hora_ids_push(&x->ids, whole.at[k]);
    hora_ids_release(&bare);
    hora_ids_release(&whole);
    return s;
}

/* The first text of a record whose vectors are wanted, and the score of it and the second. */
static hora_status first_of_set(const hora_json *record, hora_text_pair *out, text *x) {
    hora_text_set t;
    HORA_TRY(hora_record_text_set(record, &t));
    *out = (hora_text_pair){.first = t.at[0], .nfirst = t.len[0]};
    if (t.score && !x->truth)
        x->truth = hora_json_copy(t.score);
    return HORA_OK;
}

static hora_status take_text(reading *r, const hora_json *record, text *x) {
    static const char *const truths[] = {"true", "label", "labels", "tags", "ner_tags"};
    const hora_json *words = hora_json_get(record, "tokens");
    const hora_json *truth = NULL;
    hora_text_pair pair;
    int64_t cut = 0;
    for (size_t i = 0; i < HORA_COUNT(truths) && !truth; i++)
        truth = hora_json_get(record, truths[i]);
    x->truth = truth ? hora_json_copy(truth) : NULL;
    words = words ? words : hora_json_get(record, "words");
    if (r->m->opened.objective.task->labels == HORA_LABELS_TAG && words)
        return take_words(r, words, x);
    if (r->m->opened.objective.task->body) /* each text has a vector of its own */
        HORA_TRY(first_of_set(record, &pair, x));
    else
        HORA_TRY(hora_record_texts(record, &pair));
    HORA_TRY(hora_tokenizer_encode_pair(r->tok, &pair, r->most, HORA_TRUNCATE_LONGEST, &x->ids,
                                        &x->types, &cut));
    r->cut += cut > 0;
    return x->ids.n ? HORA_OK
                    : hora_fail(HORA_EFORMAT, "the text is empty and the tokenizer adds nothing "
                                              "to it; fill it or remove the record");
}

/* The other texts of a record whose vectors are compared with that of its first, `at`. */
static hora_status take_others(reading *r, const hora_json *record, int at) {
    hora_text_set t;
    if (!r->m->opened.objective.task->body)
        return HORA_OK;
    HORA_TRY(hora_record_text_set(record, &t));
    for (int i = 1; i < t.n; i++) {
        const hora_text_pair alone = {.first = t.at[i], .nfirst = t.len[i]};
        text other = {.line = r->at[at].line};
        int64_t cut = 0;
        hora_status s = hora_tokenizer_encode_pair(r->tok, &alone, r->most, HORA_TRUNCATE_LONGEST,
                                                   &other.ids, &other.types, &cut);
        r->cut += cut > 0;
        HORA_PUSH(r->at, r->n, r->cap, other);
        r->at[at].more++;
        HORA_TRY(s);
    }
    return HORA_OK;
}

static hora_status take_record(void *arg, const hora_json *record, int64_t line) {
    reading *r = arg;
    text x = {.line = line};
    const int first = r->n;
    hora_status s = take_text(r, record, &x);
    HORA_PUSH(r->at, r->n, r->cap, x);
    if (!s)
        s = take_others(r, record, first);
    if (s) {
        drop_texts(r, first);
        if (!r->c->skip_bad)
            return s;
        HORA_TRY(answer(r)); /* lines stay in order */
        hora_json *o = hora_json_new_object();
        hora_json_set(o, "line", hora_json_new_int(line));
        hora_json_set(o, "error", hora_json_new_string(hora_errmsg()));
        put_line(o);
        r->bad++;
        return HORA_OK;
    }
    return r->n >= r->c->batch_size ? answer(r) : HORA_OK;
}

static hora_status texts(hora_model *m, const config *c, const hora_cli *cli) {
    reading r = {.m = m, .c = c, .pad = (int32_t)hora_max(0, m->opened.objective.pad)};
    const hora_objective *o = &m->opened.objective;
    if (!o->task->head && !o->task->body)
        return hora_fail(HORA_EUSAGE, "%s writes text; ask it with hora generate or hora chat",
                         m->base->dir);
    HORA_TRY(hora_open_tokenizer(&m->opened));
    HORA_TRY(hora_embedding_read(&r.how, m->base->dir));
    r.tok = m->opened.tokenizer;
    r.most = m->base->max_positions ? m->base->max_positions : 1 << 20;
    if (o->task->body && r.how.most > 0)
        r.most = hora_min(r.most, r.how.most);
    hora_status s = HORA_OK;
    for (int i = 0; i < cli->nrest && !s; i++) {
        s = hora_records_each(cli->rest[i], take_record, &r);
        if (!s)
            s = answer(&r);
    }
    drop_texts(&r, 0);
    hora_free(r.at);
    if (r.cut)
        hora_warn("texts that were cut to %lld tokens: %lld", (long long)r.most, (long long)r.cut);
    if (r.bad)
        hora_warn("records that could not be used: %lld", (long long)r.bad);
    return s;
}

static hora_status run(hora_cli *cli) {
    hora_model *m = NULL;
    config c = {0};
    hora_status s;
    HORA_TRY_OUT(s, hora_options_take(&options, &c, &cli->settings));
    if (!cli->nrest) {
        s = hora_fail(HORA_EUSAGE, "no file; give pictures or folders of them, or files of records "
                                   "with texts");
        goto out;
    }
    HORA_TRY_OUT(s, hora_cli_open(&m, &cli->settings));
    s = m->base->vision ? pictures(m, &c, cli) : texts(m, &c, cli);
out:
    hora_model_close(m);
    hora_options_release(&options, &c);
    return s;
}

const hora_command hora_command_predict = {
    .name = "predict",
    .summary = "What a model says of texts or pictures, a line of JSON for each",
    .usage = "--model DIR [--adapter DIR] FILE|DIR.. [--top-k K] [--skip-bad]",
    .more =
        "A line has file, label, score, and top, the likeliest classes. Scores are shares of one\n"
        "class among all; of several at once each by itself; of numbers the numbers themselves.\n"
        "Pictures in a folder for each class have `true` too: hora eval --predictions reads that.\n"
        "For a model of clips each folder that holds frames is one. Of task segment a line has\n"
        "`shares` of the classes, and with --overlays the files of map and picture.\n"
        "Texts and pairs come as records of JSONL, CSV or TSV, as in training, and have `line`;\n"
        "words get a tag each; an encoder without a head gives `embedding`, or of a pair the "
        "cosine\n"
        "as `pred` (of more texts a list: of each with the first): hora eval --predictions then "
        "has\nSpearman and Pearson against `score`.",
    .tables = {&hora_cli_source_options, &hora_model_options, &options},
    .most = 100000,
    .run = run};
