/*
 * A set of pictures as a data set: each is a sequence of its own, a segment of the model's pieces.
 * What is known of rows, order, labels and splits is the data set's; here are the pixels. A picture
 * is a function of (seed, epoch, number), so a run repeats to the bit for any number of threads.
 */
#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "data/clips.h"
#include "data/data_impl.h"
#include "data/image_loader.h"

struct hora_pictures {
    hora_images *set;
    hora_image_loader *plain, *changed; /* changed: as in training; may be plain */
    hora_image_processor processor;
    hora_augment augment, mixing;
    hora_vision vision;
    int32_t *pos;     /* of a segment */
    hora_clips clips; /* of a model that reads such; else n is 0 */
    int64_t *at;      /* per record: picture of the set, or clip */
    uint64_t seed;
    int64_t cache;         /* bytes of decoded pictures that will be kept */
    bool masked;           /* the class of each pixel is learned */
    int64_t with[256];     /* pictures whose masks hold the class */
    int32_t class_of[256]; /* of a mask's value; -1: it does not count */
};

void hora_pictures_release(hora_pictures *p) {
    if (!p)
        return;
    if (p->changed != p->plain)
        hora_image_loader_close(p->changed);
    hora_image_loader_close(p->plain);
    hora_images_close(p->set);
    hora_clips_release(&p->clips);
    hora_free(p->pos);
    hora_free(p->at);
    hora_free(p);
}

/* --- opening ---------------------------------------------------------------------------------- */

static hora_status open_set(hora_pictures *p, hora_comm *comm, const char *path,
                            const hora_data_config *c, hora_data_info *info) {
    const hora_images_config ic = {.skip_bad = c->skip_bad,
                                   .decode = {.no_exif = !c->exif, .white = c->white}};
    hora_images_survey v = {0};
    HORA_TRY(hora_images_open(&p->set, path, &ic));
    const hora_images_info *about = hora_images_about(p->set);
    hora_images_say_left_out(p->set);
    hora_status s = hora_images_look_together(p->set, comm, &v);
    if (!s && v.nbad && c->skip_bad)
        hora_warn("%s: pictures that were skipped: %lld; the first: %s", path, (long long)v.nbad,
                  v.bad[0].why);
    info->skipped = c->skip_bad ? v.nbad + about->missing + about->unknown + about->unlabelled : 0;
    p->cache = hora_min(c->image_cache, v.bytes + p->masked * v.bytes / 3);
    memcpy(p->with, v.with, sizeof p->with);
    if (!s)
        s = hora_images_screen(p->set, &v);
    hora_images_survey_release(&v);
    if (!s && p->masked)
        s = hora_images_need_masks(p->set);
    return s;
}

hora_augment hora_data_augment(const hora_data_config *c) {
    hora_augment a = c->augment;
    a.ops = (int)c->rand_augment;
    a.magnitude = a.ops ? (int)c->rand_magnitude : 0;
    a.crop_scale[0] = a.crop ? a.crop_scale[0] : 0;
    a.crop_scale[1] = a.crop ? 1 : 0;
    return a;
}

static hora_status open_loaders(hora_pictures *p, const hora_data_config *c) {
    static const hora_augment none = {0};
    p->augment = p->mixing = hora_data_augment(c);
    HORA_TRY(hora_augment_check(&p->mixing));
    p->augment.mixup = p->augment.cutmix = 0; /* of a batch, not of a picture */
    const bool changed = memcmp(&p->augment, &none, sizeof none) != 0;
    hora_image_loader_config lc = {.set = p->set,
                                   .processor = &p->processor,
                                   .seed = (uint64_t)c->seed,
                                   .cache = c->image_cache};
    HORA_TRY(hora_augment_check(&p->augment));
    HORA_TRY(hora_image_loader_open(&p->plain, &lc));
    p->changed = p->plain;
    if (!changed)
        return HORA_OK;
    lc.augment = &p->augment;
    p->changed = NULL;
    return hora_image_loader_open(&p->changed, &lc);
}

/* The classes of the set as labels, whole numbers as such. */
static void take_classes(hora_label_store *l, const hora_images *set) {
    const int64_t n = hora_images_about(set)->classes, samples = hora_images_about(set)->samples;
    int64_t number;
    l->table.style = HORA_LABEL_INTS;
    l->styled = l->seen = true;
    for (int64_t i = 0; i < n; i++) {
        const char *name = hora_images_class(set, i);
        if (!hora_parse_int(name, &number))
            l->table.style = HORA_LABEL_NAMES;
        HORA_PUSH(l->table.at, l->table.n, l->table.cap,
                  ((hora_label){hora_strdup(name), hora_images_class_count(set, i), i + 1, NULL}));
    }
    for (int64_t i = 0; i < samples; i++) { /* the first of each class says where it is */
        const int64_t k = hora_images_label(set, i);
        if (k >= 0 && !l->table.at[k].where)
            l->table.at[k].where = hora_strdup(hora_images_name(set, i));
    }
}

