#include "tool.h"

#include <stdio.h>

#include "base/file.h"

static char *command_of(const char *fmt, va_list ap) {
    char args[4096];
    vsnprintf(args, sizeof args, fmt, ap);
    return hora_format("%s %s", hora_test_tool(), args);
}

static void check(int code, const char *out, const char *err, const char *command) {
    hora_str o = {0}, e = {0};
    const int got = hora_test_run(command, &o, &e);
    const char *so = o.s ? o.s : "", *se = e.s ? e.s : "";
    if (got != code)
        fail_msg("%s: exit code %d, should be %d; stderr: %s", command, got, code, se);
    if (out && !strstr(so, out))
        fail_msg("%s: stdout lacks \"%s\": %s", command, out, so);
    if (err && !strstr(se, err))
        fail_msg("%s: stderr lacks \"%s\": %s", command, err, se);
    hora_str_release(&o);
    hora_str_release(&e);
}

void tool_check(int code, const char *out, const char *err, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *command = command_of(fmt, ap);
    va_end(ap);
    check(code, out, err, command);
    hora_free(command);
}

static void text_of(hora_str *out, const char *fmt, va_list ap) {
    hora_str e = {0};
    char *command = command_of(fmt, ap);
    const int code = hora_test_run(command, out, &e);
    if (code)
        fail_msg("%s: exit code %d: %s", command, code, e.s ? e.s : "");
    hora_free(command);
    hora_str_release(&e);
}

void tool_text(hora_str *out, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    text_of(out, fmt, ap);
    va_end(ap);
}

hora_json *tool_json(const char *fmt, ...) {
    hora_str out = {0};
    hora_json *v;
    va_list ap;
    va_start(ap, fmt);
    text_of(&out, fmt, ap);
    va_end(ap);
    assert_ok(hora_json_parse(&v, out.s ? out.s : "", out.n, "stdout of the tool"));
    hora_str_release(&out);
    return v;
}

double tool_number(const hora_json *o, const char *key) {
    double v;
    if (!hora_json_real(hora_json_get(o, key), &v))
        fail_msg("`%s` is no number in the output", key);
    return v;
}

const char *tool_new(const char *name, const char *config, const char *options) {
    const char *dir = hora_test_path(hora_test_tmp(), name), *file = hora_test_text("%s.json", dir);
    if (hora_path_exists(dir))
        return dir;
    assert_ok(hora_file_write(file, config, strlen(config)));
    tool_check(0, NULL, NULL, "new --config '%s' --out '%s' %s", file, dir, options);
    return dir;
}
