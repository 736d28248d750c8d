/*
 * Several adapters of one training in one folder: the first in the folder itself, the others in
 * sub-folders, as PEFT has them, and hora_adapters.json, which names them in attach order, and the
 * task of each where they have some.
 */
#include <math.h>

#include "base/file.h"
#include "base/text.h"
#include "peft/store.h"

#define LIST "hora_adapters.json"

/* What starts from a base weight and counts on it (a magnitude, single rows) while another adapter
 * moves that weight. */
static hora_status check_ground(const hora_adapter *a, const hora_adapter *other) {
    const hora_base *b = a->base;
    for (int i = 0; other->replaces && i < a->nparams; i++)
        for (int w = 0; w < b->nweights; w++)
            if (a->params[i]->weight < 0 && a->params[i]->init.from == &b->weights[w].view &&
                other->replaces[w])
                return hora_fail(HORA_EUSAGE,
                                 "adapter `%s` trains %s, and `%s` stands on it as it is (%s); "
                                 "leave it to one",
                                 other->name, b->weights[w].name, a->name, a->params[i]->name);
    return HORA_OK;
}

hora_status hora_adapters_check(hora_adapter *const *at, int n) {
    int prompts = 0;
    for (int i = 0; i < n; i++)
        if (at[i]->hooks->slots && prompts++)
            return hora_fail(HORA_EUSAGE,
                             "adapter `%s` puts prompts in front of every sample, which another "
                             "does already; leave that to one",
                             at[i]->name);
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            HORA_TRY(check_ground(at[i], at[k]));
            HORA_TRY(check_ground(at[k], at[i]));
            if (hora_eq(at[i]->name, at[k]->name))
                return hora_fail(HORA_EUSAGE,
                                 "two adapters are called `%s`; give one of them another "
                                 "adapter_name",
                                 at[i]->name);
            for (int w = 0; at[i]->replaces && at[k]->replaces && w < at[i]->base->nweights; w++)
                if (at[i]->replaces[w] && at[k]->replaces[w])
                    return hora_fail(HORA_EUSAGE,
                                     "adapters `%s` and `%s` both train %s; leave it to one",
                                     at[i]->name, at[k]->name, at[i]->base->weights[w].name);
        }
    return HORA_OK;
}

static bool named(const hora_adapter *a, const char *name, hora_adapter *const *others, int n) {
    for (int i = 0; i < n; i++)
        if (others[i] != a && hora_eq(others[i]->name, name))
            return true;
    return false;
}

void hora_adapters_name(hora_adapter *a, const char *name, hora_adapter *const *others, int n) {
    char *path = hora_strdup(name);
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        path[--end] = 0;
    const char *word = hora_path_base(path);
    char *unique = hora_strdup(word);
    for (int k = 2; named(a, unique, others, n); k++) {
        hora_free(unique);
        unique = hora_format("%s-%d", word, k);
    }
    hora_free(path);
    hora_free(a->name);
    a->name = unique;
}

/* --- weights ---------------------------------------------------------------------------------- */
static void move_replaced(hora_adapter *a, double weight) {
    const hora_base *b = a->base;
    if (!a->kept) {
        a->kept = hora_malloc(a->value_bytes + 1);
        memcpy(a->kept, a->values, a->value_bytes);
    }
    for (int i = 0; i < a->nparams; i++) {
        const hora_param *p = a->params[i];
        const bool fresh = b->head_fresh && (p->weight == b->head || p->weight == b->head_bias);
        if (p->weight < 0 || fresh)
            continue;
        const hora_view *w = &b->weights[p->weight].view;
        for (int64_t k = 0; k < p->elems; k++) {
            const double old = hora_value_at(w->data, w->dtype, k);
            const double v = old + weight * (hora_value_at(a->kept, a->dtype, p->offset + k) - old);
            hora_value_put(p->value, a->dtype, k, v);
        }
    }
}

