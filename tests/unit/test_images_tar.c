/* Archives of samples, made here: what belongs to a key, what is told of the rest, compressed
 * ones. */
#include "base/json.h"
#include "base/log.h"
#include "images_kit.h"

static void tars(void **state) {
    (void)state;
    hora_str t = {0};
    hora_images *s;
    hora_image im;
    tar_picture(&t, "a/0001.pgm", 1);
    tar_add(&t, "a/0001.cls", '0', "7\n", 2);
    tar_add(&t, "x", 'x', "22 path=b/0002.seg.ppm\n", 23); /* wrong by one: ignored */
    tar_add(&t, "b/0002.json", '0', "{\"label\": 3}", 12);
    tar_add(&t, "y", 'x', "21 path=b/0002.a.pgm\n", 21);
    tar_picture(&t, "short", 2);
    tar_picture(&t, "b/0002.b.pgm", 3); /* a second picture of the key */
    tar_add(&t, "b/._0003.pgm", '0', "x", 1);
    tar_add(&t, "b/0004.txt", '0', "x", 1);
    put_bytes("web.tar", t.s, t.n);
    assert_ok(hora_images_open(&s, in("web.tar"), NULL));
    assert_int_equal(hora_images_about(s)->samples, 2);
    assert_int_equal(hora_images_about(s)->classes, 8);
    assert_int_equal(hora_images_about(s)->beside, 1);
    assert_int_equal(hora_images_about(s)->hidden, 1);
    assert_int_equal(hora_images_about(s)->not_pictures, 1);
    assert_int_equal(hora_images_label(s, 0), 7);
    assert_int_equal(hora_images_label(s, 1), 3);
    assert_true(hora_ends(hora_images_name(s, 1), "web.tar: b/0002.a.pgm"));
    assert_ok(hora_images_read(s, 1, &im, NULL));
    assert_int_equal(im.px[0], 2);
    hora_image_release(&im);
    hora_images_close(s);

    t.n = 0;
    tar_picture(&t, "./train/dog/1.pgm", 1);
    tar_picture(&t, "./train/cat/1.pgm", 1);
    tar_picture(&t, "./train/@eaDir/1.pgm", 1); /* of a file server, as in folders */
    put_bytes("folders.tar", t.s, t.n);
    assert_ok(hora_images_open(&s, in("folders.tar"), NULL));
    check_classes(s, "cat=1 dog=1");
    hora_images_close(s);

    put_bytes("off.tar", t.s, t.n - 1024 + 100); /* within a header */
    assert_fails(hora_images_open(&s, in("off.tar"), NULL), HORA_EFORMAT, "breaks off");
    t.s[148] ^= 1;
    put_bytes("sum.tar", t.s, t.n);
    assert_fails(hora_images_open(&s, in("sum.tar"), NULL), HORA_EFORMAT, "header");
    t.s[148] ^= 1;
    put_bytes("cut.tar", t.s, 515);
    assert_fails(hora_images_open(&s, in("cut.tar"), NULL), HORA_EFORMAT,
                 "longer than the archive");
    hora_str_release(&t);
}

/* Each archive: its members in order, "NAME" or "NAME=TEXT" (a picture: no text), and what is found. */
static const struct row {
    const char *members, *classes;
    int64_t samples, alone, beside, links, others;
    const char *refused; /* without skip_bad; NULL: it is not */
} sets[] = {
    {"a.pgm a.cls=0 b.pgm b.cls=1", "0=1 1=1", 2, 0, 0, 0, 0, NULL},
    /* a class, or a description, of no picture */
    {"a.pgm a.cls=0 b.cls=1", "0=1", 1, 1, 0, 0, 0, NULL},
    {"a.pgm a.cls=0 b.json={\"label\":0}", "0=1", 1, 1, 0, 0, 0, NULL},
    {"a.pgm a.cls=0 b.json={\"author\":0} c.txt=x", "0=1", 1, 0, 0, 0, 2, NULL},
    {"a.pgm a.cls=0 a.txt=x", "0=1", 1, 0, 0, 0, 1, NULL},
    /* a class apart from its picture */
    {"a.pgm b.pgm a.cls=1 b.cls=0", "0=1 1=1", 2, 0, 0, 0, 0, NULL},
    {"a.cls=1 b.cls=0 a.pgm b.pgm", "0=1 1=1", 2, 0, 0, 0, 0, NULL},
    {"x/a.pgm y/a.pgm y/a.cls=0 x/a.cls=1", "0=1 1=1", 2, 0, 0, 0, 0, NULL},
    {"a.pgm b.pgm a.pgm b.cls=0 a.cls=1 b.cls=2 a.cls=1", "0=1 1=2", 3, 1, 0, 0, 0, NULL},
    /* a picture of no class */
    {"a.pgm a.cls=0 b.pgm", "0=1", 1, 0, 0, 0, 0, "b.pgm has no label, 1 of 2"},
    /* several pictures, several classes; shards one behind the other */
    {"a.pgm a.ppm a.cls=0", "0=1", 1, 0, 1, 0, 0, NULL},
    {"a.pgm a.seg.pgm a.cls=0", "0=1", 1, 0, 1, 0, 0, NULL},
    {"a.json={\"label\":\"dog\"} a.pgm a.cls=0", "0=1", 1, 0, 0, 0, 0, NULL},
    {"a.pgm a.cls=0 b.pgm b.cls=1 a.pgm a.cls=1", "0=1 1=2", 3, 0, 0, 0, 0, NULL},
    {"a.pgm a.cls=0 b.pgm> b.cls=1", "0=1", 1, 1, 0, 1, 0, NULL},
};

