#ifndef HORA_DATA_IMAGE_PROCESSOR_H
#define HORA_DATA_IMAGE_PROCESSOR_H
/*
 * From a picture to what a model reads: resize, centre crop, then each level to a float. The rules
 * stand beside the weights and are obeyed as the library that wrote them computes them:
 *
 *     preprocessor_config.json     Hugging Face; the reference is transformers' PIL backend
 *     processor_config.json        the same under the key image_processor
 *     config.json with pretrained_cfg (or, older, its keys at the top)    timm's evaluation
 *
 * Both resize in 8 bits; the floats are functions of a channel's level, so they are a table. What
 * is missing takes the class's defaults; do_* keys that are null are off; unknown keys are
 * ignored. docs/formats/images.md has the table of classes.
 */
#include "base/json.h"
#include "data/pixels.h"

typedef enum {
    HORA_FIT_NONE,     /* as it is */
    HORA_FIT_EXACT,    /* to height x width, stretched */
    HORA_FIT_SHORTEST, /* the shorter edge to `shortest`, the longer cut to an integer */
    HORA_FIT_BETWEEN,  /* the same, but the longer edge at most `longest` */
    HORA_FIT_WITHIN,   /* as large as possible within height x width (max_height, max_width) */
    HORA_FIT_COVER,    /* timm: ratio kept, height x width covered, rounded to even */
    HORA_FIT_INSIDE    /* timm: ratio kept, inside of height x width, rounded to even */
} hora_image_fit;

typedef struct hora_image_processor {
    hora_image_fit fit;
    int64_t height, width, shortest, longest; /* what `fit` needs */
    hora_resample resample;
    bool crop; /* the middle crop_height x crop_width; where the picture is smaller: outside */
    int64_t crop_height, crop_width;
    bool crop_to_even; /* half a pixel: to even (torchvision), else to the upper left */
    uint8_t outside[3];
    int64_t pad_height, pad_width; /* zeros at the right and below, after everything; 0: none */
    float value[3][256];           /* (channel, level) */
} hora_image_processor;

/* The folder's files in the order above. HORA_ENOTFOUND when none says how pictures are prepared,
 * HORA_EUNSUPPORTED for a class or setting that is not known, by name; HORA_EFORMAT for values that
 * make no sense. */
hora_status hora_image_processor_load(hora_image_processor *p, const char *dir);
hora_status hora_image_processor_parse(hora_image_processor *p, const hora_json *root,
                                       const char *what);
hora_status hora_image_processor_parse_timm(hora_image_processor *p, const hora_json *config,
                                            const char *what);
/* A class's defaults: "ViT", "CLIP", "DeiT", "Bit", .. */
hora_status hora_image_processor_default(hora_image_processor *p, const char *name);

/* Sides of the result for a picture of width x height. */
void hora_image_processor_size(const hora_image_processor *p, int64_t width, int64_t height,
                               int64_t *out_width, int64_t *out_height);
/* Sides where every picture gets the same ones, which batches need; false otherwise. */
bool hora_image_processor_fixed(const hora_image_processor *p, int64_t *width, int64_t *height);
/* Resized and cropped, still 8 bits: what a cache holds and augmentation changes. */
hora_status hora_image_processor_fit(const hora_image_processor *p, const hora_image *im,
                                     hora_image *out);
/* out (3, out_height, out_width) from a picture of that size before padding. */
void hora_image_processor_values(const hora_image_processor *p, const hora_image *im, float *out,
                                 int64_t out_width, int64_t out_height);
/* Both: out has room for 3 x out_height x out_width of hora_image_processor_size. */
hora_status hora_image_processor_run(const hora_image_processor *p, const hora_image *im,
                                     float *out);
#endif
