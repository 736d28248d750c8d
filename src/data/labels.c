/*
 * Labels as people write them: names, whole numbers, truth values, numbers as text, lists of these.
 * What a label means is said or refused, never guessed: a file holds one kind of them, a missing
 * one has no class, a number that is not whole belongs to another task.
 */
#include <math.h>

#include "base/log.h"
#include "base/text.h"
#include "data/data_impl.h"

enum { MOST = 4096 }; /* different labels */

/* --- classes ---------------------------------------------------------------------------------- */
static hora_status intern(hora_label_table *t, const char *name, int64_t line, int32_t *out) {
    for (int i = 0; i < t->n; i++)
        if (hora_eq(t->at[i].name, name)) {
            t->at[i].count++;
            *out = i;
            return HORA_OK;
        }
    if (t->n == MOST)
        return hora_fail(HORA_EFORMAT,
                         "more than %d different labels; if they are numbers to be predicted, give "
                         "--task regression",
                         MOST);
    HORA_PUSH(t->at, t->n, t->cap, ((hora_label){hora_strdup(name), 1, line, NULL}));
    *out = t->n - 1;
    return HORA_OK;
}

static const char *style_name(hora_label_style s) {
    static const char *const names[] = {"a name", "a number", "true or false"};
    return names[s];
}

static hora_status one_style(hora_label_store *s, hora_label_style style) {
    if (s->styled && s->table.style != style)
        return hora_fail(HORA_EFORMAT,
                         "the label is %s, those before it are %s; write all of them in one way",
                         style_name(style), style_name(s->table.style));
    s->styled = true;
    s->table.style = style;
    return HORA_OK;
}

static hora_status no_label(void) {
    return hora_fail(HORA_EFORMAT,
                     "the record has no label; add one, or leave such records out (skip_bad counts "
                     "them)");
}

static hora_status whole(const hora_json *v, int64_t *out) {
    double x;
    if (hora_json_int(v, out))
        return HORA_OK;
    hora_json_real(v, &x);
    if (x != floor(x) || !(fabs(x) < 1e15))
        return hora_fail(HORA_EFORMAT,
                         "the label %g is no class; for numbers to be predicted give --task "
                         "regression",
                         x);
    *out = (int64_t)x;
    return HORA_OK;
}

/* No number below 0, as a table has it too: there all fields are text. */
static hora_status not_below(const char *label) {
    const size_t digits = label[0] == '-' ? strspn(label + 1, "0123456789") : 0;
    const char *rest = label + 1 + digits;
    return !digits || (*rest && strspn(rest, ".0") != strlen(rest))
               ? HORA_OK
               : hora_fail(HORA_EFORMAT,
                           "the label %.60s is no class; records without a label (-1 in test sets) "
                           "have nothing to learn, leave them out",
                           label);
}

static hora_status class_of(hora_label_store *s, const hora_json *v, int64_t line, int32_t *out) {
    char text[32];
    bool truth;
    int64_t number = 0;
    switch (hora_json_type(v)) {
    case HORA_JSTRING:
        HORA_TRY(one_style(s, HORA_LABEL_NAMES));
        if (!*hora_json_string(v, NULL))
            return no_label();
        HORA_TRY(not_below(hora_json_string(v, NULL)));
        return intern(&s->table, hora_json_string(v, NULL), line, out);
    case HORA_JBOOL:
        HORA_TRY(one_style(s, HORA_LABEL_TRUTHS));
        hora_json_bool(v, &truth);
        return intern(&s->table, truth ? "true" : "false", line, out);
    case HORA_JINT:
    case HORA_JREAL:
        HORA_TRY(whole(v, &number));
        HORA_TRY(one_style(s, HORA_LABEL_INTS));
        hora_snprintf(text, sizeof text, "%lld", (long long)number);
        HORA_TRY(not_below(text));
        return intern(&s->table, text, line, out);
    default:
        return no_label();
    }
}

/* The first label of the list that stands in it twice; NULL: none. */
static const char *twice(const hora_label_store *s, const hora_data_labels_at *l) {
    for (size_t i = l->first; i < l->first + (size_t)l->n; i++)
        for (size_t k = l->first; k < i; k++)
            if (s->ids[k] == s->ids[i])
                return s->table.at[s->ids[i]].name;
    return NULL;
}

