/* The programs of examples/, one after another as a user would run them. */
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

static void run(const char *want, const char *fmt, ...) HORA_PRINTF(2, 3);
static void run(const char *want, const char *fmt, ...) {
    char args[2048];
    hora_str out = {0}, err = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    char *command = hora_format("'%s'/examples/%s", HORA_BINARY_DIR, args);
    const int code = hora_test_run(command, &out, &err);
    if (code || !strstr(out.s ? out.s : "", want))
        fail_msg("%s: exit code %d, stdout should hold \"%s\": %s%s", command, code, want,
                 out.s ? out.s : "", err.s ? err.s : "");
    hora_free(command);
    hora_str_release(&out);
    hora_str_release(&err);
}

static void test_all(void **state) {
    (void)state;
    const char *m = tiny_model(), *tmp = hora_test_tmp();
    hora_str text = {0};
    for (int i = 0; i < 80; i++)
        hora_str_puts(&text, "the cat sat on the mat\n");
    const char *data = tiny_file("data.txt", text.s);
    hora_str_release(&text);
    run("step 20", "train_adapter '%s' '%s' '%s/adapter'", m, data, tmp);
    assert_true(hora_path_exists(hora_test_path(tmp, "adapter/adapter_model.safetensors")));
    assert_true(hora_path_exists(hora_test_path(tmp, "adapter/hora_state.safetensors")));
    run("the c", "generate '%s' 'the c' '%s/adapter'", m, tmp);
    run("the cat", "evaluate '%s' '%s' '%s/adapter'", m, data, tmp);
    run("gives the same text", "chat '%s' 'How many \"cats\"?'", m);
    run("merged model", "merge_adapter '%s' '%s/adapter' '%s/merged'", m, tmp, tmp);
    run("the c", "generate '%s/merged' 'the c'", tmp);
}

HORA_TESTS(cli_examples, {"all five", test_all, HORA_SHORT});
