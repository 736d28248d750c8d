/*
 * MNIST's idx: 0, 0, type (8: bytes), number of dimensions, the dimensions as 32-bit big-endian
 * numbers, the values. Pictures are (n, height, width) or (n, height, width, 3); the labels, (n),
 * lie in a file beside it of the same name with "labels" for "images" and "idx1" for "idx3". A
 * folder with train-images-idx3-ubyte is its training set. Each file as it is, or in .gz or .zst.
 * Source: yann.lecun.com/exdb/mnist.
 */
#include "base/text.h"
#include "data/images_impl.h"

static const char *const train[] = {"train-images-idx3-ubyte", "train-images.idx3-ubyte"};

/* The file of that name as it is or compressed; NULL: neither is there. New string. */
static char *packed_or_not(const char *path) {
    static const char *const endings[] = {"", ".gz", ".zst"};
    const int n = (int)(strlen(path) - hora_images_compressed(path));
    for (size_t i = 0; i < HORA_COUNT(endings); i++) {
        char *file = hora_format("%.*s%s", n, path, endings[i]);
        if (hora_path_exists(file))
            return file;
        hora_free(file);
    }
    return NULL;
}

/* The file of pictures that `path` means; NULL: none. New string. */
static char *pictures_of(const char *path) {
    char *file = NULL;
    if (!hora_path_is_dir(path))
        return strstr(hora_path_base(path), "idx3-ubyte") && !hora_images_compressed_otherwise(path)
                   ? hora_strdup(path)
                   : NULL;
    for (size_t i = 0; i < HORA_COUNT(train) && !file; i++) {
        char *plain = hora_path_join(path, train[i]);
        file = packed_or_not(plain);
        hora_free(plain);
    }
    return file;
}

static bool is_idx(const char *path) {
    char *file = pictures_of(path);
    hora_free(file);
    return file != NULL;
}

static uint32_t big(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Checks the header; dims[0 .. n-1] and where the values begin. */
static hora_status header(const hora_images_file *m, int least, int most, int64_t *dims, int *n,
                          size_t *at) {
    const unsigned char *p = m->data;
    if (m->n < 4 || p[0] || p[1] || p[2] != 8 || p[3] < least || p[3] > most ||
        m->n < 4 + 4 * (size_t)p[3])
        return hora_fail(
            HORA_EFORMAT,
            "%s: this is no idx file of bytes with %d dimensions; fetch it again, or unpack it",
            m->path, least);
    uint64_t total = 1;
    *n = p[3];
    *at = 4 + 4 * (size_t)*n;
    for (int i = 0; i < *n; i++) {
        dims[i] = big(p + 4 + 4 * i);
        if (dims[i] < 1 || (uint64_t)dims[i] > m->n / total)
            return hora_fail(HORA_EFORMAT,
                             "%s: a dimension is 0 or larger than the file; fetch it again",
                             m->path);
        total *= (uint64_t)dims[i];
    }
    if (total != m->n - *at)
        return hora_fail(HORA_EFORMAT,
                         "%s: the header promises %llu bytes, the file has %llu; fetch it again",
                         m->path, (unsigned long long)total, (unsigned long long)(m->n - *at));
    return HORA_OK;
}

/* NULL: there are none. New string. */
static char *labels_beside(const char *pictures) {
    char *path = hora_strdup(pictures);
    char *base = path + (hora_path_base(path) - path), *word = strstr(base, "images"),
         *digit = strstr(base, "idx3");
    if (word)
        memcpy(word, "labels", 6);
    digit[3] = '1';
    char *there = hora_eq(path, pictures) ? NULL : packed_or_not(path);
    hora_free(path);
    return there;
}

static hora_status list_pictures(hora_images *s, int64_t file, const hora_images_file *labels,
                                 size_t at) {
    const hora_images_file *m = &s->files[file];
    int64_t dims[4];
    int nd;
    size_t first;
    HORA_TRY(header(m, 3, 4, dims, &nd, &first));
    if (dims[1] > HORA_IMAGE_MAX_SIDE || dims[2] > HORA_IMAGE_MAX_SIDE || (nd == 4 && dims[3] != 3))
        return hora_fail(
            HORA_EFORMAT,
            "%s: pictures are (n, height, width), or with 3 channels behind; convert it", m->path);
    s->height = dims[1];
    s->width = dims[2];
    s->channels = nd == 4 ? 3 : 1;
    size_t bytes = (size_t)(s->height * s->width * s->channels);
    if (labels && (int64_t)(labels->n - at) != dims[0])
        return hora_fail(HORA_EMISMATCH,
                         "%s has %lld pictures, %s has %lld labels; they are of different sets",
                         m->path, (long long)dims[0], labels->path, (long long)(labels->n - at));
    for (int64_t i = 0; i < dims[0]; i++) {
        char label[8], *name = hora_format("%s: %lld", m->path, (long long)i);
        if (labels)
            hora_snprintf(label, sizeof label, "%d", labels->data[at + (size_t)i]);
        hora_images_add(s, name, labels ? label : NULL, file, first + (size_t)i * bytes, bytes);
        hora_free(name);
    }
    return HORA_OK;
}

static hora_status list_idx(hora_images *s) {
    char *pictures = pictures_of(s->path), *beside = labels_beside(pictures);
    int64_t file = 0, labels = -1, dims[4];
    int nd;
    size_t at = 0;
    hora_status st = hora_images_map(s, pictures, &file);
    if (st == HORA_OK && beside) {
        st = hora_images_map(s, beside, &labels);
        if (st == HORA_OK)
            st = header(&s->files[labels], 1, 1, dims, &nd, &at);
    }
    if (st == HORA_OK)
        st = list_pictures(s, file, labels < 0 ? NULL : &s->files[labels], at);
    hora_free(pictures);
    hora_free(beside);
    return st;
}

static hora_status raw(const hora_images *s, const unsigned char *p, hora_image *out) {
    int64_t copies = 3 / s->channels;
    for (int64_t i = 0; i < s->width * s->height * s->channels; i++)
        memset(out->px + i * copies, p[i], (size_t)copies);
    return HORA_OK;
}

const hora_images_kind hora_images_kind_idx = {
    .name = "idx", .is = is_idx, .container = true, .list = list_idx, .raw = raw};
