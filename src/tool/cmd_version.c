/* hora version: what this is, and what it runs on. */
#include "backend/backend.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "comm/comm.h"
#include "hora_build.h"
#include "tool/tool.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

static hora_json *version(void) {
    hora_str backends = {0};
    hora_json *o = hora_json_new_object();
    for (int i = 0; i < hora_backend_count(); i++)
        hora_str_printf(&backends, "%s%s", i ? " " : "", hora_backend_at(i)->name);
#ifdef HORA_HAVE_ONEDNN
    hora_str_puts(&backends, " (products: onednn)");
#endif
    hora_json_set(o, "version", hora_json_new_string(HORA_VERSION_STRING));
    hora_json_set(o, "commit", hora_json_new_string(HORA_COMMIT));
    hora_json_set(o, "compiler", hora_json_new_string(COMPILER));
    hora_json_set(o, "backends", hora_json_new_string(backends.s ? backends.s : ""));
    hora_json_set(o, "ranks", hora_json_new_string(hora_comm_built()));
    hora_json_set(o, "cpu", hora_json_new_string(hora_cpu_model()));
    hora_json_set(o, "cpu_features", hora_json_new_string(hora_cpu_features()));
    hora_json_set(o, "isa", hora_json_new_string(hora_isa_name(hora_cpu_isa())));
    hora_json_set(o, "threads", hora_json_new_int(hora_threads()));
    hora_str_release(&backends);
    return o;
}

static void print(const hora_json *v) {
    printf("hora %s (commit %s)\ncompiler: %s\nbackends: %s\nranks: %s\ncpu: %s\nfeatures: "
           "%s\nthreads: %.0f\n",
           hora_cli_text(v, "version"), hora_cli_text(v, "commit"), hora_cli_text(v, "compiler"),
           hora_cli_text(v, "backends"), hora_cli_text(v, "ranks"), hora_cli_text(v, "cpu"),
           hora_cli_text(v, "cpu_features"), hora_cli_number(v, "threads"));
}

static hora_status run(hora_cli *c) {
    hora_cli_show(c, version(), print);
    return HORA_OK;
}

const hora_command hora_command_version = {.name = "version",
                                           .summary =
                                               "Version, commit, compiler, backends and processor",
                                           .usage = "[--json]",
                                           .run = run};
