/*
 * The `task` of a record, by which an adapter is chosen (task routing): every name is kept once, as
 * it is read; which of them there are adapters for is known, and checked, later.
 */
#include "base/text.h"
#include "data/data_impl.h"

int32_t hora_tasks_read(hora_task_table *t, const hora_json *record) {
    const hora_json *v = hora_json_get(record, "task");
    const char *name = hora_json_string(v, NULL);
    if (!v || hora_json_type(v) == HORA_JNULL || (name && !*name))
        return 0;
    if (!name)
        return -1;
    int i = 0;
    while (i < t->n && !hora_eq(t->at[i].name, name))
        i++;
    if (i == t->n)
        HORA_PUSH(t->at, t->n, t->cap, ((hora_named_task){hora_strdup(name), -1}));
    return 1 + i;
}

void hora_tasks_release(hora_task_table *t) {
    for (int i = 0; i < t->n; i++)
        hora_free(t->at[i].name);
    hora_free(t->at);
    hora_free(t->fallback);
    *t = (hora_task_table){0};
}

const char *hora_data_default_task(const hora_dataset *d) {
    return d->store->tasks.fallback;
}

/* What the record of a segment names; windows of a stream are no records. */
static int32_t named(const hora_dataset *d, const hora_data_segment *s) {
    return d->store->parts[s->part].stream ? 0 : d->store->records[s->index].task;
}

int32_t hora_tasks_route(const hora_dataset *d, const hora_data_segment *s) {
    const hora_task_table *t = &d->store->tasks;
    if (!t->routed)
        return -1;
    const int32_t task = named(d, s);
    return task > 0 ? t->at[task - 1].route : t->fallback_route;
}

static int32_t number_of(const char *name, const char *const *tasks, int n) {
    for (int k = 0; k < n; k++)
        if (hora_eq(tasks[k], name))
            return k;
    return -1;
}

/* Why the record of a segment has no adapter. */
static hora_status refuse(const hora_dataset *d, const hora_data_segment *s,
                          const char *const *tasks, int n) {
    const hora_store *st = d->store;
    const int32_t task = named(d, s);
    const char *near = task > 0 ? hora_nearest(st->tasks.at[task - 1].name, tasks, n) : NULL;
    const char *path = st->parts[s->part].path;
    hora_str list = {0};
    for (int i = 0; i < n; i++)
        hora_str_printf(&list, "%s`%s`", i ? ", " : "", tasks[i]);
    hora_status bad =
        task > 0
            ? hora_fail(HORA_EFORMAT,
                        "%s: line %lld: no adapter is for task `%.80s`%s%.80s%s; there are %s",
                        path, (long long)s->line, st->tasks.at[task - 1].name,
                        near ? ", did you mean `" : "", near ? near : "", near ? "`?" : "", list.s)
        : task < 0
            ? hora_fail(HORA_EFORMAT, "%s: line %lld: `task` is no text; write one of %s", path,
                        (long long)s->line, list.s)
            : hora_fail(HORA_EFORMAT,
                        "%s: line %lld: the record has no `task`, which chooses its adapter; write "
                        "one of %s (columns: task=NAME where the field has another name), or give "
                        "default_task",
                        path, (long long)s->line, list.s);
    hora_str_release(&list);
    return bad;
}

hora_status hora_data_route(hora_dataset *d, const char *const *tasks, int n) {
    hora_task_table *t = &d->store->tasks;
    if (d->store->pictures)
        return hora_fail(HORA_EUNSUPPORTED,
                         "pictures name no tasks, so no adapter can be chosen by "
                         "them; leave adapter_task out");
    t->fallback_route = t->fallback ? number_of(t->fallback, tasks, n) : -1;
    if (t->fallback && t->fallback_route < 0) {
        const char *near = hora_nearest(t->fallback, tasks, n);
        return hora_fail(HORA_EUSAGE,
                         "default_task=%.80s: no adapter is for that task; give %s%.80s%s",
                         t->fallback, near ? "`" : "one that an adapter_task names",
                         near ? near : "", near ? "`" : "");
    }
    for (int i = 0; i < t->n; i++)
        t->at[i].route = number_of(t->at[i].name, tasks, n);
    t->routed = true;
    for (size_t i = 0; i < d->nsegments; i++)
        if (hora_tasks_route(d, &d->segments[i]) < 0 || named(d, &d->segments[i]) < 0) {
            t->routed = false;
            return refuse(d, &d->segments[i], tasks, n);
        }
    return HORA_OK;
}

void hora_data_of_task(hora_dataset **out, const hora_dataset *d, int route) {
    hora_dataset *e = hora_data_piece(d);
    bool open = false;
    int part = -1;
    hora_pack_begin(e);
    for (size_t i = 0; i < d->nsegments; i++) {
        const hora_data_segment *s = &d->segments[i];
        if (hora_tasks_route(d, s) != route)
            continue;
        hora_pack_again(e, s, open && s->part == part);
        open = true;
        part = s->part;
    }
    *out = e->info.supervised ? e : NULL;
    if (!*out)
        hora_dataset_close(e);
}
