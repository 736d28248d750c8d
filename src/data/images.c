/*
 * Picture sets: which kind a path is, labels by name, samples. image_survey.c looks at all of them.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/threads.h"
#include "data/images_impl.h"

#define IMAGES(name) extern const hora_images_kind hora_images_kind_##name;
#include "data/images.def"
#undef IMAGES

static const hora_images_kind *const kinds[] = {
#define IMAGES(name) &hora_images_kind_##name,
#include "data/images.def"
#undef IMAGES
};

/* --- for the kinds ---------------------------------------------------------------------------- */

void hora_images_add(hora_images *s, const char *name, const char *label, int64_t file, size_t at,
                     size_t n) {
    hora_images_item item = {.name = hora_strdup(name),
                             .label = label ? hora_strdup(label) : NULL,
                             .number = -1,
                             .file = file,
                             .at = at,
                             .n = n};
    HORA_PUSH(s->items, s->n, s->cap, item);
}

void hora_images_add_mask(hora_images *s, const char *path) {
    s->items[s->n - 1].mask = hora_strdup(path);
}

hora_status hora_images_read_parts(hora_images *s, const char *dir) {
    char *path = hora_path_join(dir, "classes.txt");
    hora_str text = {0};
    size_t bad;
    hora_status st = hora_path_exists(path) ? hora_file_read(&text, path) : HORA_OK;
    if (!st && text.n && !hora_utf8_valid(text.s, text.n, &bad))
        st = hora_fail(HORA_EFORMAT, "%s: no UTF-8; write a name on each line", path);
    for (const char *at = text.s; !st && at && *at;) {
        const size_t n = strcspn(at, "\r\n");
        char *name = hora_strndup(at, n);
        for (size_t i = 0; i < s->nparts && !st; i++)
            if (!n || hora_eq(s->parts[i], name))
                st = hora_fail(HORA_EFORMAT,
                               "%s: line %zu is empty or stands there twice; a name on each line, "
                               "the first for class 0",
                               path, s->nparts + 1);
        HORA_PUSH(s->parts, s->nparts, s->cparts, name);
        at += n + strspn(at + n, "\r") + (at[n + strspn(at + n, "\r")] == '\n');
    }
    if (!st && s->nparts > HORA_IMAGES_NO_CLASS)
        st = hora_fail(HORA_EFORMAT, "%s: %zu names, but a mask tells 255 classes apart", path,
                       s->nparts);
    hora_str_release(&text);
    hora_free(path);
    return st;
}

void hora_images_declare(hora_images *s, const char *name) {
    char *own = hora_strdup(name);
    HORA_PUSH(s->classes, s->nclasses, s->cclasses, own);
}

bool hora_images_hidden(const char *name) {
    static const char *const made_by_systems[] = {"__MACOSX", "@eaDir", "$RECYCLE.BIN"};
    for (size_t i = 0; i < HORA_COUNT(made_by_systems); i++)
        if (!strcmp(name, made_by_systems[i]))
            return true;
    return name[0] == '.';
}

bool hora_images_take(hora_images *s, const char *name) {
    hora_image_name kind = hora_image_name_kind(name);
    if (hora_images_hidden(name))
        s->info.hidden++;
    else if (kind == HORA_IMAGE_NAME_OTHER)
        s->info.other_formats++;
    else if (kind == HORA_IMAGE_NAME_NONE)
        s->info.not_pictures++;
    else
        return true;
    return false;
}

/* --- labels ----------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

#define MOST_CLASSES 1000000
#define OUTSIDE      INT64_MAX

/*
 * A number as it is written for a class: no sign, no zero in front; -1: a name. OUTSIDE: a number
 * that no class has, below 0 (in test sets "no label") or beyond reason.
 */
static int64_t class_number(const char *text) {
    const char *digits = text + (text[0] == '-');
    const size_t n = strlen(digits);
    int64_t v = 0;
    if (!n || strspn(digits, "0123456789") != n || (digits[0] == '0' && n > 1))
        return -1;
    for (size_t i = 0; i < n && v <= MOST_CLASSES; i++)
        v = v * 10 + (digits[i] - '0');
    return digits != text || v > MOST_CLASSES ? OUTSIDE : v;
}