/* Those of the masks: their names, or numbers. */
static hora_status take_parts(hora_label_store *l, const hora_pictures *p) {
    int n;
    HORA_TRY(hora_images_count_parts(p->set, p->with, &n));
    l->table.style = hora_images_part(p->set, 0) ? HORA_LABEL_NAMES : HORA_LABEL_INTS;
    l->styled = l->seen = true;
    for (int c = 0; c < n; c++) {
        const char *name = hora_images_part(p->set, c);
        HORA_PUSH(l->table.at, l->table.n, l->table.cap,
                  ((hora_label){name ? hora_strdup(name) : hora_format("%d", c), p->with[c], c + 1,
                                hora_format("class %d of the masks", c)}));
    }
    return HORA_OK;
}

/* A record for each picture, in an order of the seed's, so that what is held out at the end is of
 * all classes. */
static hora_status take_records(hora_dataset *d, hora_pictures *p, const char *path) {
    hora_store *st = d->store;
    const bool clips = p->vision.frames > 1;
    const int64_t n = clips ? p->clips.n : hora_images_about(p->set)->samples;
    const int64_t rows = hora_vision_rows(&p->vision);
    p->at = hora_malloc((size_t)hora_max(n, 1) * sizeof *p->at);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = p->at[i] = hora_rng_permutation(d->seed, ~UINT64_C(0), n, i);
        const int64_t one = clips ? p->clips.frame[p->clips.first[k]] : k;
        const int64_t label = hora_images_label(p->set, one);
        if (label < 0 && !p->masked)
            return hora_fail(HORA_EUSAGE,
                             "%s: %s has no class; put pictures into a folder for each class, or "
                             "give a list with labels",
                             path, hora_images_name(p->set, one));
        hora_data_record r = {.line = k + 1, .record = i, .n = rows, .full = rows};
        r.labels = (hora_data_labels_at){st->labels.nids, !p->masked};
        if (!p->masked)
            HORA_PUSH(st->labels.ids, st->labels.nids, st->labels.cids, (int32_t)label);
        HORA_PUSH(st->records, st->nrecords, st->crecords, r);
    }
    return HORA_OK;
}

static uint64_t fingerprint(const hora_pictures *p, const hora_data_config *c) {
    const uint64_t parts[] = {hora_images_about(p->set)->hash,
                              hora_hash64(&p->processor, sizeof p->processor, 1),
                              hora_hash64(&p->mixing, sizeof p->mixing, 2),
                              hora_hash64(&p->vision, sizeof p->vision, 3),
                              (uint64_t)c->exif + 2 * (uint64_t)c->white,
                              hora_hash64(&c->eval_split, sizeof c->eval_split, 4)};
    return hora_hash64(parts, sizeof parts, 5);
}

static hora_status open_into(hora_dataset *d, hora_pictures *p, hora_comm *comm, const char *path,
                             const hora_data_config *c) {
    hora_store *st = d->store;
    const int64_t rows = hora_vision_rows(&p->vision);
    if (p->vision.frames > 1 && (c->augment.mixup > 0 || c->augment.cutmix > 0))
        return hora_fail(HORA_EUSAGE, "mixup and cutmix mix pictures, not clips; leave them out");
    p->masked = d->rule.labels == HORA_LABELS_PIXELS;
    if (p->masked && (p->vision.frames > 1 || c->rand_augment))
        return hora_fail(HORA_EUSAGE,
                         p->vision.frames > 1
                             ? "segment is for pictures, but the model reads clips; give another"
                             : "rand_augment turns and shears pictures, but not their masks; leave "
                               "it out (crop and flip move both)");
    HORA_TRY(open_set(p, comm, path, c, &d->info));
    if (p->vision.frames > 1)
        HORA_TRY(hora_clips_open(&p->clips, p->set, path, true));
    if (!c->augment.crop) /* kept as the model reads them */
        p->cache = hora_min(c->image_cache, hora_images_about(p->set)->samples * (3 + p->masked) *
                                                p->vision.height * p->vision.width);
    HORA_TRY(open_loaders(p, c));
    p->pos = hora_malloc((size_t)rows * sizeof *p->pos);
    for (int64_t i = 0; i < rows; i++)
        HORA_PUSH(st->tokens.ids.at, st->tokens.ids.n, st->tokens.ids.cap, 0);
    hora_vision_pattern(&p->vision, st->tokens.ids.at, p->pos);
    if (p->masked)
        HORA_TRY(take_parts(&st->labels, p));
    else
        take_classes(&st->labels, p->set);
    HORA_TRY(take_records(d, p, path));
    const hora_data_part part = {.path = hora_strdup(path),
                                 .times = 1,
                                 .end = st->nrecords,
                                 .records = (int64_t)st->nrecords,
                                 .hash = fingerprint(p, c)};
    HORA_PUSH(st->parts, st->nparts, st->cparts, part);
    d->info.samples = (int64_t)st->nrecords;
    hora_pack_begin(d);
    hora_pack_part(d, 0, 0, st->nrecords, 1);
    if (!d->nsequences)
        return hora_fail(HORA_EUSAGE, "%s: no picture can be used", path);
    d->info.hash = st->hash = fingerprint(p, c);
    return HORA_OK;
}

