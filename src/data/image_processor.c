/*
 * How pictures are prepared: the classes of Hugging Face's image processors as rows, timm's keys,
 * and the arithmetic that both share. Sources: transformers, image_processing_backends.py (PIL),
 * image_transforms.py and the processors' defaults; timm, data/transforms_factory.py and
 * transforms.py.
 */
#include "data/image_processor.h"

#include <math.h>

#include "base/file.h"
#include "base/text.h"

#define MAX_EDGE 65536 /* of a size in a configuration */

static const double half[3] = {0.5, 0.5, 0.5};
static const double imagenet_mean[3] = {0.485, 0.456, 0.406};
static const double imagenet_std[3] = {0.229, 0.224, 0.225};
static const double clip_mean[3] = {0.48145466, 0.4578275, 0.40821073};
static const double clip_std[3] = {0.26862954, 0.26130258, 0.27577711};

typedef enum { PLAIN, CONVNEXT, LEVIT } quirk;

/* size: of the default; `square`: the default is size x size, else the shorter edge; `number`: a
 * bare number in the file means a square. crop: of the default, 0 = no default. */
static const struct class {
    const char *name;
    int size;
    bool square, number;
    int crop;
    bool do_crop;
    hora_resample resample;
    const double *mean, *std;
    quirk quirk;
} classes[] = {
    {"ViT", 224, true, true, 0, false, HORA_RESAMPLE_BILINEAR, half, half, PLAIN},
    {"DeiT", 256, true, true, 224, true, HORA_RESAMPLE_BICUBIC, half, half, PLAIN},
    {"CLIP", 224, false, false, 224, true, HORA_RESAMPLE_BICUBIC, clip_mean, clip_std, PLAIN},
    {"ChineseCLIP", 224, false, false, 224, true, HORA_RESAMPLE_BICUBIC, clip_mean, clip_std,
     PLAIN},
    {"Bit", 224, false, false, 224, true, HORA_RESAMPLE_BICUBIC, clip_mean, clip_std, PLAIN},
    {"VideoMAE", 224, false, false, 224, true, HORA_RESAMPLE_BILINEAR, half, half, PLAIN},
    {"Siglip", 224, true, false, 0, false, HORA_RESAMPLE_BICUBIC, half, half, PLAIN},
    {"Beit", 224, true, true, 224, false, HORA_RESAMPLE_BICUBIC, half, half, PLAIN},
    {"Blip", 384, true, true, 0, false, HORA_RESAMPLE_BICUBIC, clip_mean, clip_std, PLAIN},
    {"Pvt", 224, true, true, 0, false, HORA_RESAMPLE_BICUBIC, imagenet_mean, imagenet_std, PLAIN},
    {"MobileNetV1", 256, false, false, 224, true, HORA_RESAMPLE_BILINEAR, half, half, PLAIN},
    {"MobileNetV2", 256, false, false, 224, true, HORA_RESAMPLE_BILINEAR, half, half, PLAIN},
    {"Levit", 224, false, false, 224, true, HORA_RESAMPLE_BICUBIC, imagenet_mean, imagenet_std,
     LEVIT},
    {"ConvNext", 384, false, false, 0, false, HORA_RESAMPLE_BICUBIC, half, half, CONVNEXT},
};

/* "ViTImageProcessorFast", "ViTFeatureExtractor" -> the row "ViT". */
static const struct class *find_class(const char *name) {
    static const char *const tails[] = {"", "ImageProcessor", "ImageProcessorFast",
                                        "ImageProcessorPil", "FeatureExtractor"};
    for (size_t i = 0; i < HORA_COUNT(classes); i++) {
        size_t n = strlen(classes[i].name);
        for (size_t k = 0; k < HORA_COUNT(tails) && !strncmp(name, classes[i].name, n); k++)
            if (!strcmp(name + n, tails[k]))
                return &classes[i];
    }
    return NULL;
}

/* --- levels to floats ------------------------------------------------------------------------- */

/* float32 steps as numpy takes them: the product in double, rounded; difference and quotient in
 * float32. factor 0: no rescaling; mean NULL: no normalisation. */