/* Are all labels numbers? *most is the largest that a class can have; -1: there is none. */
static bool all_numbers(const hora_images *s, int64_t *most) {
    bool any = false;
    *most = -1;
    for (size_t i = 0; i < s->n; i++) {
        int64_t v = s->items[i].label ? class_number(s->items[i].label) : OUTSIDE;
        if (v < 0)
            return false;
        any |= s->items[i].label != NULL;
        *most = v == OUTSIDE ? *most : hora_max(*most, v);
    }
    return any && !s->names_only && s->nclasses == 0;
}

/*
 * The set's own classes: declared ones and those of the samples, each once. Of numbers those that
 * no class has stay out, so that their samples are of an unknown class.
 */
static hora_status own_classes(hora_images *s) {
    int64_t most;
    if (all_numbers(s, &most)) {
        if (most < 0)
            return hora_fail(HORA_EFORMAT,
                             "%s: no label is a class: they are numbers below 0 or beyond %d; "
                             "write names, or numbers from 0",
                             s->path, MOST_CLASSES);
        for (int64_t i = 0; i <= most; i++) {
            char text[24];
            hora_snprintf(text, sizeof text, "%lld", (long long)i);
            hora_images_declare(s, text);
        }
        return HORA_OK;
    }
    for (size_t i = 0; i < s->n; i++) {
        const char *label = s->items[i].label;
        const bool below = !s->names_only && label && label[0] == '-';
        if (label && !(below && class_number(label) == OUTSIDE))
            hora_images_declare(s, label);
    }
    if (s->nclasses)
        qsort(s->classes, s->nclasses, sizeof *s->classes, by_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < s->nclasses; i++)
        if (kept && !strcmp(s->classes[kept - 1], s->classes[i]))
            hora_free(s->classes[i]);
        else
            s->classes[kept++] = s->classes[i];
    s->nclasses = kept;
    return HORA_OK;
}

/* Names with their places, sorted by name. */
typedef struct place {
    const char *name;
    int64_t at;
} place;
static int by_name(const void *a, const void *b) {
    return strcmp(((const place *)a)->name, ((const place *)b)->name);
}

/* Numbers of names that are no numbers themselves may be given as numbers. */
static int64_t find(const place *places, size_t n, const char *label, bool numbers) {
    const place *p =
        n ? bsearch(&(place){.name = label}, places, n, sizeof *places, by_name) : NULL;
    if (p)
        return p->at;
    int64_t v = numbers ? class_number(label) : -1;
    return v < (int64_t)n ? v : -1;
}

/* Says which classes the list lacks; with skip_bad they are counted. */
static hora_status refuse_unknown(hora_images *s) {
    hora_str names = {0};
    const char *last = NULL;
    int64_t shown = 0;
    for (size_t i = 0; i < s->n; i++) {
        const hora_images_item *it = &s->items[i];
        if (!it->label || it->number >= 0)
            continue;
        s->info.unknown++;
        if (!s->cfg.skip_bad && shown < 5 && !hora_eq(last, it->label)) {
            hora_str_printf(&names, "%s`%.60s`", shown++ ? ", " : "", it->label);
            last = it->label;
        }
    }
    hora_status st = HORA_OK;
    if (s->info.unknown && !s->cfg.skip_bad)
        st =
            hora_fail(HORA_EMISMATCH,
                      "%s: %lld samples are of classes that are not among the %lld to choose from: "
                      "%s; rename the classes, or leave them out with skip_bad",
                      s->path, (long long)s->info.unknown, (long long)s->nclasses, names.s);
    hora_str_release(&names);
    return st;
}

static hora_status number_labels(hora_images *s) {
    place *places = hora_calloc(s->nclasses, sizeof *places);
    bool numbers = !s->names_only;
    hora_status st = HORA_OK;
    for (size_t i = 0; i < s->nclasses; i++) {
        places[i] = (place){s->classes[i], (int64_t)i};
        numbers = numbers && class_number(s->classes[i]) < 0;
    }
    if (s->nclasses)
        qsort(places, s->nclasses, sizeof *places, by_name);
    for (size_t i = 1; i < s->nclasses && st == HORA_OK; i++)
        if (!strcmp(places[i - 1].name, places[i].name))
            st = hora_fail(HORA_EMISMATCH,
                           "two classes are called `%.60s`: names cannot choose between them; give "
                           "each class a name of its own",
                           places[i].name);
    for (size_t i = 0; i < s->n && st == HORA_OK; i++)
        if (s->items[i].label)
            s->items[i].number = find(places, s->nclasses, s->items[i].label, numbers);
    hora_free(places);
    return st == HORA_OK ? refuse_unknown(s) : st;
}

