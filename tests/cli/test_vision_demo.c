/* The demo of pictures: what examples/shapes draws, and examples/vision from end to end with a few
 * steps. */
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "tool.h"

static int shapes(const char *dir, const char *more, hora_str *err) {
    char *command = hora_format("'%s/examples/shapes' '%s' %s", HORA_BINARY_DIR, dir, more);
    const int code = hora_test_run(command, NULL, err);
    hora_free(command);
    return code;
}

static void same_bytes(void **state) {
    (void)state;
    const char *a = hora_test_path(hora_test_tmp(), "a"), *b = hora_test_path(hora_test_tmp(), "b"),
               *c = hora_test_path(hora_test_tmp(), "c");
    assert_int_equal(shapes(a, "fill 3 5", NULL), 0);
    assert_int_equal(shapes(b, "fill 3 5", NULL), 0);
    assert_int_equal(shapes(c, "fill 3 6", NULL), 0);
    static const char *const files[] = {"dotted/0000.ppm", "full/0001.ppm", "outlined/0002.ppm",
                                        "striped/0000.ppm"};
    for (size_t i = 0; i < HORA_COUNT(files); i++) {
        hora_str one = {0}, other = {0};
        hora_assert_same_file(a, b, files[i]);
        assert_ok(hora_file_read(&one, hora_test_path(a, files[i])));
        assert_ok(hora_file_read(&other, hora_test_path(c, files[i])));
        assert_int_equal(one.n, sizeof "P6\n32 32\n255\n" - 1 + 3 * 32 * 32);
        assert_int_equal(one.n, other.n);
        assert_memory_not_equal(one.s, other.s, one.n);
        hora_str_release(&one);
        hora_str_release(&other);
    }
    assert_false(hora_path_exists(hora_test_path(a, "full/0003.ppm")));
}

static void refusals(void **state) {
    (void)state;
    const char *dir = hora_test_path(hora_test_tmp(), "there");
    hora_str err = {0};
    assert_int_equal(shapes(dir, "shape 1", NULL), 0);
    assert_int_equal(shapes(dir, "shape 1", &err), 1);
    assert_non_null(strstr(err.s, "it is there already"));
    hora_str_release(&err);
    static const char *const bad[] = {"", "colour 3", "shape 0", "shape 1 1 4", "shape 99999"};
    for (size_t i = 0; i < HORA_COUNT(bad); i++) {
        const char *none = hora_test_path(hora_test_tmp(), "none");
        assert_int_equal(shapes(none, bad[i], NULL), 2);
        assert_false(hora_path_exists(none));
    }
}

static void demo(void **state) {
    (void)state;
    const char *build = hora_test_path(hora_test_tmp(), "build"); /* its pictures land here */
    char *command = hora_format(
        "mkdir '%s' && ln -s '%s/hora' '%s/examples' '%s' && '%s/examples/vision' '%s' 4 6 5",
        build, HORA_BINARY_DIR, HORA_BINARY_DIR, build, HORA_SOURCE_DIR, build);
    hora_str out = {0}, err = {0};
    const int code = hora_test_run(command, &out, &err);
    hora_free(command);
    if (code)
        fail_msg("examples/vision: exit code %d: %s%s", code, out.s ? out.s : "",
                 err.s ? err.s : "");
    static const char *const methods[] = {"head", "lora", "hora", "full"};
    for (size_t i = 0; i < HORA_COUNT(methods); i++) {
        char name[32], method[8], rate[16];
        double trained = 0, seconds, mean, low, high;
        snprintf(name, sizeof name, "\n%s ", methods[i]);
        const char *row = strstr(out.s, name);
        if (!row || sscanf(row, " %7s %15s %lf %lf %lf %% %lf .. %lf", method, rate, &trained,
                           &seconds, &mean, &low, &high) != 7)
            fail_msg("no whole row of %s: %s", methods[i], out.s);
        assert_true(trained >= 388 && low >= 0 && low <= mean + 0.1 && mean <= high + 0.1 &&
                    high <= 100);
        snprintf(name, sizeof name, "demo-vision/%s.png", methods[i]);
        hora_str png = {0};
        assert_ok(hora_file_read(&png, hora_test_path(build, name)));
        assert_memory_equal(png.s, "\x89PNG", 4);
        hora_str_release(&png);
    }
    assert_true(hora_path_exists(hora_test_path(build, "demo-vision/pictures.png")));
    hora_str_release(&out);
    hora_str_release(&err);
}

HORA_TESTS(cli_vision_demo, {"same arguments, same pictures", same_bytes, HORA_SHORT},
           {"what the generator refuses", refusals, HORA_SHORT},
           {"the demo, a few steps", demo, HORA_MEDIUM});
