/*
 * Classes of the data beside those of an objective: labels find theirs by name, and the training
 * data decide where nobody else did.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/text.h"
#include "task/objective.h"

static bool named(const hora_objective *o) {
    char spare[40];
    for (int64_t i = 0; i < o->classes; i++)
        if (!hora_eq(o->names[i], hora_objective_spare_name(spare, i)))
            return true;
    return false;
}

/* The class that a label of the table means; -1: none. */
static int32_t class_of(const hora_objective *o, const hora_label_table *t, const char *label) {
    int64_t number;
    for (int64_t i = 0; i < o->classes; i++)
        if (hora_eq(o->names[i], label))
            return (int32_t)i;
    if (t->style == HORA_LABEL_INTS && hora_parse_int(label, &number) && number >= 0 &&
        number < o->classes)
        return (int32_t)number;
    return -1;
}

static int64_t known(const hora_objective *o, const hora_label_table *t) {
    int64_t n = 0;
    for (int i = 0; i < t->n; i++)
        n += class_of(o, t, t->at[i].name) >= 0;
    return n;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static int by_size(const void *a, const void *b) {
    int64_t x = 0, y = 0;
    hora_parse_int(*(char *const *)a, &x);
    hora_parse_int(*(char *const *)b, &y);
    return (x > y) - (x < y);
}

/* Where the label was seen first, for people. */
static const char *place(char text[32], const hora_label *l) {
    hora_snprintf(text, 32, "line %lld", (long long)l->line);
    return l->where ? l->where : text;
}

static hora_status refuse_blanks(const hora_label_table *t) {
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < i; k++) {
            const char *a = t->at[i].name, *b = t->at[k].name;
            a += strspn(a, " \t");
            b += strspn(b, " \t");
            size_t na = strlen(a), nb = strlen(b);
            while (na && (a[na - 1] == ' ' || a[na - 1] == '\t'))
                na--;
            while (nb && (b[nb - 1] == ' ' || b[nb - 1] == '\t'))
                nb--;
            char one[32], two[32];
            if (na == nb && !memcmp(a, b, na))
                return hora_fail(HORA_EFORMAT,
                                 "%s: the label \"%s\" differs from \"%s\" (%s) by blanks only; "
                                 "write them alike",
                                 place(one, &t->at[i]), t->at[i].name, t->at[k].name,
                                 place(two, &t->at[k]));
        }
    return HORA_OK;
}

/* The labels of the data become the classes. */
static void adopt(hora_objective *o, const hora_label_table *t) {
    hora_objective_forget_names(o);
    if (o->task->pictures) /* whatever the model's own were */
        o->loss = o->task->loss;
    o->own_classes = false;
    o->classes = t->n;
    o->names = hora_calloc((size_t)t->n + 1, sizeof *o->names);
    for (int i = 0; i < t->n; i++)
        o->names[i] = hora_strdup(t->at[i].name);
    if (o->task->labels != HORA_LABELS_PIXELS) /* there the order is the classes' numbers */
        qsort(o->names, (size_t)t->n, sizeof *o->names,
              t->style == HORA_LABEL_INTS ? by_size : by_bytes);
}

/* A label that two classes of the model are called by. */
static hora_status ambiguous(const hora_objective *o, const hora_label_table *t) {
    for (int i = 0; i < t->n; i++) {
        const int32_t k = class_of(o, t, t->at[i].name);
        for (int64_t j = k + 1; k >= 0 && j < o->classes; j++)
            if (hora_eq(o->names[j], o->names[k]))
                return hora_fail(HORA_EMISMATCH,
                                 "the model has two classes called `%s` (%d and %lld), and the "
                                 "data cannot choose; rename one in config.json",
                                 o->names[k], (int)k, (long long)j);
    }
    return HORA_OK;
}

/* A record has the label, and no class is called so. A folder of pictures may be empty. */
static bool homeless(const hora_objective *o, const hora_label_table *t, int i) {
    return class_of(o, t, t->at[i].name) < 0 && (t->at[i].count || !o->task->pictures);
}

