/* Sets of pictures made here: folders with their oddities, lists, idx, CIFAR; labels by
 * name. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/image_loader.h"
#include "image_libraries.h"
#include "images_kit.h"

static void oddities(void) {
    put_picture("set/Zebra/b.pgm", 2);
    put_picture("set/Zebra/a.PGM", 1);
    put_picture("set/Zebra/deep/er/c.pgm", 3);
    put_picture("set/Zebra/._a.pgm", 9);
    put_picture("set/10/x.pgm", 4);
    put_picture("set/2/x.pgm", 5);
    put_picture("set/.hidden/x.pgm", 9);
    put_picture("set/__MACOSX/x.pgm", 9);
    put_picture("set/stray.pgm", 9);
    put("set/2/Thumbs.db", "");
    put("set/2/x.pgm~", "");
    put("set/2/old.gif", "GIF89a");
    put_picture("set/日本/x.pgm", 6);
    assert_ok(hora_mkdirs(in("set/empty")));
    assert_int_equal(symlink("Zebra", in("set/linked")), 0);
}

static void folders(void **state) {
    (void)state;
    hora_images *s;
    oddities();
    assert_ok(hora_images_open(&s, in("set"), NULL));
    const hora_images_info *about = hora_images_about(s);
    check_classes(s, "10=1 2=1 Zebra=3 empty=0 linked=3 日本=1");
    assert_string_equal(about->kind, "folder");
    assert_int_equal(about->samples, 9);
    assert_int_equal(about->empty_classes, 1);
    assert_int_equal(about->hidden, 4); /* two folders, ._a.pgm seen twice */
    assert_int_equal(about->not_pictures, 2);
    assert_int_equal(about->other_formats, 1);
    assert_int_equal(about->beside, 1);
    static const char *const order[] = {"10/x.pgm", "2/x.pgm", "Zebra/a.PGM", "Zebra/b.pgm",
                                        "Zebra/deep/er/c.pgm"};
    static const int level[] = {4, 5, 1, 2, 3}, label[] = {0, 1, 2, 2, 2};
    for (int i = 0; i < 5; i++) {
        hora_image im;
        hora_image_info info;
        assert_true(hora_ends(hora_images_name(s, i), order[i]));
        assert_int_equal(hora_images_label(s, i), label[i]);
        assert_ok(hora_images_read(s, i, &im, &info));
        assert_int_equal(im.px[2], level[i]);
        hora_image_release(&im);
    }
    uint64_t hash = about->hash;
    hora_images_close(s);
    assert_int_equal(rename(in("set"), in("moved")), 0); /* the same set elsewhere */
    assert_ok(hora_images_open(&s, in("moved"), NULL));
    assert_true(hora_images_about(s)->hash == hash);
    hora_images_close(s);
    put("moved/10/x.pgm", "P5 1 1 255 longer");
    assert_ok(hora_images_open(&s, in("moved"), NULL));
    assert_true(hora_images_about(s)->hash != hash);
    hora_images_close(s);
    assert_int_equal(rename(in("moved"), in("set")), 0);
    assert_int_equal(symlink("..", in("set/Zebra/loop")), 0);
    assert_fails(hora_images_open(&s, in("set"), NULL), HORA_EFORMAT, "loop");
}

static void labels_by_name(void **state) {
    (void)state;
    static const char *const names[] = {"ant", "bee", "cow", "dog"}, *const twice[] = {"ant", "cow",
                                                                                       "ant"};
    hora_images_config c = {.labels = names, .nlabels = 4};
    hora_images *s;
    put_picture("test/ant/1.pgm", 1);
    put_picture("test/cow/1.pgm", 1);
    put_picture("test/dog/1.pgm", 1);
    assert_ok(hora_images_open(&s, in("test"), &c));
    check_classes(s, "ant=1 bee=0 cow=1 dog=1");
    assert_int_equal(hora_images_label(s, 1), 2);
    assert_int_equal(hora_images_label(s, 2), 3);
    assert_int_equal(hora_images_about(s)->empty_classes, 1);
    hora_images_close(s);
    put_picture("test/eel/1.pgm", 1);
    assert_fails(hora_images_open(&s, in("test"), &c), HORA_EMISMATCH, "`eel`");
    c.skip_bad = true;
    assert_ok(hora_images_open(&s, in("test"), &c));
    assert_int_equal(hora_images_about(s)->unknown, 1);
    assert_int_equal(hora_images_about(s)->samples, 3);
    hora_images_close(s);
    c.labels = twice;
    c.nlabels = 3;
    assert_fails(hora_images_open(&s, in("test"), &c), HORA_EMISMATCH, "`ant`");
}

