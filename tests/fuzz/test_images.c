/* Containers of pictures that lie: tar, idx and CIFAR cut and damaged at random. They are listed
 * or refused, and what is listed can be read or refused. The sanitizers watch; the seed is
 * fixed. */
#include "base/rng.h"
#include "images_kit.h"

static void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb"); /* without fsync: there are thousands */
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static bool try_open(const char *path) {
    hora_images *s;
    if (hora_images_open(&s, path, &(hora_images_config){.decode = {.max_pixels = 1 << 16}}) !=
        HORA_OK) {
        assert_non_null(strstr(hora_errmsg(), "; "));
        return false;
    }
    for (int64_t i = 0; i < hora_images_about(s)->samples && i < 20; i++) {
        hora_image im;
        assert_true(hora_images_label(s, i) < hora_images_about(s)->classes);
        if (hora_images_read(s, i, &im, NULL) == HORA_OK)
            hora_image_release(&im);
    }
    hora_images_close(s);
    return true;
}

static void damage(const char *name, const char *bytes, size_t n, size_t reach,
                   const char *letters) {
    const char *path = hora_test_path(hora_test_tmp(), name);
    hora_rng r = hora_rng_new(13, name);
    char *b = hora_malloc(n);
    int taken = 0, refused = 0;
    for (int round = 0; round < 1500; round++) {
        memcpy(b, bytes, n);
        size_t length = hora_rng_below(&r, 4) ? n : (size_t)hora_rng_below(&r, (int64_t)n + 1);
        for (int64_t k = hora_rng_below(&r, 4); k > 0; k--)
            b[hora_rng_below(&r, (int64_t)reach)] =
                hora_rng_below(&r, 2) ? letters[hora_rng_below(&r, (int64_t)strlen(letters))]
                                      : (char)hora_rng_below(&r, 256);
        write_bytes(path, b, length);
        if (try_open(path))
            taken++;
        else
            refused++;
    }
    hora_free(b);
    assert_true(taken > 50 && refused > 50); /* or the damage is not worth its name */
}

static void damaged_tar(void **state) {
    (void)state;
    static char b[512 * 8];
    tar_header(b, "a/1.pgm", '0', 12);
    memcpy(b + 512, "P5 1 1 255 x", 12);
    tar_header(b + 1024, "a/1.cls", '0', 2);
    memcpy(b + 1536, "7\n", 2);
    tar_header(b + 2048, "x", 'x', 18);
    memcpy(b + 2560, "18 path=b/22.json\n", 18);
    tar_header(b + 3072, "y", '0', 12);
    memcpy(b + 3584, "{\"label\": 3}", 12);
    damage("x.tar", b, sizeof b, sizeof b, "0123456789 =\"{}/.xL");
}

/* Damaged bodies behind right headers: names of pax, labels, JSON. */
static void damaged_bodies(void **state) {
    (void)state;
    static char b[512 * 4];
    const char *path = hora_test_path(hora_test_tmp(), "x.tar");
    static const char letters[] = "0123456789 =\"{}[]:,/.path\n";
    hora_rng r = hora_rng_new(17, "bodies");
    for (int round = 0; round < 1500; round++) {
        memset(b, 0, sizeof b);
        unsigned n = (unsigned)hora_rng_below(&r, 40);
        tar_header(b, round % 3 ? round % 3 == 1 ? "a/1.cls" : "a/1.json" : "x",
                   round % 3 ? '0' : 'x', n);
        for (unsigned i = 0; i < n; i++)
            b[512 + i] = letters[hora_rng_below(&r, sizeof letters - 1)];
        if (round % 3 == 0)
            memcpy(b + 512, "18 path=b", hora_min(n, hora_rng_below(&r, 10)));
        tar_header(b + 1024, "a/1.pgm", '0', 12);
        memcpy(b + 1536, "P5 1 1 255 x", 12);
        write_bytes(path, b, sizeof b);
        try_open(path);
    }
}

static void damaged_idx(void **state) {
    (void)state;
    static const char pictures[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
    static const char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 0};
    const char *dir = hora_test_tmp();
    write_bytes(hora_test_path(dir, "a-labels-idx1-ubyte"), labels, sizeof labels);
    damage("a-images-idx3-ubyte", pictures, sizeof pictures, sizeof pictures, "\x01\x02\x03");
}

static void damaged_cifar(void **state) {
    (void)state;
    static char b[2 * 3073];
    const char *names = hora_test_path(hora_test_tmp(), "batches.meta.txt");
    write_bytes(names, "a\nb\n", 4);
    b[0] = 1;
    damage("data_batch_1.bin", b, sizeof b, 3, "\x01");
}

HORA_TESTS(fuzz_images, {"damaged tar", damaged_tar, HORA_SHORT},
           {"damaged bodies", damaged_bodies, HORA_SHORT}, {"damaged idx", damaged_idx, HORA_SHORT},
           {"damaged CIFAR", damaged_cifar, HORA_SHORT});