static void make_tar(hora_str *t, const char *members) {
    char *own = hora_strdup(members), *left = own;
    t->n = 0;
    for (char *m; (m = strsep(&left, " "));) {
        char *text = strchr(m, '='), *link = strchr(m, '>');
        if (text)
            *text++ = 0;
        if (link)
            *link = 0;
        if (text || link)
            tar_add(t, m, link ? '2' : '0', text ? text : "", text ? strlen(text) : 0);
        else
            tar_picture(t, m, 1);
    }
    hora_free(own);
}

static void note(void *user, int level, const char *text) {
    (void)level;
    hora_str_puts(user, text);
}

static void members(void **state) {
    (void)state;
    hora_str t = {0};
    for (size_t i = 0; i < HORA_COUNT(sets); i++) {
        const struct row *r = &sets[i];
        hora_images *s;
        make_tar(&t, r->members);
        put_bytes("m.tar", t.s, t.n);
        if (r->refused)
            assert_fails(hora_images_open(&s, in("m.tar"), NULL), HORA_EFORMAT, r->refused);
        assert_ok(hora_images_open(&s, in("m.tar"), &(hora_images_config){.skip_bad = true}));
        const hora_images_info *about = hora_images_about(s);
        check_classes(s, r->classes);
        assert_int_equal(about->samples, r->samples);
        assert_int_equal(about->alone, r->alone);
        assert_int_equal(about->beside, r->beside);
        assert_int_equal(about->links, r->links);
        assert_int_equal(about->not_pictures, r->others);
        assert_int_equal(about->unlabelled, r->refused ? 1 : 0);
        hora_str heard = {0};
        hora_log_sink(note, &heard);
        hora_images_say_left_out(s);
        hora_log_sink(NULL, NULL);
        hora_str_puts(&heard, "");
        assert_int_equal(strstr(heard.s, "no picture") != NULL, r->alone > 0);
        assert_int_equal(strstr(heard.s, "without a class") != NULL, r->refused != NULL);
        hora_str_release(&heard);
        hora_images_close(s);
        if (r->refused) { /* who predicts needs no class */
            assert_ok(hora_images_open(&s, in("m.tar"), &(hora_images_config){.partial = true}));
            assert_int_equal(hora_images_about(s)->samples, r->samples + 1);
            assert_int_equal(hora_images_label(s, r->samples), -1);
            hora_images_close(s);
        }
    }
    hora_str_release(&t);
}

/* By the bytes, whatever the name says; the names say only that an archive is meant. */
static void compressed(void **state) {
    (void)state;
#ifndef HORA_HAVE_GZIP
    hora_test_skip("this build lacks zlib");
#endif
    static const char *const names[] = {"z.tar.gz", "z.tgz", "z.tar", "z.tar.zst"};
    static const char *const refused[] = {"z.tar.bz2", "z.tar.xz", "z.txz", "z.zip", "z.7z"};
    hora_str t = {0}, z = {0};
    hora_images *plain, *s;
    hora_image im;
    make_tar(&t, sets[0].members);
    put_bytes("p.tar", t.s, t.n);
    assert_ok(hora_images_open(&plain, in("p.tar"), NULL));
    gzip_stored(&z, t.s, t.n);
    for (size_t i = 0; i < HORA_COUNT(names); i++) {
        put_bytes(names[i], z.s, z.n);
        assert_true(hora_images_is_container(in(names[i])));
        assert_ok(hora_images_open(&s, in(names[i]), NULL));
        check_classes(s, sets[0].classes);
        assert_true(hora_images_about(s)->hash == hora_images_about(plain)->hash);
        assert_ok(hora_images_read(s, 1, &im, NULL));
        assert_int_equal(im.px[0], 1);
        hora_image_release(&im);
        hora_images_close(s);
    }
    hora_images_close(plain);
    put_bytes("cut.tar.gz", z.s, z.n - 600);
    assert_fails(hora_images_open(&s, in("cut.tar.gz"), NULL), HORA_EFORMAT, "cut off");
    for (size_t i = 0; i < HORA_COUNT(refused); i++) {
        put_bytes(refused[i], "x", 1);
        assert_true(hora_images_is_container(in(refused[i])));
        assert_fails(hora_images_open(&s, in(refused[i]), NULL), HORA_EUNSUPPORTED, "unpack it");
    }
    put("text.jsonl.gz", "");
    assert_false(hora_images_is_container(in("text.jsonl.gz")));
    hora_str_release(&t);
    hora_str_release(&z);
}

HORA_TESTS(unit_images_tar, {"tar", tars, HORA_SHORT}, {"members of a key", members, HORA_SHORT},
           {"compressed archives", compressed, HORA_SHORT});