static void what_is_no_set(void **state) {
    (void)state;
    hora_images *s;
    assert_fails(hora_images_open(&s, in("absent"), NULL), HORA_ENOTFOUND, "absent");
    put("x.bin", "");
    assert_fails(hora_images_open(&s, in("x.bin"), NULL), HORA_EUNSUPPORTED, "no set");
    put("train-images-idx3-ubyte.xz", "");
    assert_fails(hora_images_open(&s, in("train-images-idx3-ubyte.xz"), NULL), HORA_EUNSUPPORTED,
                 "unpack");
    assert_ok(hora_mkdirs(in("nothing/in")));
    assert_fails(hora_images_open(&s, in("nothing"), NULL), HORA_ENOTFOUND, "no picture");
    put_picture("parts/train/a/1.pgm", 1);
    put_picture("parts/test/a/1.pgm", 1);
    assert_fails(hora_images_open(&s, in("parts"), NULL), HORA_EUSAGE, "give one of them");
    put_picture("flat/b.pgm", 1); /* no folders: no labels */
    put_picture("flat/a.pgm", 1);
    assert_ok(hora_images_open(&s, in("flat"), NULL));
    assert_int_equal(hora_images_about(s)->samples, 2);
    assert_int_equal(hora_images_about(s)->classes, 0);
    assert_int_equal(hora_images_label(s, 0), -1);
    hora_images_close(s);
}

static void lists(void **state) {
    (void)state;
    hora_images *s;
    put_picture("l/a.pgm", 7);
    put_picture("l/b.pgm", 8);
    put("l/names.jsonl", "{\"file_name\": \"b.pgm\", \"label\": \"dog\"}\n{\"image\": \"a.pgm\", "
                         "\"class\": \"cat\"}\n");
    assert_ok(hora_images_open(&s, in("l/names.jsonl"), NULL));
    check_classes(s, "cat=1 dog=1");
    assert_int_equal(hora_images_label(s, 0), 1); /* the list's order stays */
    hora_images_close(s);

    put("l/numbers.jsonl",
        "{\"path\": \"b.pgm\", \"label\": 10}\n{\"path\": \"a.pgm\", \"label\": 2}\n");
    assert_ok(hora_images_open(&s, in("l/numbers.jsonl"), NULL));
    assert_int_equal(hora_images_about(s)->classes, 11); /* by value, with their gaps */
    assert_int_equal(hora_images_label(s, 0), 10);
    assert_int_equal(hora_images_about(s)->empty_classes, 9);
    hora_images_close(s);
    static const char *const names[] = {"x", "y", "z", "u", "v", "w", "a", "b", "c", "d", "e"};
    hora_images_config c = {.labels = names, .nlabels = 11};
    assert_ok(hora_images_open(&s, in("l/numbers.jsonl"), &c)); /* numbers into a list of names */
    assert_int_equal(hora_images_label(s, 1), 2);
    hora_images_close(s);
    c.nlabels = 10;
    assert_fails(hora_images_open(&s, in("l/numbers.jsonl"), &c), HORA_EMISMATCH, "`10`");

    put("l/missing.jsonl",
        "{\"path\": \"a.pgm\", \"label\": 0}\n{\"path\": \"none.pgm\", \"label\": 1}\n");
    assert_fails(hora_images_open(&s, in("l/missing.jsonl"), NULL), HORA_ENOTFOUND, "line 2");
    assert_ok(hora_images_open(&s, in("l/missing.jsonl"), &(hora_images_config){.skip_bad = true}));
    assert_int_equal(hora_images_about(s)->missing, 1);
    hora_images_close(s);
    put("l/partly.jsonl", "{\"path\": \"a.pgm\", \"label\": 0}\n{\"path\": \"b.pgm\"}\n");
    assert_fails(hora_images_open(&s, in("l/partly.jsonl"), NULL), HORA_EFORMAT, "no label");
    put("l/pathless.jsonl", "{\"text\": \"a\"}\n");
    assert_fails(hora_images_open(&s, in("l/pathless.jsonl"), NULL), HORA_EFORMAT, "file_name");
    put("l/float.jsonl", "{\"path\": \"a.pgm\", \"label\": 0.5}\n");
    assert_fails(hora_images_open(&s, in("l/float.jsonl"), NULL), HORA_EFORMAT, "class number");

    /* Numbers that no class has: refused by name, or counted. */
    put("l/outside.jsonl",
        "{\"path\": \"a.pgm\", \"label\": 1}\n{\"path\": \"b.pgm\", \"label\": -3}\n"
        "{\"path\": \"b.pgm\", \"label\": 99999999999}\n");
    put("l/outside.csv", "path,label\na.pgm,cat\nb.pgm,-1\n");
    put("l/below.jsonl", "{\"path\": \"a.pgm\", \"label\": -1}\n");
    assert_fails(hora_images_open(&s, in("l/outside.jsonl"), NULL), HORA_EMISMATCH,
                 "`-3`, `99999999999`");
    assert_ok(hora_images_open(&s, in("l/outside.jsonl"), &(hora_images_config){.skip_bad = true}));
    check_classes(s, "0=0 1=1");
    assert_int_equal(hora_images_about(s)->unknown, 2);
    hora_images_close(s);
    assert_fails(hora_images_open(&s, in("l/outside.csv"), NULL), HORA_EMISMATCH, "`-1`");
    assert_fails(hora_images_open(&s, in("l/below.jsonl"), NULL), HORA_EFORMAT, "below 0");

    put("l/names.csv", "id,label,file_name\n1,\"a, b\",a.pgm\n2,dog,b.pgm\n");
    assert_ok(hora_images_open(&s, in("l/names.csv"), NULL));
    check_classes(s, "a, b=1 dog=1");
    hora_images_close(s);
    put("l/numbers.tsv", "path\tlabel\nb.pgm\t10\na.pgm\t2\n");
    assert_ok(hora_images_open(&s, in("l/numbers.tsv"), NULL));
    assert_int_equal(hora_images_label(s, 0), 10);
    hora_images_close(s);
    put("l/bare.csv", "image,label\na.pgm,\n"); /* an empty field is no label */
    assert_ok(hora_images_open(&s, in("l/bare.csv"), NULL));
    assert_int_equal(hora_images_label(s, 0), -1);
    hora_images_close(s);
    put("l/mark.csv", "\xef\xbb\xbfimage,label\na.pgm,cat\n"); /* a spreadsheet's */
    assert_ok(hora_images_open(&s, in("l/mark.csv"), NULL));
    check_classes(s, "cat=1");
    hora_images_close(s);
    put("l/wrong.csv", "image,label\na.pgm,x,y\n");
    assert_fails(hora_images_open(&s, in("l/wrong.csv"), NULL), HORA_EFORMAT, "fields");
}

