/* Cases of users that belong to no command: `./run test` itself, and pictures. */
#include <stdlib.h>

#include "base/file.h"
#include "base/text.h"
#include "tool.h"

/* A `./run test` with a ctest and a cmake that only say so; `script` is this ctest. */
static void run_with(const char *script, int code, const char *says) {
    const char *dir = hora_test_tmp();
    hora_str out = {0};
    char *command = hora_format(
        "cd '%s' && rm -rf bin build && mkdir -p bin build/Testing/Temporary && cp '%s' run && "
        "echo 'SKIPPED an old one' > build/Testing/Temporary/LastTest.log && "
        "printf '#!/bin/sh\\nexit 0\\n' > bin/cmake && "
        "printf '%%s\\n' '#!/bin/sh' 'cd Testing/Temporary' '%s' > bin/ctest && "
        "chmod +x bin/* run && unset HORA_BUILD && PATH=\"$PWD/bin:$PATH\" HORA_NO_INSTALL=1 ./run "
        "test 2>&1",
        dir, hora_test_source("run"), script);
    const int rc = hora_test_run(command, &out, NULL);
    if (rc != code || !strstr(out.s ? out.s : "", says) || strstr(out.s, "an old one"))
        fail_msg("%s: exit code %d, \"%s\" (should be %d and say \"%s\")", script, rc,
                 out.s ? out.s : "", code, says);
    hora_free(command);
    hora_str_release(&out);
}

/* CTest gives its log the name at the very end; no log is not "nothing was skipped". */
static void test_skips(void **state) {
    (void)state;
    run_with("echo \"100% tests passed\"; echo \"SKIPPED one\" > LastTest.log", 0, "SKIPPED one");
    run_with("echo \"100% tests passed\"; echo fine > LastTest.log", 0, "nothing was skipped");
    run_with("echo \"SKIPPED two\" > LastTest.log; exit 8", 8, "SKIPPED two");
    run_with("echo \"100% tests passed\"", 1, "nobody knows what was skipped");
}

enum { LABELS = 400 };
typedef struct label {
    double x, y, left, right;
    char text[64];
} label;

/* Texts of a picture that gnuplot wrote upright, with the room that each takes (digits are about
 * 0.55 of their size wide). */
static int labels_of(const char *path, label *at) {
    hora_str svg = {0};
    int n = 0;
    assert_ok(hora_file_read(&svg, path));
    for (char *g = svg.s; (g = strstr(g, "<g transform=\"translate(")) && n < LABELS;) {
        label l = {0};
        char *end, *stop = strstr(g, "</g>");
        l.x = strtod(g + 24, &end);
        l.y = strtod(end + 1, &end);
        const char *size = strstr(g, "font-size=\""), *anchor = strstr(g, "text-anchor=\""),
                   *text = strstr(g, "<tspan");
        const bool upright = *end == ')' && end[1] == '"';
        g += 24;
        if (!upright || !stop || !size || !anchor || !text || text > stop || size > stop)
            continue;
        text = strchr(text, '>') + 1;
        const size_t length = strcspn(text, "<");
        const double width = 0.55 * strtod(size + 11, NULL) * (double)length;
        if (!strncmp(anchor + 13, "middle", 6))
            l.left = l.x - width / 2;
        else
            l.left = strncmp(anchor + 13, "end", 3) ? l.x : l.x - width;
        l.right = l.left + width;
        hora_snprintf(l.text, sizeof l.text, "%.*s", (int)(length < 60 ? length : 60), text);
        while (l.text[0] == ' ')
            memmove(l.text, l.text + 1, strlen(l.text));
        if (l.text[0])
            at[n++] = l;
    }
    hora_str_release(&svg);
    return n;
}

static void apart(const char *path) {
    static const double line = 6; /* baselines nearer than this are one line */
    label *at = hora_calloc(LABELS, sizeof *at);
    const int n = labels_of(path, at);
    if (n < 5)
        fail_msg("%s: %d labels found", path, n);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) {
            if (at[i].x == at[k].x && at[i].y == at[k].y && hora_eq(at[i].text, at[k].text))
                continue; /* every panel draws the one scale of colours */
            const double dy = at[i].y > at[k].y ? at[i].y - at[k].y : at[k].y - at[i].y;
            if (dy < line && at[i].left < at[k].right && at[k].left < at[i].right)
                fail_msg("%s: `%s` and `%s` collide at %g, %g", path, at[i].text, at[k].text,
                         at[i].x, at[i].y);
        }
    hora_free(at);
}

/* Eight heads, each with a narrow panel over a sequence of 64. */
static void test_pictures(void **state) {
    (void)state;
    if (hora_test_run("command -v gnuplot", NULL, NULL))
        hora_test_skip("gnuplot is not installed");
    const char *m =
        tool_new("eight",
                 "{\"model_type\": \"llama\", \"vocab_size\": 512, \"hidden_size\": 64, "
                 "\"intermediate_size\": 96, \"num_hidden_layers\": 2, "
                 "\"num_attention_heads\": 8, \"num_key_value_heads\": 4, "
                 "\"max_position_embeddings\": 128}",
                 "");
    const char *out = hora_test_path(hora_test_tmp(), "pictures");
    char *copy = hora_format("cp '%s'/tokenizer* '%s'", hora_test_source("examples/tiny/base"), m);
    assert_int_equal(hora_test_run(copy, NULL, NULL), 0);
    hora_free(copy);
    const char *text = hora_test_source("examples/tiny/train.jsonl");
    const char *adapter = hora_test_path(hora_test_tmp(), "adapter");
    tool_check(0, NULL, NULL,
               "train --model '%s' --data '%s' --steps 1 --seq-len 32 --method lora --rank 2 "
               "--targets q+v --out '%s'",
               m, text, adapter);
    tool_check(0, NULL, NULL, "theory hmoe --model '%s' --adapter '%s' --text '%s' --out '%s'", m,
               adapter, text, out);
    static const char *const files[] = {"hmoe_gates_0.svg", "hmoe_heads_0.svg", "hmoe_pairs_0.svg",
                                        "hmoe_layers.svg"};
    for (size_t i = 0; i < HORA_COUNT(files); i++)
        apart(hora_test_path(out, files[i]));
}

HORA_TESTS(cli_cases, {"run-test-skips-unseen: what ./run test says", test_skips, HORA_SHORT},
           {"picture-labels-collide: labels stand apart", test_pictures, HORA_MEDIUM});
