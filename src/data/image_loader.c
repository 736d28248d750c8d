/* Samples on demand, with a cache of pixels that whoever decodes fills. */
#include "data/image_loader.h"

#include <pthread.h>

#include "base/threads.h"

struct hora_image_loader {
    const hora_images *set;
    hora_image_processor processor;
    hora_augment augment;
    bool whole; /* the cache holds whole pictures, not resized ones */
    bool evaluation;
    uint64_t seed;
    int64_t width, height;
    pthread_mutex_t lock; /* of the two below; a picture in the cache stays until the close */
    int64_t used;
    hora_image *cache, *masks; /* by sample; px NULL: not there */
    int64_t limit;
};

hora_status hora_image_loader_open(hora_image_loader **out, const hora_image_loader_config *cfg) {
    int64_t w, h;
    *out = NULL;
    if (!hora_image_processor_fixed(cfg->processor, &w, &h))
        return hora_fail(HORA_EUSAGE,
                         "the image processor gives every picture a size of its own; a batch needs "
                         "do_center_crop, or a size of height and width");
    if (cfg->augment)
        HORA_TRY(hora_augment_check(cfg->augment));
    hora_image_loader *l = hora_calloc(1, sizeof *l);
    l->set = cfg->set;
    l->processor = *cfg->processor;
    l->evaluation = !cfg->augment;
    if (cfg->augment)
        l->augment = *cfg->augment;
    l->whole = l->augment.crop;
    l->seed = cfg->seed;
    l->width = w;
    l->height = h;
    l->limit = cfg->cache;
    l->cache = hora_calloc((size_t)hora_images_about(cfg->set)->samples, sizeof *l->cache);
    l->masks = hora_calloc((size_t)hora_images_about(cfg->set)->samples, sizeof *l->masks);
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return HORA_OK;
}

void hora_image_loader_close(hora_image_loader *l) {
    if (!l)
        return;
    for (int64_t i = 0; i < hora_images_about(l->set)->samples; i++)
        hora_image_release(&l->cache[i]), hora_image_release(&l->masks[i]);
    pthread_mutex_destroy(&l->lock);
    hora_free(l->cache);
    hora_free(l->masks);
    hora_free(l);
}

int64_t hora_image_loader_cached(hora_image_loader *l) {
    pthread_mutex_lock(&l->lock);
    int64_t used = l->used;
    pthread_mutex_unlock(&l->lock);
    return used;
}

/* Decoded, whole or resized. */
static hora_status decode(hora_image_loader *l, int64_t index, hora_image *out) {
    hora_image im;
    HORA_TRY(hora_images_read(l->set, index, &im, NULL));
    if (l->whole) {
        *out = im;
        return HORA_OK;
    }
    hora_status s = hora_image_processor_fit(&l->processor, &im, out);
    hora_image_release(&im);
    return s == HORA_OK ? s : hora_context(s, "%s", hora_images_name(l->set, index));
}

/* Its mask, likewise: the nearest pixel's class, and none beyond the rim. */
static hora_image_processor for_masks(const hora_image_loader *l) {
    hora_image_processor p = l->processor;
    p.resample = HORA_RESAMPLE_NEAREST;
    memset(p.outside, HORA_IMAGES_NO_CLASS, sizeof p.outside);
    return p;
}
static hora_status decode_mask(hora_image_loader *l, int64_t index, hora_image *out) {
    const hora_image_processor p = for_masks(l);
    hora_image_info info = {0};
    hora_image im, mask;
    HORA_TRY(hora_images_read(l->set, index, &im, &info));
    hora_image_release(&im);
    HORA_TRY(hora_images_read_mask(l->set, index, info.width, info.height, &mask));
    if (l->whole) {
        *out = mask;
        return HORA_OK;
    }
    hora_status s = hora_image_processor_fit(&p, &mask, out);
    hora_image_release(&mask);
    return s;
}

/* From the cache, which takes it if it has room. *own: the caller releases it; else it is the
 * cache's. */
