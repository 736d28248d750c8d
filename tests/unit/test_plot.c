/* Pictures: the script stays beside them, and a machine without gnuplot is told what to do. */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "hora_test.h"
#include "lab/plot.h"

static void keep_text(void *user, int level, const char *text) {
    (void)level;
    hora_str_puts(user, text);
}

static bool have_gnuplot(void) {
    return hora_test_run("command -v gnuplot", NULL, NULL) == 0;
}

/* Draws `body` in a fresh folder with PATH set to `path` (NULL: as it is); warnings go to `said`.
 */
static const char *draw(const char *body, const char *path, bool *drawn, hora_str *said) {
    const char *dir = hora_test_path(hora_test_tmp(), "it's a folder");
    char *old = hora_strdup(getenv("PATH"));
    hora_outdir *out;
    assert_ok(hora_outdir_open(&out, dir, &(hora_outdir_how){.mode = HORA_OUT_NEW}));
    assert_ok(hora_outdir_begin(out));
    const hora_plot p = {out, "line", 4, 3, body};
    assert_ok(hora_outdir_write(out, "line.csv", "x,y\n1,2\n3,4\n", 12));
    assert_ok(hora_outdir_write(out, "line.svg", "old", 3));
    if (path)
        setenv("PATH", path, 1);
    hora_log_sink(keep_text, said);
    const hora_status s = hora_plot_draw(&p, drawn);
    hora_log_sink(NULL, NULL);
    setenv("PATH", old, 1);
    hora_free(old);
    hora_outdir_close(out);
    assert_ok(s);
    assert_true(hora_path_exists(hora_test_path(dir, "line.gp")));
    return dir;
}

static void test_drawn(void **state) {
    (void)state;
    bool drawn;
    hora_str said = {0}, svg = {0}, png = {0};
    if (!have_gnuplot())
        hora_test_skip("gnuplot is not installed");
    const char *dir = draw("plot \"line.csv\" using 1:2 with linespoints ls 1 title \"a key\"\n",
                           NULL, &drawn, &said);
    assert_true(drawn);
    assert_int_equal(said.n, 0);
    assert_ok(hora_file_read(&svg, hora_test_path(dir, "line.svg")));
    assert_ok(hora_file_read(&png, hora_test_path(dir, "line.png")));
    assert_non_null(strstr(svg.s, "a key"));
    assert_non_null(strstr(svg.s, "</svg>"));
    assert_true(png.n > 100 && !memcmp(png.s, "\x89PNG", 4));
    hora_str_release(&svg);
    hora_str_release(&png);
}

static void test_wrong_script(void **state) {
    (void)state;
    bool drawn;
    hora_str said = {0};
    if (!have_gnuplot())
        hora_test_skip("gnuplot is not installed");
    const char *dir = draw("plot nonsense(\n", NULL, &drawn, &said);
    assert_false(drawn);
    assert_non_null(strstr(said.s, "could not draw"));
    assert_false(hora_path_exists(hora_test_path(dir, "line.svg"))); /* the old one is gone */
    hora_str_release(&said);
}

static void test_missing(void **state) {
    (void)state;
    bool drawn;
    hora_str said = {0};
    draw("plot x\n", "/nonexistent", &drawn, &said);
    assert_false(drawn);
    assert_non_null(strstr(said.s, "gnuplot-nox"));
    hora_str_release(&said);
}

HORA_TESTS(unit_plot, {"gnuplot draws both pictures", test_drawn, HORA_SHORT},
           {"a wrong script leaves no picture", test_wrong_script, HORA_SHORT},
           {"without gnuplot the script stays and says what to install", test_missing, HORA_SHORT});