/* Lists of 0 and 1 of one length are vectors, not class numbers: those name each class once. */
static hora_status watch_vector(hora_label_store *s, const hora_json *list, bool first,
                                int64_t line, const hora_data_labels_at *l) {
    const int64_t n = (int64_t)hora_json_len(list);
    const char *again = twice(s, l);
    bool binary = n > 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t x;
        binary &= hora_json_int(hora_json_at(list, (size_t)i), &x) && (x == 0 || x == 1);
    }
    const bool vector = binary && (first || s->vector == n);
    if (!vector && again)
        return hora_fail(HORA_EFORMAT,
                         "the list has the label %.60s twice; name each label that holds once",
                         again);
    if (!vector && s->repeats)
        return hora_fail(HORA_EFORMAT,
                         "the list is no vector of %lld zeros and ones, as that of line %lld is; "
                         "write all of them in one way, a list of labels names each once",
                         (long long)s->vector, (long long)s->repeats);
    if (again && !s->repeats)
        s->repeats = line;
    s->vector = vector ? n : -1;
    return HORA_OK;
}

static hora_status read_classes(hora_label_store *s, const hora_json *v, int64_t line,
                                hora_data_labels_at *out) {
    const bool list = hora_json_type(v) == HORA_JARRAY, first = !s->seen;
    const int64_t n = list ? (int64_t)hora_json_len(v) : 1;
    if (!first && list != s->table.several)
        return hora_fail(HORA_EFORMAT,
                         "the label is %s, those before it are %s; write all of them "
                         "in one way",
                         list ? "a list" : "a single one", list ? "single ones" : "lists");
    *out = (hora_data_labels_at){s->nids, n};
    for (int64_t i = 0; i < n; i++) {
        int32_t id = -1;
        HORA_TRY(class_of(s, list ? hora_json_at(v, (size_t)i) : v, line, &id));
        HORA_PUSH(s->ids, s->nids, s->cids, id);
    }
    if (list)
        HORA_TRY(watch_vector(s, v, first, line, out));
    s->table.several = list;
    s->seen = true;
    return HORA_OK;
}

/* --- numbers ---------------------------------------------------------------------------------- */
static hora_status number_of(const hora_json *v, float *out) {
    double x = NAN;
    const char *text = hora_json_string(v, NULL);
    if (!hora_json_real(v, &x) && !(text && hora_parse_double(text, &x)))
        return hora_json_type(v) == HORA_JNULL || (text && !*text)
                   ? no_label()
                   : hora_fail(HORA_EFORMAT,
                               "the label %s%.40s%s is no number, but --task regression needs one; "
                               "write it like 3.5",
                               text ? "\"" : "of type ",
                               text ? text : hora_json_type_name(hora_json_type(v)),
                               text ? "\"" : "");
    *out = (float)x;
    return isfinite(*out) ? HORA_OK
                          : hora_fail(HORA_EFORMAT, "the label is not finite; correct the record");
}

static hora_status read_numbers(hora_label_store *s, const hora_json *v, hora_data_labels_at *out) {
    const bool list = hora_json_type(v) == HORA_JARRAY;
    const int64_t n = list ? (int64_t)hora_json_len(v) : 1;
    if (s->seen && n != s->table.numbers)
        return hora_fail(HORA_EFORMAT, "the record has %lld numbers, those before it %lld",
                         (long long)n, (long long)s->table.numbers);
    *out = (hora_data_labels_at){s->nnumbers, n};
    for (int64_t i = 0; i < n; i++) {
        float x = 0;
        HORA_TRY(number_of(list ? hora_json_at(v, (size_t)i) : v, &x));
        HORA_PUSH(s->numbers, s->nnumbers, s->cnumbers, x);
    }
    s->seen = true;
    s->table.numbers = n;
    return n ? HORA_OK : no_label();
}

hora_status hora_labels_score(hora_label_store *s, const hora_json *v, hora_data_labels_at *out) {
    hora_label_table *t = &s->table;
    const char *text = hora_json_string(v, NULL);
    double x = NAN;
    if (s->seen && !v != !t->numbers)
        return hora_fail(HORA_EFORMAT,
                         "the record has %s score, those before it have %s; write all of them in "
                         "one way",
                         v ? "a" : "no", v ? "none" : "one");
    *out = (hora_data_labels_at){s->nnumbers, v != NULL};
    if (v && (!(hora_json_real(v, &x) || (text && hora_parse_double(text, &x))) || !isfinite(x)))
        return hora_fail(HORA_EFORMAT,
                         "the score%s%.40s%s is no number; write it like 0.8, or leave it out of "
                         "all records",
                         text ? " \"" : "", text ? text : "", text ? "\"" : "");
    if (v) {
        t->least = t->numbers && t->least < (float)x ? t->least : (float)x;
        t->most = t->numbers && t->most > (float)x ? t->most : (float)x;
        HORA_PUSH(s->numbers, s->nnumbers, s->cnumbers, (float)x);
    }
    t->numbers = v != NULL;
    s->seen = true;
    return HORA_OK;
}