static void item_release(hora_images_item *it) {
    hora_free(it->name);
    hora_free(it->label);
    hora_free(it->mask);
}

/* Samples that had a label and got no number go; the rest is counted by class. */
static void settle(hora_images *s) {
    size_t kept = 0;
    s->counts = hora_calloc(s->nclasses, sizeof *s->counts);
    for (size_t i = 0; i < s->n; i++) {
        hora_images_item *it = &s->items[i];
        if (it->label && it->number < 0) {
            item_release(it);
            continue;
        }
        hora_free(it->label);
        it->label = NULL;
        if (it->number >= 0)
            s->counts[it->number]++;
        s->items[kept++] = *it;
    }
    s->n = kept;
    s->info.samples = (int64_t)s->n;
    s->info.classes = (int64_t)s->nclasses;
    for (size_t i = 0; i < s->nclasses; i++)
        s->info.empty_classes += s->counts[i] == 0;
}

/* Where others have a class, samples without are refused, or left out and counted. */
static hora_status drop_unlabelled(hora_images *s, size_t labelled) {
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        hora_images_item *it = &s->items[i];
        if (it->label) {
            s->items[kept++] = *it;
        } else if (s->cfg.skip_bad) {
            s->info.unlabelled++;
            item_release(it);
        } else {
            return hora_fail(HORA_EFORMAT,
                             "%s has no label, %zu of %zu samples have; give it one, or leave it "
                             "out with skip_bad",
                             it->name, labelled, s->n);
        }
    }
    s->n = kept;
    return HORA_OK;
}

/* A label is text that can be shown, and where one sample has a label all have. */
static hora_status check_labels(hora_images *s) {
    size_t said = 0, bad;
    for (size_t i = 0; i < s->n; i++) {
        const char *label = s->items[i].label;
        said += label != NULL;
        if (label && !hora_utf8_valid(label, strlen(label), &bad))
            return hora_fail(HORA_EFORMAT, "%s: the name of its class is not UTF-8; rename it",
                             s->items[i].name);
    }
    return said && said < s->n && !s->cfg.partial ? drop_unlabelled(s, said) : HORA_OK;
}

static uint64_t hash_text(const char *text, uint64_t seed) {
    return hora_hash64(text, strlen(text) + 1, seed);
}

/* Names without the path of the set, or, in a list, of its folder: it may be moved. */
static uint64_t fingerprint(const hora_images *s) {
    char *dir = hora_path_dir(s->path);
    uint64_t h = hash_text(s->kind->name, 0);
    for (size_t i = 0; i < s->n; i++) {
        const hora_images_item *it = &s->items[i];
        const char *known = hora_starts(it->name, s->path) ? s->path : dir;
        int64_t size = it->file < 0 ? hora_file_size(it->name) : (int64_t)it->n;
        h = hash_text(it->name + (hora_starts(it->name, known) ? strlen(known) : 0), h);
        h = hash_text(it->number < 0 ? "" : s->classes[it->number], h);
        h = hora_hash64(&size, sizeof size, h);
        size = it->mask ? hora_file_size(it->mask) : 0;
        h = it->mask ? hora_hash64(&size, sizeof size, h) : h;
    }
    hora_free(dir);
    return h;
}

static hora_status label_all(hora_images *s) {
    HORA_TRY(check_labels(s));
    if (!s->cfg.labels) {
        HORA_TRY(own_classes(s));
    } else {
        for (size_t i = 0; i < s->nclasses; i++)
            hora_free(s->classes[i]);
        s->nclasses = 0;
        for (int64_t i = 0; i < s->cfg.nlabels; i++)
            hora_images_declare(s, s->cfg.labels[i]);
    }
    HORA_TRY(number_labels(s));
    settle(s);
    s->info.hash = fingerprint(s);
    return HORA_OK;
}

