/*
 * Several adapters of one training in one folder: the first in the folder itself, the others in
 * sub-folders, as PEFT has them, and hora_adapters.json (several_list.c), which names them in
 * attach order, and the task of each where they have some.
 */
#include <math.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "peft/several_list.h"
#include "peft/store.h"

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

/* In front of a sample, or of its keys, there is room for one. */
static hora_status check_fronts(const hora_adapter *a, const hora_adapter *other) {
    const bool apart = a->task && other->task && !hora_eq(a->task, other->task),
               slots = a->hooks->slots && other->hooks->slots,
               keys = a->hooks->kv && other->hooks->kv;
    if (apart || !(slots || keys))
        return HORA_OK;
    return hora_fail(HORA_EUSAGE,
                     "adapters `%s` and `%s` both %s; leave that to one (where records choose "
                     "their adapter by a "
                     "task, each task may have its own)",
                     a->name, other->name,
                     slots ? "put prompts in front of a sample"
                           : "give attention further keys and values");
}

hora_status hora_adapters_check(hora_adapter *const *at, int n) {
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            HORA_TRY(check_fronts(at[i], at[k]));
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
    const hora_hooks *h = &a->method->hooks;
    const char *what = h->kv      ? "gives attention further keys and values"
                       : h->slots ? "puts rows in front"
                                  : "decides which rows take part or are seen";
    if (weight != 1 && weight != 0 && hora_adapter_whole(a))
        return hora_fail(HORA_EUNSUPPORTED,
                         "method %s %s, of which there is no share; use the adapter whole, or "
                         "switch it off (weight 0)",
                         a->method->name, what);
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
    hora_status s = hora_json_save(o, 2, true, dir, HORA_ADAPTERS_LIST);
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
    char *list = hora_path_join(dir, HORA_ADAPTERS_LIST); /* of others that lay here before */
    hora_status s = hora_remove_tree(list);
    hora_free(list);
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

/* Adapter i of the list is among those that `only` (NULL: all) stands for: one of a task with those
 * that are for all, one for all by itself. */
static bool meant(const hora_json *list, int i, const char *only) {
    const int mine = only ? hora_adapters_place(list, only) : -1;
    return !only || i == mine ||
           (hora_adapters_task_at(list, mine) && !hora_adapters_task_at(list, i));
}

static hora_status load_all(hora_adapter **at, int *n, const hora_base *base, const char *dir,
                            const hora_json *list, const char *only, const char *prefer) {
    const int count = hora_adapters_listed(list);
    for (int i = 0; i < hora_max(count, 1); i++) {
        if (count && !meant(list, i, only))
            continue;
        HORA_TRY(load_one(&at[*n], base, dir, hora_adapters_name_at(list, i), i == 0, prefer));
        if (!only && hora_adapters_task_at(list, i))
            at[*n]->task = hora_strdup(hora_adapters_task_at(list, i));
        ++*n;
    }
    HORA_TRY(hora_adapters_check(at, *n));
    return hora_adapters_route(at, *n);
}

/* Adapters in sub-folders that no list names: another program's, or a copy that lost it. The one in
 * `dir` itself counts, and that is said. */
static void say_unlisted(const char *dir) {
    char **names;
    int n;
    hora_str all = {0};
    if (hora_list_dir(dir, &names, &n))
        return;
    for (int i = 0; i < n; i++) {
        char *sub = hora_path_join(dir, names[i]),
             *config = hora_path_join(sub, "adapter_config.json");
        if (hora_adapter_name_valid(names[i]) && hora_path_exists(config))
            hora_str_printf(&all, "%s%s", all.n ? ", " : "", names[i]);
        hora_free(config);
        hora_free(sub);
    }
    if (all.n)
        hora_warn("%s: %s hold adapters too, but there is no " HORA_ADAPTERS_LIST
                  " that says so; the one in the folder itself is taken alone",
                  dir, all.s);
    hora_str_release(&all);
    hora_list_free(names, n);
}

hora_status hora_adapters_load(hora_adapter ***at, int *n, const hora_base *base, const char *dir,
                               const char *only, const char *prefer) {
    hora_json *list;
    *at = NULL;
    *n = 0;
    HORA_TRY(hora_adapters_read_list(&list, dir));
    if (!list)
        say_unlisted(dir);
    *at = hora_calloc((size_t)hora_adapters_listed(list) + 1, sizeof **at);
    hora_status s = load_all(*at, n, base, dir, list, only, prefer);
    hora_json_free(list);
    if (s) {
        while (*n > 0)
            hora_peft_detach((*at)[--*n]);
        hora_free(*at);
        *at = NULL;
    }
    return s;
}