hora_status hora_peft_weigh(hora_adapter *a, double weight) {
    if (!isfinite(weight))
        return hora_fail(HORA_EUSAGE, "the weight of adapter `%s` is no number", a->name);
    if (weight != 1 && a->method->hooks.kv)
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s gives attention further keys and values, of which there is no "
                         "share; use the adapter whole, or switch it off",
                         a->method->name);
    if (weight != 1 && (a->method->hooks.takes || a->method->hooks.reach))
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s decides which rows take part or are seen, of which there is no "
                         "share; use the adapter whole, or switch it off",
                         a->method->name);
    if (a->replaces && (weight != 1 || a->kept))
        move_replaced(a, weight);
    a->weight = weight;
    return HORA_OK;
}

/* --- in one folder ---------------------------------------------------------------------------- */
char *hora_adapters_path(hora_adapter *const *at, int i, const char *dir) {
    return i ? hora_path_join(dir, at[i]->name) : hora_strdup(dir);
}

static hora_status write_list(hora_adapter *const *at, int n, const char *dir) {
    hora_json *o = hora_json_new_object();
    hora_json *names = hora_json_set(o, "adapters", hora_json_new_array());
    bool routed = false;
    for (int i = 0; i < n; i++) {
        hora_json_push(names, hora_json_new_string(at[i]->name));
        routed |= at[i]->task != NULL;
    }
    hora_json *tasks = routed ? hora_json_set(o, "tasks", hora_json_new_array()) : NULL;
    for (int i = 0; i < n && routed; i++)
        hora_json_push(tasks,
                       at[i]->task ? hora_json_new_string(at[i]->task) : hora_json_new_null());
    hora_status s = hora_json_save(o, 2, true, dir, LIST);
    hora_json_free(o);
    return s;
}

static hora_status save_one(hora_adapter *a, const char *dir, const char *card_note) {
    HORA_TRY(hora_mkdirs(dir));
    HORA_TRY(hora_peft_save(a, dir, card_note));
    if (a->base->words) /* its ids are of that tokenizer alone */
        HORA_TRY(hora_copy_companions(a->base->words, dir));
    return hora_fsync_dir(dir);
}

hora_status hora_adapters_save(hora_adapter *const *at, int n, const char *dir,
                               const char *card_note) {
    HORA_TRY(hora_adapters_check(at, n));
    for (int i = 0; i < n; i++) {
        char *sub = hora_adapters_path(at, i, dir);
        hora_status s = save_one(at[i], sub, card_note);
        hora_free(sub);
        HORA_TRY(s);
    }
    if (n > 1 || (n && at[0]->task))
        return write_list(at, n, dir);
    char *list = hora_path_join(dir, LIST); /* of others that lay here before */
    hora_status s = hora_remove_tree(list);
    hora_free(list);
    return s;
}

/* The list of `dir`; *out NULL: there is none. */
static hora_status read_list(hora_json **out, const char *dir) {
    char *path = hora_path_join(dir, LIST);
    *out = NULL;
    hora_status s = hora_path_exists(path) ? hora_json_load(out, path) : HORA_OK;
    hora_free(path);
    return s;
}

hora_status hora_adapters_list(char ***names, int *n, const char *dir) {
    hora_json *o;
    int cap = 0;
    *names = NULL;
    *n = 0;
    hora_status s = read_list(&o, dir);
    const hora_json *list = hora_json_get(o, "adapters");
    for (size_t i = 0; i < hora_json_len(list) && !s; i++) {
        const char *name = hora_json_string(hora_json_at(list, i), NULL);
        if (!name || !*name || *name == '.' || strchr(name, '/'))
            s = hora_fail(HORA_EFORMAT,
                          "%s/" LIST ": adapter %zu has no proper name; correct the file", dir,
                          i + 1);
        else
            HORA_PUSH(*names, *n, cap, hora_strdup(name));
    }
    if (!s && o && !*n)
        s = hora_fail(HORA_EFORMAT, "%s/" LIST " names no adapters; correct or remove the file",
                      dir);
    if (s)
        hora_list_free(*names, *n);
    hora_json_free(o);
    return s;
}