static hora_status cached(hora_image_loader *l, hora_image *cache, int64_t index, hora_image *out,
                          bool *own) {
    pthread_mutex_lock(&l->lock);
    *out = cache[index];
    pthread_mutex_unlock(&l->lock);
    *own = !out->px;
    if (out->px)
        return HORA_OK;
    HORA_TRY(cache == l->masks ? decode_mask(l, index, out) : decode(l, index, out));
    int64_t bytes = (int64_t)hora_image_bytes(out);
    pthread_mutex_lock(&l->lock);
    if (!cache[index].px && bytes <= l->limit - l->used) { /* another thread may have been here */
        cache[index] = *out;
        l->used += bytes;
        *own = false;
    }
    pthread_mutex_unlock(&l->lock);
    return HORA_OK;
}

static hora_status picture(hora_image_loader *l, int64_t index, hora_image *out, bool *own) {
    return cached(l, l->cache, index, out, own);
}

hora_status hora_image_loader_mask(hora_image_loader *l, int64_t epoch, int64_t index,
                                   uint8_t *classes) {
    const hora_image_processor p = for_masks(l);
    hora_augment moves = l->augment; /* where pixels go; what colours they have is not asked */
    hora_image mask, seen = {0};
    bool own;
    HORA_TRY(cached(l, l->masks, index, &mask, &own));
    moves.brightness = moves.contrast = moves.saturation = moves.hue = 0;
    hora_status s = HORA_OK;
    if (!l->evaluation)
        s = hora_augment_picture(&moves, &p, &mask, !l->whole, l->seed, epoch, index, &seen);
    const hora_image *from = l->evaluation ? &mask : &seen;
    memset(classes, HORA_IMAGES_NO_CLASS, (size_t)(l->width * l->height));
    for (int64_t y = 0; !s && y < hora_min(from->height, l->height); y++)
        memcpy(classes + y * l->width, from->px + y * from->width,
               (size_t)hora_min(from->width, l->width));
    hora_image_release(&seen);
    if (own)
        hora_image_release(&mask);
    return s;
}

static hora_status view(const hora_image_loader *l, const hora_image *im, int64_t epoch,
                        int64_t index, float *values) {
    hora_image seen;
    HORA_TRY(hora_augment_picture(&l->augment, &l->processor, im, !l->whole, l->seed, epoch, index,
                                  &seen));
    hora_image_processor_values(&l->processor, &seen, values, l->width, l->height);
    hora_image_release(&seen);
    hora_augment_erase(&l->augment, values, l->height, l->width, l->seed, epoch, index);
    return HORA_OK;
}

hora_status hora_image_loader_frame(hora_image_loader *l, int64_t epoch, int64_t draw,
                                    int64_t index, float *values) {
    hora_image im;
    bool own;
    HORA_TRY(picture(l, index, &im, &own));
    hora_status s = HORA_OK;
    if (l->evaluation)
        hora_image_processor_values(&l->processor, &im, values, l->width, l->height);
    else
        s = view(l, &im, epoch, draw, values);
    if (own)
        hora_image_release(&im);
    return s == HORA_OK ? s : hora_context(s, "%s", hora_images_name(l->set, index));
}

hora_status hora_image_loader_get(hora_image_loader *l, int64_t epoch, int64_t index,
                                  float *values) {
    return hora_image_loader_frame(l, epoch, index, index, values);
}

/* --- a batch ---------------------------------------------------------------------------------- */

typedef struct fill {
    hora_image_loader *l;
    int64_t epoch;
    const int64_t *index;
    float *batch;
    hora_status *status;
    char **why; /* owned; of those that failed */
} fill;

static void fill_one(void *arg, int64_t i, int thread) {
    fill *f = arg;
    (void)thread;
    f->status[i] = hora_image_loader_get(f->l, f->epoch, f->index[i],
                                         f->batch + i * 3 * f->l->height * f->l->width);
    if (f->status[i] != HORA_OK)
        f->why[i] = hora_strdup(hora_errmsg());
}

hora_status hora_image_loader_fill(hora_image_loader *l, int64_t epoch, const int64_t *index,
                                   int64_t n, float *batch) {
    fill f = {l,
              epoch,
              index,
              batch,
              hora_calloc((size_t)n, sizeof *f.status),
              hora_calloc((size_t)n, sizeof *f.why)};
    hora_parallel(n, fill_one, &f);
    hora_status s = HORA_OK;
    for (int64_t i = 0; i < n; i++) {
        if (f.why[i] && s == HORA_OK)
            s = hora_fail(f.status[i], "%s", f.why[i]);
        hora_free(f.why[i]);
    }
    hora_free(f.status);
    hora_free(f.why);
    return s;
}
