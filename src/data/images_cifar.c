/*
 * CIFAR, binary: records of a label (CIFAR-100: coarse, then fine, which is taken) and 3072 bytes,
 * the red, green and blue plane of 32 x 32. Files are data_batch_1.bin .. and test_batch.bin (10),
 * train.bin and test.bin (100); class names lie beside them in batches.meta.txt or
 * fine_label_names.txt, one a line. A folder with them is its training set. Source:
 * www.cs.toronto.edu/~kriz/cifar.html.
 */
#include "base/text.h"
#include "data/images_impl.h"

#define PIXELS (32 * 32)

static bool beside(const char *dir, const char *name) {
    char *path = hora_path_join(dir, name);
    bool there = hora_path_exists(path);
    hora_free(path);
    return there;
}

/* Bytes in front of the pixels: 1 or 2; 0: no name of CIFAR. */
static int labels_of(const char *path) {
    const char *base = hora_path_base(path);
    if (!strcmp(base, "train.bin") || !strcmp(base, "test.bin"))
        return 2;
    return hora_ends(base, ".bin") && strstr(base, "_batch") ? 1 : 0;
}

static bool is_cifar(const char *path) {
    if (hora_path_is_dir(path))
        return beside(path, "data_batch_1.bin") ||
               (beside(path, "train.bin") && beside(path, "fine_label_names.txt"));
    return labels_of(path) != 0;
}

static const char *names_file(const char *path) {
    return labels_of(path) == 2 ? "fine_label_names.txt" : "batches.meta.txt";
}

/* The names beside the file, one a line; none: labels stay numbers. */
static hora_status read_names(const char *file, char ***names, size_t *n) {
    char *dir = hora_path_dir(file);
    char *path = hora_path_join(dir, names_file(file));
    hora_str text = {0};
    size_t cap = 0;
    hora_status st = hora_path_exists(path) ? hora_file_read(&text, path) : HORA_OK;
    for (char *rest = text.s, *line; st == HORA_OK && rest && (line = strsep(&rest, "\n"));) {
        line[strcspn(line, "\r")] = 0;
        if (*line) {
            char *own = hora_strdup(line);
            HORA_PUSH(*names, *n, cap, own);
        }
    }
    hora_str_release(&text);
    hora_free(path);
    hora_free(dir);
    return st;
}

static hora_status list_file(hora_images *s, const char *path, char *const *names, size_t n) {
    int64_t file;
    const size_t head = (size_t)labels_of(path), record = head + 3 * PIXELS;
    const size_t classes = n ? n : head == 2 ? 100 : 10;
    HORA_TRY(hora_images_map(s, path, &file));
    const hora_images_file *m = &s->files[file];
    if (!m->n || m->n % record)
        return hora_fail(HORA_EFORMAT, "%s: %zu bytes are not whole records of %zu; fetch it again",
                         path, m->n, record);
    for (size_t i = 0; i < m->n / record; i++) {
        unsigned v = m->data[i * record + head - 1];
        char number[8], *name = hora_format("%s: %zu", path, i);
        hora_snprintf(number, sizeof number, "%u", v);
        hora_status st = HORA_OK;
        if (v >= classes)
            st = hora_fail(HORA_EFORMAT,
                           "%s: the label %u is none of %zu, %s; fetch it again, or name all "
                           "classes in %s",
                           name, v, classes,
                           n ? "which have names beside it" : "as many as the format has",
                           names_file(path));
        if (st == HORA_OK)
            hora_images_add(s, name, n ? names[v] : number, file, i * record + head, 3 * PIXELS);
        hora_free(name);
        HORA_TRY(st);
    }
    return HORA_OK;
}

/* A folder's training files, or the one that was given. */
static hora_status list_files(hora_images *s, char *const *names, size_t n) {
    if (!hora_path_is_dir(s->path))
        return list_file(s, s->path, names, n);
    char *one = hora_path_join(s->path, "train.bin");
    hora_status st = HORA_OK;
    if (!beside(s->path, "data_batch_1.bin"))
        st = list_file(s, one, names, n);
    hora_free(one);
    for (int i = 1; st == HORA_OK; i++) {
        char *path = hora_format("%s/data_batch_%d.bin", s->path, i);
        bool there = hora_path_exists(path);
        if (there)
            st = list_file(s, path, names, n);
        hora_free(path);
        if (!there)
            break;
    }
    return st;
}

static hora_status list_cifar(hora_images *s) {
    char **names = NULL;
    size_t n = 0;
    s->width = s->height = 32;
    char *file =
        !hora_path_is_dir(s->path)
            ? hora_strdup(s->path)
            : hora_path_join(s->path, beside(s->path, "data_batch_1.bin") ? "data_batch_1.bin"
                                                                          : "train.bin");
    hora_status st = read_names(file, &names, &n);
    if (st == HORA_OK)
        st = list_files(s, names, n);
    for (size_t i = 0; i < n; i++) {
        if (st == HORA_OK)
            hora_images_declare(s, names[i]); /* those without samples, too */
        hora_free(names[i]);
    }
    hora_free(names);
    hora_free(file);
    return st;
}

static hora_status raw(const hora_images *s, const unsigned char *p, hora_image *out) {
    (void)s;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < PIXELS; i++)
            out->px[3 * i + c] = p[c * PIXELS + i];
    return HORA_OK;
}

const hora_images_kind hora_images_kind_cifar = {
    .name = "cifar", .is = is_cifar, .container = true, .list = list_cifar, .raw = raw};