int64_t hora_pictures_slots(hora_pictures *p, hora_masked *pattern, int64_t slots) {
    const int64_t all = slots * (hora_vision_apart(&p->vision) ? p->vision.frames : 1);
    if (p->vision.slots == slots)
        return all;
    p->vision.slots = slots;
    const int64_t rows = hora_vision_rows(&p->vision);
    p->pos = hora_realloc(p->pos, (size_t)rows * sizeof *p->pos);
    pattern->ids.n = 0;
    for (int64_t i = 0; i < rows; i++)
        HORA_PUSH(pattern->ids.at, pattern->ids.n, pattern->ids.cap, 0);
    hora_vision_pattern(&p->vision, pattern->ids.at, p->pos);
    return all;
}

hora_status hora_pictures_open(hora_dataset **out, hora_comm *comm, const char *path,
                               const hora_image_processor *processor, const hora_vision *vision,
                               const hora_data_config *c, const hora_data_rule *rule) {
    *out = NULL;
    hora_dataset *d = hora_calloc(1, sizeof *d);
    d->store = hora_calloc(1, sizeof *d->store);
    d->store->refs = 1;
    d->seq_len = hora_vision_rows(vision);
    d->shuffle = c->shuffle;
    d->skip_bad = c->skip_bad;
    d->eval_split = c->eval_split;
    d->seed = (uint64_t)c->seed;
    d->bos = -1;
    d->rule = *rule;
    hora_pictures *p = d->store->pictures = hora_calloc(1, sizeof *p);
    p->processor = *processor;
    p->vision = *vision;
    p->seed = d->seed;
    hora_status s = open_into(d, p, comm, path, c);
    if (s)
        hora_dataset_close(d);
    else
        *out = d;
    return s;
}

/* --- filling ---------------------------------------------------------------------------------- */

typedef struct filling {
    const hora_dataset *d;
    hora_batch *b;
    int64_t first;
    bool eval;
    float *values;       /* of all pictures */
    uint8_t *masks;      /* likewise; NULL: none */
    hora_status *failed; /* per picture */
    char (*text)[512];
} filling;

/* Picture k of sample `sample`. */
static int64_t frame_of(const filling *f, int64_t sample, int64_t epoch, int64_t k) {
    const hora_pictures *p = f->d->store->pictures;
    const int64_t t = p->vision.frames;
    return t == 1 ? sample
                  : hora_clips_frame(&p->clips, sample, k, t,
                                     f->eval ? 0.5 : hora_clips_draw(p->seed, epoch, sample, k));
}

static void load_one(void *arg, int64_t i, int thread) {
    const filling *f = arg;
    const hora_pictures *p = f->d->store->pictures;
    const int64_t n = (int64_t)f->d->nsequences, at = f->first + i;
    const hora_data_sequence *r = hora_data_sequence_at(f->d, at, f->eval);
    (void)thread;
    const int64_t sample = p->at[f->d->segments[r->first].record], frames = p->vision.frames;
    const int64_t one = hora_vision_values(&p->vision) / frames;
    for (int64_t k = 0; k < frames && !f->failed[i]; k++)
        f->failed[i] = hora_image_loader_frame(f->eval ? p->plain : p->changed, at / n, sample,
                                               frame_of(f, sample, at / n, k),
                                               f->values + (i * frames + k) * one);
    if (!f->failed[i] && f->masks)
        f->failed[i] = hora_image_loader_mask(f->eval ? p->plain : p->changed, at / n, sample,
                                              f->masks + i * p->vision.height * p->vision.width);
    if (f->failed[i])
        hora_snprintf(f->text[i], sizeof f->text[i], "%s", hora_errmsg());
}