/* --- MNIST and CIFAR -------------------------------------------------------------------------- */

static void idx(void **state) {
    (void)state;
    static const unsigned char pictures[] = {0, 0, 8, 3, 0, 0, 0,  2,  0,  0,
                                             0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 0};
    hora_images *s;
    hora_image im;
    put_bytes("m/train-images-idx3-ubyte", pictures, sizeof pictures);
    put_bytes("m/train-labels-idx1-ubyte", labels, sizeof labels);
    for (int folder = 0; folder < 2; folder++) {
        assert_ok(hora_images_open(&s, folder ? in("m") : in("m/train-images-idx3-ubyte"), NULL));
        assert_string_equal(hora_images_about(s)->kind, "idx");
        assert_int_equal(hora_images_about(s)->classes, 5);
        assert_int_equal(hora_images_label(s, 0), 4);
        assert_ok(hora_images_read(s, 1, &im, NULL));
        assert_int_equal(im.width, 2);
        assert_memory_equal(im.px, ((uint8_t[]){30, 30, 30, 40, 40, 40}), 6);
        hora_image_release(&im);
        hora_images_close(s);
    }
#ifdef HORA_HAVE_GZIP /* as they are handed out; the one packed, the other not, too */
    hora_str z = {0};
    gzip_stored(&z, pictures, sizeof pictures);
    put_bytes("z/train-images-idx3-ubyte.gz", z.s, z.n);
    put_bytes("z/train-labels-idx1-ubyte", labels, sizeof labels);
    for (int folder = 0; folder < 2; folder++) {
        assert_ok(
            hora_images_open(&s, folder ? in("z") : in("z/train-images-idx3-ubyte.gz"), NULL));
        assert_int_equal(hora_images_about(s)->samples, 2);
        assert_int_equal(hora_images_label(s, 0), 4);
        hora_images_close(s);
        z.n = 0; /* then the labels too */
        gzip_stored(&z, labels, sizeof labels);
        put_bytes("z/train-labels-idx1-ubyte.gz", z.s, z.n);
        remove(in("z/train-labels-idx1-ubyte"));
    }
    hora_str_release(&z);
#endif
    put_bytes("m/train-labels-idx1-ubyte", labels, sizeof labels - 1);
    assert_fails(hora_images_open(&s, in("m"), NULL), HORA_EFORMAT, "promises");
    put_bytes("n/t10k-images-idx3-ubyte", pictures, sizeof pictures);
    assert_ok(hora_images_open(&s, in("n/t10k-images-idx3-ubyte"), NULL)); /* no labels beside it */
    assert_int_equal(hora_images_label(s, 0), -1);
    hora_images_close(s);
    put_bytes("n/t10k-images-idx3-ubyte", pictures, sizeof pictures - 1);
    assert_fails(hora_images_open(&s, in("n/t10k-images-idx3-ubyte"), NULL), HORA_EFORMAT,
                 "promises");
}

