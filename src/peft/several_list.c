/*
 * Which adapters lie together in a folder, and what a path into it means. A list that is damaged in
 * any part is refused whole: half of it would train, merge or answer as something else.
 */
#include "peft/several_list.h"

#include "base/file.h"
#include "base/text.h"
#include "peft/peft.h"

#define LIST HORA_ADAPTERS_LIST

/* --- reading ---------------------------------------------------------------------------------- */
static hora_status damaged(const char *dir, const char *what) {
    return hora_fail(
        HORA_EFORMAT,
        "%s/" LIST ": %s; correct the file, or copy it again from where it was written", dir, what);
}

static hora_status check_names(const hora_json *names, const char *dir) {
    if (hora_json_type(names) != HORA_JARRAY || !hora_json_len(names))
        return damaged(dir, "`adapters` is no list of names");
    for (size_t i = 0; i < hora_json_len(names); i++) {
        size_t length;
        const char *name = hora_json_string(hora_json_at(names, i), &length);
        char *what = NULL;
        if (!hora_adapter_name_valid(name) || strlen(name) != length)
            what = hora_format("adapter %zu has no proper name", i + 1);
        for (size_t k = 0; k < i && !what; k++)
            if (hora_eq(hora_json_string(hora_json_at(names, k), NULL), name))
                what = hora_format("adapters %zu and %zu are both called `%s`", k + 1, i + 1, name);
        const hora_status s = what ? damaged(dir, what) : HORA_OK;
        hora_free(what);
        HORA_TRY(s);
    }
    return HORA_OK;
}

static hora_status check_tasks(const hora_json *tasks, size_t n, const char *dir) {
    char *what = NULL;
    if (!tasks)
        return HORA_OK;
    if (hora_json_type(tasks) != HORA_JARRAY || hora_json_len(tasks) != n)
        what = hora_format("`tasks` is no list of %zu, one for each adapter", n);
    for (size_t i = 0; i < n && !what; i++) {
        const hora_json *v = hora_json_at(tasks, i);
        const char *task = hora_json_string(v, NULL);
        if (hora_json_type(v) != HORA_JNULL && (!task || !*task))
            what = hora_format("task %zu is neither a name nor null", i + 1);
    }
    const hora_status s = what ? damaged(dir, what) : HORA_OK;
    hora_free(what);
    return s;
}

static hora_status check(const hora_json *o, const char *dir) {
    if (hora_json_type(o) != HORA_JOBJECT)
        return damaged(dir, "it is no object");
    for (void *it = hora_json_iter(o); it; it = hora_json_next(o, it)) {
        const char *key = hora_json_iter_key(it);
        if (hora_eq(key, "adapters") || hora_eq(key, "tasks"))
            continue;
        char *what = hora_format("`%.40s` is no key of it", key);
        const hora_status s = damaged(dir, what);
        hora_free(what);
        return s;
    }
    const hora_json *names = hora_json_get(o, "adapters");
    HORA_TRY(check_names(names, dir));
    return check_tasks(hora_json_get(o, "tasks"), hora_json_len(names), dir);
}

hora_status hora_adapters_read_list(hora_json **out, const char *dir) {
    char *path = hora_path_join(dir, LIST);
    *out = NULL;
    hora_status s = hora_path_exists(path) ? hora_json_load(out, path) : HORA_OK;
    if (!s && *out)
        s = check(*out, dir);
    if (s) {
        hora_json_free(*out);
        *out = NULL;
    }
    hora_free(path);
    return s;
}

/* --- what stands in it ------------------------------------------------------------------------ */
int hora_adapters_listed(const hora_json *list) {
    return (int)hora_json_len(hora_json_get(list, "adapters"));
}

const char *hora_adapters_name_at(const hora_json *list, int i) {
    return hora_json_string(hora_json_at(hora_json_get(list, "adapters"), (size_t)i), NULL);
}

const char *hora_adapters_task_at(const hora_json *list, int i) {
    return hora_json_string(hora_json_at(hora_json_get(list, "tasks"), (size_t)i), NULL);
}

int hora_adapters_place(const hora_json *list, const char *name) {
    for (int i = 0; i < hora_adapters_listed(list); i++)
        if (hora_eq(hora_adapters_name_at(list, i), name))
            return i;
    return -1;
}

hora_status hora_adapters_list(char ***names, int *n, const char *dir) {
    hora_json *list;
    int cap = 0;
    *names = NULL;
    *n = 0;
    HORA_TRY(hora_adapters_read_list(&list, dir));
    for (int i = 0; i < hora_adapters_listed(list); i++)
        HORA_PUSH(*names, *n, cap, hora_strdup(hora_adapters_name_at(list, i)));
    hora_json_free(list);
    return HORA_OK;
}

