#ifndef HORA_DATA_IMAGE_LOADER_H
#define HORA_DATA_IMAGE_LOADER_H
/*
 * Samples of a picture set as a model reads them: decoded (or from the cache), augmented, as
 * values. A sample is a function of (seed, epoch, index); any number of threads may ask at once,
 * in any order. The cache keeps 8-bit pixels as long as they fit into its bytes: whole pictures
 * where random parts are taken, else resized ones; it never changes a value, only who computes it.
 */
#include "data/augment.h"
#include "data/images.h"

typedef struct hora_image_loader hora_image_loader;
typedef struct hora_image_loader_config {
    const hora_images *set; /* borrowed until the close */
    const hora_image_processor *processor;
    const hora_augment *augment; /* NULL: as in evaluation */
    uint64_t seed;
    int64_t cache; /* bytes at most; 0: none */
} hora_image_loader_config;

/* HORA_EUSAGE when the processor gives pictures sizes of their own, or augmentation is out of
 * range. */
hora_status hora_image_loader_open(hora_image_loader **out, const hora_image_loader_config *cfg);
void hora_image_loader_close(hora_image_loader *l); /* accepts NULL */
/* values (3, height, width) of sample `index`. The reader's failure, with the sample's name. */
hora_status hora_image_loader_get(hora_image_loader *l, int64_t epoch, int64_t index,
                                  float *values);
/* The same, changed as sample `draw` is: frames of a clip are changed alike. */
hora_status hora_image_loader_frame(hora_image_loader *l, int64_t epoch, int64_t draw,
                                    int64_t index, float *values);
/* The classes of its pixels, (height, width), as the picture's own draw moved them. The set has
 * masks. */
hora_status hora_image_loader_mask(hora_image_loader *l, int64_t epoch, int64_t index,
                                   uint8_t *classes);
/* batch (n, 3, height, width) of the samples index[0 .. n - 1], on the threads that hora_parallel
 * gives. The first failure in their order. */
hora_status hora_image_loader_fill(hora_image_loader *l, int64_t epoch, const int64_t *index,
                                   int64_t n, float *batch);
int64_t hora_image_loader_cached(hora_image_loader *l); /* bytes in the cache now */
#endif
