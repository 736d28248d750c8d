#ifndef HORA_DATA_AUGMENT_H
#define HORA_DATA_AUGMENT_H
/*
 * Augmentation of pictures: everything is a function of (seed, epoch, index of the sample), so a
 * run repeats to the bit for any number of workers, and a sample can be drawn again for a contact
 * sheet. Each stage has a random stream of its own: switching one off leaves the others as they
 * were. What the stages compute is torchvision's on Pillow pictures (crop, flip, jitter,
 * RandAugment, erasing) and timm's pairing of a batch (mixup, cutmix); the draws are ours.
 * Sources: torchvision transforms/transforms.py, autoaugment.py, v2/_augment.py; Cubuk et al.,
 * RandAugment (2020); Zhong et al., Random Erasing (2020); Zhang et al., mixup (2018); Yun et al.,
 * CutMix (2019).
 */
#include "data/image_processor.h"

/* All zero: nothing is done. A range of 0, 0 means its default. */
typedef struct hora_augment {
    bool crop; /* a random part, resized to the model's size; else as in evaluation */
    double crop_scale[2],
        crop_ratio[2]; /* share of the area (0.08, 1); width / height (3/4, 4/3) */
    double flip;       /* probability of left and right changing places */
    double brightness, contrast, saturation; /* factor within 1 - b .. 1 + b, not below 0 */
    double hue;                              /* turn within -hue .. hue of the circle, up to 0.5 */
    int ops,
        magnitude; /* RandAugment: operations for each picture; strength 0 .. 30 (9 is usual) */
    double erase;  /* probability that a rectangle becomes 0 (the mean, when normalised) */
    double erase_scale[2], erase_ratio[2]; /* (0.02, 0.33); (0.3, 3.3) */
    double mixup, cutmix; /* Beta(a, a); both: each step takes one of them, by equal chances */
} hora_augment;

/* HORA_EUSAGE for probabilities outside of 0 .. 1, negative strengths, empty ranges. */
hora_status hora_augment_check(const hora_augment *a);

/* Which part of a picture of width x height is taken, and whether it is flipped: the same for a
 * picture and its mask. */
typedef struct hora_augment_view {
    hora_rect from;
    bool flip;
} hora_augment_view;
hora_augment_view hora_augment_draw(const hora_augment *a, int64_t width, int64_t height,
                                    uint64_t seed, int64_t epoch, int64_t index);

/* One training picture, 8 bits, of the size that the model reads (`p` must give all pictures one
 * size: HORA_EUSAGE otherwise). `fitted`: im already is what hora_image_processor_fit gives; with
 * `crop` it must not be. */
hora_status hora_augment_picture(const hora_augment *a, const hora_image_processor *p,
                                 const hora_image *im, bool fitted, uint64_t seed, int64_t epoch,
                                 int64_t index, hora_image *out);
/* Random erasing of its values (3, height, width), in place. */
void hora_augment_erase(const hora_augment *a, float *values, int64_t height, int64_t width,
                        uint64_t seed, int64_t epoch, int64_t index);

/* How a step's samples are mixed: sample i of n with sample n - 1 - i. Its loss is lambda times
 * that of its own label plus 1 - lambda times that of the partner's. */
typedef enum { HORA_MIX_NONE, HORA_MIX_UP, HORA_MIX_CUT } hora_mix_kind;
typedef struct hora_mix {
    hora_mix_kind kind;
    double lambda;
    hora_rect cut; /* HORA_MIX_CUT: what comes from the partner; lambda is the share that stays */
} hora_mix;
/* `index`: of the step's first sample. */
hora_mix hora_augment_mix(const hora_augment *a, int64_t height, int64_t width, uint64_t seed,
                          int64_t epoch, int64_t index);
/* batch (n, 3, height, width), in place. */
void hora_mix_apply(const hora_mix *m, float *batch, int64_t n, int64_t height, int64_t width);
#endif