static hora_status unknown_label(const hora_objective *o, const hora_label_table *t) {
    char text[32];
    HORA_TRY(ambiguous(o, t));
    hora_str all = {0};
    for (int64_t i = 0; i < o->classes && i < 12; i++)
        hora_str_printf(&all, "%s%s", i ? ", " : "", o->names[i]);
    hora_status s = HORA_OK;
    for (int i = 0; i < t->n && !s; i++)
        if (homeless(o, t, i))
            s = hora_fail(HORA_EMISMATCH,
                          "%s: the label `%s` is none of the model's %lld classes (%s%s); rename "
                          "it or leave such records out (in data to evaluate on skip_bad does)",
                          place(text, &t->at[i]), t->at[i].name, (long long)o->classes, all.s,
                          o->classes > 12 ? ", .." : "");
    hora_str_release(&all);
    return s;
}

hora_status hora_objective_decide(hora_objective *o, const hora_label_table *t, bool train,
                                  bool *fresh) {
    HORA_TRY(refuse_blanks(t));
    const int64_t met = known(o, t);
    if (!o->classes || (train && met < t->n && !named(o) && t->n == o->classes)) {
        adopt(o, t); /* nobody named the model's: same number, now with names */
    } else if (train && (!met || (o->task->pictures && met < t->n))) {
        hora_info("the classes of the data are not the model's; a new head for %d is trained",
                  t->n);
        adopt(o, t);
        *fresh = true;
    }
    if (train && t->n == 1 && o->classes == 1)
        return hora_fail(HORA_EUSAGE,
                         "all records have the label `%s`: with one class there is nothing to "
                         "learn; give records of other classes too",
                         t->at[0].name);
    return unknown_label(o, t);
}

/* Records of classes that nobody has learnt go, counted and said, where that is asked for. */
static hora_status leave_out(const hora_objective *o, hora_dataset *data, const int32_t *map) {
    const hora_label_table *t = hora_data_labels(data);
    const int64_t n = hora_data_leave_out(data, map);
    hora_str names = {0};
    hora_status s = HORA_OK;
    int shown = 0;
    for (int i = 0; i < t->n && n; i++)
        if (homeless(o, t, i) && shown++ < 5)
            hora_str_printf(&names, "%s`%s` %lld", shown > 1 ? ", " : "", t->at[i].name,
                            (long long)t->at[i].count);
    if (n && !hora_data_about(data)->records)
        s = hora_fail(HORA_EMISMATCH,
                      "none of the %lld records has a class of the model (theirs: %s%s); rename "
                      "them, or give other data",
                      (long long)n, names.s, shown > 5 ? ", .." : "");
    else if (n)
        hora_warn("records that were skipped, since their labels are none of the model's %lld "
                  "classes: %lld (%s%s)",
                  (long long)o->classes, (long long)n, names.s, shown > 5 ? ", .." : "");
    hora_str_release(&names);
    return s;
}

hora_status hora_objective_number(const hora_objective *o, hora_dataset *data) {
    const hora_label_table *t = hora_data_labels(data);
    if (!o->task->head)
        return HORA_OK;
    if (o->task->labels == HORA_LABELS_NUMBER)
        return t->numbers == o->classes
                   ? HORA_OK
                   : hora_fail(HORA_EMISMATCH,
                               "the data have %lld numbers a record, the model's head has %lld",
                               (long long)t->numbers, (long long)o->classes);
    if (t->several && o->loss != HORA_LOSS_BCE)
        return hora_fail(HORA_EMISMATCH, "the labels are lists, but the model gives each text one "
                                         "class (problem_type single_label_classification)");
    HORA_TRY(ambiguous(o, t));
    int32_t *map = hora_malloc(((size_t)t->n + 1) * sizeof *map);
    for (int i = 0; i < t->n; i++)
        map[i] = class_of(o, t, t->at[i].name);
    const int64_t before = hora_data_about(data)->skipped;
    hora_status s = leave_out(o, data, map);
    if (!s && hora_data_about(data)->skipped == before) /* nothing was left out */
        s = unknown_label(o, t);
    if (!s)
        hora_data_set_classes(data, map);
    hora_free(map);
    return s;
}