static void fill_values(hora_image_processor *p, double factor, const double *mean,
                        const double *std) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++) {
            float v = factor != 0 ? (float)(i * factor) : (float)i;
            p->value[c][i] = mean ? (v - (float)mean[c]) / (float)std[c] : v;
        }
}

/* --- Hugging Face ----------------------------------------------------------------------------- */

static hora_status wrong(const char *what, const char *key, const char *want) {
    return hora_fail(HORA_EFORMAT,
                     "%s: `%s` should be %s; take the file that came with the weights", what, key,
                     want);
}

static hora_status edge(const hora_json *v, const char *what, const char *key, int64_t *out) {
    if (!hora_json_int(v, out) || *out < 1 || *out > MAX_EDGE)
        return wrong(what, key, "made of integers from 1 to 65536");
    return HORA_OK;
}

/* A number, a pair [height, width], or an object. */
typedef struct sizes {
    int64_t number, height, width, shortest, longest, max_height, max_width; /* 0: not said */
} sizes;

static hora_status parse_sizes(sizes *s, const hora_json *v, const char *what, const char *key) {
    const struct {
        const char *name;
        int64_t *to;
    } keys[] = {{"height", &s->height},          {"width", &s->width},
                {"shortest_edge", &s->shortest}, {"longest_edge", &s->longest},
                {"max_height", &s->max_height},  {"max_width", &s->max_width}};
    *s = (sizes){0};
    switch (hora_json_type(v)) {
    case HORA_JARRAY:
        if (hora_json_len(v) != 2)
            return wrong(what, key, "a number, [height, width] or an object");
        HORA_TRY(edge(hora_json_at(v, 0), what, key, &s->height));
        return edge(hora_json_at(v, 1), what, key, &s->width);
    case HORA_JOBJECT:
        for (size_t i = 0; i < HORA_COUNT(keys); i++) {
            const hora_json *m = hora_json_get(v, keys[i].name);
            if (m && hora_json_type(m) != HORA_JNULL)
                HORA_TRY(edge(m, what, key, keys[i].to));
        }
        return HORA_OK;
    default:
        return edge(v, what, key, &s->number);
    }
}

static hora_status set_fit(hora_image_processor *p, const struct class *k, const sizes *s,
                           const char *what) {
    int64_t shortest = s->number && !k->number ? s->number : s->shortest;
    if (shortest && s->longest && k->quirk == PLAIN) { /* the others have a resize of their own */
        p->fit = HORA_FIT_BETWEEN;
        p->longest = s->longest;
    } else if (shortest) {
        p->fit = HORA_FIT_SHORTEST;
    } else if (s->max_height && s->max_width) {
        p->fit = HORA_FIT_WITHIN;
        p->height = s->max_height;
        p->width = s->max_width;
    } else if (s->number || (s->height && s->width)) {
        p->fit = HORA_FIT_EXACT;
        p->height = s->number ? s->number : s->height;
        p->width = s->number ? s->number : s->width;
    } else {
        return wrong(
            what, "size",
            "height and width, shortest_edge (and longest_edge), or max_height and max_width");
    }
    p->shortest = shortest;
    if (k->quirk == LEVIT && shortest)
        p->shortest = (int64_t)((256.0 / 224.0) * (double)shortest);
    return HORA_OK;
}

/* What a getter says of a key, with the file it stands in. */
static hora_status in_file(hora_status s, const char *what) {
    if (s)
        hora_context(s, "%s", what);
    return s;
}

/* Below 384 the shorter edge becomes size / crop_pct and the middle is cut; else it is squeezed. */
static hora_status set_convnext(hora_image_processor *p, const hora_json *root, const char *what) {
    double pct;
    HORA_TRY(in_file(hora_json_get_real(root, "crop_pct", 224.0 / 256.0, &pct), what));
    if (p->fit != HORA_FIT_SHORTEST && p->fit != HORA_FIT_BETWEEN)
        return wrong(what, "size", "shortest_edge for ConvNext");
    if (!(pct > 0 && pct <= 1) || (double)p->shortest / pct > MAX_EDGE)
        return wrong(what, "crop_pct", "above 0 and at most 1");
    if (p->crop)
        return hora_fail(
            HORA_EUNSUPPORTED,
            "%s: do_center_crop behind ConvNext's own crop is not done; set it to false", what);
    int64_t edge = p->shortest;
    p->fit = edge < 384 ? HORA_FIT_SHORTEST : HORA_FIT_EXACT;
    p->shortest = (int64_t)((double)edge / pct);
    p->height = p->width = edge;
    p->crop = edge < 384;
    p->crop_height = p->crop_width = edge;
    return HORA_OK;
}