static void cifar(void **state) {
    (void)state;
    static unsigned char r[2 * 3074];
    hora_images *s;
    hora_image im;
    r[0] = 1;
    r[1] = 11, r[2] = 12, r[1 + 1024] = 21, r[1 + 2048] = 31;
    r[3073] = 0;
    put_bytes("c/data_batch_1.bin", r, 2 * 3073);
    put_bytes("c/data_batch_2.bin", r, 3073);
    put("c/batches.meta.txt", "airplane\nautomobile\nbird\n\n");
    assert_ok(hora_images_open(&s, in("c"), NULL));
    assert_string_equal(hora_images_about(s)->kind, "cifar");
    check_classes(s, "airplane=1 automobile=2 bird=0");
    assert_ok(hora_images_read(s, 2, &im, NULL));
    assert_memory_equal(im.px, ((uint8_t[]){11, 21, 31, 12, 0, 0}), 6);
    hora_image_release(&im);
    hora_images_close(s);
    r[0] = 10; /* without names: the classes that the format has */
    put_bytes("bare/test_batch.bin", r, 3073);
    assert_fails(hora_images_open(&s, in("bare/test_batch.bin"), NULL), HORA_EFORMAT, "label 10");
    r[0] = 3;
    put_bytes("c/data_batch_1.bin", r, 3073);
    assert_fails(hora_images_open(&s, in("c"), NULL), HORA_EFORMAT, "label 3");
    put_bytes("c/data_batch_1.bin", r, 3072);
    assert_fails(hora_images_open(&s, in("c"), NULL), HORA_EFORMAT, "whole records");

    memset(r, 0, sizeof r);
    r[0] = 19, r[1] = 5, r[3074] = 1, r[3075] = 2; /* coarse, fine */
    put_bytes("c100/train.bin", r, 2 * 3074);
    assert_ok(hora_images_open(&s, in("c100/train.bin"), NULL));
    assert_int_equal(hora_images_label(s, 0), 5);
    assert_int_equal(hora_images_label(s, 1), 2);
    hora_images_close(s);
    r[1] = 100;
    put_bytes("c100/train.bin", r, 2 * 3074);
    assert_fails(hora_images_open(&s, in("c100/train.bin"), NULL), HORA_EFORMAT, "label 100");
}

/* --- a look at all ---------------------------------------------------------------------------- */