static hora_status load_one(hora_adapter **a, const hora_base *base, const char *dir,
                            const char *name, bool first, const char *prefer) {
    char *sub = first ? hora_strdup(dir) : hora_path_join(dir, name);
    hora_status s = hora_peft_load(a, base, sub, prefer);
    hora_free(sub);
    if (!s && name) {
        hora_free((*a)->name);
        (*a)->name = hora_strdup(name);
    }
    return s;
}

/* --- tasks ------------------------------------------------------------------------------------ */
/* The task of adapter i in the list; NULL: for all. */
static const char *task_at(const hora_json *list, int i) {
    return hora_json_string(hora_json_at(hora_json_get(list, "tasks"), (size_t)i), NULL);
}

char *hora_adapters_task(const char *dir, int i) {
    hora_json *list = NULL;
    const char *task = read_list(&list, dir) ? NULL : task_at(list, i);
    char *own = task ? hora_strdup(task) : NULL;
    hora_json_free(list);
    return own;
}

void hora_adapters_home(const char *dir, char **home, char **name) {
    char *path = hora_strdup(dir);
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        path[--end] = 0;
    const char *word = hora_path_base(path);
    char *parent = word == path ? hora_strdup(".") : hora_strndup(path, (size_t)(word - path));
    hora_json *list = NULL;
    *name = NULL;
    hora_status s = read_list(&list, parent);
    for (size_t i = 0; !s && i < hora_json_len(hora_json_get(list, "adapters")); i++)
        if (task_at(list, (int)i) &&
            hora_eq(hora_json_string(hora_json_at(hora_json_get(list, "adapters"), i), NULL), word))
            *name = hora_strdup(word);
    for (end = strlen(parent); end > 1 && parent[end - 1] == '/';)
        parent[--end] = 0;
    *home = hora_strdup(*name ? parent : dir);
    hora_json_free(list);
    hora_free(parent);
    hora_free(path);
}

/* Adapter i of the list is among those that `only` (NULL: all) stands for. */
static bool meant(const hora_json *list, char *const *names, int i, const char *only) {
    return !only || !task_at(list, i) || hora_eq(names[i], only);
}

static hora_status load_all(hora_adapter **at, int *n, const hora_base *base, const char *dir,
                            const char *only, const char *prefer) {
    char **names;
    hora_json *list = NULL;
    int count;
    HORA_TRY(hora_adapters_list(&names, &count, dir));
    hora_status s = read_list(&list, dir);
    for (int i = 0; i < hora_max(count, 1) && !s; i++) {
        if (count && !meant(list, names, i, only))
            continue;
        s = load_one(&at[*n], base, dir, count ? names[i] : NULL, i == 0, prefer);
        if (!s && !only && task_at(list, i))
            at[*n]->task = hora_strdup(task_at(list, i));
        *n += !s;
    }
    if (!s)
        s = hora_adapters_check(at, *n);
    if (!s)
        s = hora_adapters_route(at, *n);
    hora_list_free(names, count);
    hora_json_free(list);
    return s;
}

hora_status hora_adapters_load(hora_adapter ***at, int *n, const hora_base *base, const char *dir,
                               const char *only, const char *prefer) {
    char **names;
    int count;
    *at = NULL;
    *n = 0;
    HORA_TRY(hora_adapters_list(&names, &count, dir));
    hora_list_free(names, count);
    *at = hora_calloc((size_t)count + 1, sizeof **at);
    hora_status s = load_all(*at, n, base, dir, only, prefer);
    if (s) {
        while (*n > 0)
            hora_peft_detach((*at)[--*n]);
        hora_free(*at);
        *at = NULL;
    }
    return s;
}