/* --- the door --------------------------------------------------------------------------------- */
hora_status hora_labels_read(hora_label_store *s, hora_label_kind kind, const hora_json *v,
                             int64_t line, hora_data_labels_at *out) {
    const size_t ids = s->nids, numbers = s->nnumbers;
    hora_status st =
        kind == HORA_LABELS_NUMBER ? read_numbers(s, v, out) : read_classes(s, v, line, out);
    if (st) { /* of a bad record nothing stays */
        s->nids = ids;
        s->nnumbers = numbers;
    }
    return st;
}

hora_status hora_labels_tag(hora_label_store *s, const hora_json *v, int64_t line, int32_t *out) {
    return class_of(s, v, line, out);
}

/* Vectors of 0 and 1 become the numbers of their ones. */
static void unfold_vectors(hora_label_store *s, hora_data_record *records, size_t n) {
    int32_t *ids = NULL;
    size_t nids = 0, cids = 0;
    hora_label_table t = {.style = HORA_LABEL_INTS, .several = true};
    for (int64_t k = 0; k < s->vector; k++)
        HORA_PUSH(t.at, t.n, t.cap, ((hora_label){hora_format("%lld", (long long)k), 0, 0, NULL}));
    for (size_t i = 0; i < n; i++) {
        const hora_data_labels_at was = records[i].labels;
        records[i].labels.first = nids;
        for (int32_t k = 0; k < was.n; k++)
            if (hora_eq(s->table.at[s->ids[was.first + (size_t)k]].name, "1")) {
                t.at[k].line = t.at[k].count++ ? t.at[k].line : records[i].line;
                HORA_PUSH(ids, nids, cids, k);
            }
        records[i].labels.n = (int64_t)(nids - records[i].labels.first);
    }
    for (int i = 0; i < s->table.n; i++)
        hora_free(s->table.at[i].name);
    hora_free(s->table.at);
    hora_free(s->ids);
    s->table = t;
    s->ids = ids;
    s->nids = nids;
    s->cids = cids;
}

static bool whole_text(const char *name, size_t *digits) {
    int64_t x;
    *digits = strspn(name, "0123456789");
    char *number = hora_strndup(name, *digits);
    const bool fits = *digits && hora_parse_int(number, &x);
    hora_free(number);
    const char *rest = name + *digits;
    return fits && (!*rest || (rest[0] == '.' && rest[1] && !rest[1 + strspn(rest + 1, "0")]));
}

static bool named(const hora_label_table *t, const char *name, size_t n) {
    for (int i = 0; i < t->n; i++)
        if (strlen(t->at[i].name) == n && !memcmp(t->at[i].name, name, n))
            return true;
    return false;
}

/* Text that is whole numbers are these, as in a table, where all is text. A column that lacked a
 * value comes from pandas as 0.0 and 1.0: classes 0 and 1, and said. */
static void whole_numbers(hora_label_table *t) {
    int points = 0;
    size_t n;
    for (int i = 0; i < t->n; i++) {
        if (!whole_text(t->at[i].name, &n))
            return;
        const bool point = t->at[i].name[n] != '\0';
        points += point;
        if (point && named(t, t->at[i].name, n)) {
            hora_warn("the labels %s and %.*s are two classes; write them alike if they are one",
                      t->at[i].name, (int)n, t->at[i].name);
            return;
        }
    }
    for (int i = 0; i < t->n; i++)
        t->at[i].name[strspn(t->at[i].name, "0123456789")] = '\0';
    t->style = HORA_LABEL_INTS;
    if (points)
        hora_info("the labels are whole numbers with a decimal point (1.0), as tables write a "
                  "column with gaps: they are taken as classes %s ..; for numbers to be predicted "
                  "give --task regression",
                  t->at[0].name);
}