/* --- a set ------------------------------------------------------------------------------------ */

bool hora_images_is_container(const char *path) {
    static const char *const others[] = {".bin", "-ubyte"};
    if (hora_path_is_dir(path))
        return false;
    for (size_t i = 0; i < HORA_COUNT(kinds); i++)
        if (kinds[i]->container && kinds[i]->is(path))
            return true;
    return hora_images_other_archive(path) || hora_images_ending(path, others, HORA_COUNT(others));
}

static hora_status open_set(hora_images *s) {
    if (!hora_path_exists(s->path))
        return hora_fail(HORA_ENOTFOUND,
                         "%s: there is nothing; give a folder, list or archive of pictures",
                         s->path);
    for (size_t i = 0; i < HORA_COUNT(kinds) && !s->kind; i++)
        if (kinds[i]->is(s->path))
            s->kind = kinds[i];
    if (!s->kind && (hora_images_compressed(s->path) || hora_images_compressed_otherwise(s->path) ||
                     hora_images_other_archive(s->path)))
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: this kind of packed file is not read; unpack it and give what comes "
                         "out",
                         s->path);
    if (!s->kind)
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: this is no set of pictures; give a folder of class folders, a "
                         ".jsonl, .csv or .tsv list, a .tar (.tar.gz, .tar.zst), or MNIST's or "
                         "CIFAR's files",
                         s->path);
    s->info.kind = s->kind->name;
    HORA_TRY(s->kind->list(s));
    if (!s->n)
        return hora_fail(
            HORA_ENOTFOUND,
            "%s: no picture was found (left out: %lld by their endings, %lld of other "
            "formats, %lld hidden, %lld classes of no picture, %lld links); pictures are JPEG, "
            "PNG, WebP, PPM or PGM, and what is packed within is unpacked first",
            s->path, (long long)s->info.not_pictures, (long long)s->info.other_formats,
            (long long)s->info.hidden, (long long)s->info.alone, (long long)s->info.links);
    return label_all(s);
}

void hora_images_say_left_out(const hora_images *s) {
    const struct {
        int64_t n;
        const char *what;
    } out[] = {{s->info.missing, "records whose picture or mask is not there"},
               {s->info.unknown, "samples of classes that are not to choose from"},
               {s->info.unlabelled, "samples without a class, which others have"},
               {s->info.other_formats, "pictures of formats that are not read"},
               {s->info.alone, "classes of no picture (no picture of that name in the archive)"},
               {s->info.links, "links in the archive, which hold nothing of their own"},
               {s->info.beside, "pictures beside the class folders, or a sample's second"}};
    for (size_t k = 0; k < HORA_COUNT(out); k++)
        if (out[k].n)
            hora_warn("%s: %s, left out: %lld", s->path, out[k].what, (long long)out[k].n);
}

hora_status hora_images_open(hora_images **out, const char *path, const hora_images_config *cfg) {
    hora_images *s = hora_calloc(1, sizeof *s);
    *out = NULL;
    s->path = hora_strdup(path);
    if (cfg)
        s->cfg = *cfg;
    hora_status st = open_set(s);
    s->cfg.labels = NULL; /* the caller's, for the time of the call */
    if (st == HORA_OK)
        *out = s;
    else
        hora_images_close(s);
    return st;
}

void hora_images_close(hora_images *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        item_release(&s->items[i]);
    for (size_t i = 0; i < s->nclasses; i++)
        hora_free(s->classes[i]);
    for (size_t i = 0; i < s->nparts; i++)
        hora_free(s->parts[i]);
    hora_free(s->parts);
    for (size_t i = 0; i < s->nfiles; i++)
        hora_images_file_release(&s->files[i]);
    hora_free(s->items);
    hora_free(s->classes);
    hora_free(s->counts);
    hora_free(s->files);
    hora_free(s->path);
    hora_free(s);
}

const hora_images_info *hora_images_about(const hora_images *s) {
    return &s->info;
}

const char *hora_images_class(const hora_images *s, int64_t label) {
    return s->classes[label];
}

int64_t hora_images_class_count(const hora_images *s, int64_t label) {
    return s->counts[label];
}