/* Classes of the pixels of picture i, piece by piece. */
static void cut_mask(const filling *f, int64_t i) {
    const hora_pictures *p = f->d->store->pictures;
    const hora_vision *v = &p->vision;
    const int64_t side = v->patch, rows = hora_vision_rows(v), wide = v->width / side;
    const int64_t one = side * side, lead = rows - v->height / side * wide;
    int32_t *to = f->b->pixels + i * rows * one;
    for (int64_t k = 0; k < rows * one; k++) {
        const int64_t piece = k / one - lead;
        const int64_t y = piece / wide * side + k % one / side, x = piece % wide * side + k % side;
        to[k] = piece < 0 ? -1 : p->class_of[f->masks[(i * v->height + y) * v->width + x]];
    }
}

static void cut_one(void *arg, int64_t i, int thread) {
    const filling *f = arg;
    const hora_pictures *p = f->d->store->pictures;
    const int64_t rows = hora_vision_rows(&p->vision);
    (void)thread;
    hora_vision_cut(&p->vision, f->values + i * hora_vision_values(&p->vision),
                    f->b->patch + i * rows * hora_vision_columns(&p->vision));
    memcpy(f->b->pos + i * rows, p->pos, (size_t)rows * sizeof *p->pos);
    hora_vision_ranges(&p->vision, i * rows, f->b->lo + i * rows, f->b->hi + i * rows);
    if (f->masks)
        cut_mask(f, i);
}

/* Pixels and shares of classes of sample i with those of n - 1 - i. */
static void mix(const filling *f, int64_t n) {
    const hora_pictures *p = f->d->store->pictures;
    const int64_t rows = hora_vision_rows(&p->vision), all = (int64_t)f->d->nsequences;
    const int64_t k = f->b->leaves.columns[HORA_LEAF_value];
    const hora_mix m = hora_augment_mix(&p->mixing, p->vision.height, p->vision.width, p->seed,
                                        f->first / all, f->first % all);
    if (f->eval || m.kind == HORA_MIX_NONE || !f->b->value)
        return;
    hora_mix_apply(&m, f->values, n, p->vision.height, p->vision.width);
    for (int64_t i = 0; i < n / 2; i++) {
        float *a = f->b->value + i * rows * k, *b = f->b->value + (n - 1 - i) * rows * k;
        for (int64_t j = 0; j < k; j++) {
            const float x = a[j], y = b[j], share = (float)m.lambda;
            a[j] = share * x + (1 - share) * y;
            b[j] = share * y + (1 - share) * x;
        }
    }
}

hora_status hora_pictures_fill(const hora_dataset *d, int64_t first, int64_t n, bool eval,
                               hora_batch *b) {
    const hora_pictures *p = d->store->pictures;
    filling f = {.d = d, .b = b, .first = first, .eval = eval};
    hora_status s = HORA_OK;
    f.values =
        hora_malloc((size_t)(hora_max(n, 1) * hora_vision_values(&p->vision)) * sizeof *f.values);
    if (b->pixels && p->masked)
        f.masks = hora_malloc((size_t)(hora_max(n, 1) * p->vision.height * p->vision.width));
    f.failed = hora_calloc((size_t)n + 1, sizeof *f.failed);
    f.text = hora_calloc((size_t)n + 1, sizeof *f.text);
    hora_parallel(n, load_one, &f);
    for (int64_t i = 0; i < n && !s; i++)
        if (f.failed[i])
            s = hora_fail(f.failed[i], "%s", f.text[i]);
    if (!s) {
        mix(&f, n);
        hora_parallel(n, cut_one, &f);
    }
    hora_free(f.values);
    hora_free(f.masks);
    hora_free(f.failed);
    hora_free(f.text);
    return s;
}

void hora_pictures_classes(hora_pictures *p, const int32_t *class_of, int n) {
    for (int c = 0; p && c < 256; c++)
        p->class_of[c] = c < n && c != HORA_IMAGES_NO_CLASS ? class_of[c] : -1;
}

uint64_t hora_pictures_bytes(const hora_pictures *p) {
    return p ? (uint64_t)p->cache : 0;
}