char *hora_adapters_task(const char *dir, int i) {
    hora_json *list;
    const char *task = hora_adapters_read_list(&list, dir) ? NULL : hora_adapters_task_at(list, i);
    char *own = task ? hora_strdup(task) : NULL;
    hora_json_free(list);
    return own;
}

/* --- paths into it ---------------------------------------------------------------------------- */
static bool routed(const hora_json *list) {
    return hora_json_get(list, "tasks") != NULL;
}

hora_status hora_adapters_home(const char *dir, char **home, char **name) {
    char *path = hora_strdup(dir);
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        path[--end] = 0;
    const char *word = hora_path_base(path);
    char *parent = word == path ? hora_strdup(".") : hora_strndup(path, (size_t)(word - path));
    hora_json *list = NULL;
    for (end = strlen(parent); end > 1 && parent[end - 1] == '/';)
        parent[--end] = 0;
    *home = *name = NULL;
    hora_status s = hora_adapters_read_list(&list, parent);
    const int i = hora_adapters_place(list, word);
    if (i == 0 || (i > 0 && routed(list)))
        *name = hora_strdup(word);
    if (!s)
        *home = hora_strdup(*name ? parent : dir);
    hora_json_free(list);
    hora_free(parent);
    hora_free(path);
    return s;
}

/* Folder of adapter i. */
static char *folder_of(const hora_json *list, int i, const char *dir) {
    return i > 0 ? hora_path_join(dir, hora_adapters_name_at(list, i)) : hora_strdup(dir);
}

/* "OUT/a, OUT/b (task `t`)" */
static void say_all(const hora_json *list, const char *dir, hora_str *out) {
    for (int i = 0; i < hora_adapters_listed(list); i++) {
        const char *task = hora_adapters_task_at(list, i);
        hora_str_printf(out, "%s%s/%s", i ? ", " : "", dir, hora_adapters_name_at(list, i));
        if (task)
            hora_str_printf(out, " (task `%s`)", task);
    }
}

/* `list` may be of nobody. */
static hora_status one_of(const hora_json *list, const char *home, const char *named,
                          const char *preferred, char **folder) {
    const int n = hora_adapters_listed(list);
    int i = named ? hora_adapters_place(list, named) : hora_adapters_place(list, preferred);
    if (n > 1 && i < 0) {
        hora_str all = {0};
        say_all(list, home, &all);
        const hora_status s = hora_fail(
            HORA_EUSAGE, "%s holds %d adapters, of which one is wanted here; give it by name: %s",
            home, n, all.s);
        hora_str_release(&all);
        return s;
    }
    *folder = folder_of(list, i, home);
    return HORA_OK;
}

hora_status hora_adapters_one(char **folder, const char *dir, const char *name) {
    char *home, *named;
    hora_json *list;
    *folder = NULL;
    HORA_TRY(hora_adapters_home(dir, &home, &named));
    hora_status s = hora_adapters_read_list(&list, home);
    if (!s)
        s = one_of(list, home, named, name, folder);
    hora_json_free(list);
    hora_free(home);
    hora_free(named);
    return s;
}

/* Every one of `at` by its name; what else lies there is said. */
static hora_status all_of(hora_adapter *const *at, int n, const hora_json *list, const char *dir,
                          char **folders, hora_str *unused) {
    const int there = hora_adapters_listed(list);
    if (!there)
        return hora_fail(HORA_EUSAGE,
                         "%s is one adapter, and methods has %d; give a folder that holds them all",
                         dir, n);
    for (int k = 0; k < n; k++) {
        const int i = hora_adapters_place(list, at[k]->name);
        if (i < 0) {
            hora_str all = {0};
            say_all(list, dir, &all);
            const hora_status s = hora_fail(
                HORA_EUSAGE,
                "%s holds no adapter `%s`, there are %s; give the elements of methods the "
                "adapter_name of those that they start from",
                dir, at[k]->name, all.s);
            hora_str_release(&all);
            return s;
        }
        folders[k] = folder_of(list, i, dir);
    }
    for (int i = 0; i < there; i++) {
        bool taken = false;
        for (int k = 0; k < n; k++)
            taken |= hora_eq(at[k]->name, hora_adapters_name_at(list, i));
        if (!taken)
            hora_str_printf(unused, "%s%s", unused->n ? ", " : "", hora_adapters_name_at(list, i));
    }
    return HORA_OK;
}

hora_status hora_adapters_folders(hora_adapter *const *at, int n, const char *dir, char **folders,
                                  char **unused) {
    hora_json *list;
    hora_str rest = {0};
    *unused = NULL;
    if (n == 1)
        return hora_adapters_one(&folders[0], dir, at[0]->name);
    HORA_TRY(hora_adapters_read_list(&list, dir));
    const hora_status s = all_of(at, n, list, dir, folders, &rest);
    if (!s && rest.n)
        *unused = hora_strdup(rest.s);
    hora_str_release(&rest);
    hora_json_free(list);
    return s;
}