/* null is off. */
static hora_status flag(const hora_json *root, const char *key, bool def, const char *what,
                        bool *out) {
    const hora_json *v = hora_json_get(root, key);
    *out = v ? false : def;
    if (v && hora_json_type(v) != HORA_JNULL && !hora_json_bool(v, out))
        return wrong(what, key, "true, false or null");
    return HORA_OK;
}

/* A number for all channels or one for each. */
static hora_status triple(const hora_json *root, const char *key, const double def[3],
                          const char *what, double out[3]) {
    const hora_json *v = hora_json_get(root, key);
    memcpy(out, def, 3 * sizeof *out);
    if (!v || hora_json_type(v) == HORA_JNULL)
        return HORA_OK;
    bool list = hora_json_type(v) == HORA_JARRAY;
    for (size_t c = 0; c < 3; c++)
        if ((list && hora_json_len(v) != 3) ||
            !hora_json_real(list ? hora_json_at(v, c) : v, &out[c]))
            return wrong(what, key, "a number or three numbers");
    return HORA_OK;
}

static hora_status check_std(const double std[3], const char *what, const char *key) {
    for (int c = 0; c < 3; c++)
        if (!((float)std[c] != 0))
            return wrong(what, key, "different from 0");
    return HORA_OK;
}

static hora_status parse_fit(hora_image_processor *p, const struct class *k, const hora_json *root,
                             const char *what) {
    bool resize, crop;
    sizes s = {.shortest = k->square ? 0 : k->size,
               .height = k->square ? k->size : 0,
               .width = k->square ? k->size : 0};
    const hora_json *size = hora_json_get(root, "size"), *cut = hora_json_get(root, "crop_size");
    int64_t resample;
    HORA_TRY(flag(root, "do_resize", true, what, &resize));
    HORA_TRY(flag(root, "do_center_crop", k->do_crop, what, &crop));
    HORA_TRY(in_file(hora_json_get_int(root, "resample", k->resample, &resample), what));
    if (resample < 0 || resample >= HORA_RESAMPLE_COUNT)
        return wrong(what, "resample", "one of Pillow's filters, 0 to 5");
    p->resample = (hora_resample)resample;
    p->crop = crop;
    if (resize && size && hora_json_type(size) != HORA_JNULL)
        HORA_TRY(parse_sizes(&s, size, what, "size"));
    if (resize)
        HORA_TRY(set_fit(p, k, &s, what));
    if (resize && k->quirk == CONVNEXT)
        return set_convnext(p, root, what);
    if (!crop)
        return HORA_OK;
    s = (sizes){.number = k->crop};
    if (cut && hora_json_type(cut) != HORA_JNULL)
        HORA_TRY(parse_sizes(&s, cut, what, "crop_size"));
    p->crop_height = s.number ? s.number : s.height;
    p->crop_width = s.number ? s.number : s.width;
    if (!p->crop_height || !p->crop_width)
        return wrong(what, "crop_size", "a number, or height and width");
    return HORA_OK;
}

static hora_status parse_values(hora_image_processor *p, const struct class *k,
                                const hora_json *root, const char *what) {
    bool rescale, normalize, pad;
    double factor, mean[3], std[3];
    HORA_TRY(flag(root, "do_rescale", true, what, &rescale));
    HORA_TRY(flag(root, "do_normalize", true, what, &normalize));
    HORA_TRY(flag(root, "do_pad", false, what, &pad));
    HORA_TRY(in_file(hora_json_get_real(root, "rescale_factor", 1.0 / 255.0, &factor), what));
    HORA_TRY(triple(root, "image_mean", k->mean, what, mean));
    HORA_TRY(triple(root, "image_std", k->std, what, std));
    if (rescale && factor == 0)
        return wrong(what, "rescale_factor", "different from 0");
    if (normalize)
        HORA_TRY(check_std(std, what, "image_std"));
    fill_values(p, rescale ? factor : 0, normalize ? mean : NULL, std);
    if (!pad)
        return HORA_OK;
    sizes s;
    HORA_TRY(parse_sizes(&s, hora_json_get(root, "pad_size"), what, "pad_size"));
    p->pad_height = s.number ? s.number : s.height;
    p->pad_width = s.number ? s.number : s.width;
    return p->pad_height && p->pad_width ? HORA_OK : wrong(what, "pad_size", "height and width");
}

