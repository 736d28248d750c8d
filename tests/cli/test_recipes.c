/* The recipes that come with hora: each plans as it is or with a model, and every line says why. */
#include "base/file.h"
#include "base/text.h"
#include "tiny_model.h"
#include "tool.h"

/* Keys have their comment beside them. */
static void commented(const char *path) {
    hora_str text = {0};
    assert_ok(hora_file_read(&text, path));
    for (char *line = strtok(text.s, "\n"); line; line = strtok(NULL, "\n"))
        if (*line != '#' && !strstr(line, "  # "))
            fail_msg("%s: no comment beside `%s`", path, line);
    hora_str_release(&text);
}

static void test_all(void **state) {
    (void)state;
    const char *dir = hora_test_source("recipes"), *m = tiny_model();
    const char *talk = tiny_file("talk.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": "
                                               "\"Hi\"}, {\"role\": \"assistant\", \"content\": "
                                               "\"Ho\"}]}\n");
    const char *labels = tiny_file("labels.csv", "text,label\nHi,good\nHo,bad\n");
    char **names;
    int n, plans = 0;
    assert_ok(hora_list_dir(dir, &names, &n));
    for (int i = 0; i < n; i++) {
        if (!hora_ends(names[i], ".yaml"))
            continue;
        char *path = hora_path_join(dir, names[i]);
        /* the model that comes along has no template, and no labels */
        const char *data = hora_eq(names[i], "chat.yaml")       ? talk
                           : hora_eq(names[i], "classify.yaml") ? labels
                                                                : NULL;
        char *line =
            data ? hora_format("--model '%s' --data '%s' --seq-len 64 --eval-split 0", m, data)
                 : hora_strdup("");
        commented(path);
        char *command = hora_format("cd '%s' && %s plan '%s' %s", hora_test_source("."),
                                    hora_test_tool(), path, line);
        hora_str out = {0}, err = {0};
        if (hora_test_run(command, &out, &err))
            fail_msg("%s: %s", command, err.s);
        plans++;
        hora_str_release(&out);
        hora_str_release(&err);
        hora_free(command);
        hora_free(line);
        hora_free(path);
    }
    assert_true(plans >= 5);
    hora_list_free(names, n);
}

/* The page of the first ten minutes shows the list of commands as it is. */
static void test_first_page(void **state) {
    (void)state;
    hora_str page = {0}, help = {0};
    assert_ok(hora_file_read(&page, hora_test_source("docs/guide/first-run.md")));
    tool_text(&help, "--help");
    assert_non_null(strstr(page.s, help.s));
    hora_str_release(&page);
    hora_str_release(&help);
}

HORA_TESTS(cli_recipes, {"each plans, each line says why", test_all, HORA_SHORT},
           {"the first page shows the help", test_first_page, HORA_SHORT});