void hora_labels_finish(hora_label_store *s, hora_data_record *records, size_t n) {
    hora_label_table *t = &s->table;
    if (t->style == HORA_LABEL_NAMES && t->n > 0)
        whole_numbers(t);
    if (t->several && t->style == HORA_LABEL_INTS && s->vector > 1)
        unfold_vectors(s, records, n);
}

void hora_labels_release(hora_label_store *s) {
    for (int i = 0; i < s->table.n; i++) {
        hora_free(s->table.at[i].name);
        hora_free(s->table.at[i].where);
    }
    hora_free(s->table.at);
    hora_free(s->ids);
    hora_free(s->numbers);
    hora_free(s->tags);
    hora_free(s->lost);
}

const hora_label_table *hora_data_labels(const hora_dataset *d) {
    return &d->store->labels.table;
}

void hora_data_set_classes(hora_dataset *d, const int32_t *class_of) {
    hora_label_store *s = &d->store->labels;
    HORA_ASSERT(!s->numbered);
    for (size_t i = 0; i < s->nids; i++)
        s->ids[i] = class_of[s->ids[i]];
    for (size_t i = 0; i < s->ntags; i++)
        s->tags[i] = s->tags[i] < 0 ? -1 : class_of[s->tags[i]];
    for (size_t i = 0; i < s->nlost; i++)
        s->lost[i].tag = class_of[s->lost[i].tag];
    hora_pictures_classes(d->store->pictures, class_of, s->table.n);
    s->numbered = true;
}

/* Some label of the segment has no class. */
static bool unknown(const hora_dataset *d, const hora_data_segment *s, const int32_t *class_of) {
    const hora_label_store *l = &d->store->labels;
    const bool tags = d->rule.labels == HORA_LABELS_TAG;
    const int32_t *at = tags ? l->tags + s->at : l->ids + s->labels.first;
    for (int64_t k = 0; k < (tags ? s->n : s->labels.n); k++)
        if (at[k] >= 0 && class_of[at[k]] < 0)
            return true;
    return false;
}

int64_t hora_data_leave_out(hora_dataset *d, const int32_t *class_of) {
    const hora_label_kind k = d->rule.labels;
    hora_data_segment *old = d->segments;
    const size_t n = d->nsegments;
    const int64_t before = d->info.records;
    bool any = false;
    HORA_ASSERT(!d->store->labels.numbered);
    for (size_t i = 0; i < n && d->skip_bad && !any; i++)
        any = (k == HORA_LABELS_CLASS || k == HORA_LABELS_TAG) && unknown(d, &old[i], class_of);
    if (!any)
        return 0;
    d->segments = NULL;
    d->csegments = 0;
    hora_pack_begin(d);
    for (size_t i = 0, last = n; i < n; i++) {
        if (unknown(d, &old[i], class_of))
            continue;
        hora_pack_again(d, &old[i], last < n && old[last].part == old[i].part);
        last = i;
    }
    hora_free(old);
    d->info.skipped += before - d->info.records;
    return before - d->info.records;
}

void hora_data_lost(const hora_dataset *d, int64_t first, int64_t n, hora_lost_fn *tell,
                    void *arg) {
    const hora_label_store *l = &d->store->labels;
    int64_t sample = 0;
    for (int64_t i = first; l->nlost && i < first + n; i++) {
        const hora_data_sequence *q = hora_data_sequence_at(d, i, true);
        for (int64_t k = 0; k < q->nsegments; k++, sample++) {
            const size_t record = d->segments[q->first + (size_t)k].at;
            size_t low = 0, high = l->nlost;
            while (low < high) {
                const size_t middle = (low + high) / 2;
                if (l->lost[middle].record < record)
                    low = middle + 1;
                else
                    high = middle;
            }
            for (; low < l->nlost && l->lost[low].record == record; low++)
                if (l->lost[low].tag >= 0)
                    tell(arg, sample, l->lost[low].word, l->lost[low].tag);
        }
    }
}

void hora_data_count_classes(const hora_dataset *d, int64_t *count, int64_t classes) {
    const hora_label_store *l = &d->store->labels;
    const bool tags = d->rule.labels == HORA_LABELS_TAG;
    HORA_ASSERT(l->numbered);
    for (size_t i = 0; i < d->nsegments; i++) {
        const hora_data_segment *s = &d->segments[i];
        const int32_t *at = tags ? l->tags + s->at : l->ids + s->labels.first;
        for (int64_t k = 0; k < (tags ? s->n : s->labels.n); k++)
            if (at[k] >= 0 && at[k] < classes)
                count[at[k]]++;
    }
}