hora_status hora_image_processor_parse(hora_image_processor *p, const hora_json *root,
                                       const char *what) {
    const char *name, *old;
    *p = (hora_image_processor){0};
    if (hora_json_type(root) != HORA_JOBJECT)
        return hora_fail(HORA_EFORMAT,
                         "%s: should be an object; take the file that came with the weights", what);
    HORA_TRY(in_file(hora_json_get_string(root, "feature_extractor_type", NULL, &old), what));
    HORA_TRY(in_file(hora_json_get_string(root, "image_processor_type", old, &name), what));
    if (!name)
        return hora_fail(HORA_EFORMAT,
                         "%s: neither image_processor_type nor feature_extractor_type says how "
                         "pictures are prepared; add one, as \"ViTImageProcessor\"",
                         what);
    const struct class *k = find_class(name);
    if (!k) {
        char names[256] = "";
        for (size_t i = 0; i < HORA_COUNT(classes); i++)
            hora_snprintf(names + strlen(names), sizeof names - strlen(names), " %s",
                          classes[i].name);
        return hora_fail(HORA_EUNSUPPORTED,
                         "%s: the image processor %s is not known; known are those of%s", what,
                         name, names);
    }
    hora_status s = parse_fit(p, k, root, what);
    return s == HORA_OK ? parse_values(p, k, root, what) : s;
}

hora_status hora_image_processor_default(hora_image_processor *p, const char *name) {
    hora_json *root = hora_json_new_object();
    hora_json_set(root, "image_processor_type", hora_json_new_string(name));
    hora_status s = hora_image_processor_parse(p, root, "default image processor");
    hora_json_free(root);
    return s;
}

/* --- timm ------------------------------------------------------------------------------------- */

static hora_status timm_fit(hora_image_processor *p, const hora_json *cfg, const char *what,
                            const double mean[3]) {
    const hora_json *size = hora_json_get(cfg, "input_size");
    const char *mode, *interpolation;
    double pct;
    int64_t h = 224, w = 224;
    if (size && hora_json_type(size) != HORA_JNULL) {
        if (hora_json_len(size) != 3)
            return wrong(what, "input_size", "[3, height, width]");
        HORA_TRY(edge(hora_json_at(size, 1), what, "input_size", &h));
        HORA_TRY(edge(hora_json_at(size, 2), what, "input_size", &w));
    }
    HORA_TRY(in_file(hora_json_get_string(cfg, "crop_mode", "center", &mode), what));
    HORA_TRY(in_file(hora_json_get_string(cfg, "interpolation", "bicubic", &interpolation), what));
    HORA_TRY(in_file(hora_json_get_real(cfg, "crop_pct", 0.875, &pct), what));
    pct = pct == 0 ? 0.875 : pct; /* 0 is "not said" */
    if (!(pct > 0 && pct <= 1) || (double)hora_max(h, w) / pct > MAX_EDGE)
        return wrong(what, "crop_pct", "above 0 and at most 1");
    int filter = hora_resample_find(interpolation);
    if (filter < 0)
        return wrong(what, "interpolation", "nearest, lanczos, bilinear, bicubic, box or hamming");
    p->resample = (hora_resample)filter;
    p->height = (int64_t)floor((double)h / pct);
    p->width = (int64_t)floor((double)w / pct);
    p->shortest = p->height;
    p->crop = p->crop_to_even = true;
    p->crop_height = h;
    p->crop_width = w;
    if (!strcmp(mode, "squash"))
        p->fit = HORA_FIT_EXACT;
    else if (!strcmp(mode, "border"))
        p->fit = HORA_FIT_INSIDE;
    else if (!strcmp(mode, "center"))
        p->fit = p->height == p->width ? HORA_FIT_SHORTEST : HORA_FIT_COVER;
    else
        return wrong(what, "crop_mode", "center, squash or border");
    if (p->fit == HORA_FIT_COVER)
        p->resample = HORA_RESAMPLE_BILINEAR; /* timm does not hand its interpolation on there */
    for (int c = 0; c < 3 && p->fit == HORA_FIT_INSIDE; c++)
        p->outside[c] = (uint8_t)fmin(fmax(rint(255 * mean[c]), 0), 255);
    return HORA_OK;
}

