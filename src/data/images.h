#ifndef HORA_DATA_IMAGES_H
#define HORA_DATA_IMAGES_H
/*
 * Sets of labelled pictures, whatever they lie in:
 *
 *     folder   DIR/CLASS/../x.jpg          a folder for each class
 *     masks    DIR/images/x.jpg            beside DIR/masks/x.png: a class for each pixel
 *     list     x.jsonl, x.csv, x.tsv       a path and a label in each record
 *     tar      x.tar, also in .gz, .zst    key.jpg beside key.cls or key.json; else folders
 *     idx      train-images-idx3-ubyte     MNIST, also in .gz; the labels lie beside it
 *     cifar    data_batch_1.bin, train.bin CIFAR-10 and -100, binary
 *
 * A set is listed at open and not read; hora_images_read decodes one sample and may be called by
 * any number of threads. The order is that of the names' bytes (or the file's), so an index means
 * the same sample everywhere. A label is a NAME: what it is in the caller's list (the training
 * set's, a model's id2label), never its place among its neighbours. Nothing is dropped without a
 * count.
 */
#include "comm/comm.h"
#include "format/image.h"

typedef struct hora_images hora_images;

typedef struct hora_images_config {
    /* class names in order; NULL: the set's own, by bytes (numbers: by value, 0 .. the largest) */
    const char *const *labels;
    int64_t nlabels;
    /* samples of unknown classes, or of none where others have one, and missing files are left out
     * and counted */
    bool skip_bad;
    bool partial; /* samples without a class stay, though others have one */
    hora_image_options decode;
} hora_images_config;

typedef struct hora_images_info {
    const char *kind; /* "folder", "list", .. */
    int64_t samples, classes, empty_classes;
    uint64_t hash; /* of names, sizes and classes in order: is this the same set? */
    /* what was left out: */
    int64_t hidden;        /* files and folders whose names begin with a dot, and such */
    int64_t not_pictures;  /* by their endings */
    int64_t other_formats; /* gif, tiff, ..: pictures that are not read */
    int64_t beside;     /* pictures beside the class folders, second pictures of a tar's sample */
    int64_t alone;      /* classes that a tar says of no picture */
    int64_t links;      /* entries of a tar that are no files of their own */
    int64_t unlabelled; /* with skip_bad: samples without a class, where others have one */
    int64_t unknown;    /* with skip_bad: samples whose class is not in the caller's list */
    int64_t missing;    /* with skip_bad: records whose file is not there */
    int64_t bare;       /* folders within a class's that hold nothing that is read */
} hora_images_info;

/* cfg may be NULL. HORA_ENOTFOUND: no such path, no picture; HORA_EMISMATCH: classes that the list
 * does not have, by name; HORA_EFORMAT: a damaged container; HORA_EUSAGE: a folder of splits. */
hora_status hora_images_open(hora_images **out, const char *path, const hora_images_config *cfg);
void hora_images_close(hora_images *s); /* accepts NULL */
const hora_images_info *hora_images_about(const hora_images *s);
/* By its name: a file of many pictures (tar, idx, cifar), or an archive that is refused with the
 * reason; a list looks like one of texts and does not count. */
bool hora_images_is_container(const char *path);
/* Warns of what was left out and could have been meant: all but hidden and other endings. */
void hora_images_say_left_out(const hora_images *s);
const char *hora_images_class(const hora_images *s, int64_t label);
int64_t hora_images_class_count(const hora_images *s, int64_t label); /* samples; 0 where empty */
/* -1 where the set has no labels (a folder of pictures, a list without that column). */
int64_t hora_images_label(const hora_images *s, int64_t i);
/* Where it lies, for people and predictions: "DIR/cat/1.jpg", "x.tar: a/1.jpg", "x.bin: 17". */
const char *hora_images_name(const hora_images *s, int64_t i);
hora_status hora_images_read(const hora_images *s, int64_t i, hora_image *out,
                             hora_image_info *info);

/* Masks: grey or palette files whose levels or indices are the classes of the pixels, as large as
 * their pictures. 255 does not count. */
enum { HORA_IMAGES_NO_CLASS = 255 };
const char *hora_images_mask(const hora_images *s, int64_t i); /* its file; NULL: it has none */
/* One channel. HORA_ESHAPE for another size than width x height, of the picture. */
hora_status hora_images_read_mask(const hora_images *s, int64_t i, int64_t width, int64_t height,
                                  hora_image *out);
/* Name of the k-th class of pixels, of classes.txt; NULL: there is none such. */
const char *hora_images_part(const hora_images *s, int64_t k);
/* HORA_EUSAGE naming a picture that has no mask. */
hora_status hora_images_need_masks(const hora_images *s);
/* Classes of pixels: those that classes.txt names, or all up to the largest of which with[c] > 0
 * masks hold pixels. HORA_EFORMAT where they hold 0 and 255 alone. */
hora_status hora_images_count_parts(const hora_images *s, const int64_t with[256], int *n);

/* All samples decoded once, on all threads. */
typedef struct hora_images_bad {
    int64_t index;
    char *why; /* the reader's text, with the name */
} hora_images_bad;
typedef struct hora_images_survey {
    int64_t read, turned, alpha, grey16, animated;
    int64_t dark; /* no level above 7 of 255: 16 bits of which few are used, mostly */
    int64_t least_width, least_height, most_width, most_height; /* of those read */
    int64_t bytes; /* of all of them, decoded: what a cache of whole pictures takes */
    int64_t masks; /* of those read; with[c]: that hold class c */
    int64_t with[256];
    hora_images_bad *bad;
    int64_t nbad;
} hora_images_survey;
hora_status hora_images_look(const hora_images *s, hora_images_survey *out);
/* The same by several ranks, of which each looks at its share; comm: NULL: one alone. */
hora_status hora_images_look_together(const hora_images *s, hora_comm *comm,
                                      hora_images_survey *out);
void hora_images_survey_release(hora_images_survey *v);
/* Leaves the unreadable samples out; indices move up. Without skip_bad the first of them is the
 * failure. */
hora_status hora_images_screen(hora_images *s, const hora_images_survey *v);
#endif
