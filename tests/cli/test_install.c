/* make install: an outside program is built with what was installed, by pkg-config and by CMake,
 * and runs. */
#include "base/file.h"
#include "tiny_model.h"
#include "tool.h"

static void must(const char *command) {
    hora_str out = {0}, err = {0};
    int code = hora_test_run(command, &out, &err);
    if (code)
        fail_msg("%s: exit %d\n%s%s", command, code, out.s ? out.s : "", err.s ? err.s : "");
    hora_str_release(&out);
    hora_str_release(&err);
}

/* Runs a shell line in which $T is the temporary folder, $S the source tree, $M a model. */
static void in_place(const char *line) {
    char *command = hora_format("T='%s'; S='%s'; M='%s'; B='%s'; %s", hora_test_tmp(),
                                hora_test_source("."), tiny_model(), HORA_BINARY_DIR, line);
    must(command);
    hora_free(command);
}

static void test_install(void **state) {
    (void)state;
    in_place("cmake --install \"$B\" --prefix \"$T/usr\"");
    in_place("export PKG_CONFIG_PATH=$(dirname $(find \"$T/usr\" -name hora.pc)); "
             "cc -std=c11 -o \"$T/one\" \"$S/examples/generate.c\" $(pkg-config --cflags --libs "
             "hora) && "
             "LD_LIBRARY_PATH=$(pkg-config --variable=libdir hora) \"$T/one\" \"$M\" abc");
    /* libhora.a with what hora.pc says that it needs */
    in_place("export PKG_CONFIG_PATH=$(dirname $(find \"$T/usr\" -name hora.pc)); "
             "cc -std=c11 -o \"$T/static\" \"$S/examples/generate.c\" $(pkg-config --cflags hora) "
             "$(pkg-config --variable=libdir hora)/libhora.a "
             "$(pkg-config --static --libs hora | sed 's/-lhora//') && \"$T/static\" \"$M\" abc");
    tiny_file(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.18)\nproject(one C)\nfind_package(hora 0.1 REQUIRED)\n"
        "add_executable(one generate.c)\ntarget_link_libraries(one hora::hora)\n");
    in_place("cp \"$S/examples/generate.c\" \"$T\" && cmake -S \"$T\" -B \"$T/b\" "
             "-DCMAKE_PREFIX_PATH=\"$T/usr\" && "
             "cmake --build \"$T/b\" && \"$T/b/one\" \"$M\" abc");
}

HORA_TESTS(cli_install, {"pkg-config and CMake find it anywhere", test_install, HORA_MEDIUM});