int64_t hora_images_label(const hora_images *s, int64_t i) {
    return s->items[i].number;
}

const char *hora_images_name(const hora_images *s, int64_t i) {
    return s->items[i].name;
}

const char *hora_images_mask(const hora_images *s, int64_t i) {
    return s->items[i].mask;
}

const char *hora_images_part(const hora_images *s, int64_t k) {
    return k < (int64_t)s->nparts ? s->parts[k] : NULL;
}

hora_status hora_images_need_masks(const hora_images *s) {
    for (size_t i = 0; i < s->n; i++)
        if (!s->items[i].mask)
            return hora_fail(HORA_EUSAGE,
                             "%s: %s has no mask; give a folder with images/ and masks/, or a list "
                             "with the columns image and mask",
                             s->path, s->items[i].name);
    return HORA_OK;
}

hora_status hora_images_count_parts(const hora_images *s, const int64_t with[256], int *n) {
    *n = 0;
    for (int c = 0; c < HORA_IMAGES_NO_CLASS; c++)
        *n = with[c] || hora_images_part(s, c) ? c + 1 : *n;
    return *n == 1 && with[HORA_IMAGES_NO_CLASS]
               ? hora_fail(HORA_EFORMAT,
                           "%s: the masks hold 0 and 255 alone, and 255 does not count; write 1 "
                           "for the second class",
                           s->path)
               : HORA_OK;
}

hora_status hora_images_read_mask(const hora_images *s, int64_t i, int64_t width, int64_t height,
                                  hora_image *out) {
    const hora_images_item *it = &s->items[i];
    const hora_image_options how = {.mask = true, .no_exif = true};
    HORA_TRY(hora_image_load(out, it->mask, &how, NULL));
    if (out->width == width && out->height == height)
        return HORA_OK;
    const hora_status st = hora_fail(
        HORA_ESHAPE,
        "%s: the mask is %lld x %lld, its picture %s %lld x %lld; make them alike, or leave such "
        "pictures out with skip_bad",
        it->mask, (long long)out->width, (long long)out->height, it->name, (long long)width,
        (long long)height);
    hora_image_release(out);
    return st;
}

hora_status hora_images_read(const hora_images *s, int64_t i, hora_image *out,
                             hora_image_info *info) {
    const hora_images_item *it = &s->items[i];
    if (it->file < 0)
        return hora_image_load(out, it->name, &s->cfg.decode, info);
    const unsigned char *p = s->files[it->file].data + it->at;
    if (!s->kind->raw)
        return hora_image_decode(out, p, it->n, it->name, &s->cfg.decode, info);
    HORA_TRY(hora_image_init(out, s->width, s->height, 3));
    hora_status st = s->kind->raw(s, p, out);
    uint8_t brightest = 0;
    for (size_t k = 0; k < hora_image_bytes(out); k++)
        brightest = out->px[k] > brightest ? out->px[k] : brightest;
    if (info)
        *info = (hora_image_info){.format = s->info.kind,
                                  .width = s->width,
                                  .height = s->height,
                                  .orientation = 1,
                                  .brightest = brightest};
    return st;
}

hora_status hora_images_screen(hora_images *s, const hora_images_survey *v) {
    if (v->nbad && !s->cfg.skip_bad)
        return hora_fail(HORA_EFORMAT,
                         "%s (%lld of %lld pictures are unreadable; skip_bad leaves them out)",
                         v->bad[0].why, (long long)v->nbad, (long long)s->n);
    if (v->nbad == (int64_t)s->n)
        return hora_fail(HORA_EFORMAT, "%s: none of the %lld pictures is readable, the first: %s",
                         s->path, (long long)s->n, v->bad[0].why);
    size_t kept = 0;
    int64_t next = 0;
    for (size_t i = 0; i < s->n; i++) {
        hora_images_item *it = &s->items[i];
        if (next < v->nbad && v->bad[next].index == (int64_t)i) {
            next++;
            if (it->number >= 0)
                s->info.empty_classes += --s->counts[it->number] == 0;
            item_release(it);
        } else {
            s->items[kept++] = *it;
        }
    }
    s->n = kept;
    s->info.samples = (int64_t)kept;
    s->info.hash = fingerprint(s);
    return HORA_OK;
}
