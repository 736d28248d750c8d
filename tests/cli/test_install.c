/* make install: an outside program is built with what was installed, by pkg-config and by CMake,
 * and runs. */
#include <stdlib.h>

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

/* The same in bash; skips without it. */
static void in_bash(const char *line) {
    if (system("command -v bash >/dev/null 2>&1"))
        hora_test_skip("bash is not installed");
    char *command = hora_format("bash -c 'B=\"%s\"; %s'", HORA_BINARY_DIR, line);
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

/* What the build made of the tables, where it goes, and that it goes again. */
static void test_manual(void **state) {
    (void)state;
    tool_check(0, ".TP", "", "help --man train");
    tool_check(0, "batch\\-size", "", "help --man train");
    tool_check(0, "hora\\-theory\\-rates", "", "help --man theory rates");
    tool_check(0, "complete -o filenames -F _hora hora", "", "help --completion bash");
    tool_check(0, "#compdef hora", "", "help --completion zsh");
    in_bash("eval \"$($B/hora help --completion bash)\" && COMP_WORDS=(hora train --sched) && "
            "COMP_CWORD=2 && _hora && test \"${COMPREPLY[*]}\" = --schedule && "
            "COMP_WORDS=(hora train --schedule co) COMP_CWORD=3 && _hora && "
            "[[ \" ${COMPREPLY[*]} \" == *\" cosine \"* ]]");
    in_place("cmake --install \"$B\" --prefix \"$T/usr\" && cd \"$T/usr/share\" && "
             "test -s man/man1/hora-train.1 && test -s man/man1/hora-theory-rates.1 && "
             "test -s bash-completion/completions/hora && test -s doc/hora/LICENSE && "
             "echo x > doc/hora/mine && cmake --build \"$B\" --target uninstall && "
             "test \"$(find \"$T/usr\" -type f)\" = \"$T/usr/share/doc/hora/mine\"");
}

/* Names that others see: the shared library exports what hora.h declares, and the static ones take
 * no name from a program that links them. */
static void test_symbols(void **state) {
    (void)state;
    if (system("command -v nm >/dev/null 2>&1"))
        hora_test_skip("nm is not installed");
    in_place(
        "nm -D --defined-only \"$B\"/libhora.so | sed -n 's/.* T \\([^_].*\\)@@HORA_0.1$/\\1/p' | "
        "sort > \"$T/exported\"; "
        "test $(nm -D --defined-only \"$B\"/libhora.so | grep -c ' [^A] [^_]') = "
        "$(wc -l < \"$T/exported\"); "
        "sed -n 's/^HORA_API .*[ *]\\(hora_[a-z_]*\\)(.*/\\1/p' \"$S/include/hora/hora.h\" | sort "
        "> \"$T/declared\"; "
        "test -s \"$T/declared\" && diff \"$T/declared\" \"$T/exported\"");
    /* and it calls nothing that ends or changes the process; abort is for what hora.h says */
    in_place(
        "nm -D -u \"$B\"/libhora.so | sed 's/.* //; s/@.*//' | grep -E '^(_?exit|_Exit|quick_exit|"
        "atexit|signal|sigaction|raise|kill|setlocale|umask|f?chdir|fesetround|fesetenv|setenv|"
        "putenv|unsetenv|s?rand|setrlimit|system|popen)$' > \"$T/rude\"; cat \"$T/rude\"; "
        "test ! -s \"$T/rude\"");
    in_place(
        "nm -g --defined-only \"$B\"/libhora.a \"$B\"/libhora_lab.a | awk 'NF == 3 {print $3}' | "
        "grep -v '^hora_\\|^_' > \"$T/bare\"; cat \"$T/bare\"; test ! -s \"$T/bare\"");
}

/* ./run would install gcc in its place, and fail in CMake. */
static void test_compiler(void **state) {
    (void)state;
    in_place("! CC=no-such-compiler \"$S/run\" build >\"$T/said\" 2>&1 && "
             "grep -q 'CC=no-such-compiler: there is no such compiler' \"$T/said\" && "
             "test $(wc -l < \"$T/said\") = 1");
}

HORA_TESTS(cli_install, {"symbols", test_symbols, HORA_SHORT},
           {"a compiler that is not there", test_compiler, HORA_SHORT},
           {"man pages and completions; uninstalling", test_manual, HORA_MEDIUM},
           {"pkg-config and CMake find it anywhere", test_install, HORA_MEDIUM});
