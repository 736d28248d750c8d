/* `hora theory lowdata --model` at the tool: a small run, given twice, and what is refused. */
#include "base/file.h"
#include "tiny_model.h"
#include "tool.h"

static const char *lines(const char *name, int from, int n) {
    hora_str s = {0};
    for (int i = from; i < from + n; i++)
        hora_str_printf(&s, "%c%c%c after %c, %d times\n", 'a' + i % 7, 'a' + i % 5, 'a' + i % 3,
                        'b' + i % 11, i % 9);
    const char *path = tiny_file(name, s.s);
    hora_str_release(&s);
    return path;
}

static void test_run(void **state) {
    (void)state;
    const char *out = hora_test_path(hora_test_tmp(), "lab");
    char *args = hora_format("theory lowdata --model '%s' --data '%s' --eval '%s' --rank 2 --n "
                             "36,60 --seeds 2 --rates 1e-3,1e-2 --min-steps 4 --epochs 1 "
                             "--seq-len 16 --out '%s'",
                             tiny_model(), lines("data.txt", 0, 60), lines("eval.txt", 77, 8), out);
    tool_check(0, "two smallest sizes", "training 24 of 24", "%s", args);
    tool_check(0, "stored numbers that train: lora 448, hora 376, hora-2r 712", "", "%s", args);
    hora_json *r = tool_json("%s --json", args);
    assert_int_equal(hora_json_len(hora_json_get(r, "students")), 3);
    assert_true(tool_number(r, "unadapted_loss") > 0);
    assert_non_null(hora_json_string(hora_json_get(r, "claim"), NULL));
    hora_json_free(r);
    assert_true(hora_file_size(hora_test_path(out, "lowdata.json")) > 0);
    hora_free(args);
}

static void test_refusals(void **state) {
    (void)state;
    const char *m = tiny_model(), *text = lines("data.txt", 0, 60);
    tool_check(2, "", "--data FILE", "theory lowdata --model '%s'", m);
    tool_check(2, "", "leaves none",
               "theory lowdata --model '%s' --data '%s' --eval '%s' --rank 2 "
               "--seq-len 16 --n 30",
               m, text, text);
    tool_check(2, "", "`0` should be",
               "theory lowdata --model '%s' --data '%s' --eval '%s' --rank "
               "2 --seq-len 16 --n 0",
               m, text, text);
    tool_check(2, "", "use --rank 4", "theory lowdata --model '%s' --data '%s' --eval '%s'", m,
               text, text);
    tool_check(2, "", "--data goes with --model", "theory lowdata --data '%s'", text);
    tool_check(2, "", "--sigma goes without --model", "theory lowdata --model '%s' --sigma 1", m);
    tool_check(3, "", "proc", "theory lowdata --model '%s' --data '%s' --eval '%s' --out /proc/x",
               m, text, text);
}

HORA_TESTS(cli_lowdata_model, {"a small run, given twice", test_run, HORA_SHORT},
           {"refusals", test_refusals, HORA_SHORT});