static void looks(void **state) {
    (void)state;
    hora_images *s;
    hora_images_survey v;
    put_picture("k/a/1.pgm", 100);
    put("k/a/2.pgm", "P5 2 2 255 x");
    put_picture("k/b/1.pgm", 3);
    put("k/b/2.pgm", "P6 2 1 255 abcdef");
    put("k/b/3.pgm", "<html>");
    put("k/c/1.pgm", "");
    assert_ok(hora_images_open(&s, in("k"), NULL));
    assert_ok(hora_images_look(s, &v));
    assert_int_equal(v.read, 3);
    assert_int_equal(v.nbad, 3);
    assert_int_equal(v.dark, 1);
    assert_int_equal(v.least_width, 1);
    assert_int_equal(v.most_width, 2);
    assert_int_equal(v.bytes, 3 * (1 + 1 + 2));
    assert_non_null(strstr(v.bad[0].why, "k/a/2.pgm"));
    assert_non_null(strstr(v.bad[1].why, "web page"));
    assert_fails(hora_images_screen(s, &v), HORA_EFORMAT, "k/a/2.pgm");
    hora_images_survey_release(&v);
    hora_images_close(s);

    assert_ok(hora_images_open(&s, in("k"), &(hora_images_config){.skip_bad = true}));
    assert_ok(hora_images_look(s, &v));
    assert_ok(hora_images_screen(s, &v));
    check_classes(s, "a=1 b=2 c=0");
    assert_int_equal(hora_images_about(s)->empty_classes, 1);
    assert_true(hora_ends(hora_images_name(s, 2), "b/2.pgm"));
    hora_images_survey_release(&v);
    hora_images_close(s);
    put("k2/a/2.pgm", "P5 2 2 255 x");
    assert_ok(hora_images_open(&s, in("k2"), &(hora_images_config){.skip_bad = true}));
    assert_ok(hora_images_look(s, &v));
    assert_fails(hora_images_screen(s, &v), HORA_EFORMAT, "none of the 1");
    hora_images_survey_release(&v);
    hora_images_close(s);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Values do not depend on the cache, the threads, the order or the company. */
static void loading(void **state) {
    (void)state;
    enum { N = 12, S = 3 * 8 * 8 };
    static const hora_augment flips = {.flip = 0.5, .brightness = 0.4, .erase = 0.3};
    static const hora_augment parts = {.crop = true, .flip = 0.5, .ops = 2, .magnitude = 9};
    const hora_augment *const augments[] = {NULL, &flips, &parts};
    static const int64_t order[N] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                         back[N] = {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
    hora_images *s;
    hora_image_processor p;
    for (int i = 0; i < N; i++) {
        char name[32], pgm[16 + 20 * 30] = "P5 20 30 255 ";
        snprintf(name, sizeof name, "load/c%d/%02d.pgm", i % 3, i);
        for (int k = 0; k < 600; k++)
            pgm[13 + k] = (char)(k * (i + 1));
        put_bytes(name, pgm, 13 + 600);
    }
    assert_ok(hora_images_open(&s, in("load"), NULL));
    assert_ok(hora_image_processor_default(&p, "ViT"));
    p.height = p.width = 8;
    for (size_t k = 0; k < HORA_COUNT(augments); k++) {
        float *want = hora_calloc(N * S, sizeof *want), *got = hora_calloc(N * S, sizeof *got);
        for (int cache = 0; cache < 3; cache++) { /* none, room for some, for all */
            hora_image_loader *l;
            const hora_image_loader_config c = {s, &p, augments[k], 4,
                                                cache == 2 ? 1 << 20 : cache * 4000};
            assert_ok(hora_image_loader_open(&l, &c));
            for (int epoch = 0; epoch < 2; epoch++) {
                assert_ok(hora_image_loader_fill(l, 7, back, N, got));
                for (int i = 0; i < N; i++)
                    if (cache == 0 && epoch == 0)
                        memcpy(want + i * S, got + (N - 1 - i) * S, S * sizeof *got);
                    else
                        assert_memory_equal(want + i * S, got + (N - 1 - i) * S, S * sizeof *got);
            }
            assert_ok(hora_image_loader_get(l, 7, 5, got));
            assert_memory_equal(got, want + 5 * S, S * sizeof *got);
            assert_ok(hora_image_loader_fill(l, 8, order, N, got));
            assert_int_equal(memcmp(got, want, N * S * sizeof *got) == 0, augments[k] == NULL);
            int64_t each = augments[k] == &parts ? 1800 : S;
            assert_int_equal(hora_image_loader_cached(l),
                             cache == 0 ? 0
                                        : hora_min(N, (cache == 2 ? 1 << 20 : 4000) / each) * each);
            hora_image_loader_close(l);
        }
        hora_free(want);
        hora_free(got);
    }
    put("load/c0/03.pgm", "P5 20 30 255 cut");
    float values[2 * S];
    hora_image_loader *l;
    assert_ok(hora_image_loader_open(&l, &(hora_image_loader_config){.set = s, .processor = &p}));
    assert_fails(hora_image_loader_fill(l, 0, (int64_t[]){0, 1}, 2, values), HORA_EFORMAT,
                 "03.pgm");
    hora_image_loader_close(l);
    p.fit = HORA_FIT_SHORTEST;
    p.shortest = 8;
    assert_fails(hora_image_loader_open(&l, &(hora_image_loader_config){.set = s, .processor = &p}),
                 HORA_EUSAGE, "do_center_crop");
    hora_images_close(s);
}

/* --- the cases -------------------------------------------------------------------------------- */

static void case_folder_oddities(void **state) {
    (void)state;
    need_image_libraries();
    const char *folder = hora_test_shared("cases/vision-folder-oddities");
    char *copy = hora_format("cp -r '%s/images' '%s' && cd '%s' && mkdir -p images/empty_class && "
                             "ln -s Zebra images/linked",
                             folder, hora_test_tmp(), hora_test_tmp());
    assert_int_equal(hora_test_run(copy, NULL, NULL), 0);
    hora_free(copy);
    hora_json *root;
    assert_ok(hora_json_load(&root, hora_test_path(folder, "case.json")));
    const hora_json *want = hora_json_get(hora_json_get(root, "expect"), "hora"),
                    *names = hora_json_get(want, "classes");
    hora_images *s;
    assert_ok(hora_images_open(&s, in("images"), NULL));
    assert_int_equal(hora_images_about(s)->classes, hora_json_len(names));
    for (int64_t i = 0; i < hora_images_about(s)->classes; i++) {
        const char *name = hora_json_string(hora_json_at(names, (size_t)i), NULL);
        int64_t count;
        assert_string_equal(hora_images_class(s, i), name);
        assert_true(hora_json_int(hora_json_get(hora_json_get(want, "counts"), name), &count));
        assert_int_equal(hora_images_class_count(s, i), count);
    }
    hora_images_survey v;
    assert_ok(hora_images_look(s, &v));
    assert_int_equal(v.nbad, 0);
    hora_images_survey_release(&v);
    hora_images_close(s);
    hora_json_free(root);
}

static void case_splits_differ(void **state) {
    (void)state;
    need_image_libraries();
    const char *folder = hora_test_shared("cases/vision-folder-splits-differ/images");
    hora_images *train, *test;
    assert_ok(hora_images_open(&train, hora_test_path(folder, "train"), NULL));
    const char *names[8];
    int64_t n = hora_images_about(train)->classes;
    for (int64_t i = 0; i < n; i++)
        names[i] = hora_images_class(train, i);
    assert_ok(hora_images_open(&test, hora_test_path(folder, "test"),
                               &(hora_images_config){.labels = names, .nlabels = n}));
    for (int64_t i = 0; i < hora_images_about(test)->samples; i++) {
        char *part = hora_format("/%s/", names[hora_images_label(test, i)]);
        assert_non_null(strstr(hora_images_name(test, i), part));
        hora_free(part);
    }
    assert_int_equal(hora_images_about(test)->empty_classes, 1);
    hora_images_close(test);
    hora_images_close(train);
}

static void case_files_broken(void **state) {
    (void)state;
    need_image_libraries();
    hora_images *s;
    hora_images_survey v;
    assert_ok(hora_images_open(&s, hora_test_shared("cases/vision-files-broken/images"), NULL));
    assert_ok(hora_images_look(s, &v));
    assert_int_equal(v.read, 2);
    assert_int_equal(v.nbad, 11); /* with the one that lacks its end mark */
    hora_images_survey_release(&v);
    hora_images_close(s);
}

static void cifar100_folder(void **state) {
    (void)state;
    need_image_libraries();
    hora_images *s;
    hora_images_survey v;
    assert_ok(hora_images_open(&s, hora_test_shared("data/cifar100/train"), NULL));
    assert_int_equal(hora_images_about(s)->samples, 1000);
    assert_int_equal(hora_images_about(s)->classes, 100);
    assert_int_equal(hora_images_class_count(s, 99), 10);
    assert_ok(hora_images_look(s, &v));
    assert_int_equal(v.read, 1000);
    assert_int_equal(v.most_width, 32);
    hora_images_survey_release(&v);
    hora_images_close(s);
}

HORA_TESTS(unit_images, {"folders", folders, HORA_SHORT},
           {"labels by name", labels_by_name, HORA_SHORT},
           {"what is no set", what_is_no_set, HORA_SHORT}, {"lists", lists, HORA_SHORT},
           {"idx", idx, HORA_SHORT}, {"CIFAR", cifar, HORA_SHORT},
           {"a look at all", looks, HORA_SHORT}, {"loading", loading, HORA_SHORT},
           {"case: folder oddities", case_folder_oddities, HORA_SHORT},
           {"case: splits differ", case_splits_differ, HORA_SHORT},
           {"case: broken files", case_files_broken, HORA_SHORT},
           {"CIFAR-100 as folders", cifar100_folder, HORA_SHORT});