hora_status hora_image_processor_parse_timm(hora_image_processor *p, const hora_json *config,
                                            const char *what) {
    const hora_json *cfg = hora_json_get(config, "pretrained_cfg");
    double mean[3], std[3];
    *p = (hora_image_processor){0};
    if (!cfg || hora_json_type(cfg) != HORA_JOBJECT)
        cfg = config; /* before pretrained_cfg its keys stood at the top */
    HORA_TRY(triple(cfg, "mean", imagenet_mean, what, mean));
    HORA_TRY(triple(cfg, "std", imagenet_std, what, std));
    HORA_TRY(check_std(std, what, "std"));
    HORA_TRY(timm_fit(p, cfg, what, mean));
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            p->value[c][i] = ((float)i / 255.0f - (float)mean[c]) / (float)std[c];
    return HORA_OK;
}

/* --- a folder --------------------------------------------------------------------------------- */

/* HORA_DONE: the file is not there or says nothing about pictures. */
static hora_status try_file(hora_image_processor *p, const char *dir, const char *name) {
    char *path = hora_path_join(dir, name);
    hora_json *root = NULL;
    hora_status s = HORA_DONE;
    if (hora_path_exists(path)) {
        s = hora_json_load(&root, path);
        const hora_json *nested = hora_json_get(root, "image_processor");
        if (s == HORA_OK && !strcmp(name, "preprocessor_config.json"))
            s = hora_image_processor_parse(p, root, path);
        else if (s == HORA_OK && nested)
            s = hora_image_processor_parse(p, nested, path);
        else if (s == HORA_OK && hora_json_get(root, "architecture"))
            s = hora_image_processor_parse_timm(p, root, path);
        else if (s == HORA_OK)
            s = HORA_DONE;
    }
    hora_json_free(root);
    hora_free(path);
    return s;
}

hora_status hora_image_processor_load(hora_image_processor *p, const char *dir) {
    static const char *const files[] = {"processor_config.json", "preprocessor_config.json",
                                        "config.json"};
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        hora_status s = try_file(p, dir, files[i]);
        if (s != HORA_DONE)
            return s;
    }
    return hora_fail(HORA_ENOTFOUND,
                     "%s: nothing says how pictures are prepared; put the model's "
                     "preprocessor_config.json there",
                     dir);
}

/* --- a picture -------------------------------------------------------------------------------- */

/* The shorter edge to `size`: the longer is cut to an integer. */
static void shortest(int64_t w, int64_t h, int64_t size, int64_t *ow, int64_t *oh) {
    int64_t lo = hora_min(w, h), hi = hora_max(w, h);
    int64_t longer = (int64_t)((double)(size * hi) / (double)lo);
    *ow = w <= h ? size : longer;
    *oh = w <= h ? longer : size;
}

/* transformers' get_size_with_aspect_ratio. */
static void between(int64_t w, int64_t h, int64_t size, int64_t most, int64_t *ow, int64_t *oh) {
    double lo = (double)hora_min(w, h), hi = (double)hora_max(w, h), raw = (double)size;
    if (hi / lo * (double)size > (double)most) {
        raw = (double)most * lo / hi;
        size = hora_max((int64_t)rint(raw), 1);
    }
    *ow = w;
    *oh = h;
    if (hora_min(w, h) == size)
        return;
    *ow = w < h ? size : hora_max((int64_t)(raw * (double)w / (double)h), 1);
    *oh = w < h ? hora_max((int64_t)(raw * (double)h / (double)w), 1) : size;
}

