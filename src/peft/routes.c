/*
 * Task routing: which adapter of a training is for which records. What rows of other tasks get is
 * net.c's: the model as it is without the adapter.
 */
#include "base/text.h"
#include "peft/peft.h"

int hora_adapters_tasks(hora_adapter *const *at, int n, const char **names) {
    int count = 0;
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < count && !hora_eq(names[k], at[i]->task))
            k++;
        if (at[i]->task && k == count)
            names[count++] = at[i]->task;
    }
    return count;
}

bool hora_adapters_routed(hora_adapter *const *at, int n) {
    bool any = false;
    for (int i = 0; i < n; i++)
        any |= at[i]->route >= 0;
    return any;
}

static hora_status check(const hora_adapter *a) {
    if (a->method->unrouted)
        return hora_fail(HORA_EUNSUPPORTED,
                         "adapter `%s` is for task `%s`, but method %s cannot be on for some "
                         "records alone: %s; take another method, or leave its adapter_task out",
                         a->name, a->task, a->method->name, a->method->unrouted);
    for (int w = 0; a->replaces && w < a->base->nweights; w++)
        if (a->replaces[w])
            return hora_fail(HORA_EUNSUPPORTED,
                             "adapter `%s` is for task `%s` and trains %s, which all tasks share; "
                             "put an element without adapter_task first (method: head trains the "
                             "head), or leave modules_to_save out",
                             a->name, a->task, a->base->weights[w].name);
    return HORA_OK;
}

hora_status hora_adapters_route(hora_adapter *const *at, int n) {
    const char **names = hora_calloc((size_t)n + 1, sizeof *names);
    const int count = hora_adapters_tasks(at, n, names);
    hora_status s = HORA_OK;
    for (int i = 0; i < n && !s; i++) {
        at[i]->route = -1;
        for (int k = 0; k < count; k++)
            if (hora_eq(names[k], at[i]->task))
                at[i]->route = k;
        if (at[i]->task)
            s = check(at[i]);
    }
    hora_free(names);
    return s;
}

hora_status hora_adapters_one_task(hora_adapter *const *at, int n, const char *from) {
    hora_str list = {0};
    bool several = false;
    for (int i = 0; i < n; i++) {
        if (at[i]->route < 0)
            continue;
        several |= at[i]->route > 0;
        hora_str_printf(&list, "%s%s/%s (task `%s`)", list.n ? ", " : "", from, at[i]->name,
                        at[i]->task);
    }
    hora_status s = HORA_OK;
    if (several)
        s = hora_fail(HORA_EUSAGE,
                      "%s holds adapters of several tasks, and nothing here says which one is "
                      "meant; give one of them as --adapter: %s",
                      from, list.s);
    for (int i = 0; i < n && !several; i++) {
        at[i]->route = -1;
        hora_free(at[i]->task);
        at[i]->task = NULL;
    }
    hora_str_release(&list);
    return s;
}
