#ifndef HORA_DATA_IMAGES_IMPL_H
#define HORA_DATA_IMAGES_IMPL_H
/*
 * Inside of picture sets: images.def and images_*.c list what a path holds, images.c owns the set,
 * turns label names into numbers and reads samples, image_survey.c looks at all of them.
 */
#include "base/file.h"
#include "data/images.h"

typedef struct hora_images_item {
    char *name;     /* owned: the path, or the name within the container */
    char *label;    /* owned; NULL: none; freed once it has its number */
    char *mask;     /* owned; file with the class of each pixel; NULL: none */
    int64_t number; /* of the class, -1: none */
    int64_t file;   /* index of the mapped container; -1: a file of its own */
    size_t at, n;   /* where its bytes lie in there */
} hora_images_item;

/* A container: mapped, or unpacked where it is compressed. */
typedef struct hora_images_file {
    const unsigned char *data;
    size_t n;
    char *path;
    hora_map map;
    hora_str own;
} hora_images_file;

typedef struct hora_images_kind {
    const char *name;
    bool (*is)(const char *path); /* asked in the order of images.def */
    bool container;               /* one file of many pictures */
    hora_status (*list)(hora_images *s);
    /* pictures that are no files, from their bytes; NULL: they are decoded */
    hora_status (*raw)(const hora_images *s, const unsigned char *p, hora_image *out);
} hora_images_kind;

struct hora_images {
    const hora_images_kind *kind;
    char *path; /* as given */
    hora_images_config cfg;
    hora_images_info info;
    hora_images_item *items;
    size_t n, cap;
    char **classes; /* owned; while listing: those that are declared, empty ones too */
    size_t nclasses, cclasses;
    int64_t *counts;         /* samples by class */
    bool names_only;         /* labels are never numbers: folders */
    hora_images_file *files; /* containers */
    size_t nfiles, cfiles;
    int64_t width, height, channels; /* of raw pictures */
    char **parts; /* owned; names of the classes of pixels; none: they are numbers */
    size_t nparts, cparts;
};

/* A sample; name and label (NULL: none) are copied. */
void hora_images_add(hora_images *s, const char *name, const char *label, int64_t file, size_t at,
                     size_t n);
/* The mask of the last sample; copied. */
void hora_images_add_mask(hora_images *s, const char *path);
/* Reads the names of the classes of pixels, a line each, from DIR/classes.txt where that is. */
hora_status hora_images_read_parts(hora_images *s, const char *dir);
/* A class that exists even without samples. */
void hora_images_declare(hora_images *s, const char *name);
/* Maps a container, or unpacks it into memory where it is gzip or Zstandard, and gives its
 * index. */
hora_status hora_images_map(hora_images *s, const char *path, int64_t *file);
void hora_images_file_release(hora_images_file *f);
/* The length of the one of the endings that path has; 0: none. */
size_t hora_images_ending(const char *path, const char *const *endings, size_t n);
/* That of ".gz" and such; 0: not compressed. The second: in a way that is not read. */
size_t hora_images_compressed(const char *path);
size_t hora_images_compressed_otherwise(const char *path);
bool hora_images_other_archive(const char *path); /* one that is not read, by its name */
/* Counts a file that is not taken by its name: hidden, no picture, a format that is not read. True:
 * it is to be taken. */
bool hora_images_take(hora_images *s, const char *name);
bool hora_images_hidden(const char *name);
#endif