static void stretched(const hora_image_processor *p, int64_t w, int64_t h, int64_t *ow,
                      int64_t *oh) {
    double rh = (double)h / (double)hora_max(p->height, 1),
           rw = (double)w / (double)hora_max(p->width, 1);
    double ratio = p->fit == HORA_FIT_COVER ? fmin(rh, rw) : fmax(rh, rw);
    *ow = w;
    *oh = h;
    switch (p->fit) {
    case HORA_FIT_NONE:
        break;
    case HORA_FIT_EXACT:
        *ow = p->width;
        *oh = p->height;
        break;
    case HORA_FIT_SHORTEST:
        shortest(w, h, p->shortest, ow, oh);
        break;
    case HORA_FIT_BETWEEN:
        between(w, h, p->shortest, p->longest, ow, oh);
        break;
    case HORA_FIT_WITHIN:
        ratio = fmin((double)p->height / (double)h, (double)p->width / (double)w);
        *ow = hora_max((int64_t)((double)w * ratio), 1);
        *oh = hora_max((int64_t)((double)h * ratio), 1);
        break;
    case HORA_FIT_COVER:
    case HORA_FIT_INSIDE:
        *ow = hora_max((int64_t)rint((double)w / ratio), 1);
        *oh = hora_max((int64_t)rint((double)h / ratio), 1);
        break;
    }
}

/* Where the middle `crop` of `size` begins; negative: the picture is smaller. */
static int64_t middle(int64_t size, int64_t crop, bool to_even) {
    int64_t d = size - crop;
    if (to_even)
        return d >= 0 ? (int64_t)rint((double)d / 2) : -(-d / 2);
    return d >= 0 ? d / 2 : -((1 - d) / 2);
}

void hora_image_processor_size(const hora_image_processor *p, int64_t width, int64_t height,
                               int64_t *out_width, int64_t *out_height) {
    int64_t w, h;
    stretched(p, width, height, &w, &h);
    *out_width = hora_max(p->crop ? p->crop_width : w, p->pad_width);
    *out_height = hora_max(p->crop ? p->crop_height : h, p->pad_height);
}

bool hora_image_processor_fixed(const hora_image_processor *p, int64_t *width, int64_t *height) {
    if (!p->crop && p->fit != HORA_FIT_EXACT)
        return false;
    hora_image_processor_size(p, 1, 1, width, height);
    return true;
}

hora_status hora_image_processor_fit(const hora_image_processor *p, const hora_image *im,
                                     hora_image *out) {
    int64_t w, h;
    stretched(p, im->width, im->height, &w, &h);
    hora_rect cut = {middle(w, p->crop_width, p->crop_to_even),
                     middle(h, p->crop_height, p->crop_to_even), p->crop_width, p->crop_height};
    hora_stretch how = {
        .width = w, .height = h, .resample = p->resample, .window = p->crop ? &cut : NULL};
    memcpy(how.fill, p->outside, 3);
    w = p->crop ? p->crop_width : w;
    h = p->crop ? p->crop_height : h;
    *out = (hora_image){0};
    if (p->pad_height && (w > p->pad_width || h > p->pad_height))
        return hora_fail(HORA_ESHAPE,
                         "a picture becomes %lld x %lld, more than the pad_size of %lld x %lld; "
                         "use a larger one",
                         (long long)w, (long long)h, (long long)p->pad_width,
                         (long long)p->pad_height);
    return hora_image_stretch(out, im, &how);
}

void hora_image_processor_values(const hora_image_processor *p, const hora_image *im, float *out,
                                 int64_t out_width, int64_t out_height) {
    int64_t w = hora_min(im->width, out_width), h = hora_min(im->height, out_height);
    for (int c = 0; c < 3; c++)
        for (int64_t y = 0; y < out_height; y++) {
            float *row = out + ((int64_t)c * out_height + y) * out_width;
            int64_t inside = y < h ? w : 0;
            for (int64_t x = 0; x < inside; x++)
                row[x] = p->value[c][im->px[(y * im->width + x) * 3 + c]];
            for (int64_t x = inside; x < out_width; x++)
                row[x] = 0;
        }
}

hora_status hora_image_processor_run(const hora_image_processor *p, const hora_image *im,
                                     float *out) {
    hora_image fitted;
    int64_t w, h;
    HORA_TRY(hora_image_processor_fit(p, im, &fitted));
    hora_image_processor_size(p, im->width, im->height, &w, &h);
    hora_image_processor_values(p, &fitted, out, w, h);
    hora_image_release(&fitted);
    return HORA_OK;
}
