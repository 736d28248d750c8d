#include "ranks.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "tool.h"

void ranks_needed(void) {
    hora_json *v = tool_json("version --json");
    const bool built = hora_eq(hora_json_string(hora_json_get(v, "ranks"), NULL), "mpi");
    hora_json_free(v);
    if (!built)
        hora_test_skip("this build has no MPI: install libopenmpi-dev, build with -DHORA_MPI=on");
    if (hora_test_run("command -v mpirun", NULL, NULL))
        hora_test_skip("no mpirun here: install openmpi-bin");
}

static int run(int ranks, const char *env, hora_str *err, const char *args) {
    /* what MPI itself leaves allocated is no leak of ours */
    char *start = ranks ? hora_format("ASAN_OPTIONS=detect_leaks=0 %s mpirun --oversubscribe "
                                      "--allow-run-as-root -n %d",
                                      env, ranks)
                        : hora_strdup(env);
    char *command = hora_format("%s %s %s", start, hora_test_tool(), args);
    const int code = hora_test_run(command, NULL, err);
    hora_free(command);
    hora_free(start);
    return code;
}

int ranks_try(int ranks, const char *env, hora_str *err, const char *fmt, ...) {
    char args[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    return run(ranks, env, err, args);
}

void ranks_run(int ranks, const char *fmt, ...) {
    char args[4096];
    hora_str err = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    const int code = run(ranks, "", &err, args);
    if (code)
        fail_msg("%d ranks: %s: exit code %d: %s", ranks, args, code, err.s ? err.s : "");
    hora_str_release(&err);
}

/* Lines of log.jsonl without what is measured: times, rates, memory. */
static void log_of(const char *run, hora_str *out) {
    static const char *const measured[] = {"tok_per_s",    "mfu",     "mem_mib",           "ms",
                                           "eval_seconds", "comm_ms", "slowest_tok_per_s", "ranks"};
    hora_str text = {0};
    assert_ok(hora_file_read(&text, hora_test_path(run, "log.jsonl")));
    for (const char *line = text.s; line && *line;) {
        const size_t n = strcspn(line, "\n");
        hora_json *o;
        assert_ok(hora_json_parse(&o, line, n, "log.jsonl"));
        for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it)) {
            bool skip = false;
            for (size_t i = 0; i < HORA_COUNT(measured); i++)
                skip |= hora_eq(hora_json_iter_key(it), measured[i]);
            if (skip)
                continue;
            hora_str_printf(out, "%s ", hora_json_iter_key(it));
            hora_json_dump(hora_json_iter_value(it), 0, false, out);
            hora_str_putc(out, '\n');
        }
        hora_json_free(o);
        line += n + (line[n] != 0);
    }
    hora_str_release(&text);
}

double ranks_last_loss(const char *run) {
    hora_str text = {0};
    double loss = NAN;
    assert_ok(hora_file_read(&text, hora_test_path(run, "log.jsonl")));
    for (const char *line = text.s; line && *line;) {
        const size_t n = strcspn(line, "\n");
        hora_json *o;
        assert_ok(hora_json_parse(&o, line, n, "log.jsonl"));
        hora_json_real(hora_json_get(o, "loss"), &loss);
        hora_json_free(o);
        line += n + (line[n] != 0);
    }
    hora_str_release(&text);
    return loss;
}

void ranks_same(const char *a, const char *b, int step) {
    hora_str x = {0}, y = {0};
    const char *folder = hora_test_text("checkpoint-%d", step);
    hora_assert_same_file(hora_test_path(a, folder), hora_test_path(b, folder),
                          "state.safetensors");
    log_of(a, &x);
    log_of(b, &y);
    if (!hora_eq(x.s, y.s))
        fail_msg("the logs of %s and %s differ:\n%s\n%s", a, b, x.s ? x.s : "", y.s ? y.s : "");
    hora_str_release(&x);
    hora_str_release(&y);
}

/* Two kinds of stripes. */
static void draw(const char *dir, int n) {
    for (int i = 0; i < n; i++) {
        hora_str ppm = {0};
        const char *folder = hora_test_path(dir, i % 2 ? "rows" : "columns");
        assert_ok(hora_mkdirs(folder));
        hora_str_puts(&ppm, "P6 16 16 255\n");
        for (int k = 0; k < 16 * 16 * 3; k++)
            hora_str_putc(&ppm, (char)((i % 2 ? k / 48 : k / 3 % 16) * 12 + 5 * (k % 3) + i));
        assert_ok(
            hora_file_write(hora_test_path(folder, hora_test_text("%d.ppm", i)), ppm.s, ppm.n));
        hora_str_release(&ppm);
    }
}

const char *ranks_pictures(const char **data) {
    static const char config[] =
        "{\"model_type\":\"vit\",\"architectures\":[\"ViTForImageClassification\"],"
        "\"hidden_size\":16,\"id2label\":{\"0\":\"columns\",\"1\":\"rows\"},"
        "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":32,"
        "\"image_size\":16,\"patch_size\":8,\"initializer_range\":0.2}";
    const char *base = tool_new("vit", config, "");
    *data = hora_test_path(hora_test_tmp(), "pictures");
    draw(*data, 22);
    return base;
}
